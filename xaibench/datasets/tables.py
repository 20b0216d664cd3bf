"""Tables: breast cancer from scikit-learn, COMPAS and German credit (shipped), Adult (fetched)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.cards import check_array, read_shipped
from xaibench.datasets.fetch import read_fetched
from xaibench.datasets.splits import generator, split

if TYPE_CHECKING:
    import pandas as pd

ADULT_COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship",
    "race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income",
)  # fmt: skip


@dataset("breast_cancer", features="table")
def breast_cancer(*, seed: int) -> Data:
    """569 tumours described by 30 measurements of cell nuclei (Wisconsin, from scikit-learn); malignant or benign."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    check_array("breast_cancer", "data", found.data.astype("<f8").tobytes())
    return table_data(
        found.data,
        found.target.astype(np.int64),
        tuple(str(n) for n in found.feature_names),
        ("malignant", "benign"),
        test_share=0.3,
        rng=generator("split", "breast_cancer", seed),
        accuracy_floor=0.92,
    )


@dataset("compas", features="table")
def compas(*, seed: int) -> Data:
    """6,172 defendants of the COMPAS data (ProPublica); rearrested within two years or not. Has race, sex and age."""
    frame = read_csv(read_shipped("compas", "compas.csv"))
    columns, names = one_hot(frame.drop(columns="two_year_recid"))
    return table_data(
        columns,
        frame["two_year_recid"].to_numpy(np.int64),
        names,
        ("not rearrested", "rearrested"),
        test_share=0.2,
        rng=generator("split", "compas", seed),
        accuracy_floor=0.62,
    )


@dataset("german_credit", version=2, features="table")
def german_credit(*, seed: int) -> Data:
    """1,000 loan applicants of a German bank (Statlog); good or bad credit. Has age, sex and foreign worker."""
    frame = read_csv(read_shipped("german_credit", "german_credit.csv"))
    columns, names = one_hot(frame.drop(columns="credit"))
    return table_data(
        columns,
        (frame["credit"] == "bad").to_numpy(np.int64),
        names,
        ("good", "bad"),
        test_share=0.3,
        rng=generator("split", "german_credit", seed),
        accuracy_floor=0.705,  # above the share of good applicants, 0.70
        feature_groups=one_hot_blocks(names),
    )


@dataset("adult", version=2, features="table")
def adult(*, seed: int) -> Data:
    """45,222 people of the 1994 US census; income above 50,000 dollars or not (`xaibench data fetch adult`).

    The data's own split is used, and rows with unknown values are left out; the seed orders the rows.
    """
    import pandas as pd

    sides = []
    for file in ("adult.data", "adult.test"):
        text = read_fetched("adult", file).decode().replace("|1x3 Cross validator\n", "")
        frame = pd.read_csv(
            io.StringIO(text), names=list(ADULT_COLUMNS), skipinitialspace=True, na_values="?", keep_default_na=False
        )
        sides.append(frame.dropna().drop(columns="fnlwgt"))
    frame = pd.concat(sides, ignore_index=True)
    columns, names = one_hot(frame.drop(columns="income"))
    rng = generator("split", "adult", seed)
    n_train = len(sides[0])
    return standardised(
        columns,
        frame["income"].str.startswith(">50K").to_numpy(np.int64),
        rng.permutation(n_train),
        n_train + rng.permutation(len(frame) - n_train),
        feature_names=names,
        class_names=("at most 50K", "above 50K"),
        accuracy_floor=0.80,
        feature_groups=one_hot_blocks(names),
    )


def read_csv(content: bytes) -> pd.DataFrame:
    """Parse a CSV file in which every field has a value: the text "NA" stays a text."""
    import pandas as pd

    return pd.read_csv(io.BytesIO(content), keep_default_na=False)


def one_hot(frame: pd.DataFrame) -> tuple[Array, tuple[str, ...]]:
    """Encode a table as numbers.

    Columns of numbers stay; a text column becomes one 0/1 column ``name=value`` per value, in
    alphabetical order; a text column with two values becomes the one for the last of them.

    Returns
    -------
    columns : array (N, D) of float64
    names : tuple of str
    """
    columns: list[Array] = []
    names: list[str] = []
    for name in frame.columns:
        values = frame[name]
        if values.dtype.kind in "biuf":
            columns.append(values.to_numpy(np.float64))
            names.append(str(name))
            continue
        known = sorted(set(values))
        for value in known[1:] if len(known) == 2 else known:
            columns.append((values == value).to_numpy(np.float64))
            names.append(f"{name}={value}")
    return np.column_stack(columns), tuple(names)


def one_hot_blocks(names: Sequence[str]) -> dict[str, list[str]]:
    """Columns of every text column that `one_hot` has made several of, by its name; empty without any.

    Examples
    --------
    >>> from xaibench.datasets.tables import one_hot_blocks
    >>> one_hot_blocks(["age", "job=cook", "job=nurse", "sex=male"])
    {'job': ['job=cook', 'job=nurse'], 'sex': ['sex=male']}
    """
    blocks: dict[str, list[str]] = {}
    for name in names:
        title, encoded, _ = name.partition("=")
        if encoded:
            blocks.setdefault(title, []).append(name)
    return blocks


def table_data(
    columns: Array,
    labels: Array,
    feature_names: tuple[str, ...],
    class_names: tuple[str, ...],
    *,
    test_share: float,
    rng: np.random.Generator,
    accuracy_floor: float,
    feature_groups: Mapping[str, Sequence[str]] | None = None,
) -> Data:
    """Split a table of raw numbers (N, D) and standardise it."""
    train, test = split(columns, labels, test_share, rng)
    return standardised(
        columns,
        labels,
        train,
        test,
        feature_names=feature_names,
        class_names=class_names,
        accuracy_floor=accuracy_floor,
        feature_groups=feature_groups or {},
    )


def standardised(
    columns: Array,
    labels: Array,
    train: Array,
    test: Array,
    *,
    feature_groups: Mapping[str, Sequence[str]] | None = None,
    **known: Any,
) -> Data:
    """Make Data in which columns with more than two values have mean 0 and variance 1 over the train rows.

    Columns of zeros and ones stay as they are. ``test_rows`` are the raw numbers. Columns of ``feature_groups`` are
    categories.
    """
    groups = feature_groups or {}
    known |= {"feature_groups": groups, "categorical": [name for names in groups.values() for name in names]}
    raw = columns[train]
    binary = np.isin(columns, (0.0, 1.0)).all(axis=0)
    deviation = raw.std(axis=0)
    shift = np.where(binary, 0.0, raw.mean(axis=0))
    scale = np.where(binary | (deviation == 0.0), 1.0, deviation)
    inputs = ((columns - shift) / scale).astype(np.float32)
    return Data("table", inputs[train], labels[train], inputs[test], labels[test], test_rows=columns[test], **known)
