"""Metrics of BAM against closed forms, and the faults that they must notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import make_evaluation, make_view
from torch import Tensor, nn

from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.data import Data, PairSource
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import Explainer, explain_function
from xaibench.core.pairs import Pair
from xaibench.core.predictor import Predictor, TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.metrics.maps.brightness import as_drawn, brightness

SHAPE, N = (1, 4, 4), 6
OBJECT = torch.zeros(N, 4, 4, dtype=torch.bool)
OBJECT[:, 1:3, 1:3] = True
INPUTS = torch.from_numpy(np.random.default_rng(0).random((N, *SHAPE), dtype=np.float32)) + 0.5
LABELS = torch.tensor([0, 1, 0, 1, 0, 1])


class Says(nn.Module):
    """Two given logits per sample, the first less and the second more by ``slope`` times the sum of the object."""

    def __init__(self, logits: Tensor, slope: float = 0.0) -> None:
        super().__init__()
        self.logits, self.slope = logits, slope

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.slope * (x[:, 0] * OBJECT[0]).sum(dim=(1, 2))
        return self.logits[: len(x)] + torch.stack([-seen, seen], dim=1)


def right(margin: float = 1.0, slope: float = 0.0) -> Predictor:
    """A model that says the labels."""
    return TorchPredictor(Says(margin * nn.functional.one_hot(LABELS, 2).float(), slope), batch_size=N)


def painted(shares: Mapping[int, Tensor | float]) -> Callable[[ProblemView, str], Tensor]:
    """Maps of which the object is as bright as said for a model, by its identity; corners hold 0 and 1."""

    def explain(view: ProblemView, stream: str) -> Tensor:
        maps = torch.zeros(len(view), 4, 4)
        maps[:, 0, :2] = 1
        value = shares.get(id(view.model), shares.get(int(view.inputs.sum()), 0.0))
        return torch.where(OBJECT[: len(view)], torch.as_tensor(value).view(-1, 1, 1), maps)

    return explain


def metric(name: str, ev: Evaluation, **params: Any) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def evaluation(
    model: Predictor,
    explain: Callable[[ProblemView, str], Tensor],
    pairs: Mapping[str, tuple[Pair, ...]],
    *,
    mask: Tensor | None = OBJECT,
    distractors: Tensor | None = OBJECT,
) -> Evaluation:
    view = replace(make_view(model, INPUTS, targets=LABELS), labels=LABELS)
    truth = Truth("model", mask, None, distractors)
    return make_evaluation(view, kind="saliency", function=explain, truth=truth, pairs=pairs)


def test_maps_are_drawn_as_numpy_would() -> None:
    maps = np.random.default_rng(1).standard_normal((5, 13, 17)).astype(np.float32)
    positive = maps.clip(min=0).reshape(5, -1)
    high = np.percentile(positive, 99, axis=1, keepdims=True)
    low = positive.min(axis=1, keepdims=True)
    expected = (positive.clip(max=high) - low) / (high - low)
    np.testing.assert_allclose(as_drawn(torch.from_numpy(maps)), expected, atol=1e-6)
    mask = np.random.default_rng(2).random((5, 221)) < 0.3
    mask[4] = False
    g = brightness(torch.from_numpy(maps), torch.from_numpy(mask))
    np.testing.assert_allclose(g[:4], [e[m].mean() for e, m in zip(expected[:4], mask[:4], strict=True)], atol=1e-6)
    assert torch.isnan(g[4])


def test_scales_and_negative_parts_do_not_matter_and_flat_maps_are_bright_or_black() -> None:
    maps = torch.rand(3, 6, 6) - 0.3
    torch.testing.assert_close(as_drawn(50 * maps), as_drawn(maps))
    torch.testing.assert_close(as_drawn(maps.clamp(min=0)), as_drawn(maps))
    flat = torch.stack([torch.zeros(6, 6), torch.full((6, 6), 0.3), -torch.ones(6, 6)])
    assert torch.equal(as_drawn(flat), torch.tensor([[0.0], [1], [0]]).expand(3, 36))
    lonely = torch.zeros(1, 20, 20)
    lonely[0, 3, 3] = 1
    assert as_drawn(lonely).sum() == 0
    assert as_drawn(torch.rand(2, 1)).shape == (2, 1)


def test_shares_are_taken_in_their_region() -> None:
    model, other = right(), ~OBJECT
    ev = evaluation(model, painted({id(model): torch.linspace(0, 1, N)}), {}, distractors=other)
    np.testing.assert_allclose(metric("object_share", ev), np.linspace(0, 1, N), atol=1e-6)
    np.testing.assert_allclose(metric("idle_object_share", ev), 2 / 12, atol=1e-6)


def test_contrast_is_the_difference_of_the_shares_where_both_models_are_right() -> None:
    own, other = right(), right()
    shares = torch.linspace(0.1, 0.6, N)
    pair = Pair(lambda: other, labels=LABELS)
    ev = evaluation(own, painted({id(own): 0.8, id(other): shares}), {"model_pair.contrast": (pair,)})
    np.testing.assert_allclose(metric("model_contrast", ev), 0.8 - shares, atol=1e-6)
    np.testing.assert_allclose(metric("model_contrast", ev, relative=True), (0.8 - shares) / (0.8 + shares), atol=1e-6)

    elsewhere = replace(pair, labels=torch.tensor([0, 0, 0, 1, 1, 1]))
    values = metric("model_contrast", replace(ev, pairs={"model_pair.contrast": (elsewhere,)}))
    assert torch.isnan(values).tolist() == [False, True, False, False, True, False]
    own_wrong = replace(ev, labels=torch.tensor([1, 1, 0, 1, 0, 0]))
    assert torch.isnan(metric("model_contrast", own_wrong)).tolist() == [True, False, False, False, False, True]
    of_another_class = replace(ev, targets=torch.zeros(N, dtype=torch.int64))
    assert torch.isnan(metric("model_contrast", of_another_class)).tolist() == [False, True] * 3
    with pytest.raises(UnsupportedError, match="needs the labels of the other model"):
        metric("model_contrast", replace(ev, pairs={"model_pair.contrast": (Pair(lambda: other),)}))


def test_each_model_is_explained_for_what_it_says() -> None:
    own = right()
    swapped = TorchPredictor(Says(nn.functional.one_hot(1 - LABELS, 2).float()), batch_size=N)
    asked = {}

    def explain(view: ProblemView, stream: str) -> Tensor:
        asked[id(view.model)] = view.targets
        return torch.rand(N, 4, 4)

    pair = Pair(lambda: swapped, labels=1 - LABELS)
    values = metric("model_contrast", evaluation(own, explain, {"model_pair.contrast": (pair,)}))
    assert torch.isfinite(values).all()
    assert torch.equal(asked[id(own)], LABELS)
    assert torch.equal(asked[id(swapped)], 1 - LABELS)


def control(name: str, view: ProblemView, pairs: Mapping[str, tuple[Pair, ...]], truth: Truth) -> Evaluation:
    """The evaluation of a registered explainer as runs build it; the truth is shown to who declares the need."""
    spec = get("explainer", name)
    assert isinstance(spec, ExplainerSpec)
    shown = replace(view, truth=replace(truth, distractors=None) if spec.needs & {"truth"} else None)
    explainer = Explainer(explain_function(spec, spec.bind({})), shown, f"explain/{name}")
    return Evaluation.of(view, attributions=explainer(), kind="saliency", truth=truth, explainer=explainer, pairs=pairs)


def test_the_oracle_knows_which_model_and_which_input_it_explains_and_placebos_do_not() -> None:
    own, other = right(), right()
    view = replace(make_view(own, INPUTS, targets=LABELS), labels=LABELS)
    scene, whole = Truth("model", ~OBJECT), Truth("model", torch.ones_like(OBJECT))
    contrast = {"model_pair.contrast": (Pair(lambda: other, labels=LABELS, truth=scene),)}
    about_object = Truth("model", OBJECT, None, None)
    for name, expected in (("oracle", 1.0), ("random", 0), ("constant", 0), ("input_edges", 0)):
        ev = control(name, view, contrast, about_object)
        assert metric("model_contrast", ev).tolist() == [expected] * N
    without = {"input_pair.without": (Pair(inputs=1.5 * INPUTS, truth=whole),)}
    about_scene = Truth("model", ~OBJECT, None, OBJECT)
    for name, share in (("oracle", 1), ("constant", 0.5)):
        assert metric("input_dependence", control(name, view, without, about_scene)).tolist() == [share] * N
    for untold in (contrast, without):
        pairs = {need: (replace(pair, truth=None),) for need, (pair,) in untold.items()}
        name = "model_contrast" if untold is contrast else "input_dependence"
        with pytest.raises(UnsupportedError, match="is given the truth, and none is known"):
            metric(name, control("oracle", view, pairs, replace(about_scene, mask=OBJECT)))


def test_dependence_counts_regions_that_darken_and_half_of_the_ties() -> None:
    model = right()
    pair = Pair(inputs=INPUTS + 1)
    before, after = torch.tensor([0.2, 0.5, 0.7, 0.2, 0.2, 0.5]), torch.tensor([0.1, 0.5, 0.8, 0.1, 0.3, 0.4])
    shares = {int(INPUTS.sum()): after, int(pair.inputs.sum()): before}  # type: ignore[union-attr]
    ev = evaluation(model, painted(shares), {"input_pair.without": (pair,)}, mask=None)
    assert metric("input_dependence", ev).tolist() == [1, 0.5, 0, 1, 0, 1]
    wrong = replace(ev, pairs={"input_pair.without": (replace(pair, labels=LABELS.flip(0)),)})
    assert torch.isnan(metric("input_dependence", wrong)).all()

    # The object is darker in the samples than without: it raises logit 0 and lowers logit 1.
    helped = evaluation(right(9.0, slope=0.1), painted(shares), {"input_pair.without": (pair,)}, mask=None)
    raises = LABELS == 0
    expected = torch.where(raises, 1 - metric("input_dependence", helped), metric("input_dependence", helped))
    assert torch.equal(metric("input_dependence_sign", helped), expected)
    assert expected.tolist() == [0, 0.5, 1, 1, 1, 1]
    assert torch.isnan(metric("input_dependence_sign", ev)).all()


def test_independence_is_a_relative_change_below_the_tolerance_above_the_floor() -> None:
    model = right()
    changed = torch.tensor([0.5, 0.52, 0.56, 0.0005, 0.9])
    clean = torch.tensor([0.5, 0.5, 0.5, 0.0005, 0.8, 0.5])
    pair = Pair(inputs=INPUTS[:5] + 1)
    shares = {int(INPUTS.sum()): clean, int(pair.inputs.sum()): changed}  # type: ignore[union-attr]
    ev = evaluation(model, painted(shares), {"input_pair.patched": (pair,)}, mask=None)
    nan = float("nan")
    for tolerance, expected in ((0.1, [1, 1, 0, nan, 0, nan]), (0.2, [1, 1, 1, nan, 1, nan])):
        np.testing.assert_array_equal(metric("input_independence", ev, tolerance=tolerance), expected)
    np.testing.assert_array_equal(metric("input_independence", ev, floor=0), [1, 1, 0, 1, 0, nan])
    moved = TorchPredictor(Says(torch.tensor([[0.0, 5.0]]).expand(N, 2), slope=-0.4), batch_size=N)
    noticed = evaluation(moved, painted(shares), {"input_pair.patched": (pair,)}, mask=None)
    assert (moved.predict(INPUTS).argmax(1) != moved.predict(INPUTS + 1).argmax(1)).all()
    assert torch.isnan(metric("input_independence", noticed)).all()


def series(shares: list[float], levels: list[float | None], **given: Any) -> Evaluation:
    """The problem's own model first, then the others."""
    models = [right() for _ in shares]
    pairs = [Pair(level=levels[0])] if levels[0] is not None else []
    pairs += [Pair(lambda m=m: m, level=level, **given) for m, level in zip(models[1:], levels[1:], strict=True)]  # type: ignore[misc]
    explain = painted({id(m): share for m, share in zip(models, shares, strict=True)})
    return evaluation(models[0], explain, {"model_pair.series": tuple(pairs)})


