"""How many of the most important features must go before the model says another class."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.outputs import require_classes
from xaibench.core.registry import metric
from xaibench.metrics.engines.perturbation import clean_raw
from xaibench.metrics.engines.removal import removal_raw


@metric(
    "label_flip_words",
    family="faithfulness",
    construct="removal",
    higher_is_better=False,
    bounds=(0, 1),
    convert="order",
    source="Chrysostomou & Aletras 2021, Improving the faithfulness of attention-based explanations, decision flip "
    "(fraction of tokens); Serrano & Smith 2019, Is attention interpretable?, section 4.2",
    undefined_for={"some inputs"},
)
def label_flip_words(ev: Evaluation, *, masker: str = "mean") -> Tensor:
    """Least share of top features whose removal changes the predicted class; small if the decision hangs on them.

    Features go one after the other, the largest attribution first; of texts these are words or tokens. Compare
    explainers on the samples for which all have a score: what no order can flip says nothing.

    Parameters
    ----------
    masker : str
        What removed features are set to.

    Returns
    -------
    Tensor (N,)
        From 1 / n to 1. NaN where the class stays whatever is removed, and where the model says another class than the
        one that is explained.

    Raises
    ------
    UnsupportedError
        If the model has no classes, or a contrast is explained.
    """
    require_classes(ev.model.returns, "this metric compares predicted classes")
    ev.refuse_foils("predictions are among all classes")
    n = ev.layout.n_features
    predicted = clean_raw(ev).argmax(dim=1, keepdim=True)
    flipped = removal_raw(ev, "morf", masker, list(range(1, n + 1))).argmax(dim=2) != predicted
    first = flipped.int().argmax(dim=1) + 1
    explained = predicted.squeeze(1) == ev.targets
    return torch.where(flipped.any(dim=1) & explained, first / n, torch.nan)
