"""Input dependence and independence rates of BAM (Yang and Kim 2019): a region with and without an object."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.exact_outputs import FLOAT32_ROUNDING
from xaibench.metrics.engines.pairs import only_pair, own_is_right, pair_is_right, pair_maps, pair_raw
from xaibench.metrics.engines.perturbation import clean_raw, clean_scores, select
from xaibench.metrics.ground_truth.relative_importance import PAPER
from xaibench.metrics.maps.brightness import brightness, brightness_rounding, idle_region


@metric(
    "input_dependence",
    family="ground_truth",
    construct="input_dependence",
    higher_is_better=True,
    bounds=(0, 1),
    version=2,
    needs={"input_pair.without", "reexplain", "truth.distractors", "labels"},
    sign="positive",
    source=f"{PAPER}; input dependence rate (IDR)",
)
def input_dependence(ev: Evaluation) -> Tensor:
    """Whether the region is darker with the object in it than without: 1 or 0, one half if it is as bright.

    The model does not need the object, but it does need the scene, which the object covers. One minus
    the mean is the paper's rate of false positives. Brightness is that of `object_share`. Differences within
    rounding count as equally bright, because rounding depends on the other samples in the batch. The paper's
    strict inequality counts ties as failures; here they count one half, the expectation of a coin: a map that
    does not change, such as a constant one, says as little as noise, which has one half, too.

    Returns
    -------
    Tensor (N,)
        NaN where the model is wrong about the sample with or without the object, and where another
        class than the label is explained.

    Notes
    -----
    The best possible mean is not 1 for a faithful explanation: an object can happen to help, about
    one in eight in our own trial. `input_dependence_sign` asks what the object really does.
    """
    change = _darkens(ev)
    return torch.where(_right_with_and_without(ev), _sign_share(change), torch.nan)


@metric(
    "input_dependence_sign",
    family="ground_truth",
    construct="input_dependence",
    higher_is_better=True,
    bounds=(0, 1),
    version=2,
    needs={"input_pair.without", "reexplain", "truth.distractors", "labels"},
    sign="positive",
    source="xaibench; the causal reading of the input dependence rate of BAM (Yang & Kim 2019)",
)
def input_dependence_sign(ev: Evaluation) -> Tensor:
    """Whether the region darkens with the object just where the object lowers the output: 1, 0, or one half for ties.

    The output is that of the true class, with and without the object.

    Returns
    -------
    Tensor (N,)
        NaN where `input_dependence` is, and where the object leaves the output as it was but for rounding.
    """
    pair = only_pair(ev, "input_pair.without")
    without = select(ev, pair_raw(ev, pair, "input_pair.without/0").unsqueeze(1)).squeeze(1)
    clean = clean_scores(ev)
    lowered = _sign(without - clean, FLOAT32_ROUNDING * torch.maximum(without.abs(), clean.abs()))
    agreement = _sign_share(_darkens(ev) * lowered)
    return torch.where(_right_with_and_without(ev) & (lowered != 0), agreement, torch.nan)


@metric(
    "input_independence",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"input_pair.patched", "reexplain", "truth.distractors"},
    sign="positive",
    source=f"{PAPER}; input independence rate (IIR)",
    undefined_for={"zero maps", "some inputs"},
)
def input_independence(ev: Evaluation, *, tolerance: PositiveFloat = 0.1, floor: NonNegativeFloat = 1e-3) -> Tensor:
    """Whether a patch that changes nothing about the model's outputs leaves the brightness of its region: 1 or 0.

    ``|g(x) - g(x + d)| < tolerance * g(x)``, g being the brightness of `object_share`. Maps that never
    look at the model pass, and so does noise whose draws stay the same: a condition beside
    other metrics, never a ranking alone. The share that passes depends on the tolerance much more than on
    anything else, so ask for several; they share all explanations.

    Parameters
    ----------
    tolerance : float
    floor : float
        Regions at most this bright in the sample itself are not judged: no change is small enough.

    Returns
    -------
    Tensor (N,)
        NaN below the floor (``n_undefined`` counts them), for samples without a patch, and where
        the patch changes which class the model says.
    """
    pair = only_pair(ev, "input_pair.patched")
    assert pair.inputs is not None
    n = len(ev) if pair.inputs is None else min(len(ev), len(pair.inputs))
    # A patch that changes nothing leaves what was true of the sample.
    pair = replace(pair, truth=pair.truth or ev.truth)[:n]
    region = idle_region(ev)
    clean = brightness(ev.attributions, region)[:n]
    patched = brightness(pair_maps(ev, pair, "input_pair.patched/0"), region[:n])
    same = pair_raw(ev, pair, "input_pair.patched/0").argmax(dim=1) == clean_raw(ev)[:n].argmax(dim=1)
    passed = ((clean - patched).abs() < tolerance * clean).double()
    out = torch.full((len(ev),), torch.nan, dtype=torch.float64, device=ev.inputs.device)
    out[:n] = torch.where(same & (clean > floor), passed, torch.nan)
    return out


def _darkens(ev: Evaluation) -> Tensor:
    """Whether the region is brighter without the object (N,): 1, -1 where it is darker, 0 but for rounding."""
    pair = only_pair(ev, "input_pair.without")
    region = idle_region(ev)
    maps = pair_maps(ev, pair, "input_pair.without/0")
    change = brightness(maps, region) - brightness(ev.attributions, region)
    return _sign(change, torch.maximum(brightness_rounding(maps), brightness_rounding(ev.attributions)))


def _right_with_and_without(ev: Evaluation) -> Tensor:
    pair = only_pair(ev, "input_pair.without")
    return own_is_right(ev) & pair_is_right(ev, pair, "input_pair.without/0")


def _sign(change: Tensor, rounding: Tensor) -> Tensor:
    """Sign of each change, 0 up to ``rounding``."""
    return torch.where(change.abs() <= rounding, 0, change.sign())


def _sign_share(change: Tensor) -> Tensor:
    """1 where positive, 0 where negative, one half for ties, NaN where undefined."""
    return (change.sign() + 1) / 2
