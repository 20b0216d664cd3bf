"""Anchors: the smallest set of features that fixes the class, whatever the others are."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UsageError
from xaibench.core.outputs import require_classes
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.coalitions import Players, all_coalitions, make_players
from xaibench.explainers.engines.perturbed_copies import blocks_of, check_positive


@explainer("anchors", kind="saliency", needs={"text", "table"}, follows_outputs=False)
def anchors(
    problem: ProblemView,
    *,
    precision: float = 0.95,
    exhaustive: NonNegativeInt = 14,
    n_samples: PositiveInt = 64,
    beam: PositiveInt = 2,
    masker: str = "zero",
    draws: Draws,
) -> Tensor:
    """Smallest set of features that makes the model say the class, the others staying at random (Ribeiro et al. 2018).

    A set A is an anchor if ``P(f says y | A stays, every other feature stays with probability 1/2) >= precision``. Of
    the smallest anchors it is the one with the largest precision. With few features all sets are known, from all
    2^n coalitions; with more, a beam search grows the best sets feature by feature.

    Parameters
    ----------
    precision : float
        Above 0, at most 1.
    exhaustive : int
        Most features with which all 2^n coalitions are evaluated.
    n_samples : int
        Drawn coalitions by which the beam search judges a set, the same for all sets.
    beam : int
        Sets that it extends at a time.
    masker : str
        What features that do not stay are set to.

    Returns
    -------
    Tensor (N, *feature_shape)
        1 for features of the anchor, else 0: all 0 for a model that says the class whatever is removed. NaN where the
        model does not say the explained class of the whole sample.

    Raises
    ------
    UnsupportedError
        If the model has no classes, or a contrast is explained.
    """
    if not 0 < precision <= 1:
        raise UsageError(f"precision must be above 0 and at most 1, not {precision}")
    check_positive(n_samples=n_samples, beam=beam)
    require_classes(problem.model.returns, "anchors are about the predicted class")
    problem.refuse_foils("anchors are about the class that the model says")
    players = make_players(problem, None)
    maps = []
    for row in range(len(problem)):
        view = problem.take(slice(row, row + 1))
        if players.count <= exhaustive:
            chosen = _smallest(view, players, precision, masker)
        else:
            uniform = draws[slice(row, row + 1)].uniform((n_samples, players.count))[0]
            chosen = _grown(view, players, precision, beam, uniform < 0.5, masker)
        maps.append(players.expand(chosen))
    return torch.stack(maps).to(problem.inputs)


def _smallest(view: ProblemView, players: Players, precision: float, masker: str) -> Tensor:
    """The anchor (d,) of one sample among all sets; NaN without one."""
    coalitions = all_coalitions(players.count).to(view.inputs.device)
    total = _says_target(view, players, coalitions, masker).double()
    for player in range(players.count):
        # Adds the coalitions with this player to those without: in the end, all that hold a set.
        halves = total.view(-1, 2, 2**player)
        halves[:, 0] += halves[:, 1]
    sizes = coalitions.sum(dim=1)
    found = total / 2.0 ** (players.count - sizes)
    anchored = found >= precision
    if not bool(anchored.any()):
        return torch.full((players.count,), torch.nan, device=view.inputs.device)
    smallest = anchored & (sizes == sizes[anchored].min())
    return coalitions[torch.where(smallest, found, -1.0).argmax()].float()


def _grown(view: ProblemView, players: Players, precision: float, beam: int, stay: Tensor, masker: str) -> Tensor:
    """The anchor (d,) of one sample by a beam search; NaN without one."""
    d = players.count
    best = torch.zeros(1, d, dtype=torch.bool, device=view.inputs.device)
    stay = stay.to(best.device)
    for _ in range(d + 1):
        coalitions = (best.unsqueeze(1) | stay).flatten(0, 1)
        found = _says_target(view, players, coalitions, masker).double().view(len(best), -1).mean(dim=1)
        if bool((found >= precision).any()):
            return best[found.argmax()].float()
        leading = best[found.argsort(descending=True, stable=True)[:beam]]
        each = torch.eye(d, dtype=torch.bool, device=best.device)
        larger = (leading.unsqueeze(1) | each)[~leading]
        if not len(larger):
            break
        best = torch.unique(larger, dim=0)
    return torch.full((d,), torch.nan, device=view.inputs.device)


def _says_target(view: ProblemView, players: Players, coalitions: Tensor, masker: str) -> Tensor:
    """Whether the model says the explained class of one sample with only these players (K,) of bool."""
    fill = view.masker(masker)
    out = torch.empty(len(coalitions), dtype=torch.bool, device=view.inputs.device)
    for part in blocks_of(view, len(coalitions), 4 * view.inputs[0].numel()):
        own = coalitions[part]
        rows = torch.zeros(len(own), dtype=torch.int64, device=view.inputs.device)
        raw = view.predict(fill(view.inputs[rows], players.expand(own), rows), rows)
        out[part] = raw.argmax(dim=1) == view.targets[0]
    return out
