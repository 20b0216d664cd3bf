"""Evaluation: what a metric is given, one explanation of one problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.explain_request import AS_BEFORE, ExplainRequest
from xaibench.core.masking.maskers import Masker
from xaibench.core.pairs import Pair
from xaibench.core.problem import Samples
from xaibench.core.retraining import Retraining
from xaibench.core.storage.cache import MemoryCache, SharedCache
from xaibench.core.truth import Truth


@dataclass(frozen=True)
class Evaluation(Samples):
    """One explanation of N samples, ready to be scored. Metrics must not change anything in it.

    Attributes
    ----------
    attributions : Tensor (N, *feature_shape)
    kind : {"slope", "contribution", "saliency"}
        What the attributions mean.
    truth : Truth or None
    explainer : callable or None
        What made the attributions; metrics call it by `explain`.
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
    explainer: Callable[[ExplainRequest], Tensor] | None = field(default=None, kw_only=True)
    cache: MemoryCache = field(default_factory=MemoryCache, kw_only=True)
    shared: SharedCache = field(default_factory=SharedCache, kw_only=True)
    retraining: Retraining | None = field(default=None, kw_only=True)
    pairs: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict, kw_only=True)

    @classmethod
    def of(cls, samples: Samples, **given: Any) -> Evaluation:
        """The evaluation of an explanation of these samples; ``given`` are the fields that samples lack."""
        return cls(**{f.name: getattr(samples, f.name) for f in fields(Samples)}, **given)

    def explain(self, request: ExplainRequest = AS_BEFORE) -> Tensor:
        """Explain again with the explainer that made these attributions.

        Parameters
        ----------
        request : ExplainRequest
            Other inputs, another model, other targets; by default the samples as they are.

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
        return self.explainer(request)

    def reuse(self, key: str, compute: Callable[[], Any]) -> Any:
        """Compute once per explanation: metrics with the same key share the value."""
        return self.cache.get(key, compute)

    def masker(self, name: str) -> Masker:
        """The named masker, bound to these samples and made once per explanation."""
        made: Masker = self.reuse(f"masker/{name}", lambda: super(Evaluation, self).masker(name))
        return made

    def cache_with_masker(self, name: str) -> MemoryCache:
        """A new cache that holds the named masker: that depends on the samples, not on what explains them."""
        cache, made = MemoryCache(), self.masker(name)
        cache.get(f"masker/{name}", lambda: made)
        return cache

    def with_attributions(self, attributions: Tensor, kind: str) -> Evaluation:
        """The same evaluation with converted attributions, and a cache of its own."""
        return replace(self, attributions=attributions, kind=kind, cache=MemoryCache())
