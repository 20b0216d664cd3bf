"""Faithfulness of additive claims: do sums of attributions follow the output when features change?

The perturbed samples do not depend on the attributions. The model is evaluated once per problem,
and its outputs are shared by all explainers; the perturbations are drawn again when needed.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.perturbation import Block, clean_scores, outputs_and_claims
from xaibench.metrics.similarity import pearson

CORRELATION_VERSION = 1
INFIDELITY_VERSION = 1


# Skill is not valid: weights are the best possible answer for a linear model only, and a mask is a
# ground truth that scores like random here.
@metric(
    "faithfulness_correlation",
    family="faithfulness",
    higher_is_better=True,
    bounds=(-1, 1),
    version=CORRELATION_VERSION,
    convert="contribution",
    source="Bhatt et al. 2020, Evaluating and aggregating feature-based model explanations, definition 4",
)
def faithfulness_correlation(
    ev: Evaluation, *, n_subsets: PositiveInt = 100, subset_size: PositiveInt | None = None, masker: str = "mean"
) -> Tensor:
    """Correlation, over random subsets, of the sum of attributions with the drop of the output when the subset goes.

    It is 1 for the contributions w (x - b) of a linear model, b being what the masker fills in.
    Slopes are turned into such contributions with the metric's own masker; contributions and
    unsigned maps are taken as they are.

    Parameters
    ----------
    n_subsets : int
        Random subsets per sample, the same for all explainers.
    subset_size : int, optional
        Features per subset; default a quarter of them, at least one.
    masker : str

    Returns
    -------
    Tensor (N,)
        NaN where the sums or the outputs do not vary: a constant map, a model that ignores the subsets.

    Raises
    ------
    UsageError
        If there are fewer features than ``subset_size``.
    """
    n_features = ev.layout.n_features
    size = max(1, n_features // 4) if subset_size is None else subset_size
    if not 1 <= size <= n_features:
        raise UsageError(f"subset_size must be between 1 and the {n_features} features, not {size}")
    flat = ev.attributions.flatten(1)
    mask = ev.masker(masker)

    def draw(block: Block) -> Tensor:
        return block.draws.choice(n_features, (block.n_copies, size))

    def measure(block: Block, subsets: Tensor) -> Tensor:
        keep = torch.ones(len(block.index), n_features, dtype=torch.bool, device=ev.inputs.device)
        keep.scatter_(1, subsets.flatten(0, 1), False)
        keep = keep.view(-1, *ev.layout.feature_shape)
        return ev.scores(mask(block.copies_of(ev.inputs), keep, block.index), block.index)

    def claim(block: Block, subsets: Tensor) -> Tensor:
        return flat[block.rows].unsqueeze(1).expand(-1, block.n_copies, -1).gather(2, subsets).sum(dim=2)

    masked, sums = outputs_and_claims(
        ev,
        n_subsets,
        f"faithfulness_correlation/{size}",
        ("faithfulness_correlation", CORRELATION_VERSION, masker, ev.output, n_subsets, size),
        draw=draw,
        measure=measure,
        claim=claim,
    )
    # The drop is f(x) - f(masked); a correlation does not see the constant f(x).
    return -pearson(sums, masked)


# Skill is not valid: see faithfulness_correlation; a mask is worse here than an empty map.
@metric(
    "infidelity",
    family="faithfulness",
    higher_is_better=False,
    bounds=(0, None),
    version=INFIDELITY_VERSION,
    aggregate="median_log10",
    convert=lambda params: "contribution" if params["perturbation"] == "square" else None,
    source="Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, definition 2.1 and section 5",
)
def infidelity(
    ev: Evaluation,
    *,
    perturbation: Literal["noisy_baseline", "square"] = "noisy_baseline",
    n_samples: PositiveInt = 200,
    radius: PositiveFloat = 0.2,
    normalize: bool = True,
) -> Tensor:
    """Mean squared gap between the attributed and the true change of the output: ``E[(I . phi - (f(x) - f(x-I)))^2]``.

    Parameters
    ----------
    perturbation : {"noisy_baseline", "square"}
        *noisy_baseline* sends the whole sample to noise around zero: ``x - I`` is ``radius`` times
        N(0, 1), clipped to the range of the sample and zero. Pixels of several channels lose their
        mean over channels and keep their colour differences, so that I is one number per feature.
        I . phi has a meaning for slopes: all attributions are used as given, and contributions,
        which hold the input already, are at a disadvantage.
        *square* (images) sets a random square to zero: uniform among all positions of all sides
        from 1 to 10 pixels (at most the image). I . phi is the sum of the contributions in the
        square: slopes are multiplied by the input, other kinds are used as given.
    n_samples : int
        Perturbations per sample, the same for all explainers.
    radius : float
        Standard deviation of the noise, in input units.
    normalize : bool
        Scale the attributions of each sample by the factor that fits best, as the published table
        does; without it, the scale of the attributions decides.

    Returns
    -------
    Tensor (N,)
        In squared units of the output; comparable between explainers, not between models or
        perturbations. An all-zero map scores ``E[(f(x) - f(x - I))^2]``.

    Raises
    ------
    UnsupportedError
        ``square`` on other data than images, or for slopes over several channels.
    """
    square = perturbation == "square"
    if square and ev.layout.kind != "image":
        raise UnsupportedError(f"squares need an image, not a {ev.layout.kind}", 'use perturbation = "noisy_baseline"')
    phi = ev.attributions.flatten(1)

    def draw(block: Block) -> Tensor:
        return _inside_squares(ev, block) if square else _noise(ev, block, radius)

    def measure(block: Block, drawn: Tensor) -> Tensor:
        x, change = block.copies_of(ev.inputs), ev.layout.expand(drawn.flatten(0, 1))
        return ev.scores(x.masked_fill(change, 0) if square else x - change, block.index)

    def claim(block: Block, drawn: Tensor) -> Tensor:
        return (drawn.flatten(2).to(phi.dtype) @ phi[block.rows].unsqueeze(2)).squeeze(2)

    changed, claimed = outputs_and_claims(
        ev,
        n_samples,
        f"infidelity/{perturbation}",
        ("infidelity", INFIDELITY_VERSION, perturbation, ev.output, n_samples, radius),
        draw=draw,
        measure=measure,
        claim=claim,
    )
    drop, said = (clean_scores(ev).unsqueeze(1) - changed).double(), claimed.double()
    if normalize:
        power = said.square().mean(dim=1, keepdim=True)
        said = said * torch.where(power > 0, (drop * said).mean(dim=1, keepdim=True) / power, 1)
    return (said - drop).square().mean(dim=1)


def _noise(ev: Evaluation, block: Block, radius: float) -> Tensor:
    """Perturbations I (n, m, *feature_shape) that leave clipped noise around zero."""
    gray = ev.inputs[block.rows]
    if ev.layout.channels is not None:
        gray = ev.layout.reduce(gray) / ev.layout.channels
    low, high = gray.flatten(1).aminmax(dim=1)
    shape = (-1, *[1] * (gray.ndim))
    noise = radius * block.draws.normal((block.n_copies, *ev.layout.feature_shape))
    return gray.unsqueeze(1) - noise.clamp(low.clamp(max=0).view(shape), high.clamp(min=0).view(shape))


def _inside_squares(ev: Evaluation, block: Block) -> Tensor:
    """Masks (n, m, H, W) of squares, uniform among all positions of all sides from 1 to 10."""
    height, width = ev.layout.feature_shape
    sides = torch.arange(1, min(10, height, width) + 1)
    last = torch.cumsum((height - sides + 1) * (width - sides + 1), dim=0)
    number = block.draws.integers(int(last[-1]), (block.n_copies,))
    which = torch.searchsorted(last.to(number.device), number, right=True)
    side = sides.to(number.device)[which]
    place = number - torch.cat([last.new_zeros(1), last[:-1]]).to(number.device)[which]
    top, left = place // (width - side + 1), place % (width - side + 1)
    row = torch.arange(height, device=number.device)
    column = torch.arange(width, device=number.device)
    in_rows = (row >= top.unsqueeze(2)) & (row < (top + side).unsqueeze(2))
    in_columns = (column >= left.unsqueeze(2)) & (column < (left + side).unsqueeze(2))
    return in_rows.unsqueeze(3) & in_columns.unsqueeze(2)
