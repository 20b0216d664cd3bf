"""A program beside its function: which held-out outputs agree, and curves over the domain."""

from __future__ import annotations

import numpy as np

from xaibench.analysis.program_comparison import (
    function_curves,
    held_out_comparison,
    program_outputs,
    same_side,
)
from xaibench.core.programs.black_box import BlackBox, Domain, Interpretation


def words(kind: str, truth: dict[str, object]) -> BlackBox:
    def call(xs):
        values = [truth[x] for x in xs]
        return np.array(values) if kind == "neuron" else values

    return BlackBox("f", kind, call, call, Domain(words=("a",)), "family", {}, "", list(truth))


def test_held_out_words_agree_where_the_answers_are_equal() -> None:
    box = words("relation", {"a": "1", "b": "2", "c": "undefined"})
    answer = Interpretation(lambda xs: ["1" if x == "a" else "undefined" for x in xs])
    found = held_out_comparison(box, answer)
    assert found.inputs == ["a", "b", "c"]
    assert found.wanted == ["1", "2", "undefined"]
    assert found.agree == [True, False, True]
    assert found.n_right == 2
    assert program_outputs(box, answer, ["b"]) == ["undefined"]


def test_neurons_agree_on_a_side_of_one_half() -> None:
    box = words("neuron", {"a": 1.0, "b": 0.0, "c": 0.4})
    found = held_out_comparison(box, Interpretation(lambda xs: np.array([0.6, 0.7, np.nan])))
    assert found.agree == [True, False, False]
    assert found.n_right == 1
    assert same_side(0.5, 0.2), "exactly one half is not above it"


def test_curves_are_equally_spaced_over_the_domain() -> None:
    box = BlackBox("f", "numeric", np.abs, np.abs, Domain(-2.0, 2.0), "abs", {}, "", np.array([0.0]))
    x, wanted, found = function_curves(box, Interpretation(lambda x: 2 * np.asarray(x)), 5)
    assert x.tolist() == [-2, -1, 0, 1, 2]
    assert wanted.tolist() == [2, 1, 0, 1, 2]
    assert found.tolist() == [-4, -2, 0, 2, 4]
