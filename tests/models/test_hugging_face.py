"""Tiny random classifiers of the library transformers through every explainer and metric of texts."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from helpers.hugging_face import NAMES, TEXTS, classifier, tokenizer_of

import xaibench as xb
from xaibench.core import registry
from xaibench.core.declaration_index import built_in

transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SMALL = {"n_samples": 6, "n_subsets": 6, "steps": 5, "epsilon": 0.02, "exhaustive": 4, "candidates": 4}
WIDTHS = {"word": [3, 11, 1, 6, 7]}
BLACK_BOX = {"feature_ablation", "occlusion", "lime", "kernel_shap", "shapley_sampling", "rise", "anchors"}
WHITE_BOX = {
    "gradient", "saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "vargrad", "gradient_shap",
    "attention_last", "attention_mean", "attention_rollout", "attention_x_gradient", "generic_attention",
    "value_zeroing", "attn_lrp", "input_marginalisation",
}  # fmt: skip
METRICS = {
    "pixel_flipping", "deletion", "insertion", "comprehensiveness", "sufficiency", "log_odds", "tau_loo",
    "soft_sufficiency", "soft_comprehensiveness", "label_flip_words", "mass_balance", "relevance_rank", "auprc",
    "faithfulness_correlation", "infidelity", "max_sensitivity", "mprt", "random_logit", "sparseness",
}  # fmt: skip


@cache
def net_of(name: str) -> Any:
    return classifier(name)


def model(name: str, **given: Any) -> Any:
    return xb.text_model(net_of(name), tokenizer_of(name), **given)


def small(spec: Any) -> dict[str, Any]:
    return {name: value for name, value in SMALL.items() if name in spec.parameters}


def direct(name: str, ids: list[int]) -> torch.Tensor:
    """Logits of one sequence of ids, as transformers computes them."""
    with torch.no_grad():
        found: torch.Tensor = net_of(name)(input_ids=torch.tensor([ids])).logits[0]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_input_ids_alone_and_in_a_batch(name: str) -> None:
    tokenizer = tokenizer_of(name)
    problem = xb.Problem(model(name), TEXTS)
    samples = problem._shared.prepared.samples
    from xaibench.core.groups import predict_groups

    raw = predict_groups(samples.model, samples.inputs, samples.sizes, samples.layout)
    for row, text in enumerate(TEXTS):
        expected = direct(name, tokenizer(text)["input_ids"])
        np.testing.assert_allclose(raw[row], expected, atol=1e-5)
    assert samples.sizes.tolist() == WIDTHS["word"]


@pytest.mark.parametrize("name", NAMES)
def test_deleting_a_word_is_the_sequence_without_its_pieces(name: str) -> None:
    tokenizer = tokenizer_of(name)
    found = xb.explain("feature_ablation", model=model(name), inputs=TEXTS, targets=[1] * 5, masker="delete")
    reader = model(name).reader
    rows = reader.read(TEXTS)
    prefix, suffix = reader.tokens.prefix, reader.tokens.suffix
    for row, text in enumerate(TEXTS):
        whole = direct(name, tokenizer(text)["input_ids"])[1]
        words = [[int(i) for i in word if i >= 0] for word in rows[row] if word[0] >= 0]
        for place in range(len(words)):
            rest = [i for j, word in enumerate(words) if j != place for i in word]
            ids = [*prefix, *rest, *suffix] or [reader.tokens.pad]
            assert found[row, place] == pytest.approx(float(whole - direct(name, ids)[1]), abs=1e-5)


@pytest.mark.parametrize(
    "name", [n if n in ("bert", "gpt2") else pytest.param(n, marks=pytest.mark.exhaustive) for n in NAMES]
)
def test_every_explainer_gives_a_text_what_it_has_alone(name: str) -> None:
    net, done = model(name), set()
    given = {"background": TEXTS}
    for spec in filter(built_in, registry.components("explainer")):
        truth = [np.arange(n) % 2 == 0 for n in WIDTHS["word"]]
        try:
            together = xb.explain(spec.name, model=net, inputs=TEXTS, truth=truth, **given, **small(spec))
        except xb.UnsupportedError as error:
            assert len(error.message) > 20  # noqa: PT017
            continue
        for row, n in enumerate(WIDTHS["word"]):
            alone = xb.explain(
                spec.name, model=net, inputs=[TEXTS[row]], truth=truth[row][None], **given, **small(spec)
            )[0]
            assert np.isfinite(alone).all(), spec.name
            np.testing.assert_allclose(together[row, :n], alone, rtol=1e-5, atol=1e-6, err_msg=spec.name)
            assert np.isnan(together[row, n:]).all()
        done.add(spec.name)
    assert done >= BLACK_BOX | WHITE_BOX


@pytest.mark.parametrize(
    ("explainer", "params"),
    [
        ("feature_ablation", {"window": 2, "masker": "delete"}),
        ("lime_text", {"by": "position", "n_samples": 12}),
        ("integrated_gradients", {"baseline": "pad", "channels": "abs"}),
        ("attn_lrp", {"rule": "cp"}),
    ],
    ids=["window", "lime_text", "abs", "cp"],
)
def test_what_is_asked_for_by_a_parameter_is_the_same_alone(explainer: str, params: dict[str, Any]) -> None:
    """An encoder and a decoder; padding beside a text, of either, must not matter."""
    for name in ("bert", "gpt2"):
        if params.get("baseline") == "pad" and "pad" not in model(name).symbols:
            continue
        together = xb.explain(explainer, model=model(name), inputs=TEXTS, **params)
        for row in (1, 2, 3):
            alone = xb.explain(explainer, model=model(name), inputs=[TEXTS[row]], **params)[0]
            assert np.isfinite(alone).all(), name
            np.testing.assert_allclose(together[row, : len(alone)], alone, rtol=1e-5, atol=1e-6, err_msg=name)


# An encoder; the others differ in ways that explainers meet, and metrics do not.
@pytest.mark.parametrize("name", [n if n == "bert" else pytest.param(n, marks=pytest.mark.exhaustive) for n in NAMES])
def test_every_metric_gives_a_text_what_it_has_alone(name: str) -> None:
    net, done = model(name), set()
    truth = [np.arange(n) % 2 == 0 for n in WIDTHS["word"]]
    maps = xb.explain("input_x_gradient", model=net, inputs=TEXTS)
    for spec in filter(built_in, registry.components("metric")):
        if {"program", "case"} & spec.needs:
            continue

        def score(rows: list[int], spec: Any = spec) -> np.ndarray:
            texts, masks = [TEXTS[r] for r in rows], [truth[r] for r in rows]
            beside = {"truth": masks, "distractors": [~m for m in masks], "labels": [0] * len(rows)}
            again = {"explain": "input_x_gradient"} if "reexplain" in spec.needs else {
                "attributions": [maps[r, : WIDTHS["word"][r]] for r in rows]
            }  # fmt: skip
            found: np.ndarray = xb.score(
                spec.name, model=net, inputs=texts, background=TEXTS, **again, **beside, **small(spec)
            )
            return found

        try:
            together = score([0, 1, 2, 3, 4])
        except xb.UnsupportedError as error:
            assert len(error.message) > 20  # noqa: PT017
            continue
        alone = [score([row])[0] for row in range(5)]
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5, err_msg=spec.name)
        done.add(spec.name)
    assert done >= METRICS


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_integrated_gradients_are_those_of_captum(name: str) -> None:
    captum = pytest.importorskip("captum.attr")
    tokenizer, net = tokenizer_of(name), net_of(name)
    layer = net.get_input_embeddings()
    theirs = captum.LayerIntegratedGradients(lambda ids: net(input_ids=ids).logits, layer)
    for text in TEXTS[:3]:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        baseline = ids.clone()
        baseline[:, 1:-1] = tokenizer.mask_token_id
        expected = theirs.attribute(ids, baseline, target=1, method="riemann_middle", n_steps=32).sum(2)[0, 1:-1]
        found = xb.explain(
            "integrated_gradients", model=model(name, unit="token"), inputs=[text], targets=[1], steps=32,
            baseline="mask", output="logit",
        )[0]  # fmt: skip
        np.testing.assert_allclose(found, expected.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "modernbert"])
def test_ablation_by_the_mask_is_that_of_captum(name: str) -> None:
    captum = pytest.importorskip("captum.attr")
    tokenizer, net = tokenizer_of(name), net_of(name)
    for text in TEXTS[:3]:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        theirs = captum.FeatureAblation(lambda ids: net(input_ids=ids).logits)
        expected = theirs.attribute(ids, baselines=tokenizer.mask_token_id, target=1)[0, 1:-1]
        found = xb.explain(
            "feature_ablation", model=model(name, unit="token"), inputs=[text], targets=[1], masker="mask",
            output="logit",
        )[0]  # fmt: skip
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_attention_is_that_of_the_library(name: str) -> None:
    """By ``output_attentions`` of the eager implementation; ours is read from whichever one runs."""
    tokenizer, eager = tokenizer_of(name), classifier(name, attention="eager")
    for text in TEXTS[:2]:
        with torch.no_grad():
            weights = eager(torch.tensor([tokenizer(text)["input_ids"]]), output_attentions=True).attentions
        mean = torch.stack([w[0].mean((0, 1)) for w in weights]).mean(0)
        found = xb.explain("attention_mean", model=model(name, unit="token"), inputs=[text])[0]
        start = len(model(name).tokens.prefix)
        np.testing.assert_allclose(found, mean[start : start + len(found)], atol=1e-5)


def test_integrated_gradients_are_complete() -> None:
    for name in NAMES:
        # Where a layer normalisation follows the embedding, the function is steep near an embedding of 0.
        baseline = "pad" if name == "gpt2" else "mask"
        found = xb.score(
            "completeness", model=model(name), inputs=TEXTS, explain="integrated_gradients", baseline=baseline,
            explainer_params={"baseline": baseline, "steps": 256}, output="logit",
        )  # fmt: skip
        assert np.nanmax(np.abs(found)) < 0.05, name


def test_models_of_the_next_token_are_explained_at_their_last_place() -> None:
    tokenizer = tokenizer_of("gpt2")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=40, initializer_range=0.4,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    net = transformers.GPT2LMHeadModel(config).eval()
    target = tokenizer(" film")["input_ids"][0]
    prompt = "a fine"
    found = xb.explain(
        "feature_ablation", model=xb.text_model(net, tokenizer), inputs=[prompt], targets=[target], masker="delete",
        output="logit",
    )  # fmt: skip
    with torch.no_grad():
        whole = net(torch.tensor([tokenizer("a fine")["input_ids"]])).logits[0, -1, target]
        less = net(torch.tensor([tokenizer("a")["input_ids"]])).logits[0, -1, target]
    assert found[0, 1] == pytest.approx(float(whole - less), abs=1e-5)
    assert config.use_cache
    assert config.pad_token_id is None


def test_masked_language_models_propose_words() -> None:
    tokenizer = tokenizer_of("bert")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24
    )
    mlm = transformers.BertForMaskedLM(config).eval()
    net = model("bert", mlm=mlm)
    for name, params in (("input_marginalisation", {"candidates": 5}), ("feature_ablation", {"masker": "mlm"})):
        together = xb.explain(name, model=net, inputs=TEXTS, **params)
        alone = xb.explain(name, model=net, inputs=TEXTS[1:2], **params)
        np.testing.assert_allclose(together[1], alone[0], rtol=1e-5, atol=1e-6)


def test_bad_input_is_one_sentence_each() -> None:
    net = model("bert")
    cases = {
        "empty text": [""],
        "only special tokens": ["[CLS] [SEP]"],
        "more than length": ["film " * 10_000],
        "one string": "a film",
    }
    for message, texts in cases.items():
        with pytest.raises(xb.UsageError, match=message) as caught:
            xb.explain("gradient", model=net, inputs=texts)
        assert caught.value.hint
    with pytest.raises(xb.UsageError, match=r"makes a sequence of 62 tokens, and the model takes 40"):
        xb.explain("gradient", model=net, inputs=["film " * 60])
    emoji = xb.explain("gradient", model=net, inputs=["a \U0001f600 film \u05e9\u05dc\u05d5\u05dd"])
    assert np.isfinite(emoji).all()
    with pytest.raises(xb.UsageError, match=r"not the model's|token id"):
        xb.text_model(net_of("bert"), tokenizer_of("roberta")).reader.read(["the acting"])
    bare = transformers.BertModel(net_of("bert").config).eval()
    with pytest.raises(xb.UsageError, match="logits"):
        xb.explain("gradient", model=xb.text_model(bare, tokenizer_of("bert")), inputs=TEXTS)


def test_a_suite_names_texts_and_a_folder_of_a_model(tmp_path: Any) -> None:
    import pandas as pd

    folder, file = tmp_path / "model", tmp_path / "reviews.csv"
    net_of("bert").save_pretrained(folder)
    tokenizer_of("bert").save_pretrained(folder)
    texts = [f"{a} {b} film is {c}" for a in ("a", "the") for b in ("fine", "dull") for c in ("good", "slow and bad")]
    labels = [f"LABEL_{i % 3}" for i in range(8)]
    pd.DataFrame({"text": texts, "label": labels}).to_csv(file, index=False)
    document = {
        "name": "reviews", "description": "texts of a file", "samples": 3, "background": 4, "controls": True,
        "problems": [{
            "dataset": {"name": "texts", "params": {"path": str(file), "model": str(folder), "test_share": 0.4}},
            "models": [{"name": "hugging_face", "params": {"path": str(folder)}}],
        }],
        "explainers": [
            {"name": "feature_ablation", "params": {"masker": "mask"}}, "attn_lrp", "value_zeroing",
            {"name": "gradient", "params": {"channels": "norm"}},
        ],
        "metrics": [{"name": "comprehensiveness", "grid": {"masker": ["mask", "delete"]}}, "random_logit"],
    }  # fmt: skip
    run = xb.run(document, store=tmp_path / "store")
    cells = xb.results(run.store)
    own = cells[~cells["control"].astype(bool)]
    assert set(own["status"]) <= {"ok", "undefined"}, own["message"].tolist()
    assert "failed" not in set(cells["status"])
    data = registry.get("dataset", "texts").function(seed=0, path=str(file), model=str(folder), test_share=0.4)
    assert data.class_names == ("LABEL_0", "LABEL_1", "LABEL_2")
    row = cells[(cells["explainer"] == "feature_ablation") & cells["params"].str.contains('"mask"')].iloc[0]
    chosen = [t for ids in data.test_inputs[:3] for t in texts if (model("bert").reader.read([t])[0, :, 0].tolist()
              == [i for i in ids[:, 0].tolist() if i >= 0])]  # fmt: skip
    given = {"model": model("bert"), "inputs": chosen, "seed": int(row["seed"])}
    maps = xb.explain("feature_ablation", masker="mask", **given)
    expected = xb.score("comprehensiveness", attributions=maps, masker="mask", **given)
    np.testing.assert_allclose(row["scores"], expected, atol=1e-6)
    # Reports show the words; another model in the same folder is another problem.
    from xaibench.store import Store

    stored = Store(run.store).load_examples(str(row["fingerprint"]))
    assert " ".join(stored.words[0]) == chosen[0]
    assert 'class="text"' in xb.report(run.store, tmp_path / "report.html").read_text(encoding="utf-8")
    classifier("bert", seed=5).save_pretrained(folder)
    again = xb.results(xb.run(document, store=tmp_path / "store").store)
    assert set(again["fingerprint"].dropna()) != set(cells["fingerprint"].dropna())
    for wrong, message in (({"path": str(tmp_path / "none.csv")}, "cannot be read"), ({"text": "body"}, "no column")):
        with pytest.raises(xb.XaibenchError, match=message):
            registry.get("dataset", "texts").function(**{"seed": 0, "path": str(file), "model": str(folder), **wrong})
    with pytest.raises(xb.UsageError, match="no folder"):
        registry.get("dataset", "texts").function(seed=0, path=str(file), model="nowhere")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_texts_of_a_file_are_taken_as_they_are_written(tmp_path: Any, kind: str) -> None:
    """Words such as null and NA are no missing numbers, and a year is a text."""
    import pandas as pd

    folder, file = tmp_path / "model", tmp_path / f"texts.{kind}"
    net_of("roberta").save_pretrained(folder)
    tokenizer_of("roberta").save_pretrained(folder)

    def read(texts: list[str], labels: list[Any]) -> Any:
        frame = pd.DataFrame({"text": texts, "label": labels})
        frame.to_csv(file, index=False) if kind == "csv" else frame.to_json(file, orient="records", lines=True)
        return registry.get("dataset", "texts").function(seed=0, path=str(file), model=str(folder), test_share=0.5)

    for texts in (["null", "NA", "nan", "None"], ["1984", "2001", "12", "7"]):
        for labels in ([0, 1, 2, 0], ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_0"]):
            data = read(texts * 3, labels * 3)
            assert len(data.train_inputs) + len(data.test_inputs) == 12
            assert sorted([*data.train_targets, *data.test_targets]) == [0] * 6 + [1] * 3 + [2] * 3
    with pytest.raises(xb.XaibenchError, match="hold an empty text, number 1"):
        read(["a film", "", "fine", "dull"], [0, 1, 2, 0])
    with pytest.raises(xb.XaibenchError, match="has no class"):
        read(["a film", "good", "fine", "dull"], [0, None, 2, 0])


@pytest.mark.parametrize(
    ("names", "labels", "classes"),
    [
        (["1", "2", "3"], [1, 2, 3], [0, 1, 2]),  # stars: 3 is no number of a class, so these are names
        (["1", "2", "3"], [0, 1, 2], [0, 1, 2]),
        (["1", "2", "3"], [1, 2, 2], None),
        (["0", "1", "2"], [1, 2, 0], [1, 2, 0]),
        (["True", "False", "None"], [True, False, True], [0, 1, 0]),
        (["None", "nan", "x"], ["None", "nan", "x"], [0, 1, 2]),
    ],
)
def test_labels_that_may_be_names_or_numbers(
    tmp_path: Any, names: list[str], labels: list[Any], classes: list[int] | None
) -> None:
    import json

    import pandas as pd

    folder, file = tmp_path / "model", tmp_path / "texts.csv"
    net_of("roberta").config.save_pretrained(folder)
    tokenizer_of("roberta").save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    (folder / "config.json").write_text(json.dumps(config))
    pd.DataFrame({"text": [f"film {i}" for i in range(12)], "label": labels * 4}).to_csv(file, index=False)
    given = {"seed": 0, "path": str(file), "model": str(folder), "test_share": 0.5}
    if classes is None:
        with pytest.raises(xb.XaibenchError, match="may be names or numbers of the model's classes, such as 1"):
            registry.get("dataset", "texts").function(**given)
        return
    data = registry.get("dataset", "texts").function(**given)
    assert sorted([*data.train_targets, *data.test_targets]) == sorted(classes * 4)
