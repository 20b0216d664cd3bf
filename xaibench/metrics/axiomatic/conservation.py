"""Conservation (Bach et al. 2015): relevance must sum to the output that is explained."""

from __future__ import annotations

from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.perturbation import clean_scores

_SMALLEST = 1e-12
"""Added to the output that errors are divided by."""


@metric(
    "conservation",
    family="axiomatic",
    higher_is_better=False,
    bounds=(0, None),
    aggregate="median_log10",
    source="Bach et al. 2015, On pixel-wise explanations by layer-wise relevance propagation; equation 2",
    scale_invariant=False,
    shares_evaluations=True,
)
def conservation(ev: Evaluation, *, rectified: bool = False) -> Tensor:
    """Relative error of the claim that attributions sum to the output itself, and not to a difference of outputs.

    ``|sum(phi) - f(x)| / (|f(x)| + 1e-12)``. That is promised by `lrp`, within what its rules lose to biases and
    stabilisers, by `full_grad` and, of the positive part of the output, by `deep_taylor`. Of what biases hold,
    epsilon loses all, z+ what is positive, alpha-beta both by their factors; flat, w^2 and z^B lose nothing. Other
    explainers promise a difference from a baseline, which `completeness` measures, or no sum. Attributions of every
    kind are summed as they are.

    Parameters
    ----------
    rectified : bool
        Compare with the positive part of the output.

    Returns
    -------
    Tensor (N,)
        0 when the sum is exact, 1 for an all-zero map where the output is not 0.
    """
    output = clean_scores(ev).double()
    output = output.clamp(min=0) if rectified else output
    return (ev.attributions.flatten(1).double().sum(dim=1) - output).abs() / (output.abs() + _SMALLEST)
