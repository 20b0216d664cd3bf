"""Removal of features in a given order, and the resulting curves of the output."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Gt, Le, MinLen
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.metrics.engines.perturbation import Block, clean_raw, masked_raw, raw_outputs, select
from xaibench.metrics.engines.removal_units import RemovalUnits
from xaibench.metrics.maps.orders import descending, ranked, ranks_of
from xaibench.metrics.maps.segments import group_values

Order = Literal["morf", "lerf"]


def removal_order(ev: Evaluation, order: Order = "morf") -> Tensor:
    """Features in the order of their removal (N, F), int64.

    ``morf`` removes the largest attributions first, ``lerf`` is its exact reverse. Exact ties are
    broken by a draw per sample that is the same for all explainers. The random order is the
    explainer ``random``.
    """
    morf = ranked(ev, "signed")
    return morf.flip(1) if order == "lerf" else morf


def schedule(n_features: int | Tensor, steps: int) -> Tensor:
    """How many features are gone at every point of a curve, 0 and all included: (steps + 1,) int64.

    For numbers of features (N, 1) one schedule each, (N, steps + 1).
    """
    point = torch.arange(steps + 1, device=n_features.device if isinstance(n_features, Tensor) else None)
    return (2 * point * n_features + steps) // (2 * steps)


def counts_of_shares(n_features: int, shares: tuple[float, ...]) -> list[int]:
    """Numbers of features that make up these shares, at least one and at most all of them."""
    return [min(n_features, max(1, round(share * n_features))) for share in shares]


def removal_points(
    ev: Evaluation, order: Order, masker: str, counts: list[int], units: RemovalUnits | None = None
) -> Tensor:
    """Measured output when the first ``counts`` features, or units, of the order are removed (N, len(counts))."""
    return select(ev, removal_raw(ev, order, masker, counts, units))


def removal_raw(
    ev: Evaluation, order: Order, masker: str, counts: list[int], units: RemovalUnits | None = None
) -> Tensor:
    """Raw outputs when the first ``counts`` features, or units, of the order are removed (N, len(counts), C).

    Every point is evaluated once per (order, masker, units): metrics share the points that they have in
    common, whatever output they measure. The unmasked and the fully masked samples are evaluated
    once for all explainers.
    """
    units = units or RemovalUnits(ev.layout.n_features)
    of_units = f"/{units.name}" if units.name else ""
    known: dict[int, Tensor] = ev.reuse(f"removal/{order}/{masker}{of_units}", dict)
    known.setdefault(0, clean_raw(ev))
    if units.count in counts:
        known.setdefault(units.count, masked_raw(ev, masker))
    new = sorted(set(counts) - set(known))
    if new:
        ranks = _removed_at(ev, order, units)
        raw = outputs_without(ev, ranks, torch.tensor([new], dtype=torch.int32, device=ranks.device), masker)
        known.update(zip(new, raw.unbind(1), strict=True))
    return torch.stack([known[c] for c in counts], dim=1)


def _removed_at(ev: Evaluation, order: Order, units: RemovalUnits) -> Tensor:
    """Place of every feature in the order of removal (N, *feature_shape); units go by the sum of their attributions."""
    if units.labels is None:
        return ranks_of(removal_order(ev, order)).view(-1, *ev.layout.feature_shape)
    falling = descending(ev, group_values(ev.attributions, units.labels))
    ranks = ranks_of(falling.flip(1) if order == "lerf" else falling)
    return ranks[:, units.labels]


def removal_curve(ev: Evaluation, order: Order, masker: str, steps: int, units: RemovalUnits | None = None) -> Tensor:
    """Measured output while features are removed in ``order``.

    Parameters
    ----------
    ev : Evaluation
    order : {"morf", "lerf"}
    masker : str
    steps : int
        Point s has about ``s / steps`` of the features removed. Where there are fewer features
        than steps, points repeat.
    units : RemovalUnits, optional
        What is removed at a time; by default single features.

    Returns
    -------
    Tensor (N, steps + 1)
        The first column is the output of the samples themselves, the last one that of the fully
        masked samples.
    """
    units = units or RemovalUnits(ev.layout.n_features)
    return removal_points(ev, order, masker, schedule(units.count, steps).tolist(), units)


def area(curve: Tensor, n_features: int) -> Tensor:
    """Mean height of curves (N, steps + 1) over the share of removed features, by trapezoids."""
    share = schedule(n_features, curve.shape[1] - 1).to(curve.device) / n_features
    return torch.trapezoid(curve, share, dim=1)


def outputs_without(ev: Evaluation, removed_at: Tensor, counts: Tensor, masker: str) -> Tensor:
    """Raw outputs (N, K, C) of samples without the features whose place is below ``counts`` (N or 1, K)."""
    mask = ev.masker(masker)
    ones = [1] * len(ev.layout.feature_shape)

    def make(block: Block) -> Tensor:
        rows = block.rows if len(counts) > 1 else slice(None)
        gone = counts[rows, block.copies].view(-1, block.n_copies, *ones)
        return mask.copies(block.rows, removed_at[block.rows].unsqueeze(1) >= gone)

    return raw_outputs(ev, counts.shape[1], make)


SharesUpToOne = Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], MinLen(1)]


MIN_PROBABILITY = 1e-6
"""Probabilities below this count as this much in a logarithm: trees and forests give exact zeros."""
