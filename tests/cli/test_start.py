"""Commands that compute nothing with models import neither torch nor scikit-learn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "sklearn", "scipy.stats", "matplotlib", "skimage")
SHOW = f"""
import atexit, sys
atexit.register(lambda: print("IMPORTED", *(m for m in {HEAVY!r} if m in sys.modules), file=sys.stderr))
from xaibench.cli import main
main()
"""
SUITE = """
name = "little"
samples = 6
background = 6
random_draws = 2
metrics = ["sparseness", "pixel_flipping"]
explainers = ["gradient"]

[[problems]]
dataset = "breast_cancer"
models = ["softmax_regression", "random_forest"]

[[claims]]
id = "spread"
source = "a test"
statement = "Gradients are spread out."
left = { metric = "sparseness" }
number = 0.99
direction = "less"
"""


def run(*arguments: str, cache: Path) -> tuple[int, str, set[str]]:
    """Exit code, what was said, and which heavy packages were imported."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XAIBENCH_CACHE": str(cache)},
    )
    said, _, imported = done.stderr.rpartition("IMPORTED")
    return done.returncode, done.stdout + said, set(imported.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cache, a store `results` and the suite that was run."""
    path = tmp_path_factory.mktemp("start")
    (path / "little.toml").write_text(SUITE)
    code, said, imported = run(
        "run", str(path / "little.toml"), "--store", str(path / "results"), "-q", "-j", "0", cache=path / "cache"
    )
    assert code == 0, said
    assert "torch" in imported
    return path


COMMANDS = {
    "list": ["list"],
    "list metrics": ["list", "metrics"],
    "list maskers": ["list", "maskers"],
    "list as JSON": ["list", "datasets", "--json"],
    "show lime": ["show", "lime"],
    "show digits": ["show", "digits"],
    "plan": ["plan", "{folder}/little.toml", "--store", "{folder}/results"],
    "plan --cells": ["plan", "{folder}/little.toml", "--store", "{folder}/nowhere", "--cells"],
    "leaderboard": ["leaderboard", "{folder}/results"],
    "leaderboard of a metric": ["leaderboard", "{folder}/results", "--metric", "sparseness"],
    "compare": ["compare", "{folder}/results", "{folder}/results"],
    "claims": ["claims", "{folder}/results"],
    "gc": ["gc", "{folder}/results", "--dry-run"],
    "data list": ["data", "list"],
    "run again, all cached": ["run", "{folder}/little.toml", "--store", "{folder}/results", "-q", "-j", "0"],
    "run again, with workers": ["run", "{folder}/little.toml", "--store", "{folder}/results", "-q", "-j", "2"],
}
RANKING = {"leaderboard of a metric"}
"""Commands that rank over several problems."""
MISTAKES = {
    "a suite": (["run", "qiuck", "--store", "{folder}/new"], "did you mean 'quick'"),
    "a suite to plan": (["plan", "qiuck"], "did you mean 'quick'"),
    "an explainer": (["show", "lmie"], "did you mean 'lime'"),
    "a metric of a board": (["leaderboard", "{folder}/results", "--metric", "sparsenes"], "did you mean 'sparseness'"),
    "a command": (["lsit"], "Did you mean 'list'"),
    "a shard": (["run", "quick", "--shard", "4/3", "--store", "{folder}/new"], "is not a shard"),
    "a size": (["run", "quick", "--memory", "4XB", "--store", "{folder}/new"], "write, for example, 4GB"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_that_compute_nothing_import_nothing_heavy(folder: Path, name: str) -> None:
    code, said, imported = run(*(part.format(folder=folder) for part in COMMANDS[name]), cache=folder / "cache")
    assert code == 0, said
    assert imported <= ({"scipy.stats"} if name in RANKING else set())


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_said_before_anything_heavy_is_imported_or_written(folder: Path, name: str) -> None:
    arguments, hint = MISTAKES[name]
    code, said, imported = run(*(part.format(folder=folder) for part in arguments), cache=folder / "cache")
    assert code == 2
    assert hint in said
    assert not imported
    assert not (folder / "new").exists()


@pytest.mark.slow
def test_a_plan_without_torch_is_that_with_it(folder: Path) -> None:
    """What is known of a problem is what loading it would find, and nothing is known once the model has gone."""
    plan = ["plan", str(folder / "little.toml"), "--store", str(folder / "results"), "--json"]
    _, fast, imported = run(*plan, cache=folder / "cache")
    assert not imported
    known = folder / "cache" / "fingerprints"
    moved = known.rename(folder / "away")
    _, slow, imported = run(*plan, cache=folder / "cache")
    assert "torch" in imported
    assert fast == slow
    assert {f.name: f.read_text() for f in known.iterdir()} == {f.name: f.read_text() for f in moved.iterdir()}
    models = folder / "cache" / "models"
    for file in list(models.iterdir()):
        file.rename(file.with_name(f"{file.name}.away"))
    for expected in ({"torch"}, set()):
        _, without, imported = run(*plan, cache=folder / "cache")
        assert imported >= expected
        assert '"cached": 0' in without
    assert not imported, "that there is no model is known, too"
    for file in list(models.iterdir()):
        file.rename(file.with_name(file.name.removesuffix(".away")))
    for _ in range(2):
        _, again, imported = run(*plan, cache=folder / "cache")
        assert again == fast
    assert not imported
