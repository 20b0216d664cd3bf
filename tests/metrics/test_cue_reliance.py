"""Reliance on a cue, and repair, where both are known: linear models of a cue and an object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import make_evaluation, make_view
from helpers.refit import Refit
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.data import Data
from xaibench.core.evaluation import Evaluation
from xaibench.core.pairs import Pair
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth

SIDE, CELL, N = 12, 4, 40
RELIANCES = (0.0, 0.25, 0.5, 1.0)


class Weighted(nn.Module):
    """Says class 1 where a weighted sum of a cue (upper left) and an object (middle) is above 0."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, inputs: Tensor) -> Tensor:
        cue, thing = inputs[:, 0, :CELL, :CELL].mean((1, 2)), inputs[:, 0, CELL:-CELL, CELL:-CELL].mean((1, 2))
        total = self.weight * cue + (1 - self.weight) * thing
        return torch.stack([-total, total], dim=1)


def pictures(cue: Tensor, thing: Tensor) -> Tensor:
    found = torch.zeros(len(cue), 1, SIDE, SIDE)
    found[:, 0, :CELL, :CELL] = cue.view(-1, 1, 1)
    found[:, 0, CELL:-CELL, CELL:-CELL] = thing.view(-1, 1, 1)
    return found


def samples() -> tuple[Tensor, Tensor]:
    """Signs, and how clear the object is: sample i is taken over by a cue of weight w where i / N < w / (1 - w)."""
    labels = torch.arange(N) % 2
    return labels, (2.0 * labels - 1) * (torch.arange(N) + 0.5) / N


def weight_of(reliance: float) -> float:
    return reliance / (1 + reliance)


def truth() -> Truth:
    mask, outside = torch.zeros(N, SIDE, SIDE, dtype=torch.bool), torch.ones(N, SIDE, SIDE, dtype=torch.bool)
    mask[:, :CELL, :CELL] = True
    outside[:, CELL:-CELL, CELL:-CELL] = False
    return Truth("model", mask=mask, distractors=outside & ~mask)


def evaluation(function: Any, retraining: Any = None) -> Evaluation:
    labels, thing = samples()
    sign = 2.0 * labels - 1
    view = make_view(Weighted(weight_of(1.0)).eval(), pictures(sign, thing), targets=labels, truth=truth())
    series = [Pair(lambda w=w: TorchPredictor(Weighted(weight_of(w)).eval()), level=w) for w in RELIANCES[:-1]]
    pairs = {
        "model_pair.series": (*series, Pair(level=1.0)),
        "input_pair.swapped": (Pair(inputs=pictures(-sign, thing), labels=1 - labels),),
    }
    return make_evaluation(view, kind="contribution", function=function, pairs=pairs, retraining=retraining)


def run(name: str, ev: Evaluation, **params: Any) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def contributions(view: ProblemView, stream: str = "") -> Tensor:
    """The exact terms of the model: the cue's and the object's."""
    weight = view.model.module.weight  # type: ignore[attr-defined]
    shape = torch.zeros(SIDE, SIDE)
    shape[:CELL, :CELL] = weight / CELL**2
    shape[CELL:-CELL, CELL:-CELL] = (1 - weight) / CELL**2
    return view.inputs[:, 0] * shape


def edges(view: ProblemView, stream: str = "") -> Tensor:
    return view.inputs[:, 0].abs()


def other_corner(view: ProblemView, stream: str = "") -> Tensor:
    found = torch.zeros(len(view), SIDE, SIDE)
    found[:, -CELL:, -CELL:] = 1.0
    return found


def test_exact_contributions_are_in_the_order_of_the_reliance() -> None:
    assert run("reliance_correlation", evaluation(contributions)).tolist() == [pytest.approx(1.0)]


def test_maps_that_do_not_look_at_the_model_have_no_correlation() -> None:
    assert torch.isnan(run("reliance_correlation", evaluation(edges))).all()


def test_the_error_is_that_of_the_closed_form() -> None:
    """Decisions that follow are those in which the cue's weight exceeds the object's: a known share of the samples."""
    _, thing = samples()
    followed, shown = [], []
    area = CELL**2 / SIDE**2
    for reliance in RELIANCES:
        weight = weight_of(reliance)
        followed.append(float((weight > (1 - weight) * thing.abs()).double().mean()))
        mass = (weight / (weight + (1 - weight) * thing.abs().double())).mean()
        shown.append(max(0.0, float(mass) - area) / (1 - area))
    assert followed == [0.0, 0.25, 0.5, 1.0]
    expected = float(np.mean(np.abs(np.array(followed) - np.array(shown))))
    assert run("reliance_error", evaluation(contributions)).tolist() == [pytest.approx(expected, abs=1e-5)]


class LearnsTheCueIfItCan(Refit):
    """Relies on the cue if the upper left still tells the class in the training data, else on the object."""

    def build(self, data: Data, seed: int) -> nn.Module:
        cue = data.train_inputs[:, 0, 0, 0] > 0
        told = float((cue == (data.train_targets == 1)).mean())
        return Weighted(weight_of(1.0) + 0.4 if told > 0.9 else 0.0).eval()


def retraining() -> LearnsTheCueIfItCan:
    labels, thing = samples()
    inputs = pictures(2.0 * labels - 1, thing).numpy()
    data = Data("image", inputs, labels.numpy(), inputs, labels.numpy())
    return LearnsTheCueIfItCan(make_view(Weighted(0.5).eval(), torch.from_numpy(inputs)), data)


def test_only_the_right_cell_repairs_the_model() -> None:
    assert run("repair_accuracy", evaluation(contributions, retraining())).tolist() == [1.0] * 3
    wrong = run("repair_accuracy", evaluation(other_corner, retraining()))
    assert wrong.shape == (3,)
    assert wrong.max() < 0.75


def test_what_is_the_same_in_every_cell_accuses_one_at_random_and_infinite_maps_none() -> None:
    flat = run("repair_accuracy", evaluation(lambda view, stream: torch.ones(N, SIDE, SIDE), retraining()))
    assert torch.isfinite(flat).all()
    broken = evaluation(lambda view, stream: torch.ones(N, SIDE, SIDE), retraining())
    broken.attributions[0, 0, 0] = torch.nan
    spec = get("metric", "repair_accuracy")
    assert torch.isnan(spec.function(broken)).all()  # type: ignore[operator]


def test_other_inputs_may_be_fewer_than_the_samples() -> None:
    found = []
    for labels in (None, 1 - samples()[0][: N // 2]):
        ev = evaluation(contributions)
        fewer = Pair(inputs=ev.pairs["input_pair.swapped"][0][slice(N // 2)].inputs, labels=labels)
        found.append(run("reliance_error", replace(ev, pairs={**ev.pairs, "input_pair.swapped": (fewer,)})))
    assert found[0] == found[1]


def test_where_everything_is_the_cue_a_share_on_it_says_nothing() -> None:
    ev = evaluation(contributions)
    everything = Truth("model", mask=torch.ones(N, SIDE, SIDE, dtype=torch.bool))
    assert run("reliance_error", replace(ev, truth=everything)).isnan().all()
