"""The engine of all perturbation metrics: orders, schedules, and copies evaluated in blocks that cross samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.evaluation import Evaluation

Order = Literal["morf", "lerf"]
BLOCK_BYTES = 4 * 2**20
"""Bytes of perturbed copies built at a time; bounds memory, never changes a result."""
DRAW_NUMBERS = 2**18
"""Numbers drawn at a time for one sample. Draws depend on it: changing it means new metric versions."""


@dataclass(frozen=True)
class Block:
    """Some copies of some samples.

    Attributes
    ----------
    rows, copies : slice
        Samples, and copies of each of them.
    draws : Draws
        Draws of these samples, in the state that belongs to these copies.
    index : Tensor (n * m,) of int64
        Sample that every copy of the flattened block belongs to.
    """

    rows: slice
    copies: slice
    draws: Draws
    index: Tensor

    def copies_of(self, values: Tensor) -> Tensor:
        """Rows of ``values`` (N, ...), one per copy of the flattened block (n * m, ...)."""
        return values.index_select(0, self.index)

    @property
    def n_samples(self) -> int:
        return self.rows.stop - self.rows.start  # type: ignore[no-any-return]

    @property
    def n_copies(self) -> int:
        return self.copies.stop - self.copies.start  # type: ignore[no-any-return]


def blocks(ev: Evaluation, n_copies: int, draws: Draws) -> Iterator[Block]:
    """Cut N samples x ``n_copies`` copies into blocks of bounded memory.

    Which copies share a call of ``draws`` depends on the size of a sample only, so the numbers
    drawn do not depend on the other samples, the batch size or the memory bound.
    """
    numel = max(ev.inputs[0].numel(), 1)
    group = min(n_copies, max(1, DRAW_NUMBERS // numel))
    fit = max(BLOCK_BYTES // (numel * ev.inputs.element_size()), ev.model.batch_size(ev.inputs))
    step = max(1, fit // group)
    for start in range(0, len(ev), step):
        rows = slice(start, min(start + step, len(ev)))
        own = draws[rows]
        index = torch.arange(rows.start, rows.stop, device=ev.inputs.device)
        for first in range(0, n_copies, group):
            copies = slice(first, min(first + group, n_copies))
            yield Block(rows, copies, own, index.repeat_interleave(copies.stop - copies.start))


def over_copies(ev: Evaluation, n_copies: int, stream: str, compute: Callable[[Block], Tensor]) -> Tensor:
    """Fill (N, n_copies) block by block with ``compute(block)``, one number per copy of the block."""
    out = torch.empty(len(ev), n_copies, device=ev.inputs.device)
    for block in blocks(ev, n_copies, ev.draws(stream)):
        out[block.rows, block.copies] = compute(block).view(block.n_samples, block.n_copies).to(out)
    return out


def outputs_and_claims(
    ev: Evaluation,
    n_copies: int,
    stream: str,
    key: tuple[Any, ...],
    *,
    draw: Callable[[Block], Tensor],
    measure: Callable[[Block, Tensor], Tensor],
    claim: Callable[[Block, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """What the model does, and what the attributions say, under perturbations that do not depend on them.

    The first explainer evaluates the model, all others find its outputs in ``ev.shared``. The
    perturbations themselves are too large to keep and are drawn again, once per explainer.

    Parameters
    ----------
    ev : Evaluation
    n_copies : int
        Perturbations per sample.
    stream : str
        Name of the draws.
    key : tuple
        Names the outputs: metric, version and everything that ``draw`` and ``measure`` depend on.
    draw : callable
        Block to perturbations (n, m, ...).
    measure : callable
        Block and perturbations to outputs of the model, n * m of them.
    claim : callable
        Block and perturbations to what the attributions say (n, m).

    Returns
    -------
    outputs, claims : Tensor (N, n_copies)
    """
    claims = torch.empty(len(ev), n_copies, device=ev.inputs.device)

    def run(outputs: Tensor | None) -> None:
        for block in blocks(ev, n_copies, ev.draws(stream)):
            drawn = draw(block)
            claims[block.rows, block.copies] = claim(block, drawn).to(claims)
            if outputs is not None:
                measured = measure(block, drawn).view(block.n_samples, block.n_copies)
                outputs[block.rows, block.copies] = measured.to(outputs)

    evaluated = False

    def evaluate() -> dict[str, Tensor]:
        nonlocal evaluated
        evaluated = True
        outputs = torch.empty_like(claims)
        run(outputs)
        return {"outputs": outputs}

    outputs = ev.shared.get(key, evaluate)["outputs"].to(claims)
    if not evaluated:
        run(None)
    return outputs, claims


def clean_scores(ev: Evaluation) -> Tensor:
    """Explained output of the samples themselves (N,), evaluated once for all explainers."""
    key = ("clean", ev.output)
    return ev.shared.get(key, lambda: {"scores": ev.scores(ev.inputs)})["scores"].to(ev.inputs.device)


def removal_order(ev: Evaluation, order: Order = "morf") -> Tensor:
    """Features in the order of their removal (N, F), int64.

    ``morf`` removes the largest attributions first, ``lerf`` is its exact reverse. Exact ties are
    broken by a draw per sample that is the same for all explainers.
    """
    morf: Tensor = ev.reuse("order/morf", lambda: descending(ev, ev.attributions))
    return morf.flip(1) if order == "lerf" else morf


def descending(ev: Evaluation, values: Tensor) -> Tensor:
    """Features by falling ``values`` (N, *feature_shape), as (N, F) int64, ties broken by a keyed draw."""
    flat = values.flatten(1)
    ordered, order = flat.sort(dim=1, descending=True, stable=True)
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(dim=1).nonzero().squeeze(1)
    if len(tied):
        shuffle = ev.draws("ties")[tied].permutation((flat.shape[1],))
        again = flat[tied].gather(1, shuffle).argsort(dim=1, descending=True, stable=True)
        order[tied] = shuffle.gather(1, again)
    return order


def schedule(n_features: int, steps: int) -> Tensor:
    """How many features are gone at every point of a curve, 0 and all included: (steps + 1,) int64."""
    return torch.tensor([(2 * s * n_features + steps) // (2 * steps) for s in range(steps + 1)])


def removal_curve(ev: Evaluation, order: Order, masker: str, steps: int) -> Tensor:
    """Output while features are removed in ``order``.

    Computed once per (order, masker, steps, output) and shared by all metrics of this explanation.

    Parameters
    ----------
    ev : Evaluation
    order : {"morf", "lerf"}
    masker : str
    steps : int
        Point s has about ``s / steps`` of the features removed. Where there are fewer features
        than steps, points repeat.

    Returns
    -------
    Tensor (N, steps + 1)
        The first column is the output of the samples themselves, the last one that of the fully
        masked samples.
    """
    key = f"curve/{order}/{masker}/{steps}/{ev.output}"
    curve: Tensor = ev.reuse(key, lambda: _removal_curve(ev, order, masker, steps))
    return curve


def _removal_curve(ev: Evaluation, order: Order, masker: str, steps: int) -> Tensor:
    n_features = ev.layout.n_features
    ordered = removal_order(ev, order)
    position = torch.arange(n_features, dtype=torch.int32, device=ordered.device).expand(ordered.shape)
    removed_at = torch.empty_like(ordered, dtype=torch.int32).scatter_(1, ordered, position)
    counts, back = torch.unique(schedule(n_features, steps).to(ordered.device), return_inverse=True)
    mask = ev.masker(masker)

    def compute(block: Block) -> Tensor:
        keep = removed_at[block.rows].unsqueeze(1) >= counts[block.copies].unsqueeze(1)
        keep = keep.view(-1, *ev.layout.feature_shape)
        return ev.scores(mask(block.copies_of(ev.inputs), keep, block.index), block.index)

    return over_copies(ev, len(counts), "curve", compute)[:, back]


def area(curve: Tensor, n_features: int) -> Tensor:
    """Mean height of curves (N, steps + 1) over the share of removed features, by trapezoids."""
    share = schedule(n_features, curve.shape[1] - 1).to(curve.device) / n_features
    return torch.trapezoid(curve, share, dim=1)
