"""Comprehensiveness and sufficiency (ERASER), log-odds: the output without, or with only, the top features."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.core.series_groups import CellGroup
from xaibench.metrics.engines.perturbation import clean_scores
from xaibench.metrics.engines.removal import MIN_PROBABILITY, SharesUpToOne, counts_of_shares, removal_points
from xaibench.metrics.engines.removal_units import removal_units

TOP_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of the features that count as the top, as published."""
_ERASER = "DeYoung et al. 2020, ERASER: a benchmark to evaluate rationalized NLP models"


@metric(
    "comprehensiveness",
    family="faithfulness",
    construct="removal",
    higher_is_better=True,
    bounds=(-1, 1),
    output="curve",
    convert="order",
    source=f"{_ERASER}, comprehensiveness, averaged over shares as for soft scores",
    unkeyed_defaults={"group", "patch"},
    in_output_unit=True,
)
def comprehensiveness(
    ev: Evaluation,
    *,
    shares: SharesUpToOne = TOP_SHARES,
    masker: str = "mean",
    group: CellGroup | None = None,
    patch: PositiveInt | None = None,
) -> Tensor:
    """Mean drop of the output when the top features are removed: large if everything that it needs was among them.

    ``mean_k f(x) - f(x without its top k)`` over several shares of the features. Attributions are
    ordered by their signed values.

    Parameters
    ----------
    shares : tuple of float
        Shares of the features, above 0 and up to 1, each rounded to the nearest number (halves to the even one) and
        at least one feature. Shares of few features may mean the same number, which then counts as often.
    masker : str
        What removed features are set to.
    group : {"segments", "sensors", "steps", "cells"}, optional
    patch : int, optional
        Of series: what is removed at a time, and the length of a segment; see `pixel_flipping`. Shares are then of
        these units.

    Returns
    -------
    Tensor (N,)
    """
    units = removal_units(ev, masker, group, patch)
    counts = counts_of_shares(units.count, shares)
    return clean_scores(ev) - removal_points(ev, "morf", masker, counts, units).mean(dim=1)


@metric(
    "sufficiency",
    family="faithfulness",
    construct="removal",
    higher_is_better=False,
    bounds=(-1, 1),
    output="curve",
    convert="order",
    source=f"{_ERASER}, sufficiency, averaged over shares as for soft scores",
    unkeyed_defaults={"group", "patch"},
    in_output_unit=True,
)
def sufficiency(
    ev: Evaluation,
    *,
    shares: SharesUpToOne = TOP_SHARES,
    masker: str = "mean",
    group: CellGroup | None = None,
    patch: PositiveInt | None = None,
) -> Tensor:
    """Mean drop of the output when all but the top features are removed: small if they are enough.

    ``mean_k f(x) - f(the top k alone)`` over several shares of the features. To leave the top k alone is
    to remove the others, least relevant first.

    Parameters
    ----------
    shares : tuple of float
        Shares of the features, as for `comprehensiveness`.
    masker : str
        What removed features are set to.
    group : {"segments", "sensors", "steps", "cells"}, optional
    patch : int, optional
        Of series: what is removed at a time, and the length of a segment; see `pixel_flipping`. Shares are then of
        these units.

    Returns
    -------
    Tensor (N,)
        Below 0 where the top features alone give more than the whole sample.
    """
    units = removal_units(ev, masker, group, patch)
    counts = [units.count - left for left in counts_of_shares(units.count, shares)]
    return clean_scores(ev) - removal_points(ev, "lerf", masker, counts, units).mean(dim=1)


@metric(
    "log_odds",
    family="faithfulness",
    construct="removal",
    higher_is_better=False,
    output="probability",
    convert="order",
    source="Shrikumar et al. 2017, Learning important features through propagating activation differences, "
    "log-odds; as ratio of probabilities in Chen et al. 2019, L-Shapley and C-Shapley",
    unkeyed_defaults={"group", "patch"},
)
def log_odds(
    ev: Evaluation,
    *,
    shares: SharesUpToOne = TOP_SHARES,
    masker: str = "mean",
    group: CellGroup | None = None,
    patch: PositiveInt | None = None,
) -> Tensor:
    """Mean change of the log probability when the top features are removed: the further down, the better.

    ``mean_k log p(x without its top k) - log p(x)``. `comprehensiveness` on a scale on which the
    way from 1e-2 to 1e-4 counts as much as that from 1 to 1e-2.

    Parameters
    ----------
    shares : tuple of float
        Shares of the features, as for `comprehensiveness`.
    masker : str
        What removed features are set to.
    group : {"segments", "sensors", "steps", "cells"}, optional
    patch : int, optional
        Of series: what is removed at a time, and the length of a segment; see `pixel_flipping`. Shares are then of
        these units.

    Returns
    -------
    Tensor (N,)
        In nats. Probabilities below 1e-6 count as 1e-6.

    Raises
    ------
    UnsupportedError
        If the model gives no probabilities, or another output is asked for.
    """
    if ev.output != "probability":
        raise UnsupportedError(f"log odds are those of a probability, not of a {ev.output}", "leave the output out")
    units = removal_units(ev, masker, group, patch)
    counts = counts_of_shares(units.count, shares)
    without = removal_points(ev, "morf", masker, counts, units).clamp(min=MIN_PROBABILITY).log().mean(dim=1)
    return without - clean_scores(ev).clamp(min=MIN_PROBABILITY).log()
