"""Controls of training-data attribution: similarity, which never sees the model, and the answer to another question."""

from __future__ import annotations

import numpy as np
import torch

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.program_registry import interpreter
from xaibench.functions.influence.generation import TrainedRegression


@interpreter("input_similarity", takes={"influence"}, control=True)
def input_similarity(case: CaseView, draws: np.random.Generator) -> Scores:
    """Product of the test row with each training row; never looks at the model."""
    given: TrainedRegression = case.given
    return Scores(given.test_inputs @ given.inputs.T)


@interpreter("label_similarity", takes={"influence"}, control=True)
def label_similarity(case: CaseView, draws: np.random.Generator) -> Scores:
    """Product of the test row with each training row of the same label, 0 for others; never looks at the model."""
    given: TrainedRegression = case.given
    return Scores(given.test_inputs @ given.inputs.T * given.targets[:, given.test_classes].T)


@interpreter("other_question", takes={"influence"}, control=True)
def other_question(case: CaseView, draws: np.random.Generator) -> Scores:
    """Influence functions of another test row of the case: looks like an answer, and is one to another question."""
    given: TrainedRegression = case.given
    found = given.regression.influence(given.test_inputs, given.test_classes)
    order = torch.from_numpy(draws.permutation(len(found)))
    moved = torch.empty_like(found)
    moved[order] = found[order.roll(1)]
    return Scores(moved)
