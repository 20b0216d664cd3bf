"""Audit and agreement on a terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.printed import text_of

from xaibench.analysis.audit.audit import AUDIT_COLUMNS
from xaibench.analysis.explainer_agreement import Explanations, explainer_agreement
from xaibench.report.audit import agreement_report, audit_report, records


def audit_frame(**columns) -> pd.DataFrame:
    base = {
        "suite": "mine", "dataset": "digits", "model": "cnn", "selection": "first", "asked_output": "",
        "params": [f'{{"masker":"{m}"}}' for m in ("zero", "mean", "blur")], "metric": "removal",
        "verdict": ["trusted", "weak", "broken"], "trust": [0.9, 0.25, 0.0],
        "diagnosis": [
            "keeps the known order, also with another seed; "
            "follows the model's confidence (rho 0.81)",
            "another seed gives another score (ICC 0.25 [0.10, 0.40]); follows the model's confidence (rho 0.70)",
            "constant: every explanation of every sample gets the same score",
        ],
        "auroc": [1.0, 0.9, np.nan], "trend": [0.95, 0.7, np.nan], "icc": [0.9, 0.25, np.nan],
        "repeatability": [0.1, 12345.6, 0.0], "n": 24, "n_seeds": 3,
    }  # fmt: skip
    return pd.DataFrame({**base, **columns}).reindex(columns=AUDIT_COLUMNS)


@pytest.mark.parametrize("width", [80, 120])
def test_an_audit_fits_and_says_everything(width):
    text = text_of(audit_report(audit_frame()), width)
    assert max(map(len, text.splitlines())) <= width
    assert "digits/cnn, 24 samples, 3 seeds" in text
    for word in ("removal(masker=zero)", "trusted", "0.90", "broken"):
        assert word in text
    joined = " ".join(text.split())
    assert "constant: every explanation of every sample gets the same score: removal(masker=blur)" in joined
    assert "follows the model's confidence: removal(masker=zero) (rho 0.81), removal(masker=mean) (rho 0.70)" in joined
    assert "keeps the known order" not in joined, "that all is well needs no words"
    assert "3 metrics audited: 1 trusted, 1 weak, 1 broken." in joined


def test_narrow_terminals_keep_what_decides():
    frame = audit_frame(masker_tau=0.5, confidence_rho=0.8, agreement=0.4, distance=0.1)
    wide, narrow = text_of(audit_report(frame), 160), text_of(audit_report(frame), 72)
    assert "rho with" in wide
    assert "rho with" not in narrow
    assert all(head in narrow for head in ("trust", "AUROC", "trend", "ICC"))


def problem(n_explainers: int) -> Explanations:
    maps = np.random.default_rng(0).standard_normal((n_explainers, 10, 8))
    entries = [("lime", f'{{"width":{i}}}') for i in range(n_explainers)]
    names = ("digits", "cnn", "first")
    return Explanations(names, entries, maps, np.ones(n_explainers, dtype=bool), [str(i) for i in range(10)])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_matrix_fits_and_has_every_pair(width):
    found = explainer_agreement([problem(19)], suite="mine", k=2)
    text = text_of(agreement_report(found, "feature"), width)
    assert max(map(len, text.splitlines())) <= width
    assert "feature agreement at 2 of 8 features, 10 samples" in " ".join(text.split())
    assert "Independent rankings agree in .25." in text
    assert sum(word.startswith((".", "1.0")) and word != ".25." for word in text.split()) == 19 * 18 / 2


def test_chance_stands_above_the_diagonal_where_it_differs():
    found = explainer_agreement([problem(3)], suite="mine", k=4)
    text = text_of(agreement_report(found, "sign"), 80)
    assert "Above the diagonal: what independent rankings with these signs agree in." in " ".join(text.split())
    assert sum(word.startswith(".") for word in text.split()) == 6


def test_records_are_plain():
    record = records(audit_frame())[0]
    assert record["params"] == {"masker": "zero"}
    assert record["distance"] is None
    assert type(record["trust"]) is float
