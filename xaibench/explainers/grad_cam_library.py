"""Class activation maps of the library grad-cam (``pytorch_grad_cam``), at the module whose output `grad_cam` uses."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from functools import partial
from typing import Any

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.libraries import first_line, import_library
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.captum_cam import module_of_maps, module_used
from xaibench.explainers.engines.library_calls import ExplainedOutput, by_target

_library_map = partial(
    explainer, kind="saliency", needs={"module", "image"}, feature_maps_only=True, layer_used=module_used
)
"""Declares a class activation map of the library: it scales every map to run from 0 to 1."""


@_library_map("pytorch_grad_cam:GradCAM")
def library_grad_cam(problem: ProblemView, *, layer: str | None = None) -> Tensor:
    """grad-cam's GradCAM; equals `grad_cam` but for the scale.

    Parameters
    ----------
    layer : str, optional
        Name of a module. Default: the one whose output `grad_cam` uses.
    """
    return _maps(problem, "GradCAM", layer)


@_library_map("pytorch_grad_cam:HiResCAM")
def library_hires_cam(problem: ProblemView, *, layer: str | None = None) -> Tensor:
    """grad-cam's HiResCAM; equals `hires_cam` but for the scale.

    Parameters
    ----------
    layer : str, optional
        As for ``pytorch_grad_cam:GradCAM``.
    """
    return _maps(problem, "HiResCAM", layer)


@_library_map("pytorch_grad_cam:GradCAMPlusPlus")
def library_grad_cam_pp(problem: ProblemView, *, layer: str | None = None) -> Tensor:
    """grad-cam's Grad-CAM++; differs from `grad_cam_pp`, because 1e-6 is added to the denominator of its weights.

    Small gradients drown in that number: with gradients below 1e-3 it is another map.

    Parameters
    ----------
    layer : str, optional
        As for ``pytorch_grad_cam:GradCAM``.
    """
    return _maps(problem, "GradCAMPlusPlus", layer)


@_library_map("pytorch_grad_cam:XGradCAM")
def library_xgrad_cam(problem: ProblemView, *, layer: str | None = None) -> Tensor:
    """grad-cam's XGradCAM; equals `xgrad_cam` but for the scale, where maps do not sum to nearly 0.

    Parameters
    ----------
    layer : str, optional
        As for ``pytorch_grad_cam:GradCAM``.
    """
    return _maps(problem, "XGradCAM", layer)


@_library_map("pytorch_grad_cam:LayerCAM")
def library_layer_cam(problem: ProblemView, *, layer: str | None = None) -> Tensor:
    """grad-cam's LayerCAM; equals `layer_cam` but for the scale.

    Parameters
    ----------
    layer : str, optional
        As for ``pytorch_grad_cam:GradCAM``.
    """
    return _maps(problem, "LayerCAM", layer)


@_library_map("pytorch_grad_cam:EigenCAM")
def library_eigen_cam(problem: ProblemView, *, layer: str | None = None) -> Tensor:
    """grad-cam's Eigen-CAM: maps are centred, and the sign of the component is whatever the factorisation gave.

    Equals `eigen_cam` with ``centre=True`` up to that sign; since negative parts are cut afterwards, the two signs are
    two different maps.

    Parameters
    ----------
    layer : str, optional
        As for ``pytorch_grad_cam:GradCAM``.
    """
    return _maps(problem, "EigenCAM", layer)


@_library_map("pytorch_grad_cam:ScoreCAM")
def library_score_cam(problem: ProblemView, *, layer: str | None = None) -> Tensor:
    """grad-cam's Score-CAM; differs from `score_cam` in how maps are enlarged before they mask the input.

    It aligns the corners of the map with those of the image.

    Parameters
    ----------
    layer : str, optional
        As for ``pytorch_grad_cam:GradCAM``.
    """
    return _maps(problem, "ScoreCAM", layer)


@_library_map("pytorch_grad_cam:AblationCAM")
def library_ablation_cam(problem: ProblemView, *, layer: str | None = None) -> Tensor:
    """grad-cam's Ablation-CAM; equals `ablation_cam` only behind a ReLU and where the output is positive.

    An ablated map is 0 only where the layer's minimum is exactly 0; elsewhere it is a number far below every
    activation. Weights are divided by the output, whose sign they take.

    Parameters
    ----------
    layer : str, optional
        As for ``pytorch_grad_cam:GradCAM``.
    """
    return _maps(problem, "AblationCAM", layer)


def _maps(problem: ProblemView, name: str, layer: str | None) -> Tensor:
    """Maps (N, H, W) of a class of the library, each from 0 to 1.

    Raises
    ------
    UnsupportedError
        If the library refuses the model.
    """
    library = import_library("pytorch_grad_cam")
    targets = import_library("pytorch_grad_cam", "utils.model_targets")
    chosen = module_of_maps(problem, layer)

    def call(view: ProblemView) -> Tensor:
        # A new copy for every call: some methods put modules of their own into the network.
        output = ExplainedOutput(view, column=True)
        module = dict(output.model.named_modules())[chosen]
        wanted = [targets.ClassifierOutputTarget(0)] * len(view)
        try:
            with redirect_stderr(io.StringIO()), getattr(library, name)(model=output, target_layers=[module]) as cam:
                found: Any = cam(input_tensor=view.inputs, targets=wanted)
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise UnsupportedError(f"pytorch_grad_cam:{name} refuses this model: {first_line(error)}") from error
        return torch.from_numpy(found).to(view.inputs)

    return by_target(problem, call)
