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
from xaibench.core.features import GRAPH_KINDS
from xaibench.core.graphs import TARGET_NODE
from xaibench.core.groups import explain_groups, predict_groups
from xaibench.core.problem import ProblemView
from xaibench.core.raw_rows import RawRows
from xaibench.core.registry import explainer
from xaibench.explainers.ablation import feature_ablation
from xaibench.explainers.engines.graph_structure import GraphStructure
from xaibench.explainers.engines.smooth_noise import smooth_noise
from xaibench.explainers.gradients import integrated_gradients
from xaibench.explainers.graph_controls import degree, distance


@explainer("random", kind="contribution", control=True)
def random(problem: ProblemView, *, draws: Draws) -> Tensor:
    """Numbers from N(0, 1), independent of everything."""
    return draws.normal(problem.layout.feature_shape)


@explainer("random_smooth", kind="contribution", control=True, version=2)
def random_smooth(problem: ProblemView, *, draws: Draws) -> Tensor:
    """Numbers from N(0, 1), blurred: as smooth as explanations are, and as meaningless as `random`.

    Images and volumes are blurred along all sides and series along time, by an eighth of the side (at least one
    step); neighbouring columns of a table are averaged with a standard deviation of one column. The spread is the
    same everywhere, at the border as in the middle. Of a graph it is noise on nodes, averaged once over neighbours,
    and for an edge the mean of its ends.
    """
    if problem.layout.kind in GRAPH_KINDS:
        graph = GraphStructure.of(problem.context, problem.inputs, problem.layout)
        return graph.of_features(graph.neighbour_means(draws.normal((graph.n_nodes,))), problem.layout, "mean")
    shape, axes = problem.layout.feature_shape, problem.layout.neighbour_axes
    if axes:
        return smooth_noise(draws, shape, axes, sigma=max(1.0, min(shape[axis] for axis in axes) / 8))
    return smooth_noise(draws, shape, [0], sigma=1.0)


@explainer("other_sample", kind="contribution", needs={"background"}, control=True)
def other_sample(problem: ProblemView, *, draws: Draws) -> Tensor:
    """The map of another sample: it looks like an explanation and explains nothing.

    A background row is drawn for every sample and explained for the class that the model predicts
    there (a value, or a class and its foil, as for the sample itself): by integrated gradients, or by feature
    ablation where the model has no gradients. Where samples have different lengths, the map of one is stretched to the
    length of the other; of graphs both lists are put in the order of distance from the target node and of degree, and
    numbers go from place to place.

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
    """Maps (N, *feature_shape) of reference samples, stretched: place ``j`` of ``n`` has what ``j n_other / n`` has.

    Of graphs, places are those in the order of `GraphStructure.order`.
    """
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
    if "gradients" in problem.model.provides:
        maps = explain_groups(view, integrated_gradients)
    elif problem.layout.kind == "tokens":
        maps = explain_groups(view, lambda group: feature_ablation(group, masker=group.token_masker))
    else:
        maps = explain_groups(view, feature_ablation)
    n = problem.layout.feature_shape[0]
    place = torch.arange(n, device=maps.device) * sizes.unsqueeze(1) // n
    if problem.layout.kind in GRAPH_KINDS:
        # Place of every own feature in its order, then what is at the corresponding place of the other graph.
        own = GraphStructure.of(problem.context, problem.inputs, problem.layout).order(problem.layout.kind)
        others = explain_groups(view, _in_order).long().view(len(maps), maps.shape[1], -1)[:, :, 0]
        place = others.gather(1, place).gather(1, own.argsort(dim=1))
    place = place.view(len(maps), n, *(1,) * (maps.ndim - 2)).expand(-1, -1, *maps.shape[2:])
    return maps.gather(1, place)


def _in_order(graphs: ProblemView) -> Tensor:
    """Which edge or node (N, *feature_shape) stands at every place of the order of its graph, as a number."""
    order = GraphStructure.of(graphs.context, graphs.inputs, graphs.layout).order(graphs.layout.kind)
    shape = graphs.layout.feature_shape
    return order.view(*order.shape, *(1,) * (len(shape) - 1)).expand(-1, -1, *shape[1:]).float()


@explainer("constant", kind="contribution", control=True)
def constant(problem: ProblemView) -> Tensor:
    """The same attribution, 1, for every feature."""
    return torch.ones(len(problem), *problem.layout.feature_shape, device=problem.inputs.device)


@explainer("input_edges", kind="saliency", control=True, uses_background=True)
def input_edges(
    problem: ProblemView, *, operator: Literal["sobel", "laplace", "none", "difference"] = "sobel"
) -> Tensor:
    """Edges of an image, or distances of values from their mean: computed from the input, not from the model.

    Sobel gradient magnitude of an image, summed over channels; distance from the background's mean
    (without one, from the sample's own) elsewhere; of a category the share of background rows with another one. Of a
    graph the best known placebo of its structure: `degree`, and `distance` where a node is explained.

    Parameters
    ----------
    operator : {"sobel", "laplace", "none", "difference"}
        For images: the gradient's magnitude, that of the Laplacian (four neighbours), or that of
        the pixel itself. For series ``difference``: the magnitude of the change from the step before, 0 at the first.

    Raises
    ------
    UnsupportedError
        If differences along time are asked for, and the data are not series.
    """
    layout, inputs = problem.layout, problem.inputs
    if operator == "difference":
        if layout.kind != "series":
            raise UnsupportedError(f"differences are along the time of a series, and this is {layout.kind} data")
        time = 1 + layout.neighbour_axes[0]
        changes = inputs.diff(dim=time).abs()
        return torch.cat([torch.zeros_like(inputs.narrow(time, 0, 1)), changes], dim=time)
    if layout.kind in GRAPH_KINDS:
        return degree(problem) if TARGET_NODE not in problem.context else distance(problem)
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
    """Masks are unsigned, weights are slopes; a mask goes first, as ground-truth metrics are about masks.

    Exact contributions, and signs of evidence, are contributions.
    """
    truth = problem.truth
    if truth is None or truth.mask is not None:
        return "saliency"
    return "slope" if truth.weights is not None else "contribution"


@explainer("oracle", kind=truth_attribution_kind, needs={"truth"}, control=True)
def oracle(problem: ProblemView) -> Tensor:
    """The ground truth itself: the mask as 0 and 1, the weights of a linear model, exact contributions, or signs.

    Raises
    ------
    UnsupportedError
        If the problem has no ground truth.
    """
    found = None if problem.truth is None else problem.truth.shown
    if found is None:
        raise UnsupportedError("oracle needs ground truth", "pass truth=, a mask or weights")
    return found.to(device=problem.inputs.device, dtype=problem.inputs.dtype)
