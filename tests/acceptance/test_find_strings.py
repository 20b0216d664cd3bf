"""String functions after FIND: what search solves, what tests tell apart, and the same numbers from any workers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

import xaibench as xb
from xaibench import suite as suites
from xaibench.core.components import MetricSpec
from xaibench.core.program_specs import InterpreterSpec
from xaibench.core.programs.black_box import BlackBox
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.programs.interpreting import ask, score_programs
from xaibench.core.registry import get
from xaibench.execution import interpreting
from xaibench.functions.strings.catalogue import catalogue
from xaibench.functions.strings.generation import find_string
from xaibench.functions.strings.phrases import many_phrases

SEEDS = (31, 32, 33)
BUDGET = 20
METRICS = (
    "string_exact",
    "string_similarity",
    "string_family_accuracy",
    "string_description_length",
)
TIMES = ["run", "created", "explain_seconds", "score_seconds"]


def evaluate(name: str, functions: tuple[BlackBox, ...], seed: int) -> ProgramEvaluation:
    spec = cast(InterpreterSpec, get("interpreter", name))
    given = spec.bind({})
    answers = tuple(
        ask(spec, given, functions, i, budget=BUDGET, seed=seed, stream=name, passes=True).interpretation
        for i in range(len(functions))
    )
    return ProgramEvaluation(functions, answers, seed, BUDGET)


def score(metric: str, ev: ProgramEvaluation, **parameters: Any) -> np.ndarray[Any, Any]:
    spec = cast(MetricSpec, get("metric", metric))
    return score_programs(spec, spec.bind(parameters), ev).numpy()


@pytest.mark.parametrize("seed", SEEDS)
def test_search_solves_95_percent_of_one_step_and_80_percent_of_two(seed: int) -> None:
    start = time.process_time()
    functions = find_string(seed=seed, n=1000)
    made = time.process_time() - start
    catalogue()
    start = time.process_time()
    ev = evaluate("string_search", functions, seed)
    spent = time.process_time() - start
    steps = np.array([len(f.parameters["steps"]) for f in functions])
    solved = score("string_exact", ev, whole=True)
    found = {name: score(name, ev) for name in METRICS}
    asked = np.mean([a.queries for a in ev.answers])
    print(f"seed {seed}: {made:.1f} s to make, {spent:.1f} s to search 1,000 functions, {asked:.1f} questions")
    for k in (1, 2):
        said = ", ".join(f"{name} {values[steps == k].mean():.4f}" for name, values in found.items())
        print(f"  {k} steps ({(steps == k).sum()}): solved {solved[steps == k].mean():.4f}, {said}")
    unsolved = [f.family for f, right in zip(functions, solved, strict=True) if not right]
    print(f"  not solved: {unsolved}")
    assert solved[steps == 1].mean() >= 0.95
    assert solved[steps == 2].mean() >= 0.8
    assert spent / len(functions) < 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_who_knows_no_primitives_does_not(seed: int) -> None:
    functions = find_string(seed=seed, n=300)
    values = {name: evaluate(name, functions, seed) for name in ("edit_neighbour", "identity", "random", "oracle")}
    for name, ev in values.items():
        said = {m: round(float(score(m, ev).mean()), 3) for m in METRICS[:3]}
        print(f"seed {seed} {name}: solved {score('string_exact', ev, whole=True).mean():.3f}, {said}")
    assert score("string_exact", values["oracle"], whole=True).mean() == 1
    assert score("string_family_accuracy", values["oracle"]).mean() == 1
    assert all(score("string_exact", values[name]).mean() < 0.2 for name in ("edit_neighbour", "identity", "random"))


@pytest.mark.parametrize("seed", SEEDS)
def test_sixteen_inputs_tell_functions_apart(seed: int) -> None:
    """Of 30 functions: programs without letters that are right on all test inputs, and wrong on 400 phrases."""
    functions = find_string(seed=seed, n=30)
    mistaken = []
    for f in functions:
        inputs, many = list(f.test_inputs), list(many_phrases())
        wanted, truth = f.program(inputs), f.program(many)
        passing = [p for p in catalogue().programs if all(p.one(x) == y for x, y in zip(inputs, wanted, strict=True))]
        shares = [np.mean([p.one(x) == y for x, y in zip(many, truth, strict=True)]) for p in passing]
        mistaken += [share for share in shares if share < 1]
        assert min(shares, default=1) > 0.8, f.family
    pairs = len(functions) * len(catalogue().programs)
    print(
        f"seed {seed}: {len(mistaken)} of {pairs} pairs are taken for equal, and agree on {np.round(mistaken, 3)} only"
    )
    assert len(mistaken) / pairs < 1e-4


@pytest.mark.parametrize("seed", [41])
def test_workers_change_no_bit_of_strings(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreting, "CHUNK", 8)
    monkeypatch.setattr(interpreting, "WORTH_STARTING", -1.0)
    document = suites.load("find_strings").model_dump(exclude={"claims"})
    document["problems"] = [{"functions": {"name": "find_string", "params": {"n": 48}}}]
    boards = {}
    for workers in (1, 2, 3):
        run = xb.run(document, store=tmp_path / str(workers), seed=seed, workers=workers)
        assert run.outcome["end"] == "finished"
        rows = xb.results(run.store).sort_values("cell_id", ignore_index=True)
        boards[workers] = rows.drop(columns=TIMES)
        print(f"{workers} workers: {run.outcome['seconds']} s, {len(rows)} cells")
    for workers in (2, 3):
        pd.testing.assert_frame_equal(boards[1], boards[workers], check_exact=True)
