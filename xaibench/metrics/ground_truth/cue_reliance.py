"""Whether explanations show how much models rely on a cue, where a swap of the cue has measured it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.outputs import require_classes
from xaibench.core.registry import metric
from xaibench.metrics.engines.pairs import only_pair, pair_maps
from xaibench.metrics.maps.masks import EvidenceSign, mass_inside
from xaibench.metrics.maps.similarity import spearman

_LEAST_MODELS = 3
"""Models below which a rank correlation over them says nothing."""
_SERIES, _SWAPPED = "model_pair.series", "input_pair.swapped"
_SOURCE = (
    "after Adebayo et al. 2022, Post hoc explanations may be ineffective for detecting unknown spurious correlation"
)


class _Member(NamedTuple):
    """Of one model: share of decisions that follow the other cue, and of its explanations on the cue, above chance."""

    reliance: float
    shown: float


@metric(
    "reliance_correlation",
    family="ground_truth",
    construct="cue_reliance",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={_SERIES, _SWAPPED, "reexplain", "truth.mask"},
    scope="dataset",
    sign="absolute",
    source=_SOURCE,
    undefined_for={"some inputs"},
)
def reliance_correlation(ev: Evaluation, *, sign: EvidenceSign = "absolute") -> Tensor:
    """Rank correlation over models between how much they rely on a cue and how much of their explanations lies on it.

    The reliance of a model is the share of the samples for which it says the label of ``input_pair.swapped``: the
    decision follows the cue. (Where there are no such labels, the share of decisions that are others.) Explanations
    are of the samples as they are, with the cue in its place.

    Of two classes the accuracy without a cue that tells anything is ``(accuracy + 1 - reliance) / 2``: an
    explanation of data like the training data that scores 1 also puts models in the order of how they fail on data
    without the cue.

    Parameters
    ----------
    sign : {"absolute", "positive"}
        Which attributions count.

    Returns
    -------
    Tensor (1,)
        Spearman's correlation over the models of the series. NaN with fewer than three models, where all rely on the
        cue equally, where maps do not depend on the model, where a map has no mass, and where everything is the cue.

    Raises
    ------
    UnsupportedError
        If the model has no classes.
    """
    found = _members(ev, sign)
    reliance, shown = (torch.tensor([column], dtype=torch.float64) for column in zip(*found, strict=True))
    if len(found) < _LEAST_MODELS or not bool(torch.isfinite(shown).all()):
        return torch.full((1,), torch.nan)
    return spearman(reliance, shown)


@metric(
    "reliance_error",
    family="ground_truth",
    construct="cue_reliance",
    higher_is_better=False,
    bounds=(0, 1),
    needs={_SERIES, _SWAPPED, "reexplain", "truth.mask"},
    scope="dataset",
    sign="absolute",
    source=_SOURCE,
    ranks=False,
)
def reliance_error(ev: Evaluation, *, sign: EvidenceSign = "absolute") -> Tensor:
    """Mean difference over models between the reliance on a cue and the share of their explanations on it.

    Reliance as in `reliance_correlation`; the share is the mass on the cue beyond the cue's share of the features,
    ``max(0, mass - area) / (1 - area)``. Nothing is ranked by it: a share of a map and a share of decisions need not be
    the same number even for an exact explanation, but a reader takes the one for the other.

    Parameters
    ----------
    sign : {"absolute", "positive"}
        Which attributions count.

    Returns
    -------
    Tensor (1,)
        NaN where a map has no mass, and where everything is the cue.

    Raises
    ------
    UnsupportedError
        If the model has no classes.
    """
    found = _members(ev, sign)
    return torch.tensor([sum(abs(one.reliance - one.shown) for one in found) / len(found)], dtype=torch.float64)


def _members(ev: Evaluation, sign: EvidenceSign) -> list[_Member]:
    """What is known of every model of the series, once per explanation."""

    def look() -> list[_Member]:
        require_classes(ev.model.returns, "this metric compares predicted classes")
        swapped = only_pair(ev, _SWAPPED)
        other = ev.inputs if swapped.inputs is None else swapped.inputs
        rows, context = slice(0, len(other)), ev.context if swapped.context is None else swapped.context
        assert ev.truth is not None
        assert ev.truth.mask is not None
        area = float(ev.truth.mask.double().mean())
        found = []
        for number, pair in enumerate(ev.pairs[_SERIES]):
            own = pair.model is None
            model = ev.model if pair.model is None else pair.model()
            maps = ev.attributions if own else pair_maps(ev, pair, f"{_SERIES}/{number}")
            asked = replace(ev, model=model)
            said = replace(asked, context=context).predict(other, rows).argmax(dim=1)
            if swapped.labels is None:
                follows = said != asked.predict(ev.inputs[rows], rows).argmax(dim=1)
            else:
                follows = said == swapped.labels.to(said.device)
            mass = float(mass_inside(ev.with_attributions(maps, ev.kind), sign).mean())
            shown = mass if mass != mass else max(0.0, mass - area) / (1 - area)
            found.append(_Member(float(follows.double().mean()), shown))
        return found

    found: list[_Member] = ev.reuse(f"cue reliance/{sign}", look)
    return found
