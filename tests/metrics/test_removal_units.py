"""Removal curves of series by segments, sensors and steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import make_evaluation, make_inputs, make_view
from torch import Tensor, nn

from xaibench.core import registry
from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import TorchPredictor
from xaibench.core.scoring import score
from xaibench.metrics.engines.removal_units import default_length, removal_units
from xaibench.suite.references import ComponentRef

T, D, N = 12, 3, 4
X, MAPS = make_inputs((T, D), N), make_inputs((T, D), N, seed=5)
REMOVAL = [
    "pixel_flipping", "deletion", "insertion", "abpc", "comprehensiveness", "sufficiency", "road_morf", "road_lerf",
]  # fmt: skip


class Linear(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).cumsum(dim=1)[:, -1:]


def evaluation(module: nn.Module | None = None) -> Evaluation:
    predictor = TorchPredictor(module or Linear(), returns="value")
    view = make_view(predictor, X, targets=torch.zeros(N, dtype=torch.long), features="series", output="value")
    return make_evaluation(view, MAPS, kind="contribution")


def run(name: str, ev: Evaluation, **params: Any) -> np.ndarray:
    spec = registry.get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev, output="value").values.numpy()


@pytest.mark.parametrize("group", ["sensors", "steps", "segments"])
def test_the_curve_of_a_sum_falls_by_what_each_group_sums_to(group: str) -> None:
    axis = 1 if group == "sensors" else 2
    sums, order = X.sum(dim=axis).numpy(), MAPS.sum(dim=axis).numpy()
    if group == "segments":
        sums, order = (a.reshape(N, 3, 4).sum(axis=2) for a in (sums, order))
    falling = np.take_along_axis(sums, np.argsort(-order, axis=1), axis=1)
    total, g = sums.sum(axis=1, keepdims=True), sums.shape[1]
    curve = total - np.concatenate([np.zeros((N, 1)), falling.cumsum(axis=1)], axis=1)
    params = {"masker": "zero", "group": group, "steps": g, **({"patch": 4} if group == "segments" else {})}
    expected = np.trapezoid(curve, dx=1 / g, axis=1)
    np.testing.assert_allclose(run("pixel_flipping", evaluation(), **params), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run("deletion", evaluation(), **params), expected, rtol=1e-4, atol=1e-4)
    rising = np.trapezoid(total - np.cumsum(np.c_[np.zeros(N), falling[:, ::-1]], axis=1), dx=1 / g, axis=1)
    np.testing.assert_allclose(run("insertion", evaluation(), **params), rising, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run("abpc", evaluation(), **params), rising - expected, rtol=1e-3, atol=1e-3)


def test_shares_are_of_the_groups() -> None:
    first = X.sum(dim=1)[torch.arange(N), MAPS.sum(dim=1).argmax(dim=1)].numpy()
    params = {"masker": "zero", "group": "sensors", "shares": (0.3,)}
    np.testing.assert_allclose(run("comprehensiveness", evaluation(), **params), first, rtol=1e-4, atol=1e-5)
    rest = X.sum(dim=(1, 2)).numpy() - first
    np.testing.assert_allclose(run("sufficiency", evaluation(), **params), rest, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run("road_morf", evaluation(), **params), rest, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masker", ["interpolate", "carry_forward", "window_mean"])
@pytest.mark.parametrize("name", REMOVAL)
def test_segments_are_the_default_where_a_single_cell_comes_back_from_its_neighbours(name: str, masker: str) -> None:
    default = run(name, evaluation(), masker=masker)
    np.testing.assert_array_equal(default, run(name, evaluation(), masker=masker, group="segments", patch=2))
    assert not np.allclose(default, run(name, evaluation(), masker=masker, group="cells"))
    assert default_length(T) == 2
    assert default_length(150) == 9


@pytest.mark.parametrize("name", REMOVAL)
def test_elsewhere_single_cells_are_removed_as_ever(name: str) -> None:
    np.testing.assert_array_equal(
        run(name, evaluation(), masker="zero"), run(name, evaluation(), masker="zero", group="cells")
    )


def test_later_parameters_change_no_id_and_no_key_while_they_have_their_defaults() -> None:
    plain = ComponentRef.of("metric", "pixel_flipping", {})
    assert plain.keyed == '{"masker":"mean","steps":32}'
    assert ComponentRef.of("metric", "pixel_flipping", {"group": "cells"}).keyed != plain.keyed
    assert ComponentRef.of("explainer", "occlusion", {}).keyed == '{"masker":"zero","patch":null,"stride":null}'


def test_regions_go_by_the_same_groups() -> None:
    for name in ("region_perturbation", "selectivity"):
        params = {"masker": "zero", "group": "segments", "patch": 4, "steps": 3}
        wanted = run("pixel_flipping", evaluation(), **params)
        if name == "selectivity":
            np.testing.assert_allclose(run(name, evaluation(), **params), wanted, rtol=1e-4, atol=1e-5)
        assert not np.allclose(run(name, evaluation(), **params), run(name, evaluation(), masker="zero", patch=4))


def test_bad_units_are_one_sentence() -> None:
    image = make_evaluation(make_view(nn.Flatten(), make_inputs((1, 4, 4))), kind="contribution")
    with pytest.raises(UnsupportedError, match='group="steps" is about series'):
        removal_units(image, "zero", "steps", None)
    with pytest.raises(UsageError, match="patch is the length of segments, and single features are removed"):
        removal_units(evaluation(), "zero", None, 3)
    with pytest.raises(UsageError, match="patch is the length of a segment, and sensors have none"):
        removal_units(evaluation(), "zero", "sensors", 3)
