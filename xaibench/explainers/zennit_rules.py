"""Composites of LRP of the library zennit, with its merging of batch normalisation."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import PositiveFloat
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.libraries import first_line, import_library
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.library_calls import ExplainedOutput, by_target

_composite = partial(explainer, kind="contribution", needs={"module", "image"})
"""Declares a composite of the library, which is about convolutions."""


@_composite("zennit:EpsilonPlus")
def zennit_epsilon_plus(problem: ProblemView, *, epsilon: PositiveFloat = 1e-6) -> Tensor:
    """zennit's EpsilonPlus; equals `lrp` with ``rule="epsilon_plus"`` where sums and activations are modules.

    Operations that are not modules, such as the sum of a residual block, are not seen: relevance is neither shared
    between the branches nor conserved there, and nothing says so. The authors of layer-wise relevance propagation claim
    a patent on it.

    Parameters
    ----------
    epsilon : float
        Of dense layers.
    """
    return _relevance(problem, "EpsilonPlus", epsilon=epsilon)


@_composite("zennit:EpsilonPlusFlat")
def zennit_epsilon_plus_flat(problem: ProblemView, *, epsilon: PositiveFloat = 1e-6) -> Tensor:
    """zennit's EpsilonPlusFlat; equals `lrp` with ``rule="epsilon_plus_flat"`` under the conditions of EpsilonPlus.

    The first layer is the first that is run, also where two branches start at the input.

    Parameters
    ----------
    epsilon : float
        Of dense layers.
    """
    return _relevance(problem, "EpsilonPlusFlat", epsilon=epsilon)


@_composite("zennit:EpsilonAlpha2Beta1")
def zennit_epsilon_alpha_beta(problem: ProblemView, *, epsilon: PositiveFloat = 1e-6) -> Tensor:
    """zennit's EpsilonAlpha2Beta1; equals `lrp` with ``rule="epsilon_alpha2_beta1"`` under those conditions.

    Parameters
    ----------
    epsilon : float
        Of dense layers.
    """
    return _relevance(problem, "EpsilonAlpha2Beta1", epsilon=epsilon)


@_composite("zennit:EpsilonGammaBox", uses_background=True)
def zennit_epsilon_gamma_box(
    problem: ProblemView,
    *,
    epsilon: PositiveFloat = 1e-6,
    gamma: PositiveFloat = 0.25,
    low: float | None = None,
    high: float | None = None,
) -> Tensor:
    """zennit's EpsilonGammaBox; equals `lrp` with ``rule="epsilon_gamma_box"`` under those conditions.

    Parameters
    ----------
    epsilon, gamma : float
        Of dense layers, and of convolutions.
    low, high : float, optional
        Range of the inputs. Default: that of the background, by channel.

    Raises
    ------
    UnsupportedError
        If no range is given and there is no background.
    """
    bounds = []
    for given, end in ((low, "amin"), (high, "amax")):
        if given is not None:
            bounds.append(torch.full_like(problem.inputs[:1], given))
            continue
        rows = problem.require_background("a box needs the range of the inputs: give low and high, or a background")
        axes = (0, *range(2, rows.ndim)) if problem.inputs.ndim == 4 else tuple(range(rows.ndim))
        bounds.append(getattr(rows, end)(dim=axes, keepdim=True).expand_as(problem.inputs[:1]).to(problem.inputs))
    return _relevance(problem, "EpsilonGammaBox", epsilon=epsilon, gamma=gamma, low=bounds[0], high=bounds[1])


def _relevance(problem: ProblemView, name: str, **given: float | Tensor) -> Tensor:
    """Relevance (N, *feature_shape), starting from the explained logit."""
    if problem.output != "logit":
        raise UnsupportedError(f"zennit:{name} starts from a logit, and {problem.output} is explained")
    composites = import_library("zennit", "composites")
    canonizers = import_library("zennit", "canonizers")
    attribution = import_library("zennit", "attribution")

    def call(view: ProblemView) -> Tensor:
        # A new copy for every call: batch normalisation is merged into its weights.
        output = ExplainedOutput(view, column=True)
        composite = getattr(composites, name)(canonizers=[canonizers.SequentialMergeBatchNorm()], **given)
        try:
            with attribution.Gradient(model=output, composite=composite) as attributor:
                _, relevance = attributor(view.inputs.detach().clone(), lambda found: found)
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise UnsupportedError(f"zennit:{name} refuses this model: {first_line(error)}") from error
        found: Tensor = relevance
        return found

    return problem.layout.reduce(by_target(problem, call))
