"""Models that read strings: words and tokens as features, and bad input in one sentence each."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor, nn

import xaibench as xb

PIECES = ["[PAD]", "[MASK]", "[UNK]", "[CLS]", "[SEP]", "a", "fine", "film", "act", "ing", "dull", ","]


class Encoding(dict):  # type: ignore[type-arg]
    """What a fast tokenizer returns."""

    def word_ids(self) -> list[int | None]:
        return self["words"]  # type: ignore[no-any-return]


class Tokenizer:
    """Words at spaces, of pieces at ``+``; what is unknown is [UNK]."""

    mask_token_id, pad_token_id, unk_token_id, cls_token_id, sep_token_id = 1, 0, 2, 3, 4

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> Encoding:
        ids, words = [], []
        for number, word in enumerate(text.replace(",", " ,").split()):
            for piece in word.split("+"):
                ids.append(PIECES.index(piece) if piece in PIECES else 2)
                words.append(number)
        if add_special_tokens:
            ids, words = [3, *ids, 4], [None, *words, None]
        return Encoding(input_ids=ids, words=words)

    def __len__(self) -> int:
        return len(PIECES)

    def decode(self, ids: list[int]) -> str:
        return "".join(PIECES[i] for i in ids)


class Net(nn.Module):
    """Mean of embeddings, curved."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(6, 3)
        self.eval()

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.head(torch.tanh(embeddings).mean(1))
        return found


TABLE = torch.randn(len(PIECES), 6, generator=torch.Generator().manual_seed(1))
TEXTS = ["a fine film", "act+ing", "a dull film , a fine act+ing act"]


def model(**given: Any) -> Any:
    return xb.text_model(Net(), Tokenizer(), embedding=TABLE, **given)


def refused(text: str, call: Any) -> None:
    with pytest.raises(xb.XaibenchError, match=text) as caught:
        call()
    assert caught.value.hint
    assert len(caught.value.message) < 160


def test_words_have_all_their_pieces_and_tokens_one_each() -> None:
    for unit, sizes in (("word", [3, 1, 8]), ("token", [3, 2, 9])):
        found = xb.explain("feature_ablation", model=model(unit=unit), inputs=TEXTS, targets=[0] * 3, masker="delete")
        assert np.isfinite(found).sum(axis=1).tolist() == sizes
        net = Net()
        ids = torch.tensor([[3, 5, 6, 7, 4]])
        less = torch.tensor([[3, 5, 7, 4]])
        gap = net(TABLE[ids], None)[0, 0] - net(TABLE[less], None)[0, 0]
        assert found[0, 1] == pytest.approx(float(gap.detach()), abs=1e-6)
    net, whole = Net(), torch.tensor([[3, 8, 9, 4]])
    word = xb.explain("feature_ablation", model=model(), inputs=["act+ing"], targets=[0], masker="delete")
    gap = net(TABLE[whole], None)[0, 0] - net(TABLE[torch.tensor([[3, 4]])], None)[0, 0]
    assert word[0, 0] == pytest.approx(float(gap.detach()), abs=1e-6)


def test_strings_are_what_their_ids_are() -> None:
    ids = [[5, 6, 7], [8, 9], [5, 10, 7, 11, 5, 6, 8, 9, 8]]
    plain = xb.TokenPredictor(Net(), TABLE, xb.Tokens(12, mask=1, pad=0, unk=2, prefix=[3], suffix=[4]))
    for name, params in (("lime", {"n_samples": 20}), ("integrated_gradients", {}), ("smoothgrad", {})):
        strings = xb.explain(name, model=model(unit="token"), inputs=np.array(TEXTS), **params)
        np.testing.assert_array_equal(strings, xb.explain(name, model=plain, inputs=ids, **params))
    scores = xb.score("comprehensiveness", model=model(), inputs=TEXTS, background=TEXTS, explain="gradient")
    assert np.isfinite(scores).all()


def test_a_tokenizer_that_does_not_say_what_words_are_is_asked_word_by_word() -> None:
    class Slow(Tokenizer):
        def __call__(self, text: str, *, add_special_tokens: bool = True) -> Any:
            return list(super().__call__(text, add_special_tokens=add_special_tokens)["input_ids"])

    slow = xb.text_model(Net(), Slow(), embedding=TABLE)
    assert slow.reader.read(["a fine film"]).shape == (1, 3, 1)
    refused("tokenises words otherwise", lambda: slow.reader.read(["act+ing film"]))


