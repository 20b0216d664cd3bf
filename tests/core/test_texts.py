"""Texts: a text alone is what it is among others, and nothing that is not there counts."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from helpers.text_cases import (
    BARE,
    CLS,
    MASK,
    PAD,
    SEP,
    TOKENS,
    VOCABULARY,
    IdTransformer,
    Transformer,
    table,
    texts,
    transformer,
    words,
)

import xaibench as xb
from xaibench.core import registry
from xaibench.core.declaration_index import built_in

TEXTS = texts()
BACKGROUND = texts(9, seed=5)
FEW = {"n_samples": 24}
EXPLAINERS: list[tuple[str, dict[str, Any]]] = [
    ("gradient", {}),
    ("input_x_gradient", {}),
    ("integrated_gradients", {"baseline": "mask"}),
    ("gradient_shap", {"n_samples": 8}),
    ("smoothgrad", {"n_samples": 6}),
    ("feature_ablation", {"masker": "delete"}),
    ("occlusion", {"masker": "unigram"}),
    ("kernel_shap", {**FEW, "masker": "mask"}),
    ("lime", {**FEW, "masker": "delete"}),
    ("shapley_sampling", {"masker": "pad"}),
    ("rise", {**FEW, "masker": "mean"}),
    ("random", {}),
    ("random_smooth", {}),
    ("input_edges", {}),
    ("other_sample", {}),
]
METRICS: list[tuple[str, dict[str, Any]]] = [
    ("comprehensiveness", {"masker": "delete"}),
    ("pixel_flipping", {"masker": "delete"}),
    ("sufficiency", {"masker": "mask"}),
    ("deletion", {"masker": "unigram"}),
    ("faithfulness_correlation", {"masker": "mask"}),
    ("infidelity", {}),
    ("sparseness", {}),
    ("max_sensitivity", {"n_samples": 4}),
    ("mprt", {}),
    ("random_logit", {}),
]


def explain(name: str, inputs: Any, model: Any = None, **params: Any) -> np.ndarray:
    return xb.explain(name, model=model or transformer(), inputs=inputs, background=BACKGROUND, **params)


@pytest.mark.parametrize(("name", "params"), EXPLAINERS, ids=[f"{n}-{p.get('masker', '')}" for n, p in EXPLAINERS])
def test_a_text_has_the_explanation_that_it_has_alone(name: str, params: dict[str, Any]) -> None:
    together = explain(name, TEXTS, **params)
    assert together.shape == (12, 14)
    for row, text in enumerate(TEXTS):
        alone = explain(name, [text], **params)[0]
        assert np.isfinite(alone).all()
        np.testing.assert_allclose(together[row, : len(text)], alone, rtol=1e-6, atol=1e-6)
        assert np.isnan(together[row, len(text) :]).all()


@pytest.mark.parametrize(("name", "params"), METRICS, ids=[n for n, _ in METRICS])
def test_a_text_has_the_score_that_it_has_alone(name: str, params: dict[str, Any]) -> None:
    model = transformer()
    given = {"model": model, "background": BACKGROUND, "explain": "input_x_gradient", **params}
    together = xb.score(name, inputs=TEXTS, **given)
    alone = [xb.score(name, inputs=[text], **given)[0] for text in TEXTS]
    assert np.isfinite(together).any()
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-6)


def test_scores_against_a_truth_do_not_count_what_is_behind_the_end() -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random(len(text)) < 0.5 for text in TEXTS]
    for mask in masks:
        mask[0], mask[-1] = True, False
    maps = [rng.normal(size=len(text)) for text in TEXTS]
    for name in ("relevance_rank", "auprc", "relevance_mass", "pointing_game"):
        together = xb.score(name, model=transformer(), inputs=TEXTS, attributions=maps, truth=masks)
        alone = [
            xb.score(name, model=transformer(), inputs=[t], attributions=[a], truth=[m])[0]
            for t, a, m in zip(TEXTS, maps, masks, strict=True)
        ]
        np.testing.assert_allclose(together, alone, atol=1e-6)


def test_what_is_behind_the_end_of_attributions_is_ignored() -> None:
    model = transformer()
    maps = xb.explain("input_x_gradient", model=model, inputs=TEXTS)
    given = {"model": model, "inputs": TEXTS}
    filled = np.where(np.isnan(maps), 1e6, maps)
    as_list = [row[: len(text)] for row, text in zip(maps, TEXTS, strict=True)]
    scores = [xb.score("pixel_flipping", attributions=a, **given) for a in (maps, filled, as_list)]
    assert np.isfinite(scores[0]).all()
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])
    curves = xb.curve("pixel_flipping", attributions=maps, steps=5, **given)
    for row in (0, 7):
        one = xb.curve("pixel_flipping", attributions=[as_list[row]], steps=5, model=model, inputs=[TEXTS[row]])
        np.testing.assert_allclose(curves[row], one[0], atol=1e-6)


def test_rows_of_any_padding_are_the_same_texts() -> None:
    for width in (14, 20):
        rows = np.full((12, width), -1)
        for row, text in zip(rows, TEXTS, strict=True):
            row[: len(text)] = text
        found = explain("kernel_shap", rows, masker="mask", n_samples=24)
        np.testing.assert_array_equal(found[:, :14], explain("kernel_shap", TEXTS, masker="mask", n_samples=24))


@pytest.mark.slow
def test_batches_of_any_size_give_the_same() -> None:
    for name, params in (("lime", {"masker": "delete"}), ("integrated_gradients", {"baseline": "pad"})):
        found = [explain(name, TEXTS, transformer(batch_size=size), **params) for size in (1, 7, 64)]
        np.testing.assert_allclose(found[1], found[0], atol=1e-5)
        np.testing.assert_allclose(found[2], found[0], atol=1e-5)


def direct(text: list[int], prefix: tuple[int, ...] = (CLS,), suffix: tuple[int, ...] = (SEP,)) -> torch.Tensor:
    """The model called by hand."""
    ids = torch.tensor([[*prefix, *text, *suffix]])
    with torch.no_grad():
        found: torch.Tensor = Transformer()(table()[ids], torch.ones_like(ids))[0]
    return found


@pytest.mark.parametrize("masker", ["delete", "mask", "pad", "unk"])
def test_ablation_is_what_the_model_says_by_hand(masker: str) -> None:
    found = explain("feature_ablation", TEXTS, masker=masker, targets=[1] * 12, output="logit")
    symbol = {"mask": MASK, "pad": PAD, "unk": 2}.get(masker)
    for row in (0, 3, 9):
        text = TEXTS[row]
        for place in range(len(text)):
            less = text[:place] + ([] if symbol is None else [symbol]) + text[place + 1 :]
            expected = direct(text)[1] - direct(less)[1]
            assert found[row, place] == pytest.approx(float(expected), abs=1e-5)


def test_integrated_gradients_add_up_to_the_difference_from_the_baseline() -> None:
    found = explain("integrated_gradients", TEXTS, baseline="mask", steps=64, targets=[0] * 12, output="logit")
    for row, text in enumerate(TEXTS):
        gap = direct(text)[0] - direct([MASK] * len(text))[0]
        assert np.nansum(found[row]) == pytest.approx(float(gap), abs=2e-3)


def test_deleting_everything_leaves_what_stands_around() -> None:
    curve = xb.curve(
        "pixel_flipping", model=transformer(), inputs=[TEXTS[0]], attributions=[np.arange(3.0)], steps=3,
        masker="delete", targets=[1], output="logit",
    )  # fmt: skip
    assert curve[0, -1] == pytest.approx(float(direct([])[1]), abs=1e-5)
    bare = transformer(BARE)
    curve = xb.curve(
        "pixel_flipping", model=bare, inputs=[TEXTS[0]], attributions=[np.arange(3.0)], steps=3, masker="delete",
        targets=[1], output="logit",
    )  # fmt: skip
    assert curve[0, -1] == pytest.approx(float(direct([PAD], (), ())[1]), abs=1e-5)


def test_words_lose_all_their_pieces_together() -> None:
    rows = words()
    for masker in ("delete", "mask", "mask_word"):
        given = {"masker": masker, "targets": [1] * 6, "output": "logit"}
        found = xb.explain("feature_ablation", model=transformer(), inputs=rows, features="tokens", **given)
        for row in range(6):
            whole = [[i for i in word if i >= 0] for word in rows[row]]
            for place, word in enumerate(whole):
                if not word:
                    assert np.isnan(found[row, place])
                    continue
                instead = {"delete": [], "mask": [MASK] * len(word), "mask_word": [MASK]}[masker]
                less = [*whole[:place], instead, *whole[place + 1 :]]
                gap = direct([*chain(*whole)])[1] - direct([*chain(*less)])[1]
                assert found[row, place] == pytest.approx(float(gap), abs=1e-5)


def test_words_alone_and_together() -> None:
    rows, given = words(), {"background": words(5, seed=3), "features": "tokens"}
    for name, params in (
        ("gradient", {}), ("smoothgrad", {"n_samples": 5}), ("lime", {"masker": "unigram", "n_samples": 20}),
        ("kernel_shap", {"masker": "mean", "n_samples": 20}), ("gradient_shap", {"n_samples": 5}),
    ):  # fmt: skip
        together = xb.explain(name, model=transformer(), inputs=rows, **given, **params)
        for row in range(6):
            n = int((rows[row, :, 0] >= 0).sum())
            alone = xb.explain(name, model=transformer(), inputs=rows[row : row + 1, :n], **given, **params)
            np.testing.assert_allclose(together[row, :n], alone[0], rtol=1e-6, atol=1e-6)


def test_a_model_of_ids_is_differentiated_in_its_own_embedding() -> None:
    net, given = IdTransformer(), {"features": "tokens", "special_tokens": BARE}
    behind = xb.TokenPredictor(Transformer(mean=True), table(), BARE)
    for name, params in (
        ("gradient", {}),
        ("integrated_gradients", {"baseline": "mask"}),
        ("occlusion", {"masker": "mask"}),
    ):
        own = xb.explain(name, model=net, inputs=TEXTS, **given, **params)
        np.testing.assert_allclose(own, xb.explain(name, model=behind, inputs=TEXTS, **params), atol=1e-5)
    # Padding is told by its ids: a pad is an absence for this model, and not a strange word.
    found = xb.explain(
        "feature_ablation", model=net, inputs=TEXTS, masker="pad", targets=[0] * 12, output="logit", **given
    )
    for place in range(len(TEXTS[4])):
        ids = torch.tensor([TEXTS[4]])
        less = ids.clone()
        less[0, place] = PAD
        with torch.no_grad():
            gap = net(ids)[0, 0] - net(less)[0, 0]
        assert found[4, place] == pytest.approx(float(gap), abs=1e-5)


def test_tokens_that_stand_around_are_never_features() -> None:
    found = explain("feature_ablation", [TEXTS[0]], masker="mask")
    assert found.shape == (1, 3)
    assert TOKENS.prefix == (CLS,)
    assert TOKENS.suffix == (SEP,)


def cases() -> dict[str, dict[str, Any]]:
    """The same texts for a model over embeddings, a module over ids and a callable."""
    rows = table().numpy()
    common = {"inputs": TEXTS[:3], "background": BACKGROUND}
    ids = {**common, "features": "tokens", "special_tokens": BARE}
    return {
        "embeddings": {"model": transformer(BARE), **common},
        "ids": {"model": IdTransformer(), **ids},
        "callable": {"model": lambda ids: rows[ids].sum(axis=1)[:, :3], "returns": "logit", **ids},
    }


SMALL = {"n_samples": 4, "n_subsets": 5, "steps": 4, "epsilon": 0.02}


@pytest.mark.slow
@pytest.mark.parametrize("model", [pytest.param("embeddings", marks=pytest.mark.exhaustive), "ids", "callable"])
@pytest.mark.parametrize("kind", ["explainer", "metric"])
def test_every_component_takes_texts_or_says_in_a_sentence_why_not(model: str, kind: str) -> None:
    given, truth = cases()[model], [np.arange(len(text)) % 2 == 0 for text in TEXTS[:3]]
    done = set()
    own = {spec.name for spec in filter(built_in, registry.components(kind))}  # type: ignore[arg-type]
    for row in xb.components(kind).itertuples():
        if row.name not in own or {"program", "case"} & {*row.needs}:
            continue
        try:
            if kind == "explainer":
                found = xb.explain(row.name, truth=truth, **given)
                assert all(np.isfinite(m[: len(t)]).all() for m, t in zip(found, TEXTS, strict=False)), row.name
            else:
                small = {name: value for name, value in SMALL.items() if name in row.parameters}
                beside = {"truth": truth, "distractors": [~t for t in truth], "labels": [0, 0, 0]}
                explain = "feature_ablation" if model == "callable" else "input_x_gradient"
                found = xb.score(row.name, explain=explain, **beside, **given, **small)
                assert len(found) == 3
        except xb.UnsupportedError as error:
            assert len(error.message) > 20  # noqa: PT017
            continue
        done.add(row.name)
    expected = {
        "explainer": {
            "feature_ablation",
            "occlusion",
            "lime",
            "kernel_shap",
            "shapley_sampling",
            "rise",
            "other_sample",
        },
        "metric": {"pixel_flipping", "comprehensiveness", "sufficiency", "faithfulness_correlation", "relevance_rank"},
    }[kind]
    gradients = (
        {"gradient", "integrated_gradients", "smoothgrad"} if kind == "explainer" else {"max_sensitivity", "mprt"}
    )
    assert expected | (gradients if model != "callable" else set()) <= done


def test_pieces_close_up_and_symbols_are_told_by_all_their_numbers() -> None:
    """Against a loop over rows; a piece that shares only its first number with a symbol keeps its id."""
    seen: list[list[int]] = []

    class Recorder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(VOCABULARY, 4)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            seen.extend(ids.tolist())
            found: torch.Tensor = self.words(ids).mean(dim=1)
            return found

    net = Recorder().eval()
    model = xb.TokenPredictor(net, "words", TOKENS, batch_size=64)
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(5, VOCABULARY, size=(9, 6)))
    inputs, expected = model.embedded(ids), []
    for row in range(9):
        kept = []
        for place, what in enumerate(rng.integers(4, size=6).tolist()):
            if what == 0:
                inputs[row, place, int(rng.integers(4))] = torch.nan
                continue
            if what == 1:
                inputs[row, place] = model.symbols["mask"]
            elif what == 2:
                inputs[row, place, 0] = model.symbols["mask"][0]
            kept.append((MASK if what == 1 else int(ids[row, place]), inputs[row, place]))
        expected.append(kept)
    seen.clear()
    out = model.predict(inputs, {"ids": ids})
    wanted = [[CLS, *(i for i, _ in kept), SEP] for kept in expected]
    assert sorted(seen) == sorted(wanted)
    around = [model.embedded(torch.tensor([i]))[0] for i in (CLS, SEP)]
    for row, kept in enumerate(expected):
        alone = torch.stack([around[0], *(numbers for _, numbers in kept), around[1]]).mean(dim=0)
        torch.testing.assert_close(out[row], alone, rtol=1e-6, atol=1e-6)
