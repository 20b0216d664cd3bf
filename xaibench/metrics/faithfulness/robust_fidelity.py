"""Robust fidelity (Zheng et al. 2024): fidelity under partial removal, so that inputs stay close to the data."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.explained_subset import SubsetShare, explained_subset, subset_sizes
from xaibench.metrics.engines.partial_removal import mean_outputs
from xaibench.metrics.engines.perturbation import clean_scores

Probability = Annotated[float, Ge(0), Le(1)]
_SOURCE = "Zheng et al. 2024, Towards robust fidelity for evaluating explainability of graph neural networks"
_COMMON: dict[str, Any] = {
    "family": "faithfulness",
    "construct": "fidelity",
    "output": "curve",
    "convert": "order",
    "place_matters": True,
    "in_output_unit": True,
}


@metric("robust_fid_plus", higher_is_better=True, bounds=(-1, 1), source=f"{_SOURCE}, Eq. 5", **_COMMON)
def robust_fid_plus(
    ev: Evaluation,
    *,
    alpha1: Probability = 0.1,
    share: SubsetShare | None = None,
    n_samples: PositiveInt = 20,
    masker: str = "zero",
) -> Tensor:
    """Drop of the output when each feature of the explanation is removed with probability ``alpha1``; large is good.

    The explanation stands for its largest attributions. With ``alpha1`` = 1 this is `fid_plus`, which
    removes the whole explanation and leaves an input that the model has never seen; with 0 it is 0.

    Parameters
    ----------
    alpha1 : float
    share : float, optional
        Share of the features that the explanation stands for, at least one; by default as many as are true, and a fifth
        where there is no true mask.
    n_samples : int
        Draws; all explanations of a problem share them.
    masker : str
        What removed features are set to.

    Returns
    -------
    Tensor (N,)
    """
    return _plus(ev, explained_subset(ev, subset_sizes(ev, share)), alpha1, n_samples, masker)


@metric("robust_fid_minus", higher_is_better=False, bounds=(-1, 1), source=f"{_SOURCE}, Eq. 6", **_COMMON)
def robust_fid_minus(
    ev: Evaluation,
    *,
    alpha2: Probability = 0.9,
    share: SubsetShare | None = None,
    n_samples: PositiveInt = 20,
    masker: str = "zero",
) -> Tensor:
    """Drop of the output when each feature outside of the explanation stays with probability ``alpha2``; small is good.

    With ``alpha2`` = 0 this is `fid_minus`, of the explanation alone; with 1 it is 0. Two published
    implementations remove the explanation here instead of what is outside of it.

    Parameters
    ----------
    alpha2 : float
    share, n_samples, masker
        As for `robust_fid_plus`.

    Returns
    -------
    Tensor (N,)
    """
    return _minus(ev, explained_subset(ev, subset_sizes(ev, share)), alpha2, n_samples, masker)


@metric("robust_fid_delta", higher_is_better=True, bounds=(-2, 2), source=f"{_SOURCE}, Section 4.3", **_COMMON)
def robust_fid_delta(
    ev: Evaluation,
    *,
    alpha1: Probability = 0.1,
    alpha2: Probability = 0.9,
    share: SubsetShare | None = None,
    n_samples: PositiveInt = 20,
    masker: str = "zero",
) -> Tensor:
    """`robust_fid_plus` minus `robust_fid_minus`: what the explanation takes along, less what it leaves behind.

    Parameters
    ----------
    alpha1, alpha2 : float
    share, n_samples, masker
        As for `robust_fid_plus`.

    Returns
    -------
    Tensor (N,)
    """
    chosen = explained_subset(ev, subset_sizes(ev, share))
    return _plus(ev, chosen, alpha1, n_samples, masker) - _minus(ev, chosen, alpha2, n_samples, masker)


def _plus(ev: Evaluation, chosen: Tensor, alpha1: float, n_samples: int, masker: str) -> Tensor:
    removed = mean_outputs(ev, chosen, "inside", alpha1, n_samples=n_samples, masker=masker)
    return clean_scores(ev) - removed


def _minus(ev: Evaluation, chosen: Tensor, alpha2: float, n_samples: int, masker: str) -> Tensor:
    left = mean_outputs(ev, chosen, "outside", 1 - alpha2, n_samples=n_samples, masker=masker)
    return clean_scores(ev) - left
