"""Build the shipped data from the packages that it comes from, and write the checksums into the cards.

    python datasets/build.py           # download, build, write
    python datasets/build.py --check   # download, build, compare with what is shipped

Needs npm, pip and a network connection. The downloads are verified against the cards.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from xaibench.datasets.cards import card
from xaibench.datasets.fetch import download
from xaibench.datasets.images import read_idx

HERE = Path(__file__).resolve().parent
GERMAN_COLUMNS = [
    "status", "duration", "credit_history", "purpose", "credit_amount", "savings", "present_employment",
    "installment_rate", "personal_status_sex", "other_debtors", "present_residence_since", "property", "age",
    "installment_plans", "housing", "existing_credits", "job", "people_liable", "telephone", "foreign_worker",
    "credit",
]  # fmt: skip
GERMAN_VALUES = {
    "A11": "below 0 DM", "A12": "0 to 200 DM", "A13": "200 DM or more", "A14": "no checking account",
    "A30": "none taken", "A31": "all paid at this bank", "A32": "paid till now", "A33": "delayed before",
    "A34": "critical account",
    "A40": "new car", "A41": "used car", "A42": "furniture", "A43": "radio or television", "A44": "appliances",
    "A45": "repairs", "A46": "education", "A48": "retraining", "A49": "business", "A410": "other",
    "A61": "below 100 DM", "A62": "100 to 500 DM", "A63": "500 to 1000 DM", "A64": "1000 DM or more",
    "A65": "unknown or none",
    "A71": "unemployed", "A72": "below 1 year", "A73": "1 to 4 years", "A74": "4 to 7 years",
    "A75": "7 years or more",
    "A91": "male divorced or separated", "A92": "female divorced, separated or married", "A93": "male single",
    "A94": "male married or widowed", "A95": "female single",
    "A101": "none", "A102": "co-applicant", "A103": "guarantor",
    "A121": "real estate", "A122": "building society or life insurance", "A123": "car or other",
    "A124": "unknown or none",
    "A141": "bank", "A142": "stores", "A143": "none",
    "A151": "rent", "A152": "own", "A153": "for free",
    "A171": "unskilled non-resident", "A172": "unskilled resident", "A173": "skilled",
    "A174": "highly qualified", "A191": "no", "A192": "yes", "A201": "yes", "A202": "no",
}  # fmt: skip
COMPAS_COLUMNS = [
    "age", "sex", "race", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count", "c_charge_degree",
    "two_year_recid",
]  # fmt: skip


def mnist(members: dict[str, bytes]) -> bytes:
    """500 train and 100 test images of every class, evenly spaced through MNIST's own order of that class.

    Evenly spaced, because the first half of the test file was written by other people than the second.
    """
    arrays = {}
    for side, prefix, per_class in (("train", "train", 500), ("test", "t10k", 100)):
        images = read_idx(members[f"{prefix}-images-idx3-ubyte"])
        labels = read_idx(members[f"{prefix}-labels-idx1-ubyte"])
        rows = []
        for label in range(10):
            found = np.flatnonzero(labels == label)
            rows.append(found[np.linspace(0, len(found) - 1, per_class).round().astype(int)])
        chosen = np.sort(np.concatenate(rows))
        arrays[f"{side}_images"], arrays[f"{side}_labels"] = images[chosen], labels[chosen]
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def compas(members: dict[str, bytes]) -> bytes:
    """ProPublica's own selection of rows, eight columns and the label; no names, dates or case numbers."""
    frame = pd.read_csv(io.BytesIO(members["compas-scores-two-years.csv"]), keep_default_na=False, na_values=[""])
    frame = frame[
        frame["days_b_screening_arrest"].between(-30, 30)
        & (frame["is_recid"] != -1)
        & (frame["c_charge_degree"] != "O")
        & (frame["score_text"] != "N/A")
    ]
    return to_csv(frame[COMPAS_COLUMNS])


def german_credit(members: dict[str, bytes]) -> bytes:
    """All rows and columns, the codes written out in a few words."""
    frame = pd.read_csv(io.BytesIO(members["german.data"]), sep=" ", names=GERMAN_COLUMNS, keep_default_na=False)
    frame["credit"] = frame["credit"].map({1: "good", 2: "bad"})
    coded = [c for c in frame.columns if c != "credit" and frame[c].dtype.kind not in "iu"]
    frame[coded] = frame[coded].apply(lambda column: column.map(GERMAN_VALUES))
    return to_csv(frame)


def to_csv(frame: pd.DataFrame) -> bytes:
    """CSV with Unix line ends, the same on every system; no value may be missing."""
    if frame.isna().any(axis=None):
        raise ValueError(f"missing values in {[c for c in frame if frame[c].isna().any()]}")
    return frame.to_csv(index=False, lineterminator="\n").encode()


BUILDERS: dict[str, tuple[str, Callable[[dict[str, bytes]], bytes]]] = {
    "mnist": ("mnist.npz", mnist),
    "compas": ("compas.csv", compas),
    "german_credit": ("german_credit.csv", german_credit),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    different = 0
    for name, (file, build) in BUILDERS.items():
        origin = card(name).origin
        assert origin is not None
        content = build(download(origin))
        sha256 = hashlib.sha256(content).hexdigest()
        same = sha256 == card(name).files[file]
        different += not same
        print(f"{name}/{file}: {len(content)} bytes, sha256 {sha256}, {'as' if same else 'not as'} on the card")
        if not check:
            (HERE / name / file).write_bytes(content)
            path = HERE / name / "card.toml"
            text = path.read_text(encoding="utf-8")
            path.write_text(re.sub(rf'("{re.escape(file)}" = )"\w*"', rf'\1"{sha256}"', text), encoding="utf-8")
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.exit(main())
