"""Sanity: an explanation must change when the model, or the class it explains, changes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import require_module
from xaibench.core.registry import metric
from xaibench.metrics.randomize import Direction, Mode, random_weights, randomised_models
from xaibench.metrics.similarity import SIMILARITIES

Similarity = Literal["spearman", "abs_spearman", "pearson"]
MPRT_VERSION = 1


@metric(
    "mprt",
    family="sanity",
    higher_is_better=False,
    bounds=(-1, 1),
    version=MPRT_VERSION,
    needs={"module", "reexplain"},
    source="Adebayo et al. 2018, Sanity checks for saliency maps, section 3 (model parameter randomisation test)",
)
def mprt(
    ev: Evaluation,
    *,
    mode: Mode = "cascade",
    order: Direction = "top_down",
    similarity: Similarity = "spearman",
) -> Tensor:
    """Mean similarity of the explanation to those of the model with randomised layers.

    Every layer with parameters or buffers is one step; its new weights are drawn by its name from
    the seed of the evaluation, the same for all explainers. The explanation of the trained model
    is not compared with itself. A low score is necessary, not sufficient: random maps score 0.

    Parameters
    ----------
    mode : {"cascade", "independent"}
        Layers stay randomised as the next one follows, or one at a time is.
    order : {"top_down", "bottom_up"}
        From the output to the input, or the other way round.
    similarity : {"spearman", "abs_spearman", "pearson"}

    Returns
    -------
    Tensor (N,)
        NaN where a map, original or of a randomised model, is constant.
    """
    predictor = require_module(ev.model)
    weights = ev.shared.get(("mprt", MPRT_VERSION, ev.seed), lambda: random_weights(predictor.module, ev.seed))
    compare = SIMILARITIES[similarity]
    original = ev.attributions.flatten(1)
    scores = [
        compare(original, ev.explain(model=randomised).flatten(1))
        for randomised in randomised_models(predictor, ev.inputs[:1], weights, mode, order)
    ]
    if not scores:
        raise UnsupportedError("the model has no weights to randomise")
    return torch.stack(scores).mean(dim=0)


@metric(
    "random_logit",
    family="sanity",
    higher_is_better=False,
    bounds=(-1, 1),
    needs={"reexplain"},
    source="Sixt et al. 2020, When explanations lie, section 4 (random logit)",
)
def random_logit(ev: Evaluation, *, similarity: Similarity = "spearman") -> Tensor:
    """Similarity of the explanations of the target and of another class, drawn per sample.

    Parameters
    ----------
    similarity : {"spearman", "abs_spearman", "pearson"}

    Returns
    -------
    Tensor (N,)
        NaN where one of the maps is constant.

    Raises
    ------
    UnsupportedError
        If the model has a single output.
    """
    n_classes = ev.model.predict(ev.inputs[:1]).shape[1]
    if n_classes < 2:
        raise UnsupportedError("the model has one output, so there is no other class to explain")
    step = 1 + ev.draws("random_logit").integers(n_classes - 1).to(ev.targets.device)
    other = ev.explain(targets=(ev.targets + step) % n_classes)
    return SIMILARITIES[similarity](ev.attributions.flatten(1), other.flatten(1))
