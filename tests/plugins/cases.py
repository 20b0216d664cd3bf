"""A small kind of cases, explainers that go right and wrong in known ways, and a metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata

import xaibench as xb
from xaibench.core.gates import Gate

ASKED: list[str] = []
"""Case of every answer that was asked for in this process."""
xb.register_case_kind(xb.CaseKind("weights", "scores", "model", counted=("run",), at_once=2))


@dataclass(frozen=True)
class Given:
    """A linear model that may be run."""

    run: Callable[[torch.Tensor], torch.Tensor]
    inputs: torch.Tensor


@xb.function_set("tiny_weights", kind="weights")
def tiny_weights(*, seed: int = 0, n: int = 6, failed: int = -1) -> tuple[xb.Case, ...]:
    """Linear models of five weights, which are the truth; the gate of one may fail."""
    made = []
    for i in range(n):
        weights = torch.from_numpy(np.random.default_rng((seed, i)).permutation(5) + 1.0)
        made.append(
            xb.Case(
                f"weights/{i}",
                "weights",
                Given(lambda x, w=weights: x @ w, torch.eye(5, dtype=torch.float64)),
                xb.Scores(weights),
                {},
                units=tuple("abcde"),
                gates=(Gate("works", float(i != failed), 0.5),),
            )
        )
    return tuple(made)


@xb.interpreter("ablate", takes={"weights"})
def ablate(case: xb.CaseView, draws: np.random.Generator, *, factor: float = 1.0) -> xb.Scores:
    """What the output loses without each input: exact."""
    ASKED.append(case.name)
    return xb.Scores(factor * torch.stack([case.given.run(row) for row in case.given.inputs]))


@xb.interpreter("slope", takes={"weights"})
def slope(case: xb.CaseView, draws: np.random.Generator) -> xb.Scores:
    """The gradient, by one backward pass: exact."""
    x = case.given.inputs[0].clone().requires_grad_()
    case.given.run(x).backward()
    return xb.Scores(x.grad)


@xb.interpreter("unit_position", takes={"weights"}, control=True)
def unit_position(case: xb.CaseView, draws: np.random.Generator) -> xb.Scores:
    """Earlier units first; never looks at the model."""
    return xb.Scores(-torch.arange(5.0))


@xb.interpreter("misbehaves", takes={"weights"})
def misbehaves(case: xb.CaseView, draws: np.random.Generator) -> xb.Scores:
    """Goes wrong in another way on each of the first cases; right on the last one, but for a unit without opinion."""
    number = int(case.name[-1])
    if number == 0:
        raise ValueError("no idea")
    if number == 1:
        return xb.Scores(torch.full((5,), torch.nan))
    if number == 2:
        return xb.Scores(torch.zeros(4))
    if number == 3:
        return torch.zeros(5)
    if number == 4:
        return xb.Scores(torch.tensor([1.0, 2.0, 3.0, 4.0, torch.inf]))
    found = torch.stack([case.given.run(row) for row in case.given.inputs])
    return xb.Scores(torch.where(found == found.min(), torch.nan, found))


@xb.metric(
    "weight_rank",
    family="ground_truth",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"case", "weights"},
    skill_valid=True,
)
def weight_rank(ev: xb.CaseEvaluation) -> np.ndarray:
    """Spearman correlation with the weights; 0 for scores that are all equal."""
    found = []
    for i in range(len(ev)):
        a = rankdata(torch.nan_to_num(ev.scores(i), nan=-torch.inf).numpy())
        b = rankdata(ev.truth(i).numpy())
        found.append(np.corrcoef(a, b)[0, 1] if a.std() > 0 else 0.0)
    return np.array(found)
