"""Targets of several columns: labels that may be true together, values of several outputs, and what is neither."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import xaibench as xb
from xaibench.core.errors import DataError, UsageError
from xaibench.core.targets import check_target, column_of

X = np.zeros((4, 2), np.float32)
LABELS = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
VALUES = np.array([[0.5, 1e8], [1.5, 1e8 + 1], [2.5, 1e8 + 2], [3.5, 1e8 + 3]])


def data(targets: Any, **given: Any) -> xb.Data:
    return xb.Data("table", X, targets, X, targets, **given)


@pytest.mark.parametrize("given", [LABELS, LABELS.astype(bool), LABELS.astype(float)])
def test_zeros_and_ones_are_labels(given: Any) -> None:
    found = data(given, class_names=("rain", "snow", "wind"))
    assert found.test_labels is not None
    assert found.test_labels.tolist() == LABELS.astype(bool).tolist()
    assert found.train_targets.tolist() == [0, 0, 0, 0]
    assert (found.n_classes, found.n_outputs, found.n_values) == (3, 3, 0)


def test_a_frame_brings_the_names_of_labels() -> None:
    assert data(pd.DataFrame(LABELS, columns=["rain", "snow", "wind"])).class_names == ("rain", "snow", "wind")


def test_values_of_several_outputs_keep_their_digits() -> None:
    found = data(VALUES)
    assert found.test_values is not None
    assert np.array_equal(found.test_values, VALUES)
    assert (found.n_values, found.n_outputs) == (2, 2)
    small = data(VALUES[:, :1] * [[1, 2]])
    assert small.test_values is not None
    assert small.test_values.dtype == np.float32


def test_data_with_one_target_per_row_keep_their_fingerprint() -> None:
    assert data(np.array([0, 1, 0, 1])).fingerprint == "ea0a8ea081b8c668a89ec2350bd8512d"


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "one-hot": (np.eye(4)[:, :4], {}, "with a single 1 in every row"),
    "whole numbers": (LABELS + 1, {}, "classes or values of several outputs"),
    "names": (LABELS, {"class_names": ("rain",)}, "1 class names for 3 columns of labels"),
    "twice": (LABELS, {"train_labels": LABELS, "test_labels": LABELS}, "targets hold labels, and there are train_"),
    "one split": (np.zeros(4, int), {"train_labels": LABELS}, "labels are given for one split only"),
    "numbers": (np.zeros(4, int), {"train_labels": VALUES, "test_labels": VALUES}, "train labels have shape"),
    "missing": (np.where(VALUES > 3, np.nan, VALUES), {}, "value of row 0 of the train split is missing"),
    "text": (np.array([["a", "b"]] * 4), {}, "train values have shape"),
    "both": (LABELS, {"train_values": VALUES, "test_values": VALUES}, "labels that may be true together go with no"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_go_together_is_one_sentence(what: str) -> None:
    targets, given, message = WRONG[what]
    with pytest.raises(DataError, match=message) as caught:
        data(targets, **given)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("target", ["predicted", "label", "each", "runner_up", "label:a b", "contrast:a-b-c"])
def test_known_forms_of_targets(target: str) -> None:
    assert check_target(target) == target


@pytest.mark.parametrize("target", ["", "predict", "label:", "contrast:", "contrast:a", "contrast:-a", "each:a"])
def test_unknown_forms_of_targets(target: str) -> None:
    with pytest.raises(ValueError, match=r"target|two classes"):
        check_target(target)


def test_a_name_goes_before_a_number() -> None:
    assert column_of("1", ("1", "0"), 2, "logit") == 0
    assert column_of(1, ("a", "b"), 2, "logit") == 1
    with pytest.raises(UsageError, match="no label '2'"):
        column_of("2", ("a", "b"), 2, "multilabel_logit")
