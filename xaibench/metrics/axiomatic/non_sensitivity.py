"""Non-sensitivity (Nguyen and Martinez 2020): zero attribution if and only if the feature has no effect."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.feature_effects import EFFECTS_VERSION, RandomMasker, mean_square_effects


@metric(
    "non_sensitivity",
    family="axiomatic",
    higher_is_better=False,
    bounds=(0, 1),
    version=EFFECTS_VERSION,
    sign="absolute",
    source="Nguyen & Martinez 2020, On quantitative aspects of model interpretability, non-sensitivity",
    shares_evaluations=True,
    favours={"zero maps"},  # where most features do nothing
)
def non_sensitivity(
    ev: Evaluation,
    *,
    n_samples: PositiveInt = 5,
    masker: RandomMasker = "uniform",
    tolerance: NonNegativeFloat = 1e-5,
    effect_tolerance: NonNegativeFloat = 1e-5,
) -> Tensor:
    """Share of the features of which only one is zero, the attribution or the effect on the output.

    Features without effect should have no attribution, and the other way round. The paper counts
    these features; the share is comparable between inputs of different sizes. Effects are those of
    `monotonicity_correlation`, at no further cost.

    Parameters
    ----------
    n_samples : int
        Random values of every feature, the same for all explainers.
    masker : {"uniform", "marginal"}
        Where random values come from: the range of the background, or one of its rows.
    tolerance : float
        Attributions up to this share of the largest magnitude of their map count as zero.
    effect_tolerance : float
        Root mean square changes of the output up to this share of its largest magnitude, over the
        sample and its copies, count as zero; below 1e-6, they would be rounding.

    Returns
    -------
    Tensor (N,)
        For an all-zero map the share of the features that have an effect.
    """
    magnitude = ev.attributions.flatten(1).abs()
    silent = magnitude <= tolerance * magnitude.amax(dim=1, keepdim=True)
    effects, size = mean_square_effects(ev, masker, n_samples)
    without_effect = effects.sqrt() <= effect_tolerance * size
    return (silent ^ without_effect).double().mean(dim=1)
