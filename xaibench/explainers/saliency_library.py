"""Guided IG, blur IG and XRAI of the library saliency, one image after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.libraries import first_line, import_library
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.types import Array
from xaibench.explainers.engines.library_calls import one_by_one


@explainer("saliency:GuidedIG", kind="contribution", needs={"image", "gradients"})
def library_guided_ig(
    problem: ProblemView,
    *,
    x_steps: PositiveInt = 200,
    fraction: PositiveFloat = 0.25,
    max_dist: NonNegativeFloat = 0.02,
    draws: Draws,
) -> Tensor:
    """saliency's GuidedIG from zero; equals `guided_ig` with as many steps.

    Version 0.2.1 calls numpy in a way that numpy 2.4 has removed, and is then unsupported.

    Parameters
    ----------
    x_steps : int
        Steps of the path.
    fraction : float
        Share of the inputs that move at a time.
    max_dist : float
        How far the path may be from the straight line, as a share of its length.
    """
    given = {"x_steps": x_steps, "fraction": fraction, "max_dist": max_dist}
    zero = problem.baseline("zero")
    return _masks(problem, draws, "GuidedIG", given, x_baseline=_picture(zero[:1]))


@explainer("saliency:BlurIG", kind="contribution", needs={"image", "gradients"})
def library_blur_ig(
    problem: ProblemView,
    *,
    max_sigma: PositiveFloat = 50.0,
    steps: PositiveInt = 100,
    draws: Draws,
) -> Tensor:
    """saliency's BlurIG; like `blur_ig`, with black beyond the border and forward differences.

    Parameters
    ----------
    max_sigma : float
        Standard deviation of the most blurred image, in pixels.
    steps : int
        Steps of the path.
    """
    return _masks(problem, draws, "BlurIG", {"max_sigma": max_sigma, "steps": steps})


@explainer("saliency:XRAI", kind="contribution", needs={"image", "gradients"})
def library_xrai(problem: ProblemView, *, draws: Draws) -> Tensor:
    """saliency's XRAI: integrated gradients, averaged over segments of the image; see `xrai`.

    Segments depend on the version of scikit-image.
    """
    return _masks(problem, draws, "XRAI", {}, summed=False)


def _masks(
    problem: ProblemView, draws: Draws, name: str, given: Mapping[str, Any], *, summed: bool = True, **arrays: Array
) -> Tensor:
    """Masks (N, H, W) of a class of the library, with gradients of the explained output.

    Raises
    ------
    UnsupportedError
        If the library cannot be run, or refuses the image.
    """
    core = import_library("saliency", "core")

    def call(view: ProblemView, _seed: int) -> Tensor:
        def gradients(pictures: Array, call_model_args: Any = None, expected_keys: Any = None) -> dict[Any, Array]:
            rows = torch.zeros(len(pictures), dtype=torch.int64, device=view.inputs.device)
            planes = torch.from_numpy(np.asarray(pictures, dtype=np.float32)).movedim(-1, 1)
            inputs = planes.reshape(-1, *view.inputs.shape[1:]).to(view.inputs)
            found = view.gradients(inputs, rows).reshape(planes.shape).movedim(1, -1)
            return {core.INPUT_OUTPUT_GRADIENTS: found.double().cpu().numpy()}

        try:
            mask = getattr(core, name)().GetMask(_picture(view.inputs), gradients, **given, **arrays)
        except (AttributeError, ImportError, IndexError, TypeError, ValueError) as error:
            raise UnsupportedError(f"saliency:{name} cannot explain this: {first_line(error)}") from error
        values = np.asarray(mask, dtype=np.float64)
        return torch.from_numpy(values.sum(axis=-1) if summed else values).unsqueeze(0)

    return one_by_one(problem, draws, call)


def _picture(inputs: Tensor) -> Array:
    """One image (1, *input_shape) as an array (H, W, C), in float64."""
    planes = inputs[0] if inputs.ndim == 4 else inputs
    found: Array = planes.movedim(0, -1).double().cpu().numpy()
    return found
