"""Result frames with known answers, exactly as the store gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from xaibench.core.keys import digest
from xaibench.store.schema import Row, to_table

CONTROLS = frozenset({"random", "random_smooth", "other_sample", "constant", "input_edges", "oracle"})


def make_results(
    scores: Mapping[str, Any],
    *,
    dataset: str = "digits",
    model: str = "cnn",
    metric: str = "pixel_flipping",
    params: str = "{}",
    family: str = "faithfulness",
    higher_is_better: bool = True,
    aggregate: str = "mean",
    skill_valid: bool = False,
    problem_seed: int = 0,
    seed: int = 0,
    gates: Sequence[dict[str, Any]] = ({"name": "accuracy", "value": 0.95, "threshold": 0.9, "at_least": True},),
    sample_ids: Sequence[str] | None = None,
    truth_kind: str | None = None,
    fingerprint: str | None = "weights",
    messages: Mapping[str, str] | None = None,
    output: str = "logit",
    asked_output: str | None = None,
    scope: str | None = "sample",
) -> pd.DataFrame:
    """Cells of one metric on one problem.

    Parameters
    ----------
    scores : mapping
        Explainer to (n,) scores, to (repeats, n) scores, or to a status without scores.
    gates : sequence of dict
    messages : mapping
        Explainer to the message of its cell.
    """
    rows = []
    passed = all(g["value"] >= g["threshold"] if g["at_least"] else g["value"] <= g["threshold"] for g in gates)
    for explainer, given in scores.items():
        nothing = isinstance(given, str)
        matrix = np.empty((1, 0)) if nothing else np.atleast_2d(np.asarray(given, dtype=np.float64))
        for repeat, values in enumerate(matrix):
            ids = sample_ids if sample_ids is not None else [f"s{i}" for i in range(len(values))]
            defined = np.isfinite(values).any()
            identity = digest(dataset, model, metric, params, asked_output, problem_seed, seed, explainer, repeat)
            rows.append(
                Row(
                    cell_id=identity, lineage=identity, unit_id=digest(dataset, model, explainer), dataset=dataset,
                    model=model, problem_seed=problem_seed, selection="first", explainer=explainer,
                    explainer_params="{}", seed=seed, repeat=repeat, metric=metric, params=params, family=family,
                    higher_is_better=higher_is_better, aggregate=aggregate, skill_valid=skill_valid,
                    control=explainer in CONTROLS, versions="{}",
                    status=given if nothing else "ok" if defined else "undefined", run=1,
                    created=datetime(2026, 1, 1, tzinfo=UTC), asked_output=asked_output,
                    output=None if nothing else asked_output or output,
                    truth_kind=truth_kind, gate_passed=None if nothing and given == "unsupported" else passed,
                    gates="[]" if nothing and given == "unsupported" else json.dumps(list(gates)),
                    fingerprint=None if nothing else fingerprint, message=(messages or {}).get(explainer),
                    error_kind="RuntimeError" if nothing and given == "failed" else None,
                    scores=values.tolist(), sample_ids=[] if nothing else list(ids), n=len(values),
                    n_undefined=int(np.isnan(values).sum()), explain_seconds=None if nothing else 0.5,
                    score_seconds=None if nothing else 0.25, scope=scope,
                )
            )  # fmt: skip
    return to_table(rows).to_pandas()


def concat(*frames: pd.DataFrame) -> pd.DataFrame:
    """One frame of several."""
    return pd.concat([f.astype({"gate_passed": object}) for f in frames], ignore_index=True)
