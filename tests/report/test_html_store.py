"""Reports of real runs: all that is shown comes from the store, and is what was scored; what is not there is said."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import Call

import xaibench as xb
from xaibench.api.reading import results
from xaibench.api.reporting import gather, report
from xaibench.core import registry
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
def test_curves_have_the_mean_area_that_was_scored(store: Path) -> None:
    content = gather(store, examples=0)
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
            area = np.trapezoid(line.curve.mean, curves.share)
            assert area == pytest.approx(float(np.mean(flipped.loc[line.label, "scores"])), abs=1e-5)
            assert line.n_samples == 8
            known = np.isfinite(line.curve.low)
            assert (line.curve.low[known] <= line.curve.mean[known]).all()
            assert (line.curve.mean[known] <= line.curve.high[known]).all()


@pytest.mark.slow
def test_a_copy_elsewhere_without_cache_or_home_has_curves_and_examples(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "elsewhere" / "store"
    shutil.copytree(store, copy)
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here, there = gather(store), gather(copy)
    assert len(there.galleries) == len(there.curves) == 2
    assert there.notes == {}
    assert make_report(replace(there, store="")).html == make_report(replace(here, store="")).html
    # A report trains nothing, and fills no cache.
    assert not (tmp_path / "empty").exists()
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_examples_are_the_inputs_with_index_and_label(store: Path) -> None:
    gallery = next(g for g in gather(store, examples=8).galleries if g.problem.startswith("digits"))
    data = registry.get("dataset", "digits").function(seed=0)
    assert sorted(i.index for i in gallery.instances) == list(range(8))
    for instance in gallery.instances:
        assert np.array_equal(instance.inputs, data.test_inputs[instance.index])
        label = data.class_names[data.test_targets[instance.index]]
        assert f"true: {label}" in instance.target or instance.target == f"explained: {label}"


@pytest.mark.slow
def test_stores_without_examples_and_curves_open_and_say_so(store: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(store, older)
    shutil.rmtree(older / "examples")
    shutil.rmtree(older / "curves")
    content = gather(older)
    assert content.galleries == content.curves == ()
    assert all(len(content.notes[section]) == 1 for section in ("examples", "curves"))
    html = make_report(content).html
    assert "--no-examples" in html
    assert 'id="examples"' not in html
    assert 'href="#curves"' not in html


@pytest.mark.slow
def test_examples_can_be_left_out(tmp_path: Path, call: Call) -> None:
    suite = tmp_path / "tiny.toml"
    suite.write_text(
        'explainers = ["gradient", "saliency"]\nmetrics = ["pixel_flipping"]\nsamples = 4\n'
        '[[problems]]\ndataset = "digits"\nmodels = ["softmax_regression"]\n'
    )
    code, _, err = call("run", suite, "--store", tmp_path / "store", "--no-examples", "-j", 0)
    assert code == 0
    assert "2 explainers" in err
    assert f"results go to {tmp_path / 'store'}" in err
    assert not list((tmp_path / "store").glob("examples/*/*"))
    assert list((tmp_path / "store").glob("curves/*/*"))
    content = gather(tmp_path / "store")
    assert content.galleries == ()
    assert "--no-examples" in content.notes["examples"][0]


@pytest.mark.slow
def test_merging_and_cleaning_keep_examples_and_curves(store: Path, tmp_path: Path) -> None:
    merged = Store(tmp_path / "merged", create=True)
    assert merged.merge(Store(store)).examples > 0
    assert merged.merge(Store(store)).examples == 0
    found = gather(tmp_path / "merged")
    assert [g.problem for g in found.galleries] == [g.problem for g in gather(store).galleries]
    assert len(found.curves) == 2
    assert not merged.garbage(young=0).explanations
    files = sorted((tmp_path / "merged").glob("*/*/*.safetensors"))
    stray = tmp_path / "merged" / "examples" / "00" / "00.safetensors"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(next(f for f in files if f.parts[-3] == "examples").read_bytes())
    assert set(merged.garbage(young=0).explanations) == {"examples/00/00.safetensors"}
    stray.write_bytes(b"damaged")
    assert [d.name for d in merged.check()] == ["examples/00/00.safetensors"]


@pytest.mark.slow
def test_agreement_needs_no_other_command(store: Path) -> None:
    assert not (store / "agreement.parquet").exists()
    found = gather(store, examples=0, curves=False).agreement
    assert found is not None
    assert set(found["dataset"]) == {"digits", "tiny_masked"}
    assert 'id="agreement"' in make_report(gather(store, examples=0, curves=False)).html


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
    gather(copy)
    assert not mark.exists()
