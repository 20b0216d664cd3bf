"""Evaluation: what a metric is given, one explanation of one problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.masking.maskers import Masker
from xaibench.core.pairs import Pair
from xaibench.core.predictor import Predictor
from xaibench.core.problem import Samples
from xaibench.core.retraining import Retraining
from xaibench.core.storage.cache import MemoryCache, SharedCache
from xaibench.core.truth import Truth


class Explain(Protocol):
    """Explains again: other inputs, another model, other targets; draws stay those of the samples."""

    def __call__(
        self,
        *,
        model: Predictor | None = None,
        inputs: Tensor | None = None,
        rows: Tensor | None = None,
        targets: Tensor | None = None,
        samples: Samples | None = None,
        background: Tensor | None = None,
        pair: Pair | None = None,
        redraw: int = 0,
    ) -> Tensor: ...


@dataclass(frozen=True)
class Evaluation(Samples):
    """One explanation of N samples, ready to be scored. Metrics must not change anything in it.

    Attributes
    ----------
    attributions : Tensor (N, *feature_shape)
    kind : {"slope", "contribution", "saliency"}
        What the attributions mean.
    truth : Truth or None
    cache : MemoryCache
        Values that metrics of this explanation share, such as removal curves.
    shared : SharedCache
        Values that do not depend on the explanation, shared by all explainers of the problem.
    retraining : Retraining or None
        The whole data set and how the model is fitted, for metrics that retrain.
    pairs : mapping of str to tuple of Pair
        The samples seen otherwise, by the need that this meets, such as ``model_pair.contrast``.

    Examples
    --------
    A metric is given an evaluation and returns a score for every sample:

    >>> import xaibench as xb
    >>> @xb.metric("positive_share", family="complexity", higher_is_better=True, bounds=(0, 1))
    ... def positive_share(ev: xb.Evaluation):
    ...     return (ev.attributions > 0).float().flatten(1).mean(dim=1)
    >>> model = lambda a: a
    >>> xb.score("positive_share", model=model, inputs=[[0.25, 0.75]], attributions=[[3.0, -1.0]]).tolist()
    [0.5]
    """

    attributions: Tensor = field(kw_only=True)
    kind: str = field(default="contribution", kw_only=True)
    truth: Truth | None = field(default=None, kw_only=True)
    explainer: Explain | None = field(default=None, kw_only=True)
    cache: MemoryCache = field(default_factory=MemoryCache, kw_only=True)
    shared: SharedCache = field(default_factory=SharedCache, kw_only=True)
    retraining: Retraining | None = field(default=None, kw_only=True)
    pairs: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict, kw_only=True)

    @classmethod
    def of(cls, samples: Samples, **given: Any) -> Evaluation:
        """The evaluation of an explanation of these samples; ``given`` are the fields that samples lack."""
        return cls(**{f.name: getattr(samples, f.name) for f in fields(Samples)}, **given)

    def explain(
        self,
        *,
        model: Predictor | None = None,
        inputs: Tensor | None = None,
        rows: Tensor | None = None,
        targets: Tensor | None = None,
        samples: Samples | None = None,
        background: Tensor | None = None,
        pair: Pair | None = None,
        redraw: int = 0,
    ) -> Tensor:
        """Explain again with the explainer that made these attributions.

        Parameters
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

        Returns
        -------
        Tensor (B, *feature_shape)

        Raises
        ------
        UnsupportedError
            If only attributions were given, and nothing that makes them.
        """
        if self.explainer is None:
            raise UnsupportedError("this metric explains again", "pass explain=, the explainer or a callable")
        return self.explainer(
            model=model,
            inputs=inputs,
            rows=rows,
            targets=targets,
            samples=samples,
            background=background,
            pair=pair,
            redraw=redraw,
        )

    def reuse(self, key: str, compute: Callable[[], Any]) -> Any:
        """Compute once per explanation: metrics with the same key share the value."""
        return self.cache.get(key, compute)

    def masker(self, name: str) -> Masker:
        """The named masker, bound to these samples and made once per explanation."""
        made: Masker = self.reuse(f"masker/{name}", lambda: super(Evaluation, self).masker(name))
        return made

    def with_attributions(self, attributions: Tensor, kind: str) -> Evaluation:
        """The same evaluation with converted attributions, and a cache of its own."""
        return replace(self, attributions=attributions, kind=kind, cache=MemoryCache())
