"""What every set of cases, explainer of cases and metric of cases promises, over the whole registry."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, cast

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.core.cases.answers import CaseAnswer, check_answer, failed_answer
from xaibench.core.cases.content import case_digest
from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.program_specs import FunctionsSpec, InterpreterSpec
from xaibench.core.programs.interpreting import ask, score_programs
from xaibench.core.registry import components
from xaibench.report.cases import ShownCase, case_text

N, N_STEPS = 3, 40
SETS = [cast(FunctionsSpec, s) for s in components("functions") if cast(FunctionsSpec, s).holds_cases]
EXPLAINERS = [
    (cast(InterpreterSpec, s), of) for s in components("interpreter") for of in SETS if s.takes_kind(of.functions)
]
METRICS = [(cast(MetricSpec, s), of) for s in components("metric") for of in SETS if s.takes_kind(of.functions)]
every_set = pytest.mark.parametrize("of", SETS, ids=lambda s: s.name)
every_explainer = pytest.mark.parametrize(("spec", "of"), EXPLAINERS, ids=lambda s: s.name)
TRAINED = {"superposition_of_eight", "synth_sae", "concept_cnn"}
"""Sets whose nets take seconds to train."""
LONG = {("nmf_components", "concept_cnn"), ("acdc", "tracr_circuits"), ("leave_one_out_retraining", "influence_digits")}


def unless(long: bool) -> list[pytest.MarkDecorator]:
    """Tried with all the others by `nox -s exhaustive`."""
    return [pytest.mark.exhaustive] if long else []


every_metric = pytest.mark.parametrize(("spec", "of"), METRICS, ids=lambda s: s.name)


@cache
def made(of: FunctionsSpec, seed: int = 5) -> tuple[xb.Case, ...]:
    given: dict[str, Any] = {"seed": seed} if of.takes("seed") else {}
    few = of.functions in {"dictionary", "circuit"} or of.takes("cache")
    small = {"n": N if few else 2 * N} if "n" in of.parameters else {}
    cases: tuple[xb.Case, ...] = of.function(**of.bind(small), **given)
    return cases[:N]


def answered(spec: InterpreterSpec, of: FunctionsSpec, i: int) -> CaseAnswer:
    return explained(spec, made(of)[i], made(of))


def explained(spec: InterpreterSpec, case: xb.Case, others: tuple[xb.Case, ...]) -> CaseAnswer:
    """An answer; methods that train do so in a few steps, and what a case has not got is skipped."""
    short = {"steps": N_STEPS} if spec.parameters.get("steps", 0) > N_STEPS else {}
    try:
        return xb.explain_case(spec.name, case, others=others, seed=1, **short)
    except UnsupportedError as error:
        pytest.skip(str(error))


def assert_equal(answer: CaseAnswer, other: CaseAnswer) -> None:
    """To the last bit; what has no score in one has none in the other."""
    for name, tensor in answer.tensors.items():
        torch.testing.assert_close(tensor, other.tensors[name], rtol=0, atol=0, equal_nan=True)


def truths(of: FunctionsSpec) -> tuple[CaseAnswer, ...]:
    return tuple(case.truth for case in made(of))


def scored(spec: MetricSpec, cases: tuple[xb.Case, ...], answers: tuple[CaseAnswer, ...]) -> np.ndarray[Any, Any]:
    ev = xb.CaseEvaluation(cases, answers, seed=0, budget=0, peers=cases)
    return score_programs(spec, spec.bind({}), ev).numpy()


@pytest.mark.parametrize("of", [pytest.param(s, id=s.name, marks=unless(s.name in TRAINED)) for s in SETS])
def test_equal_seeds_make_equal_cases_and_other_seeds_others(of: FunctionsSpec) -> None:
    again = made.__wrapped__(of)
    assert [case_digest(a) for a in made(of)] == [case_digest(b) for b in again]
    if of.takes("seed"):
        assert [case_digest(a) for a in made(of)] != [case_digest(b) for b in made(of, 6)]


@every_set
def test_gates_hold_and_the_kind_has_an_explainer_metrics_and_a_placebo_of_its_own(of: FunctionsSpec) -> None:
    assert all(not case.failed_gates for case in made(of))
    taken = [s for s, o in EXPLAINERS if o is of]
    assert any(not s.control for s in taken)
    assert {"oracle", "random", "other_case", "constant"} <= {s.name for s in taken if s.control}
    assert any(s.placebo and s.kinds_taken for s in taken), "an input-only placebo of the kind"
    assert any(o is of and s.skill_valid for s, o in METRICS)


@every_set
@pytest.mark.parametrize("width", [80, 120])
def test_a_case_is_drawn_with_the_truth_beside_the_answer(of: FunctionsSpec, width: int) -> None:
    case = made(of)[1]
    answer = xb.explain_case("random", case, others=made(of), seed=1)
    lines = case_text(ShownCase(case, "random", answer), width).splitlines()
    assert lines[:2] == [case.name, f"kind: {case.kind}"]
    assert "random: 0 runs of the model" in lines
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("unit")) :]
    assert len(table) > 2
    assert max(map(len, table)) <= width, "\n".join(table)
    drawn = case_text(ShownCase(case, "oracle", case.truth), width)
    assert "nan" not in drawn.lower()


@every_explainer
def test_answers_are_finite_of_the_right_shape_and_repeat_themselves(spec: InterpreterSpec, of: FunctionsSpec) -> None:
    first, again = answered(spec, of, 0), answered(spec, of, 0)
    check_answer(first, made(of)[0].truth)
    assert first.queries == again.queries
    assert_equal(first, again)


@pytest.mark.parametrize(
    ("spec", "of"),
    [pytest.param(s, of, id=f"{s.name}-{of.name}", marks=unless((s.name, of.name) in LONG)) for s, of in EXPLAINERS],
)
def test_an_answer_depends_on_no_other_case(spec: InterpreterSpec, of: FunctionsSpec) -> None:
    if "others" in spec.needs and spec.name != "random":
        pytest.skip("declares that it looks at other cases")
    case = made(of)[1]
    others = made(of)[2:] if "others" in spec.needs else ()
    assert_equal(answered(spec, of, 1), explained(spec, case, others))


@every_metric
def test_scores_are_one_per_case_whatever_the_others(spec: MetricSpec, of: FunctionsSpec) -> None:
    cases = made(of)
    answers = tuple(
        _of_another(case, other) for case, other in zip(cases, truths(of)[1:] + truths(of)[:1], strict=True)
    )
    whole = scored(spec, cases, answers)
    apart = [scored(spec, (c,), (a,)) for c, a in zip(cases, answers, strict=True)]
    np.testing.assert_array_equal(whole, np.concatenate(apart))
    low, high = spec.bounds
    known = whole[np.isfinite(whole)]
    assert low is None or (known >= low).all()
    assert high is None or (known <= high).all()


def _of_another(case: xb.Case, truth: CaseAnswer) -> CaseAnswer:
    """The truth of another case, or, where the cases have not as many units, their own the other way round."""
    if isinstance(case.truth, xb.Scores) and isinstance(truth, xb.Scores) and truth.values.shape != case.shape:
        return replace(case.truth, values=case.truth.values.flip(-1))
    return truth


@every_metric
def test_the_truth_is_best_and_a_failure_worst(spec: MetricSpec, of: FunctionsSpec) -> None:
    cases = made(of)
    best = scored(spec, cases, truths(of))
    failed = tuple(failed_answer(case.truth, "no idea") for case in cases)
    worst = scored(spec, cases, failed)
    assert np.isfinite(best).any(), "the truth has a score"
    np.testing.assert_array_equal(np.isfinite(worst), np.isfinite(best))
    sign = 1 if spec.higher_is_better else -1
    known = np.isfinite(best)
    assert (worst[known] == np.float32(spec.worst_score)).all()
    draws = np.random.default_rng(0)
    for _ in range(3):
        noise = tuple(
            replace(c.truth, values=torch.from_numpy(draws.standard_normal(c.shape)))
            for c in cases
            if isinstance(c.truth, xb.Scores)
        )
        if noise and spec.skill_valid:
            found = scored(spec, cases, noise)
            found = np.where(np.isnan(found), best, found)
            assert (sign * found[known] <= sign * best[known]).all()
            assert (sign * found[known] >= sign * worst[known]).all()


def no_answer(how: str) -> Callable[..., Any]:
    """An explainer that goes wrong in one way."""

    def explain(case: xb.CaseView, draws: np.random.Generator) -> Any:
        assert case.truth is not None
        if how == "raises":
            raise ValueError("no idea")
        if how == "exits":
            sys.exit(3)
        if how == "nothing":
            return None
        if how == "array":
            return replace(case.truth, **{name: t.numpy() for name, t in case.truth.tensors.items()})
        changes = {
            "NaN": lambda t: torch.full_like(t.double(), torch.nan),
            "infinite": lambda t: t.double() / 0,
            "one too few": lambda t: t[..., :-1],
            "complex": lambda t: t * 1j,
        }
        return replace(case.truth, **{name: changes[how](t) for name, t in case.truth.tensors.items()})

    return explain


@every_set
@pytest.mark.parametrize("how", ["raises", "exits", "nothing", "array", "NaN", "infinite", "one too few", "complex"])
def test_what_is_no_answer_has_the_worst_score_and_a_reason(of: FunctionsSpec, how: str) -> None:
    spec = InterpreterSpec("wrong", no_answer(how), frozenset({"case", "truth"}))
    cases = made(of)
    asked = [ask(spec, {}, cases, i, budget=0, seed=0, stream="wrong").interpretation for i in range(len(cases))]
    answers = tuple(cast(CaseAnswer, answer) for answer in asked)
    assert all(answer.failure and all(t.isnan().all() for t in answer.tensors.values()) for answer in answers)
    for metric, about in METRICS:
        if about is of:
            defined = np.isfinite(scored(metric, cases, truths(of)))
            found = scored(metric, cases, answers)
            assert (found[defined] == np.float32(metric.worst_score)).all(), metric.name
            assert np.isnan(found[~defined]).all(), metric.name


@every_metric
def test_the_order_of_units_changes_nothing_and_a_factor_what_the_metric_says(
    spec: MetricSpec, of: FunctionsSpec
) -> None:
    if not isinstance(made(of)[0].truth, xb.Scores):
        pytest.skip("a dictionary has directions and no scores")
    draws = np.random.default_rng(1)
    cases = made(of)
    answers = tuple(
        replace(
            c.truth, values=c.truth.values + torch.from_numpy(draws.standard_normal(c.shape)) * c.truth.values.std()
        )
        for c in cases
        if isinstance(c.truth, xb.Scores)
    )
    plain = scored(spec, cases, answers)
    if spec.scale_invariant:
        larger = scored(spec, cases, tuple(replace(a, values=a.values * 3.5) for a in answers))
        np.testing.assert_allclose(larger, plain, rtol=1e-6)
    else:
        smaller = scored(spec, cases, tuple(replace(c.truth, values=c.truth.values * 1e-6) for c in cases))
        assert not np.allclose(smaller, scored(spec, cases, truths(of)))
    permuted = [_permuted(c, a, draws) for c, a in zip(cases, answers, strict=True)]
    moved = scored(spec, tuple(c for c, _ in permuted), tuple(a for _, a in permuted))
    np.testing.assert_allclose(moved, plain, rtol=1e-6)


def _permuted(case: xb.Case, answer: CaseAnswer, draws: np.random.Generator) -> tuple[xb.Case, CaseAnswer]:
    """A case and an answer with their units in another order: last axis of what is hidden, first of candidates."""
    order = torch.from_numpy(draws.permutation(len(case.units)))
    assert isinstance(case.truth, xb.Scores)
    assert isinstance(answer, xb.Scores)
    u = len(case.units)
    hidden = {k: t[..., order] if t.ndim and t.shape[-1] == u else t for k, t in case.hidden.items()}
    given = case.given
    if hasattr(given, "candidates"):
        given = replace(given, candidates=given.candidates[order])
    moved = replace(
        case,
        given=given,
        truth=replace(case.truth, values=case.truth.values[..., order]),
        hidden=hidden,
        units=tuple(case.units[i] for i in order.tolist()),
    )
    return moved, replace(answer, values=answer.values[..., order])
