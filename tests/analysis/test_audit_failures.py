"""A metric that raises on every explanation does not run; one that is unsupported, or raises on some, does."""

from __future__ import annotations

import pandas as pd
import pytest

from xaibench.analysis.audit.failures import metrics_that_fail


def cells(**statuses: list[str]) -> pd.DataFrame:
    same = {"dataset": "d", "model": "m", "selection": "test[:4]", "params": "{}", "asked_output": None}
    rows = [
        {
            **same, "metric": metric,
            "family": "faithfulness", "status": status, "message": "AttributeError: no trapz\nmore" if i == 0 else None,
            "seed": i % 2, "explainer": f"e{i}", "explainer_params": "{}",
        }
        for metric, found in statuses.items()
        for i, status in enumerate(found)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_every_explanation_has_to_fail() -> None:
    found = list(
        metrics_that_fail(
            cells(broken=["failed", "timeout", "unsupported"], works=["failed", "ok"], none=["unsupported"] * 2)
        )
    )
    assert [row["metric"] for row in found] == ["broken"]
    assert found[0]["verdict"] == "does not run"
    assert found[0]["diagnosis"] == "raises on every explanation: AttributeError: no trapz"
    assert (found[0]["n_explanations"], found[0]["n_seeds"], found[0]["trust"]) == (2, 2, 0.0)


@pytest.mark.parametrize("statuses", [["undefined", "failed"], ["ok"], []])
def test_anything_that_was_scored_is_judged_by_its_scores(statuses: list[str]) -> None:
    frame = cells(m=statuses) if statuses else cells(m=["ok"]).iloc[:0]
    assert not list(metrics_that_fail(frame))
