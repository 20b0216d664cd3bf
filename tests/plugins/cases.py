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


@dataclass(frozen=True)
class Inputs:
    """What a dictionary is learned from, and what it is tested on."""

    train: torch.Tensor
    test: torch.Tensor


@xb.function_set("tiny_dictionaries", kind="dictionary")
def tiny_dictionaries(*, seed: int = 0, n: int = 3) -> tuple[xb.Case, ...]:
    """Rows that are one of four orthogonal directions each."""
    made = []
    for i in range(n):
        rng = np.random.default_rng((seed, i))
        directions = torch.linalg.qr(torch.from_numpy(rng.normal(size=(4, 4))))[0]
        codes = torch.eye(4, dtype=torch.float64)[torch.from_numpy(rng.integers(4, size=20))]
        truth = xb.Dictionary(directions, codes[10:], codes[10:] @ directions)
        given = Inputs(codes[:10] @ directions, codes[10:] @ directions)
        made.append(xb.Case(f"dictionaries/{i}", "dictionary", given, truth, {}))
    return tuple(made)


@xb.interpreter("distinct_rows", takes={"dictionary"})
def distinct_rows(case: xb.CaseView, draws: np.random.Generator) -> xb.Dictionary:
    """The rows that differ from each other; of the last case something with a wrong shape."""
    rows = torch.unique(torch.cat([case.given.train, case.given.test]).round(decimals=9), dim=0)
    codes = (case.given.test @ rows.T).round(decimals=6)
    if case.name.endswith("2"):
        return xb.Dictionary(rows, codes.T, codes @ rows)
    return xb.Dictionary(rows, codes, codes @ rows)


@xb.metric("tiny_matching", family="ground_truth", higher_is_better=True, bounds=(0, 1), needs={"case", "dictionary"})
def tiny_matching(ev: xb.CaseEvaluation) -> np.ndarray:
    """Mean over true directions of the largest |cosine|."""
    found = []
    for i, case in enumerate(ev.cases):
        a, b = case.truth.directions.double(), ev.dictionary(i).directions.double()
        found.append(float((a @ torch.nn.functional.normalize(b, dim=1).T).abs().amax(dim=1).mean()))
    return np.minimum(np.array(found), 1.0)


@xb.function_set("gated_lines", kind="numeric")
def gated_lines(*, seed: int = 0) -> tuple[xb.BlackBox, ...]:
    """Two functions, of which one does not pass its gate."""
    return tuple(
        xb.BlackBox(
            f"gated/{i}", "numeric", np.negative, np.negative, xb.Domain(-1, 1), "linear", {}, "-x", np.ones(2),
            gates=(Gate("works", float(i), 1.0),),
        )
        for i in range(2)
    )  # fmt: skip


@xb.metric("gated_fit", family="ground_truth", higher_is_better=True, bounds=(0, 1), needs={"program", "numeric"})
def gated_fit(ev: xb.ProgramEvaluation) -> np.ndarray:
    """Whether the program is right, and 0 for the first function, whatever it is."""
    return np.array([float(f.name != "gated/0") for f in ev.functions])
