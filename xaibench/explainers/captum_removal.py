"""Captum's explainers by removal: occlusion, feature ablation, Shapley value sampling, KernelShap, LIME.

They evaluate the model only, so they take black boxes as well.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout
from xaibench.core.libraries import import_library
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.coalitions import default_patch, make_players
from xaibench.explainers.engines.library_calls import by_target, one_by_one, output_function, shared_by_players

AT_ONCE = 64
"""Perturbed copies per evaluation; the library's default of 1 gives the same numbers, one after the other."""


@explainer("captum:Occlusion", kind="contribution")
def captum_occlusion(
    problem: ProblemView,
    *,
    sliding_window_shapes: PositiveInt | None = None,
    strides: PositiveInt = 1,
    baselines: str = "zero",
) -> Tensor:
    """Captum's occlusion: output lost under a sliding window of all channels, shared by the features of the window.

    Equals `occlusion` where windows fit: with ``strides`` equal to the side, and a side that divides the image's.

    Parameters
    ----------
    sliding_window_shapes : int, optional
        Side of the window in pixels, or its length in steps of a series; 1 for tables. Default: the smallest with at
        most 64 disjoint windows.
    strides : int
        Step of the window; the library's default is 1.
    baselines : str
        Masker whose fill is put into the window; the library's default is zero.
    """
    attr = import_library("captum", "attr")
    layout = problem.layout
    if layout.groups:
        raise UnsupportedError("captum:Occlusion slides over columns, and features are groups of them")
    side = default_patch(layout, 64) if sliding_window_shapes is None else sliding_window_shapes
    sides = layout.patch_sides(side)
    steps = tuple(strides if s == side and s > 1 else 1 for s in sides)
    window, jump = _with_channels(layout, sides), _with_channels(layout, steps)

    def call(view: ProblemView) -> Tensor:
        found: Tensor = attr.Occlusion(output_function(view)).attribute(
            view.inputs, window, jump, view.baseline(baselines), perturbations_per_eval=AT_ONCE
        )
        return found

    members = layout.reduce(torch.ones_like(problem.inputs))
    size = float(torch.tensor(sides).prod())
    return layout.reduce(by_target(problem, call)) / members / size


@explainer("captum:FeatureAblation", kind="contribution")
def captum_feature_ablation(
    problem: ProblemView, *, feature_mask: PositiveInt | None = None, baselines: str = "zero"
) -> Tensor:
    """Captum's feature ablation: output lost without a patch, shared by its features. Equals `feature_ablation`.

    Parameters
    ----------
    feature_mask : int, optional
        Side of the patches that are the features; the library takes a tensor. Default: at most 256 patches.
    baselines : str
        Masker whose fill is put into the patch; the library's default is zero.
    """
    attr = import_library("captum", "attr")
    index = make_players(problem, feature_mask, limit=256).index
    mask = _input_mask(problem.layout, index)

    def call(view: ProblemView) -> Tensor:
        found: Tensor = attr.FeatureAblation(output_function(view)).attribute(
            view.inputs, view.baseline(baselines), feature_mask=mask, perturbations_per_eval=AT_ONCE
        )
        return found

    return shared_by_players(problem, by_target(problem, call), index)


@explainer("captum:ShapleyValueSampling", kind="contribution")
def captum_shapley_value_sampling(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 25,
    feature_mask: PositiveInt | None = None,
    baselines: str = "zero",
    draws: Draws,
) -> Tensor:
    """Captum's Shapley values from random orders, one sample after the other.

    Parameters
    ----------
    n_samples : int
        Orders.
    feature_mask : int, optional
        Side of the patches that are the players; the library takes a tensor. Default: at most 64 patches.
    baselines : str
        Masker whose fill stands for absent players; the library's default is zero.
    """
    return _sampled(
        problem, "ShapleyValueSampling", feature_mask, baselines, draws, n_samples=n_samples,
        perturbations_per_eval=AT_ONCE,
    )  # fmt: skip


@explainer("captum:KernelShap", kind="contribution")
def captum_kernel_shap(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 25,
    feature_mask: PositiveInt | None = None,
    baselines: str = "zero",
    draws: Draws,
) -> Tensor:
    """Captum's KernelShap, one sample after the other; by default 25 coalitions, often fewer than there are players.

    Parameters
    ----------
    n_samples : int
        Coalitions.
    feature_mask : int, optional
        Side of the patches that are the players; the library takes a tensor. Default: at most 64 patches.
    baselines : str
        Masker whose fill stands for absent players; the library's default is zero.

    Raises
    ------
    UnsupportedError
        If there is a single feature, such as in a text of one word.
    """
    if problem.layout.n_features < 2:
        raise UnsupportedError(
            "captum:KernelShap needs at least two features, and a sample has one", "kernel_shap takes a single one"
        )
    return _sampled(
        problem, "KernelShap", feature_mask, baselines, draws, n_samples=n_samples, perturbations_per_eval=AT_ONCE
    )


@explainer("captum:Lime", kind="contribution")
def captum_lime(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 50,
    feature_mask: PositiveInt | None = None,
    baselines: str = "zero",
    draws: Draws,
) -> Tensor:
    """Captum's LIME with its default lasso of strength .01, one sample after the other: small effects become 0.

    Parameters
    ----------
    n_samples : int
        Perturbed copies.
    feature_mask : int, optional
        Side of the patches that are the features; the library takes a tensor. Default: at most 64 patches.
    baselines : str
        Masker whose fill stands for absent features; the library's default is zero.
    """
    return _sampled(
        problem, "Lime", feature_mask, baselines, draws, n_samples=n_samples, perturbations_per_eval=AT_ONCE
    )


def _sampled(
    problem: ProblemView, name: str, patch: int | None, baselines: str, draws: Draws, **options: Any
) -> Tensor:
    attr = import_library("captum", "attr")
    index = make_players(problem, patch).index
    mask = _input_mask(problem.layout, index)

    def call(view: ProblemView, _seed: int) -> Tensor:
        method = getattr(attr, name)(output_function(view))
        found: Tensor = method.attribute(view.inputs, baselines=view.baseline(baselines), feature_mask=mask, **options)
        return found

    return shared_by_players(problem, one_by_one(problem, draws, call), index)


def _input_mask(layout: FeatureLayout, index: Tensor) -> Tensor:
    """Group of every input number (1, *input_shape), from that of every feature."""
    return layout.expand(index).expand(layout.input_shape).unsqueeze(0).contiguous()


def _with_channels(layout: FeatureLayout, sides: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of a window along all axes of an input: all channels are in it."""
    if layout.slot:
        return (*sides, *layout.input_shape[-layout.slot :])
    return (layout.input_shape[0], *sides) if layout.channels is not None else sides
