"""Evaluation of perturbed copies for all perturbation metrics, in blocks that combine copies of several samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from xaibench.core.copy_blocks import cut_copies, fitting, owners
from xaibench.core.draws import Draws
from xaibench.core.evaluation import Evaluation
from xaibench.metrics.engines.exact_outputs import in_float64

PERTURBED_BLOCK_BYTES = 4 * 2**20
"""Bytes of perturbed copies built at a time; bounds memory, never changes a result."""
DRAW_NUMBERS = 2**18
"""Numbers drawn at a time for one sample. Draws depend on it: changing it means new metric versions."""
CACHED_BYTES = 192 * 2**20
"""Drawn perturbations up to this size are cached for the next explainer, larger ones are drawn again."""


@dataclass(frozen=True)
class Block:
    """Some copies of some samples.

    Attributes
    ----------
    rows, copies : slice
        Samples, and copies of each of them.
    draws : Draws
        Draws of these samples, in the state that belongs to these copies.
    device : torch.device
    """

    rows: slice
    copies: slice
    draws: Draws
    device: torch.device

    @cached_property
    def index(self) -> Tensor:
        """Sample that every copy of the flattened block belongs to (n * m,) of int64."""
        return owners(self.rows, self.n_copies, self.device)

    def copies_of(self, values: Tensor) -> Tensor:
        """Rows of ``values`` (N, ...), one per copy of the flattened block (n * m, ...)."""
        return values.index_select(0, self.index)

    @property
    def n_samples(self) -> int:
        return self.rows.stop - self.rows.start  # type: ignore[no-any-return]

    @property
    def n_copies(self) -> int:
        return self.copies.stop - self.copies.start  # type: ignore[no-any-return]


def perturbation_blocks(ev: Evaluation, n_copies: int, stream: str | None = None) -> Iterator[Block]:
    """Cut N samples x ``n_copies`` copies into blocks of bounded memory.

    Which copies share a call of the draws of ``stream`` depends on the size of a sample only, so the
    numbers drawn do not depend on the other samples, the batch size or the memory bound. Without a
    stream, where nothing is drawn, blocks are as large as memory allows.
    """
    draws = ev.draws(stream or "none")
    numel = max(ev.inputs[0].numel(), 1)
    fit = max(PERTURBED_BLOCK_BYTES // (numel * ev.inputs.element_size()), ev.batch_size)
    group = min(n_copies, fit if stream is None else fitting(DRAW_NUMBERS, numel))
    for rows, parts in cut_copies(len(ev), n_copies, samples_at_once=fitting(fit, group), copies_at_once=group):
        own = draws[rows]
        for copies in parts:
            yield Block(rows, copies, own, ev.inputs.device)


def over_copies(ev: Evaluation, n_copies: int, compute: Callable[[Block], Tensor]) -> Tensor:
    """Fill (N, n_copies) block by block with ``compute(block)``, one number per copy of the block."""
    out: Tensor | None = None
    for block in perturbation_blocks(ev, n_copies):
        found = compute(block).to(ev.inputs.device)
        if out is None:
            out = found.new_empty(len(ev), n_copies)
        out[block.rows, block.copies] = found.view(block.n_samples, block.n_copies)
    assert out is not None
    return out


def raw_outputs(ev: Evaluation, n_copies: int, make: Callable[[Block], Tensor]) -> Tensor:
    """Raw model outputs (N, n_copies, C) of the copies that ``make`` builds for a block (n * m, *input_shape)."""
    out: Tensor | None = None
    for block in perturbation_blocks(ev, n_copies):
        # Whose copies they are matters for the context only, and the index takes time for a small model.
        raw = ev.predict(make(block), block.index if ev.context else None)
        if block.n_samples == len(ev) and block.n_copies == n_copies:
            return raw.view(len(ev), n_copies, -1)
        if out is None:
            out = raw.new_empty(len(ev), n_copies, raw.shape[1])
        out[block.rows, block.copies] = raw.view(block.n_samples, block.n_copies, -1)
    assert out is not None
    return out


def select(ev: Evaluation, raw: Tensor) -> Tensor:
    """The measured output (N, m) of raw model outputs (N, m, C) of m copies of each sample."""
    if raw.shape[1] == 1:
        return ev.select(raw.flatten(0, 1)).view(raw.shape[:2])
    rows = owners(slice(0, len(ev)), raw.shape[1], ev.targets.device)
    return ev.select(raw.flatten(0, 1), rows).view(raw.shape[:2])


def clean_raw(ev: Evaluation) -> Tensor:
    """Raw outputs of the samples themselves (N, C), evaluated once for all explainers."""
    return ev.shared.get(("clean",), lambda: {"raw": ev.predict(ev.inputs)})["raw"].to(ev.inputs.device)


def masked_raw(ev: Evaluation, masker: str) -> Tensor:
    """Raw outputs of the fully masked samples (N, C), evaluated once for all explainers."""
    found = ev.shared.get(("masked", masker), lambda: {"raw": ev.predict(ev.masker(masker).fill)})
    return found["raw"].to(ev.inputs.device)


def reference_scores(ev: Evaluation, baseline: str) -> Tensor:
    """Measured output (N,) of what explainers with this baseline compare the samples with."""
    if torch.equal(ev.reference(baseline), ev.baseline(baseline)):
        return fully_masked_scores(ev, baseline)
    found = ev.shared.get(("reference", baseline), lambda: {"raw": ev.predict(ev.reference(baseline))})
    return select(ev, found["raw"].to(ev.inputs.device).unsqueeze(1)).squeeze(1)


def clean_scores(ev: Evaluation) -> Tensor:
    """Measured output of the samples themselves (N,)."""
    return select(ev, clean_raw(ev).unsqueeze(1)).squeeze(1)


def fully_masked_scores(ev: Evaluation, masker: str) -> Tensor:
    """Measured output of the fully masked samples (N,)."""
    return select(ev, masked_raw(ev, masker).unsqueeze(1)).squeeze(1)


@dataclass(frozen=True)
class Perturbations:
    """Random perturbations that do not depend on the attributions.

    Attributes
    ----------
    n_copies : int
        Perturbations per sample.
    stream : str
        Name of the draws.
    draw : callable
        Block to perturbations (n, m, ...).
    drawn : tuple
        Everything that ``draw`` depends on beside the stream.
    """

    n_copies: int
    stream: str
    draw: Callable[[Block], Tensor]
    drawn: tuple[Any, ...] = ()

    def blocks(self, ev: Evaluation) -> Iterator[Block]:
        return perturbation_blocks(ev, self.n_copies, self.stream)

    def over(self, ev: Evaluation, use: Callable[[Block, Tensor], None]) -> None:
        """Hand every block and its perturbations to ``use``; what fits in memory is cached for the next explainer.

        ``use`` must not change them.
        """
        name = ("drawn", self.stream, self.n_copies, *self.drawn)
        cached = ev.shared.peek(name)
        if cached is not None:
            for block in self.blocks(ev):
                use(block, cached["drawn"][block.rows, block.copies])
            return
        whole: Tensor | None = None
        for block in self.blocks(ev):
            drawn = self.draw(block)
            use(block, drawn)
            if block.rows.start == block.copies.start == 0:
                one = drawn[0, 0]
                if len(ev) * self.n_copies * one.numel() * one.element_size() <= CACHED_BYTES:
                    whole = drawn.new_empty(len(ev), self.n_copies, *one.shape)
            if whole is not None:
                whole[block.rows, block.copies] = drawn
        if whole is not None:
            ev.shared.put_in_memory(name, {"drawn": whole})

    def numbers(self, ev: Evaluation, compute: Callable[[Block, Tensor], Tensor]) -> Tensor:
        """One number per perturbation (N, n_copies), ``compute`` giving n * m of them for a block."""
        out: list[Tensor] = []

        def store(block: Block, drawn: Tensor) -> None:
            found = compute(block, drawn).to(ev.inputs.device)
            if not out:
                out.append(found.new_empty(len(ev), self.n_copies))
            out[0][block.rows, block.copies] = found.view(block.n_samples, block.n_copies)

        self.over(ev, store)
        return out[0]


@dataclass(frozen=True)
class SharedCopies(Perturbations):
    """Perturbed copies that do not depend on the attributions: the model is evaluated once for all explainers.

    Attributes
    ----------
    build : callable
        Block and perturbations to perturbed inputs (n * m, *input_shape).
    built : tuple
        Everything that ``build`` depends on beside the perturbations.
    exact : bool
        Evaluate in float64, where the model can.
    """

    build: Callable[[Block, Tensor], Tensor] = field(kw_only=True)
    built: tuple[Any, ...] = field(default=(), kw_only=True)
    exact: bool = field(default=False, kw_only=True)

    def outputs(self, ev: Evaluation) -> Tensor:
        """Measured output of every perturbed copy (N, n_copies)."""
        return select(ev, self.raw(ev))

    def raw(self, ev: Evaluation) -> Tensor:
        """Raw outputs of every perturbed copy (N, n_copies, C), computed once per problem."""

        def evaluate() -> dict[str, Tensor]:
            parts: list[Tensor] = []
            with in_float64(ev) if self.exact else nullcontext(ev) as used:
                self.over(ev, lambda block, drawn: parts.append(used.predict(self.build(block, drawn), block.index)))
            out = parts[0].new_empty(len(ev), self.n_copies, parts[0].shape[1])
            for block, part in zip(self.blocks(ev), parts, strict=True):
                out[block.rows, block.copies] = part.view(block.n_samples, block.n_copies, -1)
            return {"raw": out}

        key = ("probes", self.stream, self.n_copies, *self.drawn, *self.built, *(("exact",) if self.exact else ()))
        return ev.shared.get(key, evaluate)["raw"].to(ev.inputs.device)
