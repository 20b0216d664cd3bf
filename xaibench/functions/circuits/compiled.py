"""The set of compiled circuits: twelve programs in transformers, with a wiring that interventions confirm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.errors import UsageError
from xaibench.core.gates import Gate
from xaibench.core.program_registry import functions
from xaibench.functions.circuits.circuit import Circuit
from xaibench.functions.circuits.compiler import CompiledProgram, compile_program
from xaibench.functions.circuits.graph import EDGES, SENDERS
from xaibench.functions.circuits.programs import LENGTH, N_TOKENS, PROGRAMS

N_INPUTS, N_REFERENCES, N_REPLACEMENTS = 24, 512, 3
"""Inputs that are explained, inputs for means, and how often a gate replaces the messages of all inputs."""
DOMINANT = 0.5
"""Probability with which a token is the one that its input favours."""
STILL, MOVED = 1e-5, 1e-2
"""Changes of the output below which nothing has happened, and from which on something has."""


@functions("compiled", kind="circuit", version=1)
def compiled(*, seed: int, n: PositiveInt = 12) -> tuple[Case, ...]:
    """Compiled transformers whose edges are known: which are wired, and which carry what depends on the input.

    A case is one program in a transformer with two layers of two heads and an MLP, as a graph of 61 edges.
    Which node does the work, the tokens, and the weights of unused nodes, which read everything and write
    where no node of the program reads, are drawn by the seed. The truth of an edge is 2 if it is wired and its message
    depends on the tokens, 1 if it is wired and constant, and 0 otherwise.

    Parameters
    ----------
    seed : int
    n : int
        The first programs, up to twelve; the first six are those of the published comparisons.

    Raises
    ------
    UsageError
        If there are not so many programs: other nets with the same program are not independent of it.
    """
    if n > len(PROGRAMS):
        raise UsageError(
            f"there are {len(PROGRAMS)} programs, and not {n}",
            "use several problem_seeds: nets with the same program are not independent of each other",
        )
    return tuple(_case(compile_program(p, keyed_generator(seed, "compiled", p.name)), seed) for p in PROGRAMS[:n])


def _case(found: CompiledProgram, seed: int) -> Case:
    net, name = found.transformer, f"compiled/{found.program.name}"
    inputs = sentences(N_INPUTS, keyed_generator(seed, "inputs", name))
    circuit = Circuit(
        EDGES,
        net,
        inputs,
        partners_of(inputs, seed, name),
        sentences(N_REFERENCES, keyed_generator(seed, "references", name)),
        {edge.input: net.nodes[edge.receiver].reads()[edge.channel] for edge in EDGES},
        dict(zip(SENDERS, net.writes, strict=True)),
    )
    wiring, variable = found.wiring.double(), found.variable.double()
    return Case(
        name,
        "circuit",
        circuit,
        Scores(wiring + variable),
        {"wiring": wiring, "variable": variable},
        units=tuple(map(str, EDGES)),
        parameters={"program": found.program.name, "nodes": list(found.nodes)},
        description=found.program.description,
        gates=interventions(circuit, found.wiring, found.variable, keyed_generator(seed, "gates", name)),
    )


def sentences(n: int, rng: np.random.Generator) -> Tensor:
    """Tokens (n, 6); half of those of an input are one token, drawn for it, so that counts vary."""
    favoured = rng.integers(N_TOKENS, size=(n, 1))
    drawn = rng.integers(N_TOKENS, size=(n, LENGTH))
    return torch.from_numpy(np.where(rng.random((n, LENGTH)) < DOMINANT, favoured, drawn))


def partners_of(
    inputs: Tensor, seed: int, name: str, draw: Callable[[int, np.random.Generator], Tensor] = sentences
) -> Tensor:
    """Another input for each one, which depends on its tokens only, and differs from them somewhere."""
    found = []
    for row in inputs:
        rng = keyed_generator(seed, "partner", f"{name} {hashlib.blake2b(row.numpy().tobytes()).hexdigest()}")
        other = draw(1, rng)[0]
        while torch.equal(other, row):
            other = draw(1, rng)[0]
        found.append(other)
    return torch.stack(found)


def interventions(
    circuit: Circuit,
    wiring: Tensor,
    variable: Tensor,
    rng: np.random.Generator,
    draw: Callable[[int, np.random.Generator], Tensor] = sentences,
    moved_from: float = MOVED,
    still: float = STILL,
) -> tuple[Gate, ...]:
    """Check the labels (E,) of edges by replacing messages.

    Parameters
    ----------
    circuit : Circuit
    wiring, variable : Tensor (E,) of bool
    rng : numpy.random.Generator
    draw : callable
        Draws so many other inputs (n, L).
    moved_from : float
        Change of the output from which on something has happened.
    still : float
        Change of the output up to which nothing has.

    Returns
    -------
    tuple of Gate
        How far the output moves, at most, when everything outside the wiring is replaced, by zeros or by
        messages of other inputs; how far the wired edge that moves it least does so, by zeros or other inputs;
        the same of variable edges, by other inputs; and how far other inputs on constant edges move it.
    """
    clean, sent = circuit.run(circuit.inputs)
    others = [circuit.run(draw(len(circuit.inputs), rng))[1] for _ in range(N_REPLACEMENTS)]
    zeros = torch.zeros_like(sent)

    def moved(removed: Tensor, messages: Tensor) -> float:
        output = circuit.run(circuit.inputs, removed.double(), messages)[0]
        return float((output - clean).abs().max())

    outside = max(moved(~wiring, messages) for messages in (zeros, others[0]))
    single = torch.eye(len(wiring), dtype=torch.bool)
    varied = {i: max(moved(single[i], messages) for messages in others) for i in _places(variable)}
    constant = wiring & ~variable
    zeroed = {i: moved(single[i], zeros) for i in _places(constant)}
    unmoved = max((moved(single[i], others[0]) for i in _places(constant)), default=0.0)
    return (
        Gate("effect of everything outside the wiring", outside, still, at_least=False),
        Gate("least effect of a wired edge", min((varied | zeroed).values()), moved_from),
        Gate("least effect of a variable edge by other inputs", min(varied.values()), moved_from),
        Gate("effect of constant edges by other inputs", unmoved, still, at_least=False),
    )


def _places(labels: Tensor) -> list[int]:
    return [int(i) for i in labels.nonzero()[:, 0]]
