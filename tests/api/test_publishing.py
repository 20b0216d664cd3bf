"""Publishing: tables and a card of a whole, clean run; what is stale; and what is refused."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import xaibench as xb
from xaibench import suite as suites
from xaibench.analysis.leaderboard.columns import LEADERBOARD_COLUMNS
from xaibench.api.publication_card import GIVEN_MODELS, MODELS_LIKE_THESE, conclusions, to_toml
from xaibench.api.published import BOARD, CARD, claim_digests, published, stale_reasons, with_training_seeds
from xaibench.api.publishing import publish_results
from xaibench.core import libraries
from xaibench.core.errors import StoreError, UsageError
from xaibench.store import Store

RESULTS = Path(__file__).parents[2] / "results"
MOST_BYTES = 10e6
CLAIM = {
    "id": "little.spread", "source": "Ada et al. 2020", "statement": "Gradients are spread out.",
    "left": {"metric": "sparseness"}, "number": 0.99, "direction": "less",
}  # fmt: skip
LITTLE: dict[str, Any] = {
    "name": "little", "description": "One model", "samples": 16, "explainers": ["gradient"], "metrics": ["sparseness"],
    "problems": [{"dataset": "breast_cancer", "models": ["softmax_regression"]}], "claims": [CLAIM],
}  # fmt: skip


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Ship a suite file `little` in the place of all others; keywords replace its fields."""
    file = tmp_path / "little.toml"

    def ship(**fields: Any) -> Path:
        lists = json.dumps(LITTLE | fields)
        document = json.loads(lists)
        file.write_text("\n".join(f"{k} = {_toml(v)}" for k, v in document.items()), encoding="utf-8")
        return file

    monkeypatch.setattr("xaibench.suite.reading.available", lambda: {"little": file})
    monkeypatch.setattr("xaibench.suite.available", lambda: {"little": file})
    ship()
    return ship


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else json.dumps(value)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of `little`, as from a commit."""
    return _run(tmp_path_factory.mktemp("finished") / "store", LITTLE, workers=1)


def _run(store: Path, suite: dict[str, Any], *, commit: str = "0" * 40, **options: Any) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xaibench.execution.provenance.git_state", lambda: {"sha": commit, "dirty": False})
        return Path(xb.run(suite, store=store, **options).store)


def test_a_publication_holds_the_tables_and_says_how_they_were_made(
    shipped: Callable[..., Path], finished: Path, tmp_path: Path
) -> None:
    folder = publish_results(finished, "little", tmp_path / "results", command="python results/publish.py little")
    assert {p.name for p in folder.iterdir()} == {
        "leaderboard.parquet", "claims.parquet", "advice.parquet", "cost.parquet", "card.toml",
    }  # fmt: skip
    (one,) = published(tmp_path / "results")
    pd.testing.assert_frame_equal(one.board, xb.leaderboard(finished, "little"))
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "claims.parquet"), xb.claims(finished))
    card = one.card
    assert (card["commit"], card["version"], card["command"]) == (
        "0" * 40, xb.__version__, "python results/publish.py little",
    )  # fmt: skip
    assert (card["executor"], card["workers"]) == ("pool", 1)
    assert card["extent"] == {"problems": 1, "samples": [16, 16], "rows": len(one.board)}
    assert card["verdicts"] == {"reproduced": 1}
    assert card["about"] == GIVEN_MODELS
    assert "Claims reproduced (1): little.spread." in card["conclude"]
    assert any(GIVEN_MODELS in sentence for sentence in card["not_conclude"])
    assert card["seconds"] > 0
    assert stale_reasons(one) == []
    index = xb.claims_index(tmp_path / "results")
    assert index[["id", "verdict", "state"]].to_numpy().tolist() == [["little.spread", "reproduced", "current"]]


def test_results_without_a_library_that_the_suite_calls_are_refused(
    shipped: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None if name == "quantus" else find(name))
    metrics = ["sparseness", "quantus:Sparseness"]
    store = _run(tmp_path / "store", LITTLE | {"metrics": metrics})
    shipped(metrics=metrics)
    with pytest.raises(UsageError, match="quantus was not installed when little ran") as error:
        publish_results(store, "little", tmp_path / "results")
    assert "xaibench[quantus]" in str(error.value.hint)
    assert not (tmp_path / "results").exists()


def test_a_card_lists_the_commits_of_all_that_is_published(shipped: Callable[..., Path], tmp_path: Path) -> None:
    for commit, explainers in (("a" * 40, ["gradient"]), ("b" * 40, ["gradient", "saliency"])):
        store = _run(tmp_path / "store", LITTLE | {"explainers": explainers}, commit=commit)
    shipped(explainers=["gradient", "saliency"])
    publish_results(store, "little", tmp_path / "results")
    (one,) = published(tmp_path / "results")
    assert (one.card["commit"], one.card["commits"]) == ("b" * 40, ["a" * 40, "b" * 40])


def test_a_card_says_how_often_models_were_trained_where_problems_differ(finished: Path) -> None:
    board = xb.leaderboard(finished, "little")
    ten = board.assign(dataset="other", n_seeds=10)
    _, limits, about = conclusions(pd.concat([board, ten], ignore_index=True), xb.claims(finished), None)
    assert (
        "This is about 2 problems on 2 data sets, every model trained once to 10 times, 16 samples per score." in limits
    )
    assert (
        "Data and models of one seed on 1 of 2 problems: intervals and verdicts there hold given these models,"
        " not for retrained ones." in limits
    )
    assert about == GIVEN_MODELS
    assert conclusions(ten, xb.claims(finished), None)[2] == MODELS_LIKE_THESE


def test_what_was_published_is_stale_once_the_suite_changes(
    shipped: Callable[..., Path], finished: Path, tmp_path: Path
) -> None:
    publish_results(finished, "little", tmp_path / "results")
    (one,) = published(tmp_path / "results")
    shipped(samples=17)
    assert stale_reasons(one) == ["its cells are others now"]
    shipped(claims=[CLAIM | {"margin": 0.25}])
    assert stale_reasons(one) == ["its claims are others now"]
    assert xb.claims_index(tmp_path / "results")["state"].tolist() == ["outdated"]
    shipped(claims=[CLAIM | {"number": 0.5}])
    assert xb.claims_index(tmp_path / "results")["state"].tolist() == ["outdated"]
    shipped(claims=[CLAIM | {"statement": "They are not concentrated."}])
    assert stale_reasons(one) == []
    (one.folder / CARD).write_text((one.folder / CARD).read_text().replace(xb.__version__, "0.0.1"))
    one.board.drop(columns="rank_low").to_parquet(one.folder / BOARD)
    (again,) = published(tmp_path / "results")
    assert stale_reasons(again) == ["made by version 0.0.1", "its board lacks columns of today"]


@pytest.mark.parametrize(
    ("changes", "end", "said"),
    [
        ({"git": {"sha": "1", "dirty": True}}, "finished", "from files that were not committed"),
        ({"git": None}, "finished", "outside a checkout"),
        ({"whole": False}, "finished", "took a part of the suite"),
        ({}, "interrupted", "did not finish"),
    ],
)
def test_what_is_not_a_whole_run_of_a_commit_is_refused(
    shipped: Callable[..., Path],
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    end: str,
    said: str,
) -> None:
    (manifest,) = Store(finished).manifests()
    provenance = manifest["provenance"] | {k: v for k, v in changes.items() if k == "git"}
    changed = manifest | changes | {"provenance": provenance}
    monkeypatch.setattr(Store, "manifests", lambda store: [changed])
    monkeypatch.setattr(Store, "outcome", lambda store, number: {"end": end})
    with pytest.raises(UsageError, match=said):
        publish_results(finished, "little", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_run_with_other_cells_than_the_suite_has_now_is_refused(
    shipped: Callable[..., Path], finished: Path, tmp_path: Path
) -> None:
    shipped(samples=17)
    with pytest.raises(UsageError, match="other cells than the suite has now"):
        publish_results(finished, "little", tmp_path / "results")
    shipped()
    with pytest.raises(UsageError, match="other cells than the suite has now"):
        publish_results(finished, "little", tmp_path / "results", training_seeds=2)


def test_suites_of_ones_own_and_folders_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mine is not a shipped suite"):
        publish_results(tmp_path, "mine", tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        published(tmp_path / "nowhere")
    (tmp_path / "quick").mkdir()
    (tmp_path / "quick" / CARD).write_text("suite = ")
    with pytest.raises(StoreError, match=r"card\.toml cannot be read"):
        published(tmp_path)


def test_training_seeds_are_added_to_those_of_the_suite_and_of_its_parts() -> None:
    suite = suites.load("bam")
    more = with_training_seeds(suite, 3)
    assert [m.problem_seeds for m in more.matrices()] == [[11, 12, 13]] * 2
    assert [m.problem_seeds for m in suite.matrices()] == [[11]] * 2
    fixed = with_training_seeds(suites.load("blockmnist"), 4)
    assert [m.problem_seeds for m in fixed.matrices()] == [[11, 12, 13, 14], [11, 12, 13, 14, 15, 16]]
    assert claim_digests(more) == claim_digests(suite)
    with pytest.raises(UsageError, match="too few"):
        with_training_seeds(suite, 0)


@pytest.mark.slow
def test_six_trainings_speak_for_models_that_are_trained_again(shipped: Callable[..., Path], tmp_path: Path) -> None:
    """Slow: it trains six models."""
    fields: dict[str, Any] = {"problem_seeds": [0, 1, 2, 3, 4, 5], "samples": 4}
    shipped(**fields)
    store = _run(tmp_path / "store", LITTLE | fields)
    card = tomllib.loads((publish_results(store, "little", tmp_path / "results") / CARD).read_text())
    assert card["about"] == MODELS_LIKE_THESE
    assert card["problem_seeds"] == [0, 1, 2, 3, 4, 5]
    assert not any(GIVEN_MODELS in sentence for sentence in card["not_conclude"])


def test_cards_hold_any_text() -> None:
    card = {"a": 'quote " and \\ and\nline, \u00e9, \x7f', "b": [], "c": ["x", "y"], "t": {"a b": 1.5, "on": True}}
    assert tomllib.loads(to_toml(card)) == card
    with pytest.raises(TypeError, match="no place on a card"):
        to_toml({"a": None})


def test_published_results_are_small() -> None:
    files = [p for p in RESULTS.rglob("*") if p.is_file() and "local" not in p.relative_to(RESULTS).parts]
    assert sum(p.stat().st_size for p in files) < MOST_BYTES


@pytest.mark.parametrize("one", published(RESULTS), ids=lambda one: one.name)
def test_published_tables_fit_their_card(one: Any) -> None:
    """Columns of older boards may lack; `results/publish.py --check` says which results are stale."""
    assert set(one.board["suite"]) == {one.name}
    assert set(one.board.columns) <= set(LEADERBOARD_COLUMNS)
    assert one.card["extent"]["rows"] == len(one.board)
    assert one.card["conclude"] + one.card["not_conclude"]
    if one.name == "quick":
        assert stale_reasons(one) == [], "quick is stale: run it again and publish it (results/README.md)"


def test_training_seeds_of_publications_are_those_of_shipped_suites() -> None:
    seeds = tomllib.loads((RESULTS / "training_seeds.toml").read_text())["training_seeds"]
    assert set(seeds) <= set(suites.available())
    assert set(seeds.values()) <= {3, 6}


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("publish_script", RESULTS / "publish.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_publishes_checks_and_refuses(
    shipped: Callable[..., Path],
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script, into = _script(), tmp_path / "results"
    monkeypatch.setattr(script, "git_state", lambda: {"sha": "0" * 40, "dirty": True})
    with pytest.raises(UsageError, match="come from a commit"):
        script.main(["little", "--store", str(finished), "--into", str(into)])
    with pytest.raises(UsageError, match="other is not a shipped suite"):
        script.main(["other", "--into", str(into)])
    monkeypatch.setattr(script, "git_state", lambda: {"sha": "0" * 40, "dirty": False})
    assert script.main(["little", "--store", str(finished), "--into", str(into), "--baseline"]) == 0
    assert xb.leaderboard(into / "baselines" / "little")["suite"].unique().tolist() == ["little"]
    arguments = ["little", "--store", str(finished), "--into", str(into), "--baseline"]
    assert script.main(arguments) == 0, "a baseline takes the place of an older one"
    assert len(Store(into / "baselines" / "little").manifests()) == 1
    with pytest.raises(UsageError, match="is a baseline itself"):
        script.main(["little", "--store", str(into / "baselines" / "little"), "--into", str(into), "--baseline"])
    assert script.main(["--check", "--into", str(into)]) == 0
    shipped(samples=17)
    assert script.main(["--check", "--into", str(into)]) == 1
    assert "little: its cells are others now" in capsys.readouterr().out
