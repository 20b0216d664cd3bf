"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import Call
from helpers.documentation import blocks as blocks_of_page

import xaibench as xb

TOP = Path(__file__).parent.parent
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (TOP / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def test_the_python_example_gives_a_score_for_every_sample() -> None:
    names: dict[str, object] = {}
    (example,) = blocks("python")
    exec(example, names)
    scores = names["scores"]
    assert isinstance(scores, np.ndarray)
    assert scores.shape == (64,)
    assert np.isfinite(scores).all()


def test_the_function_example_finds_the_sine() -> None:
    names: dict[str, object] = {}
    (example,) = [text for language, _, text in blocks_of_page("how-to/tasks.md") if language == "python"]
    exec(example, names)
    answer = names["answer"]
    assert isinstance(answer, xb.Interpretation)
    assert answer.family == "sine"
    assert answer.program(0.5) == pytest.approx(3 * np.sin(0.1) + 1, abs=0.01)


@pytest.mark.slow
def test_own_model_runs_in_a_suite(tmp_path: Path, call: Call) -> None:
    (suite,) = blocks("toml")
    (tmp_path / "my_suite.toml").write_text(suite)
    (tmp_path / "my_model.py").write_text(
        "from sklearn.neighbors import KNeighborsClassifier\n\n\n"
        "def build(data):\n"
        "    return KNeighborsClassifier(15).fit(data.train_inputs, data.train_targets)\n"
    )
    code, _, err = call("run", tmp_path / "my_suite.toml", "--limit", 8, "--store", tmp_path / "store")
    assert code == 0, err
    board = pd.read_parquet(tmp_path / "store" / "leaderboard.parquet")
    own = board[(board["model"] == "my_model.build") & ~board["control"]]
    assert len(own) == 6
    assert (own["n"] == 8).all()
    code, _, err = call("report", tmp_path / "store", "-o", tmp_path / "report.html")
    assert code == 0, err


def test_ci_runs_the_test_command_of_the_readme_and_builds_the_documentation() -> None:
    _, test = (text.strip() for text in blocks("bash"))
    script = (TOP / ".ci" / "run").read_text()
    assert test in script
    assert "mkdocs build --strict" in script


def test_the_readme_is_short() -> None:
    assert len((TOP / "README.md").read_text(encoding="utf-8").splitlines()) <= 100
