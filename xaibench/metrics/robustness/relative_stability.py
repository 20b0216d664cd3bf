"""Relative stability (Agarwal et al. 2022): change of the explanation relative to that of input, output or layer."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.noisy_copies import (
    Change,
    explanation_change,
    input_change,
    largest,
    output_change,
    representation_change,
    same_class,
)
from xaibench.metrics.engines.representations import Layer

Relative = Literal["element", "norm"]
MIN_DENOMINATOR = 1e-6
"""Denominators are at least this, as published."""
_PAPER = "Agarwal et al. 2022, Rethinking stability for attribution-based explanations"


_noisy_inputs = partial(
    metric,
    family="robustness",
    construct="noisy_inputs",
    higher_is_better=False,
    bounds=(0, None),
    aggregate="median_log10",
    undefined_for={"zero maps"},
    place_matters=True,  # noise belongs to places
)
"""Declares a metric of the construct ``noisy_inputs``."""


@_noisy_inputs(
    "relative_input_stability",
    needs={"reexplain"},
    source=f"{_PAPER}, equation 2",
)
def relative_input_stability(
    ev: Evaluation, *, radius: PositiveFloat = 0.2, n_samples: PositiveInt = 10, relative: Relative = "element"
) -> Tensor:
    """Largest ratio of the explanation's relative change to the input's among noisy copies of the same class.

    ``max_x' ||(phi(x) - phi(x')) / phi(x)||_2 / max(||(x - x') / x||_2, 1e-6)`` over the copies of
    `max_sensitivity` in which the model predicts what it predicts for the sample; the others are
    left out.

    Parameters
    ----------
    radius : float
        Largest change of an input number, in input units.
    n_samples : int
        Noisy copies per sample.
    relative : {"element", "norm"}
        Changes are divided entry by entry, as published, or as a whole: ``||a - a'|| / ||a||``.
        The first form is dominated by the entries nearest to 0 (an image with a black background
        is compared on its background): entries below 1e-3 of the largest of their sample count as
        that much, the least for which float32 gives the same score in any batch. Prefer the
        second to compare explainers. Changes below 1e-6 of the largest entry, or of the whole, are
        rounding and count as none.

    Returns
    -------
    Tensor (N,)
        NaN where every copy changes its class, and for an all-zero map or input.
    """
    same = same_class(ev, radius, n_samples)
    return _stability(ev, radius, n_samples, relative, _pick(input_change(ev, radius, n_samples), relative), same)


@_noisy_inputs(
    "relative_output_stability",
    needs={"reexplain"},
    source=f"{_PAPER}, equation 5",
)
def relative_output_stability(
    ev: Evaluation, *, radius: PositiveFloat = 0.2, n_samples: PositiveInt = 10, relative: Relative = "element"
) -> Tensor:
    """Largest ratio of the explanation's relative change to the change of the model's outputs.

    As `relative_input_stability`, with ``max(||h(x) - h(x')||_2, 1e-6)`` as denominator: the
    absolute change of all raw outputs of the model, which are logits where it has them.

    Parameters
    ----------
    radius : float
        Largest change of an input number, in input units.
    n_samples : int
        Noisy copies per sample.
    relative : {"element", "norm"}
        Form of the explanation's change.

    Returns
    -------
    Tensor (N,)
        NaN where every copy changes its class, and for an all-zero map.
    """
    same = same_class(ev, radius, n_samples)
    return _stability(ev, radius, n_samples, relative, output_change(ev, radius, n_samples), same)


@_noisy_inputs(
    "relative_representation_stability",
    needs={"module", "reexplain"},
    source=f"{_PAPER}, equation 3",
)
def relative_representation_stability(
    ev: Evaluation,
    *,
    radius: PositiveFloat = 0.2,
    n_samples: PositiveInt = 10,
    layer: Layer = "first",
    relative: Relative = "element",
) -> Tensor:
    """Largest ratio of the explanation's relative change to that of a hidden representation.

    As `relative_input_stability`, with the activations of a layer in the place of the input.

    Parameters
    ----------
    radius : float
        Largest change of an input number, in input units.
    n_samples : int
        Noisy copies per sample.
    layer : {"first", "penultimate"}
        The output of the first layer with parameters that the forward pass calls, or the input of
        the last one.
    relative : {"element", "norm"}
        Form of both changes.

    Returns
    -------
    Tensor (N,)
        NaN where every copy changes its class, and for an all-zero map or representation.

    Raises
    ------
    UnsupportedError
        If the model has no such layer.
    """
    hidden, same = representation_change(ev, radius, n_samples, layer)
    return _stability(ev, radius, n_samples, relative, _pick(hidden, relative), same)


def _pick(change: Change, relative: Relative) -> Tensor:
    return change.element.double() if relative == "element" else change.relative.masked_fill(change.steady, 0)


def _stability(
    ev: Evaluation, radius: float, n_samples: int, relative: Relative, other: Tensor, same: Tensor
) -> Tensor:
    """Largest ratio of the explanation's change to another (N, n_samples), among the copies of the same class."""
    moved = _pick(explanation_change(ev, radius, n_samples), relative)
    return largest(moved / other.double().clamp(min=MIN_DENOMINATOR), same)
