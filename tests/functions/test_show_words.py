"""`xaibench show find/neuron/0003` and `find/relation/0003`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers.command_line import Call

from xaibench.core.programs.black_box import BlackBox, Domain, Interpretation
from xaibench.functions.neurons.generation import find_neuron
from xaibench.functions.relations.catalogue import find_relation
from xaibench.report.neuron_text import neuron_lines, relation_lines

Show = Callable[..., str]


@pytest.fixture
def show(call: Call) -> Show:
    """What `xaibench show` prints."""

    def run(*arguments: str) -> str:
        code, out, _ = call("show", *arguments)
        assert code == 0
        return out

    return run


def test_a_neuron_is_shown_with_words_guesses_and_test(show: Show) -> None:
    out = show("find/neuron/0003", "--interpreter", "concept_search", "--budget", "64")
    f = find_neuron(seed=0, n=4)[3]
    assert out.startswith("find/neuron/0003\n")
    assert f.description[:60] in out
    assert "concept_search: " in out
    assert "AUROC on the answers\n  1.000  words that name" in out
    assert all(word in out for word in f.test_inputs)
    assert f"{len(f.test_inputs)} of {len(f.test_inputs)} on the right side" in out
    assert show("find/neuron/0003", "--budget", "64") == out, "concept search is preferred"


def test_a_relation_is_shown_with_what_was_told(show: Show) -> None:
    out = show("find/relation/0002")
    f = find_relation(seed=0)[2]
    assert "relation_search: " in out
    assert out.count(f.description[:40]) == 2
    assert "undefined ones" in out
    assert f"{len(f.test_inputs)} of {len(f.test_inputs)} right" in out


def test_bars_are_as_long_as_levels_and_wrong_sides_are_marked() -> None:
    truth = {"aa": 1.0, "bb": 0.0, "cc": 0.4}
    f = BlackBox(
        "n", "neuron", lambda xs: np.array([truth[x] for x in xs]), lambda xs: np.array([truth[x] for x in xs]),
        Domain(words=("aa",)), "single", {}, "", ["bb", "aa", "cc"],
    )  # fmt: skip
    found = Interpretation(lambda xs: np.array([{"aa": 0.9, "bb": 0.7, "cc": np.nan}[x] for x in xs]))
    assert neuron_lines(f, found, [], [], 80) == [
        "held out  neuron           program",
        "aa        1.00 ##########  0.90 #########",
        "cc        0.40 ####        ?                <--",
        "bb        0.00             0.70 #######     <--",
        "1 of 3 on the right side of 0.5",
    ]
    assert neuron_lines(f, found, ["aa", "bb"], [0.94, 0.05], 80)[:3] == [
        "asked, loudest first  answer           program",
        "aa                    0.94 #########   0.90 #########",
        "bb                    0.05             0.70 #######     <--",
    ]


def test_relations_show_what_had_an_answer() -> None:
    pairs = {"a": "1", "b": "2"}
    f = BlackBox(
        "r", "relation", lambda xs: [pairs.get(x, "undefined") for x in xs],
        lambda xs: [pairs.get(x, "undefined") for x in xs], Domain(words=("a",)), "r", {}, "", ["b", "z"],
    )  # fmt: skip
    found = Interpretation(lambda xs: ["undefined"] * len(xs))
    lines = relation_lines(f, found, ["a", "y"], ["1", "undefined"], 80)
    assert lines[1].split() == ["a", "1", "undefined", "<--"]
    assert "and 1 undefined ones" in lines
    assert lines[-1] == "1 of 2 right"
