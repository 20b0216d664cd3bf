"""Explainers and metrics draw apart: an explainer must not know what a metric puts in the place of features."""

from __future__ import annotations

import pytest
import torch
from helpers.builders import TABLE, linear, make_evaluation, make_inputs, make_view
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import explain, explain_function
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score

DRAWN = ["uniform", "marginal", "conditional"]
FIXED = ["zero", "mean", "sample_min"]


def view() -> ProblemView:
    inputs = 2 * make_inputs(TABLE, 40)
    return make_view(linear(TABLE), inputs, background=make_inputs(TABLE, 50, seed=1))


def evaluation(maps: Tensor | None = None) -> Evaluation:
    return make_evaluation(view(), maps, kind="contribution")


@pytest.mark.parametrize("masker", DRAWN)
def test_drawn_fills_differ_between_explainers_and_metrics(masker: str) -> None:
    ours, theirs = evaluation().baseline(masker), view().baseline(masker)
    assert not torch.equal(ours, theirs)
    assert torch.equal(evaluation().reference(masker), theirs)
    assert torch.equal(view().reference(masker), theirs)


@pytest.mark.parametrize("masker", FIXED)
def test_fixed_fills_are_the_same_for_both(masker: str) -> None:
    assert torch.equal(evaluation().baseline(masker), view().baseline(masker))


def explained(name: str, **params: object) -> Tensor:
    spec = get("explainer", name)
    return explain(explain_function(spec, spec.bind(params)), view(), "explain")


@pytest.mark.parametrize("baseline", [*DRAWN, *FIXED])
def test_complete_explanations_are_complete_whatever_the_baseline(baseline: str) -> None:
    spec = get("metric", "completeness")
    maps = explained("integrated_gradients", baseline=baseline)
    found = score(spec, spec.bind({"baseline": baseline}), evaluation(maps)).values
    assert float(found[torch.isfinite(found)].max()) < 1e-4


def test_an_explainer_gains_nothing_by_naming_the_metrics_masker() -> None:
    """On a linear model, contributions of one's own draws are worse for another draw than expected contributions."""
    spec = get("metric", "deletion")

    def curve(maps: Tensor) -> float:
        return float(score(spec, spec.bind({"masker": "marginal"}), evaluation(maps), output="logit").values.mean())

    ev = evaluation()
    slopes = ev.layout.reduce(ev.gradients(ev.inputs))
    known = slopes * (ev.inputs - ev.baseline("marginal"))
    own = explained("integrated_gradients", baseline="marginal")
    expected = slopes * (ev.inputs - ev.background.mean(dim=0))
    assert curve(known) < curve(expected) < curve(own)
