"""Effects of single features: each is removed, or redrawn, alone.

Which features are attributed what plays no role for the perturbed samples: the model is evaluated
once per problem, and all explainers share its outputs.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.masking.maskers import Masker, make_masker
from xaibench.core.registry import metric
from xaibench.metrics.engines.perturbation import Block, clean_scores, over_copies
from xaibench.metrics.engines.removal import removal_order
from xaibench.metrics.maps.orders import ranks_of
from xaibench.metrics.maps.similarity import pearson, spearman

EFFECTS_VERSION = 1
"""Of what is kept in the shared cache."""
ROUNDING = 1e-6
"""Changes up to this share of the largest output of a sample are rounding in float32, and count as none."""
RandomMasker = Literal["uniform", "marginal"]


@metric(
    "faithfulness_estimate",
    family="faithfulness",
    construct="single_effects",
    higher_is_better=True,
    bounds=(-1, 1),
    version=EFFECTS_VERSION,
    convert="contribution",
    source="Alvarez-Melis & Jaakkola 2018, Towards robust interpretability with self-explaining neural networks, "
    "faithfulness",
)
def faithfulness_estimate(ev: Evaluation, *, subset_size: PositiveInt = 1, masker: str = "mean") -> Tensor:
    """Correlation of the attributions with the drop of the output when each feature is removed alone.

    It is 1 for the contributions w (x - b) of a linear model, b being what the masker fills in.

    Parameters
    ----------
    subset_size : int
        Features removed together: the first ``subset_size`` by falling attribution, then the next
        ones, each time from the whole sample; their attributions are summed. With 1, evaluations
        are shared by all explainers; with more, the groups depend on the attributions.
    masker : str
        What removed features are set to.

    Returns
    -------
    Tensor (N,)
        NaN where the attributions or the outputs do not vary.

    Raises
    ------
    UnsupportedError
        If there are fewer features than ``subset_size``.
    """
    n_features = ev.layout.n_features
    if subset_size > n_features:
        raise UnsupportedError(f"subset_size must be at most the {n_features} features, not {subset_size}")
    flat = ev.attributions.flatten(1)
    if subset_size == 1:
        return -pearson(flat, without_each(ev, masker))
    n_groups = -(-n_features // subset_size)
    groups = ranks_of(removal_order(ev)) // subset_size
    sums = flat.new_zeros(len(ev), n_groups).scatter_add_(1, groups.long(), flat)
    return -pearson(sums, outputs_without_groups(ev, groups, n_groups, ev.masker(masker)))


@metric(
    "monotonicity_correlation",
    family="faithfulness",
    construct="single_effects",
    higher_is_better=True,
    bounds=(-1, 1),
    version=EFFECTS_VERSION,
    sign="absolute",
    source="Nguyen & Martinez 2020, On quantitative aspects of model interpretability, monotonicity",
)
def monotonicity_correlation(ev: Evaluation, *, n_samples: PositiveInt = 5, masker: RandomMasker = "uniform") -> Tensor:
    """Rank correlation of the magnitudes with the mean squared change of the output as each feature is redrawn.

    ``rho(|phi_i|, E[(f(x) - f(x with x_i drawn anew))^2])``. Attributions of all kinds are used as
    given: a random value is no baseline to which slopes could be converted. The best map of a
    linear model is ``|w_i| sqrt(E[(x_i - X_i)^2])``.

    Parameters
    ----------
    n_samples : int
        Random values of every feature, the same for all explainers.
    masker : {"uniform", "marginal"}
        Where random values come from: the range of the background, or one of its rows.

    Returns
    -------
    Tensor (N,)
        NaN where the magnitudes or the changes do not vary.
    """
    return spearman(ev.attributions.flatten(1).abs(), mean_square_effects(ev, masker, n_samples)[0])


@metric(
    "non_sensitivity",
    family="axiomatic",
    higher_is_better=False,
    bounds=(0, 1),
    version=EFFECTS_VERSION,
    sign="absolute",
    source="Nguyen & Martinez 2020, On quantitative aspects of model interpretability, non-sensitivity",
)
def non_sensitivity(
    ev: Evaluation,
    *,
    n_samples: PositiveInt = 5,
    masker: RandomMasker = "uniform",
    tolerance: NonNegativeFloat = 1e-5,
    effect_tolerance: NonNegativeFloat = 1e-5,
) -> Tensor:
    """Share of the features of which only one is zero, the attribution or the effect on the output.

    Features without effect should have no attribution, and the other way round. The paper counts
    these features; the share is comparable between inputs of different sizes. Effects are those of
    `monotonicity_correlation`, at no further cost.

    Parameters
    ----------
    n_samples : int
        Random values of every feature, the same for all explainers.
    masker : {"uniform", "marginal"}
        Where random values come from: the range of the background, or one of its rows.
    tolerance : float
        Attributions up to this share of the largest magnitude of their map count as zero.
    effect_tolerance : float
        Root mean square changes of the output up to this share of its largest magnitude, over the
        sample and its copies, count as zero; below 1e-6, they would be rounding.

    Returns
    -------
    Tensor (N,)
        For an all-zero map the share of the features that have an effect.
    """
    magnitude = ev.attributions.flatten(1).abs()
    silent = magnitude <= tolerance * magnitude.amax(dim=1, keepdim=True)
    effects, size = mean_square_effects(ev, masker, n_samples)
    without_effect = effects.sqrt() <= effect_tolerance * size
    return (silent ^ without_effect).double().mean(dim=1)


def without_each(ev: Evaluation, masker: str, draw: int = 0) -> Tensor:
    """Measured output when each feature alone is masked (N, F), evaluated once for all explainers.

    Parameters
    ----------
    ev : Evaluation
    masker : str
    draw : int
        For maskers that draw their fill: 0 is what all metrics see, other numbers are further draws.
    """

    def evaluate() -> dict[str, Tensor]:
        each = torch.arange(ev.layout.n_features, device=ev.inputs.device).unsqueeze(0)
        return {"outputs": outputs_without_groups(ev, each, ev.layout.n_features, drawn_masker(ev, masker, draw))}

    key = ("effects", EFFECTS_VERSION, masker, draw, ev.output)
    return ev.shared.get(key, evaluate)["outputs"].to(ev.inputs.device)


def drawn_masker(ev: Evaluation, masker: str, draw: int) -> Masker:
    """The masker of the evaluation for draw 0, and one with a fresh fill for every other number."""
    if draw == 0:
        return ev.masker(masker)
    return make_masker(masker, ev.inputs, ev.layout, ev.background, ev.draws(f"masker/{masker}#{draw}"))


def mean_square_effects(ev: Evaluation, masker: str, n_samples: int) -> tuple[Tensor, Tensor]:
    """Mean squared change of the output as each feature is redrawn (N, F), and its largest magnitude (N, 1), float64.

    Rounding counts as no change.
    """
    clean = clean_scores(ev).double().unsqueeze(1)
    outputs = [without_each(ev, masker, draw) for draw in range(n_samples)]
    size = torch.cat([clean, *(o.abs().amax(dim=1, keepdim=True) for o in outputs)], dim=1).abs().amax(dim=1)
    total = torch.zeros(len(ev), ev.layout.n_features, dtype=torch.float64, device=ev.inputs.device)
    for changed in outputs:
        change = changed.double() - clean
        total += change.masked_fill_(change.abs() <= ROUNDING * size.unsqueeze(1), 0).square_()
    return total / n_samples, size.unsqueeze(1)


def outputs_without_groups(ev: Evaluation, groups: Tensor, n_groups: int, mask: Masker) -> Tensor:
    """Measured output (N, n_groups) without the features of each group; ``groups`` (N or 1, F) says whose they are."""
    groups = groups.expand(len(ev), -1).view(-1, 1, *ev.layout.feature_shape)
    ones = [1] * len(ev.layout.feature_shape)

    def without(block: Block) -> Tensor:
        number = torch.arange(block.copies.start, block.copies.stop, device=groups.device)
        return ev.scores(mask.copies(block.rows, groups[block.rows] != number.view(1, -1, *ones)), block.index)

    return over_copies(ev, n_groups, without)
