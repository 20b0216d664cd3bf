"""Compiled transformers: they carry out their programs, and their edges are what the compiler says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import xaibench as xb
from xaibench.core.errors import UsageError
from xaibench.functions.circuits.circuit import Circuit
from xaibench.functions.circuits.compiled import compiled, interventions
from xaibench.functions.circuits.compiler import compile_program
from xaibench.functions.circuits.graph import EDGES, LEVELS, SENDERS
from xaibench.functions.circuits.programs import PROGRAMS
from xaibench.functions.circuits.transformer import Transformer

WIRED = {
    "reverse": (4, 2), "frac_prevs": (3, 0), "induction": (7, 2), "threshold": (4, 1), "constant": (5, 2),
    "backup": (8, 4), "lookup": (2, 0), "bigram": (7, 3), "places": (4, 1), "two_back": (7, 4), "share_here": (6, 1),
    "difference": (5, 0),
}  # fmt: skip
"""By program, how many edges are wired, and how many of them are constant."""
NAMES = list(WIRED)
every_program = pytest.mark.parametrize("name", NAMES)


@cache
def cases(seed: int) -> dict[str, xb.Case]:
    return {case.parameters["program"]: case for case in compiled(seed=seed)}


def net_of(case: xb.Case) -> Transformer:
    net = case.given.run
    assert isinstance(net, Transformer)
    return net


def one_hot(token: int) -> list[float]:
    return [float(k == token) for k in range(4)]


def expected(name: str, t: list[int]) -> list[list[float]]:
    """What the program gives, by plain Python, for tokens t in the order of the program."""

    def first(values: list[float]) -> list[list[float]]:
        return [[v, 0.0, 0.0, 0.0] for v in values]

    def share(token: int, i: int) -> float:
        return t[: i + 1].count(token) / (i + 1)

    places = range(len(t))
    if name in ("reverse", "backup"):
        return [one_hot(x) for x in t[::-1]]
    if name == "frac_prevs":
        return first([share(0, i) for i in places])
    if name == "constant":
        return first([share(0, i) - 1 for i in places])
    if name == "difference":
        return first([share(0, i) - share(1, i) for i in places])
    if name == "share_here":
        return first([share(0, i) * (t[i] == 0) for i in places])
    if name == "threshold":
        return first([max(t.count(0) - 2.5, 0.0)] * len(t))
    if name == "lookup":
        return [one_hot((x + 1) % 4) for x in t]
    if name == "bigram":
        return first([float(t[i] == 0 and t[max(i - 1, 0)] == 1) for i in places])
    if name == "two_back":
        return [one_hot(t[max(i - 2, 0)]) for i in places]
    if name == "places":
        return first([float(np.mean([j / 5 for j in places if t[j] == t[i]])) for i in places])
    assert name == "induction"
    found = []
    for i in places:
        followers = [t[j] for j in range(i + 1) if t[max(j - 1, 0)] == t[i]] or t[: i + 1]
        found.append(np.mean([one_hot(x) for x in followers], axis=0).tolist())
    return found


@every_program
@pytest.mark.parametrize("seed", [3, 11])
def test_nets_carry_out_their_programs(name: str, seed: int) -> None:
    case = cases(seed)[name]
    alphabet = net_of(case).token[:, :4].argmax(dim=1)
    output = case.given.run(case.given.inputs)[0]
    wanted = torch.tensor([expected(name, alphabet[row].tolist()) for row in case.given.inputs])
    torch.testing.assert_close(output.float(), wanted.float(), rtol=0, atol=5e-6 if name != "bigram" else 1e-5)


def test_the_graph_has_61_edges_that_go_forward() -> None:
    assert len(EDGES) == len(set(map(str, EDGES))) == 61
    assert all(LEVELS[edge.sender] < LEVELS[edge.receiver] for edge in EDGES)
    assert {edge.receiver for edge in EDGES} == set(LEVELS) - {"tok", "pos"}


@every_program
def test_as_many_edges_are_wired_and_constant_as_the_program_has(name: str) -> None:
    for seed in (3, 11):
        hidden = cases(seed)[name].hidden
        wired, variable = hidden["wiring"], hidden["variable"]
        assert (int(wired.sum()), int((wired - variable).sum())) == WIRED[name]
        assert (variable <= wired).all()


@every_program
def test_interventions_confirm_the_labels(name: str) -> None:
    case = cases(11)[name]
    assert len(case.gates) == 4
    assert not case.failed_gates


@every_program
def test_wired_edges_are_those_whose_message_reaches_the_output(name: str) -> None:
    """Against a search that knows no program: a message of random numbers on a single edge moves the output."""
    case = cases(11)[name]
    given: Circuit = case.given
    clean = given.run(given.inputs)[0]
    rng = torch.Generator().manual_seed(0)
    moves = []
    for i in range(len(EDGES)):
        offsets = torch.zeros(len(EDGES), 24, 6, given.writes["tok"].shape[1], dtype=torch.float64)
        offsets[i] = 3 * torch.randn(24, 6, offsets.shape[-1], generator=rng, dtype=torch.float64)
        # Only in the directions that the sender can write.
        basis = given.writes[EDGES[i].sender]
        offsets[i] = offsets[i] @ torch.linalg.pinv(basis) @ basis
        moves.append(float((given.run(given.inputs, None, None, offsets)[0] - clean).abs().max()) > 1e-6)
    assert moves == (case.hidden["wiring"] > 0).tolist()


def test_other_draws_move_the_work_and_not_the_counts() -> None:
    programs = {program.name: program for program in PROGRAMS}
    draws = np.random.default_rng(0)
    placed: dict[str, set[tuple[str, ...]]] = {name: set() for name in NAMES}
    for _ in range(30):
        for name, program in programs.items():
            found = compile_program(program, draws)
            placed[name].add(found.nodes)
            assert (int(found.wiring.sum()), int((found.wiring & ~found.variable).sum())) == WIRED[name]
    assert placed["frac_prevs"] == {("m0", "h10"), ("m0", "h11")}
    assert placed["reverse"] == {("h00",), ("h01",), ("h10",), ("h11",)}
    assert placed["induction"] == {(a, b) for a in ("h00", "h01") for b in ("h10", "h11")}
    assert placed["lookup"] == {("m0",), ("m1",)}


def test_a_case_does_not_depend_on_how_many_there_are() -> None:
    few = compiled(seed=11, n=2)
    for a, b in zip(few, compiled(seed=11)[:2], strict=True):
        assert a.truth.values.equal(b.truth.values)
        assert a.given.inputs.equal(b.given.inputs)
        assert net_of(a).nodes["h00"].reads()["v"].equal(net_of(b).nodes["h00"].reads()["v"])


def test_there_are_no_more_cases_than_programs() -> None:
    with pytest.raises(UsageError, match="12 programs") as caught:
        compiled(seed=0, n=13)
    assert "problem_seeds" in str(caught.value.hint)
    assert len(PROGRAMS) == 12


def test_partners_are_other_inputs_and_depend_on_the_tokens_only() -> None:
    given: Circuit = cases(11)["reverse"].given
    assert (given.partners != given.inputs).any(dim=1).all()
    same = [i for i in range(24) for j in range(i) if given.inputs[i].equal(given.inputs[j])]
    for i in same:
        j = next(j for j in range(i) if given.inputs[i].equal(given.inputs[j]))
        assert given.partners[i].equal(given.partners[j])


def with_run(circuit: Circuit, run: Any) -> Circuit:
    return replace(circuit, run=run)


def whole_nodes(net: Transformer) -> Any:
    """Planted fault: what is replaced on one edge is replaced on all edges of its sender."""

    def run(inputs: Tensor, replaced: Tensor | None = None, messages: Any = None, offsets: Any = None) -> Any:
        if replaced is not None:
            by_sender = {s: max(float(replaced[i]) for i, e in enumerate(EDGES) if e.sender == s) for s in SENDERS}
            replaced = torch.tensor([by_sender[e.sender] for e in EDGES], dtype=torch.float64)
        return net(inputs, replaced, messages, offsets)

    return run


@every_program
def test_planted_ablation_of_nodes_instead_of_edges_fails_the_gate(name: str) -> None:
    case = cases(11)[name]
    faulty = with_run(case.given, whole_nodes(net_of(case)))
    labels = [case.hidden[k] > 0 for k in ("wiring", "variable")]
    gates = interventions(faulty, labels[0], labels[1], np.random.default_rng(0))
    assert not all(g.passed for g in gates)
    assert all(g.passed for g in interventions(case.given, labels[0], labels[1], np.random.default_rng(0)))


@every_program
@pytest.mark.parametrize("wrong", ["dropped", "added"])
def test_planted_labels_fail_the_gates(name: str, wrong: str) -> None:
    case = cases(11)[name]
    wiring, variable = (case.hidden[k] > 0 for k in ("wiring", "variable"))
    i = int(variable.nonzero()[0, 0]) if wrong == "dropped" else int((~wiring).nonzero()[0, 0])
    wiring[i], variable[i] = (False, False) if wrong == "dropped" else (True, True)
    assert not all(g.passed for g in interventions(case.given, wiring, variable, np.random.default_rng(0)))


def test_edges_are_replaced_one_by_one() -> None:
    case = cases(11)["difference"]
    given: Circuit = case.given
    clean, sent = given.run(given.inputs)
    single = torch.zeros(61, dtype=torch.float64)
    single[case.units.index("tok-out")] = 1
    output, messages = given.run(given.inputs, single)
    assert output.equal(clean)
    assert messages.equal(sent)
    single[:] = 0
    single[case.units.index("tok-m0")] = 1
    output, messages = given.run(given.inputs, single)
    assert not torch.allclose(output, clean)
    assert messages[:, SENDERS.index("tok")].equal(sent[:, SENDERS.index("tok")])


def test_own_messages_change_nothing_and_half_is_half() -> None:
    given: Circuit = cases(11)["lookup"].given
    clean, sent = given.run(given.inputs)
    everything = torch.ones(61, dtype=torch.float64)
    torch.testing.assert_close(given.run(given.inputs, everything, sent)[0], clean)
    torch.testing.assert_close(given.run(given.inputs, 0.5 * everything, sent)[0], clean)
    # All is linear from the embedding to the output here, and every edge halves: the MLP, then the output.
    torch.testing.assert_close(given.run(given.inputs, 0.5 * everything)[0], 0.25 * clean)


def test_the_mean_of_a_constant_message_is_that_message_to_the_last_bit() -> None:
    given: Circuit = cases(11)["constant"].given
    sent = given.run(given.inputs)[1]
    mean = given.ablated_messages("mean")
    position = SENDERS.index("pos")
    assert mean[0, position].equal(sent[0, position])
    assert not mean[0, SENDERS.index("tok")].equal(sent[0, SENDERS.index("tok")])
