"""What two orders of features have in common where values tie: the mean over all orders that ties allow.

The orders of values (N, F) and of true values (N, F) are compared. Features of equal true value are
in whatever order suits best, as the truth prefers none of them. Features of equal value are in
every order equally often, as these values tell nothing. So ties are worth what a coin is worth.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Shared = Callable[[Tensor], Tensor]
"""From how many features count as the top (N,) to how many of them both orders share (N,), float64."""


def features_shared(values: Tensor, truth: Tensor, admitted: Tensor) -> Shared:
    """How many features are in the top j of both orders, whatever their places there.

    Above the true value at the border every feature is one of the top j, and of those at the border
    as many as there is room for. Of the features that tie at the border of the values some are
    among the top j by chance, a hypergeometric number of those at the border of the truth.

    Parameters
    ----------
    values, truth : Tensor (N, F)
    admitted : Tensor (N, F) of bool
        Features that count if they are shared.
    """
    falling, true_falling = (v.sort(dim=1, descending=True).values for v in (values, truth))

    def shared(j: Tensor) -> Tensor:
        border, true_border = (v.gather(1, j.unsqueeze(1) - 1) for v in (falling, true_falling))
        inside, tied = values > border, values == border
        room = j - (truth > true_border).sum(dim=1)
        sure, fitting = (truth > true_border) & admitted, (truth == true_border) & admitted
        group, drawn = tied.sum(dim=1), j - inside.sum(dim=1)
        found = (inside & sure).sum(dim=1) + (tied & sure).sum(dim=1).double() * drawn / group
        have, able = (inside & fitting).sum(dim=1), (tied & fitting).sum(dim=1)
        return found + _mean_of_smaller(have, room, group, able, drawn)

    return shared


def ranks_shared(values: Tensor, truth: Tensor, admitted: Tensor) -> Shared:
    """At how many of the first j ranks the order of values has a feature of the true value of that rank.

    Parameters
    ----------
    values, truth : Tensor (N, F)
    admitted : Tensor (N, F) of bool
        Features that count if they are shared.
    """
    n_features = values.shape[1]
    group, size = _groups(values)
    true_group, _ = _groups(truth)
    # A number for every pair of a tied group of values and one of true values; not one for what is not admitted.
    pair = torch.where(admitted, group * n_features + true_group, n_features**2).sort(dim=1).values
    wanted = group.sort(dim=1).values * n_features + true_group.sort(dim=1).values
    fitting = torch.searchsorted(pair, wanted, right=True) - torch.searchsorted(pair, wanted)
    total = (fitting.double() / size.gather(1, group.argsort(dim=1))).cumsum(dim=1)
    return lambda j: total.gather(1, j.unsqueeze(1) - 1).squeeze(1)


def _groups(values: Tensor) -> tuple[Tensor, Tensor]:
    """Number of the tied group that each feature is in, by falling value, and how many are in it: (N, F) int64."""
    ordered, order = values.sort(dim=1, descending=True)
    number = torch.zeros_like(order)
    number[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(dim=1)
    count = torch.zeros_like(order).scatter_add_(1, number, torch.ones_like(order))
    group = torch.empty_like(order).scatter_(1, order, number)
    return group, count.gather(1, group)


def _mean_of_smaller(have: Tensor, room: Tensor, group: Tensor, able: Tensor, drawn: Tensor) -> Tensor:
    """E[min(have + H, room)], H being how many of ``able`` are among ``drawn`` of a ``group`` (all (N,)), float64."""
    least, most = (drawn + able - group).clamp(min=0), torch.minimum(drawn, able)
    found = torch.minimum(have + least, room).double()
    random = (most > least).nonzero().squeeze(1)
    if len(random):
        have, room, group, able, drawn, least, most = (
            t[random].double().unsqueeze(1) for t in (have, room, group, able, drawn, least, most)
        )
        h = torch.arange(int(most.max()) + 1, dtype=torch.float64, device=have.device)
        ways = _log_choose(able, h) + _log_choose(group - able, drawn - h)
        share = torch.where((h >= least) & (h <= most), (ways - _log_choose(group, drawn)).exp(), 0)
        found[random] = (share * torch.minimum(have + h, room)).sum(dim=1) / share.sum(dim=1)
    return found


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    """Logarithm of the number of subsets, for 0 <= k <= n; anything elsewhere."""
    return torch.lgamma(n + 1) - torch.lgamma(k.clamp(min=0) + 1) - torch.lgamma((n - k).clamp(min=0) + 1)
