"""Reports of real runs: what is rebuilt is what was scored, and what cannot be rebuilt is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command_line import Call

import xaibench as xb
from xaibench.api.reading import results
from xaibench.api.reporting import gather, report
from xaibench.core.errors import NothingToDoError, StoreError, UsageError
from xaibench.report.html.page import make_report
from xaibench.store import Store

PLUGIN = Path(__file__).parents[1] / "plugins" / "tiny.py"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table with a known truth, and on images."""
    where = tmp_path_factory.mktemp("report") / "store"
    suite = {
        "name": "small",
        "samples": 8,
        "background": 8,
        "random_draws": 2,
        "problems": [
            {"dataset": "digits", "models": ["softmax_regression"]},
            {"dataset": "tiny_masked", "models": ["exact"]},
        ],
        "explainers": ["gradient", "saliency", "input_x_gradient"],
        "metrics": [{"name": "pixel_flipping", "params": {"masker": "zero"}}, "relevance_rank"],
    }
    xb.run(suite, store=where, plugins=[PLUGIN])
    return where


@pytest.mark.slow
def test_examples_are_the_worst_of_the_best_explainer_and_kept_maps(store: Path) -> None:
    content = gather(store, examples=4)
    gallery = next(g for g in content.galleries if g.problem.startswith("tiny"))
    assert gallery.metric == "relevance_rank"
    board = content.board[(content.board["dataset"] == "tiny_masked") & (content.board["metric"] == "relevance_rank")]
    cells = results(store)
    best = board[board["rank"] == board["rank"].min()].sort_values("explainer").iloc[0]["explainer"]
    cell = cells[
        (cells["dataset"] == "tiny_masked") & (cells["metric"] == "relevance_rank") & (cells["explainer"] == best)
    ].iloc[0]
    order = np.argsort(cell["scores"], kind="stable")
    ids = np.asarray(cell["sample_ids"])
    assert [i.sample for i in gallery.instances[:2]] == ids[order[:2]].tolist()
    assert f"of {best}" in gallery.instances[0].reason
    assert {i.reason for i in gallery.instances[2:]} == {"drawn at random"}
    kept = Store(store).load_attributions(cell["explain_key"])
    assert kept is not None
    for instance in gallery.instances:
        row = int(np.flatnonzero(ids == instance.sample)[0])
        (shown,) = [m for m in instance.maps if m.label == best]
        assert np.array_equal(shown.values, kept[0][row].numpy())
        assert shown.score == pytest.approx(float(cell["scores"][row]))
        assert instance.truth is not None
        assert instance.truth.shape == shown.values.shape


@pytest.mark.slow
def test_curves_have_the_area_that_was_scored(store: Path) -> None:
    content = gather(store, examples=0, curves=True)
    cells = results(store)
    assert len(content.curves) == 2
    for curves in content.curves:
        flipped = cells[(cells["metric"] == "pixel_flipping") & (cells["repeat"] == 0)]
        flipped = flipped[flipped["dataset"] + "/" + flipped["model"] == curves.problem].set_index("explainer")
        assert [c.label for c in curves.lines if not c.control] == sorted(
            ["gradient", "saliency", "input_x_gradient"], key=lambda e: float(np.mean(flipped.loc[e, "scores"]))
        )
        assert "random" in [c.label for c in curves.lines]
        for line in curves.lines:
            area = np.trapezoid(line.values, curves.share, axis=1)
            assert area == pytest.approx(np.asarray(flipped.loc[line.label, "scores"]), abs=1e-5)


@pytest.mark.slow
def test_curves_that_are_not_those_that_were_scored_are_left_out(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = Store.load_attributions

    def spoilt(self: Store, key: str) -> Any:
        found = load(self, key)
        return None if found is None else (-found[0], *found[1:])

    monkeypatch.setattr(Store, "load_attributions", spoilt)
    content = gather(store, examples=0, curves=True)
    labels = {line.label for curves in content.curves for line in curves.lines}
    assert not {"input_x_gradient", "gradient"} & labels
    assert any("do not give the stored scores" in note for note in content.notes["curves"])


@pytest.mark.slow
def test_without_the_models_the_page_says_what_is_missing(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "empty"))
    content = gather(store)
    assert content.galleries == content.curves == ()
    assert any("not in the cache" in note for note in content.notes["rebuilt"])
    assert "not in the cache" in make_report(content).html
    # A report trains nothing.
    assert not list((tmp_path / "empty").rglob("*.safetensors"))


@pytest.mark.slow
def test_a_report_leaves_the_store_as_it_was(store: Path, tmp_path: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in store.rglob("*") if p.is_file()}
    page = report(store, tmp_path / "new" / "report.html", curves=False)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*") if p.is_file()} == before


def test_what_other_commands_left_is_shown_and_damage_is_not(store: Path) -> None:
    path = store / "audit.parquet"
    try:
        path.write_bytes(b"no parquet")
        assert gather(store, examples=0, curves=False).audit is None
    finally:
        path.unlink()


def test_errors_of_users_are_named(store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        report(tmp_path / "nothing", tmp_path / "r.html")
    with pytest.raises(UsageError, match="quick"):
        report(store, tmp_path / "r.html", suite="quick")
    empty = tmp_path / "empty"
    Store(empty, create=True)
    with pytest.raises(NothingToDoError):
        report(empty, tmp_path / "r.html")


@pytest.mark.slow
def test_the_command_writes_page_figures_and_pdf(store: Path, tmp_path: Path, call: Call) -> None:
    page, figures, pdf = tmp_path / "r.html", tmp_path / "figures", tmp_path / "f.pdf"
    code, _, err = call(
        "report", store, "-o", page, "--figures", figures, "--pdf", pdf, "--problems", 1, "--examples", 1
    )
    assert code == 0
    assert str(page) in err
    assert "1 more problem" in page.read_text(encoding="utf-8")
    assert list(figures.glob("examples*.svg"))
    assert pdf.stat().st_size > 1000
    assert call("report", store, "-o", tmp_path)[0] == 2
    assert call("report", tmp_path / "nothing", "-o", page)[0] == 2


@pytest.mark.slow
def test_a_store_cannot_have_its_own_code_loaded(store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    evil, mark = tmp_path / "evil.py", tmp_path / "loaded"
    evil.write_text(f"import pathlib\npathlib.Path({str(mark)!r}).write_text('x')\n")
    (manifest,) = copy.glob("runs/*/manifest.json")
    document = json.loads(manifest.read_text())
    document["resolved_suite"]["problems"][0]["dataset"]["name"] = f"{evil}:thing"
    document["plugins"] = [str(evil)]
    # Who makes a store can make its digests.
    del document["digest"]
    manifest.write_text(json.dumps(document))
    content = gather(copy)
    assert not mark.exists()
    assert content.galleries == ()
    assert any("--plugin" in note for note in content.notes["rebuilt"])
