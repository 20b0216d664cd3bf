"""`xaibench show find/numeric/0042`, lists, and plots in the terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import Call

from xaibench.report.braille import bar, plot, ticks, y_range
from xaibench.report.function_tables import three_columns

PROGRAMS = Path(__file__).parent.parent / "plugins" / "programs.py"


def test_a_function_is_drawn_with_the_answer(call: Call) -> None:
    code, out, _ = call("show", "find/numeric/0042", "--interpreter", "mean", "--budget", 16)
    assert code == 0
    assert out.startswith("find/numeric/0042\nfamily: ")
    assert "mean: 16 questions" in out
    assert "-128" in out
    assert any("\u2800" < c <= "\u28ff" for c in out)
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.slow
def test_numbers_beyond_the_default_set_are_there(call: Call) -> None:
    assert call("show", "find/numeric/0060", "--interpreter", "oracle")[1].startswith("find/numeric/0060")
    code, _, err = call("show", "find/numeric/99999999")
    assert code == 2
    assert "the set find_numeric has no function" in err


@pytest.mark.slow
def test_functions_of_strings_are_shown_by_examples(call: Call) -> None:
    _, out, _ = call("show", "words/reverse", "--plugin", PROGRAMS, "--interpreter", "upper_case")
    assert "asked  answer  program\nab     ba      AB       <--" in out
    assert "xy        yx        XY       <--" in out
    assert "0 of 2 right" in out


def test_the_search_shows_what_it_asked_and_what_it_was_not_shown(call: Call) -> None:
    code, out, _ = call("show", "find/string/0007")
    assert code == 0
    assert "string_search: " in out, "it is the one to show"
    truth, said, asked, held_out = out.rstrip().split("\n\n")
    assert truth.splitlines()[-1] == said.splitlines()[-1], "the same description"
    assert "a b " in asked
    assert "<--" not in asked
    assert held_out.endswith("16 of 16 right")
    assert max(map(len, out.splitlines())) <= 120


def test_columns_are_cut_and_spaces_are_seen() -> None:
    lines = three_columns(("a", "b", "c"), (["x" * 90, ""], [" y", "z"], ["y", "z"]), 60, mark=True)
    assert lines == [
        f"{'a':<17}  b     c",
        f"{'x' * 14}...  ' y'  y  <--",
        "''" + " " * 15 + "  z     z",
    ]


@pytest.mark.slow
def test_a_failed_answer_is_shown_as_such(call: Call) -> None:
    code, out, said = call("show", "tiny/0000", "--plugin", PROGRAMS, "--interpreter", "clumsy")
    assert code == 0, said
    assert "no program: ValueError: no idea" in out


@pytest.mark.slow
@pytest.mark.parametrize("interpreter", ["oracle", "clumsy"])
def test_pictures_are_written(call: Call, tmp_path: Path, interpreter: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "function.png"
    code, out, said = call("show", "tiny/0001", "--plugin", PROGRAMS, "--interpreter", interpreter, "--png", path)
    assert code == 0, said
    assert str(path) in out.replace("\n", "")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_unknown_functions_are_usage_errors(call: Call) -> None:
    code, _, err = call("show", "find/nmeric/0001")
    assert code == 2
    assert "no function is called" in err
    assert "find/numeric/0000" in err


def test_lists_name_functions_and_interpreters(call: Call) -> None:
    assert "find_numeric" in call("list", "functions")[1]
    assert "oracle" in call("list", "interpreters")[1]
    _, out, _ = call("show", "oracle")
    assert "interpreter oracle" in out
    assert "explainer oracle" in out


@pytest.mark.slow
def test_a_run_from_the_command_line(call: Call, tmp_path: Path) -> None:
    suite = tmp_path / "lines.toml"
    suite.write_text(
        f'interpreters = ["{PROGRAMS}:two_points"]\nmetrics = ["{PROGRAMS}:tiny_fit"]\nrandom_draws = 2\n'
        f'[[problems]]\nfunctions = "{PROGRAMS}:tiny_lines"\n'
    )
    code, out, err = call("run", suite, "--store", tmp_path / "store", "-j", 2)
    assert code == 0
    assert "tiny_lines/functions: ready" in err
    assert "20 functions" in err
    assert "two_points" in out
    code, out, _ = call("plan", suite, "--store", tmp_path / "store", "--cells")
    assert out.count("cached") >= 5
    assert call("doctor", tmp_path / "store")[0] == 0
    assert call("leaderboard", tmp_path / "store", "--metric", "tiny_fit")[0] == 0


def test_a_diagonal_is_drawn_dot_by_dot() -> None:
    x = np.linspace(0, 1, 401)
    lines = plot(x, x, domain=(0, 1), limits=(0, 1), width=4, height=2)
    # From corner to corner of 8 columns and 8 rows of dots; each column begins where the one before ended.
    assert [line.split("|")[1] for line in lines[:2]] == ["  ⣠⠞", "⣠⠞⠁"]
    assert lines[2].endswith("+----")
    gap = plot(x, np.where(x < 0.5, x, np.nan), domain=(0, 1), limits=(0, 1), width=4, height=2)
    assert [line.split("|")[1] for line in gap[:2]] == ["", "⣠⠞"]


def test_marks_stand_off_the_curve_only() -> None:
    x = np.linspace(0, 1, 100)
    marks = (np.array([0.1, 0.9, 0.5, 2.0]), np.array([0.9, 0.0, np.nan, 0.9]))
    lines = plot(x, np.zeros(100), domain=(0, 1), limits=(-0.1, 1), width=10, height=4, marks=marks)
    assert "".join(lines).count("o") == 1
    assert lines[0].split("|")[1] == " o"


def test_bars_and_ticks_are_where_things_are() -> None:
    assert bar(((0.5, 0.79),), domain=(0, 1), width=10) == "     ==="
    assert bar(((-5, 0.1), (1.0, 1.0)), domain=(0, 1), width=10) == "==       ="
    assert ticks(np.array([0.0, 0.55, 3.0]), domain=(0, 1), width=10) == "'    '"


def test_poles_do_not_flatten_the_rest() -> None:
    x = np.linspace(-1, 1, 1000)
    low, high = y_range(1 / x)
    assert high < 60
    assert low > -60
    assert y_range(np.full(3, np.nan)) == (-1, 1)
    assert y_range(np.full(3, 2.0)) == (0, 4)
