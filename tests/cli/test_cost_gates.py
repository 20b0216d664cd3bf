"""`xaibench compare` on real runs: a metric that is three times slower, and one that leaks 500 MB, are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import Call

import xaibench as xb
from xaibench.core import registry
from xaibench.execution.memory import MemoryStage

METRIC = '''
"""A metric that takes the time and the memory that the environment says."""
import os
import time

import numpy as np

from xaibench.core.registry import metric

HELD = []


@metric("costly", family="complexity", higher_is_better=True, undefined_for=set())
def costly(ev):
    """The largest magnitude."""
    time.sleep(float(os.environ["COSTLY_SECONDS"]))
    HELD.append(np.ones(int(float(os.environ["COSTLY_MB"]) * 1e6) // 8))
    return ev.attributions.abs().flatten(1).amax(dim=1)
'''


@pytest.mark.slow
def test_what_became_slower_or_leaks_is_a_regression_and_is_named(
    call: Call, tiny_suite: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: three runs, of which two sleep or fill memory; 500 MB in five pieces, so that no single one is large."""
    plugin = tmp_path / "costly_metric.py"
    plugin.write_text(METRIC)
    registry.load_module(str(plugin))
    explainers = ["gradient", "saliency", "input_x_gradient", "integrated_gradients", "smoothgrad"]
    suite = tiny_suite(explainers=explainers, metrics=["sparseness", "costly"])

    def run(name: str, seconds: float, mb: float) -> Path:
        monkeypatch.setenv("COSTLY_SECONDS", str(seconds))
        monkeypatch.setenv("COSTLY_MB", str(mb))
        return Path(xb.run(suite, store=tmp_path / name, plugins=[plugin]).store)

    before, slow, leak = run("before", 0.1, 0.0), run("slow", 0.3, 0.0), run("leak", 0.1, 100.0)
    gates = ("--max-slowdown", 2, "--max-memory", 1.5, "--json")
    code, out, _ = call("compare", before, run("again", 0.1, 0.0), *gates)
    assert (code, json.loads(out)["outcome"]) == (0, "passed")
    code, out, _ = call("compare", before, slow, *gates)
    found = json.loads(out)
    assert (code, [row["name"] for row in found["too_slow"]], found["too_large"]) == (1, ["costly"], [])
    if MemoryStage.begin().before is None:
        pytest.skip("the system does not tell peaks")
    code, out, _ = call("compare", before, leak, *gates)
    found = json.loads(out)
    assert (code, [row["name"] for row in found["too_large"]]) == (1, ["costly"])
    assert found["too_large"][0]["candidate_bytes"] == pytest.approx(500e6, rel=0.1)
    junit = tmp_path / "junit.xml"
    code, out, _ = call("compare", before, leak, "--max-memory", 1.5, "--junit", junit)
    assert (code, "1 with too much memory" in out, "more memory than before" in out) == (1, True, True)
    assert "memory of score costly" in junit.read_text()
    assert call("compare", before, leak)[0] == 0, "gates are asked for"
