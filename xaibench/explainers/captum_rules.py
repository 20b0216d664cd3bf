"""Captum's explainers that follow modules: DeepLift, guided backpropagation, deconvolution, LRP.

They change what `torch.nn` modules do by hooks. What is not a module of its own, such as ``torch.relu`` in a
forward pass, they do not see, and most of them do not say so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import PositiveFloat
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError
from xaibench.core.libraries import first_line, import_library
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.library_calls import ExplainedOutput, by_target, reference_rows

MOST_REFERENCES = 16
"""Background rows of DeepLiftShap."""


@explainer("captum:DeepLift", kind="contribution", needs={"module"})
def captum_deep_lift(problem: ProblemView, *, baselines: str = "zero", eps: PositiveFloat = 1e-10) -> Tensor:
    """Captum's DeepLift. Equals `deep_lift` where ReLUs are modules and nothing is max-pooled; else see below.

    Functional ReLUs are not seen: there it is input times gradient, and does not say so. A maximum is given back in
    another way than ours.

    Parameters
    ----------
    baselines : str
        Masker whose fill is the reference; the library's default is zero.
    eps : float
        Differences below it count as 0.

    Raises
    ------
    UnsupportedError
        If a module is used twice.
    """
    attr = import_library("captum", "attr")
    output = ExplainedOutput(problem)

    def call(view: ProblemView) -> Tensor:
        found: Tensor = attr.DeepLift(output.aim(view), eps=eps).attribute(view.inputs, view.baseline(baselines))
        return found

    return problem.layout.reduce(_refusing("DeepLift", lambda: by_target(problem, call)))


@explainer("captum:DeepLiftShap", kind="contribution", needs={"module"}, uses_background=True)
def captum_deep_lift_shap(problem: ProblemView) -> Tensor:
    """Captum's DeepLift, averaged over at most 16 background rows; without a background from zeros.

    Raises
    ------
    UnsupportedError
        If a module is used twice.
    """
    attr = import_library("captum", "attr")
    output, rows = ExplainedOutput(problem), reference_rows(problem, MOST_REFERENCES)

    def call(view: ProblemView) -> Tensor:
        # The library wants two rows at least.
        given = rows if len(rows) > 1 else rows.repeat(2, *[1] * (rows.ndim - 1))
        found: Tensor = attr.DeepLiftShap(output.aim(view)).attribute(view.inputs, given)
        return found

    return problem.layout.reduce(_refusing("DeepLiftShap", lambda: by_target(problem, call)))


@explainer("captum:GuidedBackprop", kind="slope", needs={"module"})
def captum_guided_backprop(problem: ProblemView) -> Tensor:
    """Captum's guided backpropagation; equals `guided_backprop` where ReLUs are modules, else it is the gradient."""
    return _guided(problem, "GuidedBackprop")


@explainer("captum:Deconvolution", kind="slope", needs={"module"})
def captum_deconvolution(problem: ProblemView) -> Tensor:
    """Captum's deconvolution; equals `deconvolution` where ReLUs are modules, else it is the gradient."""
    return _guided(problem, "Deconvolution")


def _guided(problem: ProblemView, name: Literal["GuidedBackprop", "Deconvolution"]) -> Tensor:
    method, output = getattr(import_library("captum", "attr"), name), ExplainedOutput(problem)

    def call(view: ProblemView) -> Tensor:
        found: Tensor = method(output.aim(view)).attribute(view.inputs)
        return found

    return problem.layout.reduce_slopes(by_target(problem, call))


@explainer("captum:LRP", kind="contribution", needs={"module"})
def captum_lrp(problem: ProblemView) -> Tensor:
    """Captum's layer-wise relevance propagation with its default, the epsilon rule, for every layer.

    Modules that only rearrange (`torch.nn.Flatten`) are given that rule as well, as the library asks for.

    Raises
    ------
    UnsupportedError
        If the library has no rule for a module.
    """
    attr = import_library("captum", "attr")
    rules = import_library("captum", "attr._utils.lrp_rules")
    output = ExplainedOutput(problem)

    def call(view: ProblemView) -> Tensor:
        for module in output.modules():
            if isinstance(module, (nn.Flatten, nn.Unflatten)):
                # Every call takes the rules away from the modules.
                module.rule = rules.EpsilonRule()
        found: Tensor = attr.LRP(output.aim(view)).attribute(view.inputs)
        return found

    return problem.layout.reduce(_refusing("LRP", lambda: by_target(problem, call)))


def _refusing(name: str, explain: Callable[[], Tensor]) -> Tensor:
    """Call, and say that a model is unsupported where the library refuses it."""
    try:
        return explain()
    except (TypeError, AssertionError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, UnsupportedError):
            raise
        raise UnsupportedError(
            f"captum:{name} refuses this model: {first_line(error)}", "our own explainer of that method may take it"
        ) from error
