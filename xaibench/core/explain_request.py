"""Explain request: a repeated call of an explainer, and what differs from the first call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from xaibench.core.pairs import Pair
    from xaibench.core.predictor import Predictor
    from xaibench.core.problem import Samples


@dataclass(frozen=True, kw_only=True, eq=False)
class ExplainRequest:
    """What a metric asks the explainer to explain again; see `Evaluation.explain`.

    Whatever is not given stays as it was when the attributions were made, draws included.

    Attributes
    ----------
    model : Predictor, optional
        Another model, for example with random weights.
    inputs : Tensor (B, *input_shape), optional
        Perturbed copies of the samples.
    rows : Tensor (B,) of int64, optional
        Which sample each copy belongs to; needed when B differs from N. The copy is explained
        with the draws of that sample, so Monte-Carlo noise does not look like instability.
    targets : Tensor (B,) of int64, optional
        Explain other outputs than the samples' own targets.
    samples : Samples, optional
        Explain these instead, each with the draws of its own digest: training data, for
        example. A `ProblemView` brings its truth along for the oracle.
    background : Tensor (M, *input_shape), optional
        Other reference samples, where the whole world of the inputs moves.
    pair : Pair, optional
        The samples seen otherwise: its model and its inputs in place of the samples' own. Fewer
        inputs than samples are for the first ones. An explainer that is given the truth is
        given that of the pair.
    redraw : int
        Not 0: use fresh draws, a different set for every number.

    Examples
    --------
    How far an explanation moves when the inputs are made a tenth larger:

    >>> import xaibench as xb
    >>> @xb.metric("change_when_larger", family="robustness", higher_is_better=False, needs={"reexplain"})
    ... def change_when_larger(ev: xb.Evaluation):
    ...     again = ev.explain(xb.ExplainRequest(inputs=1.1 * ev.inputs))
    ...     return (again - ev.attributions).abs().flatten(1).amax(dim=1)
    >>> model = lambda a: a
    >>> x = [[0.25, 0.75], [1.0, 0.0]]
    >>> found = xb.score("change_when_larger", model=model, inputs=x, explain="feature_ablation")
    >>> [f"{score:.3f}" for score in found]
    ['0.075', '0.100']
    """

    model: Predictor | None = None
    inputs: Tensor | None = None
    rows: Tensor | None = None
    targets: Tensor | None = None
    samples: Samples | None = None
    background: Tensor | None = None
    pair: Pair | None = None
    redraw: int = 0


AS_BEFORE = ExplainRequest()
"""The samples as they are, with the same draws."""
