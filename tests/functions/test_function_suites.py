"""Suites with functions: what does not go together is said before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from xaibench import suite as suites
from xaibench.core.errors import UsageError
from xaibench.plan import expand

Make = Callable[..., dict[str, Any]]
STRINGS = {"functions": "tiny_strings"}
LINES = {"functions": "tiny_lines"}


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"problems": [{"functions": "tiny_linse"}]}, "unknown functions 'tiny_linse'", "'tiny_lines'"),
        ({"interpreters": ["two_point"]}, "unknown interpreter 'two_point'", "'two_points'"),
        ({"interpreters": [{"name": "two_points", "params": {"shif": 1}}]}, "has no parameter 'shif'", "'shift'"),
        ({"interpretres": ["zero"]}, "unknown field 'interpretres'", "'interpreters'"),
        (
            {"problems": [{"functions": "tiny_lines", "sample": 3}]},
            "unknown field 'sample' in problems, entry 1",
            "'samples'",
        ),
        (
            {"problems": [{"functions": "tiny_lines", "models": ["mlp"]}]},
            "unknown field 'models' in problems, entry 1",
            None,
        ),
        (
            {"problems": [{"functions": "tiny_lines", "dataset": "tiny", "models": ["mlp"]}]},
            "unknown field 'functions' in problems, entry 1",
            None,
        ),
        ({"problems": [{"functions": "tiny_lines", "budget": 0}]}, "problems, entry 1, budget", None),
        ({"budget": 0}, "budget", None),
        ({"problems": [{}]}, "'dataset' is missing in problems, entry 1", None),
        ({"explainers": ["gradient"]}, "'gradient' explains or scores models, and the suite has functions only", None),
        ({"metrics": ["tiny_fit", "sparseness"]}, "'sparseness' explains or scores models", None),
        ({"interpreters": ["two_points", "upper_case"]}, "'upper_case' is about string functions", None),
        ({"problems": [LINES, STRINGS]}, "no interpreter of the suite takes string functions", "upper_case"),
        (
            {"problems": [LINES, STRINGS], "interpreters": ["two_points", "upper_case"], "metrics": ["tiny_numbers"]},
            "no metric of the suite takes string functions",
            "tiny_fit",
        ),
        ({"problems": [{"dataset": "tiny", "models": ["exact"]}]}, "is about programs, and no problem", "find_numeric"),
        (
            {"problems": [LINES, {"dataset": "tiny", "models": ["exact"]}]},
            "the problems with a dataset have no metric",
            None,
        ),
    ],
)
def test_mistakes_are_named(function_suite: Make, plugin: Any, change: Any, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        suites.parse(function_suite(**change))
    assert message in caught.value.message
    assert hint is None or hint in str(caught.value.hint)


def test_controls_are_in_every_suite_of_functions(function_suite: Make) -> None:
    document = function_suite(problems=[LINES, STRINGS], controls=True, interpreters=["two_points"], random_draws=3)
    units = list(expand(suites.parse(document)))
    asked = {(u.problem.names[0], u.spec.name) for u in units}
    assert asked == {
        *(("tiny_lines", name) for name in ("two_points", "mean", "oracle", "random")),
        *(("tiny_strings", name) for name in ("identity", "oracle", "random")),
    }
    assert sum(u.spec.name == "random" for u in units) == 2 * 3, "skill needs several draws"


def test_claims_may_be_about_interpreters_and_sets(function_suite: Make) -> None:
    claim = {
        "id": "lines.mean",
        "source": "by definition",
        "statement": "The mean is no line.",
        "left": {"dataset": "tiny_lines", "model": "functions", "explainer": "mean", "metric": "tiny_fit"},
        "number": 0.5,
        "direction": "less",
    }
    assert suites.parse(function_suite(controls=True, claims=[claim])).claims[0].left.explainer == ["mean"]
    with pytest.raises(UsageError, match="about explainer 'mean', which the suite does not have"):
        suites.parse(function_suite(claims=[claim]))


def test_rules_and_grids_reach_functions(function_suite: Make) -> None:
    document = function_suite(
        problems=[{"functions": {"name": "tiny_lines", "grid": {"n": [3, 4]}}}],
        interpreters=["zero", {"name": "two_points", "grid": {"shift": [0.0, 1.0]}}],
        exclude=[{"dataset": "tiny_lines(n=3)", "explainer": "two_points(shift=1.0)"}],
    )
    units = list(expand(suites.parse(document)))
    assert [(u.problem.labels[0], u.explainer.label) for u in units] == [
        ("tiny_lines(n=3)", "zero"),
        ("tiny_lines(n=3)", "two_points(shift=0.0)"),
        ("tiny_lines(n=4)", "zero"),
        ("tiny_lines(n=4)", "two_points(shift=0.0)"),
        ("tiny_lines(n=4)", "two_points(shift=1.0)"),
    ]
