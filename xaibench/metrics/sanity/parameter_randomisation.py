"""Model parameter randomisation test (Adebayo et al. 2018; Hedström et al. 2024): random weights, another map."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.context import context_rows
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.predictor import TorchPredictor, require_module
from xaibench.core.registry import metric
from xaibench.metrics.engines.perturbation import Block, Perturbations
from xaibench.metrics.engines.random_weights import (
    Direction,
    RandomisationMode,
    random_weights,
    randomised_models,
    with_weights,
)
from xaibench.metrics.maps.histogram import BinRule, entropy, n_bins
from xaibench.metrics.maps.similarity import Similarity, similarity_to

MPRT_VERSION = 1


@metric(
    "mprt",
    family="sanity",
    construct="random_weights",
    higher_is_better=False,
    bounds=(-1, 1),
    version=MPRT_VERSION,
    needs={"module", "reexplain"},
    source="Adebayo et al. 2018, Sanity checks for saliency maps, section 3 (model parameter randomisation test)",
    undefined_for={"zero maps", "constant maps"},
    place_matters=True,  # random weights belong to places
)
def mprt(
    ev: Evaluation,
    *,
    mode: RandomisationMode = "cascade",
    order: Direction = "top_down",
    similarity: Similarity = "spearman",
) -> Tensor:
    """Mean similarity of the explanation to those of the model with randomised layers.

    Every layer with parameters or buffers is one step; its new weights are drawn by its name from
    the seed of the evaluation, the same for all explainers. The explanation of the trained model
    is not compared with itself. A low score is necessary, not sufficient: noise redrawn for
    every model scores 0. The control `random` keeps its draws, and scores 1 as any map that never
    looks at the model does.

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
        NaN where a map, original or of a randomised model, is constant or not finite.
    """
    compare = similarity_to(ev.attributions.flatten(1), similarity)
    return _mean(compare(ev.explain(ExplainRequest(model=model)).flatten(1)) for model in _randomised(ev, mode, order))


@metric(
    "smooth_mprt",
    family="sanity",
    construct="random_weights",
    higher_is_better=False,
    bounds=(-1, 1),
    needs={"module", "reexplain"},
    source="Hedström et al. 2024, A fresh look at sanity checks for saliency maps, smooth MPRT",
    place_matters=True,  # random weights belong to places
)
def smooth_mprt(
    ev: Evaluation,
    *,
    mode: RandomisationMode = "cascade",
    order: Direction = "bottom_up",
    similarity: Similarity = "spearman",
    radius: PositiveFloat = 0.1,
    n_samples: PositiveInt = 10,
) -> Tensor:
    """As `mprt`, for explanations averaged over noisy inputs, so that the noise of gradients does not count as change.

    Both sides of a comparison are means over ``n_samples`` inputs with Gaussian noise, the same
    noise for every model and every explainer. The explanation of the input itself plays no part.

    Parameters
    ----------
    mode : {"cascade", "independent"}
        Layers stay randomised as the next one follows, or one at a time is.
    order : {"top_down", "bottom_up"}
        From the output to the input, or the other way round.
    similarity : {"spearman", "abs_spearman", "pearson"}
    radius : float
        Standard deviation of the noise, in input units (the authors take a tenth of the sample's range).
    n_samples : int
        Noisy inputs per sample (50 in the authors' ImageNet experiments).

    Returns
    -------
    Tensor (N,)
        NaN where a mean map, original or of a randomised model, is constant or not finite.
    """
    original: Tensor = ev.reuse(f"smooth/{radius}/{n_samples}", lambda: _smoothed(ev, None, radius, n_samples))
    compare = similarity_to(original, similarity)
    return _mean(compare(_smoothed(ev, model, radius, n_samples)) for model in _randomised(ev, mode, order))


@metric(
    "efficient_mprt",
    family="sanity",
    construct="random_weights",
    higher_is_better=True,
    bounds=(-1, None),
    needs={"module", "reexplain"},
    source="Hedström et al. 2024, A fresh look at sanity checks for saliency maps, efficient MPRT",
    undefined_for={"zero maps", "constant maps"},
    place_matters=True,  # random weights belong to places
)
def efficient_mprt(ev: Evaluation, *, bins: PositiveInt | BinRule = 100) -> Tensor:
    """Relative rise of the explanation's entropy when every weight of the model is random.

    ``(H(phi_random) - H(phi)) / H(phi)``, where H is the entropy of a histogram of the signed map
    over its own range. The number of bins is fixed once, by the original map, per sample. A random
    model should have a more complex explanation; that of a method that shows the input stays. A map
    of fewer features than bins is hardly measured: where all its values are distinct, H is the
    logarithm of their number, whatever they are.

    Parameters
    ----------
    bins : int or {"freedman_diaconis", "scott", "sqrt", "sturges", "rice"}
        A fixed number, or a rule, whose result is clipped to between 10 and 200.

    Returns
    -------
    Tensor (N,)
        NaN where the original histogram has a single filled bin, as that of a constant map, and
        where the random model's map is not finite.
    """
    predictor = require_module(ev.model)
    weights = _weights(ev, predictor)
    random = ev.explain(ExplainRequest(model=with_weights(predictor, weights))).flatten(1)
    original = ev.attributions.flatten(1)
    counts = n_bins(original, bins)
    before, after = entropy(original, counts), entropy(random, counts)
    return torch.where(before > 0, (after - before) / before, torch.nan)


def _weights(ev: Evaluation, predictor: TorchPredictor) -> dict[str, Tensor]:
    """Random weights, the same for all explainers."""
    weights = ev.shared.get(("mprt", MPRT_VERSION, ev.seed), lambda: random_weights(predictor.module, ev.seed))
    if not weights:
        raise UnsupportedError("the model has no weights to randomise")
    return weights


def _randomised(ev: Evaluation, mode: RandomisationMode, order: Direction) -> Iterator[TorchPredictor]:
    predictor = require_module(ev.model)
    context = context_rows(ev.context, slice(0, 1))
    return randomised_models(predictor, ev.inputs[:1], _weights(ev, predictor), mode, order, context)


def _mean(scores: Iterator[Tensor]) -> Tensor:
    return torch.stack(list(scores)).mean(dim=0)


def _smoothed(ev: Evaluation, model: TorchPredictor | None, radius: float, n_samples: int) -> Tensor:
    """Mean explanation (N, F) of noisy inputs, float64."""
    ev.layout.require_quantities("noise")
    total = ev.attributions.new_zeros(ev.attributions.flatten(1).shape, dtype=torch.float64)

    def draw(block: Block) -> Tensor:
        return ev.layout.only_quantities(block.draws.normal((block.n_copies, *ev.layout.input_shape)), "noise")

    def add(block: Block, drawn: Tensor) -> None:
        inputs = block.copies_of(ev.inputs) + radius * drawn.flatten(0, 1)
        maps = ev.explain(ExplainRequest(model=model, inputs=inputs, rows=block.index))
        total[block.rows] += maps.view(block.n_samples, block.n_copies, -1).sum(dim=1, dtype=torch.float64)

    Perturbations(n_samples, "smooth_mprt", draw).over(ev, add)
    return total / n_samples
