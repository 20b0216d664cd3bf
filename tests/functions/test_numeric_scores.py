"""Program metrics for numeric functions against numbers worked out by hand, and against their edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from xaibench.core.errors import UsageError
from xaibench.core.programs.black_box import BlackBox, Domain, Interpretation
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.programs.interpreting import score_programs
from xaibench.core.registry import get
from xaibench.functions.numeric.baselines import level
from xaibench.functions.numeric.formulas import find_numeric

X = np.arange(-4.0, 4.0) + 0.5
NAN = float("nan")


def box(program: Callable[[Any], Any], **fields: Any) -> BlackBox:
    made = BlackBox(
        "a", "numeric", program, program, Domain(-4.0, 4.0), "linear", {"slope": 1.0, "bias": 0.0}, "a line", X
    )
    return replace(made, **fields)


def score(name: str, f: BlackBox, answer: Interpretation | Callable[[Any], Any], **parameters: Any) -> float:
    given = answer if isinstance(answer, Interpretation) else Interpretation(answer)
    spec = get("metric", name)
    ev = ProgramEvaluation((f,), (given,), seed=0, budget=64)
    (value,) = score_programs(spec, spec.bind(parameters), ev).tolist()  # type: ignore[arg-type]
    return float(value)


def line(x: Any) -> Any:
    return np.asarray(x) + 10.0


FAILURES: list[Callable[[Any], Any]] = [
    lambda x: 1 / 0,
    lambda x: np.full(len(x), np.nan),
    lambda x: x[:1],
    lambda x: np.where(x > 3, np.inf, x + 10),
]


def test_the_official_score_is_the_error_over_the_energy() -> None:
    energy = float((line(X) ** 2).sum())
    just = np.sqrt(0.1 * energy / 8)
    assert score("find_official", box(line), lambda x: line(x) + 0.999 * just) == 1
    assert score("find_official", box(line), lambda x: line(x) + 1.001 * just) == 0
    assert score("find_official", box(line), lambda x: np.full(len(x), 10.0)) == 1, "the level alone passes"
    assert score("find_official", box(np.zeros_like), np.zeros_like) == 1
    assert score("find_official", box(np.zeros_like), lambda x: np.full(len(x), 1e-9)) == 0


@pytest.mark.parametrize("program", FAILURES)
def test_programs_without_usable_outputs_have_the_worst_score(program: Callable[[Any], Any]) -> None:
    f = box(line, intervals=((2.0, 4.0),))
    assert score("find_official", f, program) == 0
    assert score("r2", f, program) == 0
    assert score("local_error", f, program) == 1


def test_outputs_do_not_count_where_the_truth_is_not_finite() -> None:
    def half(x: Any) -> Any:
        return np.where(x > 0, np.sqrt(np.abs(x)), np.nan)

    f = box(half)
    assert score("r2", f, lambda x: np.where(x > 0, np.sqrt(np.abs(x)), np.nan)) == 1
    assert score("find_official", f, lambda x: np.sqrt(np.abs(x))) == 1


def test_r2_is_the_explained_share_of_the_variance() -> None:
    assert score("r2", box(line), line) == 1
    assert score("r2", box(line), lambda x: np.full(len(x), 10.0)) == 0
    assert score("r2", box(line), lambda x: 10 + 0.5 * x) == pytest.approx(0.75)
    assert score("r2", box(line), lambda x: 10 - 50 * x) == 0, "clipped"
    assert np.isnan(score("r2", box(lambda x: np.full(len(x), 3.0)), line))


def test_noise_costs_nothing_unless_it_is_asked_for() -> None:
    f = box(line, call=lambda x: line(x) + np.where(np.arange(len(x)) % 2, 1.0, -1.0), noise="normal")
    assert score("r2", f, line) == 1
    noisy = line(X) + np.where(np.arange(8) % 2, 1.0, -1.0)
    expected = 1 - 8 / ((noisy - noisy.mean()) ** 2).sum()
    assert score("r2", f, line, target="answers") == pytest.approx(expected)
    quiet = box(lambda x: 0.1 * np.asarray(x), call=lambda x: 0.1 * x + 5 * (-1.0) ** np.arange(len(x)))
    assert score("find_official", quiet, quiet.program) == 1
    assert score("find_official", quiet, quiet.program, target="answers") == 0


def test_local_errors_are_those_of_the_place() -> None:
    f = box(line, intervals=((2.0, 4.0),), landmarks=(-1.0,))
    variance = line(X).var()

    def wrong(x: Any) -> Any:
        return line(x) + np.select([x > 2, np.abs(x + 1) <= 0.5, x < -3], [1.0, 0.5, 2.0], 0.0)

    assert score("local_error", f, wrong, where="corrupted") == pytest.approx(1 / variance)
    assert score("local_error", f, wrong, where="landmarks") == pytest.approx(0.25 / variance)
    assert score("local_error", f, wrong) == pytest.approx((2 * 1 + 2 * 0.25) / 4 / variance)
    assert score("local_error", f, wrong, where="elsewhere") == pytest.approx((2 * 0.25 + 4.0) / 6 / variance)
    assert score("local_error", f, lambda x: 100 * x) == 1, "clipped"
    assert np.isnan(score("local_error", box(line), wrong))
    assert np.isnan(score("local_error", box(line, landmarks=(0.0,)), wrong, where="elsewhere"))
    assert score("local_error", box(line, landmarks=(1.0,)), wrong) == 0


@pytest.mark.parametrize(
    ("true", "named", "iou"),
    [
        (((0.0, 2.0),), ((0.0, 2.0),), 1.0),
        (((0.0, 2.0),), ((1.0, 3.0),), 1 / 3),
        (((0.0, 2.0),), (), 0.0),
        (((0.0, 2.0),), ((2.0, 3.0),), 0.0),
        (((2.0, 4.0),), ((2.0, 400.0),), 1.0),
        (((0.0, 2.0),), ((0.0, 1.0), (0.5, 2.0)), 1.0),
        (((-1.0, 0.0), (1.0, 2.0)), ((-1.0, 2.0),), 2 / 3),
        ((), ((0.0, 1.0),), NAN),
        ((), (), NAN),
        (((1.0, 1.0),), (), NAN),
        (((4.0, 5.0),), ((1.0, 2.0),), NAN),
        (((1.0, 1.0), (2.0, 4.0)), ((2.0, 3.0),), 0.5),
    ],
)
def test_the_overlap_of_intervals(true: Any, named: Any, iou: float) -> None:
    f = box(line, intervals=true)
    answer = Interpretation(line, intervals=named)
    np.testing.assert_allclose(score("interval_iou", f, answer), iou)
    assert score("interval_false", f, answer) == (1.0 if named else 0.0) or bool(true)
    assert np.isnan(score("interval_false", f, answer)) == bool(true)


@pytest.mark.parametrize(
    ("family", "parameters", "named", "right"),
    [
        ("linear", {"slope": 1.0, "bias": 0.0}, "linear", 1.0),
        ("linear", {"slope": 1.0, "bias": 0.0}, "constant", 0.0),
        ("sine", {"amplitude": 1.0}, "cosine", 1.0),
        ("root", {"order": 1, "scale": 2.0}, "linear", 1.0),
        ("root", {"order": 2, "scale": 2.0}, "linear", 0.0),
        ("linear", {"slope": 1.0, "bias": 0.0}, None, 0.0),
        ("compound", {}, "compound", NAN),
        ("of my own", {}, "of my own", 1.0),
        ("polynomial", {}, "polynomial", 1.0),
    ],
)
def test_families_are_right_up_to_the_table(family: str, parameters: Any, named: str | None, right: float) -> None:
    f = box(line, family=family, parameters=parameters)
    np.testing.assert_equal(score("family_accuracy", f, Interpretation(line, family=named)), right)


def test_noise_is_named_where_there_is_some_and_heard_where_there_is_none() -> None:
    says = [Interpretation(line, facts={"noise": name}) for name in ("none", "normal", "poisson")]
    noisy, quiet = box(line, noise="poisson"), box(line)
    assert [score("noise_accuracy", noisy, answer) for answer in says] == [0, 0, 1]
    assert [score("noise_false", quiet, answer) for answer in says] == [0, 1, 1]
    assert score("noise_accuracy", noisy, line) == score("noise_false", quiet, line) == 0, "silence"
    assert np.isnan(score("noise_accuracy", quiet, says[0]))
    assert np.isnan(score("noise_false", noisy, says[0]))


def test_silence_about_noise_is_no_better_than_guessing() -> None:
    functions = find_numeric(seed=0, n=160, approximation=0)
    answers = tuple(Interpretation(line) for _ in functions)
    ev = ProgramEvaluation(functions, answers, seed=0, budget=16)
    assert np.nanmean(get("metric", "noise_accuracy").function(ev)) == 0
    always = tuple(Interpretation(line, facts={"noise": "normal"}) for _ in functions)
    guessed = get("metric", "noise_accuracy").function(replace(ev, answers=always))
    assert abs(np.nanmean(guessed) - 1 / 3) < 3 * np.sqrt(2 / 9 / np.isfinite(guessed).sum())


def test_the_length_of_a_description_counts_numbers() -> None:
    assert score("description_length", box(line), Interpretation(line, facts={"size": 12})) == 12
    assert np.isnan(score("description_length", box(line), line))
    for size in ("inf", "many", None, -3, [1]):
        assert np.isnan(score("description_length", box(line), Interpretation(line, facts={"size": size})))


def test_query_efficiency_is_the_mean_r2_over_log_budgets() -> None:
    reached = {8: 0.0, 32: 0.5, 100: 1.0}
    asked = []

    def ask(i: int, budget: int) -> Interpretation:
        asked.append(budget)
        share = 1 - np.sqrt(1 - reached[budget])
        return Interpretation(lambda x: 10 + share * np.asarray(x))

    ev = ProgramEvaluation((box(line),), (Interpretation(line),), seed=0, budget=100, ask=ask)
    spec = get("metric", "query_efficiency")
    (value,) = spec.function(ev)
    a, b, c = np.log([8, 32, 100])
    assert value == pytest.approx((0.25 * (b - a) + 0.75 * (c - b)) / (c - a))
    assert asked == [8, 32], "the last budget is that of the answers"
    with pytest.raises(UsageError, match="budget above 8"):
        spec.function(replace(ev, budget=8))


def test_the_official_score_is_nearly_saturated_and_r2_is_not() -> None:
    """Small version of the acceptance run: who knows the level alone passes often, and explains nothing."""
    functions = find_numeric(seed=0, n=160, noise=0, corruption=0, approximation=0)
    answers = tuple(Interpretation(partial(level, value=float(np.mean(f.program(f.test_inputs))))) for f in functions)
    ev = ProgramEvaluation(functions, answers, seed=0, budget=16)
    assert 0.15 < np.nanmean(get("metric", "find_official").function(ev)) < 0.35
    assert np.nanmax(get("metric", "r2").function(ev)) == pytest.approx(0, abs=1e-9)
