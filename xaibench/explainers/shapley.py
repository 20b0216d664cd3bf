"""Shapley values, estimated from random permutations of the features (Castro et al. 2009)."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.series_groups import SeriesGroup
from xaibench.explainers.engines.coalitions import (
    Players,
    all_coalitions,
    coalition_scores,
    coalition_values,
    make_players,
    shapley_weights,
    touched,
)
from xaibench.explainers.engines.perturbed_copies import check_positive, sample_blocks


@explainer("shapley_sampling", kind="contribution", unkeyed_defaults={"group"})
def shapley_sampling(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 10,
    patch: PositiveInt | None = None,
    masker: str = "zero",
    group: SeriesGroup | None = None,
    draws: Draws,
) -> Tensor:
    """Mean marginal contribution over random orders of arrival (Castro et al. 2009).

    Every second order is the reverse of the one before (Mitchell et al. 2022), which lowers the
    variance. The values add up to the output difference between the sample and its fully masked
    copy. Exact, and nothing random, where all ``2^d`` coalitions cost no more than the orders would.

    Parameters
    ----------
    n_samples : int
        Orders; each evaluates one coalition per player.
    patch : int, optional
        Side of the patches of an image, length in steps for a series. Default: at most 64 players.
    masker : str
    group : {"segments", "sensors", "steps"}, optional
        Of series: stretches of ``patch`` steps of all sensors, whole sensors, or single steps are the players, instead
        of stretches of one sensor.
    """
    check_positive(n_samples=n_samples)
    players = make_players(problem, patch, group=group)
    d = players.count
    exact = d < 31 and 2**d <= n_samples * d
    maps = []
    for block in sample_blocks(problem, 2**d * d if exact else n_samples * d * d):
        view = problem.take(block)
        values = _exact(view, players, masker) if exact else _sampled(view, players, masker, n_samples, draws[block])
        maps.append(players.share(values))
    return torch.cat(maps).to(problem.inputs.dtype)


def _exact(problem: ProblemView, players: Players, masker: str) -> Tensor:
    """Shapley values (N, d) from every coalition."""
    coalitions = all_coalitions(players.count).to(problem.inputs.device)
    weights = shapley_weights(coalitions.cpu()).to(problem.inputs.device)
    return coalition_values(problem, players, coalitions, masker).double() @ weights


def _sampled(problem: ProblemView, players: Players, masker: str, n: int, draws: Draws) -> Tensor:
    """Mean marginal contributions (N, d) over n orders, in antithetic pairs."""
    d = players.count
    place = draws.permutation(((n + 1) // 2, d))
    place = torch.stack([place, d - 1 - place], dim=2).flatten(1, 2)[:, :n]
    each = players.expand(torch.eye(d, dtype=torch.bool, device=place.device))
    ends = coalition_values(problem, players, torch.tensor([[False], [True]]).expand(2, d).to(each.device), masker)
    curve = ends[:, :1, None].double().repeat(1, n, d + 1)
    curve[:, :, d] = ends[:, 1:].double()
    # The arrival of a player whose features are at the masker's value already changes nothing: the
    # value stays that of the last arrival that did, and the model is not evaluated.
    active = touched(problem, each, masker).unsqueeze(1).expand_as(place).gather(2, place.argsort(dim=2))
    rows, orders, arrivals = active[:, :, : d - 1].nonzero(as_tuple=True)
    if len(rows):

        def keep(part: slice) -> Tensor:
            return players.expand(place[rows[part], orders[part]] <= arrivals[part].unsqueeze(1))

        curve[rows, orders, arrivals + 1] = coalition_scores(problem, masker, rows, keep).double()
    steps = torch.arange(1, d + 1, device=place.device)
    latest = torch.where(active, steps, 0).cummax(dim=2).values
    gains = torch.cat([curve[:, :, :1], curve.gather(2, latest)], dim=2).diff(dim=2)
    return gains.gather(2, place).mean(dim=1)
