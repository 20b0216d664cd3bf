"""What every table of cases promises: truth and placebos, gates, failures, and the same numbers everywhere."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

import xaibench as xb
from xaibench import suite as suites
from xaibench.core import registry
from xaibench.core.components import MetricSpec
from xaibench.core.program_specs import FunctionsSpec, InterpreterSpec
from xaibench.core.registry import components, get
from xaibench.execution import Options, execute
from xaibench.plan import expand, make_plan
from xaibench.plan.cells import Unit
from xaibench.plan.history import History
from xaibench.problems.preparing import Problems
from xaibench.store import Store

PLUGIN = Path(__file__).parent.parent / "plugins" / "gated_cases.py"
TIMES = ["explain_seconds", "score_seconds", "created", "run", "explain_cached"]


@cache
def tables(name: str) -> dict[tuple[str, str], list[Unit]]:
    """Units of a suite about cases, by problem and metric."""
    found: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in expand(suites.load(name)):
        of = getattr(unit.problem, "functions", None)
        if of is not None and cast(FunctionsSpec, of.spec).holds_cases:
            for metric, _ in unit.metrics:
                found[unit.problem.labels[0], metric.label].append(unit)
    return dict(found)


def is_about_cases(name: str) -> bool:
    entries = (getattr(p, "functions", None) for p in suites.load(name).problems)
    return any(e is not None and cast(FunctionsSpec, get("functions", e.name)).holds_cases for e in entries)


SUITES = [name for name in suites.available() if is_about_cases(name)]


def test_suites_about_cases_are_found() -> None:
    assert {"influence", "scorers", "circuits", "concepts", "concept_cnn", "find_scenes", "synth_sae"} <= set(SUITES)
    shown = {unit.problem.functions.spec.name for name in SUITES for units in tables(name).values() for unit in units}  # type: ignore[union-attr]
    sets = {s.name for s in components("functions") if cast(FunctionsSpec, s).holds_cases}
    assert {s for s in sets if get("functions", s).function.__module__.startswith("xaibench.")} == shown


@pytest.mark.parametrize("name", SUITES)
def test_every_table_has_the_truth_and_every_placebo_of_its_kind(name: str) -> None:
    controls = [cast(InterpreterSpec, s) for s in components("interpreter") if cast(InterpreterSpec, s).control]
    for table, units in tables(name).items():
        kind = cast(FunctionsSpec, units[0].problem.functions.spec).functions  # type: ignore[union-attr]
        wanted = {s.name for s in controls if s.takes_kind(kind)}
        assert {"oracle", "random", "other_case", "constant"} < wanted
        missing = wanted - {unit.spec.name for unit in units}
        assert not missing, (table, missing)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Store]:
    """Every explainer and score of cases on a small copy of every set, by number of workers."""
    plugin = registry.load_module(str(PLUGIN))
    kinds = {of.functions for of in plugin.SETS}
    explainers = [cast(InterpreterSpec, s) for s in components("interpreter") if ours(s)]
    taking = [s for s in explainers if not s.control and any(s.takes_kind(kind) for kind in kinds)]
    document: dict[str, Any] = {
        "name": "everything",
        "random_draws": 2,
        "problem_seeds": [5],
        "problems": [{"functions": f"gated_{of.name}"} for of in plugin.SETS],
        "interpreters": [
            *(
                {
                    "name": s.name,
                    "params": {"steps": min(s.parameters.get("steps", 1), 40)} if "steps" in s.parameters else {},
                }
                for s in taking
            ),
            {"name": "gives_no_answer", "grid": {"how": ["raises", "NaN", "shape", "type"]}},
        ],
        "metrics": [
            s.name
            for s in components("metric")
            if ours(s) and any(cast(MetricSpec, s).takes_kind(kind) for kind in kinds)
        ],
    }
    made = {}
    for workers in (1, 8):
        store = Store(tmp_path_factory.mktemp("store") / str(workers), create=True)
        plan = make_plan(suites.parse(document), history=History.of(store), fingerprint=Problems(None).fingerprint)
        outcome = execute(plan, store, Options(workers=workers, plugins=(str(PLUGIN),)))
        assert (outcome.end, outcome.n_failed) == ("finished", 0)
        made[workers] = store
    return made


def ours(spec: Any) -> bool:
    return bool(spec.function.__module__.startswith("xaibench."))


def get_metric(name: str) -> MetricSpec:
    return cast(MetricSpec, get("metric", name))


def rows_of(store: Store) -> pd.DataFrame:
    return store.read().to_pandas().sort_values("cell_id").reset_index(drop=True)


@pytest.mark.exhaustive
def test_rows_are_bit_for_bit_the_same_with_one_and_eight_workers(runs: dict[int, Store]) -> None:
    one, eight = (rows_of(runs[workers]).drop(columns=TIMES) for workers in (1, 8))
    pd.testing.assert_frame_equal(one, eight)
    assert len(one) > 300


@pytest.mark.exhaustive
def test_no_answer_has_the_worst_score_and_a_reason(runs: dict[int, Store]) -> None:
    rows = rows_of(runs[1])
    truths = rows[rows["explainer"] == "oracle"].set_index(["dataset", "metric"])["scores"]
    checked = 0
    for _, row in rows[rows["explainer"] == "gives_no_answer"].iterrows():
        how = json.loads(row["explainer_params"])["how"]
        truth, worst = truths[row["dataset"], row["metric"]], np.float32(get_metric(row["metric"]).worst_score)
        names = row["sample_ids"].tolist()
        failed = np.array(names) != max(names)
        wanted = np.where(np.isfinite(truth) & failed, worst, truth)
        np.testing.assert_array_equal(row["scores"], wanted, err_msg=str(row))
        reason = {"raises": "ValueError: no idea", "NaN": "", "shape": "have shape", "type": "returned Tensor"}[how]
        assert row["message"].startswith("no answer for 2 of 3 cases"), row
        assert reason in row["message"], row
        checked += 1
    assert checked == 4 * len(truths)


@pytest.mark.exhaustive
def test_a_failed_gate_leaves_the_ranking_and_stays_visible(runs: dict[int, Store]) -> None:
    left_out = 0
    for line in xb.leaderboard(runs[1].path).to_dict("records"):
        assert line["n"] <= 2, line
        if line["message"].startswith("unsupported"):
            assert line["n"] == 0, line
            continue
        assert "1 of 3 cases left out, a gate failed" in line["message"], line
        assert "planted 0.000 >= 1.000: FAILED" in line["message"], line
        left_out += 1
    assert left_out > 300
    rows = rows_of(runs[1])
    for _, row in rows[rows["status"] == "ok"].iterrows():
        gates = json.loads(row["gates"])
        assert [g["case"] for g in gates if not g["passed"]] == [gates[0]["case"]]
        assert len(row["scores"]) == 3


@pytest.mark.exhaustive
def test_nothing_is_better_than_the_truth_where_a_score_says_so(runs: dict[int, Store]) -> None:
    board = xb.leaderboard(runs[1].path)
    compared = 0
    for (_, metric), lines in board.groupby(["dataset", "metric"]):
        spec = get_metric(str(metric))
        (truth,) = lines[lines["explainer"] == "oracle"]["value"]
        if spec.skill_valid:
            sign = 1 if spec.higher_is_better else -1
            assert (sign * lines["value"].dropna() <= sign * truth + 1e-6).all(), lines
            compared += 1
    assert compared > 15
