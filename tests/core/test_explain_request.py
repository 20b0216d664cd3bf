"""Explaining again: what a request changes, and that everything else stays as it was."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from helpers.builders import TABLE, gradient, linear, make_evaluation, make_inputs, make_view
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import AS_BEFORE, ExplainRequest
from xaibench.core.pairs import Pair
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView


def telltale(view: ProblemView, stream: str) -> Tensor:
    """A map that depends on everything that a request may change: slopes, inputs, background and draws."""
    assert view.background is not None
    noise = view.draws(stream).normal(view.layout.feature_shape)
    return gradient(view) + view.inputs + view.background.mean(dim=0) + noise


@pytest.fixture
def ev() -> Evaluation:
    view = make_view(linear(TABLE), make_inputs(TABLE, 5), background=make_inputs(TABLE, 7, seed=1))
    return make_evaluation(view, function=telltale)


def test_an_empty_request_gives_the_same_maps(ev: Evaluation) -> None:
    assert torch.equal(ev.explain(), ev.attributions)
    assert torch.equal(ev.explain(AS_BEFORE), ev.explain(ExplainRequest()))


def changes(ev: Evaluation) -> dict[str, Any]:
    """A value for every field of a request that differs from what was explained."""
    other = TorchPredictor(linear(TABLE, seed=3))
    return {
        "model": other,
        "inputs": ev.inputs + 1,
        "rows": torch.tensor([4, 4, 0]),
        "targets": (ev.targets + 1) % 3,
        "samples": make_view(ev.model, make_inputs(TABLE, 4, seed=5), background=ev.background),
        "background": make_inputs(TABLE, 9, seed=2),
        "pair": Pair(model=lambda: other, inputs=ev.inputs[:3] - 1),
        "redraw": 2,
    }


@pytest.mark.parametrize("name", [f.name for f in fields(ExplainRequest)])
def test_every_field_changes_what_is_explained_and_nothing_else(ev: Evaluation, name: str) -> None:
    value = changes(ev)[name]
    found = ev.explain(ExplainRequest(**{name: value}))
    view = make_view(ev.model, ev.inputs, background=ev.background, targets=ev.targets)
    stream = "explain"
    if name == "samples":
        view = value
    elif name == "pair":
        view = replace(view.take(slice(0, 3)), model=value.model(), inputs=value.inputs)
    elif name == "rows":
        view = view.take(value)
    elif name == "redraw":
        stream = "explain#2"
    else:
        view = replace(view, **{name: value})
    assert torch.equal(found, telltale(view, stream))
    assert found.shape != ev.attributions.shape or not torch.equal(found, ev.attributions)


def test_copies_are_explained_with_the_draws_of_their_samples(ev: Evaluation) -> None:
    rows = torch.tensor([3, 1, 3])
    found = ev.explain(ExplainRequest(inputs=ev.inputs[rows], rows=rows))
    assert torch.equal(found, ev.attributions[rows])


def test_what_cannot_be_explained_is_said(ev: Evaluation) -> None:
    with pytest.raises(ValueError, match="3 inputs to explain need rows="):
        ev.explain(ExplainRequest(inputs=ev.inputs[:3], targets=ev.targets))
    with pytest.raises(UnsupportedError, match="explains again"):
        replace(ev, explainer=None).explain()
    with pytest.raises(TypeError, match="input"):
        ExplainRequest(input=ev.inputs)  # type: ignore[call-arg]
