"""Registration of data sets and models."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from xaibench.core.data_specs import DatasetSpec, ModelSpec
from xaibench.core.features import FeatureKind
from xaibench.core.registry import F, registering


def dataset(
    name: str,
    *,
    features: FeatureKind,
    version: int = 1,
    provides: Iterable[str] = (),
    unlabelled: Iterable[str] = (),
) -> Callable[[F], F]:
    """Register ``function(*, seed: int, ...) -> Data``; ``provides`` names truths such as ``truth.mask``.

    A parameter ``suite_folder`` is given the folder of the suite, which relative paths start from. ``unlabelled`` names
    parameters that the names of problems do not show.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> @xb.dataset("coins", features="table", version=1)
    ... def coins(*, seed: int, n: int = 20) -> xb.Data:
    ...     rows = np.random.default_rng(seed).normal(size=(n, 2)).astype("float32")
    ...     sides = (rows[:, 0] > 0).astype("int64")
    ...     return xb.Data("table", rows, sides, rows, sides)
    >>> coins(seed=0).n_classes
    2
    """
    return registering(
        lambda f: DatasetSpec(
            name,
            f,
            version=version,
            features=features,
            provides=frozenset(provides),
            unlabelled=frozenset(unlabelled),
        )
    )


def model(
    name: str,
    *,
    version: int = 1,
    provides: Iterable[str] | None = None,
    features: Iterable[str] | None = None,
) -> Callable[[F], F]:
    """Register ``function(data: Data, *, seed: int, ...) -> model``.

    The result is a `torch.nn.Module` that returns logits, a fitted scikit-learn estimator, or a
    callable from (N, ...) to (N, C) probabilities.

    Parameters
    ----------
    provides : iterable of str, optional
        ``gradients``, ``module``, ``truth.weights``. None: found out when the model is built.
    features : iterable of str, optional
        Kinds of data that it takes. None: any.

    Examples
    --------
    >>> import xaibench as xb
    >>> @xb.model("coin_tree", version=1)
    ... def coin_tree(data: xb.Data, *, seed: int, depth: int = 3):
    ...     from sklearn.tree import DecisionTreeClassifier
    ...     return DecisionTreeClassifier(max_depth=depth, random_state=seed).fit(data.train_inputs, data.train_targets)
    >>> xb.components("model").set_index("name").loc["coin_tree", "parameters"]
    {'depth': 3}
    """
    return registering(
        lambda f: ModelSpec(
            name,
            f,
            version=version,
            provides=None if provides is None else frozenset(provides),
            features=None if features is None else frozenset(features),
        )
    )
