"""Frames as text, read back."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from xaibench.core.errors import UsageError
from xaibench.report.serialise import to_csv, to_json, to_markdown, to_text

FRAME = pd.DataFrame(
    {
        "name": ["a|b", "line\nbreak", None],
        "value": [0.1 + 0.2, float("nan"), float("inf")],
        "n": [1, 2, 3],
        "beats": pd.array([True, None, False], dtype="boolean"),
    }
)


def test_csv_keeps_every_digit() -> None:
    back = pd.read_csv(io.StringIO(to_csv(FRAME)))
    assert back["value"][0] == 0.1 + 0.2
    assert back["name"][1] == "line\nbreak"


def test_json_is_strict_json() -> None:
    def refuse(token: str) -> None:
        raise AssertionError(token)

    rows = json.loads(to_json(FRAME), parse_constant=refuse)
    assert rows[0] == {"name": "a|b", "value": 0.1 + 0.2, "n": 1, "beats": True}
    assert rows[1] == {"name": "line\nbreak", "value": None, "n": 2, "beats": None}
    assert rows[2]["value"] is None


def test_markdown_has_one_line_per_row_and_as_many_cells_as_columns() -> None:
    lines = to_markdown(FRAME).splitlines()
    assert len(lines) == 5
    assert {line.replace("\\|", "").count("|") for line in lines} == {5}
    assert lines[1] == "| --- | ---: | ---: | --- |"
    assert lines[2] == "| a\\|b | 0.3000 | 1 | True |"
    assert lines[3] == "| line break |  | 2 |  |"


def test_formats_by_name() -> None:
    assert to_text(FRAME, "csv") == to_csv(FRAME)
    with pytest.raises(UsageError, match="unknown format 'cvs'") as error:
        to_text(FRAME, "cvs")
    assert "csv" in str(error.value.hint)
