"""A comparison of two runs as JUnit XML, one test case per finding, for tools that show test results."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from xaibench.analysis.regressions.comparison import Comparison
from xaibench.report.labels import number, p_value
from xaibench.report.regressions import MEANING, change, named

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SKIPPED = ("incomparable", "new", "unscored")


def junit(comparison: Comparison, *, timestamp: str) -> str:
    """JUnit XML as the schema of Ant's JUnit tasks has it: a suite per problem, a case per finding.

    What fails the comparison is a ``failure``, a cell that could not be computed an ``error``, what was
    not compared ``skipped``. If nothing was comparable, a case of its own is an error.

    Parameters
    ----------
    comparison : Comparison
    timestamp : str
        ``2026-01-31T12:00:00``, without a time zone.
    """
    findings = named(comparison.findings)
    failing = set(comparison.failing.index)
    root = ET.Element("testsuites")
    for i, (problem, rows) in enumerate(findings.groupby("problem", sort=True)):
        _suite(
            root, i, str(problem), [_case(str(problem), f, f.Index in failing) for f in rows.itertuples()], timestamp
        )
    whole = []
    if comparison.outcome == "nothing comparable":
        whole.append(_whole("something was compared", "error", "nothing comparable: this does not count as passed"))
    slow = comparison.too_slow
    for row in slow.to_dict("records"):
        said = f"{row['baseline_seconds']:.1f} s before, {row['candidate_seconds']:.1f} s now"
        whole.append(_whole(f"{row['stage']} {row['name']}", "failure", said))
    for row in comparison.too_large.to_dict("records"):
        said = f"{row['baseline_bytes'] / 1e6:.0f} MB before, {row['candidate_bytes'] / 1e6:.0f} MB now"
        whole.append(_whole(f"memory of {row['stage']} {row['name']}", "failure", said))
    if whole:
        _suite(root, len(root), "comparison", whole, timestamp)
    ET.indent(root)
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{ET.tostring(root, encoding='unicode')}\n"


def _suite(root: ET.Element, number_: int, name: str, cases: list[ET.Element], timestamp: str) -> None:
    count = {kind: str(sum(case.find(kind) is not None for case in cases)) for kind in ("failure", "error", "skipped")}
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": _text(name), "package": "xaibench", "id": str(number_), "timestamp": timestamp,
            "hostname": "localhost", "tests": str(len(cases)), "failures": count["failure"], "errors": count["error"],
            "skipped": count["skipped"], "time": "0",
        },
    )  # fmt: skip
    ET.SubElement(suite, "properties")
    suite.extend(cases)
    ET.SubElement(suite, "system-out")
    ET.SubElement(suite, "system-err")


def _case(problem: str, finding: Any, fails: bool) -> ET.Element:
    name = f"{finding.by} {finding.what}" + (f" ({finding.measure})" if finding.measure == "undefined" else "")
    case = ET.Element("testcase", {"name": _text(name), "classname": _text(problem), "time": "0"})
    if finding.verdict in SKIPPED:
        ET.SubElement(case, "skipped")
    elif fails:
        kind = "error" if finding.verdict == "failed" else "failure"
        said = change(finding._asdict())
        element = ET.SubElement(
            case, kind, {"message": _text(said or MEANING[finding.verdict]), "type": finding.verdict}
        )
        element.text = _text(_detail(finding))
    return case


def _detail(finding: Any) -> str:
    """Everything that is known about a finding that fails, and its cells."""
    lines = [f"{finding.verdict}: {MEANING[finding.verdict]}", f"problem seeds: {finding.seeds}"]
    if finding.n:
        lines.append(
            f"effect {number(finding.effect)}, delta {number(finding.delta)}, corrected p "
            f"{p_value(float(finding.p_corrected)) or 'none'}, {finding.n} {finding.unit}, {finding.n_changed} changed"
        )
    return "\n".join([*lines, "cells:", *finding.cell_ids])


def _whole(name: str, kind: str, said: str) -> ET.Element:
    case = ET.Element("testcase", {"name": _text(name), "classname": "comparison", "time": "0"})
    ET.SubElement(case, kind, {"message": said, "type": name})
    return case


def _text(text: str) -> str:
    """Text without characters that XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", text)
