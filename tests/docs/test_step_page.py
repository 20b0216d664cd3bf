"""The page about models with an output at every step works as it stands there."""

from __future__ import annotations

import pytest
from helpers.documentation import blocks


def test_outputs_of_steps(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": "page"}
    for language, _, text in blocks("how-to/step-outputs.md"):
        if language == "python":
            exec(compile(text, "step-outputs.md", "exec"), names)
    assert "xb.SumOfSteps(net)" in capsys.readouterr().out
