"""Infidelity (Yeh et al. 2019): squared error of attributions in predicting the effect of perturbations."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.masking.maskers import choose
from xaibench.core.registry import metric
from xaibench.metrics.engines.perturbation import Block, SharedCopies, clean_scores

INFIDELITY_VERSION = 1


# Skill is not valid: a mask is worse here than an empty map.
@metric(
    "infidelity",
    family="faithfulness",
    construct="subset_effects",
    higher_is_better=False,
    bounds=(0, None),
    version=INFIDELITY_VERSION,
    aggregate="median_log10",
    convert=lambda params: "contribution" if params["perturbation"] == "square" else None,
    source="Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, definition 2.1 and section 5",
    shares_evaluations=True,
    place_matters=True,  # noise belongs to places
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
        ``square`` on other data than images, or for slopes over several channels; slopes of groups of quantities.
    """
    square = perturbation == "square"
    if square and ev.layout.kind != "image":
        raise UnsupportedError(f"squares need an image, not a {ev.layout.kind}", 'use perturbation = "noisy_baseline"')
    ev.layout.require_quantities("noise")
    if ev.kind == "slope":
        ev.layout.require_signs("the change that slopes claim", of_categories=False)
    phi = ev.attributions.flatten(1)

    def draw(block: Block) -> Tensor:
        return _inside_squares(ev, block) if square else _noise(ev, block, radius)

    def build(block: Block, drawn: Tensor) -> Tensor:
        x, change = ev.inputs[block.rows].unsqueeze(1), ev.layout.expand(drawn)
        return (choose(change, torch.zeros_like(x), x) if square else x - change).flatten(0, 1)

    def claim(block: Block, drawn: Tensor) -> Tensor:
        return (drawn.flatten(2).to(phi.dtype) @ phi[block.rows].unsqueeze(2)).squeeze(2)

    stream = f"infidelity/{perturbation}"
    probes = SharedCopies(n_samples, stream, draw, (INFIDELITY_VERSION, radius), build=build)
    drop = (clean_scores(ev).unsqueeze(1) - probes.outputs(ev)).double()
    said = probes.numbers(ev, claim).double()
    if normalize:
        power = said.square().mean(dim=1, keepdim=True)
        said = said * torch.where(power > 0, (drop * said).mean(dim=1, keepdim=True) / power, 1)
    return (said - drop).square().mean(dim=1)


def _noise(ev: Evaluation, block: Block, radius: float) -> Tensor:
    """Perturbations I (n, m, *feature_shape) that leave clipped noise around zero."""
    gray = ev.inputs[block.rows]
    if ev.layout.groups:
        gray = ev.layout.reduce(gray) / ev.layout.reduce(torch.ones_like(gray))
    elif ev.layout.channels is not None:
        gray = ev.layout.reduce(gray) / ev.layout.channels
    low, high = gray.flatten(1).aminmax(dim=1)
    shape = (-1, *[1] * (gray.ndim))
    noise = radius * block.draws.normal((block.n_copies, *ev.layout.feature_shape))
    change = gray.unsqueeze(1) - noise.clamp(low.clamp(max=0).view(shape), high.clamp(min=0).view(shape))
    return ev.layout.only_quantities(change, "noise", of_inputs=False)


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