def test_commonality_is_a_rank_correlation_over_models() -> None:
    falling = series([0.9, 0.6, 0.5, 0.1], [0.1, 0.4, 0.7, 1.0])
    assert metric("commonality_correlation", falling).tolist() == [1]
    np.testing.assert_allclose(metric("commonality_contrast", falling), 0.8, atol=1e-6)
    mixed = series([0.6, 0.9, 0.5, 0.1], [0.1, 0.4, 0.7, 1.0])
    assert metric("commonality_correlation", mixed).item() == pytest.approx(0.8)
    shuffled = series([0.5, 0.1, 0.9, 0.6], [0.7, 1.0, 0.1, 0.4])
    assert metric("commonality_correlation", shuffled).tolist() == [1]
    np.testing.assert_allclose(metric("commonality_contrast", shuffled), 0.8, atol=1e-6)
    without_own = series([0.0, 0.6, 0.5, 0.1], [None, 0.4, 0.7, 1.0])
    assert metric("commonality_correlation", without_own).tolist() == [1]
    assert torch.isnan(metric("commonality_correlation", series([0.4] * 4, [0.1, 0.4, 0.7, 1.0]))).all()
    assert torch.isnan(metric("commonality_correlation", series([0.9, 0.1], [0.1, 1.0]))).all()


