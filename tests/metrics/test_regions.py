"""Regions, superpixels and ROAD against plain loops and closed forms on linear models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, SERIES, cnn, linear, make_evaluation, make_inputs, make_view
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.masking.imputation import linear_imputation
from xaibench.core.predictor import CallablePredictor
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.metrics.engines.removal import removal_curve
from xaibench.metrics.faithfulness.region_curves import Groups, group_curve
from xaibench.metrics.maps.segments import patches, superpixels


def spec_of(name: str) -> MetricSpec:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return spec


def run(name: str, ev: Evaluation, **params: object) -> Tensor:
    spec = spec_of(name)
    return score(spec, spec.bind(params), ev).values


def plain(ev: Evaluation, labels: Tensor, row: int, masker: str, *, mean: bool = False) -> list[float]:
    """Probability of the target while the groups of one sample go, one after the other, by a plain loop."""
    a, mine = ev.attributions[row], labels[row]
    groups = range(int(mine.max()) + 1)
    value = {g: float(a[mine == g].mean() if mean else a[mine == g].sum()) for g in groups}
    x, fill = ev.inputs[row].clone(), ev.baseline(masker)[row]
    found = []
    for group in [None, *sorted(groups, key=lambda g: -value[g])]:
        if group is not None:
            x = torch.where(mine == group, fill, x)
        found.append(float(ev.scores(x.unsqueeze(0), torch.tensor([row]), output="probability")))
    return found


def evaluation(shape: tuple[int, ...], n: int = 4) -> Evaluation:
    module = cnn(shape) if shape in (IMAGE, RGB) else linear(shape)
    view = make_view(module, 3 * make_inputs(shape, n), background=make_inputs(shape, 9, seed=1))
    return make_evaluation(view, kind="contribution")


@pytest.mark.parametrize("shape", [IMAGE, RGB, SERIES])
@pytest.mark.parametrize("masker", ["zero", "mean", "uniform"])
def test_patches_go_one_by_one(shape: tuple[int, ...], masker: str) -> None:
    ev = evaluation(shape)
    labels = patches(ev.layout, 3).expand(len(ev), *ev.layout.feature_shape)
    expected = torch.tensor([plain(ev, labels, row, masker) for row in range(len(ev))])
    aopc = run("region_perturbation", ev, patch=3, masker=masker)
    np.testing.assert_allclose(aopc, expected[:, :1].sub(expected).mean(dim=1), rtol=1e-4, atol=1e-5)
    height = torch.trapezoid(expected, dim=1) / (expected.shape[1] - 1)
    np.testing.assert_allclose(run("selectivity", ev, patch=3, masker=masker), height, rtol=1e-4, atol=1e-5)


def test_patches_of_one_pixel_are_pixel_flipping() -> None:
    ev = evaluation(IMAGE)
    whole = run("pixel_flipping", ev, steps=64, masker="zero")
    np.testing.assert_allclose(run("selectivity", ev, patch=1, masker="zero"), whole, rtol=1e-5, atol=1e-6)


def test_patches_are_a_seventh_of_the_side_unless_said_otherwise() -> None:
    ev = evaluation((1, 14, 16))
    assert torch.equal(run("selectivity", ev), run("selectivity", ev, patch=2))


def test_regions_share_one_curve() -> None:
    ev = evaluation(IMAGE)
    run("region_perturbation", ev, masker="zero")
    before = ev.model.n_evaluations
    run("selectivity", ev, masker="zero")
    assert ev.model.n_evaluations == before


@pytest.mark.parametrize("shape", [IMAGE, RGB])
def test_superpixels_go_one_by_one_however_many_a_sample_has(shape: tuple[int, ...]) -> None:
    ev = evaluation(shape)
    labels = superpixels(ev, n_segments=9, compactness=0.1)
    counts = labels.flatten(1).amax(dim=1) + 1
    assert len(counts.unique()) > 1
    for row, count in enumerate(counts.tolist()):
        own = make_evaluation(ev_view(ev, row), ev.attributions[[row]], kind="contribution")
        expected = torch.tensor(plain(ev, labels, row, "mean", mean=True))
        relative = 1 - torch.trapezoid(expected) / count / expected[0]
        np.testing.assert_allclose(
            run("irof", own, n_segments=9, steps=count), relative.unsqueeze(0), rtol=1e-4, atol=1e-5
        )
    together = run("irof", ev, n_segments=9, steps=12)
    alone = run(
        "irof", make_evaluation(ev_view(ev, 1), ev.attributions[[1]], kind="contribution"), n_segments=9, steps=12
    )
    np.testing.assert_allclose(alone, together[[1]], rtol=1e-5, atol=1e-6)


def ev_view(ev: Evaluation, row: int):
    view = make_view(ev.model, ev.inputs, targets=ev.targets, background=ev.background)
    return view.take(torch.tensor([row]))


def test_the_least_relevant_regions_go_first_in_the_reverse_order() -> None:
    ev = evaluation(IMAGE)
    labels = superpixels(ev, n_segments=9)
    forward = group_curve(ev, "morf", "zero", Groups("s", labels), 5)
    backward = group_curve(
        ev.with_attributions(-ev.attributions, "contribution"), "lerf", "zero", Groups("s", labels), 5
    )
    np.testing.assert_allclose(backward.values, forward.values, rtol=1e-5, atol=1e-6)


def test_irof_divides_by_no_probability_of_a_class_that_is_not_predicted() -> None:
    view = make_view(cnn(IMAGE), 3 * make_inputs(IMAGE, 4))
    targets = view.targets.clone()
    targets[1] = (targets[1] + 1) % 3
    asked = make_view(view.model, view.inputs, targets=targets)
    assert torch.isnan(run("irof", make_evaluation(asked, kind="contribution"))).tolist() == [False, True, False, False]


def test_irof_of_the_truth_on_a_linear_model_beats_noise() -> None:
    view = make_view(linear(IMAGE), make_inputs(IMAGE, 30))
    weights = view.model.module[1].weight.detach()[view.targets].view(-1, 8, 8)  # type: ignore[union-attr,index]
    exact = weights * view.layout.reduce(view.inputs - view.baseline("mean"))
    noise = view.draws("noise").normal((8, 8))
    truth, chance = (run("irof", make_evaluation(view, a, kind="contribution"), n_segments=16) for a in (exact, noise))
    assert float((truth - chance).mean()) > 4 * float((truth - chance).std()) / 30**0.5


@pytest.mark.parametrize("shape", [IMAGE, RGB])
@pytest.mark.parametrize(("name", "sign"), [("road_morf", -1), ("road_lerf", 1)])
def test_road_imputes_and_adds_noise(name: str, sign: int, shape: tuple[int, ...]) -> None:
    ev = evaluation(shape, n=3)
    shares = (0.1, 0.5, 0.9)
    order = (sign * ev.attributions).flatten(1).argsort(dim=1)
    expected = []
    for share in shares:
        keep = torch.ones(3, 64, dtype=torch.bool)
        keep.scatter_(1, order[:, : round(share * 64)], False)
        keep = keep.view(3, 8, 8)
        clean = linear_imputation(ev.inputs, keep, ev.layout)
        masked = ev.masker("noisy_linear")(ev.inputs, keep)
        assert float((masked - clean).abs().max()) < 0.06
        assert float((masked - clean)[ev.layout.expand(~keep).expand_as(clean)].std()) == pytest.approx(0.01, rel=0.2)
        expected.append(ev.scores(masked, output="probability"))
    np.testing.assert_allclose(run(name, ev, shares=shares), torch.stack(expected).mean(dim=0), rtol=1e-3, atol=1e-4)


def test_road_accuracy_counts_predictions_that_stay() -> None:
    ev = evaluation(IMAGE, n=12)
    hits = spec_of("road_morf").curve(ev, shares=(0.1, 0.5, 0.9), masker="zero", measure="accuracy")  # type: ignore[misc]
    steps = removal_curve(replace(ev, output="margin"), "morf", "zero", 64)[:, [6, 32, 58]]
    assert torch.equal(hits, (steps > 0).float())
    np.testing.assert_allclose(
        run("road_morf", ev, shares=(0.1, 0.5, 0.9), masker="zero", measure="accuracy"), hits.mean(dim=1)
    )


def test_road_accuracy_needs_classes() -> None:
    values = CallablePredictor(lambda x: x.sum(axis=(1, 2, 3)), "value")
    view = make_view(values, make_inputs(IMAGE, 3), targets=torch.zeros(3, dtype=torch.int64))
    ev = make_evaluation(view, view.inputs[:, 0], kind="contribution")
    with pytest.raises(UnsupportedError, match="returns values"):
        run("road_morf", ev, measure="accuracy")
    assert bool(torch.isfinite(run("road_morf", ev)).all())


@pytest.mark.parametrize("name", ["region_perturbation", "selectivity", "irof", "road_morf", "road_lerf"])
def test_tables_have_no_regions(name: str) -> None:
    ev = make_evaluation(make_view(linear((6,)), make_inputs((6,), 3)), kind="contribution")
    with pytest.raises(UnsupportedError):
        run(name, ev)
