"""A metric that raises on every explanation does not run; one that is unsupported, or raises on some, does."""

from __future__ import annotations

import pandas as pd
import pytest

from xaibench.analysis.audit.failures import judged_with_failures, metrics_that_fail, partial_failures


def cells(**statuses: list[str]) -> pd.DataFrame:
    same = {"dataset": "d", "model": "m", "selection": "test[:4]", "params": "{}", "asked_output": None}
    rows = [
        {
            **same, "metric": metric,
            "family": "faithfulness", "status": status, "message": "AttributeError: no trapz\nmore" if i == 0 else None,
            "seed": i % 2, "explainer": f"e{i}", "explainer_params": "{}", "control": False,
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


def test_some_that_fail_are_said_and_decide_where_the_others_say_nothing() -> None:
    found = partial_failures(cells(some=["failed", "ok", "ok", "unsupported"], all=["failed"], none=["ok"]))
    assert [failure.said for failure in found.values()] == ["raises on 1 of 3 explanations: AttributeError: no trapz"]
    row = {"dataset": "d", "model": "m", "selection": "test[:4]", "metric": "some", "params": "{}", "asked_output": ""}
    judged = {**row, "verdict": "weak", "trust": 0.5, "diagnosis": "weak trend", "constant": False}
    said = judged_with_failures(judged, found)
    assert (said["verdict"], said["trust"]) == ("weak", 0.5)
    assert said["diagnosis"] == "weak trend; raises on 1 of 3 explanations: AttributeError: no trapz"
    nothing = judged_with_failures({**judged, "constant": True, "verdict": "broken"}, found)
    assert (nothing["verdict"], nothing["trust"]) == ("does not run", 0.0)
    assert nothing["diagnosis"].endswith("; all others get the same score")
    assert judged_with_failures({**judged, "metric": "none"}, found)["diagnosis"] == "weak trend"


def test_a_metric_that_refuses_a_control_alone_runs_and_is_judged_by_its_constant_score() -> None:
    frame = cells(some=["failed", "ok", "ok"])
    found = partial_failures(frame.assign(control=[True, False, False]))
    row = {"dataset": "d", "model": "m", "selection": "test[:4]", "metric": "some", "params": "{}", "asked_output": ""}
    judged = {**row, "verdict": "broken", "trust": 0.0, "diagnosis": "constant", "constant": True}
    said = judged_with_failures(judged, found)
    assert said["verdict"] == "broken"
    assert said["diagnosis"] == "constant; raises on 1 of 3 explanations: AttributeError: no trapz"
    assert judged_with_failures(judged, partial_failures(frame))["verdict"] == "does not run"
