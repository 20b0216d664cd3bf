"""A black-box attack on explanations (after QuScore): a search by queries alone, beside noise of the same size."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.outputs import require_classes
from xaibench.core.registry import metric
from xaibench.metrics.maps.orders import TopK, descending, ranks_of, top_size
from xaibench.metrics.maps.similarity import is_constant

LARGEST_SQUARE, SMALLEST_SQUARE = 0.5, 0.1
"""Side of the squares in the first and the last query, as a share of the shorter side of the image."""


@metric(
    "query_attack",
    family="robustness",
    construct="query_attack",
    higher_is_better=False,
    bounds=(-1, 1),
    needs={"image", "reexplain"},
    source="after Abdukhamidov et al. 2023, Microbial genetic algorithm-based black-box attack against interpretable "
    "deep learning systems (QuScore); Andriushchenko et al. 2020, Square attack",
    undefined_for={"zero maps", "constant maps"},
)
def query_attack(
    ev: Evaluation,
    *,
    queries: PositiveInt = 100,
    epsilon: PositiveFloat = 0.05,
    k: TopK = 0.1,
    overlap: Annotated[float, Gt(0), Le(1)] = 0.3,
    n_noise: Annotated[int, Ge(1)] = 8,
) -> Tensor:
    """Whether a search by queries turns the map over while the class stays, beyond what noise of that size does.

    The search changes every number of the image by ``epsilon``, up or down. It starts from columns of random sign;
    each query sets a random square to one sign per channel, the squares getting smaller, and the change stays if
    the class does and fewer of the top features of the original map are among those of the new one. Neither
    gradients nor outputs other than the class are used. It succeeds if the share that is left is below ``overlap``.

    Noise is the placebo of an attack: images of which every number is changed by ``epsilon`` with a random sign.
    The score is the success of the search, 0 or 1, minus the share of the noisy images that succeed.

    Parameters
    ----------
    queries : int
        Explanations that the search may ask for; success can only grow with them.
    epsilon : float
        Change of every number, in input units; inputs may leave the range of the data.
    k : int or float
        Number or share of the features that are the top ones.
    overlap : float
        Share of the top features below which the map counts as another one.
    n_noise : int
        Noisy images.

    Returns
    -------
    Tensor (N,)
        1 if the search succeeds and noise never does; 0 or less if the search is no better than noise. NaN for a
        constant map.

    Raises
    ------
    UnsupportedError
        If the data are not images, or the model has no classes.
    """
    if ev.layout.kind != "image":
        raise UnsupportedError(f"squares are of images, and this is {ev.layout.kind} data")
    require_classes(ev.model.returns, "an attack must keep the predicted class")
    search = _Search(ev, epsilon, k)
    best = _without_top(search, queries)
    noisy = torch.zeros_like(best)
    draws = ev.draws("query attack/noise")
    for _ in range(n_noise):
        signs = draws.integers(2, ev.layout.input_shape).to(ev.inputs) * 2 - 1
        noisy += (search.left(ev.inputs + epsilon * signs) < overlap).double()
    found = (best < overlap).double() - noisy / n_noise
    return torch.where(is_constant(ev.attributions.flatten(1)), torch.nan, found)


class _Search:
    """What every query asks: is the class as before, and how many of the top features are left?"""

    def __init__(self, ev: Evaluation, epsilon: float, k: TopK) -> None:
        self.ev, self.epsilon = ev, epsilon
        self.size = top_size(k, ev.layout.n_features)
        self.top = self._top(ev.attributions)
        self.said = ev.predict(ev.inputs).argmax(dim=1)

    def left(self, inputs: Tensor) -> Tensor:
        """Share of the top features that are still there (N,), float64; 2 where the class is another."""
        maps = self.ev.explain(ExplainRequest(inputs=inputs))
        share = (self._top(maps) & self.top).double().sum(dim=1) / self.size
        kept = self.ev.predict(inputs).argmax(dim=1) == self.said
        return torch.where(kept & torch.isfinite(maps.flatten(1)).all(dim=1), share, 2.0)

    def _top(self, maps: Tensor) -> Tensor:
        return ranks_of(descending(self.ev, maps)) < self.size


def _without_top(search: _Search, queries: int) -> Tensor:
    """Smallest share of the top features that the search leaves (N,)."""
    ev = search.ev
    draws = ev.draws("query attack")
    channels = ev.layout.input_shape[0] if ev.layout.channels is not None else 1
    height, width = ev.layout.feature_shape
    images = ev.inputs.reshape(len(ev), -1, height, width)
    columns = draws.integers(2, (channels, 1, width)).to(images) * 2 - 1
    signs = columns.expand(-1, -1, height, -1).clone()
    best = search.left((images + search.epsilon * signs).view_as(ev.inputs))
    rows, across = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    for query in range(1, queries):
        # A stream of squares that does not depend on the number of queries: more of them only add to the search.
        share = max(SMALLEST_SQUARE, LARGEST_SQUARE * 0.5 ** (query / 50))
        side = max(1, round(share * min(height, width)))
        at = draws.uniform((2,)).to(images)
        top, first = (at[:, 0] * (height - side + 1)).floor(), (at[:, 1] * (width - side + 1)).floor()
        inside = (rows >= top[:, None]) & (rows < top[:, None] + side)
        beside = (across >= first[:, None]) & (across < first[:, None] + side)
        square = (inside[:, :, None] & beside[:, None, :]).unsqueeze(1)
        sign = draws.integers(2, (channels, 1, 1)).to(images) * 2 - 1
        tried = torch.where(square, sign, signs)
        left = search.left((images + search.epsilon * tried).view_as(ev.inputs))
        better = left <= best
        signs = torch.where(better.view(-1, 1, 1, 1), tried, signs)
        best = torch.minimum(best, left)
    return best
