"""Hypothesis tests IRT and OSFT (Burns et al. 2020): does replacing a feature by null draws change the output?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import Predictor, computing_in_float64
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.perturbed_copies import blocks_of, check_positive, sample_blocks

_FAR = 1e3
_RTOL, _ATOL = 1e-5, 1e-7
"""Outputs that are closer than this are equal: otherwise rounding would decide about features that change nothing."""


@explainer("irt", version=2, kind="saliency", needs={"background"})
def irt(problem: ProblemView, *, two_sided: bool = True, n_samples: PositiveInt = 100, draws: Draws) -> Tensor:
    """Interpretability randomisation test (Burns, Thomason, Tansey 2020): evidence ``1 - p`` against the null.

    The null says that the feature is a draw from its distribution given the others. Its value is
    replaced by ``n_samples`` draws from the background, and ``p = (1 + #{as extreme}) / (n_samples + 1)``.
    An output is as extreme as the sample's if it is at least as large, or, two-sided, if it is at
    least as far from the output of one more draw. Outputs that are equal but for rounding count.

    Parameters
    ----------
    two_sided : bool
    n_samples : int
        Draws; p is at least ``1 / (n_samples + 1)``.

    Notes
    -----
    p is uniform (or larger) under the null only if the background is what features look like when
    nothing is there, and its columns are independent: each feature is drawn from its own column.
    Which features to report is decided over all p-values at once, by a metric such as
    `discovery_power` with Benjamini and Hochberg's procedure.

    Raises
    ------
    UnsupportedError
        If the problem has no background.
    """
    maps = [
        1 - (1 + (null_far >= far - close).sum(dim=2)) / (n_samples + 1)
        for far, null_far, close in _distances(problem, n_samples, draws, centred=two_sided)
    ]
    return torch.cat(maps).to(problem.inputs.dtype).view(len(problem), *problem.layout.feature_shape)


@explainer("osft", version=2, kind="contribution", needs={"background"})
def osft(problem: ProblemView, *, two_sided: bool = True, draws: Draws) -> Tensor:
    """One-shot feature test (Burns, Thomason, Tansey 2020): a statistic that is symmetric about 0 under the null.

    The feature is replaced by one draw from the background: ``T = y - y~``, or, two-sided and with
    the output ``c`` of one more draw, ``T = (y - c)^2 - (y~ - c)^2``. Under the null y and y~ are
    exchangeable, so T is as often positive as negative; 0 where they are equal but for rounding.
    So the negative numbers tell how many of the positive ones are false, see ``symmetric`` in
    `discovery_power`.

    Parameters
    ----------
    two_sided : bool

    Raises
    ------
    UnsupportedError
        If the problem has no background.
    """
    maps = []
    for far, null_far, close in _distances(problem, 1, draws, centred=two_sided):
        statistic = far.square() - null_far.square() if two_sided else far - null_far
        maps.append(torch.where((far - null_far).abs() <= close, 0, statistic).squeeze(2))
    return torch.cat(maps).to(problem.inputs.dtype).view(len(problem), *problem.layout.feature_shape)


def _distances(problem: ProblemView, n: int, draws: Draws, *, centred: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """How far out the outputs are, of samples and of their copies with a null draw, block by block, in float64.

    That is the output itself or, centred, its distance from the output with one more draw. Whether
    two are equal but for rounding must not hang on rounding, which differs with what else is in a
    batch. So copies that equal the sample are not evaluated, equal ones once, and modules compute in
    float64. Where they cannot, and for black boxes, a pass holds the copies of one sample, and what
    is near the border of ``close`` is decided by passes of one row, which are the same in any batch.

    Yields
    ------
    far : Tensor (B, F, 1)
        Of the samples.
    null_far : Tensor (B, F, n)
    close : Tensor (B, 1, 1)
        What is at most this far apart is equal.
    """
    check_positive(n_samples=n)
    if not problem.layout.one_number_each and problem.layout.groups:
        raise UnsupportedError("hypothesis tests take single columns, and there are groups of them")
    background = problem.require_background("hypothesis tests need a background, rows of the null distribution")
    d, channels, total = problem.layout.n_features, problem.layout.channels or 1, n + centred
    columns = background.reshape(-1, channels, d).transpose(1, 2)
    with computing_in_float64(problem.model, problem.inputs, problem.context or None) as model:
        exact = model is not problem.model
        level = _level(problem, model)
        for block in sample_blocks(problem, 8 * total * max(d, problem.inputs[0].numel())):
            picked = draws[block].integers(len(columns), (d, total))
            values = columns[picked, torch.arange(d, device=picked.device).unsqueeze(1)]
            copies = _Copies(replace(problem.take(block), model=model), values)
            outputs = copies.evaluate(slice(0, len(copies))) if exact else copies.evaluate_apart()
            far, null_far, close = _far(outputs, copies.index, centred, level[block])
            if not exact:
                near = ((far - null_far).abs() - close).abs() <= close / 2
                deciding = copies.index[:, :, -n:][near]
                if centred:
                    deciding = torch.cat([deciding, copies.index[:, :, 0][near.any(dim=2)]])
                for row in np.unique(deciding.cpu().numpy()):
                    outputs[row] = copies.evaluate(slice(row, row + 1))[0]
                far, null_far, close = _far(outputs, copies.index, centred, level[block])
            yield far, null_far, close


def _level(problem: ProblemView, model: Predictor) -> Tensor:
    """What is taken off the outputs of each sample (N,): the mean over the background of values far from 0, else 0.

    Values are far from 0 where they are a thousand times their standard deviation: their own size then says nothing of
    their differences, which only float64 tells.
    """
    nothing = torch.zeros(len(problem), dtype=torch.float64, device=problem.targets.device)
    if problem.model.returns != "value" or (problem.context and not problem.background_context):
        return nothing
    raw = replace(problem, model=model).predict_background().T
    if raw.dtype != torch.float64:
        return nothing
    values = raw[problem.targets] - (0 if problem.foils is None else raw[problem.foils])
    mean = values.mean(dim=1)
    return torch.where(mean.abs() > _FAR * values.std(dim=1, correction=0), mean, nothing)


def _far(outputs: Tensor, index: Tensor, centred: bool, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `_distances` yields, from the output of every row and the row of every copy, the centre's first."""
    outputs, level = outputs.double(), level.view(-1, 1, 1)
    own, nulls = outputs[: len(index)].view(-1, 1, 1) - level, outputs[index] - level
    close = _ATOL + _RTOL * own.abs()
    if not centred:
        return own, nulls, close
    centre = nulls[:, :, :1]
    return (own - centre).abs(), (nulls[:, :, 1:] - centre).abs(), close


class _Copies:
    """Copies of samples in which one feature is replaced, equal ones once.

    Parameters
    ----------
    view : ProblemView
    values : Tensor (B, F, K, channels)
        What takes the place of each feature of each sample, in K copies.

    Attributes
    ----------
    index : Tensor (B, F, K) of int64
        The row in which each copy is evaluated. The first B rows are the samples as they are, and
        the others are in their order.
    """

    def __init__(self, view: ProblemView, values: Tensor) -> None:
        n, d, _, channels = values.shape
        self._view = view
        self._inputs = view.inputs.reshape(n, channels, d)
        own = self._inputs.transpose(1, 2)
        values = torch.cat([own.unsqueeze(2), values], dim=2)
        order = torch.arange(values.shape[2], device=values.device).expand(values.shape[:3])
        for channel in values.unbind(dim=3):
            order = order.gather(2, channel.gather(2, order).sort(dim=2, stable=True).indices)
        ordered = values.gather(2, order.unsqueeze(3).expand_as(values))
        # Equal values are neighbours now, in the order in which they came: the sample's own is the first of them.
        first = torch.ones_like(order, dtype=torch.bool)
        first[:, :, 1:] = (ordered[:, :, 1:] != ordered[:, :, :-1]).any(dim=3)
        new = order[first] > 0
        samples, features, _ = first.nonzero().unbind(dim=1)
        row = torch.where(new, new.cumsum(0) + (n - 1), samples)[first.flatten().cumsum(0) - 1].view_as(order)
        self.index = torch.empty_like(row).scatter_(2, order, row)[:, :, 1:]
        self._samples = torch.cat([torch.arange(n, device=samples.device), samples[new]])
        self._features = torch.cat([features.new_zeros(n), features[new]])
        self._values = torch.cat([own[:, 0], ordered[first][new]])

    def __len__(self) -> int:
        return len(self._samples)

    def evaluate(self, rows: slice) -> Tensor:
        """Outputs of these rows."""
        samples, features, values = self._samples[rows], self._features[rows], self._values[rows]
        outputs = []
        for part in blocks_of(self._view, len(samples), 8 * self._inputs[0].numel()):
            copies = self._inputs[samples[part]]
            copies[torch.arange(len(copies), device=copies.device), :, features[part]] = values[part]
            copies = copies.view(len(copies), *self._view.layout.input_shape)
            outputs.append(self._view.scores(copies, samples[part]))
        return torch.cat(outputs)

    def evaluate_apart(self) -> Tensor:
        """Outputs of all rows, from passes that hold those of one sample."""
        n = len(self._inputs)
        ends = n + torch.bincount(self._samples[n:], minlength=n).cumsum(0)
        bounds = [*range(n), n, *ends.tolist()]
        return torch.cat([self.evaluate(slice(a, b)) for a, b in pairwise(bounds) if a < b])
