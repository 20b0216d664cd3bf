"""Hypothesis tests near a sample (Bilodeau et al. 2024): do attributions answer them better than a coin?

The answers are found by asking the model itself, feature by feature, once for all explainers. Where
outputs are equal but for rounding the feature does nothing, and an attribution that is 0 but for
rounding says nothing: an answer that rounding gives would be another one in another batch. A
test is scored by its sensitivity plus its specificity: 2 is perfect, and 1 is what a coin has, or the
same answer for every feature. For attributions that add up to the output difference and are
linear in the model (integrated gradients, Shapley values), rich enough models keep every test at
1 or below in the worst case (Bilodeau et al. 2024, PNAS).
"""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.features import step
from xaibench.core.registry import metric
from xaibench.metrics.engines.exact_outputs import FLOAT32_ROUNDING, above, in_float64
from xaibench.metrics.engines.perturbation import Block, raw_outputs, select

LOCAL_TESTS_VERSION = 2
"""Of the metrics, and of what is in the shared cache."""
BILODEAU = "Bilodeau et al. 2024, Impossibility theorems for feature attribution, PNAS; "


@metric(
    "slope_test",
    family="faithfulness",
    higher_is_better=True,
    bounds=(0, 2),
    version=LOCAL_TESTS_VERSION,
    source=BILODEAU + "counterfactual model behaviour",
    shares_evaluations=True,
)
def slope_test(ev: Evaluation, *, radius: PositiveFloat = 0.1, masker: str = "zero") -> Tensor:
    """Sensitivity plus specificity of the test whether the output rises when one feature grows by ``radius``.

    The test says that it rises where the attribution stands for a positive slope. A contribution is
    a slope times the way from the baseline, so its sign is that of the slope above the baseline and
    the opposite below. At the baseline itself it says nothing, and a coin decides, of which the mean
    is counted: otherwise the input alone would answer part of the questions.

    Parameters
    ----------
    radius : float
        Size of the step, in input units. All channels of a pixel move together.
    masker : str
        What contributions compare with; the explainer's own baseline.

    Returns
    -------
    Tensor (N,)
        1 for a constant or random answer. NaN where the output rises for all features, or for none.

    Notes
    -----
    Equal contributions are not a constant answer: they claim slopes with the signs of the input minus the
    baseline, which for the predicted class are right more often than not.
    """
    rises = movement(ev, radius) > 0
    signs = slope_signs(ev, masker)
    says = torch.where(signs.isnan(), 0.5, (signs > 0).double())
    return sensitivity_and_specificity(rises, ~rises, says)


@metric(
    "recourse_test",
    family="faithfulness",
    higher_is_better=True,
    bounds=(0, 2),
    version=LOCAL_TESTS_VERSION,
    source=BILODEAU + "algorithmic recourse",
    shares_evaluations=True,
)
def recourse_test(ev: Evaluation, *, radius: PositiveFloat = 0.1, masker: str = "zero") -> Tensor:
    """Sensitivity plus specificity of the test which way to move a feature so that the output is larger.

    The better of the two ends of a step by ``radius`` up or down is sought; features for which both
    are equal are left out. Signs of attributions are read as by `slope_test`; an attribution of 0
    leaves the choice to a coin, too.

    Parameters
    ----------
    radius : float
        Size of the step, in input units. All channels of a pixel move together.
    masker : str
        What contributions compare with; the explainer's own baseline.

    Returns
    -------
    Tensor (N,)
        1 for a constant or random answer. NaN where one direction is better for all features.
    """
    up, down = movement(ev, radius), movement(ev, -radius)
    gain = up - down
    # Ends that are equally far from the sample, as in the middle of a bump, differ by what rounding makes of the step.
    gain[gain.abs() <= FLOAT32_ROUNDING * torch.maximum(up.abs(), down.abs())] = 0
    says_up = (slope_signs(ev, masker).nan_to_num(nan=0.0) + 1) / 2
    return sensitivity_and_specificity(gain > 0, gain < 0, says_up)


