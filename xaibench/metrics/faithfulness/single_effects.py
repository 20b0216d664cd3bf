"""Effects of single features: attributions compared with the change of the output when each is removed or redrawn.

Which features are attributed what plays no role for the perturbed samples: the model is evaluated
once per problem, and all explainers share its outputs.
"""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.exact_outputs import above, in_float64, merged, rounding_of
from xaibench.metrics.engines.feature_effects import (
    EFFECTS_VERSION,
    RandomMasker,
    mean_square_effects,
    outputs_without_groups,
    without_each,
)
from xaibench.metrics.engines.removal import removal_order
from xaibench.metrics.maps.orders import ranks_of
from xaibench.metrics.maps.similarity import pearson, spearman


@metric(
    "faithfulness_estimate",
    family="faithfulness",
    construct="single_effects",
    higher_is_better=True,
    bounds=(-1, 1),
    version=EFFECTS_VERSION,
    convert="contribution",
    source="Alvarez-Melis & Jaakkola 2018, Towards robust interpretability with self-explaining neural networks, "
    "faithfulness",
    undefined_for={"zero maps", "constant maps"},
    shares_evaluations=True,
)
def faithfulness_estimate(ev: Evaluation, *, subset_size: PositiveInt = 1, masker: str = "mean") -> Tensor:
    """Correlation of the attributions with the drop of the output when each feature is removed alone.

    It is 1 for the contributions w (x - b) of a linear model, b being what the masker fills in.

    Parameters
    ----------
    subset_size : int
        Features removed together: the first ``subset_size`` by falling attribution, then the next
        ones, each time from the whole sample; their attributions are summed. With 1, evaluations
        are shared by all explainers; with more, the groups depend on the attributions.
    masker : str
        What removed features are set to.

    Returns
    -------
    Tensor (N,)
        NaN where the attributions or the outputs do not vary.

    Raises
    ------
    UnsupportedError
        If there are fewer features than ``subset_size``.
    """
    n_features = ev.layout.n_features
    if subset_size > n_features:
        raise UnsupportedError(f"subset_size must be at most the {n_features} features, not {subset_size}")
    flat = ev.attributions.flatten(1)
    if subset_size == 1:
        return -pearson(flat, _above_first(ev, without_each(ev, masker, exact=True)))
    n_groups = -(-n_features // subset_size)
    groups = ranks_of(removal_order(ev)) // subset_size
    sums = flat.new_zeros(len(ev), n_groups).scatter_add_(1, groups.long(), flat)
    with in_float64(ev) as exact:
        return -pearson(sums, _above_first(ev, outputs_without_groups(exact, groups, n_groups, ev.masker(masker))))


def _above_first(ev: Evaluation, outputs: Tensor) -> Tensor:
    """Outputs (N, F), values less the first of them: a correlation does not see a constant."""
    return above(ev, outputs, outputs[:, :1])


@metric(
    "monotonicity_correlation",
    family="faithfulness",
    construct="single_effects",
    higher_is_better=True,
    bounds=(-1, 1),
    version=EFFECTS_VERSION,
    sign="absolute",
    source="Nguyen & Martinez 2020, On quantitative aspects of model interpretability, monotonicity",
    undefined_for={"zero maps", "constant maps"},
    place_matters=True,  # the random values that replace features belong to places
    shares_evaluations=True,
)
def monotonicity_correlation(ev: Evaluation, *, n_samples: PositiveInt = 5, masker: RandomMasker = "uniform") -> Tensor:
    """Rank correlation of the magnitudes with the mean squared change of the output as each feature is redrawn.

    ``rho(|phi_i|, E[(f(x) - f(x with x_i redrawn))^2])``. Attributions of all kinds are used as
    given: a random value is not a baseline to which slopes could be converted. The best map of a
    linear model is ``|w_i| sqrt(E[(x_i - X_i)^2])``.

    Parameters
    ----------
    n_samples : int
        Random values of every feature, the same for all explainers.
    masker : {"uniform", "marginal"}
        Where random values come from: the range of the background, or one of its rows.

    Returns
    -------
    Tensor (N,)
        NaN where the magnitudes or the changes do not vary.
    """
    effects = mean_square_effects(ev, masker, n_samples)[0].sqrt()
    rounding = rounding_of(without_each(ev, masker, exact=True))
    return spearman(ev.attributions.flatten(1).abs(), merged(effects, rounding * effects.amax(dim=1)))
