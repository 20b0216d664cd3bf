"""Circuits of compiled programs: the graph computes what the network does, and interventions confirm the truth."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.datasets.tracr_programs import TRACR_PROGRAMS, read_tracr
from xaibench.functions.circuits.edge_scores import edge_auroc
from xaibench.functions.circuits.tracr import NAMES, texts_of_program, tracr_circuits
from xaibench.functions.circuits.tracr_transformer import TracrGraph

WIRED = {
    "shift": (6, 18), "reverse": (15, 111), "after_marker": (7, 41), "induction": (9, 41), "sort_unique": (10, 41),
    "frac_prevs": (5, 41), "hist": (7, 18),
}  # fmt: skip
"""By program, how many edges are wired and active, and how many there are."""
SHIFT = {"tok-h0.q": 1, "pos-h0.q": 1, "bos-h0.k": 1, "pos-h0.k": 1, "tok-h0.v": 2, "h0-out": 2}
"""Places, and the default of the first one, decide where the head looks; words go through v."""


@cache
def cases(n: int) -> dict[str, xb.Case]:
    return {case.parameters["program"]: case for case in tracr_circuits(seed=1, n=n)}


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_computes_the_library_s_residual_streams(name: str) -> None:
    net = read_tracr(name)
    graph = TracrGraph(net)
    ids, streams = torch.from_numpy(net["test_ids"]).long(), torch.from_numpy(net["test_streams"]).double()
    for row, stream in zip(ids, streams, strict=True):
        length = int((row >= 0).sum())
        output, messages = graph(row[:length].unsqueeze(0))
        np.testing.assert_allclose(messages.sum(dim=1)[0], stream[:length], atol=1e-5)
        np.testing.assert_array_equal(output[0], messages.sum(dim=1)[0, 1:][:, graph.output])


def test_outputs_are_those_of_the_program() -> None:
    net, program = read_tracr("shift"), TRACR_PROGRAMS["shift"]
    words = [str(word) for word in net["vocabulary"]]
    inputs = texts_of_program("shift", 20, np.random.default_rng(0))
    output, _ = TracrGraph(net)(inputs)
    for row, found in zip(inputs, output, strict=True):
        text = tuple(words[i] for i in row[1:])
        for place in program.asked(text):
            assert str(net["values"][int(found[place].argmax())]) == program.output(text, place)


@pytest.mark.exhaustive
def test_every_gate_passes_and_patching_is_on_the_closed_form() -> None:
    """Of all programs; `reverse` has 111 edges, and takes most of the time.

    A method that is right but blind to constant messages has an AUROC of 1 - u / (2 T), for u constant edges of T.
    """
    for name, case in cases(7).items():
        assert all(gate.passed for gate in case.gates), (name, case.gates)
        wiring, variable = case.hidden["wiring"], case.hidden["variable"]
        assert (int(wiring.sum()), len(wiring)) == WIRED[name]
        found = xb.explain_case("edge_patching", case, seed=1, ablation="resample")
        assert isinstance(found, xb.Scores)
        assert edge_auroc(found.values, variable) == 1.0
        assert edge_auroc(found.values, wiring) == pytest.approx(
            1 - float(wiring.sum() - variable.sum()) / (2 * float(wiring.sum()))
        )


def test_gates_pass_on_the_smallest_program() -> None:
    case = cases(1)["shift"]
    assert all(gate.passed for gate in case.gates), case.gates
    labels = (case.hidden["wiring"] + case.hidden["variable"]).tolist()
    assert {str(edge): label for edge, label in zip(case.given.edges, labels, strict=True) if label} == SHIFT


def test_without_the_dimension_of_ones_a_program_does_not_run() -> None:
    """The constants of heads and MLPs come from it: so it is a wire, though it says nothing about a text."""
    graph = TracrGraph(read_tracr("shift"))
    inputs = texts_of_program("shift", 20, np.random.default_rng(0))
    clean, sent = graph(inputs)
    token = graph.net["token"]
    (one,) = [d for d in range(token.shape[1]) if bool((token[:, d] == 1).all())]
    without = sent.clone()
    without[..., one] = 0
    everything = torch.tensor([edge.receiver == "h0" for edge in graph.edges], dtype=torch.float64)
    same, _ = graph(inputs, everything, sent)
    torch.testing.assert_close(same, clean)
    changed, _ = graph(inputs, everything, without)
    assert float((changed - clean).abs().max()) > 0.4


def test_attribution_takes_outputs_that_lack_the_first_place() -> None:
    found = xb.explain_case("edge_attribution", cases(1)["shift"], seed=1, ablation="zero", steps=4)
    assert isinstance(found, xb.Scores)
    assert found.values.shape == (18,)
    assert bool(torch.isfinite(found.values).all())
