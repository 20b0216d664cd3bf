"""Which concepts does the output depend on, given all others? By betting, with levels that are guaranteed."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Gt, Lt
from pydantic import PositiveInt

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.errors import UnsupportedError
from xaibench.core.program_registry import interpreter
from xaibench.functions.concept_nets.betting import bet, e_benjamini_hochberg
from xaibench.functions.concept_nets.generation import ConceptModel


@interpreter("concept_betting", takes=["concepts"])
def concept_betting(
    case: CaseView,
    draws: np.random.Generator,
    *,
    sampler: Literal["conditional", "marginal"] = "conditional",
    n_inputs: PositiveInt = 400,
    alpha: Annotated[float, Gt(0), Lt(1)] = 0.1,
    correction: Literal["none", "e-bh"] = "none",
) -> Scores:
    """Sequential test of conditional independence of output and concept (SKIT, Teneggi and Sulam 2024); one run.

    The score of a concept is one over the number of inputs after which its hypothesis was rejected, with the sign of
    the covariance of output and concept; 0 where it was not. It needs labels of concepts, and how they are distributed.

    Parameters
    ----------
    sampler : {"conditional", "marginal"}
        Whether a concept is drawn again given all others, as the test asks for, or regardless of them.
    n_inputs : int
    alpha : float
        Level.
    correction : {"none", "e-bh"}
        Whether each concept is tested on its own, or all together with a bound on false discoveries.

    Raises
    ------
    UnsupportedError
        If the case does not say how concepts are distributed.
    """
    model: ConceptModel = case.given
    if model.labelled is None or model.redraw is None:
        raise UnsupportedError("the concepts of this case cannot be drawn again")
    inputs, concepts = model.labelled(n_inputs, draws)
    outputs = model.run(inputs).detach().numpy()
    drawn = model.redraw(concepts, draws, conditional=sampler == "conditional")
    bets = bet(outputs, concepts.numpy(), drawn.numpy())
    times = bets.stopping_times(alpha)
    if correction == "e-bh":
        times = np.where(e_benjamini_hochberg(bets.e_values, alpha), times, 0)
    signs = bets.signs[np.maximum(times, 1) - 1, np.arange(len(times))]
    scores = np.where(times > 0, signs / np.maximum(times, 1), 0.0)
    return Scores(torch.from_numpy(scores), facts={"e-values": bets.e_values.tolist(), "times": times.tolist()})
