"""A search by queries, where it is known what can be found: maps that stay, maps that a square turns over."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.builders import make_evaluation, make_view
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score

N, SIDE = 6, 8


class FirstClass(nn.Module):
    """Says the first class, unless the picture becomes brighter than a limit."""

    def __init__(self, limit: float = 10.0) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, inputs: Tensor) -> Tensor:
        bright = inputs.mean(dim=(1, 2, 3)) - self.limit
        return torch.stack([-bright, bright], dim=1)


def place(left: bool) -> Tensor:
    found = torch.zeros(SIDE, SIDE)
    found[:, slice(0, 2) if left else slice(-2, None)] = torch.arange(1.0, 2 * SIDE + 1).view(SIDE, 2)
    return found


def still(view: ProblemView, stream: str = "") -> Tensor:
    return place(True).expand(len(view), -1, -1).clone()


def switched(threshold: float) -> Any:
    """On the left, and on the right as soon as a block in the middle is bright on average."""

    def function(view: ProblemView, stream: str = "") -> Tensor:
        bright = view.inputs[:, 0, 2:6, 2:6].mean(dim=(1, 2)) > threshold
        return torch.where(bright.view(-1, 1, 1), place(False), place(True))

    return function


def evaluation(function: Any, limit: float = 10.0) -> Evaluation:
    inputs = torch.zeros(N, 1, SIDE, SIDE) + 0.0001 * torch.arange(N).view(N, 1, 1, 1)
    return make_evaluation(make_view(FirstClass(limit).eval(), inputs), kind="contribution", function=function)


def run(ev: Evaluation, **params: Any) -> Tensor:
    spec = get("metric", "query_attack")
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind({"k": 16, "epsilon": 0.1, "queries": 60, **params}), ev).values


def test_a_map_that_stays_cannot_be_turned_over() -> None:
    assert run(evaluation(still)).tolist() == [0.0] * N


def test_a_search_turns_over_what_noise_hardly_does() -> None:
    """A mean above .04 of 16 numbers of +-.1 takes 12 equal signs: noise has a chance of .038."""
    scores = run(evaluation(switched(0.04)), queries=200, n_noise=50)
    assert scores.mean() == pytest.approx(1 - 0.038, abs=0.05)


def test_what_noise_does_too_does_not_count() -> None:
    """Nine or more of 16 signs are positive with a chance of .402: the search succeeds, and so does noise."""
    scores = run(evaluation(switched(0.002)), n_noise=200)
    assert scores.tolist() == pytest.approx([1 - 0.402] * N, abs=0.12)


def test_success_grows_with_queries_and_is_the_same_search() -> None:
    few, more = (run(evaluation(switched(0.04)), queries=q) for q in (2, 60))
    assert (more >= few).all()
    assert few.mean() < 1


def test_another_class_is_no_success() -> None:
    """All that turns the map over also makes the block bright, and here a bright block is of the other class."""

    class BrightBlock(FirstClass):
        def forward(self, inputs: Tensor) -> Tensor:
            bright = inputs[:, 0, 2:6, 2:6].mean(dim=(1, 2)) - 0.039
            return torch.stack([-bright, bright], dim=1)

    view = make_view(BrightBlock().eval(), torch.zeros(N, 1, SIDE, SIDE))
    ev = make_evaluation(view, kind="contribution", function=switched(0.04))
    assert run(ev, queries=200).tolist() == [0.0] * N


def test_models_of_values_and_tables_are_refused() -> None:
    view = make_view(
        TorchPredictor(FirstClass().eval(), "value"), torch.zeros(2, 1, SIDE, SIDE), targets=torch.zeros(2).long()
    )
    with pytest.raises(UnsupportedError):
        run(make_evaluation(view, function=still))
