"""The generated reference is complete: components, columns, fields and public names are all on a page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from helpers.documentation import DOCS, hook, pages

import xaibench as xb
from xaibench import suite as suites
from xaibench.analysis.advice.descriptions import ADVICE_COLUMN_DESCRIPTIONS, ADVICE_COLUMNS
from xaibench.analysis.claims.claims_index import INDEX_COLUMN_DESCRIPTIONS, INDEX_COLUMNS
from xaibench.analysis.claims.descriptions import CLAIM_COLUMN_DESCRIPTIONS
from xaibench.analysis.claims.verdicts import CLAIM_COLUMNS
from xaibench.analysis.leaderboard.columns import LEADERBOARD_COLUMNS
from xaibench.analysis.leaderboard.descriptions import LEADERBOARD_COLUMN_DESCRIPTIONS
from xaibench.analysis.ranks.quality_and_cost import COST_COLUMN_DESCRIPTIONS, COST_COLUMNS
from xaibench.core import registry
from xaibench.core.components import KINDS, MetricSpec
from xaibench.core.declaration_index import built_in
from xaibench.core.masking.maskers import MASKERS
from xaibench.store.descriptions import RESULT_COLUMN_DESCRIPTIONS
from xaibench.store.schema import SCHEMA

fields: Any = hook("suite_fields")
numpydoc: Any = hook("numpydoc")


@pytest.mark.parametrize(
    ("columns", "described"),
    [
        (SCHEMA.names, RESULT_COLUMN_DESCRIPTIONS),
        (list(LEADERBOARD_COLUMNS), LEADERBOARD_COLUMN_DESCRIPTIONS),
        (list(CLAIM_COLUMNS), CLAIM_COLUMN_DESCRIPTIONS),
        (list(ADVICE_COLUMNS), ADVICE_COLUMN_DESCRIPTIONS),
        (list(COST_COLUMNS), COST_COLUMN_DESCRIPTIONS),
        (list(INDEX_COLUMNS), INDEX_COLUMN_DESCRIPTIONS),
    ],
    ids=["results", "leaderboard", "claims", "advice", "cost", "index"],
)
def test_every_column_has_a_description_and_nothing_else_does(columns: list[str], described: dict[str, str]) -> None:
    assert columns == list(described)
    assert all(re.fullmatch(r".{15,}\.", text) for text in described.values())
    page = pages()[DOCS / "reference/columns.md"]
    assert not [name for name in columns if f"| `{name}` |" not in page]


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_is_in_the_reference(kind: str) -> None:
    for spec in filter(built_in, registry.components(kind)):  # type: ignore[arg-type]
        page = f"reference/{registry.plural(kind)}.md"
        if isinstance(spec, MetricSpec):
            group = "cases" if spec.about_cases else "programs" if spec.about_programs else spec.family
            page = f"reference/metrics/{group}.md"
        text = pages()[DOCS / page]
        assert text.count(f"\n## {spec.name} {{ #{spec.name} }}\n") == 1
        section = text.partition(f"\n## {spec.name} {{ #{spec.name} }}\n")[2].partition("\n## ")[0]
        assert spec.summary in section
        assert f"- version: {spec.version}" in section
        for name, default in spec.parameters.items():
            assert f"| `{name}` (" in section
            assert default is not None or f"| `{name}` (" in section


def test_every_metric_of_explanations_is_in_the_row_of_its_family() -> None:
    rows = re.findall(
        r"^\| ([\w ,]+?) \| (.+) \|$", (DOCS / "reference/metric-families.md").read_text(), flags=re.MULTILINE
    )
    listed = {family: set(re.findall(r"\w+", text)) for names, text in rows for family in names.split(", ")}
    metrics = [m for m in registry.components("metric") if isinstance(m, MetricSpec) and built_in(m)]
    explained = [m for m in metrics if not m.about_cases and not m.about_programs]
    assert len(explained) > 80
    assert not [m.name for m in explained if m.name not in listed[m.family.replace("_", " ")]]


@pytest.mark.parametrize("model", fields.TABLES.values(), ids=lambda m: m.__name__)
def test_every_field_of_a_suite_file_has_a_description(model: type) -> None:
    described = fields.descriptions(model)
    assert fields.fields(model)
    assert not [name for name in fields.fields(model) if not described.get(name)]


def test_maskers_and_suites_are_in_the_reference() -> None:
    assert not [m for m in MASKERS if f"## {m} {{" not in pages()[DOCS / "reference/maskers.md"]]
    shown = pages()[DOCS / "reference/suites.md"]
    assert not [name for name in suites.available() if f"| {name} |" not in shown and f"[{name}](" not in shown]


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    listed = re.findall(r"^::: xaibench\.(\w+)$", (DOCS / "reference/api.md").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(xb.__all__)


def test_a_docstring_is_taken_apart() -> None:
    doc = numpydoc.parse(
        """What it says.

        More.

        Parameters
        ----------
        a, b : int
            Two numbers,
            of some size.
        c : str, optional

        Notes
        -----
        Free text.
        """
    )
    assert doc.text == "What it says.\n\nMore."
    assert doc.described("Parameters") == {
        "a": "Two numbers,\nof some size.",
        "b": "Two numbers,\nof some size.",
        "c": "",
    }
    assert [e.kind for e in doc.entries["Parameters"]] == ["int", "str, optional"]
    assert doc.others == {"Notes": "Free text."}
