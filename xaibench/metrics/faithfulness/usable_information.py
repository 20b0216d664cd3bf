"""Usable information (Ethayarajh et al. 2022): bits about the class in the words that an explanation chooses."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Gt, Lt
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.data import Data
from xaibench.core.evaluation import Evaluation
from xaibench.core.outputs import select_output
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.recipes import Recipe
from xaibench.core.registry import metric
from xaibench.core.retraining import retraining_seed
from xaibench.metrics.engines.explained_rows import Targets, retraining_of
from xaibench.metrics.engines.kept_words import Selected, data_of_selected_words, without_identities

WordShare = Annotated[float, Gt(0), Lt(1)]
Leak = Literal["subtracted", "included", "alone"]
CALLED_IMPOSSIBLE = 2.0**-20
"""A class that a model calls less probable costs 20 bits, and not more."""

_information = partial(
    metric,
    family="faithfulness",
    construct="retraining",
    needs={"text", "reexplain", "retrain"},
    scope="dataset",
    sign="absolute",
)
"""Declares a metric of usable information."""


@_information(
    "pvi_kept",
    higher_is_better=True,
    source="Ethayarajh et al. 2022, Understanding dataset difficulty with V-usable information, ICML; Eqs. 2 and 4, on "
    "the words that an explanation keeps",
)
def pvi_kept(
    ev: Evaluation,
    *,
    share: WordShare = 0.2,
    leak: Leak = "subtracted",
    target: Targets = "predicted",
    n_retrainings: PositiveInt = 3,
    recipe: Recipe = None,
    max_train: PositiveInt = 2000,
    max_test: PositiveInt = 1000,
) -> Tensor:
    """Bits about the class that a new model finds in the most important words alone, mean over the test texts.

    Pointwise V-information: ``log2 g(y | the selected words) - log2 g0(y)``. g is a model of the same recipe that
    is trained on such words of the training texts, the others being deleted; g0 knows nothing of the text, and says how
    frequent the class is in training, which is what any model tends to that is trained on empty texts.

    Which words are selected may tell the class by itself, as in `roar`. So a second model is trained on the same texts
    with one symbol for every word, and its bits, the leak, are subtracted. With deletion only the number of words is
    left then. What the choice of words says beyond that, such as a word that is selected in one class only though it
    means nothing, stays in the score.

    Parameters
    ----------
    share : float
        Share of the words of a text that are selected: at least one, and not all of several.
    leak : {"subtracted", "included", "alone"}
        Whether to subtract the leak, to leave it in, or to return it alone.
    target : {"predicted", "label"}
        The class that is explained.
    n_retrainings : int
        Seeds of the trainings, one score each. No test can be passed with fewer than 5 of them.
    recipe : str, optional
        A registered model to train instead of the problem's own, with its default parameters.
    max_train, max_test : int
        Texts of each split that are used at most, evenly spaced.

    Returns
    -------
    Tensor (n_retrainings,)
        In bits; negative where the new model does worse than knowing nothing. NaN if an attribution of any of these
        texts is not finite.
    """
    return _bits(ev, "kept", share, leak, target, n_retrainings, recipe, max_train, max_test)


@_information(
    "pvi_removed",
    higher_is_better=False,
    source="Ethayarajh et al. 2022, Understanding dataset difficulty with V-usable information, ICML; Eqs. 2 and 4, on "
    "the words that an explanation leaves out",
)
def pvi_removed(
    ev: Evaluation,
    *,
    share: WordShare = 0.2,
    leak: Leak = "subtracted",
    target: Targets = "predicted",
    n_retrainings: PositiveInt = 3,
    recipe: Recipe = None,
    max_train: PositiveInt = 2000,
    max_test: PositiveInt = 1000,
) -> Tensor:
    """Bits about the class that a new model finds without the most important words, mean over the test texts.

    The counterpart of `pvi_kept`: near 0 is good, nothing was left that tells the class.

    Parameters
    ----------
    share : float
        Share of the words of a text that are removed: at least one, and not all.
    leak, target, n_retrainings, recipe, max_train, max_test
        As for `pvi_kept`.

    Returns
    -------
    Tensor (n_retrainings,)
        In bits. NaN if an attribution of any of these texts is not finite.
    """
    return _bits(ev, "removed", share, leak, target, n_retrainings, recipe, max_train, max_test)


def _bits(
    ev: Evaluation,
    selected: Selected,
    share: float,
    leak: Leak,
    target: Targets,
    n_retrainings: int,
    recipe: str | None,
    max_train: int,
    max_test: int,
) -> Tensor:
    data = data_of_selected_words(ev, selected, share, target, max_train, max_test)
    if data is None:
        return torch.full((n_retrainings,), torch.nan)
    found = torch.zeros(n_retrainings, dtype=torch.float64)
    if leak != "alone":
        found += _information_in(ev, data, n_retrainings, recipe)
    if leak != "included":
        told = _information_in(ev, without_identities(data), n_retrainings, recipe)
        found += told if leak == "alone" else -told
    return found


def _information_in(ev: Evaluation, data: Data, n_retrainings: int, recipe: str | None) -> Tensor:
    """Mean bits (n_retrainings,) about the class of a test text that models find which are trained on these texts."""
    retraining = retraining_of(ev)
    counts = np.bincount(data.train_targets, minlength=data.n_classes)
    prior = torch.from_numpy(counts / counts.sum()).clamp(min=CALLED_IMPOSSIBLE).log2()
    targets = torch.from_numpy(data.test_targets)
    found = torch.zeros(n_retrainings, dtype=torch.float64)
    for row in range(n_retrainings):
        model = retraining.fit(data, retraining_seed("words", ev.seed, row), recipe=recipe)
        raw = predict_raw(model, data.test_inputs, data.test_context).cpu()
        p = select_output(raw, targets, "probability", model.returns).double().clamp(min=CALLED_IMPOSSIBLE)
        found[row] = (p.log2() - prior[targets]).mean()
    return found
