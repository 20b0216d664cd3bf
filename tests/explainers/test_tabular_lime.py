"""LIME for tables, and KernelSHAP over several references: against other libraries and exact values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from helpers.builders import linear, make_inputs, make_view
from helpers.explainer_cases import black_box, run
from sklearn.linear_model import Ridge
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.masking.references import evenly_spaced, kmeans_centres
from xaibench.core.problem import ProblemView

D = 6


def bits_and_numbers(n: int, seed: int) -> Tensor:
    rows = make_inputs((D,), n, seed=seed)
    rows[:, 4:] = (rows[:, 4:] > 0.5).float()
    return rows


@pytest.fixture
def view() -> ProblemView:
    return make_view(black_box, bits_and_numbers(5, 0), background=bits_and_numbers(60, 1))


def test_it_is_scikit_learns_ridge_on_the_same_rows(view: ProblemView) -> None:
    n, width = 80, 0.75 * math.sqrt(D)
    found = run("tabular_lime", view, n_samples=n, radius=0.5, ridge=0.3)
    draws = view.draws("explain")
    bits = (draws.uniform((n, D)) < view.background.mean(dim=0)).float()
    noise = draws.normal((n, D))
    for i, row in enumerate(view.inputs):
        rows = row + 0.5 * noise[i]
        rows[:, 4:] = bits[i][:, 4:]
        rows[0] = row
        values = view.scores(rows, torch.full((n,), i)).double().numpy()
        weights = np.sqrt(np.exp(-((rows - row).double().square().sum(1) / width**2).numpy()))
        fit = Ridge(alpha=0.3).fit(rows.double().numpy(), values, sample_weight=weights)
        np.testing.assert_allclose(found[i], fit.coef_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("neighbours", [0, 30])
def test_slopes_of_a_linear_model(neighbours: int) -> None:
    inputs, background = bits_and_numbers(5, 0), bits_and_numbers(60, 1)
    view = make_view(linear((D,)), inputs, background=background)
    w = view.model.module[1].weight[view.targets].detach()
    found = run("tabular_lime", view, ridge=1e-9, neighbours=neighbours)
    torch.testing.assert_close(found, w, rtol=1e-3, atol=1e-4)


def test_on_manifold_rows_are_background_rows_near_the_sample() -> None:
    background = bits_and_numbers(60, 1)
    seen: list[np.ndarray] = []

    def spy(rows: np.ndarray) -> np.ndarray:
        seen.append(rows)
        return black_box(rows)

    view = make_view(spy, bits_and_numbers(1, 0), background=background)
    seen.clear()
    run("tabular_lime", view, n_samples=400, neighbours=10)
    rows = torch.from_numpy(np.concatenate(seen))[1:]
    gaps = (background[:, :4] - view.inputs[0, :4]).square().sum(dim=1)
    near = background[gaps.argsort()[:10], :4]
    used = (rows[:, None, :4] == near).all(dim=2)
    assert used.any(dim=1).all()
    assert used.any(dim=0).all()
    assert set(rows[:, 4:].unique().tolist()) == {0, 1}
    np.testing.assert_allclose(rows[:, 4:].mean(dim=0), background[:, 4:].mean(dim=0), atol=0.1)


def shapley(view: ProblemView, row: int, references: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Exact Shapley values of the mean output over references, by all orders' weights."""

    def value(kept: tuple[int, ...]) -> float:
        rows = torch.from_numpy(references.copy())
        rows[:, list(kept)] = view.inputs[row, list(kept)]
        outputs = view.scores(rows, torch.full((len(rows),), row)).double().numpy()
        return float(outputs @ shares)

    values = {c: value(c) for size in range(D + 1) for c in itertools.combinations(range(D), size)}
    phi = np.zeros(D)
    for c, v in values.items():
        for j in set(range(D)) - set(c):
            weight = math.factorial(len(c)) * math.factorial(D - len(c) - 1) / math.factorial(D)
            phi[j] += weight * (values[tuple(sorted((*c, j)))] - v)
    return phi


@pytest.mark.parametrize("references", ["rows", "kmeans", "kmeans_rounded"])
def test_kernel_shap_over_references_is_exact(view: ProblemView, references: str) -> None:
    background = view.background.numpy()
    if references == "rows":
        rows, shares = evenly_spaced(background, 7)
    else:
        rows, shares = kmeans_centres(background, 7, rounded=references == "kmeans_rounded")
    found = run("kernel_shap", view, references=references, n_references=7)
    for i in range(len(view)):
        np.testing.assert_allclose(found[i], shapley(view, i, rows, shares), rtol=1e-3, atol=1e-5)


def test_one_reference_is_a_fill(view: ProblemView) -> None:
    zeros = make_view(black_box, view.inputs, background=torch.zeros(3, D))
    torch.testing.assert_close(run("kernel_shap", zeros, references="rows"), run("kernel_shap", view, masker="zero"))


def test_centres_of_separate_clusters() -> None:
    rng = np.random.default_rng(0)
    places = np.array([[0, 0, 0], [10, 0, 1], [0, 10, 1]])
    which = rng.choice(3, size=500, p=[0.5, 0.3, 0.2])
    rows = (places[which] + [0.1, 0.1, 0] * rng.standard_normal((500, 3))).astype(np.float32)
    rows[0, 2] = 1 - rows[0, 2]
    plain, shares = kmeans_centres(rows, 3, rounded=False)
    order = plain[:, :2].argmax(axis=1) + 10 * (plain.max(axis=1) < 5)
    expected = [rows[which == c].mean(axis=0) for c in (1, 2, 0)]
    np.testing.assert_allclose(plain[order.argsort()], expected, atol=1e-4)
    np.testing.assert_allclose(np.sort(shares), np.sort(np.bincount(which) / 500))
    rounded, _ = kmeans_centres(rows, 3, rounded=True)
    assert set(np.unique(rounded[:, 2])) <= {0, 1}
    assert all(value in column for centre in rounded for value, column in zip(centre, rows.T, strict=True))
    assert len(kmeans_centres(rows[:2], 10, rounded=False)[0]) == 2


def test_references_and_tables_need_a_background() -> None:
    view = make_view(black_box, bits_and_numbers(2, 0))
    for name, params in (("kernel_shap", {"references": "rows"}), ("tabular_lime", {})):
        with pytest.raises(UnsupportedError):
            run(name, view, **params)
