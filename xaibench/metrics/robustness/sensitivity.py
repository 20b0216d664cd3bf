"""Max and average sensitivity (Yeh et al. 2019; Bhatt et al. 2020), local Lipschitz constant, stability of reruns."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.registry import metric
from xaibench.metrics.engines.noisy_copies import explanation_change, input_change, largest

_noisy_inputs = partial(
    metric,
    family="robustness",
    construct="noisy_inputs",
    higher_is_better=False,
    bounds=(0, None),
    needs={"reexplain"},
    place_matters=True,  # noise belongs to places
)
"""Declares a metric of the construct ``noisy_inputs``."""


@_noisy_inputs(
    "max_sensitivity",
    source="Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, definition 2.3",
    undefined_for={"zero maps"},
)
def max_sensitivity(ev: Evaluation, *, radius: PositiveFloat = 0.2, n_samples: PositiveInt = 10) -> Tensor:
    """Largest relative change of the explanation among noisy copies of the input.

    ``max_d ||phi(x + d) - phi(x)||_2 / ||phi(x)||_2`` over uniform noise with ``|d| <= radius`` in
    every input number. Copies are explained with the draws of their original. A maximum over few
    samples is far below the true one, and constant explanations are perfectly robust: never rank
    by this alone.

    Parameters
    ----------
    radius : float
        Largest change of an input number, in input units.
    n_samples : int
        Noisy copies per sample.

    Returns
    -------
    Tensor (N,)
        NaN for an all-zero map.
    """
    return explanation_change(ev, radius, n_samples).relative.amax(dim=1)


@_noisy_inputs(
    "avg_sensitivity",
    source="Bhatt et al. 2020, Evaluating and aggregating feature-based model explanations, average sensitivity",
    undefined_for={"zero maps"},
)
def avg_sensitivity(ev: Evaluation, *, radius: PositiveFloat = 0.2, n_samples: PositiveInt = 10) -> Tensor:
    """Mean relative change of the explanation over noisy copies of the input.

    The mean of what `max_sensitivity` takes the maximum of, over the same copies.

    Parameters
    ----------
    radius : float
        Largest change of an input number, in input units.
    n_samples : int
        Noisy copies per sample.

    Returns
    -------
    Tensor (N,)
        NaN for an all-zero map.
    """
    return explanation_change(ev, radius, n_samples).relative.mean(dim=1)


@_noisy_inputs(
    "local_lipschitz",
    aggregate="median_log10",
    source="Alvarez-Melis & Jaakkola 2018, On the robustness of interpretability methods, equation 2",
    scale_invariant=False,
)
def local_lipschitz(
    ev: Evaluation, *, radius: PositiveFloat = 0.2, n_samples: PositiveInt = 10, normalise: bool = False
) -> Tensor:
    """Largest ratio of the explanation's change to the input's among noisy copies.

    ``max_d ||phi(x + d) - phi(x)||_2 / ||d||_2``, where ``d`` is what the noise of
    `max_sensitivity` really added (in float32). A change below 1e-6 of the map is rounding and
    counts as none. The ratio has the units of the explanation: explainers of different kinds
    compare with ``normalise`` only.

    Parameters
    ----------
    radius : float
        Largest change of an input number, in input units.
    n_samples : int
        Noisy copies per sample.
    normalise : bool
        Divide by ``||phi(x)||_2``; all-zero maps are undefined then.

    Returns
    -------
    Tensor (N,)
        NaN where the noise is lost to rounding in all copies.
    """
    explanation, inputs = explanation_change(ev, radius, n_samples), input_change(ev, radius, n_samples)
    moved = (explanation.relative if normalise else explanation.absolute.double()).masked_fill(explanation.steady, 0)
    return largest(moved / inputs.absolute, inputs.absolute > 0)


@metric(
    "rerun_stability",
    family="robustness",
    higher_is_better=False,
    bounds=(0, None),
    needs={"reexplain"},
    source="Visani et al. 2022, Statistical stability indices for LIME (repeated runs); distance as in max_sensitivity",
    undefined_for={"zero maps"},
    favours={"constant maps"},  # they do not depend on draws
)
def rerun_stability(ev: Evaluation, *, n_samples: PositiveInt = 10) -> Tensor:
    """Mean relative change of the explanation when nothing but the explainer's random draws changes.

    ``mean_k ||phi_k(x) - phi(x)||_2 / ||phi(x)||_2`` over runs with fresh draws. 0 for an explainer
    without draws; about the square root of 2 for independent noise.

    Parameters
    ----------
    n_samples : int
        Runs besides the one that is scored.

    Returns
    -------
    Tensor (N,)
        NaN for an all-zero map.
    """
    own = ev.attributions.flatten(1).double()
    size = torch.linalg.vector_norm(own, dim=1)
    moved = torch.zeros_like(size)
    for run in range(1, n_samples + 1):
        moved += torch.linalg.vector_norm(ev.explain(ExplainRequest(redraw=run)).flatten(1).double() - own, dim=1)
    return torch.where(size > 0, moved / n_samples / size, torch.nan)
