"""Repair of a confounded model: the region that an explanation accuses is randomised, and the model trained again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.core.retraining import Retraining, retraining_seed, variant
from xaibench.core.types import Array
from xaibench.metrics.engines.explained_rows import retraining_of
from xaibench.metrics.engines.pairs import true_labels
from xaibench.metrics.maps.masks import true_mask


@metric(
    "repair_accuracy",
    family="ground_truth",
    construct="repair",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"image", "truth.mask", "truth.distractors", "retrain", "labels"},
    scope="dataset",
    sign="absolute",
    source="after Ross, Hughes & Doshi-Velez 2017, Right for the right reasons; Schramowski et al. 2020, Making deep "
    "neural networks right for the right scientific reasons by interacting with their explanations",
)
def repair_accuracy(ev: Evaluation, *, cell: PositiveInt = 4, n_retrainings: PositiveInt = 3) -> Tensor:
    """Accuracy without the cue, after the model was trained again with the most suspicious cell made useless.

    The image is cut into cells. The one with the largest mean magnitude, over all samples and over its places outside
    the object (the cue and the distractors), is accused. Its content is exchanged at random between the training
    images, and the recipe is fitted again. The score is the accuracy on the samples after the contents of the true
    masks are exchanged between them: high if the cue was accused, as low as before if something else was. What is
    compared is the choice of a cell, not the map.

    Parameters
    ----------
    cell : int
        Side of a cell, in pixels; what remains at the lower and right edges belongs to none.
    n_retrainings : int
        Seeds of the training and of the exchanges, one score each.

    Returns
    -------
    Tensor (n_retrainings,)
        NaN where a map is not finite, or there is no place outside the object.

    Raises
    ------
    UnsupportedError
        If the data are not images, or the model is not a classifier or cannot be fitted again.
    """
    if ev.layout.kind != "image":
        raise UnsupportedError(f"cells are of images, and this is {ev.layout.kind} data")
    retraining = retraining_of(ev)
    accused = _accused(ev, cell)
    if accused is None:
        return torch.full((n_retrainings,), torch.nan)
    return torch.tensor([_after(ev, retraining, accused, repeat) for repeat in range(n_retrainings)])


def _accused(ev: Evaluation, cell: int) -> Array | None:
    """Places (H, W) of the cell with the largest mean magnitude outside the object; of equal ones a keyed draw."""
    assert ev.truth is not None
    assert ev.truth.distractors is not None
    height, width = ev.layout.feature_shape
    outside = (true_mask(ev) | ev.truth.distractors.to(ev.attributions.device).flatten(1).bool()).double()
    magnitude = ev.attributions.flatten(1).double().abs() * outside
    if not bool(torch.isfinite(magnitude).all()) or cell > min(height, width):
        return None
    total, places = (
        functional.avg_pool2d(values.sum(dim=0).view(1, 1, height, width), cell).flatten()
        for values in (magnitude, outside)
    )
    if not bool((places > 0).any()):
        return None
    mean = torch.where(places > 0, total / places, -torch.inf)
    best = (mean == mean.max()).nonzero().flatten().cpu().numpy()
    chosen = int(np.random.default_rng(retraining_seed("equal cells", ev.seed)).choice(best))
    row, column = divmod(chosen, width // cell)
    found = np.zeros((height, width), dtype=bool)
    found[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = True
    return found


def _after(ev: Evaluation, retraining: Retraining, accused: Array, repeat: int) -> float:
    """Accuracy on samples with exchanged cues of a model that was fitted to exchanged contents of a cell."""
    data = retraining.data
    train = exchanged(data.train_inputs, accused[None], np.random.default_rng(retraining_seed("cell", ev.seed, repeat)))
    model = retraining.fit(variant(data, train_inputs=train), retraining_seed("repair", ev.seed, repeat))
    cues = true_mask(ev).view(-1, *ev.layout.feature_shape).cpu().numpy()
    rng = np.random.default_rng(retraining_seed("cue", ev.seed, repeat))
    shown = torch.from_numpy(exchanged(ev.inputs.cpu().numpy(), cues, rng)).to(ev.inputs)
    return float((replace(ev, model=model).predict(shown).argmax(dim=1) == true_labels(ev)).double().mean())


def exchanged(images: Array, places: Array, rng: np.random.Generator) -> Array:
    """Images (N, C, H, W) with the contents of each other, in random order, at places (1 or N, H, W) of bool."""
    found: Array = np.where(places[:, None], images[rng.permutation(len(images))], images)
    return found
