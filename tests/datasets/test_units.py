"""Behaviours of tables: the model is the formula, and scores are those of the closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import make_view

import xaibench as xb
from xaibench.core.errors import UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import explain, explain_function
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.datasets.units import units
from xaibench.models.written_formulas import units_formula as written

BEHAVIOURS = ("cancel", "interact", "saturate", "product", "absence", "common_cause", "shatter")


def by_hand(behaviour: str, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The formula of the docstring, in float64."""
    w, x = weights.astype(np.float64), x.astype(np.float64)
    return {
        "cancel": lambda: (w[0, ::2] * x[:, ::2] * (1 - x[:, 1::2])).sum(1),
        "interact": lambda: np.where(x[:, 4:5] == 1, w[1, :4], w[0, :4]).__mul__(x[:, :4]).sum(1) + w[0, 4] * x[:, 4],
        "saturate": lambda: np.minimum(x.sum(1), 1),
        "product": lambda: x[:, :3].prod(1) + x[:, 3:5] @ w[0, 3:5],
        "absence": lambda: np.maximum(1 - x[:, 0], 0) * (x[:, 1:4] @ w[0, 1:4]),
        "common_cause": lambda: 3 * x[:, 0] + x[:, 1:4] @ w[0, 1:4],
        "shatter": lambda: x @ w[0] + 0.01 * np.sin(1000 * x).sum(1),
    }[behaviour]()


def view_of(behaviour: str, n: int = 40, output: str = "logit", **params):
    data = units(seed=0, behaviour=behaviour, samples=200, **params)
    return data, make_view(
        written(data),
        torch.from_numpy(data.test_inputs[:n]),
        targets=torch.ones(n, dtype=torch.int64),
        background=torch.from_numpy(data.train_inputs),
        output=output,
        truth=Truth("model", mask=torch.from_numpy(data.test_mask[:n])),
    )


def scored(view, explainer: str, metric: str, params: dict, **given) -> torch.Tensor:
    spec, of = get("explainer", explainer), get("metric", metric)
    function = explain_function(spec, spec.bind(given))
    shown = view if explainer == "oracle" else replace(view, truth=None)
    maps = explain(function, shown, f"explain/{explainer}")
    kind = "saliency" if explainer == "oracle" else spec.stated_kind(spec.bind(given))
    ev = Evaluation.of(view, attributions=maps, kind=kind, truth=view.truth)
    return score(of, of.bind(params), ev).values


def auroc(view, explainer: str, **given) -> torch.Tensor:
    return scored(view, explainer, "localisation_auc", {"sign": "absolute"}, **given)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_model_is_the_formula(behaviour: str) -> None:
    data, view = view_of(behaviour, 200)
    weights = np.asarray(data.facts["weights"])
    for rows in (data.test_inputs, data.train_inputs):
        found = written(data)(torch.from_numpy(rows))[:, 1].numpy()
        np.testing.assert_allclose(found, by_hand(behaviour, weights, rows), rtol=1e-5, atol=1e-5)
    assert view.truth is not None


@pytest.mark.parametrize("behaviour", [b for b in BEHAVIOURS if b not in ("shatter", "common_cause")])
def test_relevance_is_what_some_change_of_the_column_shows(behaviour: str) -> None:
    """A column is relevant iff the output depends on it, the others being as they are or, if saturated, absent."""
    data, _ = view_of(behaviour, 60)
    rows = data.train_inputs[:60]
    mask = data.test_mask[:60]
    for j in range(8):
        moved = np.zeros(60, bool)
        for other in rows[:, j]:
            x = data.test_inputs[:60].copy()
            if behaviour == "saturate":
                # In a minimal sufficient reason: with all others absent it decides.
                x[:, [i for i in range(8) if i != j]] = 0
                x = np.where(np.arange(8) == j, data.test_inputs[:60], x)
            changed = x.copy()
            changed[:, j] = 0 if behaviour == "saturate" else other
            weights = np.asarray(data.facts["weights"])
            moved |= np.abs(by_hand(behaviour, weights, changed) - by_hand(behaviour, weights, x)) > 1e-9
        np.testing.assert_array_equal(moved, mask[:, j], err_msg=f"column {j}")


