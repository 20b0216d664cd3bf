"""Gradients, input x gradient, integrated gradients (Sundararajan et al. 2017), SmoothGrad, VarGrad, GradientSHAP."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.masking.tokens import fitting_words
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines import perturbed_copies
from xaibench.explainers.engines.channels import Channels, per_feature, slopes_per_feature
from xaibench.explainers.engines.perturbed_copies import check_positive


@explainer("gradient", kind="slope", needs={"gradients"})
def gradient(problem: ProblemView, *, channels: Channels = "sum") -> Tensor:
    """Signed gradient of the explained output (Baehrens et al. 2010).

    Parameters
    ----------
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.
    """
    return slopes_per_feature(problem, problem.gradients(problem.inputs), channels)


@explainer("saliency", kind="saliency", needs={"gradients"})
def saliency(problem: ProblemView) -> Tensor:
    """Absolute gradient, summed over channels (Simonyan et al. 2014)."""
    return problem.layout.reduce_slopes(problem.gradients(problem.inputs).abs())


@explainer("input_x_gradient", kind="contribution", needs={"gradients"})
def input_x_gradient(problem: ProblemView, *, channels: Channels = "sum") -> Tensor:
    """Input times gradient (Shrikumar et al. 2016).

    Parameters
    ----------
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.
    """
    return per_feature(problem, problem.inputs * problem.gradients(problem.inputs), channels)


@explainer("integrated_gradients", kind="contribution", needs={"gradients"})
def integrated_gradients(
    problem: ProblemView, *, steps: PositiveInt = 32, baseline: str = "zero", channels: Channels = "sum"
) -> Tensor:
    """Mean gradient on the line from a baseline, times the difference from it (Sundararajan et al. 2017, Eq. 3).

    Parameters
    ----------
    steps : int
        Points of the midpoint rule.
    baseline : str
        Masker whose fill is the start of the line.
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.
    """
    check_positive(steps=steps)
    positions = (torch.arange(steps, dtype=problem.inputs.dtype, device=problem.inputs.device) + 0.5) / steps
    maps = []
    for block, parts in perturbed_copies.copy_blocks(problem, steps):
        view = problem.take(block)
        start = view.baseline(baseline)
        way = view.inputs - start
        total = torch.zeros_like(way)
        for part in parts:
            t = _align(positions[part], way)
            total += perturbed_copies.gradients(view, start.unsqueeze(1) + t * way.unsqueeze(1)).sum(dim=1)
        maps.append(per_feature(problem, way * total / steps, channels))
    return torch.cat(maps)


@explainer("smoothgrad", kind="slope", needs={"gradients"})
def smoothgrad(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 32,
    radius: float = 0.15,
    channels: Channels = "sum",
    draws: Draws,
) -> Tensor:
    """Mean gradient under Gaussian noise (Smilkov et al. 2017).

    Parameters
    ----------
    n_samples : int
        Noisy copies.
    radius : float
        Standard deviation of the noise, in input units.
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.
    """
    return slopes_per_feature(problem, _noisy_gradients(problem, n_samples, radius, draws)[0], channels)


@explainer("vargrad", kind="saliency", needs={"gradients"})
def vargrad(problem: ProblemView, *, n_samples: PositiveInt = 32, radius: float = 0.15, draws: Draws) -> Tensor:
    """Variance of the gradient under Gaussian noise (Adebayo et al. 2018), summed over channels.

    Parameters
    ----------
    n_samples : int
        Noisy copies; the variance divides by their number.
    radius : float
        Standard deviation of the noise, in input units.
    """
    return problem.layout.reduce(_noisy_gradients(problem, n_samples, radius, draws)[1])


@explainer("smoothgrad_squared", kind="saliency", needs={"gradients"})
def smoothgrad_squared(
    problem: ProblemView, *, n_samples: PositiveInt = 32, radius: float = 0.15, draws: Draws
) -> Tensor:
    """Mean squared gradient under Gaussian noise (Hooker et al. 2019, SmoothGrad-Squared), summed over channels.

    With the same noise it is `vargrad` plus the square of `smoothgrad`, channel by channel.

    Parameters
    ----------
    n_samples : int
        Noisy copies.
    radius : float
        Standard deviation of the noise, in input units.
    """
    mean, variance = _noisy_gradients(problem, n_samples, radius, draws)
    return problem.layout.reduce(variance + mean.square())


@explainer(
    "gradient_shap", kind="contribution", needs={"gradients"}, uses_background=True, aliases={"expected_gradients"}
)
def gradient_shap(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 32,
    radius: float = 0.0,
    baseline: str = "zero",
    channels: Channels = "sum",
    draws: Draws,
) -> Tensor:
    """Expected gradients between background rows and the sample (Erion et al. 2021, Eq. 3).

    Also found as ``expected_gradients``. Each draw is one point on the line from one background row. The
    positions are stratified, one in each of ``n_samples`` equal parts of the line, which lowers the variance and
    keeps the mean.

    Parameters
    ----------
    n_samples : int
        Points.
    radius : float
        Standard deviation of Gaussian noise on the point, in input units (0: none).
    baseline : str
        Masker whose fill serves as background where the problem has none.
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.
    """
    check_positive(n_samples=n_samples)
    start_of = _background_rows(problem, n_samples, draws)
    strata = torch.arange(n_samples, device=problem.inputs.device)
    positions = (strata + draws.uniform((n_samples,))) / n_samples
    maps = []
    for block, parts in perturbed_copies.copy_blocks(problem, n_samples):
        view, own = problem.take(block), draws[block]
        total = torch.zeros_like(view.inputs)
        for part in parts:
            start = view.baseline(baseline).unsqueeze(1) if start_of is None else start_of(block, part)
            way = view.inputs.unsqueeze(1) - start
            t = positions[block, part].reshape(len(view), -1, *(1,) * (view.inputs.ndim - 1))
            points = start + t * way
            if radius > 0:
                points = points + radius * view.layout.only_quantities(own.normal(tuple(points.shape[1:])), "noise")
            total += (way * perturbed_copies.gradients(view, points)).sum(dim=1)
        maps.append(per_feature(problem, total / n_samples, channels))
    return torch.cat(maps)


def _background_rows(problem: ProblemView, n_samples: int, draws: Draws) -> Callable[[slice, slice], Tensor] | None:
    """Background rows of some draws (n, m) of some samples, as a function of both slices; None without a background.

    Where samples have different sizes, every feature along the first axis is drawn from what exists in the background.
    """
    if problem.pool is not None:
        pool = problem.pool
        if problem.layout.slot == 2:
            pool = fitting_words(pool, problem.inputs.shape[2])
        if not len(pool):
            raise UnsupportedError("the background has no word with as few pieces as those of a text")
        pool = pool.nan_to_num(0.0)
        found = draws.integers(len(pool), (n_samples, problem.inputs.shape[1]))
        return lambda block, part: pool[found[block, part]]
    background = problem.background
    if background is None:
        return None
    rows = draws.integers(len(background), (n_samples,))
    return lambda block, part: background[rows[block, part]]


def _noisy_gradients(problem: ProblemView, n_samples: int, radius: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """Mean and variance (N, *input_shape) of the gradient over noisy copies."""
    check_positive(n_samples=n_samples)
    means, variances = [], []
    for block, parts in perturbed_copies.copy_blocks(problem, n_samples):
        view, own = problem.take(block), draws[block]
        mean, squares = torch.zeros_like(view.inputs), torch.zeros_like(view.inputs)
        seen = 0
        for found in _chunk_gradients(view, parts, radius, own):
            # Pooled moments (Chan et al. 1983): stable where the variance is far below the mean.
            size = found.shape[1]
            centre = found.mean(dim=1)
            shift, share = centre - mean, size / (seen + size)
            squares += (found - centre.unsqueeze(1)).square().sum(dim=1) + seen * share * shift.square()
            mean += share * shift
            seen += size
        means.append(mean)
        variances.append(squares / seen)
    return torch.cat(means), torch.cat(variances)


def _chunk_gradients(view: ProblemView, parts: Iterator[slice], radius: float, draws: Draws) -> Iterator[Tensor]:
    for part in parts:
        noise = view.layout.only_quantities(draws.normal((part.stop - part.start, *view.layout.input_shape)), "noise")
        yield perturbed_copies.gradients(view, view.inputs.unsqueeze(1) + radius * noise)


def _align(positions: Tensor, inputs: Tensor) -> Tensor:
    """Shape (K,) as (1, K, 1, ...), to multiply with (N, 1, *input_shape)."""
    return positions.reshape(1, -1, *(1,) * (inputs.ndim - 1))
