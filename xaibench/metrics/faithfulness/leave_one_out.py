"""Agreement of an explanation with what the output loses when each feature is left out."""

from __future__ import annotations

from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.exact_outputs import merged, rounding_of
from xaibench.metrics.engines.feature_effects import without_each
from xaibench.metrics.maps.rank_correlation import kendall_tau_b


@metric(
    "tau_loo",
    family="faithfulness",
    construct="single_effects",
    higher_is_better=True,
    bounds=(-1, 1),
    accepts={"contribution", "slope"},
    convert="order",
    source="Jain & Wallace 2019, Attention is not explanation, section 4.1: Kendall's tau with leave-one-out",
    undefined_for={"zero maps", "constant maps"},
    shares_evaluations=True,
)
def tau_loo(ev: Evaluation, *, masker: str = "mean") -> Tensor:
    """Kendall's tau-b of the attributions with ``f(x) - f(x without t)``, each feature t left out alone.

    Leaving one out is not a truth: where evidence is redundant, no single feature is needed, and explanations that
    share it among all of them disagree with it. Effects that are equal but for rounding tie. Explanations that are
    left-out effects of the same masker themselves (`feature_ablation`) score 1 by construction.

    Parameters
    ----------
    masker : str
        What a feature that is left out is set to.

    Returns
    -------
    Tensor (N,)
        NaN where the attributions or the effects are all tied, and below two features.
    """
    without = without_each(ev, masker, exact=True)
    tolerance = rounding_of(without) * without.abs().amax(dim=1)
    # What the output is with everything is the same for all features, and does not change their order.
    return -kendall_tau_b(ev.attributions.flatten(1), merged(without, tolerance))
