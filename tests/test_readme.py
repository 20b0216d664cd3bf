"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import Call

import xaibench as xb

TOP = Path(__file__).parent.parent
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (TOP / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def test_the_python_example_gives_a_score_for_every_sample() -> None:
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    scores = names["scores"]
    assert isinstance(scores, np.ndarray)
    assert scores.shape == (64,)
    assert np.isfinite(scores).all()
    assert names["again"].shape == (64,)  # type: ignore[attr-defined]
    assert names["curves"].shape == (64, 7)  # type: ignore[attr-defined]


def test_the_function_example_finds_the_sine() -> None:
    names: dict[str, object] = {}
    exec(blocks("python")[3], names)
    answer = names["answer"]
    assert isinstance(answer, xb.Interpretation)
    assert answer.family == "sine"
    assert answer.program(0.5) == pytest.approx(3 * np.sin(0.1) + 1, abs=0.01)


@pytest.mark.slow
def test_own_model_explainer_and_metric_run_in_a_suite(tmp_path: Path, call: Call) -> None:
    _, model, parts, _ = blocks("python")
    (suite,) = blocks("toml")
    for name, text in (("my_model.py", model), ("my_parts.py", parts), ("my_suite.toml", suite)):
        (tmp_path / name).write_text(text)
    code, _, err = call("run", tmp_path / "my_suite.toml", "--limit", 8, "--store", tmp_path / "store")
    assert code == 0, err
    board = pd.read_parquet(tmp_path / "store" / "leaderboard.parquet")
    own = board[(board["model"] == "my_model.build") & (board["explainer"] == "by_column")].set_index("metric")
    assert own["n"].tolist() == [8, 8, 8]
    assert own.loc["spread", "value"] > 0


def test_ci_runs_the_test_command_of_the_readme() -> None:
    _, test = (text.strip() for text in blocks("bash"))
    assert test in (TOP / ".ci" / "run").read_text()
