"""Patterns that nothing in a suite matches are errors: a misspelt `--skip` must not skip nothing in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers.command_line import Call

from xaibench import suite as suites
from xaibench.core.errors import NothingToDoError, UsageError
from xaibench.plan import Selection, make_plan

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def suite(tiny_suite: Make) -> suites.Suite:
    explainers = ["gradient", {"name": "smoothgrad", "grid": {"n_samples": [2, 3]}}]
    return suites.parse(tiny_suite(explainers=explainers, controls=True))


@pytest.mark.parametrize(
    ("patterns", "said", "hint"),
    [
        ({"skip": ("NOSUCH",)}, "--skip 'NOSUCH' matches no cell", ""),
        ({"skip": ("gradeint",)}, "--skip 'gradeint' matches no cell", "did you mean 'gradient'"),
        ({"skip": ("random", "smothgrad")}, "--skip 'smothgrad' matches no cell", "'smoothgrad'"),
        ({"skip": ("smoothgrad(n_samples=4)",)}, "matches no cell", "'smoothgrad(n_samples=3)'"),
        ({"skip": ("lime*",)}, "--skip 'lime*' matches no cell", ""),
        ({"skip": ("tiny/*/gradeint",)}, "--skip 'tiny/*/gradeint' matches no cell", "did you mean 'gradient'"),
        ({"skip": ("gradient/tiny",)}, "matches no cell", "xaibench plan --cells"),
        ({"only": ("gradient", "smothgrad")}, "--only 'smothgrad' matches no cell", "'smoothgrad'"),
        ({"only": ("gradient",), "skip": ("sparsenes",)}, "--skip 'sparsenes' matches no cell", ""),
    ],
)
def test_a_pattern_without_a_cell_is_an_error(suite: suites.Suite, patterns: Any, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        make_plan(suite, selection=Selection(**patterns))
    assert said in error.value.message
    assert hint in (error.value.hint or "")


@pytest.mark.parametrize(
    "patterns",
    [
        {"skip": ("random",)},
        {"skip": ("random*", "smoothgrad(n_samples=3)")},
        {"skip": ("tiny/*/gradient/*", "*/smoothgrad/*")},
        {"only": ("gradient",), "skip": ("smoothgrad",)},  # about the suite, not about what the other pattern leaves
        {"only": ("gradient", "smoothgrad(n_samples=2)")},
    ],
)
def test_patterns_with_cells_are_none(suite: suites.Suite, patterns: Any) -> None:
    assert len(make_plan(suite, selection=Selection(**patterns)).units)


def test_nothing_selected_stays_nothing_to_do(suite: suites.Suite) -> None:
    with pytest.raises(NothingToDoError, match="no cell is selected"):
        make_plan(suite, selection=Selection(only=("NOSUCH",)))


def test_the_command_line_says_it(call: Call, tmp_path: Any) -> None:
    code, out, err = call("plan", "quick", "--skip", "lrpp", "--store", tmp_path / "s")
    assert (code, out) == (2, "")
    assert "--skip 'lrpp' matches no cell of this suite" in err
    assert "did you mean 'lrp'" in err
