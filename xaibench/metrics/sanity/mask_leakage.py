"""Mask leakage (Rong et al. 2022): how much the shape of the removed region alone reveals about the label."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.recipes import Recipe
from xaibench.core.registry import metric
from xaibench.metrics.engines.explained_rows import Targets
from xaibench.metrics.engines.predictive_power import (
    SharesBelowOne,
    _convert,
    predictive_power,
    top,
)
from xaibench.metrics.maps.orders import OrderSign


@metric(
    "mask_leakage",
    family="sanity",
    higher_is_better=False,
    bounds=(0, 1),
    needs={"reexplain", "retrain"},
    scope="dataset",
    convert=_convert,
    sign="absolute",
    source="Rong et al. 2022, A consistent and efficient evaluation strategy for attribution methods; class "
    "information in the mask",
)
def mask_leakage(
    ev: Evaluation,
    *,
    shares: SharesBelowOne = (0.1, 0.3, 0.5, 0.7, 0.9),
    masker: str = "mean",
    sign: OrderSign = "absolute",
    target: Targets = "predicted",
    n_retrainings: PositiveInt = 3,
    recipe: Recipe = None,
    max_train: PositiveInt = 2000,
    max_test: PositiveInt = 1000,
) -> Tensor:
    """Test accuracy of models that see only which features are important, not their values; mean over shares.

    Every sample is replaced by its mask, 1 for the share of features with the largest attributions
    and 0 for the rest. At chance the scores of `roar` and `kar` are about the values of features;
    near the accuracy of the model they follow from the shape of the masks.

    Parameters
    ----------
    shares : tuple of float
        Shares of the features that are marked.
    masker : str
        Only where slopes become contributions (``sign="signed"``).
    sign, target, n_retrainings, recipe, max_train, max_test
        As for `roar`; give it what the metric has that is to be checked.

    Returns
    -------
    Tensor (n_retrainings,)
        NaN if the attributions of any of these rows are not finite.
    """
    selected = [(top, share) for share in shares]
    return predictive_power(ev, selected, None, sign, target, n_retrainings, recipe, max_train, max_test).mean(dim=1)
