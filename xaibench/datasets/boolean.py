"""Boolean functions and the features that are relevant in the sense of minimal sufficient reasons."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

MOST_VARIABLES = 8


@dataset("boolean", features="table", provides={"truth.mask"})
def boolean(
    *,
    seed: int,
    variables: Annotated[int, Ge(2), Le(MOST_VARIABLES)] = 4,
    functions: Annotated[int, Ge(2)] = 200,
) -> Data:
    """Random functions from {0, 1}^d to {0, 1}, one instance of each, and the variables that are relevant there.

    A set of variables is sufficient at x if the function stays the same whatever the others are, and a variable is
    relevant if it is in a minimal sufficient set (Huang & Marques-Silva 2023, The inadequacy of Shapley values for
    explainability). Which numbers relevant variables deserve is open; that irrelevant ones deserve none is not.

    Parameters
    ----------
    seed : int
    variables : int
        d.
    functions : int
        Drawn evenly from all 2^(2^d); every output of the model is one of them, and every sample is an instance of one.

    Notes
    -----
    The background holds every instance once, so that its mean is one half everywhere and means over it are those under
    the uniform distribution. The truth is exhaustive, and exact.
    """
    rng = generator("boolean", seed, variables)
    tables = rng.integers(0, 2, (functions, 2**variables)).astype(np.int64)
    chosen = rng.integers(0, 2**variables, functions)
    instances = corners(variables)
    relevant = relevant_variables(tables)
    columns = np.arange(functions)
    rows = instances[chosen].astype(np.float32)
    return Data(
        "table",
        np.resize(instances, (max(functions, len(instances)), variables)).astype(np.float32),
        np.resize(columns, max(functions, len(instances))),
        rows,
        columns,
        test_mask=relevant[columns, chosen],
        feature_names=tuple(f"x{j}" for j in range(variables)),
        class_names=tuple(f"f{c}" for c in columns),
        # Functions differ where rows do not: draws are of the function and its instance.
        test_rows=np.concatenate([columns[:, None].astype(np.float32), rows], axis=1),
        background=instances.astype(np.float32),
        accuracy_floor=None,
        facts={"tables": tables.astype(np.float32)},
    )


def corners(d: int) -> Array:
    """All instances (2^d, d) of 0 and 1; row i holds the bits of i, the last variable first."""
    return (np.arange(2**d)[:, None] >> np.arange(d)) & 1


@cache
def _subsets(d: int) -> tuple[Array, Array]:
    """All subsets (2^d, d) of bool, smaller ones first, and of every subset and instance all completions.

    Returns
    -------
    subsets : array (2^d, d) of bool
    completions : array (2^d, 2^d, 2^d) of bool
        Whether instance k agrees with instance i on subset s, for (s, i, k).
    """
    members = np.array(sorted(itertools.product([False, True], repeat=d), key=sum))
    instances = corners(d)
    agrees = instances[:, None, :] == instances[None, :, :]
    completions = (agrees[None] | ~members[:, None, None, :]).all(axis=-1)
    return members, completions


def relevant_variables(tables: Array) -> Array:
    """Variables in some minimal sufficient set, for every function and instance: array (F, 2^d, d) of bool.

    Parameters
    ----------
    tables : array (F, 2^d)
        Values of the functions at `corners`.

    Examples
    --------
    At (0, 1), where ``or`` is true because of the second variable alone, the first one is irrelevant:

    >>> import numpy as np
    >>> from xaibench.datasets.boolean import corners, relevant_variables
    >>> either = corners(2).any(axis=1)[None]
    >>> corners(2)[2].tolist(), relevant_variables(either)[0, 2].tolist()
    ([0, 1], [False, True])
    """
    return minimal_sufficient(tables)[1]


def minimal_sufficient(tables: Array) -> tuple[Array, Array, Array]:
    """Minimal sufficient sets of every function and instance, by exhaustion.

    Returns
    -------
    minimal : array (F, 2^d, 2^d) of bool
        Whether a subset, in the order of their sizes, is a minimal sufficient set of an instance.
    relevant : array (F, 2^d, d) of bool
    responsibility : array (F, 2^d, d)
        1 over the size of the smallest minimal sufficient set that has the variable, 0 without one.
    """
    d = int(math.log2(tables.shape[1]))
    members, completions = _subsets(d)
    sizes = members.sum(axis=1)
    values = np.asarray(tables, np.int64)
    # The function is constant on a face if its sum there is none or all of the face.
    ones = np.einsum("fk,sik->fis", values, completions.astype(np.int64))
    whole = completions.sum(axis=2).T
    sufficient = (ones == 0) | (ones == whole[None])
    below = (members[:, None, :] <= members[None, :, :]).all(axis=2) & ~np.eye(len(members), dtype=bool)
    minimal = sufficient & ~(np.einsum("fit,ts->fis", sufficient.astype(np.int64), below.astype(np.int64)) > 0)
    relevant = np.einsum("fis,sj->fij", minimal.astype(np.int64), members.astype(np.int64)) > 0
    share = np.where(sizes > 0, 1 / np.maximum(sizes, 1), 0.0)
    responsibility = (minimal[..., None] * (members * share[:, None])[None, None]).max(axis=2)
    return minimal, relevant, responsibility


def shapley_values(tables: Array) -> Array:
    """Exact Shapley values under the uniform distribution, for every function and instance: array (F, 2^d, d).

    The value of a set is the mean of the function over all completions of the instance on it.
    """
    d = int(math.log2(tables.shape[1]))
    members, completions = _subsets(d)
    sizes = members.sum(axis=1)
    means = np.einsum("fk,sik->fis", np.asarray(tables, np.float64), completions / completions.sum(axis=2)[..., None])
    weight_in = np.array([math.factorial(max(s - 1, 0)) * math.factorial(d - s) / math.factorial(d) for s in sizes])
    weight_out = np.array([math.factorial(s) * math.factorial(max(d - s - 1, 0)) / math.factorial(d) for s in sizes])
    weights = np.where(members, weight_in[:, None], -weight_out[:, None])
    found: Array = np.einsum("fis,sj->fij", means, weights)
    return found