def test_functions_of_strings_have_words_as_features() -> None:
    def count(texts: list[str]) -> np.ndarray:
        assert all(isinstance(t, str) for t in texts)
        total = np.array([t.count("fine") - 2.0 * t.count("dull") for t in texts])
        return np.stack([-total / 2, total / 2], axis=1)

    seen: list[str] = []
    watched = lambda texts: (seen.extend(texts), count(texts))[1]  # noqa: E731
    texts = ["A fine, dull film!", "fine"]
    net = xb.text_model(watched, returns="logit")
    found = xb.explain("feature_ablation", model=net, inputs=texts, targets=[1, 1], output="margin")
    np.testing.assert_allclose(found[0], [0, 1, 0, -2, 0, 0], atol=1e-6)
    assert "A fine, dull film!" in seen
    assert "A fine dull film!" in seen
    for name in ("kernel_shap", "shapley_sampling", "lime", "anchors"):
        together = xb.explain(name, model=xb.text_model(count, returns="logit"), inputs=texts)
        alone = xb.explain(name, model=xb.text_model(count, returns="logit"), inputs=texts[1:])
        np.testing.assert_allclose(together[1, :1], alone[0])
    # Draws do not hang on which texts were read before.
    given = {"inputs": texts[:1], "n_samples": 12}
    net.reader.read(["other words first"])
    np.testing.assert_array_equal(
        xb.explain("lime", model=net, **given), xb.explain("lime", model=xb.text_model(count, returns="logit"), **given)
    )
    refused("needs gradients", lambda: xb.explain("gradient", model=net, inputs=texts))
    refused("words", lambda: xb.text_model(count, unit="token"))


def test_pipelines_of_scikit_learn_are_explained() -> None:
    texts = ["a fine film", "fine plot", "a dull film", "dull plot"] * 3
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 1, 0, 0] * 3)
    net = xb.text_model(pipeline)
    found = xb.explain("feature_ablation", model=net, inputs=["a fine film"], targets=[1], masker="delete")
    assert found[0].argmax() == 1
    scores = xb.score("comprehensiveness", model=net, inputs=["a dull film"], explain="feature_ablation")
    assert scores[0] > 0


LONG = " ".join(["film"] * 10_000)
BAD_TEXTS = {
    "empty": (["a", ""], "empty text, number 1"),
    "spaces": (["  \n"], "empty text, number 0"),
    "special only": (["a", "[SEP] [CLS]"], "only special tokens"),
    "special inside": (["a [SEP] fine"], r"special token '\[SEP\]'"),
    "long": ([LONG], "10000 words, more than length = 64"),
    "one string": ("a fine film", "one string"),
    "numbers among them": (["a", 3], "hold a int, number 1"),
    "iterator": (iter(["a", "fine"]), "are a list_iterator"),
}


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_bad_texts_are_refused_in_a_sentence(case: str) -> None:
    texts, message = BAD_TEXTS[case]
    refused(message, lambda: xb.explain("gradient", model=model(), inputs=texts))
    refused(message, lambda: xb.score("sparseness", model=model(), inputs=["a"], background=texts, explain="gradient"))


def test_long_texts_are_explained_where_that_is_said() -> None:
    found = xb.explain("gradient", model=model(length=10_000), inputs=[LONG])
    assert np.isfinite(found).all()
    assert found.shape == (1, 10_000)


def test_emoji_and_right_to_left_text_are_texts() -> None:
    texts = ["a \U0001f3ac fine film \U0001f600", "\u0633\u0631\u064a\u0639 film \u05e9\u05dc\u05d5\u05dd"]
    count = lambda texts: np.array([[0.1 + 0.5 * ("\u05e9" in t), 0.9 - 0.5 * ("\u05e9" in t)] for t in texts])  # noqa: E731
    assert np.isfinite(xb.explain("lime", model=model(), inputs=texts)[0]).all()
    found = xb.explain("feature_ablation", model=xb.text_model(count), inputs=texts, targets=[0, 0])
    np.testing.assert_allclose(found[1, :3], [0, 0, 0.5], atol=1e-6)


