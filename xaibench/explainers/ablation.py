"""Feature ablation and occlusion (Zeiler and Fergus 2014): the output lost when a group of features is removed."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.series_groups import SeriesGroup
from xaibench.explainers.engines.coalitions import make_players
from xaibench.explainers.engines.removed_groups import mean_loss, sliding_windows, word_windows


@explainer("feature_ablation", kind="contribution", unkeyed_defaults={"group", "window"})
def feature_ablation(
    problem: ProblemView,
    *,
    patch: PositiveInt | None = None,
    masker: str = "zero",
    group: SeriesGroup | None = None,
    window: PositiveInt | None = None,
) -> Tensor:
    """Output lost when one feature, or one patch of them, is removed (Robnik-Sikonja & Kononenko 2008).

    The loss of a patch is shared equally by its features, so that maps add up in units of the output.

    Parameters
    ----------
    patch : int, optional
        Side of the disjoint patches of an image, length in steps for a series. Default: the smallest
        with at most 256 patches. Tables lose one column at a time.
    masker : str
    group : {"segments", "sensors", "steps"}, optional
        Of series: remove ``patch`` steps of all sensors at once, whole sensors, or single steps of all sensors,
        instead of stretches of one sensor.
    window : int, optional
        Of texts: remove every run of so many neighbouring words (n-grams) instead of single ones. The loss of a run is
        shared equally by its words, and a word gets the mean over the runs that hold it. A shorter text is one run.

    Raises
    ------
    UnsupportedError
        If a window is asked for and the features are not words.
    """
    if window is not None:
        if problem.layout.kind != "tokens":
            raise UnsupportedError(
                f"window is a run of words of a text, and these features are {problem.layout.kind}",
                "occlusion(patch=, stride=) slides over images and series",
            )
        return mean_loss(problem, word_windows(problem.layout.n_features, window).to(problem.inputs.device), masker)
    players = make_players(problem, patch, group=group, limit=256)
    removed = players.expand(torch.eye(players.count, dtype=torch.bool, device=problem.inputs.device))
    return mean_loss(problem, removed, masker)


@explainer("occlusion", kind="contribution", unkeyed_defaults={"group"})
def occlusion(
    problem: ProblemView,
    *,
    patch: PositiveInt | None = None,
    stride: int | None = None,
    masker: str = "zero",
    group: SeriesGroup | None = None,
) -> Tensor:
    """Output lost under a sliding patch, averaged over the patches that cover a feature (Zeiler & Fergus 2014).

    The loss of a patch is shared equally by its features, so that maps add up in units of the output.

    Parameters
    ----------
    patch : int, optional
        Side of the patch in pixels, or its length in steps for a series. Default: twice the smallest
        side that gives at most 196 patches at half a patch's stride. Tables lose one column at a time.
    stride : int, optional
        Default: half the patch, at least 1.
    masker : str
    group : {"segments", "sensors", "steps"}, optional
        Of series: windows of ``patch`` steps across all sensors, whole sensors, or single steps of all sensors,
        instead of windows of one sensor.
    """
    removed = sliding_windows(problem.layout, patch, stride, group).to(problem.inputs.device)
    return mean_loss(problem, removed, masker)
