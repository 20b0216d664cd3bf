"""Runs over functions: what fails scores, what was answered is never asked again, nothing depends on the way."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import xaibench as xb
from xaibench import suite as suites
from xaibench.core import registry
from xaibench.core.storage.files import write_bytes
from xaibench.execution import Options, Outcome, execute, interpreting, pool
from xaibench.plan import make_plan
from xaibench.plan.history import History
from xaibench.problems.preparing import Problems
from xaibench.store import Store

PROGRAMS = Path(__file__).parent.parent / "plugins" / "programs.py"
Make = Callable[..., dict[str, Any]]
Run = Callable[..., Outcome]
TIMES = ["explain_seconds", "score_seconds", "created", "run", "explain_cached"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def run(store: Store, function_suite: Make) -> Run:
    def go(where: Store = store, rerun: Any = None, options: Options | None = None, **fields: Any) -> Outcome:
        plan = make_plan(
            suites.parse(function_suite(**fields)),
            history=History.of(where),
            fingerprint=Problems(None).fingerprint,
            rerun=rerun,
        )
        return execute(plan, where, options or Options())

    return go


def frame(store: Store) -> pd.DataFrame:
    return store.read().to_pandas().sort_values("cell_id").reset_index(drop=True)


def scores_of(store: Store, explainer: str, metric: str = "tiny_fit") -> np.ndarray[Any, Any]:
    rows = frame(store)
    (scores,) = rows.loc[(rows["explainer"] == explainer) & (rows["metric"] == metric), "scores"]
    return np.asarray(scores)


@pytest.mark.slow
def test_a_run_ends_on_the_same_leaderboard(run: Run, store: Store) -> None:
    outcome = run(interpreters=["two_points", "zero"], controls=True, random_draws=10)
    assert outcome.end == "finished"
    assert outcome.n_failed == 0
    rows = frame(store)
    assert set(rows["truth_kind"]) == {"program"}
    assert set(rows["attribution_kind"]) == {"program"}
    assert set(rows["model"]) == {"functions"}
    assert (rows["sample_ids"].map(list) == [[f"tiny/{i:04d}" for i in range(20)]] * len(rows)).all()
    assert rows.loc[rows["explainer"] == "two_points", "n_evaluations"].tolist() == [40]
    board = xb.leaderboard(store.path).set_index("explainer")
    assert set(board.index) == {"two_points", "zero", "oracle", "random", "mean"}
    assert board.loc["oracle", ["value", "skill"]].tolist() == [1, 1]
    assert board.loc["random", "skill"] == 0
    assert board.loc["two_points", "rank"] == 1
    assert board.loc["two_points", "beats_placebo"]
    assert not board.loc["zero", "beats_placebo"]
    assert board.loc["two_points", "n"] == 20
    assert set(board["estimand"]) == {"functions of one set"}


def test_nothing_is_asked_twice(run: Run, store: Store, programs: ModuleType) -> None:
    run()
    assert len(programs.ASKED) == 20
    outcome = run()
    assert outcome.cached == 1
    assert outcome.explained == 0
    run(metrics=["tiny_fit", {"name": "tiny_fit", "params": {"close": 2.0}}])
    assert len(programs.ASKED) == 20, "a new metric on known points takes the answers from the store"


@pytest.mark.slow
def test_new_points_of_kept_answers_are_those_of_fresh_ones(
    run: Run, store: Store, tmp_path: Path, programs: ModuleType
) -> None:
    run(interpreters=["two_points", "clumsy"])
    run(interpreters=["two_points", "clumsy"], metrics=["tiny_numbers", "tiny_fit", "tiny_other_budget"])
    other = Store(tmp_path / "other", create=True)
    run(other, interpreters=["two_points", "clumsy"], metrics=["tiny_other_budget", "tiny_numbers", "tiny_fit"])
    a, b = (frame(s).drop(columns=TIMES) for s in (store, other))
    pd.testing.assert_frame_equal(a, b)


def test_programs_are_restored_from_facts_and_not_asked_again(run: Run, store: Store, programs: ModuleType) -> None:
    run(interpreters=["remembers"])
    run(interpreters=["remembers"], metrics=["tiny_new_points"])
    assert len(programs.ASKED) == 20
    assert scores_of(store, "remembers", "tiny_new_points").tolist() == [7 * (i + 1) + i for i in range(20)]


def test_an_interrupted_unit_goes_on_where_it_was(
    run: Run, store: Store, programs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreting, "CHUNK", 4)
    programs.SWITCHES.add("ctrl-c")
    outcome = run(interpreters=["stops"])
    assert outcome.end == "interrupted"
    assert len(frame(store)) == 0
    assert len(programs.ASKED) == 10
    programs.SWITCHES.clear()
    outcome = run(interpreters=["stops"])
    assert outcome.end == "finished"
    assert len(programs.ASKED) == 10 + 12, "two chunks of four were done"
    assert scores_of(store, "stops").tolist() == [1] * 20
    (folder,) = store.interpretations.glob("*/*")
    assert len(list(folder.iterdir())) == 1, "the answers of a finished unit are merged"


def test_a_dropped_connection_fails_the_unit_and_keeps_the_answers(
    run: Run, store: Store, programs: ModuleType
) -> None:
    programs.SWITCHES.add("offline")
    outcome = run(interpreters=["offline"])
    assert outcome.statuses == {"failed": 1}
    assert "the connection was dropped" in frame(store)["message"][0]
    assert len(programs.ASKED) == 10
    programs.SWITCHES.clear()
    assert run(interpreters=["offline"]).statuses == {"ok": 1}
    assert len(programs.ASKED) == 10 + 11, "the programs of nine answers come from their facts"
    assert scores_of(store, "offline").tolist() == [1] * 20


def test_an_answer_that_cannot_be_had_again_now_is_no_zero(run: Run, store: Store, programs: ModuleType) -> None:
    run(interpreters=["fickle"])
    programs.SWITCHES.add("offline")
    assert run(interpreters=["fickle"], metrics=["tiny_fit", "tiny_new_points"]).statuses == {"failed": 1}
    programs.SWITCHES.clear()
    assert run(interpreters=["fickle"], metrics=["tiny_fit", "tiny_new_points"]).statuses == {"ok": 1}


def test_runs_and_the_api_give_one_answer(run: Run, store: Store, programs: ModuleType) -> None:
    run(metrics=["tiny_numbers"], seeds=[4])
    for i, line in enumerate(programs.tiny_lines()[:3]):
        answer = xb.interpret("two_points", line, budget=8, seed=4)
        assert np.float32(answer.program(3.0)) == np.float32(scores_of(store, "two_points", "tiny_numbers")[i])


def test_what_goes_wrong_with_a_function_is_its_score(run: Run, store: Store) -> None:
    outcome = run(interpreters=["clumsy", "two_points"], metrics=["tiny_fit", "tiny_numbers"])
    assert outcome.end == "finished"
    assert outcome.n_failed == 0
    assert scores_of(store, "clumsy").tolist() == [0] * 6 + [1] * 14
    assert np.isnan(scores_of(store, "clumsy", "tiny_numbers")).tolist() == [True] * 6 + [False] * 14
    rows = frame(store)
    message = rows.loc[rows["explainer"] == "clumsy", "message"].iloc[0]
    assert message.startswith("no program, or one that failed, for 6 of 20 functions: tiny/0000: ValueError: no idea")
    (key,) = set(rows.loc[rows["explainer"] == "clumsy", "explain_key"])
    found = {r["name"]: r for r in store.load_interpretations(key)}
    reasons = [found[f"tiny/{i:04d}"]["failure"] or found[f"tiny/{i:04d}"]["broken"] for i in range(7)]
    assert [r.partition(":")[0] for r in reasons] == [
        "ValueError", "BudgetError", "TypeError", "ZeroDivisionError", "TypeError", "ValueError", "",
    ]  # fmt: skip
    assert found["tiny/0001"]["queries"] == 2, "what was refused is not counted"


def test_an_interpreter_that_never_answers_has_failed(run: Run, store: Store) -> None:
    outcome = run(interpreters=["always_raises", "without_library", "two_points"])
    assert outcome.statuses == {"failed": 1, "unsupported": 1, "ok": 1}
    rows = frame(store).set_index("explainer")
    assert rows.loc["always_raises", ["error_kind", "message"]].tolist() == [
        "RuntimeError",
        "this interpreter is broken",
    ]
    assert "in always_raises" in rows.loc["always_raises", "traceback"]
    assert rows.loc["without_library", "message"] == "this needs a library"
    assert run(interpreters=["always_raises", "without_library", "two_points"]).statuses["failed"] == 1


def test_exits_are_failures_of_a_function(run: Run, store: Store) -> None:
    outcome = run(interpreters=["exits", "two_points"])
    assert outcome.end == "finished"
    assert outcome.statuses == {"ok": 2}
    assert scores_of(store, "exits").tolist() == [1, 1, 0, 0] + [1] * 16
    message = frame(store).set_index("explainer").loc["exits", "message"]
    assert message.endswith("for 2 of 20 functions: tiny/0002: SystemExit: 3; tiny/0003: SystemExit: ")


def test_a_broken_metric_fails_alone(run: Run, store: Store) -> None:
    assert run(metrics=["tiny_breaks", "tiny_fit"]).statuses == {"failed": 1, "ok": 1}
    assert run(metrics=["tiny_breaks", "tiny_fit"], rerun="failed").statuses == {"failed": 1}


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 7])
def test_scores_do_not_depend_on_chunks(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    suite = {
        "interpreters": ["two_points", "clumsy"],
        "metrics": ["tiny_fit", "tiny_numbers", "tiny_other_budget"],
        "controls": True,
    }
    run(**suite)
    other = Store(tmp_path / "other", create=True)
    monkeypatch.setattr(interpreting, "CHUNK", chunk)
    run(other, **suite)
    pd.testing.assert_frame_equal(frame(store).drop(columns=TIMES), frame(other).drop(columns=TIMES))


@pytest.mark.slow
def test_workers_change_nothing(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: ModuleType
) -> None:
    suite = {
        "problems": [{"functions": f"{PROGRAMS}:tiny_lines"}],
        "interpreters": [f"{PROGRAMS}:{name}" for name in ("two_points", "clumsy", "always_raises")],
        "metrics": [f"{PROGRAMS}:{name}" for name in ("tiny_fit", "tiny_other_budget", "tiny_breaks")],
    }
    run(**suite)
    programs.ASKED.clear()
    other = Store(tmp_path / "other", create=True)
    monkeypatch.setattr(pool, "WORTH_STARTING", -1)
    run(other, options=Options(workers=2, plugins=(str(PROGRAMS),)), **suite)
    assert not programs.ASKED, "all was done elsewhere"
    pd.testing.assert_frame_equal(
        frame(store).drop(columns=[*TIMES, "traceback"]), frame(other).drop(columns=[*TIMES, "traceback"])
    )


@pytest.mark.slow
def test_an_interrupt_ends_workers_and_keeps_every_answer(
    run: Run, store: Store, tmp_path: Path, programs: ModuleType
) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    suite = {
        "problems": [{"functions": f"{PROGRAMS}:tiny_lines"}],
        "interpreters": [
            {"name": f"{PROGRAMS}:sleeps", "params": {"flag": str(flag)}},
        ],
        "metrics": [f"{PROGRAMS}:tiny_fit"],
    }
    sent: list[float] = []

    def interrupt() -> None:
        while not flag.with_suffix(".asleep").exists():
            time.sleep(0.02)
        time.sleep(0.3)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    outcome = run(options=Options(workers=2, plugins=(str(PROGRAMS),)), **suite)
    took = time.monotonic() - sent[0]
    assert outcome.end == "interrupted"
    assert took < 10, "and not a minute"
    assert not multiprocessing.active_children()
    (key,) = {path.parent.name for path in store.interpretations.glob("*/*/*.json")}
    assert sorted(r["name"] for r in store.load_interpretations(key)) == [f"tiny/{i:04d}" for i in range(4)]
    flag.unlink()
    assert run(**suite).statuses == {"ok": 1}
    assert len(programs.ASKED) == 16
    assert scores_of(store, "sleeps").tolist() == [1] * 20


def test_damaged_answers_are_found_and_asked_again(run: Run, store: Store, programs: ModuleType) -> None:
    run()
    (path,) = store.interpretations.glob("*/*/*.json")
    document = json.loads(path.read_bytes())
    document["answers"][0]["family"] = "sine"
    write_bytes(path, json.dumps(document).encode())
    assert [d.name for d in store.check()] == [path.relative_to(store.path).as_posix()]
    run(metrics=["tiny_numbers"])
    assert len(programs.ASKED) == 40
    assert scores_of(store, "two_points", "tiny_numbers")[0] == pytest.approx(3)


@pytest.mark.slow
def test_budget_seed_and_functions_are_part_of_the_identity(run: Run, store: Store, programs: ModuleType) -> None:
    for fields in (
        {},
        {"budget": 9},
        {"seeds": [1]},
        {"problem_seeds": [1]},
        {"problems": [{"functions": {"name": "tiny_lines", "params": {"n": 19}}}]},
        {"problems": [{"functions": "tiny_lines", "samples": 5}]},
        {"problems": [{"functions": "tiny_lines", "budget": 10}]},
        {"interpreters": [{"name": "two_points", "params": {"shift": 1.0}}]},
    ):
        assert run(**fields).cached == 0
    assert len(frame(store)) == 8
    assert len(programs.ASKED) == 6 * 20 + 19 + 5
    assert frame(store)["explain_key"].nunique() == 8


def test_a_new_version_of_the_functions_makes_results_stale(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch, function_suite: Make
) -> None:
    run()
    spec = registry.get("functions", "tiny_lines")
    monkeypatch.setitem(registry._registry["functions"], "tiny_lines", type(spec)(
        spec.name, spec.function, version=2, functions="numeric"
    ))  # fmt: skip
    plan = make_plan(
        suites.parse(function_suite()), history=History.of(store), fingerprint=Problems(None).fingerprint
    )  # fmt: skip
    assert plan.states == {"stale": 1}


def test_answers_for_a_function_depend_on_no_other(run: Run, store: Store, tmp_path: Path) -> None:
    metrics = ["tiny_numbers"]
    run(metrics=metrics)
    other = Store(tmp_path / "other", create=True)
    run(other, metrics=metrics, problems=[{"functions": "tiny_lines", "samples": 7}])
    few, many = (scores_of(s, "two_points", "tiny_numbers") for s in (other, store))
    assert few.tolist() == many[:7].tolist()


def test_functions_of_other_seeds_are_other_samples(run: Run, store: Store, function_suite: Make) -> None:
    claim = {
        "id": "lines.two-points",
        "source": "by definition",
        "statement": "Two points make a line.",
        "left": {"explainer": "two_points", "metric": "tiny_fit"},
        "right": {"explainer": "zero"},
        "margin": 0.5,
    }
    run(problem_seeds=[3, 4], interpreters=["two_points", "zero"], claims=[claim])
    ids = frame(store)["sample_ids"]
    assert sorted(set(ids.explode())) == sorted(f"tiny/{i:04d} seed {s}" for s in (3, 4) for i in range(20))
    verdict = xb.claims(store.path).iloc[0]
    assert verdict["verdict"] == "reproduced"
    assert verdict["n"] == 40


def test_claims_of_a_part_are_about_its_own_functions(run: Run, store: Store, function_suite: Make) -> None:
    claim = {"source": "s", "statement": "t", "left": {"explainer": "zero", "metric": "tiny_fit"}, "number": 0.5}
    own = {"interpreters": ["zero"], "description": ""}
    parts = [
        function_suite(name=f"n{n}", problems=[{"functions": {"name": "tiny_lines", "params": {"n": n}}}],
                       claims=[{**claim, "id": f"n{n}.c"}], **own)
        for n in (3, 5)
    ]  # fmt: skip
    execute(make_plan(suites.parse({"name": "both", "parts": parts})), store, Options())
    found = xb.claims(store.path).set_index("id")
    assert found["n"].to_dict() == {"n3.c": 3, "n5.c": 5}


def test_one_suite_holds_functions_and_models(run: Run, store: Store, plugin: Path) -> None:
    outcome = run(
        problems=[
            {"functions": "tiny_lines"},
            {"functions": "tiny_strings", "budget": 4},
            {"dataset": "tiny", "models": ["exact"]},
        ],
        interpreters=["two_points", "upper_case"],
        explainers=["gradient"],
        metrics=["tiny_fit", "tiny_numbers", "sparseness"],
        samples=4,
        background=4,
    )
    assert outcome.statuses == {"ok": 4}
    rows = frame(store)
    met = {(d, e, m) for d, e, m in zip(rows["dataset"], rows["explainer"], rows["metric"], strict=True)}
    assert met == {
        ("tiny_lines", "two_points", "tiny_fit"),
        ("tiny_lines", "two_points", "tiny_numbers"),
        ("tiny_strings", "upper_case", "tiny_fit"),
        ("tiny", "gradient", "sparseness"),
    }
    assert scores_of(store, "upper_case").tolist() == [1, 0]
    assert len(xb.leaderboard(store.path)) == 4


def test_functions_that_cannot_be_made_fail_their_cells(run: Run, store: Store, programs: ModuleType) -> None:
    outcome = run(problems=[{"functions": {"name": "tiny_lines", "params": {"n": 0}}}], interpreters=["zero"])
    assert outcome.statuses == {"failed": 1}
    assert frame(store)["message"][0] == "functions 'tiny_lines' returned no functions"


def test_undefined_everywhere_is_undefined(run: Run, store: Store) -> None:
    run(
        interpreters=["clumsy"],
        metrics=["tiny_numbers"],
        problems=[{"functions": "tiny_lines", "samples": 6}],
    )
    row = frame(store).iloc[0]
    assert row["status"] == "undefined"
    assert all(math.isnan(s) for s in row["scores"])
