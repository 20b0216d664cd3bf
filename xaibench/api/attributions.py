"""Attributions: an array of explanations that also knows what made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex, cast

import numpy as np
import numpy.typing as npt

from xaibench.core.components import ATTRIBUTION_KINDS, AttributionKind, ExplainerSpec
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.keys import row_digests
from xaibench.core.types import Array


@dataclass(frozen=True)
class ExplanationOrigin:
    """What made attributions, in enough detail to make them again.

    Attributes
    ----------
    explainer : str
        Its name, or a name that the caller gave.
    params : mapping
        All parameters of the explainer, defaults included.
    kind : {"slope", "contribution", "saliency"}
    maps : tuple of bytes
        Digest of every map: what was changed since is not what the explainer made.
    spec : ExplainerSpec or None
        What explains again; None for attributions that were made elsewhere.
    seed : int
        Of the explainer's draws.
    output : str or None
        The output that was explained.
    samples : tuple of bytes
        Digests of the inputs, in the order of the maps; empty where they are unknown.
    targets : tuple of int, or of pairs of int
        With their foils, where a contrast was explained.
    background : str
        Digest of the reference samples.
    truth : tuple of bytes
        Digests of the truth of every sample, where the explainer was shown it.
    model : str
        Digest of the weights; empty for a black box.
    """

    explainer: str
    params: Mapping[str, Any]
    kind: AttributionKind
    maps: tuple[bytes, ...]
    spec: ExplainerSpec | None = None
    seed: int = 0
    output: str | None = None
    samples: tuple[bytes, ...] = ()
    targets: tuple[int | tuple[int, int], ...] = ()
    background: str = ""
    truth: tuple[bytes, ...] = ()
    model: str = ""

    def rows(self, chosen: Array) -> ExplanationOrigin:
        """The origin of some of the maps."""

        def of(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(values[i] for i in chosen) if values else ()

        return replace(
            self, maps=of(self.maps), samples=of(self.samples), targets=of(self.targets), truth=of(self.truth)
        )


class Attributions(np.ndarray[Any, np.dtype[np.float32]]):
    """Explanations (N, *features): an array that also knows its explainer, parameters, kind and seed.

    `explain` returns them; metrics that explain again use the very parameters that made them. It is a
    NumPy array everywhere else. Rows that are selected along the first axis (``a[3:5]``, ``a[mask]``)
    are attributions again; the results of arithmetic, other selections and views are plain arrays, or
    have no origin any more, and so do maps that were changed in place.

    Parameters
    ----------
    values : array (N, *features)
        Maps that were made elsewhere; `explain` makes its own.
    explainer : str
        A name for what made them, for tables.
    kind : {"slope", "contribution", "saliency"}
        What the numbers mean: gradient-like, summing to an output difference, or unsigned.

    Attributes
    ----------
    explainer : str or None
        None where the origin is unknown.
    params : mapping
        All parameters of the explainer, defaults included.
    kind : str
    seed : int
    output : str or None
        The output that was explained.

    Raises
    ------
    UsageError
        If the values are not numbers (N, ...), or the kind or the name is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> model = lambda a: np.stack([a @ [2.0, -1.0], a @ [0.0, 0.0]], axis=1)
    >>> maps = xb.explain("kernel_shap", model=model, returns="logit", inputs=np.ones((3, 2)), n_samples=64)
    >>> maps.explainer, maps.params["n_samples"], maps.kind, maps[1:].shape
    ('kernel_shap', 64, 'contribution', (2, 2))

    Maps of another library:

    >>> xb.Attributions([[0.5, 0.25]], explainer="theirs", kind="contribution")
    Attributions([[0.5 , 0.25]], explainer='theirs', kind='contribution')
    """

    _origin: ExplanationOrigin | None = None

    def __new__(
        cls, values: npt.ArrayLike, *, explainer: str = "given", kind: AttributionKind = "contribution"
    ) -> Attributions:
        if kind not in ATTRIBUTION_KINDS:
            raise UsageError(f"unknown kind {kind!r}", did_you_mean(str(kind), ATTRIBUTION_KINDS))
        if not isinstance(explainer, str) or not explainer:
            raise UsageError("a name of an explainer is a text", 'explainer="theirs"')
        try:
            array = np.array(values, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise UsageError(
                "attributions are not an array of numbers", "give one map per sample, all alike"
            ) from error
        if array.ndim < 2:
            raise UsageError(f"attributions have shape {array.shape}", "give one map per sample, (N, *features)")
        return with_origin(array, ExplanationOrigin(explainer, {}, kind, row_digests(array)))

    def __array_finalize__(self, source: Any) -> None:
        self._origin = None

    def __array_wrap__(self, array: Array, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else array.view(np.ndarray)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if not isinstance(found, np.ndarray):
            return found
        rows = None if self._origin is None else _rows(key, len(self), self.ndim)
        plain = found.view(np.ndarray)
        return plain if rows is None or self._origin is None else with_origin(plain, self._origin.rows(rows))

    def copy(self, order: Any = "C") -> Attributions:
        """A copy, of the same origin."""
        return with_origin(np.array(self, order=order), self._origin)

    def __copy__(self) -> Attributions:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Attributions:
        return self.copy()

    def __reduce__(self) -> Any:
        # A function of the caller need not be importable: without it the maps can be scored, and not made again.
        origin = self._origin
        if origin is not None and origin.spec is not None and not origin.spec.registered:
            origin = replace(origin, spec=None)
        return with_origin, (np.array(self), origin)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return self.__reduce__()

    def __repr__(self) -> str:
        origin = self._origin
        if origin is None:
            return super().__repr__()
        numbers = np.array2string(np.asarray(self), separator=", ", prefix="Attributions(", threshold=200)
        facts = [f"explainer={origin.explainer!r}", f"kind={origin.kind!r}"]
        if origin.spec is not None:
            facts += [f"params={dict(origin.params)!r}", f"seed={origin.seed}", f"output={origin.output!r}"]
        return f"Attributions({numbers}, {', '.join(facts)})"

    @property
    def explainer(self) -> str | None:
        return None if self._origin is None else self._origin.explainer

    @property
    def params(self) -> dict[str, Any]:
        return {} if self._origin is None else dict(self._origin.params)

    @property
    def kind(self) -> str | None:
        return None if self._origin is None else self._origin.kind

    @property
    def seed(self) -> int | None:
        return None if self._origin is None else self._origin.seed

    @property
    def output(self) -> str | None:
        return None if self._origin is None else self._origin.output


def with_origin(values: Array, origin: ExplanationOrigin | None) -> Attributions:
    """The array as attributions of this origin."""
    made = values.view(Attributions)
    made._origin = origin
    return made


def origin_of(values: Any) -> ExplanationOrigin | None:
    """What made attributions; None for any other array, and for maps that were changed since."""
    origin = values._origin if isinstance(values, Attributions) else None
    return origin if origin is not None and origin.maps == row_digests(np.asarray(values)) else None


def _rows(key: Any, n: int, ndim: int) -> Array | None:
    """The rows that an index selects, all else staying as it is; None for any other index."""
    if isinstance(key, tuple):
        rest = key[1:]
        if not key or len(key) > ndim or any(not isinstance(k, slice) or k != slice(None) for k in rest):
            return None
        key = key[0]
    if key is Ellipsis:
        return np.arange(n)
    if isinstance(key, list):
        key = np.asarray(key, dtype=None if key else np.int64)
    if not isinstance(key, slice) and (not isinstance(key, np.ndarray) or key.ndim != 1):
        return None
    return cast(Array, np.arange(n)[key])
