"""Groups of a series in explainers by removal, against closed forms of a linear model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import cnn, make_inputs, make_view, mlp
from helpers.explainer_cases import run
from torch import Tensor, nn

import xaibench as xb
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.features import FeatureLayout
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.series_groups import series_groups

T, D = 12, 3
X = make_inputs((T, D), 4)
WEIGHTS = make_inputs((T, D), 1, seed=9)[0]
LAYOUT = FeatureLayout("series", (T, D))


class Linear(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * WEIGHTS).flatten(1).sum(dim=1, keepdim=True)


def view_of(x: Tensor = X, module: nn.Module | None = None, **options: Any) -> ProblemView:
    predictor = TorchPredictor(module or Linear(), returns="value")
    targets = torch.zeros(len(x), dtype=torch.long)
    return make_view(predictor, x, targets=targets, features="series", output="value", **options)


def shared(group: str, length: int | None = None) -> Tensor:
    """What every group contributes to the linear model, shared equally by its cells."""
    labels = series_groups(LAYOUT, group, length)  # type: ignore[arg-type]
    found = torch.empty_like(X)
    for g in range(int(labels.max()) + 1):
        own = labels == g
        found[:, own] = ((X * WEIGHTS)[:, own].sum(dim=1) / own.sum()).unsqueeze(1).expand(-1, int(own.sum()))
    return found


GROUPS = [("segments", 5), ("segments", 12), ("sensors", None), ("steps", None)]


@pytest.mark.parametrize(("group", "length"), GROUPS)
@pytest.mark.parametrize("name", ["feature_ablation", "kernel_shap", "shapley_sampling"])
def test_a_linear_model_gives_every_group_its_contribution(name: str, group: str, length: int | None) -> None:
    found = run(name, view_of(), group=group, patch=length)
    torch.testing.assert_close(found, shared(group, length), rtol=1e-3, atol=1e-4)


def test_occlusion_by_windows_of_all_sensors_is_a_moving_mean_of_what_windows_lose() -> None:
    loss = (X * WEIGHTS).sum(dim=2)
    found = run("occlusion", view_of(), group="segments", patch=4, stride=2)
    starts = range(0, T - 4 + 1, 2)
    per_cell = torch.stack([loss[:, s : s + 4].sum(dim=1) / (4 * D) for s in starts], dim=1)
    covers = torch.stack([(torch.arange(T) >= s) & (torch.arange(T) < s + 4) for s in starts]).float()
    expected = (per_cell @ covers) / covers.sum(dim=0)
    torch.testing.assert_close(found, expected.unsqueeze(2).expand_as(X), rtol=1e-4, atol=1e-5)
    for group in ("steps", "sensors"):
        torch.testing.assert_close(run("occlusion", view_of(), group=group), shared(group), rtol=1e-4, atol=1e-5)


def test_lime_ranks_the_groups_of_a_linear_model_by_their_contribution() -> None:
    exact = shared("sensors")
    found = run("lime", view_of(), group="sensors", ridge=1e-9)
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-4)


def test_rise_by_groups_is_half_of_what_a_group_contributes() -> None:
    """The mean output given that a group is shown is a constant plus (1 - p) times what the group contributes."""
    each = shared("steps") * D
    found = run("rise", view_of(), group="steps", n_samples=8192)
    expected = 0.5 * (each - each.flatten(1).amin(dim=1).view(-1, 1, 1))
    assert (found - expected).abs().max() < 0.1 * expected.max()


class Middle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:2]


@pytest.mark.parametrize("name", ["feature_ablation", "occlusion", "shapley_sampling"])
def test_a_cell_at_the_mean_is_removed_too_where_the_masker_looks_at_neighbours(name: str) -> None:
    """The middle of (1, 0, 1) is the background's mean, and the line through its neighbours is not."""
    x = torch.tensor([[1.0, 0.0, 1.0]])
    view = view_of(x, Middle(), background=torch.zeros(5, 3))
    found = run(name, view, masker="interpolate", patch=1, **({"stride": 1} if name == "occlusion" else {}))
    if name == "shapley_sampling":
        # v(S): 0 with the middle shown, the mean of the shown ends without it, 0 if nothing is shown.
        torch.testing.assert_close(found[0], torch.tensor([1 / 3, -2 / 3, 1 / 3]))
    else:
        assert found[0, 1] == -1


def test_shapley_values_under_interpolation_add_up() -> None:
    view = view_of(background=make_inputs((T, D), 9, seed=4))
    found = run("shapley_sampling", view, masker="interpolate", group="segments", patch=3)
    total = view.scores(X) - view.scores(view.baseline("interpolate"))
    torch.testing.assert_close(found.flatten(1).sum(dim=1), total, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["feature_ablation", "occlusion", "lime", "kernel_shap", "shapley_sampling", "rise"])
def test_groups_of_series_are_refused_elsewhere_in_one_sentence(name: str) -> None:
    image = make_view(cnn(), make_inputs((1, 8, 8)))
    with pytest.raises(UnsupportedError, match='group="segments" is about series, and this is image data'):
        run(name, image, group="segments")
    with pytest.raises(UsageError, match="patch is the length of a segment, and sensors have none"):
        run(name, view_of(), group="sensors", patch=3)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UsageError, match="stride is the way from one window to the next"):
        run("occlusion", view_of(), group="steps", stride=1)
    with pytest.raises(UnsupportedError, match="cannot mix with the interpolate masker"):
        run("rise", view_of(), masker="interpolate")
    with pytest.raises(UsageError, match="patch is the length of segments"):
        run("rise", view_of(), patch=3)
    assert run("rise", view_of(), masker="interpolate", group="segments").shape == X.shape


def test_a_series_without_an_axis_of_sensors_is_one_sensor() -> None:
    x, module = X[:, :, 0], nn.Linear(T, 1)
    found = xb.explain("feature_ablation", model=module, inputs=x, features="series", group="sensors", returns="value")
    lost = (x @ module.weight.T).squeeze(1) / T
    np.testing.assert_allclose(found, lost.detach().unsqueeze(1).expand_as(x), rtol=1e-4, atol=1e-6)


def test_groups_are_the_same_with_sensors_first() -> None:
    turned = FeatureLayout("series", (D, T), sensors_first=True)
    for group, length in GROUPS:
        assert torch.equal(series_groups(turned, group, length).T, series_groups(LAYOUT, group, length))  # type: ignore[arg-type]


def test_windows_and_groups_are_those_of_captum() -> None:
    """Captum gives every cell the whole loss of its window or group; here the cells share it."""
    captum = pytest.importorskip("captum.attr")
    module = mlp((T, D), 1)
    view = view_of(X, module)
    ours = run("occlusion", view, group="segments", patch=4, stride=2)
    theirs = captum.Occlusion(module).attribute(X, sliding_window_shapes=(4, D), strides=(2, D), target=0)
    torch.testing.assert_close(ours * 4 * D, theirs.float(), rtol=1e-3, atol=1e-5)
    for group, length in GROUPS:
        labels = series_groups(LAYOUT, group, length)  # type: ignore[arg-type]
        theirs = captum.FeatureAblation(module).attribute(X, feature_mask=labels.unsqueeze(0), target=0)
        sizes = torch.bincount(labels.flatten())[labels]
        ours = run("feature_ablation", view, group=group, patch=length)
        torch.testing.assert_close(ours * sizes, theirs.float(), rtol=1e-3, atol=1e-5)
