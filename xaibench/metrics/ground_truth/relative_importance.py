"""Model contrast of BAM (Yang and Kim 2019): a region that one model needs and another does not.

All metrics rest on one number, the mean brightness of a region in a map that is drawn as a picture:
the positive part of the attributions, clipped at its 99th percentile, scaled to [0, 1]. Since every
map is scaled by itself, regions are compared as shares of what the map shows, not as amounts. A map
that is the same everywhere is as bright as can be everywhere, or black where it is nothing.

What a data set brings: metrics that compare models take the object as ``truth.mask``, those that
compare inputs (`relative_inputs`) as ``truth.distractors``. For the oracle each pair says in
``truth`` what is true of it: of a scene model, or of a sample without the object, that the scene
matters. What the oracle of a mask cannot say is how much, which is why not all metrics have skill.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.pairs import only_pair, own_is_right, pair_is_right, pair_maps, true_labels
from xaibench.metrics.maps.brightness import brightness, idle_region
from xaibench.metrics.maps.masks import true_mask
from xaibench.metrics.maps.similarity import spearman

LEAST_MODELS = 3
"""Models below which a rank correlation over them says nothing: that of two is always 1 or -1."""
PAPER = "Yang & Kim 2019, Benchmarking attribution methods with relative feature importance (BAM)"


@metric(
    "object_share",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask"},
    sign="positive",
    source=f"{PAPER}; g, the concept attribution",
    favours={"constant maps"},  # they are as bright as can be
)
def object_share(ev: Evaluation) -> Tensor:
    """Mean brightness of the true mask in the map drawn as a picture.

    In the picture negative values are 0; the smallest value is black (0), the 99th percentile of the map and
    all above it white (1), and linear in between. A constant map is white, an all-zero one black.

    A part of `model_contrast`, and no measure by itself: a constant map has 1, as the oracle has.

    Returns
    -------
    Tensor (N,)
        1 if all of the mask is as bright as the map gets. NaN where the mask is empty.
    """
    return brightness(ev.attributions, true_mask(ev))


@metric(
    "idle_object_share",
    family="ground_truth",
    higher_is_better=False,
    bounds=(0, 1),
    needs={"truth.distractors"},
    skill_valid=True,
    sign="positive",
    source=f"{PAPER}; g, the concept attribution, of a model that does not need the object",
    favours={"zero maps"},  # they are dark
)
def idle_object_share(ev: Evaluation) -> Tensor:
    """Mean brightness of the distractors in the map drawn as a picture: what the model does not need should be dark.

    Returns
    -------
    Tensor (N,)
        Brightness as in `object_share`. NaN where there are no distractors.
    """
    return brightness(ev.attributions, idle_region(ev))


@metric(
    "model_contrast",
    family="ground_truth",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"model_pair.contrast", "reexplain", "truth.mask", "labels"},
    skill_valid=True,
    sign="positive",
    source=f"{PAPER}; model contrast score (MCS)",
)
def model_contrast(ev: Evaluation, *, relative: bool = False) -> Tensor:
    """How much brighter the object is for the model that needs it than for the one that does not.

    ``g(f, x) - g(f', x)``, where f' is the contrasting model and g the brightness of the mask (see
    `object_share`) in the explanation of what each model says.

    Parameters
    ----------
    relative : bool
        ``(g - g') / (g + g')`` instead. A method that smears its maps over whole objects has a
        larger difference, since both shares grow; not so the ratio. Report both.

    Returns
    -------
    Tensor (N,)
        Maps that do not depend on the model score 0. NaN where one of the models is wrong, where
        another class than the label is explained, and for the ratio where both shares are 0.

    Raises
    ------
    UnsupportedError
        If it is not known what the other model should say.
    """
    pair = only_pair(ev, "model_pair.contrast")
    if pair.labels is None:
        raise UnsupportedError(
            "comparing two models where both are right needs the labels of the other model",
            "give the labels of model_pair.contrast",
        )
    mask = true_mask(ev)
    own, other = brightness(ev.attributions, mask), brightness(pair_maps(ev, pair, "model_pair.contrast/0"), mask)
    contrast = (own - other) / (own + other) if relative else own - other
    return torch.where(own_is_right(ev) & pair_is_right(ev, pair, "model_pair.contrast/0"), contrast, torch.nan)


@metric(
    "commonality_contrast",
    family="ground_truth",
    construct="commonality",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"model_pair.series", "reexplain", "truth.mask", "labels"},
    skill_valid=True,
    sign="positive",
    source=f"{PAPER}; relative model contrast score, first against last model",
)
def commonality_contrast(ev: Evaluation) -> Tensor:
    """How much brighter the object is for the model to which it says most than for the one to which it says least.

    ``g(first) - g(last)``, g as in `object_share`, of a series of models in the order of their
    levels; the level is how common the object is among the classes, and what is common to all
    classes says nothing. `model_contrast` with other models.

    Returns
    -------
    Tensor (N,)
        NaN where one of the two models is wrong, and where another class than the label is explained.

    Raises
    ------
    UnsupportedError
        If the models have no levels, or all the same.
    """
    series = _series(ev)
    first, last = series[0], series[-1]
    if first[0] == last[0]:
        raise UnsupportedError("the models of the series all have the same level", "give different levels")
    right = first[2] & last[2] & (ev.targets == true_labels(ev))
    return torch.where(right, first[1] - last[1], torch.nan)


@metric(
    "commonality_correlation",
    family="ground_truth",
    construct="commonality",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"model_pair.series", "reexplain", "truth.mask", "labels"},
    scope="dataset",
    sign="positive",
    source=f"{PAPER}; relative model contrast over all degrees of commonality",
)
def commonality_correlation(ev: Evaluation) -> Tensor:
    """Rank correlation between how little common the object is and how bright the models' explanations make it.

    Spearman's correlation over the models of a series between minus their level and the mean of g
    over the samples that all of them get right. The problem's own model takes part where the
    series says which level it has (`PairSource.level`); a level is never guessed.

    Returns
    -------
    Tensor (1,)
        NaN where maps do not depend on the model, with fewer than three models or no sample that
        all get right, and where a map is not finite.

    Raises
    ------
    UnsupportedError
        If the models have no levels.
    """
    series = _series(ev)
    right = torch.stack([ok for _, _, ok in series]).all(dim=0) & (ev.targets == true_labels(ev))
    if len(series) < LEAST_MODELS or not right.any():
        return torch.full((1,), torch.nan)
    levels = torch.tensor([[level for level, _, _ in series]], dtype=torch.float64)
    means = torch.stack([shares[right].mean() for _, shares, _ in series]).cpu()
    return spearman(-levels, means.unsqueeze(0))


def _series(ev: Evaluation) -> list[tuple[float, Tensor, Tensor]]:
    """Level, brightness of the mask (N,) and whether it is right (N,) for every model, by rising level."""
    mask = true_mask(ev)

    def look() -> Iterable[tuple[float, Tensor, Tensor]]:
        for number, pair in enumerate(ev.pairs["model_pair.series"]):
            if pair.level is None:
                raise UnsupportedError("a model of the series has no level", "give every one its level")
            name = f"model_pair.series/{number}"
            own = pair.model is None
            right = own_is_right(ev) if own else pair_is_right(ev, pair, name)
            maps = ev.attributions if own else pair_maps(ev, pair, name)
            yield pair.level, brightness(maps, mask), right

    found: list[tuple[float, Tensor, Tensor]] = ev.reuse(
        "pair/series", lambda: sorted(look(), key=lambda member: member[0])
    )
    return found
