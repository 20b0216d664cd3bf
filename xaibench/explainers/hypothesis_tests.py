"""Explainers that test, for each feature, whether its value is out of the ordinary for the model's output."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.perturbed_copies import check_positive, sample_blocks, scores

_RTOL, _ATOL = 1e-5, 1e-7
"""Outputs that are closer than this are equal: otherwise rounding would decide about features that change nothing."""


@explainer("irt", kind="saliency", needs={"background"})
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
    maps = []
    for own, nulls, centre in _null_outputs(problem, n_samples, draws, centred=two_sided):
        close = _tolerance(own)
        extreme = nulls >= own - close if centre is None else (nulls - centre).abs() >= (own - centre).abs() - close
        maps.append(1 - (1 + extreme.sum(dim=2)) / (n_samples + 1))
    return torch.cat(maps).to(problem.inputs.dtype).view(len(problem), *problem.layout.feature_shape)


@explainer("osft", kind="contribution", needs={"background"})
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
    for own, nulls, centre in _null_outputs(problem, 1, draws, centred=two_sided):
        far, null_far = (own, nulls) if centre is None else ((own - centre).abs(), (nulls - centre).abs())
        statistic = far - null_far if centre is None else far.square() - null_far.square()
        maps.append(torch.where((far - null_far).abs() <= _tolerance(own), 0, statistic).squeeze(2))
    return torch.cat(maps).to(problem.inputs.dtype).view(len(problem), *problem.layout.feature_shape)


def _tolerance(outputs: Tensor) -> Tensor:
    return _ATOL + _RTOL * outputs.abs()


def _null_outputs(
    problem: ProblemView, n: int, draws: Draws, *, centred: bool
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Outputs with single features replaced by null draws, block of samples by block, in float64.

    Yields
    ------
    own : Tensor (B, 1, 1)
        Output of the samples as they are.
    nulls : Tensor (B, F, n)
    centre : Tensor (B, F, 1) or None
        The output of one more draw, where asked for.
    """
    check_positive(n_samples=n)
    if problem.background is None:
        raise UnsupportedError("hypothesis tests need a background", "pass background=, rows in which nothing is there")
    layout, total = problem.layout, n + centred
    d, channels = layout.n_features, layout.channels or 1
    columns = problem.background.reshape(-1, channels, d)
    for block in sample_blocks(problem, 8 * total * max(d, problem.inputs[0].numel())):
        view = problem.take(block)
        picked = draws[block].integers(len(columns), (d, total))
        outputs = torch.empty(len(view), d, total, dtype=torch.float64, device=view.inputs.device)
        for feature in range(d):
            copies = view.inputs.reshape(-1, 1, channels, d).repeat(1, total, 1, 1)
            copies[..., feature] = columns[picked[:, feature], :, feature]
            outputs[:, feature] = scores(view, copies.view(len(view), total, *layout.input_shape)).double()
        own = view.scores(view.inputs).double().view(-1, 1, 1)
        yield own, outputs[:, :, centred:], outputs[:, :, :1] if centred else None
