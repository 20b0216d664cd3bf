"""Predictive power of a set of features: the accuracy of a new model trained and tested on these features only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import torch
from annotated_types import Gt, Le, Lt, MinLen
from torch import Tensor

from xaibench.core.components import Convert
from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.retraining import retraining_seed, variant
from xaibench.core.storage.cache import MemoryCache
from xaibench.core.types import Array
from xaibench.metrics.engines.explained_rows import Targets, chosen_rows, explained, retraining_of
from xaibench.metrics.maps.orders import OrderSign, ranked, ranks_of

SharesBelowOne = Annotated[tuple[Annotated[float, Gt(0), Lt(1)], ...], MinLen(1)]
HalfShares = Annotated[tuple[Annotated[float, Gt(0), Le(0.5)], ...], MinLen(1)]
Selector = Callable[[Tensor, int], Tensor]
"""From the places of features (n, F), 0 the most important, and a number of features to which of them stay."""


def top(place: Tensor, count: int) -> Tensor:
    """Only the most important features."""
    return place < count


def all_but_top(place: Tensor, count: int) -> Tensor:
    """All but the most important features."""
    return place >= count


def bottom(place: Tensor, count: int) -> Tensor:
    """Only the least important features."""
    return place >= place.shape[1] - count


def predictive_power(
    ev: Evaluation,
    selected: Sequence[tuple[Selector, float]],
    masker: str | None,
    sign: OrderSign,
    target: Targets,
    n_retrainings: int,
    recipe: str | None,
    max_train: int,
    max_test: int,
) -> Tensor:
    """Test accuracy of models fitted to data in which only some features are left.

    Parameters
    ----------
    ev : Evaluation
    selected : sequence of (function, float)
        Which features are left, and the share that they are counted by.
    masker : str or None
        What the others are set to; its background is that of ``ev``, or the training data. None: the
        model gets the mask, 1 and 0, instead of values.
    sign : {"signed", "absolute"}
        Order features by their attributions or the magnitudes of these.
    target : {"predicted", "label"}
        What is explained.
    n_retrainings : int
        Seeds, the same for every data set.
    recipe : str or None
    max_train, max_test : int

    Returns
    -------
    Tensor (n_retrainings, len(selected))
        NaN if any attribution is not finite.

    Raises
    ------
    UnsupportedError
        If there is a single feature: no share of it can be removed.
    """
    retraining = retraining_of(ev)
    if ev.layout.n_features < 2:
        raise UnsupportedError("a share of the features cannot be removed where there is only one")
    train, test = explained(ev, "train", max_train, target), explained(ev, "test", max_test, target)
    power = torch.full((n_retrainings, len(selected)), torch.nan)
    if not all(bool(torch.isfinite(part.attributions).all()) for part in (train, test)):
        return power
    if ev.background is None:
        # A sample's own mean, which maskers then fill in, would still hold what was removed.
        # Their caches may hold maskers of other rows.
        train, test = (
            replace(part, background=train.inputs, background_context=train.context, cache=MemoryCache())
            for part in (train, test)
        )
    n_features, whole = ev.layout.n_features, retraining.data
    for column, (stays, share) in enumerate(selected):
        count = min(max(1, round(share * n_features)), n_features - 1)
        data = variant(
            whole,
            train_inputs=_masked(train, stays(_places(train, sign), count), masker),
            train_targets=whole.train_targets[chosen_rows(len(whole.train_targets), max_train)],
            train_context={name: values.cpu().numpy() for name, values in train.context.items()},
            test_inputs=_masked(test, stays(_places(test, sign), count), masker),
            test_targets=whole.test_targets[chosen_rows(len(whole.test_targets), max_test)],
            test_context={name: values.cpu().numpy() for name, values in test.context.items()},
        )
        for row in range(n_retrainings):
            fitted = retraining.fit(data, retraining_seed("masked", ev.seed, row), recipe=recipe)
            power[row, column] = _accuracy(fitted, data)
    return power


def _places(part: Evaluation, sign: OrderSign) -> Tensor:
    """Place of every feature (n, F), 0 the most important, ties broken by keyed draws."""

    return ranks_of(ranked(part, sign))


def _masked(part: Evaluation, keep: Tensor, masker: str | None) -> Array:
    """Inputs with only these features (n, F), or the features themselves as 1 and 0: array (n, *input_shape)."""
    keep = keep.view(-1, *part.layout.feature_shape)
    if masker is None:
        return part.layout.expand(keep).expand_as(part.inputs).to(torch.float32).cpu().numpy()
    # As data sets hold them: float64 would keep the rounding of the fill in a column that is masked nearly everywhere.
    return part.masker(masker)(part.inputs, keep).to(torch.float32).cpu().numpy()


def _accuracy(fitted: Predictor, data: Data) -> float:
    predicted = predict_raw(fitted, data.test_inputs, data.test_context).argmax(dim=1).cpu()
    return float((predicted == torch.from_numpy(data.test_targets)).double().mean())


def _convert(params: Mapping[str, object]) -> Convert | None:
    """Signed values order features only once slopes have become contributions; magnitudes do as they are."""
    return "order" if params["sign"] == "signed" else None
