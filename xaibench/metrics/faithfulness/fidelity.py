"""Fidelity of an explanation as a set of features (Pope et al. 2019; Yuan et al. 2022), and its characterisation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.outputs import require_classes
from xaibench.core.registry import metric
from xaibench.metrics.engines.explained_subset import (
    SubsetOutputs,
    SubsetShare,
    shares_of_curve,
    subset_outputs,
    subset_sizes,
)
from xaibench.metrics.engines.perturbation import select

Variant = Literal["probability", "accuracy"]
_SURVEY = "Yuan et al. 2022, Explainability in graph neural networks: a taxonomic survey, section 6.2"
_GRAPHFRAMEX = "Amara et al. 2022, GraphFramEx, equations 1 to 3"


def _losses(ev: Evaluation, found: SubsetOutputs, variant: str) -> tuple[Tensor, Tensor]:
    """Loss of output (N, K) without the features of the explanation, and with only those."""
    if variant == "probability":
        whole = select(ev, found.whole.unsqueeze(1))
        return whole - select(ev, found.without), whole - select(ev, found.alone)
    require_classes(ev.model.returns, "the variant 'accuracy' compares predicted classes")
    ev.refuse_foils("predictions are among all classes")
    predicted = found.whole.argmax(dim=1, keepdim=True)
    changed = ((raw.argmax(dim=2) != predicted).float() for raw in (found.without, found.alone))
    return next(changed), next(changed)


def _curve(which: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def curve(ev: Evaluation, *, share: float | None, variant: str, masker: str) -> Tensor:
        return which(*_losses(ev, subset_outputs(ev, shares_of_curve(ev), masker), variant))

    return curve


def _score(
    ev: Evaluation, share: float | None, variant: str, masker: str, which: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    return which(*_losses(ev, subset_outputs(ev, subset_sizes(ev, share), masker), variant)).squeeze(1)


def _plus(without: Tensor, alone: Tensor) -> Tensor:
    return without


def _minus(without: Tensor, alone: Tensor) -> Tensor:
    return alone


def _delta(without: Tensor, alone: Tensor) -> Tensor:
    return without - alone


_fidelity = partial(
    metric, family="faithfulness", construct="fidelity", output="curve", convert="order",
    in_output_unit={"variant": "probability"},
)  # fmt: skip
"""Declares a metric of the construct ``fidelity``."""


@_fidelity(
    "fid_plus", higher_is_better=True, bounds=(-1, 1), curve=_curve(_plus), source=f"{_SURVEY}, fidelity+",
)  # fmt: skip
def fid_plus(
    ev: Evaluation, *, share: SubsetShare | None = None, variant: Variant = "probability", masker: str = "zero"
) -> Tensor:
    """Output lost when the explanation, the set of the largest features, is removed: ``f(G) - f(G without E)``.

    What is left need not look like anything that the model was trained on: of a graph whose class hangs on a motif,
    half of the motif may be enough to lose it.

    Parameters
    ----------
    share : float, optional
        Share of the features that is the explanation, rounded to the nearest number (halves to the even one) and at
        least one. Default: as many as are true, where there is a true
        mask, else 0.2. The curve has the points .05, .1, .2, .3 and .5 whatever it is.
    variant : {"probability", "accuracy"}
        Difference of outputs (of standardised values, where the model returns values), or whether the predicted class
        is another one.
    masker : str
        What removed features are set to.

    Returns
    -------
    Tensor (N,)
    """
    return _score(ev, share, variant, masker, _plus)


@_fidelity(
    "fid_minus", higher_is_better=False, bounds=(-1, 1), curve=_curve(_minus), source=f"{_SURVEY}, fidelity-",
)  # fmt: skip
def fid_minus(
    ev: Evaluation, *, share: SubsetShare | None = None, variant: Variant = "probability", masker: str = "zero"
) -> Tensor:
    """Output lost when nothing but the explanation, the set of the largest features, is left: ``f(G) - f(E)``.

    The whole sample as explanation would lose nothing, so explanations are compared at one size.

    Parameters
    ----------
    share, variant, masker
        As in `fid_plus`.

    Returns
    -------
    Tensor (N,)
    """
    return _score(ev, share, variant, masker, _minus)


@_fidelity(
    "fid_delta", higher_is_better=True, bounds=(-2, 2), curve=_curve(_delta),
    source="Zheng et al. 2024, Towards robust fidelity for evaluating explainability of GNNs, section 3, delta",
)  # fmt: skip
def fid_delta(
    ev: Evaluation, *, share: SubsetShare | None = None, variant: Variant = "probability", masker: str = "zero"
) -> Tensor:
    """`fid_plus` minus `fid_minus`: ``f(E) - f(G without E)``, the explanation alone against the rest alone.

    Parameters
    ----------
    share, variant, masker
        As in `fid_plus`.

    Returns
    -------
    Tensor (N,)
    """
    return _score(ev, share, variant, masker, _delta)


@metric(
    "characterization",
    family="faithfulness",
    construct="fidelity",
    higher_is_better=True,
    bounds=(0, 1),
    output="probability",
    convert="order",
    source=f"{_GRAPHFRAMEX}, characterization score",
)
def characterization(
    ev: Evaluation,
    *,
    share: SubsetShare | None = None,
    variant: Variant = "probability",
    weight: SubsetShare = 0.5,
    masker: str = "zero",
) -> Tensor:
    """Weighted harmonic mean of `fid_plus` and of one minus `fid_minus`, both clipped to [0, 1].

    ``1 / (w / fid_plus + (1 - w) / (1 - fid_minus))``: high if the explanation is needed and is enough.

    Parameters
    ----------
    share, variant, masker
        As in `fid_plus`.
    weight : float
        Weight ``w`` of `fid_plus`; 0.5 is published.

    Returns
    -------
    Tensor (N,)
        0 where either of the two is 0.
    """
    without, alone = _losses(ev, subset_outputs(ev, subset_sizes(ev, share), masker), variant)
    needed, enough = without.squeeze(1).clamp(0, 1), (1 - alone.squeeze(1)).clamp(0, 1)
    both = (needed > 0) & (enough > 0)
    mean = 1 / (weight / needed.where(both, 1.0) + (1 - weight) / enough.where(both, 1.0))
    return torch.where(both, mean, 0.0)


@metric(
    "unfaithfulness",
    family="faithfulness",
    construct="fidelity",
    higher_is_better=False,
    bounds=(0, 1),
    convert="order",
    rewards_truth=False,  # without what speaks against a class, its probability is further from the sample's
    source="Agarwal et al. 2023, Evaluating explainability for graph neural networks, equation 4, GEF; "
    "Kullback-Leibler divergence from the explanation's probabilities to the sample's, as in its text",
)
def unfaithfulness(ev: Evaluation, *, share: SubsetShare | None = None, masker: str = "zero") -> Tensor:
    """``1 - exp(-KL(p(G) || p(E)))``: how far the probabilities of all classes are from those of the explanation alone.

    Parameters
    ----------
    share, masker
        As in `fid_plus`.

    Returns
    -------
    Tensor (N,)

    Raises
    ------
    UnsupportedError
        If the model has no classes, or a contrast is explained.

    Notes
    -----
    torch_geometric's metric of this name swaps the two distributions.
    """
    require_classes(ev.model.returns, "this metric compares probabilities of all classes")
    ev.refuse_foils("probabilities are of all classes")
    found = subset_outputs(ev, subset_sizes(ev, share), masker)
    whole, alone = (_log_probabilities(raw, ev.model.returns) for raw in (found.whole, found.alone.squeeze(1)))
    divergence = (whole.exp() * (whole - alone)).where(whole > -torch.inf, 0.0).sum(dim=1)
    return -torch.expm1(-divergence.clamp(min=0))


def _log_probabilities(raw: Tensor, returns: str) -> Tensor:
    """Logarithms of the probabilities of all classes (N, C), float64."""
    return raw.double().log_softmax(dim=1) if returns == "logit" else raw.double().log()
