"""Function interpretation: sets of functions, interpreters and program metrics; importing this registers them all."""

from xaibench.functions import (
    controls,
    gaussian_process,
    grammar_search,
    interpreters,
    llm,
    neurons,
    neurons_interpreters,
    neurons_scores,
    numeric,
    relations,
    relations_interpreters,
    relations_scores,
    scores,
    strings,
    symbolic,
    unit_test,
)

__all__ = [
    "controls",
    "gaussian_process",
    "grammar_search",
    "interpreters",
    "llm",
    "neurons",
    "neurons_interpreters",
    "neurons_scores",
    "numeric",
    "relations",
    "relations_interpreters",
    "relations_scores",
    "scores",
    "strings",
    "symbolic",
    "unit_test",
]