@pytest.mark.parametrize("behaviour", [b for b in BEHAVIOURS if b != "shatter"])
def test_the_oracle_is_right_everywhere_and_a_constant_is_a_coin(behaviour: str) -> None:
    _, view = view_of(behaviour, 100)
    assert torch.nanmean(auroc(view, "oracle")) == 1
    assert torch.nanmean(auroc(view, "constant")) == 0.5
    random = auroc(view, "random")
    random = random[~torch.isnan(random)]
    assert abs(random.mean() - 0.5) <= 3.5 * random.std() / len(random) ** 0.5


def test_saturation_hides_every_column_from_its_own_removal() -> None:
    _, view = view_of("saturate")
    assert (auroc(view, "gradient") == 0.5).all()
    assert (auroc(view, "occlusion") == 0.5).all()
    assert auroc(view, "kernel_shap").min() == 1
    assert auroc(view, "integrated_gradients").min() == 1


def test_absence_is_nothing_from_zero_and_something_from_data() -> None:
    """Four relevant columns, one of them tied with the four irrelevant ones: 1 - 1/8."""
    _, view = view_of("absence")
    for name in ("input_x_gradient", "integrated_gradients"):
        torch.testing.assert_close(auroc(view, name), torch.full((40,), 0.875), rtol=1e-6, atol=0, check_dtype=False)
    # The zeros of a regression are zeros but for rounding, which orders them as it likes.
    assert abs(auroc(view, "kernel_shap").mean() - 0.875) < 0.04
    assert auroc(view, "kernel_shap", references="rows", n_references=16).mean() > 0.99


def test_pairs_that_cancel_add_up_to_nothing() -> None:
    data, view = view_of("cancel")
    group = {"group_size": 2}
    assert scored(view, "kernel_shap", "group_effects", group).max() < 1e-4
    # The published truth: w x for the number and its negative for the switch.
    weights = torch.from_numpy(np.asarray(data.facts["weights"]))[0, ::2]
    maps = torch.zeros(40, 8)
    maps[:, ::2] = weights * view.inputs[:, ::2]
    maps[:, 1::2] = -maps[:, ::2] * view.inputs[:, 1::2]
    ev = Evaluation.of(view, attributions=maps, kind="contribution")
    of = get("metric", "group_effects")
    found = score(of, of.bind(group), ev).values
    assert found[~torch.isnan(found)].max() < 1e-5
    # By hand: a map that leaves the switches out is wrong by what the cancelled numbers would do.
    maps[:, 1::2] = 0
    wrong = score(of, of.bind(group), Evaluation.of(view, attributions=maps, kind="contribution")).values
    effects = (weights * view.inputs[:, ::2]).abs()
    off = view.inputs[:, 1::2] == 1
    expected = (effects * off).sum(1) / (effects * ~off).sum(1)
    known = (~off).any(dim=1)
    torch.testing.assert_close(wrong[known], expected[known], rtol=1e-5, atol=1e-6, check_dtype=False)
    assert torch.isnan(wrong[~known]).all()


def test_a_common_cause_counts_for_the_logit_and_not_for_the_probability() -> None:
    _, logit = view_of("common_cause", explained="logit")
    _, probability = view_of("common_cause", output="probability", explained="probability")
    assert logit.truth.mask[:, 0].all()
    assert not probability.truth.mask[:, 0].any()
    for name in ("integrated_gradients", "kernel_shap", "occlusion"):
        assert auroc(logit, name).min() == 1, name
        assert auroc(probability, name).mean() > 0.999, name
    # A map of the logit is wrong about the probability: the common cause is above what separates the classes.
    maps = explain(explain_function(get("explainer", "kernel_shap"), get("explainer", "kernel_shap").bind({})),
                   replace(logit, truth=None), "explain")  # fmt: skip
    ev = Evaluation.of(probability, attributions=maps, kind="contribution", truth=probability.truth)
    of = get("metric", "localisation_auc")
    assert score(of, of.bind({"sign": "absolute"}), ev).values.mean() < 0.9


def test_ripples_shatter_the_gradient() -> None:
    _, view = view_of("shatter")
    assert scored(view, "gradient", "slope_test", {"radius": 0.1}).nanmean() < 1.2
    assert scored(view, "occlusion", "slope_test", {"radius": 0.1}).nanmean() > 1.9


def test_another_data_set_is_refused() -> None:
    data = xb.components("dataset")
    assert "units" in set(data["name"])
    rows = np.zeros((4, 2), np.float32)
    other = xb.Data("table", rows, np.array([0, 1, 0, 1]), rows, np.array([0, 1, 0, 1]))
    with pytest.raises(UsageError, match="the formula of the data set units"):
        written(other)
