"""Values around a hundred million: explanations and scores are those of the same values without the offset."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.affine import affine

import xaibench as xb

R = np.random.default_rng(0)
X = R.normal(size=(6, 4)).astype(np.float32)
BACKGROUND = R.normal(size=(30, 4)).astype(np.float32)
W = np.array([2.0, -1, 0.5, 0])
LEVELS = [1e8, -1e8]
NOT_OF_OUTPUTS = {"oracle", "degraded_oracle", "permutation_importance", "anchors", "monotone_transform"}
OTHERS = {"gradients", "module", "image", "text", "attention", "series", "graph"}
EXPLAINERS = sorted(
    name
    for name, needs in xb.components("explainer")[["name", "needs"]].itertuples(index=False)
    if name not in NOT_OF_OUTPUTS and not set(needs) & OTHERS
)
# Conservation is about the output itself, its level included.
METRICS = sorted(set(xb.components("metric")["name"]) - {"conservation"})
pytestmark = pytest.mark.filterwarnings("ignore::xaibench.core.errors.UnusedBackgroundWarning")


def box(level: float) -> Any:
    """A linear black box in float64."""
    return lambda a: np.asarray(a, np.float64) @ W + level


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", EXPLAINERS)
def test_explanations_do_not_see_the_level(name: str, level: float) -> None:
    small, large = (
        np.asarray(xb.explain(name, model=box(b), inputs=X, background=BACKGROUND, returns="value", seed=1))
        for b in (0, level)
    )
    assert large == pytest.approx(small, rel=1e-5, abs=1e-5)


def table(level: float, background: Any = BACKGROUND) -> pd.DataFrame:
    truth = np.tile(W, (6, 1)).astype(np.float32)
    problem = xb.Problem(box(level), X, returns="value", background=background, truth=truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = problem.evaluate(["occlusion", "kernel_shap"], METRICS, progress=False, controls=False)
    return found.set_index(["metric", "explainer", "sample", "repeat"])


@pytest.mark.parametrize("level", LEVELS)
def test_no_metric_sees_the_level(level: float) -> None:
    small, large = table(0), table(level)
    assert set(small["status"]) <= {"ok", "undefined", "unsupported"}
    scored = small[small["status"] == "ok"].index
    assert len(scored.unique("metric")) > 30
    assert (small.loc[scored, "output"] == large.loc[scored, "output"]).all()
    np.testing.assert_allclose(large.loc[scored, "score"], small.loc[scored, "score"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", [0, *LEVELS])
def test_curves_are_in_standard_deviations_over_the_background(level: float) -> None:
    problem = xb.Problem(box(level), X, returns="value", background=BACKGROUND)
    maps = X * W
    reference = BACKGROUND.astype(np.float64) @ W
    curve = problem.curve("pixel_flipping", maps, steps=4, masker="zero")
    expected = np.stack([X @ W, np.zeros(6)], axis=1)
    assert curve[:, [0, -1]] == pytest.approx((expected - reference.mean()) / reference.std(), abs=1e-5)
    raw = problem.curve("pixel_flipping", maps, steps=4, masker="zero", output="value")
    assert raw[:, [0, -1]] - level == pytest.approx(expected, abs=1e-5)


def test_without_a_background_curves_are_values_in_all_their_digits() -> None:
    given = dict(inputs=X, attributions=X * W, returns="value", masker="zero")  # noqa: C408
    large, small = (xb.score("pixel_flipping", model=box(level), **given) for level in (1e8, 0))
    assert large.dtype == np.float64
    assert large - 1e8 == pytest.approx(small, abs=1e-5)


def test_a_linear_regression_has_its_closed_forms() -> None:
    b = BACKGROUND.mean(axis=0)
    given = dict(model=box(1e8), inputs=X, returns="value", background=BACKGROUND)  # noqa: C408
    exact = (X - b) * W
    wrong_by = xb.score("completeness", attributions=exact, baseline="mean", **given)
    assert wrong_by == pytest.approx(np.zeros(6), abs=1e-5)
    assert (xb.score("faithfulness_correlation", attributions=exact, masker="mean", **given) > 0.999).all()


def test_float32_says_what_it_cannot_tell() -> None:
    net = affine(W[None], [1e8])
    with pytest.warns(UserWarning, match="around 1e\\+08 in float32, which does not tell differences below 1e\\+01"):
        xb.explain("gradient", model=net, inputs=X, returns="value")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = xb.explain("occlusion", model=net.double(), inputs=X.astype(np.float64), returns="value")
    assert found == pytest.approx(X * W, abs=1e-5)
