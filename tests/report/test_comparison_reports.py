"""A comparison as text, Markdown and JUnit XML, with names that try to break out."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from helpers.printed import text_of
from helpers.results import concat, make_results

from xaibench.analysis.regressions.cell_matching import pair_cells
from xaibench.analysis.regressions.comparison import Comparison, RunReference
from xaibench.analysis.regressions.timings import TIMING_COLUMNS, costs
from xaibench.analysis.regressions.verdicts import RegressionSettings, compare_runs
from xaibench.report.junit import junit
from xaibench.report.regressions import MAX_LISTED_FINDINGS, comparison_report
from xaibench.report.summary import summary_markdown

HOSTILE = "<script>alert(1)</script>|`x`](http://e.vil)\n# @all & \\| ]]> \x00\x1b[31m"
NOW = "2026-01-31T12:00:00"


def scores(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(60)


def compared(old: pd.DataFrame, new: pd.DataFrame, **facts: object) -> Comparison:
    findings = compare_runs(old, new, RegressionSettings(bounds={"pixel_flipping": (0, 1)}))
    sides = [RunReference(name, [{"run": 3, "suite": "quick", "started": NOW}]) for name in ("left", "right")]
    return Comparison(findings, costs(pair_cells(old, new), old, new), *sides, **facts)  # type: ignore[arg-type]


def everything(name: str = "a") -> Comparison:
    """A comparison with every verdict that has one, under a name of one's choice."""
    worse, better = scores() - 0.2, scores() + 0.2
    old = make_results({name: scores(), "b": scores(), "c": scores(), "d": scores(), "e": "unsupported"})
    new = make_results(
        {name: worse, "b": better, "c": "failed", "f": scores(), "e": "unsupported"}, messages={"c": HOSTILE}
    )
    other = make_results({"a": scores()}, dataset="other")
    changed = make_results({"a": scores()}, dataset="other", fingerprint="v")
    slow = concat(new, changed).assign(score_seconds=9.0)
    return compared(concat(old, other), slow)


def nothing() -> Comparison:
    rows = make_results({"a": scores()})
    return compared(rows, rows.assign(fingerprint="v"))


def passed() -> Comparison:
    rows = make_results({"a": scores()})
    return compared(rows, rows, n_identical=1)


def schema_of(folder: Path) -> object:
    xmlschema = pytest.importorskip("xmlschema", reason="a test dependency: pip install xmlschema")
    return xmlschema.XMLSchema10(folder / "junit.xsd")


@pytest.mark.slow
@pytest.mark.parametrize("comparison", [everything(), everything(HOSTILE), nothing(), passed()])
def test_junit_is_valid(comparison: Comparison) -> None:
    schema = schema_of(Path(__file__).parent)
    schema.validate(junit(comparison, timestamp=NOW))  # type: ignore[attr-defined]


def test_junit_counts_what_it_holds_and_names_the_cells() -> None:
    comparison = everything()
    root = ET.fromstring(junit(comparison, timestamp=NOW))
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[name]) == sum(case.find(tag) is not None for case in cases)
    assert len(root.findall("testsuite/testcase")) == len(comparison.findings)
    bad = {el.attrib["type"]: el for kind in ("failure", "error") for el in root.iter(kind)}
    assert set(bad) == {"regressed", "failed", "lost"}
    for finding in comparison.failing.itertuples():
        assert all(cell in (bad[str(finding.verdict)].text or "") for cell in finding.cell_ids)


def test_junit_never_passes_on_nothing() -> None:
    root = ET.fromstring(junit(nothing(), timestamp=NOW))
    assert [el.attrib["message"] for el in root.iter("error")] == ["nothing comparable: this does not count as passed"]
    assert not list(ET.fromstring(junit(passed(), timestamp=NOW)).iter("error"))


def test_what_takes_too_long_fails_only_if_asked() -> None:
    old = make_results({"a": scores()})
    new = old.assign(score_seconds=9.0)
    assert compared(old, new).outcome == "passed"
    assert compared(old, new, max_slowdown=40.0).outcome == "passed"
    slow = compared(old, new, max_slowdown=10.0)
    assert slow.outcome == "regression"
    assert "score pixel_flipping" in junit(slow, timestamp=NOW)
    assert list(slow.too_slow.columns) == TIMING_COLUMNS


def tokens(page: str) -> list[object]:
    return pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table").parse(page)


@pytest.mark.parametrize("name", ["a", HOSTILE])
def test_markdown_renders_as_tables_without_html(name: str) -> None:
    page = summary_markdown(everything(name))
    parsed = tokens(page)
    kinds = [t.type for t in parsed]  # type: ignore[attr-defined]
    inline = [child.type for t in parsed if t.children for child in t.children]  # type: ignore[attr-defined]
    assert "html_block" not in kinds
    assert not {"html_inline", "link_open", "image", "code_inline"} & set(inline)
    rows = [i for i, kind in enumerate(kinds) if kind == "tr_open"]
    width = 0
    for i in rows:
        row = kinds[i : kinds.index("tr_close", i)]
        heads, cells = row.count("th_open"), row.count("td_open")
        width = heads or width
        assert (heads or cells) == width
    assert len(rows) > 8
    texts = "".join(child.content for t in parsed for child in t.children or ())  # type: ignore[attr-defined]
    assert "alert(1)" in texts
    assert "regressed" in texts


@pytest.mark.slow
def test_markdown_says_the_outcome_first() -> None:
    assert summary_markdown(everything()).startswith("## REGRESSION: 3 findings\n")
    assert summary_markdown(passed()).startswith("## PASSED")
    assert summary_markdown(nothing()).startswith("## NOTHING COMPARABLE")
    assert "nothing was recomputed" in summary_markdown(passed())


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("comparison", [everything(), nothing(), passed(), everything("x" * 90)])
def test_the_terminal_shows_all_of_it(comparison: Comparison, width: int) -> None:
    text = text_of(comparison_report(comparison), width)
    assert max(map(len, text.splitlines())) <= width
    for verdict in comparison.counts:
        assert verdict in text
    assert {"passed": "PASSED", "regression": "REGRESSION", "nothing comparable": "NOTHING COMPARABLE"}[
        comparison.outcome
    ] in text.splitlines()[-1]


def test_long_lists_are_cut_and_say_so() -> None:
    names = [f"e{i:03}" for i in range(MAX_LISTED_FINDINGS + 5)]
    old, new = (make_results({n: scores() - shift for n in names}) for shift in (0, 0.3))
    assert f"the first {MAX_LISTED_FINDINGS} of {MAX_LISTED_FINDINGS + 5}" in summary_markdown(compared(old, new))
