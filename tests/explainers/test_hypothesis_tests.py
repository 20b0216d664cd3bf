"""p-values and one-shot statistics: loops, uniformity under the null, symmetry, and what rounding must not do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import make_view
from helpers.explainer_cases import run
from scipy.stats import kstest, wilcoxon
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView


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
