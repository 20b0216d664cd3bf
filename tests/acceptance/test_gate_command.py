"""The gate through the real command line: a run with itself, and deliberately broken metrics, explainers, models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TINY = (Path(__file__).parents[1] / "plugins" / "tiny.py").read_text()
SUITE = """
samples = 24
random_draws = 2
problem_seeds = [0, 1]
explainers = ["gradient", "weights_times_input"]
metrics = ["sparseness", "own_metric", "weight_agreement", "pixel_flipping"]
[[problems]]
dataset = "tiny"
models = ["exact"]
"""
OWN = "return ev.attributions.abs().pow(power).sum(dim=1)"
AGREES = "return torch.cosine_similarity(ev.attributions, ev.truth.weights, dim=1)"
EXPLAINS = "return gain * problem.gradients(problem.inputs) * problem.inputs"
BUILDS = "net[1].bias.zero_()"


def xaibench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xaibench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run(folder: Path, *changes: tuple[str, str]) -> Path:
    """A store of the suite with the plugin, changed."""
    source = TINY
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    folder.mkdir()
    (folder / "mine.toml").write_text(SUITE)
    (folder / "tiny.py").write_text(source)
    store = folder / "store"
    xaibench("run", folder / "mine.toml", "--plugin", folder / "tiny.py", "--store", store, "--quiet")
    return store


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("baseline") / "good")


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[str, set[tuple[str, str]]]:
    """Explainers and metrics of the findings that fail, by verdict."""
    found: dict[str, set[tuple[str, str]]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        if finding["fails"]:
            found.setdefault(finding["verdict"], set()).add((finding["explainer"], finding["metric"]))
            assert finding["cell_ids"]
    return found


def test_a_run_passes_against_itself_and_against_its_repetition(baseline: Path, tmp_path: Path) -> None:
    assert xaibench("compare", baseline, baseline).returncode == 0
    document: dict[str, Any] = json.loads(xaibench("compare", baseline, run(tmp_path / "again"), "--json").stdout)
    assert document["outcome"] == "passed"
    assert document["cells_identical"] == 0
    assert document["verdicts"]["same"] == document["entries_compared"] > 20


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param((OWN, f"{OWN} * 2"), {"regressed": {("gradient", "own_metric")}}, id="metric doubled"),
        pytest.param(
            (AGREES, "return torch.ones(len(ev))"), {"moved": {("random", "weight_agreement")}}, id="constant"
        ),
        pytest.param((AGREES, "raise ValueError('oh')"), {"failed": {("gradient", "weight_agreement")}}, id="raises"),
        pytest.param(
            (AGREES, "return torch.full((len(ev),), torch.nan)"),
            {"undefined": {("gradient", "weight_agreement")}},
            id="metric undefined",
        ),
        pytest.param(
            (EXPLAINS, f"{EXPLAINS} * -1"), {"regressed": {("weights_times_input", "pixel_flipping")}}, id="sign"
        ),
        pytest.param(
            (EXPLAINS, "return torch.zeros_like(problem.inputs)"),
            {"regressed": {("weights_times_input", "pixel_flipping")}},
            id="empty maps",
        ),
        pytest.param((BUILDS, "net[1].weight.neg_()"), {"gate": {("gradient", "pixel_flipping")}}, id="model"),
        pytest.param(
            (BUILDS, "raise RuntimeError('no')"), {"failed": {("gradient", "pixel_flipping")}}, id="model raises"
        ),
    ],
)
def test_what_is_broken_is_named(
    change: tuple[str, str], expected: dict[str, set[tuple[str, str]]], baseline: Path, tmp_path: Path
) -> None:
    done = xaibench("compare", baseline, run(tmp_path / "broken", change), "--json")
    found = verdicts(done)
    print(done.returncode, {verdict: len(names) for verdict, names in found.items()})
    assert done.returncode == 1
    for verdict, names in expected.items():
        assert names <= found[verdict]
    # What was not touched is not blamed.
    blamed = set().union(*found.values())
    if change[0] == AGREES:
        assert {metric for _, metric in blamed} == {"weight_agreement"}
    if change[0] == OWN:
        assert {metric for _, metric in blamed} == {"own_metric"}
    if change[0] == EXPLAINS:
        assert {explainer for explainer, _ in blamed} == {"weights_times_input"}


def test_nothing_in_common_is_no_pass(baseline: Path, tmp_path: Path) -> None:
    store = tmp_path / "other"
    xaibench("run", "quick", "--only", "digits/softmax_regression/gradient/sparseness", "--limit", 8, "--store", store)
    done = xaibench("compare", baseline, store)
    assert (done.returncode, done.stdout) == (4, "")
    assert "no cell in common" in done.stderr


def test_a_new_version_of_everything_is_no_pass(baseline: Path, tmp_path: Path) -> None:
    first = '@xb.dataset("tiny", features="table", provides=set())'
    changed = run(tmp_path / "versions", (first, first.replace("set()", "set(), version=2")))
    done = xaibench("compare", baseline, changed)
    assert done.returncode == 4
    assert "version changed: dataset 1 to 2" in done.stdout
