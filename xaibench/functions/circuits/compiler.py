"""Compiler from programs to transformers: roles of nodes are drawn, the wiring follows from what each part reads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xaibench.functions.circuits.graph import EDGES, HEADS, LEVELS, MLPS, Edge
from xaibench.functions.circuits.programs import BLOCKS, EMBEDDINGS, N_TOKENS, BlockWeights, CompilableProgram, Part
from xaibench.functions.circuits.transformer import Head, Perceptron, Readout, Transformer

JUNK_WIDTH = 4
"""Width of the block that each unused node writes, and that only other unused nodes read."""
JUNK_SIZE = 0.5
"""Standard deviation of the weights with which unused nodes read: their products with what is written are as large as
those of used ones."""
_STARTS = dict(zip(BLOCKS, itertools.accumulate(BLOCKS.values(), initial=0), strict=False))
_JUNK = {
    name: sum(BLOCKS.values()) + JUNK_WIDTH * i
    for i, name in enumerate(sorted((*HEADS, *MLPS), key=list(LEVELS).index))
}
STREAM_WIDTH = sum(BLOCKS.values()) + JUNK_WIDTH * len(_JUNK)
"""Width of the residual stream."""


@dataclass(frozen=True, eq=False)
class CompiledProgram:
    """A transformer that carries out a program, and what is true of its edges.

    Attributes
    ----------
    program : CompilableProgram
    transformer : Transformer
    nodes : tuple of str
        Which node carries out each part.
    wiring : Tensor (E,) of bool
        Edges on a path of non-zero weights from the embeddings to the output.
    variable : Tensor (E,) of bool
        Those of them whose message depends on the tokens.
    """

    program: CompilableProgram
    transformer: Transformer
    nodes: tuple[str, ...]
    wiring: Tensor
    variable: Tensor


def compile_program(program: CompilableProgram, rng: np.random.Generator) -> CompiledProgram:
    """Compile a program, with nodes, token values and all unused weights drawn.

    Parameters
    ----------
    program : CompilableProgram
    rng : Generator
    """
    choices = list(_placements(program))
    nodes = choices[int(rng.integers(len(choices)))]
    tokens = torch.eye(N_TOKENS, dtype=torch.float64)[torch.from_numpy(rng.permutation(N_TOKENS))]
    weights: dict[str, Head | Perceptron | Readout] = {
        node: _used(part) for node, part in zip(nodes, program.parts, strict=True)
    }
    weights |= {node: _junk(node, rng) for node in (*HEADS, *MLPS) if node not in nodes}
    weights["out"] = Readout(_read(program.output), program.cap)
    token = torch.zeros(N_TOKENS, STREAM_WIDTH, dtype=torch.float64)
    token[:, _columns("tok")] = tokens
    position = torch.zeros(BLOCKS["pos"], STREAM_WIDTH, dtype=torch.float64)
    position[:, _columns("pos")] = torch.eye(BLOCKS["pos"], dtype=torch.float64)
    position[:, _columns("one")] = 1.0
    wired = _wired(program, nodes)
    varying = _varying(program, nodes)
    return CompiledProgram(
        program,
        Transformer(token, position, weights),
        nodes,
        torch.tensor([edge in wired for edge in EDGES]),
        torch.tensor([edge in wired and edge.sender in varying for edge in EDGES]),
    )


def _placements(program: CompilableProgram) -> Iterator[tuple[str, ...]]:
    """Every way to give each part a node of its own, such that messages flow forward."""
    kinds = [HEADS if part.is_head else MLPS for part in program.parts]
    for nodes in itertools.product(*kinds):
        if len(set(nodes)) == len(nodes) and all(
            LEVELS[edge.sender] < LEVELS[edge.receiver] for edge in _wired(program, nodes)
        ):
            yield nodes


def _wired(program: CompilableProgram, nodes: tuple[str, ...]) -> set[Edge]:
    """Edges from the writer of a block to every input that reads it."""
    writers = EMBEDDINGS | {
        block: node for node, part in zip(nodes, program.parts, strict=True) for block in part.writes
    }
    inputs = [(node, part.reads) for node, part in zip(nodes, program.parts, strict=True)]
    read: list[tuple[str, Mapping[str, BlockWeights]]] = [*inputs, ("out", {"": program.output})]
    return {
        Edge(writers[block], node, channel)
        for node, channels in read
        for channel, blocks in channels.items()
        for block in blocks
    }


def _varying(program: CompilableProgram, nodes: tuple[str, ...]) -> set[str]:
    """Nodes on the circuit whose message depends on the tokens."""
    found = {"tok"}
    for edge in sorted(_wired(program, nodes), key=lambda e: LEVELS[e.receiver]):
        if edge.sender in found:
            found.add(edge.receiver)
    return found


def _columns(block: str) -> slice:
    return slice(_STARTS[block], _STARTS[block] + BLOCKS[block])


def _read(weights: BlockWeights) -> Tensor:
    """BlockWeights of blocks as a matrix (D, hidden)."""
    hidden = next(iter(weights.values())).shape[1]
    found = torch.zeros(STREAM_WIDTH, hidden, dtype=torch.float64)
    for block, matrix in weights.items():
        found[_columns(block)] = matrix
    return found


def _written(weights: BlockWeights) -> Tensor:
    """The same (hidden, D) for what is written."""
    hidden = next(iter(weights.values())).shape[0]
    found = torch.zeros(hidden, STREAM_WIDTH, dtype=torch.float64)
    for block, matrix in weights.items():
        found[:, _columns(block)] = matrix
    return found


def _used(part: Part) -> Head | Perceptron:
    """The node that carries out a part; a head without queries and keys attends to every position alike."""
    if not part.is_head:
        return Perceptron(_read(part.reads[""]), _written(part.writes))
    nothing = torch.zeros(STREAM_WIDTH, 1, dtype=torch.float64)
    query, key = (_read(part.reads[c]) if c in part.reads else nothing for c in ("q", "k"))
    return Head(query, key, _read(part.reads["v"]), _written(part.writes), part.causal)


def _junk(node: str, rng: np.random.Generator) -> Head | Perceptron:
    """A node with random weights that reads everything and writes where no node of the program reads."""

    def drawn(width: int) -> Tensor:
        return JUNK_SIZE * torch.from_numpy(rng.standard_normal((STREAM_WIDTH, width)))

    output = torch.zeros(JUNK_WIDTH, STREAM_WIDTH, dtype=torch.float64)
    output[:, _JUNK[node] : _JUNK[node] + JUNK_WIDTH] = torch.from_numpy(rng.standard_normal((JUNK_WIDTH, JUNK_WIDTH)))
    if node in MLPS:
        return Perceptron(drawn(JUNK_WIDTH), output)
    return Head(drawn(JUNK_WIDTH), drawn(JUNK_WIDTH), drawn(JUNK_WIDTH), output)
