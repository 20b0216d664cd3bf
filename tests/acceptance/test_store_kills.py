"""Kill -9 at every step of everything that writes to a store."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.killing import OPERATIONS, kill_in_children


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_at_every_step_of_everything_loses_nothing(tmp_path: Path, operation: str) -> None:
    found = kill_in_children(tmp_path, operation)
    print(f"{operation}: {found['kills']} kills, wrong: {found['wrong']}")
    assert found["wrong"] == []
    assert found["kills"] >= 15
