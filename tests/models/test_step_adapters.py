"""Models with an output per step: the sum over steps, and every step by itself, against loops over the steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xaibench as xb
from xaibench.core.steps import OwnStepModule, StepModule

N, T, D, H, C = 3, 6, 2, 4, 3
LAYERS = {
    "gru": lambda: nn.GRU(D, H, batch_first=True),
    "rnn": lambda: nn.RNN(D, H, batch_first=True),
    "lstm": lambda: nn.LSTM(D, H, batch_first=True),
    "gru of two layers": lambda: nn.GRU(D, H, num_layers=2, batch_first=True),
    "lstm with projections": lambda: nn.LSTM(D, H + 2, batch_first=True, proj_size=H, num_layers=2),
}
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")
each_layer = pytest.mark.parametrize("kind", list(LAYERS))


def made(kind: str) -> tuple[nn.RNNBase, nn.Module, xb.OwnStep]:
    torch.manual_seed(1)
    layer, head = LAYERS[kind](), nn.Sequential(nn.BatchNorm1d(H), nn.ReLU(), nn.Linear(H, C))
    return layer.eval(), head.eval(), xb.OwnStep(layer, head).eval()


def series(seed: int = 0, n: int = N) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, T, D)).astype(np.float32))


def step_by_step(layer: nn.RNNBase, head: nn.Module, changed: Tensor, clean: Tensor) -> Tensor:
    """Outputs (N, T, C) of changed steps after a clean past, by prefixes: what a forward tunnel computes."""
    outputs = []
    for t in range(T):
        prefix = torch.cat([clean[:, :t], changed[:, t : t + 1]], dim=1)
        states, _ = layer(prefix)
        outputs.append(head(states[:, -1]))
    return torch.stack(outputs, dim=1)


@each_layer
def test_own_steps_are_those_of_prefixes(kind: str) -> None:
    layer, head, own = made(kind)
    clean, changed = series(), series(1)
    with torch.no_grad():
        np.testing.assert_allclose(
            own.own_outputs(changed, clean), step_by_step(layer, head, changed, clean), atol=1e-6, rtol=1e-5
        )


@each_layer
def test_the_output_is_the_sum_of_the_outputs_of_the_steps_classes(kind: str) -> None:
    layer, head, own = made(kind)
    clean, changed = series(), series(1)
    classes = torch.from_numpy(np.random.default_rng(2).integers(C, size=(N, T)))
    with torch.no_grad():
        outputs = step_by_step(layer, head, changed, clean)
        expected = sum(outputs[:, t].gather(1, classes[:, t : t + 1]) for t in range(T))
        np.testing.assert_allclose(own(changed, clean, classes), expected, atol=1e-5)
        by_itself = own.step_outputs(clean).argmax(dim=2)
        np.testing.assert_array_equal(own(changed, clean), own(changed, clean, by_itself))
        np.testing.assert_allclose(own(clean, clean), own.step_outputs(clean).amax(dim=2).sum(dim=1, keepdim=True))


@each_layer
def test_copies_have_the_states_of_their_own_series_in_any_order(kind: str) -> None:
    """Equal series in a row are evaluated once; that must not show."""
    _, _, own = made(kind)
    clean, changed = series(), series(1, 7)
    rows = torch.tensor([0, 0, 1, 2, 2, 0, 1])
    with torch.no_grad():
        together = own(changed, clean[rows])
        alone = torch.cat([own(changed[i : i + 1], clean[r : r + 1]) for i, r in enumerate(rows.tolist())])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_cell_changes_its_own_term_only() -> None:
    own = xb.OwnStep(made("gru")[0], nn.Linear(H, C)).eval()
    clean = series()
    changed = clean.clone()
    changed[:, 2, 1] += 3
    with torch.no_grad():
        moved = ((own.own_outputs(changed, clean) - own.own_outputs(clean, clean)).abs() > 1e-6).any(dim=2)
    assert moved[:, 2].all()
    assert not moved[:, [0, 1, 3, 4, 5]].any()


def test_the_sum_over_steps_counts_later_steps_too() -> None:
    """Gradients of a sum of everything so far: the first step is in every term."""

    class Total(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum(dim=2).cumsum(dim=1), -x.sum(dim=2).cumsum(dim=1)], dim=2)

    summed, x = xb.SumOfSteps(Total()), torch.ones(2, T, D)
    maps = xb.explain("gradient", model=summed, inputs=x, context=summed.context(x), features="series")
    np.testing.assert_allclose(maps, np.repeat(np.arange(T, 0, -1.0)[None, :, None], D, axis=2).repeat(2, axis=0))
    second = summed.context(x, classes=np.ones((2, T), dtype=np.int64))
    np.testing.assert_allclose(
        xb.explain("gradient", model=summed, inputs=x, context=second, features="series"), -np.asarray(maps)
    )


def test_a_model_with_context_is_the_one_with_the_context_inside() -> None:
    """The same maps, whether classes and clean series come as context or are written into the model."""
    _, _, own = made("gru")
    clean = series(n=1)

    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = own

        def forward(self, x: Tensor) -> Tensor:
            return self.own(x, clean.expand(len(x), -1, -1))

    for name, params in (("integrated_gradients", {}), ("shapley_sampling", {"patch": 1}), ("occlusion", {"patch": 2})):
        known = xb.explain(name, model=own, inputs=clean, context=own.context(clean), features="series", **params)
        inside = xb.explain(name, model=Inside().eval(), inputs=clean, features="series", returns="value", **params)
        # Draws are keyed by the sample, and the context is part of it.
        tolerance = 0.2 if name == "shapley_sampling" else 1e-5
        np.testing.assert_allclose(known, inside, atol=tolerance)


def test_shapley_values_of_own_steps_are_those_of_all_cells() -> None:
    _, _, own = made("gru")
    x = series(n=2)[:, :3]
    given = {"model": own, "inputs": x, "context": own.context(x), "features": "series"}
    every = xb.explain("shapley_sampling", patch=1, n_samples=40, **given)  # 2^6 coalitions: exact
    np.testing.assert_allclose(xb.explain("own_step_shapley", **given), every, atol=1e-5)


def test_what_the_adapters_are_not_for_is_refused() -> None:
    gru, x = nn.GRU(D, H, batch_first=True), series()
    with pytest.raises(xb.UsageError, match=r"shape \(3, 6, 4\)") as refusal:
        xb.explain("gradient", model=gru, inputs=x, features="series")
    assert "xb.SumOfSteps" in str(refusal.value.hint)
    assert "xb.OwnStep" in str(refusal.value.hint)
    with pytest.raises(xb.UsageError, match="backwards"):
        xb.OwnStep(nn.GRU(D, H, batch_first=True, bidirectional=True), nn.Linear(2 * H, C))
    with pytest.raises(xb.UsageError, match="steps first"):
        xb.OwnStep(nn.GRU(D, H), nn.Linear(H, C))
    with pytest.raises(xb.UsageError, match="not a Linear"):
        xb.OwnStep(nn.Linear(D, H), nn.Linear(H, C))  # type: ignore[arg-type]
    own = xb.OwnStep(gru, nn.Linear(H, C))
    with pytest.raises(xb.UsageError, match="clean series"):
        xb.explain("gradient", model=own, inputs=x, features="series")
    with pytest.raises(xb.UsageError, match="which output of each step"):
        xb.explain("gradient", model=xb.SumOfSteps(gru), inputs=x, features="series")
    with pytest.raises(xb.UsageError, match="classes have shape"):
        xb.explain(
            "gradient", model=xb.SumOfSteps(gru), inputs=x, context={"classes": torch.zeros(N, 2)}, features="series"
        )
    classes = torch.full((N, T), H)
    with pytest.raises(xb.UsageError, match="class 4 is not among the 4 outputs"):
        xb.explain("gradient", model=xb.SumOfSteps(gru), inputs=x, context={"classes": classes}, features="series")
    with pytest.raises(xb.UsageError, match="one row of outputs per step"):
        xb.SumOfSteps(nn.Flatten()).context(x)
    for name in ("own_step_shapley", "fit"):
        plain = nn.Sequential(nn.Flatten(), nn.Linear(T * D, C))
        with pytest.raises(xb.UnsupportedError, match="own_steps"):
            xb.explain(name, model=plain, inputs=x, background=x, features="series")


def test_the_adapters_are_what_explainers_ask_for() -> None:
    _, _, own = made("gru")
    assert isinstance(own, OwnStepModule)
    assert isinstance(xb.SumOfSteps(own.recurrent), StepModule)
    assert not isinstance(xb.SumOfSteps(own.recurrent), OwnStepModule)


def test_fit_finds_the_sensor_that_shifts_the_prediction() -> None:
    """Sensor 0 decides every step, and jumps once: only that cell matters, and the generator is fitted once."""

    class First(nn.Module):
        def forward(self, states: Tensor) -> Tensor:
            return torch.stack([-2 * states[:, 0], 2 * states[:, 0]], dim=1)

    layer = nn.RNN(D, D, batch_first=True, nonlinearity="relu")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.weight_ih_l0.copy_(torch.eye(D))
    own = xb.OwnStep(layer, First())
    x = torch.zeros(2, T, D)
    x[:, 3:, :] = 1.5
    background = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (20, T, D)).astype(np.float32))
    given = {
        "model": own, "inputs": x, "context": own.context(x), "features": "series", "background": background,
        "background_context": own.context(background),
    }  # fmt: skip
    maps = np.asarray(xb.explain("fit", epochs=30, **given))
    assert (maps.argmax(axis=1)[:, 0] == 3).all()
    assert (maps[:, 3, 0] > maps[:, 3, 1] + 0.5).all()
    np.testing.assert_allclose(maps[:, 3, 0], maps[0, 3, 0], atol=1e-5)
    np.testing.assert_array_equal(maps, np.asarray(xb.explain("fit", epochs=30, **given)))
    assert not np.array_equal(maps, np.asarray(xb.explain("fit", epochs=30, seed=1, **given)))


@pytest.mark.parametrize("name", ["integrated_gradients", "occlusion", "own_step_shapley", "fit"])
def test_maps_do_not_depend_on_the_batch(name: str) -> None:
    """Copies of several samples share a batch, and runs of equal clean series are cut by it."""
    _, _, own = made("gru")
    x, background = series(n=5), series(3, n=6)
    given = {"inputs": x, "context": own.context(x), "features": "series"}
    if name == "fit":
        given |= {"background": background, "background_context": own.context(background)}
    maps = [np.asarray(xb.explain(name, model=own, batch_size=size, **given)) for size in (1, 7, 64)]
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], rtol=1e-4, atol=1e-5)
    alone = np.asarray(xb.explain(name, model=own, **{**given, "inputs": x[2:3], "context": own.context(x[2:3])}))
    np.testing.assert_allclose(alone[0], maps[0][2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 1, 2), (1, 3, 1)])
def test_single_steps_sensors_and_samples_work(shape: tuple[int, int, int]) -> None:
    own = xb.OwnStep(nn.GRU(shape[2], H, batch_first=True), nn.Linear(H, C)).eval()
    x = torch.ones(shape)  # a constant sensor
    given = {"model": own, "inputs": x, "context": own.context(x), "features": "series", "axes": "NTC"}
    for name in ("integrated_gradients", "own_step_shapley", "occlusion"):
        maps = np.asarray(xb.explain(name, **given))
        assert maps.shape == shape
        assert np.isfinite(maps).all()
    np.testing.assert_allclose(
        np.asarray(xb.explain("own_step_shapley", **given)).sum(axis=2),
        (own.own_terms(x, x) - own.own_terms(torch.zeros_like(x), x)).detach(),
        atol=1e-5,
    )


def test_other_weights_have_states_of_their_own() -> None:
    """The states are not stored: a model with exchanged weights computes them anew."""
    _, _, own = made("gru")
    x = series()
    given = {"inputs": x, "context": own.context(x), "features": "series"}
    before = np.asarray(xb.explain("gradient", model=own, **given))
    other = xb.OwnStep(nn.GRU(D, H, batch_first=True), own.head).eval()
    with torch.no_grad():
        np.testing.assert_allclose(other(x, x), other.step_outputs(x).amax(dim=2).sum(dim=1, keepdim=True), rtol=1e-5)
    assert not np.allclose(before, np.asarray(xb.explain("gradient", model=other, **given)))
