"""Consistency and sufficiency against literal loops over the reference samples, and what they cannot see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, TABLE, gradient, linear, make_evaluation, make_inputs, make_view
from scipy.spatial.distance import cdist
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import CallablePredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth

BOTH = ("consistency", "sufficiency_distance")


def run(name: str, ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def problem(n: int = 8, m: int = 60) -> ProblemView:
    """A model that predicts all of its three classes."""
    view = make_view(linear(TABLE), make_inputs(TABLE, n), background=make_inputs(TABLE, m, seed=1))
    assert view.background is not None
    assert len(view.targets.unique()) == len(view.model.predict(view.background).argmax(dim=1).unique()) == 3
    return view


def own_input(view: ProblemView, stream: str) -> Tensor:
    """A map that needs no model: the input itself."""
    return view.inputs.clone()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_consistency_is_the_literal_loop(k: int) -> None:
    view = problem()
    ev = make_evaluation(view, kind="contribution", function=own_input)
    assert view.background is not None
    classes = [view.model.predict(x).argmax(dim=1).tolist() for x in (view.inputs, view.background)]

    def discrete(x: Tensor) -> frozenset[tuple[int, float]]:
        top = x.abs().topk(k).indices.tolist()
        return frozenset((i, x[i].sign().item()) for i in top)

    expected = []
    for row in range(8):
        same = [j for j in range(60) if discrete(view.background[j]) == discrete(view.inputs[row])]
        agree = [classes[1][j] == classes[0][row] for j in same]
        expected.append(np.mean(agree) if agree else np.nan)
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(run("consistency", ev, k=k), expected, rtol=1e-6)


@pytest.mark.parametrize("threshold", [0.3, 1.0])
def test_sufficiency_is_the_literal_loop(threshold: float) -> None:
    view = problem()
    ev = make_evaluation(view, kind="contribution", function=own_input)
    assert view.background is not None
    near = cdist(view.inputs, view.background, "cosine") <= threshold
    own, others = (view.model.predict(x).argmax(dim=1).numpy() for x in (view.inputs, view.background))
    expected = [np.mean(own[i] == others[near[i]]) if near[i].any() else np.nan for i in range(8)]
    assert np.isfinite(expected).sum() > 2
    np.testing.assert_allclose(run("sufficiency_distance", ev, threshold=threshold), expected, rtol=1e-6)


def test_references_are_explained_for_their_own_class_once_for_both_metrics() -> None:
    view = problem()
    assert view.background is not None
    seen: list[ProblemView] = []

    def explain(view: ProblemView, stream: str) -> Tensor:
        seen.append(view)
        return gradient(view)

    ev = make_evaluation(view, function=explain)
    seen.clear()
    for name in BOTH:
        run(name, ev)
    assert len(seen) == 1
    assert torch.equal(seen[0].inputs, view.background)
    assert torch.equal(seen[0].targets, view.model.predict(view.background).argmax(dim=1))


def test_maps_that_tell_the_classes_apart_are_perfect() -> None:
    """The slopes of a linear model are the same within a class, and differ between classes."""
    view = make_view(linear(IMAGE), make_inputs(IMAGE, 10), background=make_inputs(IMAGE, 60, seed=1))
    ev = make_evaluation(view)
    for name in BOTH:
        assert run(name, ev).tolist() == [1] * 10


def test_equal_maps_score_the_share_of_the_class_whether_they_are_true_or_not() -> None:
    """Why these two are excepted from the test of separation: there is nothing to tell samples apart by.

    The mask of a planted signal that never moves explains every sample alike. It is the truth, and
    scores what a map scores that is nowhere true.
    """
    view = problem(n=12)
    assert view.background is not None
    mask = torch.tensor([1.0, 1, 0, 0, 0, 0])
    maps = [lambda v, _s, m=m: m.expand(len(v), 6).clone() for m in (mask, 1 - mask, torch.ones(6))]
    own, others = (view.model.predict(x).argmax(dim=1) for x in (view.inputs, view.background))
    share = (own.unsqueeze(1) == others).double().mean(dim=1)
    assert len(share.unique()) > 1
    for function in maps:
        for name in BOTH:
            found = run(name, make_evaluation(view, kind="saliency", function=function))
            np.testing.assert_allclose(found, share, rtol=1e-6)


def test_the_sample_itself_is_no_reference() -> None:
    """Nor is one that equals it: both would always agree."""
    view = problem()
    assert view.background is not None
    for name in BOTH:
        for row in torch.arange(8).split(1):
            a, b = (
                run(name, make_evaluation(v.take(row), kind="contribution", function=own_input))
                for v in (view, replace(view, background=torch.cat([view.inputs[row], view.background])))
            )
            np.testing.assert_array_equal(a, b)
            alone = replace(view, background=view.inputs[row]).take(row)
            assert bool(torch.isnan(run(name, make_evaluation(alone, kind="contribution", function=own_input))).all())


def test_undefined_where_nobody_shares_the_explanation() -> None:
    view = problem()
    maps = torch.zeros(8, 6)
    maps[1:, 0] = 1
    ev = make_evaluation(view, maps, kind="contribution", function=lambda v, _s: torch.eye(6)[[1]].repeat(len(v), 1))
    for name in BOTH:
        assert bool(torch.isnan(run(name, ev)).all())


def test_a_map_of_zeros_is_like_no_other() -> None:
    view = problem()
    maps = view.inputs.clone()
    maps[0] = 0
    ev = make_evaluation(view, maps, kind="contribution", function=own_input)
    found = run("sufficiency_distance", ev, threshold=3)
    assert torch.isnan(found).tolist() == [True] + [False] * 7
    nowhere = make_evaluation(view, maps, kind="contribution", function=lambda v, _s: torch.zeros_like(v.inputs))
    assert bool(torch.isnan(run("sufficiency_distance", nowhere, threshold=3)).all())


def test_what_they_need() -> None:
    view = problem()
    for name in BOTH:
        with pytest.raises(UnsupportedError, match="background"):
            run(name, make_evaluation(replace(view, background=None)))
        with pytest.raises(UnsupportedError, match="explains again"):
            run(name, replace(make_evaluation(view), explainer=None))
        values = CallablePredictor(lambda x: x.sum(axis=1), "value")
        regression = make_view(values, view.inputs, targets=torch.zeros(8, dtype=torch.int64), background=view.inputs)
        with pytest.raises(UnsupportedError, match="classes"):
            run(name, make_evaluation(regression, view.inputs, kind="contribution", function=own_input))


def test_the_scale_of_the_maps_plays_no_role() -> None:
    view = problem()
    for name in BOTH:
        a, b = (
            run(name, make_evaluation(view, kind="contribution", function=lambda v, _s, f=f: f * v.inputs))
            for f in (1, 1000)
        )
        np.testing.assert_allclose(a, b)


def test_an_explainer_that_knows_the_truth_knows_none_of_the_references() -> None:
    view = replace(problem(), truth=Truth("model", torch.ones(8, 6, dtype=torch.bool)))
    ev = make_evaluation(view)
    assert ev.explainer is not None
    ev = replace(ev, explainer=replace(ev.explainer, view=view))
    with pytest.raises(UnsupportedError, match="truth"):
        run("consistency", ev)
