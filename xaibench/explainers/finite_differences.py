"""Finite differences and C-LIME (Agarwal et al. 2021): slopes from evaluations of the model around the sample."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.features import step
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines import perturbed_copies
from xaibench.explainers.engines.perturbed_copies import blocks_of, check_positive, sample_blocks


@explainer("finite_difference", kind="slope")
def finite_difference(problem: ProblemView, *, steps: PositiveInt = 2, radius: PositiveFloat = 0.1) -> Tensor:
    """Slope of the output when one feature moves and all others stay: brute force, ``steps`` queries per feature.

    The slope is that of the least-squares line through evenly spaced points from ``-radius`` to
    ``radius``; for two of them the central difference, and for one of them the forward difference
    ``(f(x + radius) - f(x)) / radius``. It answers questions about steps of this size directly, which
    no attribution can be better at (Bilodeau et al. 2024, PNAS). All channels of a pixel move together.

    Parameters
    ----------
    steps : int
        Queries per feature.
    radius : float
        Largest step, in input units.
    """
    check_positive(steps=steps)
    numel = problem.inputs[0].numel()
    device, n_features = problem.inputs.device, problem.layout.n_features
    if steps == 1:
        offsets = torch.tensor([radius], dtype=torch.float64, device=device)
        start = problem.scores(problem.inputs).double()
    else:
        offsets = torch.linspace(-radius, radius, steps, dtype=torch.float64, device=device)
        start = torch.zeros(len(problem), dtype=torch.float64, device=device)
    rises = torch.zeros(len(problem) * n_features, dtype=torch.float64, device=device)
    pairs = torch.arange(len(rises), device=device)
    for part in blocks_of(problem, len(pairs), 4 * numel):
        owner, feature = pairs[part] // n_features, pairs[part] % n_features
        for offset in offsets.tolist():
            found = problem.scores(step(problem.layout, problem.inputs[owner], feature, offset), owner)
            rises[part] += offset * (found.double() - start[owner])
    slopes = rises / offsets.square().sum()
    return slopes.view(len(problem), *problem.layout.feature_shape).to(problem.inputs.dtype)


@explainer("c_lime", kind="slope")
def c_lime(problem: ProblemView, *, n_samples: PositiveInt = 256, radius: PositiveFloat = 0.15, draws: Draws) -> Tensor:
    """Coefficients of a linear regression on Gaussian noise around the sample, for LIME without masks.

    Least squares of ``f(x + e)`` on ``e`` from N(0, radius^2), with an intercept and without kernel
    or penalty (Garreau & von Luxburg 2020; Agarwal et al. 2021, C-LIME). Every draw is used with both
    signs: the regression is the same one, on the odd part of f alone. In expectation the
    coefficients are those of SmoothGrad with the same radius. All channels of a pixel move together.

    Parameters
    ----------
    n_samples : int
        Noisy copies; raised to four per feature where it is less, so that the system is well posed.
    radius : float
        Standard deviation of the noise, in input units.
    """
    check_positive(n_samples=n_samples)
    layout, d = problem.layout, problem.layout.n_features
    layout.require_quantities("noise")
    layout.require_no_categories("noise in every feature", booleans=True)
    n_pairs = (max(n_samples, 4 * d) + 1) // 2
    maps = []
    for block in sample_blocks(problem, 8 * n_pairs * problem.inputs[0].numel()):
        view = problem.take(block)
        noise = draws[block].normal((n_pairs, *layout.feature_shape)).to(problem.inputs.dtype)
        moves = radius * layout.expand(noise)
        half = (_scores(view, moves) - _scores(view, -moves)) / 2
        z = radius * noise.flatten(2).double()
        maps.append(torch.linalg.solve(z.mT @ z, (z.mT @ half.unsqueeze(-1)).squeeze(-1)))
    return torch.cat(maps).view(len(problem), *layout.feature_shape).to(problem.inputs.dtype)


def _scores(view: ProblemView, moves: Tensor) -> Tensor:
    """Explained output (N, K), float64, after moves that broadcast to (N, K, *input_shape)."""
    parts = [
        perturbed_copies.scores(view, view.inputs.unsqueeze(1) + moves[:, part])
        for part in blocks_of(view, moves.shape[1], 4 * len(view) * view.inputs[0].numel())
    ]
    return torch.cat(parts, dim=1).double()
