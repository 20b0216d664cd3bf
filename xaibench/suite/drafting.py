"""Drafts of suite files and data sets, as text for users to edit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

BLACK_BOX = ("occlusion", "lime", "kernel_shap", "shapley_sampling")
"""Explainers that ask the model for outputs only."""
GRADIENTS = ("gradient", "input_x_gradient", "integrated_gradients", "smoothgrad")
METRICS = (
    "pixel_flipping",
    "insertion",
    "faithfulness_correlation",
    "max_sensitivity",
    "random_logit",
    "mprt",
    "relevance_rank",
    "sparseness",
)
"""What a first suite asks: one or two metrics of every family, where the problem has what they need."""


Entry = str | Mapping[str, Any]
"""A reference as a suite has it: a name, or a table."""


def draft_suite(
    dataset: Entry,
    model: Entry,
    *,
    explainers: Sequence[Entry],
    metrics: Sequence[Entry],
    name: str,
    samples: int = 32,
    notes: Sequence[str] = (),
) -> str:
    """A small suite of one problem, with a comment on everything that one is likely to change.

    Parameters
    ----------
    dataset, model : str or mapping
        References as a suite has them: a name, ``file.py:name``, or a table with a file.
    explainers, metrics : sequence of str or mapping
    name : str
        Of the problem, for the description.
    samples : int
    notes : sequence of str
        What is known of the problem, as comments above it.
    """
    return f"""# Made by `xaibench init`. Every field: the page "Suite files" of the documentation.
description = {_text(f"Which explanations of {name} can be trusted?")}

# Test samples that are explained, and training samples that removed features are replaced from.
samples = {samples}
background = 64

# `xaibench list explainers` shows all. Parameters: {{ name = "lime", params = {{ n_samples = 1000 }} }}
explainers = {_list(explainers)}

# `xaibench list metrics` shows all. Controls such as random maps are scored beside every explainer.
metrics = {_list(metrics)}

# A second model is compared on the same data: models = ["mlp", "random_forest"]
{"".join(f"# {note}{_NEWLINE}" for note in notes)}[[problems]]
dataset = {toml_value(dataset)}
models = [{toml_value(model)}]
"""


_NEWLINE = "\n"


def toml_value(value: Any) -> str:
    """A value of a suite file: texts, numbers, booleans, lists and inline tables of them."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {toml_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _text(name)


def draft_dataset(file: str, name: str, target: str, *, dropped: Sequence[str]) -> str:
    """A Python file with a data set that reads a CSV file.

    Parameters
    ----------
    file : str
        The CSV file, as seen from the folder of the Python file.
    name : str
        Of the data set: an identifier.
    target : str
        Column of the classes.
    dropped : sequence of str
        Columns that are left out.
    """
    return f'''"""The data of {_plain(file)} for xaibench. Made by `xaibench init`; change what does not fit."""

from pathlib import Path

import numpy as np
import pandas as pd

import xaibench as xb

FILE = Path(__file__).parent / {_text(file)}
TARGET = {_text(target)}
LEFT_OUT = {json.dumps(list(dropped), ensure_ascii=False)}  # columns that no model should see, such as names
TEST_SHARE = 0.25


@xb.dataset({_text(name)}, features="table", version=1)
def {name}(*, seed: int) -> xb.Data:
    """Rows of {_plain(file)}: numbers standardised, one column per category; rows with gaps are left out."""
    table = pd.read_csv(FILE).dropna().drop(columns=LEFT_OUT)
    classes = sorted(table[TARGET].unique())
    targets = table[TARGET].map({{value: i for i, value in enumerate(classes)}}).to_numpy(np.int64)
    raw = pd.get_dummies(table.drop(columns=TARGET))
    columns = raw.to_numpy(np.float64)

    # Every class is divided in the same proportion.
    rng = np.random.default_rng(seed)
    test = np.zeros(len(columns), dtype=bool)
    for number in range(len(classes)):
        rows = rng.permutation(np.flatnonzero(targets == number))
        test[rows[: max(1, round(TEST_SHARE * len(rows)))]] = True
    train_rows, test_rows = rng.permutation(np.flatnonzero(~test)), rng.permutation(np.flatnonzero(test))

    # The training rows say what is standard: 0 is their mean, and so is a feature that is removed.
    mean, spread = columns[train_rows].mean(axis=0), columns[train_rows].std(axis=0)
    scaled = ((columns - mean) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
    return xb.Data(
        features="table",
        train_inputs=scaled[train_rows],
        train_targets=targets[train_rows],
        test_inputs=scaled[test_rows],
        test_targets=targets[test_rows],
        test_rows=columns[test_rows],
        feature_names=tuple(map(str, raw.columns)),
        class_names=tuple(map(str, classes)),
    )
'''


def _text(value: str) -> str:
    """A string as TOML and Python both read it."""
    return json.dumps(value, ensure_ascii=False)


def _plain(value: str) -> str:
    """A file's name inside a docstring."""
    return value.replace("\\", "/").replace('"', "'")


def _list(entries: Sequence[Entry]) -> str:
    return "[\n" + "".join(f"  {toml_value(entry)},\n" for entry in entries) + "]"
