"""LIME (Ribeiro et al. 2016) and KernelSHAP (Lundberg and Lee 2017): linear models fitted to coalition values."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.masking.maskers import FillMasker, Masker
from xaibench.core.masking.missing import complete_rows
from xaibench.core.masking.references import evenly_spaced, kmeans_centres
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.series_groups import SeriesGroup
from xaibench.explainers.engines.coalitions import Players, all_coalitions, coalition_values, make_players
from xaibench.explainers.engines.perturbed_copies import check_positive, sample_blocks

References = Literal["rows", "kmeans", "kmeans_rounded"]


@explainer("lime", kind="contribution", unkeyed_defaults={"group"})
def lime(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 256,
    patch: PositiveInt | None = None,
    masker: str = "zero",
    width: float = 0.25,
    ridge: float = 0.01,
    group: SeriesGroup | None = None,
    draws: Draws,
) -> Tensor:
    """Coefficients of a local ridge regression on present and removed features (Ribeiro et al. 2016).

    Every feature is present with probability 1/2; a coalition weighs ``exp(-(distance / width)^2)``, the
    distance being the cosine distance to the full one. Where all ``2^d`` coalitions fit into
    ``n_samples``, each is taken once and nothing is random.

    Parameters
    ----------
    n_samples : int
        Coalitions, the full one among them.
    patch : int, optional
        Side of the patches of an image, length in steps for a series. Default: at most 64 players.
    masker : str
    width : float
        Width of the exponential kernel.
    ridge : float
        Penalty on the squared coefficients; the intercept is free.
    group : {"segments", "sensors", "steps"}, optional
        Of series: stretches of ``patch`` steps of all sensors, whole sensors, or single steps are the players, instead
        of stretches of one sensor.
    """
    check_positive(n_samples=n_samples)
    players = make_players(problem, patch, group=group)
    maps = []
    for block in sample_blocks(problem, 8 * players.count * max(n_samples, players.count)):
        view = problem.take(block)
        coalitions = _even_coalitions(view, players.count, n_samples, draws[block])
        values = coalition_values(view, players, coalitions, masker).double()
        z = coalitions.double()
        distance = 1 - z.mean(dim=-1).sqrt()
        weights = torch.exp(-((distance / width) ** 2)).expand(values.shape)
        coefficients = weighted_ridge(z.expand(len(view), -1, -1), values, weights, ridge)
        maps.append(players.share(coefficients))
    return torch.cat(maps).to(problem.inputs.dtype)


@explainer("kernel_shap", kind="contribution", unkeyed_defaults={"group"})
def kernel_shap(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 512,
    patch: PositiveInt | None = None,
    masker: str = "zero",
    references: References | None = None,
    n_references: PositiveInt = 10,
    group: SeriesGroup | None = None,
    draws: Draws,
) -> Tensor:
    """Shapley values by weighted least squares (Lundberg & Lee 2017), with paired sampling (Covert & Lee 2021).

    Sizes of coalitions that the budget covers are enumerated, the largest kernel weight first; the
    rest is sampled by size, each coalition with its complement. Exact where ``2^d`` is at most
    ``n_samples``. The values add up to the output difference between the sample and its fully
    masked copy, whatever was sampled.

    Parameters
    ----------
    n_samples : int
        Coalitions; raised to four per player where it is less, so that the system has one solution.
    patch : int, optional
        Side of the patches of an image, length in steps for a series. Default: at most 64 players.
    masker : str
    references : {"rows", "kmeans", "kmeans_rounded"}, optional
        Instead of the masker, removed features come from several reference samples, and the value
        of a coalition is the mean output over them: background rows, evenly spaced, or the centres of
        their clusters, each weighing as much as its cluster, with every number as it is or moved to
        the nearest one that its column holds (Lundberg & Lee's software does the last).
    n_references : int
        At most.
    group : {"segments", "sensors", "steps"}, optional
        Of series: stretches of ``patch`` steps of all sensors, whole sensors, or single steps are the players, instead
        of stretches of one sensor.

    Raises
    ------
    UnsupportedError
        If references are wanted and the problem has no background.
    """
    check_positive(n_samples=n_samples, n_references=n_references)
    players = make_players(problem, patch, group=group)
    fills = None if references is None else _references(problem, references, n_references)
    d = players.count
    budget = max(n_samples, 4 * d)
    fixed, fixed_weights, classes = _enumerate_sizes(d, budget)
    fixed = fixed.to(problem.inputs.device)
    n_pairs = (budget - len(fixed)) // 2 if classes else 0
    weights = torch.cat([fixed_weights, torch.full((2 * n_pairs,), sum(classes.values()) / max(2 * n_pairs, 1))])
    weights = weights.double().to(fixed.device)
    ends = torch.tensor([[False], [True]], device=fixed.device).expand(2, d)
    maps = []
    for block in sample_blocks(problem, 8 * d * max(budget, d)):
        view = problem.take(block)
        coalitions = fixed.expand(len(view), -1, -1)
        if n_pairs:
            drawn = _paired_coalitions(d, n_pairs, classes, draws[block])
            coalitions = torch.cat([coalitions, drawn, ~drawn], dim=1)
        empty, full = _mean_values(view, players, ends, masker, fills).unbind(dim=1)
        if d == 1:
            maps.append(players.share((full - empty).unsqueeze(1)))
            continue
        values = _mean_values(view, players, coalitions, masker, fills) - empty.unsqueeze(1)
        maps.append(players.share(_constrained_fit(coalitions.double(), values, weights, full - empty)))
    return torch.cat(maps).to(problem.inputs.dtype)


def _references(problem: ProblemView, kind: References, n: int) -> list[tuple[Tensor, float]]:
    """Reference samples (*input_shape), and the share of each."""
    given = complete_rows(problem.require_background("references need a background")).cpu().numpy()
    layout = problem.layout
    blocks = [j for j in layout.categorical if len(layout.columns[j]) > 1]
    if (blocks and kind != "rows") or (kind == "kmeans" and (layout.categorical or layout.boolean)):
        raise UnsupportedError(
            "centres of clusters are between the categories of a feature", 'references="rows" are real rows'
        )
    if kind == "rows":
        rows, shares = evenly_spaced(given, n)
    else:
        rows, shares = kmeans_centres(given, n, rounded=kind == "kmeans_rounded")
    return list(zip(torch.from_numpy(rows).to(problem.inputs.device), shares.tolist(), strict=True))


def _mean_values(
    problem: ProblemView, players: Players, coalitions: Tensor, masker: str, fills: list[tuple[Tensor, float]] | None
) -> Tensor:
    """Output (N, K) of coalitions, float64: under the masker, or the weighted mean over reference samples."""
    if fills is None:
        return coalition_values(problem, players, coalitions, masker).double()
    total = torch.zeros((), dtype=torch.float64, device=problem.inputs.device)
    for row, share in fills:
        fill: Masker = FillMasker("reference", problem.inputs, row.expand_as(problem.inputs), problem.layout)
        total = total + share * coalition_values(problem, players, coalitions, fill).double()
    return total


def _even_coalitions(problem: ProblemView, d: int, n: int, draws: Draws) -> Tensor:
    """All coalitions (2^d, d) where they fit, else the full one and fair coin flips (N, n, d)."""
    if d < 31 and 2**d <= n:
        return all_coalitions(d).to(problem.inputs.device)
    drawn = draws.uniform((n, d)) < 0.5
    drawn[:, 0] = True
    return drawn


def _enumerate_sizes(d: int, budget: int) -> tuple[Tensor, Tensor, dict[int, float]]:
    """Coalitions of the sizes that ``budget`` covers, their weights, and the weight of every size left.

    A size s and its mirror d - s go together. They are enumerated when sampling by weight would give
    them at least as many draws as they have coalitions. All weights add up to 1.
    """
    mirrored = {s: ((2 if 2 * s != d else 1) / (s * (d - s))) for s in range(1, d // 2 + 1)}
    total = sum(mirrored.values())
    left = {s: w / total for s, w in mirrored.items()}
    rows, weights = [], []
    for s in list(left):
        number = math.comb(d, s) * (2 if 2 * s != d else 1)
        if number > budget * left[s] / sum(left.values()) * (1 + 1e-9):
            break
        members = torch.tensor(list(combinations(range(d), s)))
        present = torch.zeros(len(members), d, dtype=torch.bool).scatter_(1, members, True)
        rows.append(present if 2 * s == d else torch.cat([present, ~present]))
        weights.append(torch.full((number,), left.pop(s) / number))
        budget -= number
    if not rows:
        return torch.zeros(0, d, dtype=torch.bool), torch.zeros(0), left
    return torch.cat(rows), torch.cat(weights), left


def _paired_coalitions(d: int, n: int, classes: dict[int, float], draws: Draws) -> Tensor:
    """Coalitions (N, n, d) whose size is drawn by weight (stratified), the members evenly."""
    sizes = torch.tensor(list(classes), device=draws.device)
    shares = torch.tensor(list(classes.values()), device=draws.device)
    edges = torch.cumsum(shares / shares.sum(), dim=0)
    position = (torch.arange(n, device=draws.device) + draws.uniform((n,))) / n
    chosen = sizes[torch.searchsorted(edges, position.contiguous(), right=True).clamp(max=len(sizes) - 1)]
    return draws.permutation((n, d)) < chosen.unsqueeze(-1)


def _constrained_fit(z: Tensor, values: Tensor, weights: Tensor, total: Tensor) -> Tensor:
    """Weighted least squares (N, d) whose coefficients add up to ``total`` (Covert & Lee 2021, Eq. 7)."""
    weighted = z * weights.unsqueeze(-1)
    a = weighted.mT @ z
    b = (weighted.mT @ values.unsqueeze(-1)).squeeze(-1)
    ones = torch.ones_like(b)
    free, direction = torch.linalg.solve(a, torch.stack([b, ones], dim=-1)).unbind(dim=-1)
    gap = (free.sum(dim=1) - total) / direction.sum(dim=1)
    fitted: Tensor = free - direction * gap.unsqueeze(1)
    return fitted


def weighted_ridge(z: Tensor, values: Tensor, weights: Tensor, ridge: float) -> Tensor:
    """Weighted ridge regression (N, d) with a free intercept."""
    share = (weights / weights.sum(dim=1, keepdim=True)).unsqueeze(1)
    centred = z - share @ z
    goal = values.unsqueeze(-1) - share @ values.unsqueeze(-1)
    weighted = centred * weights.unsqueeze(-1)
    a = weighted.mT @ centred + ridge * torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    fitted: Tensor = torch.linalg.solve(a, weighted.mT @ goal).squeeze(-1)
    return fitted
