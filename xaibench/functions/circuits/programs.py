"""Twelve programs that a small transformer can carry out, written as parts that read and write named blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

LENGTH = 6
N_TOKENS = 4
BLOCKS: dict[str, int] = {"tok": N_TOKENS, "pos": LENGTH, "one": 1, "a": 4, "b": 4, "c": 4, "flag": 1}
"""Blocks of the residual stream that programs use, and their widths."""
EMBEDDINGS: dict[str, str] = {"tok": "tok", "pos": "pos", "one": "pos"}
"""Which embedding writes a block: the constant 1 comes with the positions."""

BlockWeights = Mapping[str, Tensor]
"""A matrix for every block that is read, (width, hidden), or written, (hidden, width)."""


@dataclass(frozen=True, eq=False)
class Part:
    """What one node of a program does.

    Attributes
    ----------
    reads : mapping
        By input (``q``, ``k``, ``v`` of a head, empty for an MLP), the weights of each block.
    writes : mapping
        BlockWeights of each block.
    causal : bool
    """

    reads: Mapping[str, BlockWeights]
    writes: BlockWeights
    causal: bool = False

    @property
    def is_head(self) -> bool:
        """Whether this is an attention head, and not an MLP."""
        return "v" in self.reads


@dataclass(frozen=True, eq=False)
class CompilableProgram:
    """A program as parts in the order in which they run, and what the output reads.

    Attributes
    ----------
    name, description : str
    parts : tuple of Part
    output : mapping
        BlockWeights (width, 4) of each block that the output reads.
    cap : float, optional
        Where the output is cut off above.
    """

    name: str
    description: str
    parts: tuple[Part, ...]
    output: BlockWeights
    cap: float | None = None


def _matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _eye(n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64)


def _is(token: int, size: float = 1.0) -> Tensor:
    """Reads one token out of the block of tokens, (4, 1)."""
    return size * _eye(N_TOKENS)[:, token : token + 1]


def _first(n: int = 1) -> Tensor:
    """Writes to, or reads from, the first components of a block of four, (n, 4)."""
    return _eye(4)[:n]


def _looks_at(*targets: int) -> dict[str, BlockWeights]:
    """Queries and keys of a head in which position i attends to position targets[i]."""
    return {"q": {"pos": _eye(LENGTH)[list(targets)]}, "k": {"pos": _eye(LENGTH)}}


def _mover(*targets: int, block: str = "tok", into: str = "a") -> Part:
    """A head that copies a block from position targets[i] to position i."""
    return Part({**_looks_at(*targets), "v": {block: _eye(4)}}, {into: _eye(4)})


_REVERSED = tuple(range(LENGTH))[::-1]
_PREVIOUS = (0, *range(LENGTH - 1))
_READ_A: BlockWeights = {"a": _eye(4)}
_READ_FIRST_A: BlockWeights = {"a": _first().T @ _first()}


def _fraction(block: str, into: str, component: int = 0) -> Part:
    """A causal head that averages one component of a block over the positions so far."""
    width = BLOCKS[block]
    return Part({"v": {block: _eye(width)[:, component : component + 1]}}, {into: _first()}, causal=True)


def _detector(token: int) -> Part:
    """An MLP that raises the flag at a token."""
    return Part({"": {"tok": _is(token)}}, {"flag": _eye(1)})


PROGRAMS: tuple[CompilableProgram, ...] = (
    CompilableProgram("reverse", "the string from back to front", (_mover(*_REVERSED),), _READ_A),
    CompilableProgram(
        "frac_prevs",
        "the share of a token among the tokens so far",
        (_detector(0), _fraction("flag", "a")),
        _READ_FIRST_A,
    ),
    CompilableProgram(
        "induction",
        "the mean of the tokens so far that followed a token like this one (the first one follows itself)",
        (
            _mover(*_PREVIOUS),
            Part({"q": {"tok": _eye(4)}, "k": {"a": _eye(4)}, "v": {"tok": _eye(4)}}, {"b": _eye(4)}, causal=True),
        ),
        {"b": _eye(4)},
    ),
    CompilableProgram(
        "threshold",
        "by how much the count of a token exceeds 2.5 of six",
        (
            Part({"v": {"tok": _is(0)}}, {"flag": _eye(1)}),
            Part({"": {"flag": _matrix((6.0,)), "one": _matrix((-2.5,))}}, {"a": _first()}),
        ),
        _READ_FIRST_A,
    ),
    CompilableProgram(
        "constant",
        "the share of a token among the tokens so far, less a 1 that another head writes",
        (_detector(0), Part({"v": {"one": _eye(1)}}, {"b": _first()}), _fraction("flag", "a")),
        {"a": _first().T @ _first(), "b": -_first().T @ _first()},
    ),
    CompilableProgram(
        "backup",
        "the string from back to front, by two heads that each would do; the output is cut off at 1",
        (_mover(*_REVERSED), _mover(*_REVERSED, into="b")),
        {"a": _eye(4), "b": _eye(4)},
        cap=1.0,
    ),
    CompilableProgram(
        "lookup", "the next token of the alphabet", (Part({"": {"tok": _eye(4)}}, {"a": _eye(4).roll(1, 1)}),), _READ_A
    ),
    CompilableProgram(
        "bigram",
        "whether this token and the one before are two given ones",
        (
            _mover(*_PREVIOUS),
            Part({"": {"tok": _is(0, 2.0), "a": _is(1, 2.0), "one": _matrix((-3.0,))}}, {"b": _first()}),
        ),
        {"b": _first().T @ _first()},
    ),
    CompilableProgram(
        "places",
        "the mean position of the tokens like this one",
        (
            Part(
                {
                    "q": {"tok": _eye(4)},
                    "k": {"tok": _eye(4)},
                    "v": {"pos": torch.arange(LENGTH, dtype=torch.float64)[:, None] / (LENGTH - 1)},
                },
                {"a": _first()},
            ),
        ),
        _READ_FIRST_A,
    ),
    CompilableProgram(
        "two_back",
        "the token two places before",
        (_mover(*_PREVIOUS), _mover(*_PREVIOUS, block="a", into="b")),
        {"b": _eye(4)},
    ),
    CompilableProgram(
        "share_here",
        "at a token, its share among the tokens so far; nothing elsewhere",
        (
            _detector(0),
            _fraction("flag", "a"),
            Part({"": {"flag": _eye(1), "a": _first().T, "one": _matrix((-1.0,))}}, {"b": _first()}),
        ),
        {"b": _first().T @ _first()},
    ),
    CompilableProgram(
        "difference",
        "the share of one token among the tokens so far, less that of another",
        (
            Part({"": {"tok": torch.cat([_is(0), _is(1)], dim=1)}}, {"a": _first(2)}),
            _fraction("a", "b"),
            _fraction("a", "c", component=1),
        ),
        {"b": _first().T @ _first(), "c": -_first().T @ _first()},
    ),
)
"""The first six are also those of the published comparison of edge methods on compiled nets."""
