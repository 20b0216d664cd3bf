"""Reference samples and missing values: what is given is used or said to be unused, and NaN never means "removed"."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.explainer_cases import few_steps
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

import xaibench as xb
from xaibench.api.background import FROM_BACKGROUND, uses_background
from xaibench.core.components import ExplainerSpec
from xaibench.core.errors import UnsupportedError, UnusedBackgroundWarning
from xaibench.core.masking.effect import check_effect
from xaibench.core.masking.missing import complete_rows
from xaibench.core.registry import components

R = np.random.default_rng(0)
W = np.array([2.0, -1.0, 0.5])
X = R.normal(size=(5, 3)).astype(np.float32)
BACKGROUND = (R.normal(size=(12, 3)) + 3).astype(np.float32)
NAN = np.nan


def linear(a: np.ndarray) -> np.ndarray:
    return a @ W


@pytest.mark.parametrize("name", ["kernel_shap", "lime", "shapley_sampling", "occlusion", "feature_ablation", "rise"])
def test_removal_on_tables_compares_with_the_background(name: str) -> None:
    """M1: another background gave the same numbers, those of a comparison with zero."""
    given: dict[str, Any] = {"model": linear, "inputs": X, "returns": "value", "seed": 1}
    plain = xb.explain(name, **given)
    ours = xb.explain(name, **given, background=BACKGROUND)
    np.testing.assert_array_equal(ours, xb.explain(name, **given, background=BACKGROUND, masker="marginal"))
    assert np.abs(ours - plain).max() > 0.1
    assert np.abs(ours - xb.explain(name, **given, background=BACKGROUND - 2)).max() > 0.1


@pytest.mark.parametrize("name", ["feature_ablation", "kernel_shap", "shapley_sampling", "occlusion"])
def test_values_are_those_of_a_linear_model_against_a_drawn_row(name: str) -> None:
    row = BACKGROUND[:1]
    found = xb.explain(name, model=linear, inputs=X, returns="value", background=row)
    np.testing.assert_allclose(found, W * (X - row), rtol=1e-3, atol=1e-3)


def test_a_masker_that_is_named_stays_and_its_neglect_is_said_once() -> None:
    given: dict[str, Any] = {"model": linear, "inputs": X, "returns": "value"}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = xb.explain("feature_ablation", **given, background=BACKGROUND, masker="zero")
    assert [w.category for w in said] == [UnusedBackgroundWarning]
    assert said[0].filename == __file__
    assert 'masker="marginal"' in str(said[0].message)
    np.testing.assert_array_equal(found, xb.explain("feature_ablation", **given))


@pytest.mark.parametrize("name", ["gradient", "integrated_gradients", "saliency", "deep_lift"])
def test_explainers_without_a_use_for_it_say_so(name: str) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    with pytest.warns(UnusedBackgroundWarning, match="background is not used by explainer"):
        xb.explain(name, model=net, inputs=X, background=BACKGROUND)


def test_a_metric_warns_only_if_its_explainer_has_no_use_either() -> None:
    given: dict[str, Any] = {"model": linear, "inputs": X, "returns": "value", "background": BACKGROUND}
    with pytest.warns(UnusedBackgroundWarning, match="metric 'sparseness'"):
        xb.score("sparseness", attributions=X, **given)
    xb.score("sparseness", explain="kernel_shap", **given)
    xb.score("pixel_flipping", attributions=X, **given)


def test_explain_again_uses_the_same_masker_as_explain() -> None:
    given: dict[str, Any] = {"model": linear, "inputs": X, "returns": "value", "background": BACKGROUND}
    maps = xb.explain("feature_ablation", **given)
    one = xb.score("pixel_flipping", attributions=maps, **given)
    np.testing.assert_array_equal(one, xb.score("pixel_flipping", explain="feature_ablation", **given))


def test_images_keep_their_default_masker() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()
    x = torch.rand(2, 1, 8, 8)
    with pytest.warns(UnusedBackgroundWarning):
        found = xb.explain("occlusion", model=net, inputs=x, background=x + 1)
    np.testing.assert_array_equal(found, xb.explain("occlusion", model=net, inputs=x))


EXPLAINERS = [s for s in components("explainer") if isinstance(s, ExplainerSpec) and s.name not in ("oracle", "degraded_oracle")]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("spec", EXPLAINERS, ids=lambda s: s.name)
@pytest.mark.parametrize("masker", [None, "mean"])
def test_what_is_said_of_the_background_is_true(spec: ExplainerSpec, masker: str | None) -> None:
    """Explanations depend on the background exactly where the declaration says so."""
    kind = next((k for k in ("table", "image") if not spec.needs & {"table", "image"} or k in spec.needs), "table")
    shape = (1, 6, 6) if kind == "image" else (4,)
    torch.manual_seed(0)
    net = (
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)).eval()
        if kind == "image"
        else nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    )
    params: dict[str, Any] = dict(few_steps(spec.name))
    for name in ("masker", "baseline"):
        if name in spec.parameters:
            params[name] = masker or "zero"
    if masker is not None and not {"masker", "baseline"} & set(params):
        pytest.skip("has no masker")
    x = torch.randn(3, *shape)
    backgrounds = [torch.randn(30, *shape) + shift for shift in (0, 2)]
    given: dict[str, Any] = {"model": net, "inputs": x, "targets": [0, 1, 0], "seed": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedBackgroundWarning)
        try:
            one, two = (xb.explain(spec.name, **given, background=b, **params) for b in backgrounds)
        except UnsupportedError:
            return
    used = uses_background(spec, spec.bind(params))
    if not used:
        np.testing.assert_array_equal(one, two)
    elif spec.name not in ("irt", "osft", "tabular_lime"):
        assert not np.array_equal(one, two)


def test_maskers_that_take_from_the_background_are_known() -> None:
    """All others give the same fill whatever the background is."""
    from xaibench.core.draws import Draws
    from xaibench.core.features import infer_layout
    from xaibench.core.keys import row_digests
    from xaibench.core.masking.maskers import MASKERS, make_masker

    x, layout = torch.from_numpy(X), infer_layout((3,))
    for name in MASKERS:
        try:
            one, two = (
                make_masker(name, x, layout, torch.from_numpy(b), Draws(0, name, row_digests(X))).fill
                for b in (BACKGROUND, BACKGROUND + 2)
            )
        except UnsupportedError:
            continue
        assert (not torch.equal(one, two)) == (name in FROM_BACKGROUND)


# --- missing values


def takes_missing(a: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(a[:, 0]), 10.0, a[:, 0])


GAPS = np.array([[1.0, 0], [3, 0], [NAN, 0]])


def test_removed_does_not_mean_missing() -> None:
    """Row 19: the mean of a column with a gap was NaN, so that the model was asked about a missing value."""
    given: dict[str, Any] = {"model": takes_missing, "inputs": [[5.0, 1.0]], "background": GAPS, "returns": "value"}
    assert xb.explain("feature_ablation", masker="mean", **given).tolist() == [[3.0, 0.0]]
    for masker in ("uniform", "marginal"):
        for seed in range(5):
            found = xb.explain("feature_ablation", masker=masker, seed=seed, **given)[0]
            assert 2 <= found[0] <= 4
            assert found[1] == 0
    rows = xb.explain("kernel_shap", references="rows", **given)[0]
    assert rows[0] == pytest.approx(5 - np.mean([1, 3, 1]), abs=1e-4)


def test_a_sample_with_a_missing_value_is_explained_by_what_takes_it() -> None:
    given: dict[str, Any] = {"model": takes_missing, "inputs": [[NAN, 1.0], [5.0, 1.0]], "returns": "value"}
    found = xb.explain("feature_ablation", masker="mean", background=GAPS, **given)
    assert found.tolist() == [[8.0, 0.0], [3.0, 0.0]]
    assert np.isfinite(xb.score("pixel_flipping", attributions=found, background=GAPS, **given)).all()


@pytest.mark.parametrize(
    "name", ["conditional_shapley", "m_plot", "partial_dependence", "accumulated_local_effects", "pattern"]
)
def test_what_would_be_nan_is_refused_with_column_and_row(name: str) -> None:
    background = np.concatenate([R.normal(size=(20, 2)), [[NAN, 0.0]]])
    with pytest.raises(UnsupportedError, match="column 0 of row 20"):
        xb.explain(name, model=takes_missing, inputs=[[5.0, 1.0], [0.3, 0.2]], background=background, returns="value")


def test_maskers_that_cannot_have_gaps_say_so() -> None:
    background = np.concatenate([R.normal(size=(20, 2)), [[NAN, 0.0]]])
    given: dict[str, Any] = {"model": takes_missing, "inputs": [[5.0, 1.0]], "returns": "value"}
    with pytest.raises(UnsupportedError, match="cannot have missing values, and column 0 of row 20 is NaN"):
        xb.explain("feature_ablation", masker="conditional", background=background, **given)
    empty = np.array([[NAN, 1.0], [NAN, 2.0]])
    for masker in ("mean", "uniform", "marginal"):
        with pytest.raises(UnsupportedError, match=r"column 0 .*has no value"):
            xb.explain("feature_ablation", masker=masker, background=empty, **given)


def test_a_model_that_does_not_take_missing_values_is_found_out() -> None:
    net = nn.Linear(2, 2).eval()
    with pytest.raises(xb.UsageError, match="gives NaN for sample 1, whose column 0 is missing"):
        xb.explain("gradient", model=net, inputs=[[1.0, 2.0], [NAN, 1.0]], targets=[0, 0])


def test_complete_rows_hold_only_values_of_their_column() -> None:
    rows = R.normal(size=(50, 3)).astype(np.float32)
    gaps = torch.from_numpy(np.where(R.random(rows.shape) < 0.3, NAN, rows).astype(np.float32))
    found = complete_rows(gaps)
    assert torch.equal(found[~torch.isnan(gaps)], gaps[~torch.isnan(gaps)])
    for j in range(3):
        assert set(found[:, j].tolist()) == set(gaps[~torch.isnan(gaps[:, j]), j].tolist())
    whole = torch.from_numpy(rows)
    assert complete_rows(whole) is whole


LAB = """
import numpy as np, torch, xaibench as xb
@xb.dataset("gaps", features="table")
def gaps(*, seed: int = 0) -> xb.Data:
    '''A table with missing incomes.'''
    x = np.random.default_rng(0).normal(size=(120, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    x[7, 1] = x[95, 1] = np.nan
    return xb.Data("table", x[:80], y[:80], x[80:], y[80:], feature_names=("age", "income", "debt"))
def boosted(data):
    from sklearn.ensemble import HistGradientBoostingClassifier
    return HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(data.train_inputs, data.train_targets)
def logistic(data):
    from sklearn.linear_model import LogisticRegression
    return LogisticRegression().fit(data.train_inputs, data.train_targets)
def network(data):
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)
"""


def test_missing_values_in_a_suite(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(LAB)
    lab = tmp_path / "lab.py"
    suite = {
        "name": "gaps", "samples": 20, "background": 16, "controls": False,
        "explainers": [{"name": "occlusion", "params": {"masker": "marginal"}}, "kernel_shap"],
        "metrics": ["pixel_flipping", "sparseness"],
        "problems": [{"dataset": f"{lab}:gaps", "models": [f"{lab}:{m}" for m in ("boosted", "logistic", "network")]}],
    }  # fmt: skip
    xb.run(suite, store=tmp_path / "st")
    rows = xb.results(tmp_path / "st")
    good = rows[rows["model"] == "lab.boosted"]
    assert set(good["status"]) == {"ok"}
    assert (good.loc[good["metric"] == "pixel_flipping", "n_undefined"] == 0).all()
    for name in ("logistic", "network"):
        bad = rows[rows["model"] == f"lab.{name}"]
        assert set(bad["status"]) == {"failed"}
        assert (
            bad["message"]
            .str.startswith("data set 'gaps' has missing values (column 'income', row 7 of the train")
            .all()
        )


def test_gradient_boosting_with_gaps_agrees_with_the_effect_of_replacement() -> None:
    x = R.normal(size=(200, 3))
    x[R.random(x.shape) < 0.1] = NAN
    y = (np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) > 0).astype(int)
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(x, y)
    found = xb.explain(
        "feature_ablation", model=model, inputs=x[:9], targets=y[:9], background=x, masker="mean", output="probability"
    )
    mean = np.nanmean(x.astype(np.float32), axis=0)
    for j in range(3):
        removed = x[:9].astype(np.float32).copy()
        removed[:, j] = mean[j]
        clean, gone = (model.predict_proba(a)[np.arange(9), y[:9]] for a in (x[:9].astype(np.float32), removed))
        np.testing.assert_allclose(found[:, j], clean - gone, atol=1e-5)


# --- maskers that change nothing


@pytest.mark.parametrize("masker", ["zero", "mean"])
def test_a_masker_that_changes_nothing_is_an_error_and_a_single_sample_is_not(masker: str) -> None:
    model = lambda a: np.stack([a.sum(1), -a.sum(1)], axis=1)  # noqa: E731
    given: dict[str, Any] = {"model": model, "returns": "logit", "masker": masker}
    flat = np.zeros((3, 4), np.float32)
    with pytest.raises(UnsupportedError, match=f"masker '{masker}' changes nothing: all features of all 3 samples"):
        xb.score("pixel_flipping", inputs=flat, attributions=R.normal(size=(3, 4)), **given)
    with pytest.raises(UnsupportedError, match="changes nothing"):
        xb.explain("feature_ablation", inputs=flat, **given)
    assert len(xb.score("pixel_flipping", inputs=flat[:1], attributions=R.normal(size=(1, 4)), **given)) == 1
    mixed = np.concatenate([flat, R.normal(size=(1, 4)).astype(np.float32)])
    scores = xb.score("pixel_flipping", inputs=mixed, attributions=R.normal(size=(4, 4)), **given)
    assert np.isfinite(scores).all()


def test_a_frame_with_gaps_is_as_good_as_an_array() -> None:
    frame = pd.DataFrame({"a": [1.0, NAN], "b": [0.0, 1.0]})
    found = xb.explain(
        "feature_ablation", model=takes_missing, inputs=frame, background=GAPS, masker="mean", returns="value"
    )
    assert found.tolist() == [[-1.0, 0.0], [8.0, 0.0]]


def test_the_check_of_effects_is_there_for_any_caller() -> None:
    check_effect("zero", torch.eye(2), torch.zeros(2, 2))
    with pytest.raises(UnsupportedError):
        check_effect("zero", torch.zeros(2, 2), torch.zeros(2, 2))
