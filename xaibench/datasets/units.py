"""Behaviours of tables with known relevance (after XAI-Units, Lee et al. 2025): one formula, one trap each."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

Behaviour = Literal["cancel", "interact", "saturate", "product", "absence", "common_cause", "shatter"]
ExplainedAs = Literal["logit", "probability"]
N_UNIT_COLUMNS = 8


@dataset("units", features="table", provides={"truth.mask"})
def units(
    *,
    seed: int,
    behaviour: Behaviour = "cancel",
    explained: ExplainedAs = "logit",
    samples: Annotated[int, Ge(10)] = 500,
) -> Data:
    """Rows of eight columns, a formula of one behaviour, and which columns are relevant in each row.

    Parameters
    ----------
    seed : int
    behaviour : {"cancel", "interact", "saturate", "product", "absence", "common_cause", "shatter"}
        What the formula does, with weights w and numbers x of sizes from .5 to 1.5 and either sign:

        - ``cancel``: four pairs ``w x (1 - c)`` with switches c in {0, 1}. Relevant are switches, and x where c = 0.
        - ``interact``: a switch s in {0, 1} selects the weights of four x, and adds a number. Relevant are all five.
        - ``saturate``: ``min(sum of x, 1)``, x in {0, 1}, with at least two ones. Relevant are the ones: each of them
          suffices, and a zero is in no minimal sufficient reason.
        - ``product``: ``x0 x1 x2 + w3 x3 + w4 x4``. Relevant are these five.
        - ``absence``: ``relu(1 - x0) (w1 x1 + w2 x2 + w3 x3)`` where x0 = 0. Relevant are these four, and x0 by its
          absence.
        - ``common_cause``: both logits share the term ``3 x0``, and ``w1 x1 + w2 x2 + w3 x3`` separates them. For
          the logit x0 is relevant, for the probability it is not.
        - ``shatter``: ``w x`` plus ripples of height .01 and slope 10. All columns are relevant; the trap is the slope.
    explained : {"logit", "probability"}
        For which output the relevance of ``common_cause`` is meant; the suite has to explain that output.
    samples : int
        Rows for testing, and as many for the background.

    Notes
    -----
    The formula is explained as the logit of class 1, which is every label, by the model `units`. The truth is a set of
    relevant columns and not an attribution: which number each of them deserves is disputed, which of them the output
    depends on is not.
    """
    rng = generator("units", seed, behaviour)
    weights = _sizes(rng, (2, N_UNIT_COLUMNS))
    split = {name: _rows(behaviour, rng, samples, background=name == "train") for name in ("train", "test")}
    mask = _relevant(behaviour, split["test"], explained)
    labels = np.ones(samples, np.int64)
    return Data(
        "table",
        split["train"],
        labels,
        split["test"],
        labels,
        test_rows=split["test"],
        test_mask=mask,
        feature_names=tuple(f"x{j}" for j in range(N_UNIT_COLUMNS)),
        class_names=("no", "yes"),
        accuracy_floor=None,
        facts={"behaviour": behaviour, "weights": weights},
    )


def _sizes(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers whose sizes are from U(.5, 1.5), with either sign."""
    found: Array = (rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape)).astype(np.float32)
    return found


def _rows(behaviour: Behaviour, rng: np.random.Generator, n: int, *, background: bool) -> Array:
    """Rows (n, 8); where something is absent in all samples it is there in half of the background."""
    rows = _sizes(rng, (n, N_UNIT_COLUMNS))
    coins = rng.integers(0, 2, (n, N_UNIT_COLUMNS)).astype(np.float32)
    if behaviour == "cancel":
        rows[:, 1::2] = coins[:, 1::2]
    elif behaviour == "interact":
        rows[:, 4] = coins[:, 4]
    elif behaviour == "absence":
        rows[:, 0] = coins[:, 0] if background else 0
    elif behaviour == "saturate":
        rows = coins
        if not background:
            # From two to six ones: otherwise there is nothing to distinguish, or nothing to saturate.
            count = rng.integers(2, N_UNIT_COLUMNS - 1, n)
            place = rng.random((n, N_UNIT_COLUMNS)).argsort(axis=1).argsort(axis=1)
            rows = (place < count[:, None]).astype(np.float32)
    return rows


def _relevant(behaviour: Behaviour, rows: Array, explained: ExplainedAs) -> Array:
    """Columns that the output depends on, array (N, 8) of bool."""
    mask = np.zeros(rows.shape, bool)
    if behaviour == "cancel":
        mask[:, 1::2] = True
        mask[:, ::2] = rows[:, 1::2] == 0
    elif behaviour == "saturate":
        mask[:] = rows == 1
    elif behaviour == "common_cause":
        mask[:, 1:4] = True
        mask[:, 0] = explained == "logit"
    else:
        mask[:, : {"interact": 5, "product": 5, "absence": 4, "shatter": N_UNIT_COLUMNS}[behaviour]] = True
    return mask
