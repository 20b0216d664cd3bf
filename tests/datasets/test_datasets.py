"""The contract of every data set that is there without fetching."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from xaibench.core.data import Data
from xaibench.core.features import GRAPH_KINDS
from xaibench.core.graphs import graph_digests
from xaibench.core.keys import row_digests
from xaibench.core.registry import components
from xaibench.datasets.cards import card, card_names
from xaibench.datasets.fetch import fetchable

SPECS = {spec.name: spec for spec in components("dataset") if spec.function.__module__.startswith("xaibench.")}
OTHERS_FOLDERS = {name for name in SPECS if name.startswith("bam_original_")} | {"texts", "mosaic", "film_opinions"}
"""Data that users have or have not; tested on miniatures in test_bam_folder, tests/models/test_hugging_face and
test_imagenet, and in tests/acceptance/test_pretrained."""
NAMES = sorted(set(SPECS) - set(fetchable()) - OTHERS_FOLDERS)
LARGE = {name: {"per_pair": 2} for name in ("bam_object", "bam_scene", "bam_scene_only", "bam_commonality")}
LARGE["text_shortcuts"] = {"corpus": "zipf"}
"""Data sets that are made smaller here, or without what must be fetched, and how; test_bam and test_planted_texts have
them whole."""
ONE_CLASS = {"bam_commonality"}
CLASSES_OF_SELECTED_NODES = {"infection"}
"""Test samples are the nodes whose truth is unique, which no node of some classes has."""
"""Tested on a single class; gates see to the others."""
CLASSES_OF_STEPS = {"hmm_state"}
"""Every step of a series has a class, in the context."""
ONE_OUTPUT = {"ripple", "units"}
"""A function is explained as the output of one class, which is the label of all rows."""
SIGNED = {"xai_tris"}
"""Images with negative numbers, scaled by the largest magnitude in train and test together."""
GENERATED = {
    "blockmnist", "certify_image", "certify_series", "certify_table", "certify_text",
    "interesting_features", "leakage_blocks", "leakage_onehot", "piecewise", "planted_digits",
    "scaffold_compas", "scaffold_table", "suppressor", "switched_regimes", "synthgauss", "xai_tris",
    "gender_templates", "monotonicity_templates", "text_rules", "linear_gnn", "negative_evidence",
    "units", "boolean", "ripple", "planted_series", "freq_shapes", "white_box", "hmm_state", "infection", "ba2motifs",
    "additive_table", "colour_shortcut", "coloured_square", "flowers",
}  # fmt: skip
"""Data sets without files or arrays of another package behind them."""
EXHAUSTIVE = {"boolean", "leakage_onehot"}
"""Test rows are all the inputs that there are, in any training set and under any seed."""

SAME_TEST_ROWS = {"certify_image", "certify_series", "certify_table", "certify_text"}
"""Test rows and their order are the same under every seed, which fits other copies to the data."""

COMPILED = {"boolean", "text_rules", "tracr", "units"}
"""The model is made of formulas: nothing is trained, and short texts may be drawn twice."""
MAY_HOLD_NOTHING = {"boolean", "interesting_features", "text_rules"}
"""Rows in which no feature happens to be true."""
MAY_HOLD_EVERYTHING = {"boolean", "gender_templates", "monotonicity_templates", "text_rules", "tracr", "units"}
"""Rows of tokens in which every feature is true; behind the end of a text nothing is."""


def raw_rows(data: Data) -> np.ndarray:
    """What draws are keyed by: raw rows, the ids of texts, or of graphs the weights, beside their context."""
    given = data.has_ids or data.features in GRAPH_KINDS
    return data.test_inputs if data.test_rows is None and given else data.test_rows


def digests(data: Data, split: str, rows: slice = slice(None)) -> tuple[bytes, ...]:
    """Identity of the inputs of a split; of graphs with their context."""
    inputs = getattr(data, f"{split}_inputs")[rows]
    if data.features not in GRAPH_KINDS:
        return row_digests(inputs)
    context = {name: values[rows] for name, values in getattr(data, f"{split}_context").items()}
    return graph_digests(data.features, inputs, context)


@functools.cache
def load(name: str, seed: int = 0) -> Data:
    return SPECS[name].function(seed=seed, **LARGE.get(name, {}))


def test_the_expected_data_sets_are_registered():
    assert {"digits", "mnist", "breast_cancer", "compas", "german_credit", "planted_digits"} <= set(NAMES)
    of_others = {  # what other data sets are made of
        *("movie_snippets", "gunpoint", "italy_power_demand"),
        *("efficientnet_lite0", "minilm_l6"),
    }
    assert set(fetchable()) == {"adult", "mnist_full", "imagenet", *of_others}
    assert set(fetchable()) - of_others < set(SPECS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_types(name: str):
    data = load(name)
    layout = data.layout
    assert data.features == SPECS[name].features
    assert data.train_inputs.dtype == data.test_inputs.dtype == (np.int32 if data.has_ids else np.float32)
    assert data.train_inputs.shape[1:] == data.test_inputs.shape[1:]
    assert np.isfinite(data.train_inputs).all()
    assert np.isfinite(data.test_inputs).all()
    assert len(raw_rows(data)) == len(data.test_inputs)
    assert len(data.class_names) == data.n_classes
    if data.features == "table":
        assert len(data.feature_names) == data.input_shape[0] == len(set(data.feature_names))
        assert len(data.group_names or data.feature_names) == layout.n_features
        assert abs(data.train_inputs).max() < 60, "columns are scaled"
    elif name in SIGNED:
        assert max(abs(data.train_inputs).max(), abs(data.test_inputs).max()) == 1
    elif data.features == "image":
        assert data.train_inputs.min() == 0
        assert data.train_inputs.max() == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_class_is_in_both_splits_and_the_floor_is_above_the_largest_class(name: str):
    data = load(name)
    if name in ONE_OUTPUT:
        assert set(data.train_targets.tolist()) == set(data.test_targets.tolist()) == {1}
        return
    if name in CLASSES_OF_STEPS:
        return
    if data.test_values is not None:
        assert data.n_classes == 1
        assert min(data.train_values.std(), data.test_values.std()) > 0
        assert 0 < data.accuracy_floor <= 1
        return
    for targets in (data.train_targets, data.test_targets)[: 1 if name in ONE_CLASS | CLASSES_OF_SELECTED_NODES else 2]:
        shares = np.bincount(targets, minlength=data.n_classes) / len(targets)
        assert len(shares) == data.n_classes
        assert shares.min() > 0.5 / data.n_classes or name in SAME_TEST_ROWS
        assert data.accuracy_floor is None or shares.max() < data.accuracy_floor <= 1


@pytest.mark.parametrize("name", NAMES)
def test_no_test_row_was_trained_on(name: str):
    data = load(name)
    if name in EXHAUSTIVE:
        assert set(digests(data, "train")) == set(digests(data, "test"))
        return
    if name in COMPILED:
        return
    assert not set(digests(data, "train")) & set(digests(data, "test"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_seed_fixes_everything(name: str):
    first, again = load(name), SPECS[name].function(seed=0, **LARGE.get(name, {}))
    assert first.fingerprint == again.fingerprint
    assert (raw_rows(first) == raw_rows(again)).all()
    for a, b in zip(first.interventions, again.interventions, strict=True):
        assert (a.inputs == b.inputs).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_another_seed_selects_other_test_rows_first(name: str):
    first, other = load(name), load(name, seed=1)
    assert first.fingerprint != other.fingerprint
    if name in SAME_TEST_ROWS:
        assert (first.test_inputs == other.test_inputs).all()
        return
    if name in EXHAUSTIVE:
        assert digests(first, "test") != digests(other, "test")
        return
    few = slice(0, 20)
    others = set(digests(first, "test", few)) - set(digests(other, "test", few))
    assert len(others) > min(10, len(first.test_inputs) - 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_test_rows_are_a_fair_selection(name: str):
    data = load(name)
    if data.test_values is not None:
        values = data.test_values
        assert abs(values[:100].mean() - values.mean()) < 4 * values.std() / 10
        return
    shares = np.bincount(data.test_targets, minlength=data.n_classes) / len(data.test_targets)
    first = np.bincount(data.test_targets[:100], minlength=data.n_classes) / min(100, len(data.test_targets))
    deviation = np.sqrt(shares * (1 - shares) / 100)
    assert (abs(first - shares) <= 4 * deviation).all() or name in ONE_CLASS | ONE_OUTPUT


@pytest.mark.parametrize("name", NAMES)
def test_raw_rows_tell_test_inputs_apart(name: str):
    data = load(name)
    if name in COMPILED:
        return
    scaled = digests(data, "test")
    raw = scaled if data.features in GRAPH_KINDS else row_digests(raw_rows(data))
    assert len(set(raw)) == len(set(scaled)) == len(set(zip(raw, scaled, strict=True)))


@pytest.mark.parametrize("name", NAMES)
def test_truth_is_declared_and_selects_some_features(name: str):
    data = load(name)
    assert ("truth.mask" in SPECS[name].provides) == (data.test_mask is not None)
    if data.test_mask is not None:
        layout = data.layout
        assert data.test_mask.shape == (len(data.test_inputs), *layout.feature_shape)
        assert data.test_mask.dtype == bool
        marked = data.test_mask.reshape(len(data.test_mask), -1).sum(axis=1)
        assert marked.min() > 0 or name in MAY_HOLD_NOTHING
        assert marked.max() < layout.n_features or name in MAY_HOLD_EVERYTHING
        assert data.interventions or data.checks or name in COMPILED, "truth without a causal check"


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"texts"}))
def test_every_data_set_has_a_card_that_describes_it(name: str):
    found = card(name)
    assert name in card_names()
    assert found.name == name
    assert all((found.description, found.source, found.url, found.licence, found.citation, found.preprocessing))
    assert bool(found.files) or found.fetchable or bool(found.arrays) or name in GENERATED | OTHERS_FOLDERS | set(LARGE)
    if name in NAMES and name not in LARGE:
        data = load(name)
        assert found.rows == len(data.train_inputs) + len(data.test_inputs)
        if data.features == "image":
            assert found.columns == np.prod(data.input_shape)


def test_the_mnist_slice_is_balanced():
    data = load("mnist")
    assert (np.bincount(data.train_targets) == 500).all()
    assert (np.bincount(data.test_targets) == 100).all()
    assert data.input_shape == (1, 28, 28)


def test_sensitive_columns_are_kept_under_their_names():
    assert {"age", "sex=Male", "race=African-American"} <= set(load("compas").feature_names)
    assert {"age", "foreign_worker=yes", "personal_status_sex=male single"} <= set(load("german_credit").feature_names)
