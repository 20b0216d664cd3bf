"""`xaibench claims`: what would change a verdict, the history, and what CI makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.command_line import Call

import xaibench as xb
from xaibench.api.snapshots import claims_history, flips
from xaibench.cli.claiming import _strictly

Suite = Callable[..., dict[str, Any]]
CLAIM = {
    "id": "maps.are-not-empty", "source": "us", "statement": "Maps are not empty", "number": 0.0,
    "left": {"explainer": "gradient", "metric": "own_metric"},
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, tiny_suite: Suite) -> Callable[..., Path]:
    """Run `tiny` with claims like `CLAIM`, changed, into one store."""

    def run(*changes: dict[str, Any], **fields: Any) -> Path:
        made = [{**CLAIM, **change} for change in changes]
        return xb.run(tiny_suite(samples=24, claims=made, **fields), store=tmp_path / "store").store

    return run


@pytest.mark.slow
def test_strict_fails_on_what_is_refuted(call: Call, run: Callable[..., Path]) -> None:
    assert call("claims", run({}), "--strict")[0] == 0
    store = run({}, {"id": "maps.are-empty", "direction": "less"})
    code, out, _ = call("claims", store)
    assert (code, "1 refuted" in out) == (0, True)
    assert call("claims", store, "--strict")[0] == 1


@pytest.mark.slow
def test_strict_does_not_pass_if_nothing_is_decided(call: Call, run: Callable[..., Path]) -> None:
    store = run({"left": {"explainer": "raises", "metric": "own_metric"}}, explainers=["gradient", "raises"])
    code, out, _ = call("claims", store, "--strict")
    assert (code, "1 inconclusive" in out) == (4, True)
    assert call("claims", store)[0] == 0


@pytest.mark.parametrize(
    ("verdicts", "invalid", "code"),
    [
        (["reproduced", "inconclusive"], [], 0),
        (["reproduced", "refuted"], [], 1),
        (["reproduced"], ["digits/cnn"], 1),
        (["inconclusive"], [], 4),
        (["inconclusive"], ["digits/cnn"], 1),
    ],
)
def test_strict_in_full(verdicts: list[str], invalid: list[str], code: int) -> None:
    assert _strictly(pd.DataFrame({"verdict": verdicts}), invalid) == code


@pytest.mark.slow
def test_what_would_change_a_verdict_is_shown(call: Call, run: Callable[..., Path]) -> None:
    store = run({})
    _, out, _ = call("claims", store)
    assert "would change it: a margin above" in " ".join(out.split())
    (claim,) = json.loads(call("claims", store, "--json")[1])["claims"]
    assert claim["critical_margin"] == claim["ci_low"]
    assert claim["would_need_n"] is None


@pytest.mark.slow
def test_the_history_shows_what_flipped(call: Call, run: Callable[..., Path]) -> None:
    for change in ({}, {}, {"direction": "less"}):
        store = run(change)
    found = claims_history(store)
    assert list(found["run"]) == [1, 2, 3]
    assert list(found["verdict"]) == ["reproduced", "reproduced", "refuted"]
    assert list(found["flipped"]) == [False, False, True]
    assert found["effect"].nunique() == 1
    code, out, _ = call("claims", store, "--history")
    assert (code, out.count("maps.are-not-empty"), "1 verdict changed" in out) == (0, 2, True)
    assert [h["run"] for h in json.loads(call("claims", store, "--history", "--json")[1])["history"]] == [1, 2, 3]


def test_flips_are_between_neighbours_of_one_claim() -> None:
    rows = [("s", "b", 1, "refuted"), ("s", "a", 1, "reproduced"), ("s", "b", 2, "refuted"), ("s", "a", 3, "refuted")]
    found = flips(pd.DataFrame(rows, columns=["suite", "id", "run", "verdict"]))
    assert list(found["id"]) == ["b", "b", "a", "a"]
    assert list(found["flipped"]) == [False, False, False, True]
