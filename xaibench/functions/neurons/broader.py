"""A deliberately wrong interpreter of neurons over words: its description is right but too broad."""

from __future__ import annotations

import numpy as np

from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation
from xaibench.functions.neurons.concepts import vocabulary
from xaibench.functions.neurons.generation import FIRING_THRESHOLD, Neuron


@interpreter("broader_concept", takes={"neuron"}, needs={"truth"})
def broader_concept(f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """The smallest node of the taxonomy that holds all words the neuron fires for and more: too broad, on purpose.

    Is given the truth. What a test makes of it tells whether the test sees that a description is too broad.
    """
    truth = f.truth
    assert truth is not None
    words = vocabulary()
    fires = np.asarray(truth.program(list(words.words))) > FIRING_THRESHOLD
    sizes = words.nodes.sum(axis=0)
    broader = np.flatnonzero(words.nodes[fires].all(axis=0) & (sizes > fires.sum()))
    extent = words.nodes[:, broader[np.argmin(sizes[broader])]]
    facts = {"concepts": [[words.words[w] for w in np.flatnonzero(extent)]]}
    program = Neuron(words, extent.astype(np.float64))
    return Interpretation(
        program, f"fires for {extent.sum()} words, {fires.sum()} of them right", "single", facts=facts
    )
