"""ROAR and KAR (Hooker et al. 2019), DiffROAR (Shah et al. 2021): retrain without, or only with, the top features.

No model is judged on inputs unlike those it was fitted to, as it is when features are removed
after training. The price: the score is about the data and the masks as much as about the model. The
shape of a mask can give the class away whose explanation it is; `mask_leakage` measures how much.
"""

from __future__ import annotations

from functools import partial

from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.recipes import Recipe
from xaibench.core.registry import metric
from xaibench.metrics.engines.explained_rows import Targets
from xaibench.metrics.engines.predictive_power import (
    HalfShares,
    SharesBelowOne,
    _convert,
    all_but_top,
    bottom,
    predictive_power,
    top,
)
from xaibench.metrics.maps.orders import OrderSign

_retraining = partial(
    metric,
    family="faithfulness",
    construct="retraining",
    needs={"reexplain", "retrain"},
    scope="dataset",
    convert=_convert,
    sign="absolute",
)
"""Declares a metric of the construct ``retraining``."""


@_retraining(
    "roar",
    higher_is_better=False,
    bounds=(0, 1),
    source="Hooker et al. 2019, A benchmark for interpretability methods in deep neural networks, section 3 (ROAR)",
)
def roar(
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
    """Test accuracy of models retrained on data without the most important features, mean over the shares removed.

    The model explains its prediction for every training and test sample. In each, the share of
    features with the largest attributions is masked, a new model is fitted to the masked training
    data and tested on the masked test data. Low is good: what was removed was needed. Removing
    features tells the new model which ones they were, and by that often the class: always look at
    `mask_leakage` too.

    Parameters
    ----------
    shares : tuple of float
        Shares of the features that are removed, each for a retraining of its own.
    masker : str
        What they are set to; the channel mean in the paper.
    sign : {"signed", "absolute"}
        Order features by magnitude (the squared variant of the paper), since evidence against a
        class is information too, or by signed values, which give the class away almost entirely
        (on digits masks of integrated gradients alone tell .95 of the classes, against .76); slopes
        are then turned into contributions first, with the same masker.
    target : {"predicted", "label"}
        The class that is explained. Predictions as published: masks made with the label can tell a
        new model more than the inputs do.
    n_retrainings : int
        Seeds of the retraining, one score each. No test can be passed with fewer than 5 of them.
    recipe : str, optional
        A registered model to retrain instead of the problem's own, with its default parameters.
    max_train, max_test : int
        Rows of each split that are used at most, evenly spaced.

    Returns
    -------
    Tensor (n_retrainings,)
        NaN if the attributions of any of these rows are not finite.
    """
    selected = [(all_but_top, share) for share in shares]
    return predictive_power(ev, selected, masker, sign, target, n_retrainings, recipe, max_train, max_test).mean(dim=1)


@_retraining(
    "kar",
    higher_is_better=True,
    bounds=(0, 1),
    source="Hooker et al. 2019, A benchmark for interpretability methods in deep neural networks; keep and retrain",
)
def kar(
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
    """Test accuracy of models retrained on the most important features alone, mean over the shares.

    The counterpart of `roar`: high is good, what was left is enough. It profits from masks that give
    the label away; see `mask_leakage`.

    Parameters
    ----------
    shares : tuple of float
        Shares of the features that are not masked.
    masker, sign, target, n_retrainings, recipe, max_train, max_test
        As for `roar`.

    Returns
    -------
    Tensor (n_retrainings,)
        NaN if the attributions of any of these rows are not finite.
    """
    selected = [(top, share) for share in shares]
    return predictive_power(ev, selected, masker, sign, target, n_retrainings, recipe, max_train, max_test).mean(dim=1)


@_retraining(
    "diffroar",
    higher_is_better=True,
    bounds=(-1, 1),
    source="Shah et al. 2021, Do input gradients highlight discriminative features?; DiffROAR",
)
def diffroar(
    ev: Evaluation,
    *,
    shares: HalfShares = (0.05, 0.1, 0.25),
    masker: str = "zero",
    sign: OrderSign = "absolute",
    target: Targets = "label",
    n_retrainings: PositiveInt = 3,
    recipe: Recipe = None,
    max_train: PositiveInt = 2000,
    max_test: PositiveInt = 1000,
) -> Tensor:
    """Accuracy of models retrained on the most important features alone, minus that on the least important ones.

    ``PredPower(top k) - PredPower(bottom k)``, mean over the shares k, where the predictive power of
    features is the test accuracy of a model retrained on data in which all others are masked. Above
    0 the explanation tells discriminative features from others, at 0 it does not (random maps),
    below 0 it turns them round. The attributions are those of the model that is explained, on train
    and test data.

    Parameters
    ----------
    shares : tuple of float
        Shares k of the features that are not masked. Sparse maps are tied at 0 beyond their support: choose
        k small, at most 0.1 for maps from a zero baseline.
    masker : str
        Zero as published; mean filling is unstable on digits.
    sign : {"signed", "absolute"}
    target : {"predicted", "label"}
        The class that is explained, the label as published.
    n_retrainings : int
    recipe : str, optional
        Model that measures predictive power, by default the problem's own.
    max_train, max_test : int

    Returns
    -------
    Tensor (n_retrainings,)
        NaN if the attributions of any of these rows are not finite.
    """
    selected = [(part, share) for part in (top, bottom) for share in shares]
    power = predictive_power(ev, selected, masker, sign, target, n_retrainings, recipe, max_train, max_test)
    of_top, of_bottom = power.chunk(2, dim=1)
    return of_top.mean(dim=1) - of_bottom.mean(dim=1)
