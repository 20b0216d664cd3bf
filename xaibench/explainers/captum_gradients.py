"""Captum's explainers by gradients: saliency, input x gradient, integrated gradients, GradientShap, NoiseTunnel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from xaibench.core.components import AttributionKind
from xaibench.core.draws import Draws
from xaibench.core.libraries import import_library
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.library_calls import ExplainedOutput, by_target, one_by_one, reference_rows

Method = Literal["gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"]


def kind_of_gradient(params: Mapping[str, Any]) -> AttributionKind:
    """Gradients are slopes, their magnitudes saliencies."""
    return "saliency" if params["abs"] else "slope"


def kind_under_noise(params: Mapping[str, Any]) -> AttributionKind:
    """Means of signed gradients are slopes; magnitudes, squares and variances have no sign."""
    return "slope" if params["nt_type"] == "smoothgrad" and not params["abs"] else "saliency"


@explainer("captum:Saliency", kind="saliency", kind_of=kind_of_gradient, needs={"gradients", "module"})
def captum_saliency(problem: ProblemView, *, abs: bool = True) -> Tensor:
    """Captum's gradient, by default its magnitude; summed over channels. Equals `saliency`, and `gradient` without abs.

    Parameters
    ----------
    abs : bool
        Take magnitudes before channels are summed.
    """
    attr = import_library("captum", "attr")
    output = ExplainedOutput(problem)

    def call(view: ProblemView) -> Tensor:
        found: Tensor = attr.Saliency(output.aim(view)).attribute(view.inputs, abs=abs)
        return found

    return problem.layout.reduce_slopes(by_target(problem, call))


@explainer("captum:InputXGradient", kind="contribution", needs={"gradients", "module"})
def captum_input_x_gradient(problem: ProblemView) -> Tensor:
    """Captum's input times gradient, summed over channels. Equals `input_x_gradient`."""
    attr = import_library("captum", "attr")
    output = ExplainedOutput(problem)

    def call(view: ProblemView) -> Tensor:
        found: Tensor = attr.InputXGradient(output.aim(view)).attribute(view.inputs)
        return found

    return problem.layout.reduce(by_target(problem, call))


@explainer("captum:IntegratedGradients", kind="contribution", needs={"gradients", "module"})
def captum_integrated_gradients(
    problem: ProblemView, *, n_steps: PositiveInt = 50, method: Method = "gausslegendre", baselines: str = "zero"
) -> Tensor:
    """Captum's integrated gradients. Equals `integrated_gradients` with ``method="riemann_middle"``.

    Parameters
    ----------
    n_steps : int
        Points on the line.
    method : {"gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"}
        Rule of integration; the library's default has Gauss and Legendre's points.
    baselines : str
        Masker whose fill is the start of the line; the library's default is zero.
    """
    attr = import_library("captum", "attr")
    output = ExplainedOutput(problem)

    def call(view: ProblemView) -> Tensor:
        method_of = attr.IntegratedGradients(output.aim(view))
        found: Tensor = method_of.attribute(view.inputs, view.baseline(baselines), n_steps=n_steps, method=method)
        return found

    return problem.layout.reduce(by_target(problem, call))


@explainer("captum:GradientShap", kind="contribution", needs={"gradients", "module"}, uses_background=True)
def captum_gradient_shap(
    problem: ProblemView, *, n_samples: PositiveInt = 5, stdevs: NonNegativeFloat = 0.0, draws: Draws
) -> Tensor:
    """Captum's GradientShap from background rows (at most 100), one sample after the other.

    Without a background it starts from zeros. The mean over many draws is that of `gradient_shap`.

    Parameters
    ----------
    n_samples : int
        Points; the library's default of 5 leaves much noise.
    stdevs : float
        Standard deviation of noise on the inputs.

    Raises
    ------
    UnsupportedError
        If there is noise, and a feature is an edge, a category or a boolean.
    """
    if stdevs:
        problem.layout.require_no_categories("noise in every feature", booleans=True)
    attr = import_library("captum", "attr")
    output, rows = ExplainedOutput(problem), reference_rows(problem)

    def call(view: ProblemView, _seed: int) -> Tensor:
        method_of = attr.GradientShap(output.aim(view))
        found: Tensor = method_of.attribute(view.inputs, rows, n_samples=n_samples, stdevs=stdevs)
        return found

    return problem.layout.reduce(one_by_one(problem, draws, call))


@explainer("captum:NoiseTunnel", kind="saliency", kind_of=kind_under_noise, needs={"gradients", "module"})
def captum_noise_tunnel(
    problem: ProblemView,
    *,
    nt_type: Literal["smoothgrad", "smoothgrad_sq", "vargrad"] = "smoothgrad",
    nt_samples: PositiveInt = 5,
    stdevs: NonNegativeFloat = 1.0,
    abs: bool = True,
    draws: Draws,
) -> Tensor:
    """Captum's NoiseTunnel over its Saliency, one sample after the other.

    With ``abs=False`` the mean over many draws is that of `smoothgrad`, with ``nt_type="vargrad"`` that of `vargrad`.

    Parameters
    ----------
    nt_type : {"smoothgrad", "smoothgrad_sq", "vargrad"}
        Mean of the gradients under noise, of their squares, or their variance.
    nt_samples : int
        Noisy copies.
    stdevs : float
        Standard deviation of the noise, in input units.
    abs : bool
        The default of Captum's Saliency: magnitudes before anything else.

    Raises
    ------
    UnsupportedError
        If a feature is an edge, a category or a boolean: the library adds noise to all numbers of an input.
    """
    problem.layout.require_no_categories("noise in every feature", booleans=True)
    attr = import_library("captum", "attr")
    output = ExplainedOutput(problem)

    def call(view: ProblemView, _seed: int) -> Tensor:
        tunnel = attr.NoiseTunnel(attr.Saliency(output.aim(view)))
        found: Tensor = tunnel.attribute(view.inputs, nt_type=nt_type, nt_samples=nt_samples, stdevs=stdevs, abs=abs)
        return found

    maps = one_by_one(problem, draws, call)
    layout = problem.layout
    return layout.reduce(maps) if nt_type != "smoothgrad" else layout.reduce_slopes(maps)
