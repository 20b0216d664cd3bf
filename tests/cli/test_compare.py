"""`xaibench compare` as a user meets it: stores, runs of a store, files, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import Call

import xaibench as xb
from xaibench.core.errors import UsageError
from xaibench.store import Row, Store

Suite = Callable[..., dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path, tiny_suite: Suite) -> Path:
    return xb.run(tiny_suite(samples=24), store=tmp_path / "store").store


def tampered(store: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Another store with the same run, made at another time, every row of it changed."""
    source, copy = Store(store), Store(store.with_name("copy"), create=True)
    (manifest,) = source.manifests()
    number = copy.claim_run(manifest, [Row(**row) for row in source.planned(manifest["run"]).to_pylist()])
    units: dict[str, list[Row]] = {}
    for row in source.read().to_pylist():
        row |= {"created": row["created"].replace(year=2100), "run": number}
        change(row)
        units.setdefault(row["unit_id"], []).append(Row(**row))
    for rows in units.values():
        copy.write_part(rows)
    return copy.path


def worse(row: dict[str, Any]) -> None:
    if row["metric"] == "own_metric":
        row["scores"] = [1.5 * score for score in row["scores"]]


def slow(row: dict[str, Any]) -> None:
    row["score_seconds"] = 60.0


@pytest.mark.slow
def test_a_run_passes_against_itself(store: Path) -> None:
    """In a process of its own, as a shell sees it."""
    command = [sys.executable, "-m", "xaibench", "compare", str(store), str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "PASSED: no regression in 4 entries" in done.stdout
    assert "4 cells are the same row" in done.stdout


def test_a_regression_exits_1_and_is_written_everywhere(
    call: Call, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    files = ["--junit", tmp_path / "j.xml", "--markdown", tmp_path / "page.md"]
    code, out, _ = call("compare", store, tampered(store, worse), *files)
    assert code == 1
    assert "REGRESSION: 2 findings" in out
    assert "weights_times_input" in out
    page = (tmp_path / "page.md").read_text()
    assert summary.read_text() == f"before\n{page}"
    assert "own\\_metric" in page
    assert (tmp_path / "j.xml").read_text().count("<failure") == 2


def test_json_names_the_cells_and_counts_the_rest(call: Call, store: Path) -> None:
    code, out, _ = call("compare", store, tampered(store, worse), "--json")
    document = json.loads(out)
    assert (code, document["outcome"], document["verdicts"]) == (1, "regression", {"regressed": 2, "same": 2})
    assert document["cells_identical"] == 0
    known = set(xb.results(store)["cell_id"])
    assert all(set(f["cell_ids"]) <= known and f["metric"] == "own_metric" for f in document["findings"])


@pytest.mark.slow
def test_deltas_decide_what_matters(call: Call, store: Path) -> None:
    copy = tampered(store, worse)
    assert call("compare", store, copy, "--delta", "own_metric=1e6")[0] == 0
    assert call("compare", copy, store)[0] == 0
    code, _, err = call("compare", store, copy, "--delta", "own_metrics=1")
    assert (code, "did you mean 'own_metric'" in err) == (2, True)
    for wrong in ("own_metric", "own_metric=-1", "own_metric=x", "=1", "own_metric=inf"):
        assert call("compare", store, copy, "--delta", wrong)[0] == 2


@pytest.mark.slow
def test_deltas_of_the_suite_file(call: Call, tmp_path: Path, tiny_suite: Suite) -> None:
    document = tiny_suite(samples=24, compare={"delta": {"own_metric": 1e6}})
    store = xb.run(document, store=tmp_path / "store").store
    assert call("compare", store, tampered(store, worse))[0] == 0
    with pytest.raises(UsageError, match="delta"):
        xb.run(tiny_suite(compare={"delta": {"own_metric": -1}}), store=tmp_path / "other")


@pytest.mark.slow
def test_an_exact_suite_has_tight_tolerances(call: Call, tmp_path: Path, tiny_suite: Suite) -> None:
    def shift(row: dict[str, Any]) -> None:
        row["scores"] = [score * 1.01 for score in row["scores"][:1]] + row["scores"][1:]

    loose = xb.run(tiny_suite(samples=24), store=tmp_path / "a" / "store").store
    tight = xb.run(tiny_suite(samples=24, compare={"exact": True}), store=tmp_path / "b" / "store").store
    assert call("compare", loose, copy := tampered(loose, shift), "--delta", "own_metric=1e-4")[0] == 0
    assert call("compare", loose, copy, "--delta", "own_metric=1e-4", "--exact")[0] == 1
    assert call("compare", tight, tampered(tight, shift), "--delta", "own_metric=1e-4")[0] == 1


@pytest.mark.slow
def test_time_fails_only_if_asked(call: Call, store: Path) -> None:
    copy = tampered(store, slow)
    code, out, _ = call("compare", store, copy)
    assert (code, "slower than before" in out) == (0, True)
    code, out, _ = call("compare", store, copy, "--max-slowdown", 3)
    assert (code, "too slow" in out) == (1, True)


@pytest.mark.slow
def test_lost_cells_may_be_allowed(call: Call, tmp_path: Path, store: Path, tiny_suite: Suite) -> None:
    less = xb.run(tiny_suite(samples=24, metrics=["sparseness"]), store=tmp_path / "less").store
    code, out, _ = call("compare", store, less)
    assert (code, "not planned" in out) == (1, True)
    assert call("compare", store, less, "--allow-lost")[0] == 0
    code, out, _ = call("compare", less, store)
    assert (code, "not in the baseline" in out) == (0, True)


def test_nothing_in_common_is_no_pass(call: Call, tmp_path: Path, store: Path, tiny_suite: Suite) -> None:
    other = xb.run(tiny_suite(samples=8), store=tmp_path / "other").store
    code, out, err = call("compare", store, other, "--junit", tmp_path / "j.xml")
    assert (code, out) == (4, "")
    assert "no cell in common" in err


def test_other_weights_are_no_pass(call: Call, store: Path, tmp_path: Path) -> None:
    copy = tampered(store, lambda row: row.update(fingerprint="another training"))
    code, out, _ = call("compare", store, copy, "--junit", tmp_path / "j.xml")
    assert code == 4
    assert "NOTHING COMPARABLE" in out
    assert "1 training of 5" in out
    assert "<error" in (tmp_path / "j.xml").read_text()


def test_runs_of_one_store(call: Call, store: Path, tiny_suite: Suite) -> None:
    xb.run(tiny_suite(samples=24, metrics=["sparseness"]), store=store)
    xb.run(tiny_suite(samples=24, metrics=["sparseness", "own_metric"]), store=store)
    code, out, _ = call("compare", f"{store}@1", f"{store}@3")
    assert (code, "run 1 of tiny" in out, "run 3 of tiny" in out) == (0, True, True)
    code, out, _ = call("compare", f"{store}@1", f"{store}@2")
    assert (code, "not planned" in out) == (1, True)
    code, _, err = call("compare", f"{store}@1", f"{store}@9")
    assert (code, "no run 9" in err) == (2, True)


@pytest.mark.slow
def test_what_a_later_run_replaced_is_not_compared(call: Call, store: Path, plugin: Path, tmp_path: Path) -> None:
    """Run 2 puts its own rows in place of those of run 1, which nobody can see any more."""
    suite = tmp_path / "tiny.toml"
    suite.write_text(
        'samples = 24\nbackground = 8\nrandom_draws = 2\ncontrols = false\nexplainers = ["gradient", '
        '"weights_times_input"]\nmetrics = ["sparseness", "own_metric"]\n[[problems]]\ndataset = "tiny"\n'
        'models = ["exact"]\n'
    )
    assert call("run", suite, "--plugin", plugin, "--store", store, "--rerun", "all", "--quiet", "-j", 1)[0] == 0
    code, out, _ = call("compare", f"{store}@1", f"{store}@2")
    assert (code, "replaced by a later run" in out) == (4, True)


def test_wrong_usage(call: Call, store: Path, tmp_path: Path) -> None:
    assert call("compare", store, tmp_path / "none")[0] == 2
    assert call("compare", store, store, "--suite", "quick")[0] == 2
    assert call("compare", store)[0] == 2
    code, _, err = call("compare", store, store, "--junit", tmp_path / "no" / "folder.xml")
    assert (code, "cannot write" in err) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quick", "synthgauss"])
def test_the_published_baselines_can_be_compared(call: Call, name: str) -> None:
    """Small, whole, and of cells that the suite still plans."""
    folder = Path(__file__).parents[2] / "results" / "baselines" / name
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 5_000_000
    assert Store(folder).check() == []
    code, out, _ = call("compare", folder, folder)
    assert (code, f"run 1 of {name}" in out) == (0, True)
