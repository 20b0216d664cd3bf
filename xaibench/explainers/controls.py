"""Controls: placebos that cannot explain anything (random maps, a constant, input edges) and the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from xaibench.core.components import AttributionKind
from xaibench.core.context import context_rows
from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout
from xaibench.core.groups import explain_groups, predict_groups
from xaibench.core.masking.maskers import gaussian_blur
from xaibench.core.problem import ProblemView
from xaibench.core.raw_rows import RawRows
from xaibench.core.registry import explainer
from xaibench.explainers.ablation import feature_ablation
from xaibench.explainers.gradients import integrated_gradients


@explainer("random", kind="contribution", control=True)
def random(problem: ProblemView, *, draws: Draws) -> Tensor:
    """Numbers from N(0, 1), independent of everything."""
    return draws.normal(problem.layout.feature_shape)


@explainer("random_smooth", kind="contribution", control=True)
def random_smooth(problem: ProblemView, *, draws: Draws) -> Tensor:
    """Numbers from N(0, 1), blurred: as smooth as explanations are, and as meaningless as `random`.

    Images and volumes are blurred along all sides and series along time, by an eighth of the side (at least one
    step); neighbouring columns of a table are averaged with a standard deviation of one column.
    """
    noise = draws.normal(problem.layout.feature_shape)
    sides = [problem.layout.feature_shape[axis] for axis in problem.layout.neighbour_axes]
    if sides:
        return gaussian_blur(noise, problem.layout, sigma=max(1.0, min(sides) / 8))
    return gaussian_blur(noise, FeatureLayout("series", problem.layout.feature_shape), sigma=1.0)


@explainer("other_sample", kind="contribution", needs={"background"}, control=True)
def other_sample(problem: ProblemView, *, draws: Draws) -> Tensor:
    """The map of another sample: it looks like an explanation and explains nothing.

    A background row is drawn for every sample and explained for the class that the model predicts
    there (a value, or a class and its foil, as for the sample itself): by integrated gradients, or by feature
    ablation where the model has no gradients. Where samples have different lengths, the map of one is stretched to the
    length of the other.

    Raises
    ------
    UnsupportedError
        If the problem has no background.
    """
    if problem.references is not None:
        return _stretched(problem, problem.references, draws)
    if problem.background is None:
        raise UnsupportedError("other_sample needs a background", "pass background=, reference samples")
    rows = draws.integers(len(problem.background))
    others = problem.background[rows]
    targets = _targets_of_others(problem, problem.predict_background(others, rows))
    view = problem.take(slice(None), others, context=context_rows(problem.background_context, rows))
    view = replace(view, targets=targets)
    return integrated_gradients(view) if "gradients" in problem.model.provides else feature_ablation(view)


def _targets_of_others(problem: ProblemView, outputs: Tensor) -> Tensor:
    """What is explained of other samples with these outputs (N, C): the class that is predicted, where there are some.

    Of values, and where a class is contrasted with a foil, the question of the sample itself.
    """
    same = problem.foils is not None or problem.model.returns == "value"
    return problem.targets if same else outputs.argmax(dim=1)


def _stretched(problem: ProblemView, references: RawRows, draws: Draws) -> Tensor:
    """Maps (N, *feature_shape) of reference samples, stretched: place ``j`` of ``n`` has what ``j n_other / n`` has."""
    rows = draws.integers(len(references.values))
    sizes, context = references.sizes[rows], context_rows(references.context, rows)
    raw = references.values[rows]
    outputs = predict_groups(problem.model, raw, sizes, references.layout, context or None)
    view = ProblemView(
        problem.model,
        raw,
        _targets_of_others(problem, outputs),
        references.layout,
        problem.output,
        problem.digests,
        seed=problem.seed,
        foils=problem.foils,
        context=context,
        sizes=sizes,
        references=references,
    )
    if problem.model.module is not None:
        maps = explain_groups(view, integrated_gradients)
    elif problem.layout.kind == "tokens":
        maps = explain_groups(view, lambda group: feature_ablation(group, masker=group.token_masker))
    else:
        maps = explain_groups(view, feature_ablation)
    n = problem.layout.feature_shape[0]
    place = torch.arange(n, device=maps.device) * sizes.unsqueeze(1) // n
    place = place.view(len(maps), n, *(1,) * (maps.ndim - 2)).expand(-1, -1, *maps.shape[2:])
    return maps.gather(1, place)


@explainer("constant", kind="contribution", control=True)
def constant(problem: ProblemView) -> Tensor:
    """The same attribution, 1, for every feature."""
    return torch.ones(len(problem), *problem.layout.feature_shape, device=problem.inputs.device)


@explainer("input_edges", kind="saliency", control=True, uses_background=True)
def input_edges(problem: ProblemView, *, operator: Literal["sobel", "laplace", "none"] = "sobel") -> Tensor:
    """Edges of an image, or distances of values from their mean: computed from the input, not from the model.

    Sobel gradient magnitude of an image, summed over channels; distance from the background's mean
    (without one, from the sample's own) elsewhere; of a category the share of background rows with another one.

    Parameters
    ----------
    operator : {"sobel", "laplace", "none"}
        For images: the gradient's magnitude, that of the Laplacian (four neighbours), or that of
        the pixel itself.
    """
    layout, inputs = problem.layout, problem.inputs
    if layout.kind != "image":
        if problem.background is None:
            return layout.reduce((inputs - problem.baseline("mean")).abs())
        found = layout.reduce((inputs - problem.background.mean(dim=0)).abs())
        for feature in layout.categorical:
            columns = list(layout.columns[feature])
            same = (problem.background[:, columns] == inputs[:, columns].unsqueeze(1)).all(dim=2)
            found[:, feature] = 1 - same.to(found).mean(dim=1)
        return found
    if operator == "none":
        return layout.reduce(inputs.abs())
    planes = inputs.reshape(-1, 1, *layout.feature_shape)
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], dtype=inputs.dtype, device=inputs.device)
    around = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=inputs.dtype, device=inputs.device)
    kernels = torch.stack([across, across.T] if operator == "sobel" else [around]).unsqueeze(1)
    edges = functional.conv2d(functional.pad(planes, (1, 1, 1, 1), mode="replicate"), kernels)
    return layout.reduce(edges.square().sum(dim=1).sqrt().view_as(inputs))


def truth_attribution_kind(problem: ProblemView) -> AttributionKind:
    """Masks are unsigned, weights are slopes; a mask goes first, as ground-truth metrics are about masks."""
    truth = problem.truth
    if truth is not None and truth.mask is None and truth.weights is None and truth.contributions is not None:
        return "contribution"
    by_weights = truth is not None and truth.mask is None
    return "slope" if by_weights else "saliency"


@explainer("oracle", kind=truth_attribution_kind, needs={"truth"}, control=True)
def oracle(problem: ProblemView) -> Tensor:
    """The ground truth itself: the mask as 0 and 1, the weights of a linear model, or contributions against zero.

    Raises
    ------
    UnsupportedError
        If the problem has no ground truth.
    """
    truth = problem.truth
    found = None if truth is None else (truth.mask if truth.mask is not None else truth.weights)
    if found is None and truth is not None and truth.contributions is not None:
        found = truth.contributions["zero"]
    if found is None:
        raise UnsupportedError("oracle needs ground truth", "pass truth=, a mask or weights")
    return found.to(device=problem.inputs.device, dtype=problem.inputs.dtype)
