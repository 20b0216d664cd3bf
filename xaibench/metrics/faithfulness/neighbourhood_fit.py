"""Local function approximation (Han et al. 2022): the loss of an explanation as a linear model around the sample.

Han, Srinivas, Lakkaraju (2022) show that many methods find the linear function that is nearest to the
model; they differ in where it should be near, and in what near means. So none is best everywhere,
and each should be in its own neighbourhood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.components import Convert
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.feature_effects import without_each
from xaibench.metrics.engines.perturbation import (
    Block,
    SharedCopies,
    clean_scores,
    fully_masked_scores,
    perturbation_blocks,
)

NEIGHBOURHOOD_FIT_VERSION = 1
"""Of the metric, and of what is in the shared cache."""
OfSlopes = Literal["gaussian", "gaussian_gradient", "point"]
OfContributions = Literal["uniform_path", "point_path", "binary_lime", "binary_shapley", "one_hot"]
Neighbourhood = OfSlopes | OfContributions


def _conversion(params: Mapping[str, Any]) -> Convert | None:
    return "contribution" if params["neighbourhood"] in get_args(OfContributions) else None


@metric(
    "neighbourhood_fit",
    family="faithfulness",
    higher_is_better=False,
    bounds=(0, None),
    version=NEIGHBOURHOOD_FIT_VERSION,
    accepts={"slope", "contribution"},
    convert=_conversion,
    source="Han, Srinivas, Lakkaraju 2022, Which explanation should I choose? A function approximation perspective, "
    "section 3",
    scale_invariant=False,
    shares_evaluations=True,
    favours={"zero maps"},  # saying nothing is better than saying something wrong
)
def neighbourhood_fit(
    ev: Evaluation,
    *,
    neighbourhood: Neighbourhood = "one_hot",
    n_samples: PositiveInt = 64,
    radius: PositiveFloat = 0.15,
    width: PositiveFloat = 0.25,
    masker: str = "zero",
) -> Tensor:
    """Expected loss of the linear function that the map stands for, near the sample, relative to a map of zeros.

    0 is a perfect fit, 1 is what saying nothing has, and more is worse than that. Each neighbourhood
    has the loss under which one method is the best linear function, and draws of its own:

    ================== ============================ ============================================ =============
    neighbourhood      around x, with baseline b    loss                                         best
    ================== ============================ ============================================ =============
    gaussian           x + e, e from N(0, radius^2) squared error of outputs, free intercept     C-LIME
    gaussian_gradient  the same                     squared error of gradients                   SmoothGrad
    point              x                            squared error of gradients                   gradient
    uniform_path       b + a (x - b), a from U(0,1) squared error of (x - b) * gradients         IG
    point_path         x                            squared error of (x - b) * gradients         input x grad.
    binary_lime        every feature x or b, 1 to 1 squared error of outputs, weighted by LIME's LIME
                                                    kernel, free intercept
    binary_shapley     coalitions drawn by the      squared error of outputs, exact at x and b   Shapley values
                       Shapley kernel
    one_hot            one feature at b             squared error of the drop of the output      occlusion
    ================== ============================ ============================================ =============

    In the first three a map is read as slopes, which act on steps from x; in the others as
    contributions, which act on unmasked features. Slopes times (x - b) are contributions, and
    contributions divided by it are slopes (0 where x = b: there a contribution says nothing). A map
    under the Shapley kernel must add up to f(x) - f(b), so what it lacks is shared by all features.
    All channels of a pixel move together.

    Parameters
    ----------
    neighbourhood : str
    n_samples : int
        Draws per sample, the same for all explainers and none of theirs; point, point_path and
        one_hot draw nothing.
    radius : float
        Standard deviation of Gaussian noise, in input units.
    width : float
        Of the exponential kernel of LIME on cosine distances.
    masker : str
        What gives the baseline b.

    Returns
    -------
    Tensor (N,)
        NaN where the output, or its gradient, does not vary in the neighbourhood.

    Raises
    ------
    UnsupportedError
        If gradients are matched and the model has none, or if features have several channels and
        slopes have to be turned into contributions, or the other way round.
    """
    maps = slopes_of(ev, masker) if neighbourhood in get_args(OfSlopes) else ev.attributions.flatten(1).double()
    if neighbourhood in ("gaussian_gradient", "point", "uniform_path", "point_path"):
        mean, spread = _gradients(ev, neighbourhood, n_samples, radius, masker)
        return _ratio((mean - maps).square().sum(dim=1) + spread, mean.square().sum(dim=1) + spread)
    clean = clean_scores(ev).double().unsqueeze(1)
    if neighbourhood == "one_hot":
        drops = clean - without_each(ev, masker).double()
        return _ratio((drops - maps).square().sum(dim=1), drops.square().sum(dim=1))
    if neighbourhood == "gaussian":
        return _free_fit(_noise(ev, n_samples, radius), ev, radius * maps)
    if neighbourhood == "binary_lime":
        return _free_fit(_coalitions(ev, neighbourhood, n_samples, masker), ev, maps, width)
    whole = clean - fully_masked_scores(ev, masker).double().unsqueeze(1)
    lacking = (whole - maps.sum(dim=1, keepdim=True)) / maps.shape[1]
    probes = _coalitions(ev, neighbourhood, n_samples, masker)
    gains = probes.outputs(ev).double() - fully_masked_scores(ev, masker).double().unsqueeze(1)
    even = _predictions(probes, ev, (whole / maps.shape[1]).expand_as(maps))
    told = _predictions(probes, ev, maps + lacking)
    return _ratio((gains - told).square().sum(dim=1), (gains - even).square().sum(dim=1))


def slopes_of(ev: Evaluation, masker: str) -> Tensor:
    """The slopes that attributions stand for (N, F), float64: contributions are divided by the way from the baseline.

    0 where there is no way.

    Raises
    ------
    UnsupportedError
        If features have several channels, each with a way of its own.
    """
    maps = ev.attributions.flatten(1).double()
    if ev.kind == "slope":
        return maps
    if not ev.layout.one_number_each:
        raise UnsupportedError("contributions of several channels are not slopes", "take a neighbourhood of masks")
    ev.layout.require_no_categories("turning contributions into slopes")
    way = ev.layout.reduce(ev.inputs - ev.reference(masker)).flatten(1).double()
    return torch.where(way == 0, 0, maps / way)


def _ratio(loss: Tensor, reference: Tensor) -> Tensor:
    """Loss (N,) relative to that of a map of zeros; NaN where that is 0."""
    return torch.where(reference > 0, loss / reference, torch.nan)


def _gradients(ev: Evaluation, neighbourhood: str, n_samples: int, radius: float, masker: str) -> tuple[Tensor, Tensor]:
    """Mean gradient (N, F) and summed variance (N,) in a neighbourhood, float64, once for all explainers.

    On a path the gradients are with respect to the features' shares of the way.
    """
    layout = ev.layout
    on_path = neighbourhood.endswith("_path")
    n_points = 1 if neighbourhood.startswith("point") else n_samples
    if not on_path and layout.groups and not layout.one_number_each:
        raise UnsupportedError("the columns of a group have no common slope", "take a neighbourhood of masks")

    def points(block: Block) -> Tensor:
        if neighbourhood.startswith("point"):
            return block.copies_of(ev.inputs)
        if on_path:
            share = block.draws.uniform((block.n_copies,)).view(-1, *[1] * len(layout.input_shape))
            start = block.copies_of(ev.baseline(masker))
            return start + share * (block.copies_of(ev.inputs) - start)
        noise = block.draws.normal((block.n_copies, *layout.feature_shape)).flatten(0, 1)
        return block.copies_of(ev.inputs) + layout.only_quantities(radius * layout.expand(noise), "noise")

    def evaluate() -> dict[str, Tensor]:
        total = torch.zeros(len(ev), layout.n_features, dtype=torch.float64, device=ev.inputs.device)
        squares = torch.zeros(len(ev), dtype=torch.float64, device=ev.inputs.device)
        for block in perturbation_blocks(ev, n_points, f"neighbourhood_fit/{neighbourhood}"):
            found = ev.gradients(points(block), block.index)
            if on_path:
                found = found * block.copies_of(ev.inputs - ev.baseline(masker))
            each = layout.reduce(found).flatten(1).double().view(block.n_samples, block.n_copies, -1)
            total[block.rows] += each.sum(dim=1)
            squares[block.rows] += each.square().sum(dim=(1, 2))
        mean = total / n_points
        return {"mean": mean, "spread": (squares / n_points - mean.square().sum(dim=1)).clamp(min=0)}

    key = ("local_fit", NEIGHBOURHOOD_FIT_VERSION, neighbourhood, n_points, radius, masker, ev.output)
    found = ev.shared.get(key, evaluate)
    return found["mean"].to(ev.inputs.device), found["spread"].to(ev.inputs.device)


def _noise(ev: Evaluation, n_samples: int, radius: float) -> SharedCopies:
    """Gaussian noise around the samples; the draws are standard normal (n, m, F)."""
    ev.layout.require_quantities("noise")

    def draw(block: Block) -> Tensor:
        drawn = block.draws.normal((block.n_copies, ev.layout.n_features))
        return ev.layout.only_quantities(drawn, "noise", of_inputs=False)

    def build(block: Block, drawn: Tensor) -> Tensor:
        noise = ev.layout.expand(drawn.view(-1, *ev.layout.feature_shape))
        return block.copies_of(ev.inputs) + radius * noise

    return SharedCopies(
        n_samples, "neighbourhood_fit/gaussian", draw, (NEIGHBOURHOOD_FIT_VERSION,), build=build, built=(radius,)
    )


def _coalitions(ev: Evaluation, neighbourhood: str, n_samples: int, masker: str) -> SharedCopies:
    """Random coalitions (n, m, F) of bool: features that are not masked, unlike the others."""
    d = ev.layout.n_features
    mask = ev.masker(masker)

    def draw(block: Block) -> Tensor:
        if neighbourhood == "binary_lime":
            return block.draws.uniform((block.n_copies, d)) < 0.5
        sizes = torch.arange(1, max(d, 2), device=block.device)
        shares = torch.cumsum(1 / (sizes * (d - sizes).clamp(min=1)).double(), dim=0)
        drawn = block.draws.uniform((block.n_copies,)).double() * shares[-1]
        size = sizes[torch.searchsorted(shares, drawn, right=True).clamp(max=len(sizes) - 1)]
        return block.draws.permutation((block.n_copies, d)) < size.unsqueeze(-1)

    def build(block: Block, unmasked: Tensor) -> Tensor:
        return mask.copies(block.rows, unmasked.view(*unmasked.shape[:2], *ev.layout.feature_shape))

    stream = f"neighbourhood_fit/{neighbourhood}"
    return SharedCopies(n_samples, stream, draw, (NEIGHBOURHOOD_FIT_VERSION,), build=build, built=(masker,))


def _predictions(probes: SharedCopies, ev: Evaluation, maps: Tensor) -> Tensor:
    """What the maps (N, F) say about every draw (N, n_samples), up to an intercept, float64."""
    told = torch.empty(len(ev), probes.n_copies, dtype=torch.float64, device=ev.inputs.device)

    def store(block: Block, drawn: Tensor) -> None:
        told[block.rows, block.copies] = (drawn.double() @ maps[block.rows].unsqueeze(2)).squeeze(2)

    probes.over(ev, store)
    return told


def _free_fit(probes: SharedCopies, ev: Evaluation, maps: Tensor, width: float | None = None) -> Tensor:
    """Squared error of the maps' predictions with the best intercept, relative to that of the intercept alone (N,).

    With ``width``, draws weigh by LIME's kernel on the cosine distance between a coalition and all features.
    """
    outputs = probes.outputs(ev).double()
    weights = torch.ones_like(outputs)
    if width is not None:
        shares = _predictions(probes, ev, torch.full_like(maps, 1 / maps.shape[1]))
        weights = torch.exp(-(((1 - shares.sqrt()) / width) ** 2))
    weights /= weights.sum(dim=1, keepdim=True)

    def variance(values: Tensor) -> Tensor:
        centred = values - (weights * values).sum(dim=1, keepdim=True)
        found: Tensor = (weights * centred.square()).sum(dim=1)
        return found

    return _ratio(variance(outputs - _predictions(probes, ev, maps)), variance(outputs))