def test_models_and_tokenizers_that_do_not_fit_are_refused() -> None:
    refused("does not show an embedding", lambda: xb.text_model(Net(), Tokenizer()))
    refused("give its tokenizer|read strings", lambda: xb.text_model(Net(), embedding=TABLE))
    refused("not a tokenizer", lambda: xb.text_model(Net(), "bert", embedding=TABLE))
    refused("tokenizer is not the model's", lambda: xb.text_model(Net(), Tokenizer(), embedding=TABLE[:3]))
    small = xb.text_model(Net(), Tokenizer(), embedding=TABLE[:9])
    refused("token id 10, and the model knows ids from 0 to 8", lambda: small.reader.read(["a dull film"]))
    with pytest.warns(xb.XaibenchWarning, match="knows 12 tokens and the model 40"):
        xb.text_model(Net(), Tokenizer(), embedding=torch.zeros(40, 6))
    refused("without input_ids", lambda: xb.text_model(Net(), lambda text, **_: {"ids": [1]}, embedding=TABLE))
    refused("unknown unit", lambda: model(unit="letter"))
    refused("length is 0", lambda: model(length=0))
    refused("numbers for texts", lambda: xb.text_model(3))
    refused("go with a torch module", lambda: xb.text_model(len, embedding=TABLE))
    refused("training mode", lambda: model(mlm=nn.Linear(2, 2)))
    with pytest.raises(xb.UsageError, match="array of numbers") as caught:
        xb.explain("gradient", model=nn.Linear(2, 2).eval(), inputs=["a fine film"])
    assert "text_model" in caught.value.hint


class Answer:
    """An output object without logits."""

    def __init__(self, states: Tensor) -> None:
        self.last_hidden_state = states
        self.pooler_output = states[:, 0]


@pytest.mark.parametrize("kind", ["dictionary", "tuple", "tensor", "states"])
def test_outputs_of_all_kinds_are_read(kind: str) -> None:
    class Wrapped(Net):
        def forward(self, embeddings: Tensor, mask: Tensor) -> Any:
            found = super().forward(embeddings, mask)
            return {
                "dictionary": {"loss": None, "logits": found}, "tuple": (found, embeddings), "tensor": found,
                "states": Answer(embeddings),
            }[kind]  # fmt: skip

    net = xb.text_model(Wrapped(), Tokenizer(), embedding=TABLE)
    call = lambda: xb.explain("gradient", model=net, inputs=TEXTS)  # noqa: E731
    if kind == "states":
        refused("without logits", call)
    else:
        np.testing.assert_array_equal(call(), xb.explain("gradient", model=model(), inputs=TEXTS))


def test_transformers_is_not_imported() -> None:
    """In a process of its own: other tests of this one may have imported it."""
    code = (
        "import sys, numpy as np, xaibench as xb\n"
        "model = xb.text_model(lambda texts: np.array([[len(t), 1.0] for t in texts]), str.split, returns='value')\n"
        "xb.explain('feature_ablation', model=model, inputs=['a fine film'], targets=[0])\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'transformers']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_words_are_shown_without_the_signs_of_tokenizers() -> None:
    from xaibench.core.tokens import shown_words

    tokens = xb.Tokens(["[PAD]", "film", "act", "##ing", "\u0120fine", "ly"])
    assert shown_words(np.array([[2, 3], [1, -1], [4, 5], [-1, -1]]), tokens) == ("acting", "film", "finely")
    assert shown_words(np.array([3, 1, -1]), tokens) == ("##ing", "film")
    assert shown_words(np.array([3, 1]), xb.Tokens(9)) == ("3", "1")


def test_other_texts_of_a_pair_are_strings_too_and_may_have_longer_words() -> None:
    texts, others = ["a fine film", "dull film"], ["act+ing fine film", "dull act"]
    truth = [np.array([False, True, True]), np.array([True, True])]
    given = {"model": model(), "inputs": texts, "targets": [0, 0]}
    found = xb.score(
        "context_swap_agreement", truth=truth, explain="feature_ablation", explainer_params={"masker": "mask"},
        pairs={"input_pair.context": {"inputs": others}}, **given,
    )  # fmt: skip
    own = xb.explain("feature_ablation", masker="mask", **given)
    other = xb.explain("feature_ablation", masker="mask", **{**given, "inputs": others})
    for row, mask in enumerate(truth):
        a, b = own[row, : len(mask)][mask], other[row, : len(mask)][mask]
        assert found[row] == pytest.approx(1.0 if (a[0] > a[1]) == (b[0] > b[1]) else -1.0)


def test_draws_of_a_text_do_not_hang_on_how_many_pieces_the_words_of_others_have() -> None:
    for name, params in (("smoothgrad", {"n_samples": 4}), ("lime", {"n_samples": 6}), ("gradient_shap", {})):
        given = {"model": model(), "background": ["a fine film", "act+ing dull"], **params}
        together = xb.explain(name, inputs=["a fine film", "act+ing fine film"], **given)
        alone = xb.explain(name, inputs=["a fine film"], **given)
        np.testing.assert_allclose(together[0], alone[0], rtol=1e-6, atol=1e-7)
