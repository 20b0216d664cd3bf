"""The set of circuits of seven transformers compiled by Tracr, whose wiring follows from what nodes read and write."""

from __future__ import annotations

from functools import cache, partial
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.program_registry import functions
from xaibench.datasets.tracr_programs import TRACR_PROGRAMS, read_tracr
from xaibench.functions.circuits.circuit import Circuit
from xaibench.functions.circuits.compiled import N_INPUTS, interventions, partners_of
from xaibench.functions.circuits.tracr_transformer import TracrGraph

NAMES = (*TRACR_PROGRAMS, "hist")
DESCRIPTIONS = {
    "shift": "the token before",
    "reverse": "the text from back to front",
    "after_marker": "the token behind the marker",
    "induction": "the token that followed an earlier token like this one",
    "sort_unique": "the tokens in order",
    "frac_prevs": "the share of a token so far",
    "hist": "how often each token occurs",
}
REFERENCE_TEXTS = 128
ACTIVE, IDLE = 2e-4, 5e-5
"""Change of the output from which on an edge does something, and up to which it does nothing: an almost hard softmax
leaks at most 5e-6 through single edges, and the weakest edge that matters, the default of a head, moves it by 1e-3."""


@functions("tracr_circuits", kind="circuit", version=1)
def tracr_circuits(*, seed: int, n: Annotated[int, Ge(1), Le(7)] = 7) -> tuple[Case, ...]:
    """Seven transformers compiled by Tracr (Lindner et al. 2023), as graphs of 19 to 111 edges.

    The compiler wires an edge where its sender writes a residual dimension that its receiver reads, on a path to the
    output. Some of these edges are idle: the query of ``BOS``, at a place that nothing reads, or the key of ``BOS``,
    the default of a head, where some other key always matches. Those that move the output of no reference text are
    left out. The truth of an edge is 2 if the messages of another text move the output through it, 1 if it is wired
    and zeros do so but no other text, and 0 otherwise. Inputs of a program have one length, so that what depends on
    the length alone is constant. Interventions on every edge, on other texts than the references, are gates.

    Parameters
    ----------
    seed : int
        Of the inputs.
    n : int
        The first programs.
    """
    return tuple(_case(name, seed) for name in NAMES[:n])


def texts_of_program(name: str, n: int, rng: np.random.Generator) -> Tensor:
    """Ids (n, L) of texts of the program's domain, of its largest length, behind BOS."""
    words = _vocabulary(name)
    if name == "hist":
        texts = [tuple("abc"[i] for i in rng.integers(3, size=8)) for _ in range(n)]
    else:
        texts = [TRACR_PROGRAMS[name].draw(max(TRACR_PROGRAMS[name].lengths), rng) for _ in range(n)]
    return torch.tensor([[words.index(word) for word in ("BOS", *text)] for text in texts])


@cache
def _vocabulary(name: str) -> tuple[str, ...]:
    return tuple(str(word) for word in read_tracr(name)["vocabulary"])


def _case(name: str, seed: int) -> Case:
    graph, label = TracrGraph(read_tracr(name)), f"tracr_circuits/{name}"
    draw = partial(texts_of_program, name)
    inputs = draw(N_INPUTS, keyed_generator(seed, "inputs", label))
    circuit = Circuit(
        graph.edges,
        graph,
        inputs,
        partners_of(inputs, seed, name, draw),
        draw(REFERENCE_TEXTS, keyed_generator(seed, "references", label)),
        graph.reads,
        graph.writes,
        graph.levels,
    )
    wiring, variable = _active(circuit, graph.wiring())
    gates = interventions(
        circuit,
        wiring,
        variable,
        keyed_generator(seed, "gates", label),
        draw=draw,
        moved_from=ACTIVE,
        still=IDLE,
    )
    return Case(
        label,
        "circuit",
        circuit,
        Scores(wiring.double() + variable.double()),
        {"wiring": wiring.double(), "variable": variable.double()},
        units=tuple(map(str, graph.edges)),
        parameters={"program": name},
        description=DESCRIPTIONS[name],
        gates=gates,
    )


def _active(circuit: Circuit, wired: Tensor) -> tuple[Tensor, Tensor]:
    """Which wired edges (E,) move the output of a reference text at all, and which by the messages of the next text."""
    clean, sent = circuit.run(circuit.references)
    ways = (torch.zeros_like(sent), sent.roll(1, dims=0))
    effects = [
        [float((circuit.run(circuit.references, removed, messages)[0] - clean).abs().max()) for messages in ways]
        for removed in torch.eye(len(circuit.edges), dtype=torch.float64)[wired]
    ]
    moved = torch.zeros(len(wired), len(ways), dtype=torch.bool)
    moved[wired] = torch.tensor(effects) >= ACTIVE
    return moved.any(dim=1), moved[:, 1]
