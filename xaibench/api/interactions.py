"""Interactions of pairs of features: how much two of them do together beyond what each does alone."""

from __future__ import annotations

from typing import Any

from xaibench.api.assembling import assemble_problem
from xaibench.api.inputs import ArrayLike
from xaibench.core.outputs import GivenReturns, Output
from xaibench.core.types import Array
from xaibench.explainers.interactions import InteractionIndex, find_interactions

_NOT_GIVEN = (
    "background_labels", "truth", "labels", "distractors", "pairs", "retrain", "train", "context",
    "background_context", "special_tokens", "embedding", "feature_groups", "features", "axes", "batch_size", "name",
)  # fmt: skip
"""What makes a problem more than a table and a model."""


def interactions(
    index: InteractionIndex,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    masker: str = "zero",
    background: ArrayLike | None = None,
    output: Output | None = None,
    returns: GivenReturns | None = None,
    device: str = "cpu",
) -> Array:
    """Main effects of the columns of a table and interactions of their pairs, exactly, in float64.

    The four indices of coalitions evaluate the model on all ``2^d`` subsets of the columns, with those that are left
    out replaced by the masker. Interactions are not attributions: they are not scored, and in no suite.

    Parameters
    ----------
    index : str
        ``shapley_interaction`` (Grabisch & Roubens 1999; Shapley values on the diagonal), ``shapley_taylor``
        (Sundararajan et al. 2020), ``banzhaf_interaction``, ``pair_occlusion``, or ``integrated_hessians`` (Janizek et
        al. 2021), for models with second derivatives.
    model, inputs, targets, background, output, returns, device
        As for `explain`.
    masker : str
        What takes the place of a column that is left out, and where the line of ``integrated_hessians`` starts. With
        ``marginal`` that is one row of the background, drawn per sample, and not their mean.

    Returns
    -------
    array (N, d, d), float64
        Symmetric; main effects on the diagonal, the interaction of a pair in both of its places. With
        ``shapley_taylor`` the diagonal and the part above it, with ``integrated_hessians`` all entries, add up to the
        output's difference from the sample with every column replaced.

    Raises
    ------
    UsageError
        If there is no such index.
    UnsupportedError
        If the inputs are not a table, have more than 12 columns (32 for ``integrated_hessians``) or fewer than two, if
        the masker draws again for every coalition, and if integrated Hessians do not add up, as in networks of ReLUs.

    Examples
    --------
    A product of two columns is an interaction and nothing else; integrated Hessians give half of it to main effects:

    >>> import numpy as np
    >>> import xaibench as xb
    >>> model = lambda a: np.stack([a[:, 0] * a[:, 1] + a[:, 2], a[:, 2]], axis=1)
    >>> x = [[2.0, 3.0, 5.0]]
    >>> xb.interactions("shapley_taylor", model=model, returns="logit", inputs=x, targets=[0])[0].tolist()
    [[0.0, 6.0, 0.0], [6.0, 0.0, 0.0], [0.0, 0.0, 5.0]]
    """
    shared = assemble_problem(
        model,
        inputs,
        targets,
        background=background,
        output=output,
        returns=returns,
        device=device,
        truth_kind="model",
        categorical_features=(),
        **dict.fromkeys(_NOT_GIVEN),
    )
    found: Array = find_interactions(shared.everything(), index, masker).cpu().numpy()
    return found
