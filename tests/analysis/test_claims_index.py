"""The index of claims: papers that sources name, verdicts where there are results, and what the shipped suites say."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import Any

import pandas as pd
import pytest

from xaibench import suite as suites
from xaibench.analysis.claims.claims_index import (
    INDEX_COLUMN_DESCRIPTIONS,
    INDEX_COLUMNS,
    NOT_RUN,
    index_claims,
)
from xaibench.analysis.claims.papers import papers
from xaibench.analysis.claims.verdicts import CLAIM_COLUMNS
from xaibench.report.claims_index import claims_index_tables, counts


def claim(id: str, **fields: Any) -> suites.Claim:
    made = {"id": id, "source": "Ada et al. 2020, section 2", "statement": "A is above B", "number": 0.5, "margin": 0.1}
    return suites.Claim.model_validate({**made, "left": {"explainer": "a"}, **fields})


def verdict(suite: str, id: str, **fields: Any) -> dict[str, Any]:
    found = dict.fromkeys(CLAIM_COLUMNS) | {"unit": "sample", "direction": "greater", "margin": 0.1}
    numbers = {"effect": 0.3, "ci_low": 0.2, "ci_high": 0.4, "n": 30, "critical_margin": 0.2, "would_need_n": 8.0}
    return {**found, **numbers, "suite": suite, "id": id, "verdict": "reproduced", **fields}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("Lundberg & Lee 2017, NeurIPS, equation 4", ("Lundberg & Lee 2017",)),
        ("Burns, Thomason, Tansey 2020, Table 1", ("Burns, Thomason, Tansey 2020",)),
        ("after Haufe et al. 2014, NeuroImage, and Pahde et al. 2022", ("Haufe et al. 2014", "Pahde et al. 2022")),
        ("xaibench; Rott Shaham et al. (2024), MAIA", ("Rott Shaham et al. 2024",)),
        ("Krishna et al. (2022); Krishna et al. (2022), again", ("Krishna et al. 2022",)),
        ("xaibench: own trial before the suite was written (.454)", ()),
        ("closed form: asin(1/sqrt(100))", ()),
        ("own arXiv:2006.04528", ()),
    ],
)
def test_papers_are_authors_and_year(source: str, named: tuple[str, ...]) -> None:
    assert papers(source) == named


def test_a_claim_has_the_verdict_of_its_suite_or_of_one_that_holds_it() -> None:
    made = {"one": [claim("one.a"), claim("one.b")], "two": [claim("two.c", source="xaibench: own statement")]}
    table = pd.DataFrame(
        [
            verdict("whole", "one.a", verdict="refuted"),
            verdict("one", "one.a"),
            verdict("whole", "one.b", verdict="inconclusive", message="too few"),
        ]
    )
    index = index_claims(made, table)
    assert list(index.columns) == list(INDEX_COLUMNS) == list(INDEX_COLUMN_DESCRIPTIONS)
    assert index["verdict"].tolist() == ["reproduced", "inconclusive", NOT_RUN]
    assert index["state"].tolist() == ["current", "current", "not run"]
    assert index["papers"].tolist()[:2] == ["Ada et al. 2020"] * 2
    assert index["papers"].isna().tolist() == [False, False, True]
    assert index.loc[2, "would_change"] == "xaibench run two"
    assert index.loc[0, "effect"] == 0.3
    assert pd.isna(index.loc[2, "effect"])
    assert counts(index) == (
        "3 claims, 2 of them from 1 paper and 1 of xaibench itself: 1 reproduced, 0 refuted, 1 inconclusive, "
        "1 not run here."
    )


@pytest.mark.parametrize("change", [{"margin": 0.2}, {"direction": "less"}, {"unit": "training"}])
def test_a_verdict_on_another_test_is_outdated(change: dict[str, Any]) -> None:
    index = index_claims({"one": [claim("one.a", **change)]}, pd.DataFrame([verdict("one", "one.a")]))
    assert index["state"].tolist() == ["outdated"]
    table, _ = claims_index_tables(index)
    assert table.rows[0][1] == "reproduced (outdated)"


def test_every_shipped_claim_can_be_indexed() -> None:
    """Ids are unique over all suites; a source names a paper, or says that the statement is ours or is derived."""
    found = [
        claim for path in suites.available().values() for claim in tomllib.loads(path.read_text()).get("claims", [])
    ]
    assert len(found) > 400
    assert [id for id, n in Counter(c["id"] for c in found).items() if n > 1] == []
    ours = re.compile(r"xaibench|closed forms?:|shap \d")
    assert [c["id"] for c in found if not papers(c["source"]) and not ours.match(c["source"])] == []
    dangling = re.compile(r"(So (do|does|are)|And|Nor (two|is|are)|They|It) ")
    assert [c["id"] for c in found if dangling.match(c["statement"])] == []
