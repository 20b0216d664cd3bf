"""lime's explainers of rows of a table and of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.components import AttributionKind
from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.libraries import import_library
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.types import Array
from xaibench.explainers.engines.library_calls import array_function, one_by_one, output_function


def kind_of_rows(params: Mapping[str, Any]) -> AttributionKind:
    """Coefficients of bins say what being in the bin adds; those of numbers are slopes."""
    return "contribution" if params["discretize_continuous"] else "slope"


@explainer("lime:tabular", kind="contribution", kind_of=kind_of_rows, needs={"table", "background"})
def lime_tabular(
    problem: ProblemView,
    *,
    num_samples: PositiveInt = 5000,
    num_features: PositiveInt | None = None,
    kernel_width: PositiveFloat | None = None,
    discretize_continuous: bool = True,
    sample_around_instance: bool = False,
    feature_selection: Literal["auto", "forward_selection", "lasso_path", "highest_weights", "none"] = "auto",
    draws: Draws,
) -> Tensor:
    """lime's LimeTabularExplainer with the background as its training data, one row after the other.

    By default columns are cut into quartiles, and a coefficient says what it adds to be in the sample's bin instead of
    another. Without bins coefficients are slopes; the library gives them per standard deviation, here they are per
    unit. Features that it does not select are exactly 0.

    Parameters
    ----------
    num_samples : int
        Perturbed rows.
    num_features : int, optional
        Features with a coefficient. Default: all of them; the library's own is 10.
    kernel_width : float, optional
        Default: .75 times the root of the number of columns.
    discretize_continuous : bool
        Cut columns into quartiles.
    sample_around_instance : bool
        Draw around the sample instead of around the mean.
    feature_selection : str
        How features are selected where ``num_features`` are fewer.
    """
    tabular = import_library("lime", "lime_tabular")
    if problem.layout.groups:
        raise UnsupportedError("lime:tabular explains single columns, and features are groups of them")
    background = problem.require_background("lime:tabular needs training data")
    rows: Array = background.double().cpu().numpy()
    categories = sorted({*problem.layout.categorical, *problem.layout.boolean})

    def call(view: ProblemView, seed: int) -> Tensor:
        method = tabular.LimeTabularExplainer(
            rows, mode="regression", categorical_features=categories or None, kernel_width=kernel_width,
            discretize_continuous=discretize_continuous, sample_around_instance=sample_around_instance,
            feature_selection=feature_selection, random_state=seed,
        )  # fmt: skip
        row = view.inputs[0].double().cpu().numpy()
        found = method.explain_instance(
            row, array_function(view), num_features=num_features or len(row), num_samples=num_samples
        )
        values = np.zeros(len(row))
        for column, coefficient in found.local_exp[1]:
            values[column] = coefficient
        if not discretize_continuous:
            values /= method.scaler.scale_
        return torch.from_numpy(values).unsqueeze(0).to(view.inputs)

    return one_by_one(problem, draws, call)


@explainer("lime:image", kind="contribution", needs={"image"})
def lime_image(
    problem: ProblemView,
    *,
    num_samples: PositiveInt = 1000,
    num_features: PositiveInt = 100_000,
    hide_color: float | None = None,
    kernel_width: PositiveFloat = 0.25,
    patch: PositiveInt | None = None,
    draws: Draws,
) -> Tensor:
    """lime's LimeImageExplainer, one image after the other; the weight of a segment is shared by its pixels.

    Parameters
    ----------
    num_samples : int
        Perturbed images.
    num_features : int
        Segments with a coefficient, at most; all by default.
    hide_color : float, optional
        Value of a segment that is absent. Default: the mean of the segment.
    kernel_width : float
        Of the kernel over cosine distances.
    patch : int, optional
        Side of square segments. Default: the library's own, quickshift, which depends on the version of scikit-image.
    """
    images = import_library("lime", "lime_image")
    colours = problem.inputs.shape[1] if problem.inputs.ndim == 4 else 1
    if problem.inputs.ndim == 4 and colours not in (1, 3):
        raise UnsupportedError(f"lime:image takes images of 1 or 3 channels, not of {colours}")
    squares = None if patch is None else problem.layout.patches(patch).cpu().numpy()

    def call(view: ProblemView, seed: int) -> Tensor:
        explained = output_function(view)

        def of_pictures(pictures: Array) -> Array:
            planes = torch.from_numpy(pictures.astype(np.float32)).movedim(-1, 1)[:, :colours]
            found: Array = explained(planes.reshape(-1, *view.inputs.shape[1:])).double().cpu().numpy()[:, None]
            return found

        image = view.inputs.reshape(colours, *view.layout.feature_shape).movedim(0, -1).double().cpu().numpy()
        picture = np.repeat(image, 3 // colours, axis=2)
        method = images.LimeImageExplainer(kernel_width=kernel_width, random_state=seed)
        with _without_bar(images):
            found = method.explain_instance(
                picture, of_pictures, labels=(0,), top_labels=None, hide_color=hide_color, num_features=num_features,
                num_samples=num_samples, segmentation_fn=None if squares is None else lambda _picture: squares,
                random_seed=seed % 1000,
            )  # fmt: skip
        weights = dict(found.local_exp[0])
        segments = found.segments
        values = np.zeros(segments.shape)
        for segment, size in zip(*np.unique(segments, return_counts=True), strict=True):
            values[segments == segment] = weights.get(segment, 0.0) / size
        return torch.from_numpy(values).unsqueeze(0).to(view.inputs)

    return one_by_one(problem, draws, call)


@contextmanager
def _without_bar(module: ModuleType) -> Iterator[None]:
    """Without the progress bar of this module, which it shows whatever it is told."""
    bar = module.tqdm
    module.tqdm = lambda rows: rows  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.tqdm = bar  # type: ignore[attr-defined]
