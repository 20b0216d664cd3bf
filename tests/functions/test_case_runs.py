"""Runs over cases: any answer is stored and scored once, failures score worst, gates of cases, budgets, controls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.command_line import Call
from helpers.documentation import blocks

import xaibench as xb
from xaibench import suite as suites
from xaibench.core import registry
from xaibench.core.cases.answers import check_answer
from xaibench.core.errors import DataError, UsageError
from xaibench.execution import Options, Outcome, execute
from xaibench.plan import make_plan
from xaibench.plan.history import History
from xaibench.problems.preparing import Problems
from xaibench.store import Store

PLUGIN = Path(__file__).parent.parent / "plugins" / "cases.py"
Run = Callable[..., Outcome]
TIMES = ["explain_seconds", "score_seconds", "created", "run", "explain_cached"]


@pytest.fixture
def cases() -> Iterator[ModuleType]:
    module = registry.load_module(str(PLUGIN))
    module.ASKED.clear()
    return module


@pytest.fixture
def document(cases: ModuleType) -> Callable[..., dict[str, Any]]:
    def make(**fields: Any) -> dict[str, Any]:
        return {
            "name": "weights",
            "controls": False,
            "problems": [{"functions": "tiny_weights"}],
            "interpreters": ["ablate"],
            "metrics": ["weight_rank"],
            **fields,
        }

    return make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def run(store: Store, document: Callable[..., dict[str, Any]]) -> Run:
    def go(where: Store = store, rerun: Any = None, options: Options | None = None, **fields: Any) -> Outcome:
        plan = make_plan(
            suites.parse(document(**fields)),
            history=History.of(where),
            fingerprint=Problems(None).fingerprint,
            rerun=rerun,
        )
        return execute(plan, where, options or Options())

    return go


def frame(store: Store) -> pd.DataFrame:
    return store.read().to_pandas().sort_values("cell_id").reset_index(drop=True)


def row_of(store: Store, explainer: str) -> pd.Series:
    rows = frame(store)
    (found,) = [row for _, row in rows[rows["explainer"] == explainer].iterrows()]
    return found


def test_a_run_over_cases_ends_on_a_leaderboard_with_every_control(run: Run, store: Store) -> None:
    outcome = run(interpreters=["ablate", "slope"], controls=True, random_draws=10)
    assert (outcome.end, outcome.n_failed) == ("finished", 0)
    rows = frame(store)
    assert set(rows["truth_kind"]) == {"model"}
    assert set(rows["attribution_kind"]) == {"scores"}
    assert set(rows["model"]) == {"weights"}
    assert set(rows["selection"]) == {"cases[:]"}
    board = xb.leaderboard(store.path).set_index("explainer")
    controls = {"oracle", "random", "other_case", "constant", "unit_position"}
    assert set(board.index) == {"ablate", "slope", *controls}
    assert board.loc[["oracle", "ablate", "slope"], "value"].tolist() == [1, 1, 1]
    assert board.loc["constant", "value"] == 0
    assert abs(board.loc["other_case", "value"]) < 1
    assert board.loc["ablate", "beats_placebo"]
    assert set(board["estimand"]) == {"cases of one set"}


def test_runs_of_the_model_are_counted_with_backward_passes_as_two(run: Run, store: Store) -> None:
    run(interpreters=["ablate", "slope"])
    assert row_of(store, "ablate")["n_evaluations"] == 6 * 5
    assert row_of(store, "slope")["n_evaluations"] == 6 * 3


def test_the_model_of_a_case_is_closed_after_the_answer(cases: ModuleType) -> None:
    view = xb.CaseView(cases.tiny_weights()[0])
    view.given.run(torch.ones(5, dtype=torch.float64))
    view.close()
    with pytest.raises(xb.XaibenchError, match="may not be run any more"):
        view.given.run(torch.ones(5, dtype=torch.float64))
    with pytest.raises(AttributeError, match="cannot be set"):
        view.given = None


def test_what_an_explainer_changes_in_place_is_a_copy(cases: ModuleType) -> None:
    case = cases.tiny_weights()[0]
    xb.CaseView(case).given.inputs.zero_()
    assert case.given.inputs.equal(torch.eye(5, dtype=torch.float64))
    nested = cases.Inputs([torch.ones(2)], {"a": np.ones(2), "b": (torch.ones(2),)})
    view = xb.CaseView(replace(case, given=nested))
    view.given.train[0].zero_()
    view.given.test["a"][:] = 0
    view.given.test["b"][0].zero_()
    assert (nested.train[0].sum(), nested.test["a"].sum(), nested.test["b"][0].sum()) == (2, 2, 2)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (torch.ones(5, dtype=torch.complex64), "values is complex"),
        (torch.ones(1, 5), r"shape \(1, 5\) instead of \(5,\)"),
        (torch.tensor(1.0), r"shape \(\) instead of \(5,\)"),
        ([1.0] * 5, "values is list, not a tensor"),
        (torch.full((5,), -torch.inf), "infinite"),
    ],
)
def test_what_is_no_answer_is_refused_with_a_reason(cases: ModuleType, answer: Any, reason: str) -> None:
    with pytest.raises((TypeError, ValueError), match=reason):
        check_answer(xb.Scores(answer), cases.tiny_weights()[0].truth)


def test_numbers_of_any_type_are_answers(cases: ModuleType) -> None:
    truth = cases.tiny_weights()[0].truth
    for values in (torch.arange(5), torch.arange(10).float()[::2].requires_grad_() * 1, torch.ones(5) > 0):
        found = check_answer(xb.Scores(values), truth).values
        assert (found.dtype, found.requires_grad, found.is_contiguous()) == (torch.float64, False, True)


def test_answers_are_asked_for_once_and_stored_as_tensors(run: Run, store: Store, cases: ModuleType) -> None:
    run()
    assert len(cases.ASKED) == 6
    files = [p for p in (store.path / "interpretations").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".json", ".safetensors"}
    assert not store.check()
    run(metrics=["weight_rank", {"name": "weight_rank"}], rerun=None)
    outcome = run(controls=True, random_draws=1)
    assert (len(cases.ASKED), outcome.cached) == (6, 1)
    assert store.examine().orphans == {}


def test_a_plan_makes_no_cases_of_which_no_result_is_stored(
    run: Run, store: Store, document: Callable[..., dict[str, Any]]
) -> None:
    made = []

    def states(where: Store, **fields: Any) -> dict[str, int]:
        def fingerprint(spec: Any) -> str | None:
            made.append(spec.name)
            return Problems(None).fingerprint(spec)

        suite = suites.parse(document(controls=True, random_draws=1, **fields))
        return dict(make_plan(suite, history=History.of(where), fingerprint=fingerprint).states)

    assert (states(store), made) == ({"run": 6}, [])
    run()
    assert states(store) == {"cached": 1, "run": 5}
    assert states(store, interpreters=["slope"]) == {"run": 6}
    assert len(made) == 1
    assert states(store, interpreters=["ablate", "slope"]) == {"cached": 1, "run": 6}
    assert states(store, problems=[{"functions": {"name": "tiny_weights", "params": {"n": 5}}}]) == {"run": 6}


def test_tensors_of_answers_that_no_row_needs_are_garbage(run: Run, store: Store) -> None:
    run()
    for part in [*(store.path / "parts").glob("*"), *(store.path / "compact").glob("*")]:
        part.unlink()
    assert {Path(name).suffix for name in store.examine().orphans} == {".json", ".safetensors"}
    store.collect(store.garbage(young=0.0))
    assert not [p for p in (store.path / "interpretations").rglob("*") if p.is_file()]


def test_a_lost_tensor_file_is_damage_and_its_answers_are_asked_again(
    run: Run, store: Store, cases: ModuleType
) -> None:
    run()
    before = row_of(store, "ablate")["scores"].tolist()
    for file in (store.path / "interpretations").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-8] + b"\0" * 8)
    assert [d.reason for d in store.check()]
    cases.ASKED.clear()
    run(metrics=["weight_rank"], rerun="all")
    assert len(cases.ASKED) == 6
    assert row_of(store, "ablate")["scores"].tolist() == before


def test_failures_have_the_worst_score_and_a_reason(run: Run, store: Store) -> None:
    run(interpreters=["misbehaves"])
    row = row_of(store, "misbehaves")
    assert row["scores"].tolist() == [-1, -1, -1, -1, -1, 1]
    assert row["status"] == "ok"
    assert row["message"].startswith("no answer for 5 of 6 cases: weights/0: ValueError: no idea; weights/1")
    (records,) = [store.load_interpretations(key) for key in {row["explain_key"]}]
    reasons = {r["name"]: r["failure"] for r in records}
    assert reasons["weights/2"] == "ValueError: the scores have shape (4,) instead of (5,)"
    assert reasons["weights/3"] == "TypeError: the explainer returned Tensor instead of Scores"
    assert "infinite" in reasons["weights/4"]


def test_a_failed_gate_keeps_its_case_out_of_rankings_and_visible(run: Run, store: Store) -> None:
    run(problems=[{"functions": {"name": "tiny_weights", "params": {"failed": 2}}}], interpreters=["misbehaves"])
    row = row_of(store, "misbehaves")
    assert len(row["scores"]) == 6
    gates = json.loads(row["gates"])
    assert [(g["case"], g["passed"]) for g in gates] == [(f"weights/{i}", i != 2) for i in range(6)]
    (line,) = xb.leaderboard(store.path).to_dict("records")
    assert (line["n"], line["gate_passed"], line["rank"]) == (5, True, 1)
    assert line["value"] == pytest.approx((4 * -1 + 1) / 5)
    assert line["message"] == "1 of 6 cases left out, a gate failed: weights/2 (works 0.000 >= 0.500: FAILED)"


def test_a_set_without_a_case_that_passes_is_not_ranked(run: Run, store: Store) -> None:
    run(problems=[{"functions": {"name": "tiny_weights", "params": {"n": 1, "failed": 0}}}])
    (line,) = xb.leaderboard(store.path).to_dict("records")
    assert (line["n"], line["gate_passed"], np.isnan(line["rank"])) == (1, False, True)
    assert json.loads(line["gates"])[0]["case"] == "weights/0"


def test_functions_may_have_gates_of_their_own_too(run: Run, store: Store) -> None:
    run(problems=[{"functions": "gated_lines"}], interpreters=["polynomial"], metrics=["gated_fit"])
    assert row_of(store, "polynomial")["scores"].tolist() == [0, 1]
    (line,) = xb.leaderboard(store.path).to_dict("records")
    assert (line["n"], line["value"], line["gate_passed"]) == (1, 1, True)
    assert "gated/0 (works 0.000 >= 1.000: FAILED)" in line["message"]


def test_dictionaries_are_answers_as_scores_are(run: Run, store: Store, call: Call) -> None:
    fields: dict[str, Any] = {"interpreters": ["distinct_rows"], "metrics": ["tiny_matching"], "controls": True}
    run(problems=[{"functions": "tiny_dictionaries"}], random_draws=2, **fields)
    rows = frame(store)
    assert set(rows["attribution_kind"]) == {"dictionary"}
    found = row_of(store, "distinct_rows")
    assert found["scores"].tolist() == [pytest.approx(1), pytest.approx(1), 0]
    assert "dictionaries/2: ValueError: codes have shape (4, 10) instead of (10, 4)" in found["message"]
    board = xb.leaderboard(store.path).set_index("explainer")
    assert {"distinct_rows", "oracle", "random", "other_case", "constant"} <= set(board.index)
    assert board.loc["oracle", "value"] == pytest.approx(1)
    assert board.loc["random", "value"] < 1
    assert board.loc["constant", "value"] < board.loc["oracle", "value"]
    (record,) = [r for r in store.load_interpretations(found["explain_key"]) if r["name"] == "dictionaries/0"]
    assert {name: tuple(t.shape) for name, t in record["tensors"].items()} == {
        "directions": (4, 4),
        "codes": (10, 4),
        "reconstruction": (10, 4),
    }
    code, out, _ = call("show", "dictionaries/0", "--plugin", PLUGIN, "--interpreter", "distinct_rows")
    assert (code, "direction 0" in out) == (0, True)


def test_claims_are_about_cases_whose_gate_passed(run: Run, store: Store) -> None:
    side = {"dataset": "tiny_weights(*)", "explainer": "misbehaves", "metric": "weight_rank", "model": "weights"}
    claim = {"id": "c", "source": "s", "statement": "s", "left": side, "number": -0.9, "direction": "less"}
    run(
        problems=[{"functions": {"name": "tiny_weights", "params": {"failed": 5}}}],
        interpreters=["misbehaves"],
        claims=[claim],
    )
    (found,) = xb.claims(store.path).to_dict("records")
    assert (found["n"], found["left"]) == (5, -1)


@pytest.mark.slow
def test_rows_are_bit_for_bit_the_same_with_workers_in_shards_and_after_a_merge(run: Run, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"interpreters": ["ablate", "slope", "misbehaves"], "controls": True, "random_draws": 3}
    one, two = (Store(tmp_path / name, create=True) for name in ("one", "two"))
    run(one, **fields)
    run(two, options=Options(workers=2, plugins=(str(PLUGIN),)), **fields)
    a, b = (frame(s).drop(columns=TIMES) for s in (one, two))
    pd.testing.assert_frame_equal(a, b)
    joined = Store(tmp_path / "joined", create=True)
    joined.merge(one, two)
    pd.testing.assert_frame_equal(frame(joined).drop(columns=TIMES), a)
    assert not joined.check()


def test_a_case_alone_has_the_answer_and_score_that_it_has_in_the_set(cases: ModuleType) -> None:
    made = cases.tiny_weights()
    for name in ("ablate", "random", "constant"):
        whole = [xb.explain_case(name, case, others=made, seed=3) for case in made]
        if name != "random":
            assert all(
                a.values.equal(xb.explain_case(name, c, seed=3).values) for a, c in zip(whole, made, strict=True)
            )
    again = xb.explain_case("random", made[2], others=made[:1], seed=3)
    assert again.values.equal(whole_random(made)[2].values)


def whole_random(made: tuple[xb.Case, ...]) -> list[Any]:
    return [xb.explain_case("random", case, others=made, seed=3) for case in made]


def test_suites_say_what_does_not_go_with_cases(document: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(UsageError, match="no budget: the runs of an explainer on weights cases are counted"):
        make_plan(suites.parse(document(problems=[{"functions": "tiny_weights", "budget": 8}])))
    with pytest.raises(UsageError, match="'string_exact' is about string functions, and the suite has weights ones"):
        suites.parse(document(metrics=["weight_rank", "string_exact"]))


def test_mistakes_in_a_case_are_said(cases: ModuleType) -> None:
    given = cases.tiny_weights()[0].given
    with pytest.raises(DataError, match=r"shape \(2,\) instead of \(1,\)"):
        xb.Case("a", "weights", given, xb.Scores(torch.ones(2)), {}, units=("a",))
    with pytest.raises(UsageError, match="unknown kind of cases 'wieghts'"):
        xb.Case("a", "wieghts", given, xb.Scores(torch.ones(1)), {}, units=("a",))
    with pytest.raises(DataError, match="not a dataclass"):
        xb.Case("a", "weights", {"x": 1}, xb.Scores(torch.ones(1)), {}, units=("a",))
    with pytest.raises(UsageError, match="does not say which score is the worst"):
        xb.metric("boundless", family="ground_truth", higher_is_better=True, needs={"case"})(lambda ev: ev)
    with pytest.raises(UsageError, match="two kinds of cases are called 'weights'"):
        xb.register_case_kind(xb.CaseKind("weights", "scores", "data"))


def test_cases_are_shown_with_the_answer_of_an_explainer(call: Call, run: Run, store: Store) -> None:
    code, out, _ = call("show", "weights/3", "--plugin", PLUGIN, "--interpreter", "ablate")
    assert code == 0
    assert out.startswith("weights/3\nkind: weights\ngate works 1.000")
    assert "ablate: 5 runs of the model" in out
    run()
    code, stored, _ = call("show", "weights/3", "--plugin", PLUGIN, "--interpreter", "ablate", "--store", store.path)
    assert code == 0
    assert stored.splitlines()[:-1] == out.splitlines()
    code, _, err = call("show", "weights/0", "--plugin", PLUGIN, "--png", "a.png")
    assert (code, "cases have no picture" in err) == (2, True)


def test_a_new_kind_of_cases_is_one_short_file_and_nothing_else(tmp_path: Path, call: Call) -> None:
    (code,) = [text for language, _, text in blocks("how-to/cases.md") if language == "python"]
    assert code.count("\n") < 60
    (tmp_path / "wheels.py").write_text(code)
    (tmp_path / "wheels.toml").write_text(
        'interpreters = ["wheels.py:turn_each"]\nmetrics = ["wheels.py:wheel_correlation"]\nrandom_draws = 10\n'
        '[[problems]]\nfunctions = "wheels.py:machines"\n'
        '[[claims]]\nid = "w"\nsource = "s"\nstatement = "s"\nnumber = 0.5\n'
        'left = { explainer = "turn_each", metric = "wheel_correlation", model = "wheels" }\n'
    )
    done, out, err = call("run", tmp_path / "wheels.toml", "--store", tmp_path / "store")
    assert done == 0, (out, err)
    board = xb.leaderboard(tmp_path / "store").set_index("explainer")
    assert set(board.index) == {"turn_each", "oracle", "random", "other_case", "constant"}
    assert board.loc["turn_each", "value"] == pytest.approx(1)
    assert board.loc["turn_each", "beats_placebo"]
    assert xb.claims(tmp_path / "store")["verdict"].tolist() == ["reproduced"]
    same = call("compare", tmp_path / "store", tmp_path / "store", "--plugin", tmp_path / "wheels.py")
    assert same[0] == 0, same
    shown = call("show", "machines/0", "--plugin", tmp_path / "wheels.py", "--interpreter", "turn_each")
    assert "turn_each: 5 runs of the model" in shown[1]
    assert call("report", tmp_path / "store", "-o", tmp_path / "report.html")[0] == 0
    assert "turn_each" in (tmp_path / "report.html").read_text()
