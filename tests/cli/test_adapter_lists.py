"""`xaibench list --adapters` says which libraries are missing, and plain lists say where adapters are."""

from __future__ import annotations

import pytest
from helpers.command_line import Call

from xaibench.cli import listing


def missing(prefix: str) -> str | None:
    return f"{prefix} is not installed: pip install 'xaibench[{prefix}]'" if prefix in ("shap", "quantus") else None


def test_missing_libraries_are_named_with_the_command_that_installs_them(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "why_missing", missing)
    lines = call("list", "explainers", "--adapters")[1].splitlines()
    said = [line for line in lines if "not installed" in line]
    assert said == ["shap is not installed: pip install 'xaibench[shap]'"]
    metrics = call("list", "metrics", "--adapters")[1]
    assert "quantus:Infidelity" in metrics
    assert [line for line in metrics.splitlines() if "not installed" in line] == [missing("quantus")]
    plain = call("list", "explainers")[1]
    assert "not installed" not in plain
    assert "`xaibench list explainers --adapters` lists those of other libraries" in plain
