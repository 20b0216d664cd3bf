"""What the tutorials and how-to pages show works as it stands there, files, commands and exit codes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from helpers.command_line import Call
from helpers.documentation import blocks


def follow(page: str, folder: Path) -> list[str]:
    """Write the files of a page, and run its Python without a title, and its commands in processes of their own.

    Returns what the commands printed.
    """
    printed, names = [], {"__name__": "page"}
    for language, options, text in blocks(page):
        title = re.search(r'title="([^"]+)"', options)
        if title and "replace" in options:
            old, new = text.splitlines()
            file = folder / title.group(1)
            assert file.read_text().count(old) == 1
            file.write_text(file.read_text().replace(old, new))
        elif title:
            (folder / title.group(1)).write_text(text)
        elif language == "python":
            exec(compile(text, page, "exec"), names)
        elif language == "console":
            for command in re.findall(r"^\$ xaibench (.*)$", text, flags=re.MULTILINE):
                arguments, _, comment = command.partition("  # ")
                wanted = int(comment.removeprefix("exit code ") or 0)
                line = [sys.executable, "-m", "xaibench", *shlex.split(arguments)]
                done = subprocess.run(line, cwd=folder, capture_output=True, text=True, encoding="utf-8")
                assert done.returncode == wanted, (command, done.stdout, done.stderr)
                printed.append(done.stdout)
    return printed


@pytest.mark.slow
def test_which_explainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan, _, board, _ = follow("tutorial/which-explainer.md", tmp_path)
    assert "58 cells" in plan
    assert "best placebo: other_sample" in board
    found = pd.read_parquet("my_store/leaderboard.parquet")
    flipping = found[found["metric"] == "pixel_flipping"].set_index(["model", "explainer"])
    forest, network = flipping.loc["my_models.forest"], flipping.loc["my_models.network"]
    assert forest.loc["kernel_shap", "rank"] == 1
    assert network.loc["gradient", "rank"] == 1
    assert (forest.loc[["gradient", "integrated_gradients"], "status"] == "unsupported").all()
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_a_nightly_gate(tmp_path: Path) -> None:
    printed = follow("tutorial/nightly-gate.md", tmp_path)
    assert "PASSED: no regression in 16 entries" in printed[1]
    assert "REGRESSION: 1 finding" in printed[3]
    assert (tmp_path / "junit.xml").read_text().count("<failure ") == 1


@pytest.mark.slow
def test_own_data(tmp_path: Path) -> None:
    follow("how-to/own-data.md", tmp_path)
    follow("how-to/texts-and-several-inputs.md", tmp_path)
    follow("how-to/series.md", tmp_path)


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    follow("how-to/files.md", tmp_path)
    assert (tmp_path / "maps.npz").is_file()


def test_own_models(tmp_path: Path) -> None:
    follow("how-to/own-models.md", tmp_path)


def test_evaluating_in_a_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    follow("how-to/notebook.md", tmp_path)
    printed = capsys.readouterr().out
    assert "smoothgrad slope 64" in printed
    assert "hint: did you mean 'smoothgrad'" in printed
    assert "input_times_two" in printed


@pytest.mark.slow
def test_own_components_run_in_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = [text for language, _, text in blocks("how-to/own-components.md") if language == "python"]
    (suite,) = [text for language, _, text in blocks("how-to/own-components.md") if language == "toml"]
    (tmp_path / "parts.py").write_text(
        code.replace('features="table", version=1)', 'features="table", provides={"truth.mask"})')
    )
    (tmp_path / "parts.toml").write_text(suite)
    done, out, err = call("run", "parts.toml", "--store", "store", "--limit", 8)
    assert done == 0, (out, err)
    board = pd.read_parquet("store/leaderboard.parquet").set_index(["explainer", "metric"])
    assert board.loc[("column_drop", "relevance_mass"), "value"] > 0.8
    assert board.loc[("column_drop", "spread_of_map"), "value"] > 0


@pytest.mark.slow
def test_results_are_read_with_pandas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call("run", "quick", "--only", "breast_cancer/softmax_regression", "--limit", 6, "--store", "my_store")
    recipes = [text for language, _, text in blocks("how-to/read-results.md") if language == "python"]
    exec(recipes[0], {})
    printed = capsys.readouterr().out
    assert "completen" in printed
    assert "vargrad" in printed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_text_classifier(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    follow("tutorial/text-classifier.md", tmp_path)
