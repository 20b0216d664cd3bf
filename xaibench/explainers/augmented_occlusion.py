"""Augmented occlusion (Tonekaboni et al. 2020): windows replaced by those of reference samples, several of them."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.masking.maskers import FillMasker
from xaibench.core.masking.missing import complete_rows
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.series_groups import SeriesGroup
from xaibench.explainers.engines.perturbed_copies import sample_blocks
from xaibench.explainers.engines.removed_groups import group_losses, shares_of_features, sliding_windows


@explainer("augmented_occlusion", kind="contribution", needs={"background", "series"})
def augmented_occlusion(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 10,
    patch: PositiveInt | None = None,
    stride: PositiveInt | None = None,
    group: SeriesGroup | None = None,
    absolute: bool = False,
    draws: Draws,
) -> Tensor:
    """Mean output lost when a window is that of a random reference sample (Tonekaboni et al. 2020).

    ``mean_k f(x) - f(x with the window from reference row k)``, the rows being the same for all windows of a sample.
    As with `occlusion`, the loss of a window is shared equally by its cells and averaged over the windows that hold a
    cell.

    Parameters
    ----------
    n_samples : int
        Reference samples drawn per sample.
    patch : int, optional
        Steps of a window. Default: as for `occlusion`.
    stride : int, optional
        Default: half the window, at least 1.
    group : {"segments", "sensors", "steps"}, optional
        Windows across all sensors, whole sensors, or single steps of all sensors, instead of windows of one sensor.
    absolute : bool
        Average the magnitudes of the losses, as published; the map then is unsigned (kind ``saliency``).

    Returns
    -------
    Tensor (N, *feature_shape)
    """
    rows = complete_rows(problem.require_background("augmented occlusion needs a background"))
    removed = sliding_windows(problem.layout, patch, stride, group).to(problem.inputs.device)
    shares = shares_of_features(removed, problem.inputs.dtype)
    clean = problem.scores(problem.inputs)
    maps = []
    for block in sample_blocks(problem, 8 * len(removed)):
        view, own = problem.take(block), draws[block]
        total = torch.zeros(len(view), len(removed), dtype=problem.inputs.dtype, device=removed.device)
        for _ in range(n_samples):
            fill = FillMasker("reference", view.inputs, rows[own.integers(len(rows))], view.layout)
            loss = group_losses(view, clean[block], removed, fill)
            total += loss.abs() if absolute else loss
        maps.append(total @ shares / n_samples)
    return torch.cat(maps).view(len(problem), *problem.layout.feature_shape)
