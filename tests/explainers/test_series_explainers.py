"""Explainers of series against closed forms of linear models, and against torch's own networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import make_inputs, make_view, mlp
from helpers.explainer_cases import run, spec_of
from torch import Tensor, nn

import xaibench as xb
from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.explainers.engines.series_network import NetworkPerSeries

T, D, N = 8, 3, 4
X = make_inputs((T, D), N)
WEIGHTS = make_inputs((T, D), 1, seed=9)[0]
BACKGROUND = torch.stack([torch.zeros(T, D), torch.ones(T, D)])


class Linear(nn.Module):
    def __init__(self, weights: Tensor = WEIGHTS) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = (x * self.weights).flatten(1).sum(dim=1, keepdim=True)
        return found


def view_of(module: nn.Module | None = None, x: Tensor = X, **options: Any) -> ProblemView:
    predictor = TorchPredictor(module or Linear(), returns="value")
    given = {"background": BACKGROUND, **options}
    targets = torch.zeros(len(x), dtype=torch.long)
    return make_view(predictor, x, targets=targets, features="series", output="value", **given)


# --- augmented occlusion


def test_augmented_occlusion_of_a_linear_model_is_the_weight_times_the_distance_to_the_drawn_rows() -> None:
    """All cells of a sample see the same draws: one mean row between 0 and 1 explains the whole map."""
    found = run("augmented_occlusion", view_of(), patch=1, stride=1, n_samples=8)
    mean = (X - found / WEIGHTS).flatten(1)
    torch.testing.assert_close(mean, mean[:, :1].expand_as(mean), rtol=1e-3, atol=1e-3)
    assert ((8 * mean[:, 0]).round() / 8 - mean[:, 0]).abs().max() < 1e-3
    assert mean[:, 0].min() >= -1e-3
    assert mean[:, 0].max() <= 1 + 1e-3
    assert mean[:, 0].std() > 0


def test_augmented_occlusion_by_one_row_is_occlusion_with_that_row() -> None:
    view = view_of(background=BACKGROUND[1:])
    for group, patch in ((None, 3), ("segments", 4), ("sensors", None)):
        found = run("augmented_occlusion", view, group=group, patch=patch)
        # The mean of a background of ones is one.
        torch.testing.assert_close(found, run("occlusion", view, group=group, patch=patch, masker="mean"))
    by_size = run("augmented_occlusion", view, group="steps", absolute=True)
    torch.testing.assert_close(by_size, run("occlusion", view, group="steps", masker="mean").abs())


def test_magnitudes_are_unsigned_maps() -> None:
    spec = spec_of("augmented_occlusion")
    assert spec.stated_kind({"absolute": True}) == "saliency"
    assert spec.stated_kind({"absolute": False}) == "contribution"


# --- temporal rescaling and its opponent


@pytest.mark.parametrize("by", ["sensor", "cell"])
def test_rescaling_of_input_times_gradient_of_a_linear_model(by: str) -> None:
    size = (X * WEIGHTS).abs()
    steps, sensors = size.sum(dim=2), size.sum(dim=1)
    strong = steps > steps.double().quantile(0.55, dim=1, keepdim=True)
    other = sensors.unsqueeze(1) if by == "sensor" else size
    expected = (steps * strong).unsqueeze(2) * other
    torch.testing.assert_close(run("temporal_rescaling", view_of(), by=by), expected, rtol=1e-4, atol=1e-5)


def test_rescaling_explains_copies_with_the_draws_of_their_sample() -> None:
    """SmoothGrad of a linear model is its weights whatever is drawn: nothing changes without a step."""
    params = {"explainer": "smoothgrad", "explainer_params": {"n_samples": 4}}
    assert run("temporal_rescaling", view_of(), **params).abs().max() < 1e-4
    assert run("temporal_rescaling", view_of(mlp((T, D), 1)), **params).max() > 0


@pytest.mark.parametrize(
    ("name", "message", "error"),
    [
        ("temporal_rescaling", "cannot rescale 'temporal_rescaling'", UnsupportedError),
        ("oracle", "cannot rescale 'oracle'", UnsupportedError),
        ("anchors", "cannot rescale 'anchors'", UnsupportedError),
        ("captum:IntegratedGradients", "takes built-in explainers, and 'captum:Int", UnsupportedError),
        ("gradien", "unknown explainer 'gradien'", UsageError),
    ],
)
def test_what_cannot_be_rescaled_is_one_sentence(name: str, message: str, error: type[xb.XaibenchError]) -> None:
    with pytest.raises(error, match=message) as caught:
        run("temporal_rescaling", view_of(), explainer=name)
    assert caught.value.hint


def test_one_step_is_never_above_the_quantile_of_its_steps() -> None:
    given = {"model": Linear(WEIGHTS[:1]), "inputs": X[:, :1], "features": "series", "axes": "NTC", "returns": "value"}
    assert np.abs(xb.explain("temporal_rescaling", **given)).max() == 0
    assert np.abs(xb.explain("step_by_sensor", **given)).max() > 0


def test_step_by_sensor_of_a_linear_model() -> None:
    parts = X * WEIGHTS
    expected = parts.sum(dim=2, keepdim=True).clamp(min=0) * parts.sum(dim=1, keepdim=True).clamp(min=0)
    torch.testing.assert_close(run("step_by_sensor", view_of()), expected, rtol=1e-4, atol=1e-5)


# --- extremal masks


def only_the_first(weight: float) -> Linear:
    weights = torch.zeros(T, D)
    weights[0, 0] = weight
    return Linear(weights)


@pytest.mark.parametrize("size_weight", [0.5, 2.0])
def test_the_mask_of_a_model_that_reads_one_cell_is_known(size_weight: float) -> None:
    """Minimise ``s m / F + (c (1 - m))^2`` over m: ``1 - s / (2 F c^2)``, if that is above 0; all other cells are 0."""
    x = torch.full((3, T, D), 1.0)
    x[:, 0, 0] = torch.tensor([0.3, 0.5, 0.05])
    found = run(
        "extremal_mask", view_of(only_the_first(1.0), x), epochs=300, learning_rate=0.03, size_weight=size_weight
    )
    expected = (1 - size_weight / (2 * T * D * x[:, 0, 0] ** 2)).clamp(min=0)
    torch.testing.assert_close(found[:, 0, 0], expected, atol=0.01, rtol=0)
    assert found.flatten(1)[:, 1:].max() < 0.02


def test_a_mask_does_not_depend_on_its_batch() -> None:
    for perturbation in ("baseline", "learned"):
        given = {"epochs": 20, "perturbation": perturbation}
        view = view_of(mlp((T, D), 1))
        whole = run("extremal_mask", view, **given)
        assert ((whole >= 0) & (whole <= 1)).all()
        torch.testing.assert_close(run("extremal_mask", view.take(torch.tensor([2, 0])), **given), whole[[2, 0]])
        one_by_one = torch.cat([run("extremal_mask", view.take(slice(i, i + 1)), **given) for i in range(N)])
        torch.testing.assert_close(one_by_one, whole)


def test_a_learned_perturbation_depends_on_seed_and_sample_and_not_on_the_order_of_axes() -> None:
    view = view_of(mlp((T, D), 1))
    learned = run("extremal_mask", view, epochs=20, perturbation="learned")
    assert not torch.equal(learned, run("extremal_mask", view, epochs=20))
    turned = xb.explain(
        "extremal_mask", model=Turned(mlp((T, D), 1)), inputs=X.mT.contiguous(), features="series", axes="NCT",
        returns="value", epochs=20, perturbation="baseline",
    )  # fmt: skip
    straight = xb.explain(
        "extremal_mask", model=mlp((T, D), 1), inputs=X, features="series", returns="value", epochs=20
    )
    np.testing.assert_allclose(np.swapaxes(turned, 1, 2), straight, atol=1e-5)


class Turned(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.module(x.mT)
        return found


def test_all_outputs_can_be_compared_instead_of_the_explained_one() -> None:
    view = make_view(mlp((T, D), 3), X, features="series")
    one, every = (run("extremal_mask", view, epochs=30, outputs=o) for o in ("target", "all"))
    assert not torch.allclose(one, every)


class Scaled(nn.Module):
    """A model that reads one cell, as far as another input of the sample says."""

    def forward(self, x: Tensor, *, scale: Tensor) -> Tensor:
        return x[:, :1, 0] * scale.unsqueeze(1)


def test_every_copy_goes_to_the_model_with_the_context_of_its_sample() -> None:
    x = torch.ones(3, T, D)
    scale = np.array([0.3, 0.5, 0.05], np.float32)
    given = {"model": Scaled(), "inputs": x, "features": "series", "returns": "value", "context": {"scale": scale}}
    found = xb.explain("extremal_mask", epochs=300, learning_rate=0.03, **given)
    np.testing.assert_allclose(found[:, 0, 0], (1 - 1 / (2 * T * D * scale**2)).clip(min=0), atol=0.01)
    rescaled = xb.explain("step_by_sensor", **given)
    np.testing.assert_allclose(rescaled[:, 0, 0], scale**2, rtol=1e-4)


class Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach().flatten(1)[:, :1]


def test_a_model_without_a_gradient_to_its_inputs_has_no_mask() -> None:
    with pytest.raises(UnsupportedError, match="no gradient reaches the inputs"):
        run("extremal_mask", view_of(Detached()))


def test_the_network_of_a_series_is_that_of_torch() -> None:
    own = NetworkPerSeries(X, Draws(0, "weights", [bytes([i]) for i in range(N)]))
    found = own()
    for i in range(N):
        gru, head = nn.GRU(D, D, batch_first=True, bidirectional=True), nn.Linear(2 * D, D)
        state = {}
        for row, suffix in ((i, "l0"), (N + i, "l0_reverse")):
            state[f"weight_ih_{suffix}"], state[f"weight_hh_{suffix}"] = own.into[row].T, own.across[row].T
            state[f"bias_ih_{suffix}"], state[f"bias_hh_{suffix}"] = own.into_bias[row, 0], own.across_bias[row, 0]
        gru.load_state_dict(state)
        head.load_state_dict({"weight": own.out[i].T, "bias": own.out_bias[i, 0]})
        torch.testing.assert_close(found[i], head(gru(X[i : i + 1])[0])[0], rtol=1e-4, atol=1e-5)
    assert all(w.abs().max() <= 1 / np.sqrt(D) for w in own.weights)


# --- the placebo of differences


def test_differences_along_time_are_a_placebo_of_series() -> None:
    found = run("input_edges", view_of(), operator="difference")
    np.testing.assert_allclose(found[:, 1:], np.abs(np.diff(X.numpy(), axis=1)), rtol=1e-6)
    assert found[:, 0].abs().max() == 0
    with pytest.raises(UnsupportedError, match="differences are along the time of a series"):
        run("input_edges", make_view(nn.Flatten(), make_inputs((1, 4, 4))), operator="difference")


def test_an_explainer_that_calls_another_takes_its_name_as_a_parameter() -> None:
    """Before, the parameter had the name of the first argument, and Python raised a TypeError."""
    x = np.random.default_rng(0).normal(size=(2, 5, 2)).astype(np.float32)
    problem = xb.Problem(lambda a: a.sum(axis=(1, 2)) ** 2, x, features="series", axes="NTC", returns="value")
    called = problem.explain("temporal_rescaling", explainer="occlusion")
    assert np.asarray(called).shape == (2, 5, 2)
    given = {"model": lambda a: a.sum(axis=(1, 2)) ** 2, "inputs": x, "features": "series", "axes": "NTC"}
    np.testing.assert_array_equal(
        xb.explain("temporal_rescaling", explainer="occlusion", returns="value", **given), np.asarray(called)
    )
    np.testing.assert_array_equal(problem.explain(explainer="occlusion"), problem.explain("occlusion"))
    with pytest.raises(xb.UsageError, match="there is no explainer"):
        problem.explain()
