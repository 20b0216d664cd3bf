"""A baseline for neurons over words that asks no questions: the kinds of things with the most words."""

from __future__ import annotations

import numpy as np
from pydantic import PositiveInt

from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation
from xaibench.functions.neurons.concepts import Expression, vocabulary
from xaibench.functions.neurons.generation import Neuron


@interpreter("frequent_concepts", takes={"neuron"})
def frequent_concepts(
    f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator, *, k: PositiveInt = 2
) -> Interpretation:
    """The k kinds of things that most words belong to, whatever the neuron; asks nothing.

    What naming k concepts is worth by itself. Not a control, since what suites of neurons hold besides would change.

    Parameters
    ----------
    k : int
    """
    words = vocabulary()
    sizes = words.members.sum(axis=1) * np.array([not words.is_form(c) for c in words.concepts])
    chosen = np.argsort(-sizes, kind="stable")[:k]
    expression = Expression("or", tuple(words.concepts[c] for c in chosen))
    extents = [[words.words[w] for w in np.flatnonzero(words.members[c])] for c in chosen]
    program = Neuron(words, expression.levels(words))
    return Interpretation(program, f"fires for {expression.text}", "poly", facts={"concepts": extents})
