"""A problem of series on the screen."""

from __future__ import annotations

import pytest
from helpers.command_line import Call


@pytest.mark.slow
def test_the_first_series_is_drawn_with_its_truth(call: Call) -> None:
    code, out, _ = call("show", "freq_shapes/series_cnn")
    assert code == 0
    assert "test sample 0; shades: what is lost without a step" in out
    assert out.rstrip().splitlines()[-1].strip().startswith("=")
