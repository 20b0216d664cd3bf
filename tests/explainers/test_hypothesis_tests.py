"""p-values and one-shot statistics: loops, uniformity under the null, symmetry, and what rounding must not do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import SERIES, TABLE, cnn, make_inputs, make_view, mlp
from helpers.explainer_cases import run
from scipy.stats import kstest, wilcoxon
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import CallablePredictor, Predictor, TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.models.adapters import as_predictor


class Magnitudes(nn.Module):
    """Sum of |x_j| over all columns but the last, which does nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :-1].abs().sum(1, keepdim=True)


def null_view(n: int = 400, d: int = 5, m: int = 20_000, *, shift: float = 0.0) -> ProblemView:
    rng = np.random.default_rng(4)
    rows, background = (torch.from_numpy(rng.standard_normal((k, d)).astype(np.float32)) for k in (n, m))
    model = TorchPredictor(Magnitudes(), "value")
    return make_view(model, rows + shift, background=background, output="value")


@pytest.mark.parametrize("two_sided", [False, True])
def test_p_values_are_uniform_under_the_null(two_sided: bool) -> None:
    p = 1 - run("irt", null_view(), two_sided=two_sided)[:, :-1].double().numpy()
    # p takes the values k / 101: spread each over its step, so that a continuous test applies.
    spread = p - np.random.default_rng(0).random(p.shape) / 101
    assert kstest(spread.ravel(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("two_sided", [False, True])
def test_p_values_are_small_where_a_feature_stands_out(two_sided: bool) -> None:
    p = 1 - run("irt", null_view(60, shift=4.0), two_sided=two_sided)[:, :-1]
    assert p.min() == pytest.approx(1 / 101)
    assert (p < 0.05).float().mean() > 0.9


def test_a_background_that_is_not_the_null_is_noticed_by_the_test_of_uniformity() -> None:
    view = null_view(shift=1.0)
    p = 1 - run("irt", view, two_sided=False)[:, :-1].double().numpy()
    assert kstest(p.ravel(), "uniform").pvalue < 1e-6


@pytest.mark.parametrize("two_sided", [False, True])
def test_one_shot_statistics_are_symmetric_under_the_null(two_sided: bool) -> None:
    t = run("osft", null_view(2000), two_sided=two_sided)[:, :-1].double().numpy()
    assert wilcoxon(t.ravel()).pvalue > 0.01
    assert (t > 0).mean() == pytest.approx(0.5, abs=0.02)
    shifted = run("osft", null_view(200, shift=4.0), two_sided=two_sided)[:, :-1]
    assert (shifted > 0).float().mean() > 0.9


@pytest.mark.parametrize("two_sided", [False, True])
def test_a_feature_that_changes_nothing_is_no_evidence(two_sided: bool) -> None:
    view = null_view(50)
    assert (run("irt", view, two_sided=two_sided)[:, -1] == 0).all()
    assert (run("osft", view, two_sided=two_sided)[:, -1] == 0).all()


class Rounding(nn.Module):
    """Adds noise of the size of rounding errors that depends on a column that matters nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return 100 + x[:, :1] + 1e-5 * torch.sin(1e3 * x[:, 1:2])


def test_rounding_does_not_decide() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32))
    view = make_view(TorchPredictor(Rounding(), "value"), rows[:50], background=rows, output="value")
    assert (run("irt", view, two_sided=False)[:, 1] == 0).all()
    assert (run("osft", view, two_sided=False)[:, 1] == 0).all()
    assert (run("osft", view, two_sided=False)[:, 0] != 0).all()


@pytest.mark.parametrize("two_sided", [False, True])
def test_against_a_loop(two_sided: bool) -> None:
    view = null_view(6, m=50)
    n = 9
    found = run("irt", view, two_sided=two_sided, n_samples=n)
    shot = run("osft", view, two_sided=two_sided)
    picked = view.draws("explain").integers(50, (5, n + two_sided))
    once = view.draws("explain").integers(50, (5, 1 + two_sided))

    def f(row: Tensor) -> float:
        return float(row[:-1].abs().sum())

    def nulls(i: int, j: int, rows: Tensor) -> list[float]:
        return [f(torch.where(torch.arange(5) == j, view.background[r], view.inputs[i])) for r in rows[i, j]]

    for i in range(6):
        for j in range(4):
            y, values, (first, *rest) = f(view.inputs[i]), nulls(i, j, picked), nulls(i, j, once)
            if two_sided:
                centre = values.pop(0)
                count = sum((y - centre) ** 2 <= (v - centre) ** 2 for v in values)
                expected = (y - first) ** 2 - (rest[0] - first) ** 2
            else:
                count, expected = sum(v >= y for v in values), y - first
            assert float(found[i, j]) == pytest.approx(1 - (1 + count) / (n + 1), abs=1e-6)
            assert float(shot[i, j]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["irt", "osft"])
def test_all_channels_of_a_pixel_come_from_one_row(name: str) -> None:
    """Channels of the background always add up to 0, and so does what takes the place of a pixel."""
    rng = np.random.default_rng(1)
    pictures = torch.from_numpy(rng.standard_normal((8, 3, 4, 4)).astype(np.float32))
    background = pictures - pictures.mean(dim=1, keepdim=True)

    class Colours(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum(dim=1).abs().flatten(1).sum(1, keepdim=True)

    view = make_view(TorchPredictor(Colours(), "value"), pictures, background=background, output="value")
    found = run(name, view, two_sided=False)
    wanted = pictures.sum(dim=1).abs() if name == "osft" else torch.full((8, 4, 4), 1 - 1 / 101)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["irt", "osft"])
def test_without_background_there_is_no_null(name: str) -> None:
    view = make_view(TorchPredictor(Magnitudes(), "value"), torch.ones(2, 5), output="value")
    with pytest.raises(UnsupportedError):
        run(name, view)


class OwnConstants(nn.Module):
    """A network with float32 constants that torch does not know of: it cannot run in float64."""

    def __init__(self, d: int, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.first, self.second = (
            torch.from_numpy(rng.standard_normal(s).astype(np.float32)) for s in ((d, 16), (16, 3))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(0.1 * x.flatten(1) @ self.first) @ self.second


class Casting(nn.Module):
    """A network that computes a layer in float32, whatever it is given, and hides it."""

    def __init__(self, d: int, seed: int) -> None:
        super().__init__()
        self.net = OwnConstants(d, seed)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.float()).to(x.dtype)


def numpy_network(dtype: type[np.floating[Any]], d: int, seed: int) -> CallablePredictor:
    rng = np.random.default_rng(seed)
    first, second = (rng.standard_normal(shape).astype(dtype) for shape in ((d, 16), (16, 3)))
    return CallablePredictor(lambda x: np.tanh(x.reshape(len(x), -1).astype(dtype) @ first / 10) @ second, "logit")


def fitted(name: str, d: int, seed: int) -> Predictor:
    from sklearn import ensemble, neural_network

    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((80, d)).astype(np.float32)
    models: dict[str, Any] = {
        "mlp": lambda: neural_network.MLPClassifier((8,), max_iter=1000, tol=1e-2, random_state=seed),
        "forest": lambda: ensemble.RandomForestClassifier(5, random_state=seed),
        "boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=5, random_state=seed),
    }
    return as_predictor(models[name]().fit(rows, (rows[:, 0] > rows[:, 1]).astype(int)))


def in_batches(view: ProblemView, size: int) -> ProblemView:
    """The same view, its model evaluated in batches of this size."""
    model = view.model
    if isinstance(model, TorchPredictor):
        return replace(view, model=TorchPredictor(model.module, model.returns, batch_size=size))
    assert isinstance(model, CallablePredictor)
    return replace(view, model=CallablePredictor(model.function, model.returns, batch_size=size))


def check_independence(view: ProblemView, name: str, monkeypatch: pytest.MonkeyPatch, **params: Any) -> None:
    """Neighbours, order, batches and blocks of memory change no bit, or where osft is float32 what rounding adds."""
    whole = run(name, view, **params)
    order = torch.tensor([3, 0, 6, 5, 1, 4, 2])
    assert torch.equal(run(name, view.take(order), **params), whole[order])
    for row in (0, 4):
        assert torch.equal(run(name, view.take(slice(row, row + 1)), **params), whole[row : row + 1])
    rounded = name == "osft" and view.model.in_float64(view.inputs) is view.model
    with monkeypatch.context() as patch:
        patch.setattr("xaibench.explainers.engines.perturbed_copies.COPIES_BLOCK_BYTES", 8 * view.inputs[0].numel() * 7)
        in_blocks = run(name, view, **params)
    for found in (in_blocks, *(run(name, in_batches(view, size), **params) for size in (1, 5, 64))):
        if rounded:
            torch.testing.assert_close(found, whole, rtol=1e-5, atol=2e-6)
            assert torch.equal(found == 0, whole == 0)
        else:
            assert torch.equal(found, whole)


def small_view(model: nn.Module | Predictor, shape: tuple[int, ...], seed: int, scale: float) -> ProblemView:
    """Seven samples. At a scale of 1e-5 many outputs differ by about as much as is taken for rounding."""
    inputs, background = scale * make_inputs(shape, 7, seed=seed), scale * make_inputs(shape, 20, seed=100 + seed)
    return make_view(model, inputs, background=background)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", ["irt", "osft"])
def test_networks_see_neither_neighbours_nor_batches(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = ((1, 4, 4), (3, 4, 4), TABLE, SERIES)[seed % 4]
    net = cnn(shape, seed=seed) if len(shape) == 3 else mlp(shape, seed=seed)
    view = small_view(net, shape, seed, 1.0 if seed < 10 else 1e-5)
    params = {"two_sided": seed % 8 < 4}
    check_independence(view, name, monkeypatch, **(params if name == "osft" else {**params, "n_samples": 25}))


def other_model(kind: str, d: int, seed: int) -> Predictor:
    made = {"OwnConstants": OwnConstants, "Casting": Casting}
    if kind in made:
        return TorchPredictor(made[kind](d, seed).eval())
    return numpy_network(getattr(np, kind), d, seed) if kind.startswith("float") else fitted(kind, d, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["OwnConstants", "Casting", "float32", "float64", "mlp", "forest", "boosting"])
@pytest.mark.parametrize("name", ["irt", "osft"])
def test_other_models_see_neither_neighbours_nor_batches(
    name: str, kind: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = small_view(other_model(kind, 6, seed), TABLE, seed, 1.0 if seed < 2 else 1e-5)
    assert view.model.in_float64(view.inputs) is view.model
    params = {"two_sided": seed % 2 == 0}
    # Every call of a forest takes milliseconds.
    check_independence(view, name, monkeypatch, **(params if name == "osft" else {**params, "n_samples": 20}))


@pytest.mark.slow
@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("name", ["irt", "osft"])
def test_noise_that_depends_on_the_batch_decides_nothing(
    name: str, two_sided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: differences of outputs all around the tolerance of 1.01e-5, and noise that knows the batch."""
    calls: list[int] = []

    def noisy(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        calls.append(len(x))
        clean = 1 + 4e-6 * x.astype(np.float64).sum(axis=1)
        return (clean + 5e-7 * np.sin(np.arange(len(x)) + 10 * len(x))).astype(np.float32)[:, None]

    inputs, background = make_inputs(TABLE, 7), make_inputs(TABLE, 300, seed=5)
    view = make_view(CallablePredictor(noisy, "value"), inputs, background=background, output="value")
    check_independence(view, name, monkeypatch, two_sided=two_sided)
    assert calls.count(1) > 100


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("two_sided", [False, True])
def test_ties_count_and_equal_copies_are_evaluated_once(two_sided: bool, dtype: type[np.floating[Any]]) -> None:
    """Columns of 0 and 1 have draws that equal the sample: as extreme as it is, without a forward pass."""
    rng = np.random.default_rng(2)
    rows, background = (torch.from_numpy(rng.integers(2, size=(n, 5)).astype(np.float32)) for n in (8, 30))
    net = nn.Sequential(nn.Linear(5, 1)).eval()
    weights = net[0].weight.detach().double().numpy()[0]
    box = CallablePredictor(lambda x: (x.astype(np.float64) @ weights[:, None]).astype(dtype), "value")
    for model in (TorchPredictor(net, "value"), box):
        view = make_view(model, rows, background=background, output="value")
        before = model.n_evaluations
        p = 1 - run("irt", view, two_sided=two_sided, n_samples=20)
        # The sample, for every column with a draw that differs the only other value it can have, and the background
        # once, for the level of the values.
        assert model.n_evaluations - before == 8 * (1 + 5) + len(background)
        picked = view.draws("explain").integers(30, (5, 20 + two_sided))
        columns = torch.arange(5).unsqueeze(1)
        shift = (background[picked, columns] - rows.unsqueeze(2)).double() * torch.from_numpy(weights).view(5, 1)
        if two_sided:
            extreme = (shift[:, :, 1:] - shift[:, :, :1]).abs() >= shift[:, :, :1].abs() - 1e-4
        else:
            extreme = shift >= -1e-4
        torch.testing.assert_close(p, (1 + extreme.sum(dim=2)) / torch.tensor(21.0), rtol=0, atol=1e-6)