def test_commonality_averages_over_what_all_models_get_right() -> None:
    wrong_first = LABELS.clone()
    wrong_first[0] = 1 - wrong_first[0]
    ev = series([0.9, 0.6, 0.1], [0.1, 0.4, 1.0], labels=wrong_first)
    assert torch.isnan(metric("commonality_contrast", ev)).tolist() == [True] + [False] * 5
    maps = ev.attributions.clone()
    maps[0] = 0
    maps[0, 3, 3] = 1
    # Only the sample that others get wrong is black now: the mean of the own model must not fall.
    dark = replace(ev, attributions=maps)
    assert metric("commonality_correlation", dark).tolist() == [1]
    nothing = series([0.9, 0.6, 0.1], [0.1, 0.4, 1.0], labels=1 - LABELS)
    assert torch.isnan(metric("commonality_correlation", nothing)).all()


def test_levels_are_never_guessed() -> None:
    ev = series([0.9, 0.6, 0.1], [0.1, 0.4, 1.0])
    pairs = ev.pairs["model_pair.series"]
    unknown = replace(ev, pairs={"model_pair.series": (*pairs[:2], replace(pairs[2], level=None))})
    with pytest.raises(UnsupportedError, match="has no level"):
        metric("commonality_correlation", replace(unknown, cache=type(ev.cache)()))
    same = replace(ev, pairs={"model_pair.series": tuple(replace(p, level=0.5) for p in pairs)})
    with pytest.raises(UnsupportedError, match="all have the same level"):
        metric("commonality_contrast", replace(same, cache=type(ev.cache)()))


def test_what_is_true_of_a_pair_is_part_of_the_fingerprint() -> None:
    def data(**given: Any) -> Data:
        x, y = INPUTS.numpy(), LABELS.numpy()
        return Data("image", x, y, x, y, pairs=(PairSource("model_pair.contrast", "other", **given),))

    plain, told = data(), data(truth=OBJECT.numpy())
    assert plain.fingerprint == data().fingerprint
    assert len({plain.fingerprint, told.fingerprint, data(truth=~OBJECT.numpy()).fingerprint}) == 3
