"""What must not change a certificate: the order of columns, the names of classes, and the scale of maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import xaibench as xb
from xaibench.core import registry

TRIPLED = """
import xaibench as xb
from xaibench.core import registry

@xb.explainer("tripled", kind="contribution")
def tripled(problem):
    return 3 * registry.get("explainer", "occlusion").function(problem, masker="mean")
"""
OCCLUSION = {"name": "occlusion", "params": {"masker": "mean"}}
ORDER = [2, 0, 3, 1]
COLUMNS = ["level", "copy", "explainer", "reliance", "dominance", "found", "found_all", "found_on_twin", "net", "n"]


def data(labels: tuple[str, str] = ("no", "yes")) -> xb.Data:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(400, 4)).astype(np.float32)
    number = (rows[:, 0] + rows[:, 1] + 0.5 * draw.normal(size=400) > 0).astype(np.int64)
    named = np.array(labels)[number]
    return xb.Data(
        "table", rows[:320], named[:320], rows[320:], named[320:], feature_names=("a", "b", "c", "d"),
        class_names=labels,
    )  # fmt: skip


def certified(given: xb.Data, store: Path, explainers: list[Any]) -> xb.Certification:
    """All 80 test rows in both versions are explained, so that their order plays no part."""
    return xb.certify(
        LogisticRegression(), given, levels=(0, 0.6, 1), copies=1, rows=160, explainers=explainers, store=store
    )


def rows_of(found: xb.Certification, explainer: str) -> pd.DataFrame:
    rows = found.copies[found.copies["explainer"] == explainer]
    return rows[COLUMNS].reset_index(drop=True)


@pytest.mark.slow  # three certificates
def test_columns_classes_and_scale_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maps.py").write_text(TRIPLED)
    plain = certified(data(), tmp_path / "a", [OCCLUSION, "maps.py:tripled"])
    assert plain.proved
    own = rows_of(plain, "occlusion")
    tripled = rows_of(plain, "tripled").assign(explainer="occlusion")
    pd.testing.assert_frame_equal(own, tripled)

    renamed = certified(data(("bad", "good")), tmp_path / "b", [OCCLUSION])
    pd.testing.assert_frame_equal(own, rows_of(renamed, "occlusion"))
    assert (
        renamed.thresholds.loc[0, "threshold"] == plain.thresholds.set_index("explainer").loc["occlusion", "threshold"]
    )

    base = data()
    permuted = replace(
        base, train_inputs=base.train_inputs[:, ORDER], test_inputs=base.test_inputs[:, ORDER],
        feature_names=tuple(base.feature_names[i] for i in ORDER),
    )  # fmt: skip
    other = rows_of(certified(permuted, tmp_path / "c", [OCCLUSION]), "occlusion")
    # What takes the place of everything else is drawn by the row, so decisive rows of full level may be others.
    below = own["level"] < 1
    pd.testing.assert_frame_equal(own[below], other[below], rtol=1e-3)
    numbers = ["reliance", "dominance", "found", "found_all", "found_on_twin", "net"]
    pd.testing.assert_frame_equal(own.loc[~below, numbers], other.loc[~below, numbers], rtol=0.02, atol=0.02)


def test_the_other_order_of_classes_is_the_other_pair_of_versions() -> None:
    made = [registry.get("dataset", "certify_table").function(seed=0, n_rows=20, classes=c) for c in
            (("malignant", "benign"), ("benign", "malignant"))]  # fmt: skip
    sides = [m.train_inputs[:, -1] for m in made]
    assert (sides[0] == sides[1]).all()
    carries = sides[0] != 0
    assert (made[0].train_targets[carries] != made[1].train_targets[carries]).all()
    assert (made[0].train_targets[~carries] == made[1].train_targets[~carries]).all()