@metric(
    "spurious_test",
    family="faithfulness",
    higher_is_better=True,
    bounds=(0, 2),
    version=LOCAL_TESTS_VERSION,
    sign="absolute",
    source=BILODEAU + "spurious features",
    undefined_for={"some inputs"},
    shares_evaluations=True,
)
def spurious_test(ev: Evaluation, *, radius: PositiveFloat = 0.1, tolerance: PositiveFloat = 0.05) -> Tensor:
    """Sensitivity plus specificity of the test whether the output is flat in a feature near the sample.

    It is flat where neither half a step nor a whole one, up or down, moves the output by more than
    ``tolerance`` times the mean movement over the features. The test says so, by the same rule, where
    the magnitude of the attribution is at most ``tolerance`` times its mean over the features. The
    threshold is fixed beforehand: one that is fitted to the answers, or a score over all thresholds,
    would know what a user of the map does not.

    Parameters
    ----------
    radius : float
        Size of the step, in input units. All channels of a pixel move together.
    tolerance : float
        Share of the mean below which something is flat.

    Returns
    -------
    Tensor (N,)
        1 for a constant or random answer. NaN where the output is flat in all features, or in none.
    """
    moves = torch.stack([movement(ev, share * radius).abs() for share in (-1, -0.5, 0.5, 1)]).amax(dim=0)
    flat = _small(moves, tolerance)
    return sensitivity_and_specificity(
        flat, ~flat, _small(ev.attributions.flatten(1).double().abs(), tolerance).double()
    )


def movement(ev: Evaluation, by: float) -> Tensor:
    """Change of the measured output as each feature alone grows by ``by`` (N, F), float64, once for all explainers.

    Changes up to a millionth of the largest output, which float32 does not know, count as none; of values in float64
    those up to a millionth of the largest change.
    """

    def build(block: Block) -> Tensor:
        feature = torch.arange(block.copies.start, block.copies.stop, device=block.device).repeat(block.n_samples)
        return step(ev.layout, block.copies_of(ev.inputs), feature, by)

    def evaluate() -> dict[str, Tensor]:
        with in_float64(ev) as exact:
            return {"raw": raw_outputs(exact, ev.layout.n_features, build), "clean": exact.predict(ev.inputs)}

    found = ev.shared.get(("local_tests", LOCAL_TESTS_VERSION, by), evaluate)
    moved = select(ev, found["raw"].to(ev.inputs.device))
    clean = select(ev, found["clean"].to(ev.inputs.device).unsqueeze(1))
    moved, clean = above(ev, moved, clean).double(), above(ev, clean, clean).double()
    change = moved - clean
    size = torch.maximum(clean.abs(), moved.abs().amax(dim=1, keepdim=True))
    return change.masked_fill_(change.abs() <= FLOAT32_ROUNDING * size, 0)


def slope_signs(ev: Evaluation, masker: str) -> Tensor:
    """Sign of the slope that each attribution stands for (N, F), float64: that of contributions turns with the way.

    0 where the attribution is 0 but for rounding, NaN for contributions of features that are at the baseline.
    """
    maps = ev.attributions.flatten(1)
    silent = maps.abs() <= FLOAT32_ROUNDING * maps.abs().amax(dim=1, keepdim=True)
    signs = maps.sign().double().masked_fill_(silent, 0)
    if ev.kind != "contribution":
        ev.layout.require_signs("this test")
        return signs
    ev.layout.require_no_categories("the sign of a slope")
    way: Tensor = ev.layout.reduce(ev.inputs - ev.reference(masker))
    turn = way.flatten(1).sign()
    return torch.where(turn == 0, torch.nan, signs * turn)


def sensitivity_and_specificity(positive: Tensor, negative: Tensor, says: Tensor) -> Tensor:
    """Mean answer where it should be 1, plus that of its opposite where it should be 0.

    Parameters
    ----------
    positive, negative : Tensor (N, F) of bool
        Features for which the answer is yes, and no.
    says : Tensor (N, F), float64
        What the test says: 1 for yes, 0 for no, between them the probability of yes.

    Returns
    -------
    Tensor (N,), float64
        NaN where there is no positive or no negative feature.
    """
    yes = (says * positive).sum(dim=1) / positive.sum(dim=1)
    no = ((1 - says) * negative).sum(dim=1) / negative.sum(dim=1)
    found: Tensor = yes + no
    return found


def _small(values: Tensor, tolerance: float) -> Tensor:
    """Which values (N, F), none negative, are at most ``tolerance`` times the mean of their row."""
    return values <= tolerance * values.mean(dim=1, keepdim=True)
