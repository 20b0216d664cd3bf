"""Labels and inputs of data sets as users have them: taken as they are meant, or refused with column and row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import xaibench as xb
from xaibench.core.errors import DataError
from xaibench.core.labels import number_classes

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)


def data(targets: Any, *, inputs: Any = X, features: str = "table", **given: Any) -> xb.Data:
    """Data with the first half as training split."""
    half = len(inputs) // 2
    cut = (lambda v, part: v.iloc[part]) if isinstance(inputs, pd.DataFrame) else (lambda v, part: v[part])
    train, test = cut(inputs, slice(None, half)), cut(inputs, slice(half, None))
    return xb.Data(features, train, targets[:half], test, targets[half:], **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("targets", "given", "numbers", "names"),
    [
        ([-1, 1, 1, -1] * 2, (), [0, 1, 1, 0], ("-1", "1")),
        ([1, 2, 2, 1] * 2, (), [0, 1, 1, 0], ("1", "2")),
        ([1, 3, 2, 1] * 2, (), [0, 2, 1, 0], ("1", "2", "3")),
        ([-1, 1, 1, -1] * 2, ("bad", "good"), [0, 1, 1, 0], ("bad", "good")),
        (["no", "yes", "yes", "no"] * 2, (), [0, 1, 1, 0], ("no", "yes")),
        (["no", "yes", "yes", "no"] * 2, ("yes", "no"), [1, 0, 0, 1], ("yes", "no")),
        ([True, False, True, False] * 2, (), [1, 0, 1, 0], ("False", "True")),
        ([True, False, True, False] * 2, ("a", "b"), [1, 0, 1, 0], ("a", "b")),
        ([0.0, 1.0, 1.0, 0.0] * 2, (), [0, 1, 1, 0], ()),
        ([-1.0, 1.0, 1.0, -1.0] * 2, (), [0, 1, 1, 0], ("-1", "1")),
        ([0, 1, 2, 0] * 2, (), [0, 1, 2, 0], ()),
        ([0, 1, 1, 0] * 2, ("a", "b", "c"), [0, 1, 1, 0], ("a", "b", "c")),
        ([b"u", b"v", b"v", b"u"] * 2, (), [0, 1, 1, 0], ("u", "v")),
        ([10, 20, 20, 10] * 2, ("ten", "twenty"), [0, 1, 1, 0], ("ten", "twenty")),
    ],
)
def test_labels_are_numbered_from_0(targets: list[Any], given: tuple[str, ...], numbers: list[int], names: Any) -> None:
    for made in (np.array(targets), pd.Series(targets), np.array(targets, dtype=object)):
        found = data(made, class_names=given)
        assert found.train_targets.tolist() == numbers
        assert found.train_targets.dtype == np.int64
        assert found.class_names == names


@pytest.mark.parametrize(
    ("targets", "given", "message"),
    [
        ([0, 2, 2, 0] * 2, (), "no row is of class 1"),
        ([1, 3, 3, 1] * 2, (), "from 1 to 3 with gaps"),
        ([-1, 0, 1, 0] * 2, ("a", "b"), "2 class names for labels from -1 to 1"),
        (["a", "b", "c", "a"] * 2, ("a", "b"), "label 'c' is not among the class names"),
        (["a", "b", "a", "b", "c", "a", "b", "a"], (), "label 'c' is in the test split only"),
        ([0, 1, 0, 1, 2, 1, 0, 1], (), "label 2 is in the test split only"),
        ([0.0, 1.0, 2.0, 1.0] * 2, (), "classes or values of a regression"),
        ([0.5, 1.0, 2.0, 1.0] * 2, ("a", "b"), "numbers with fractions, and there are class names"),
        (["a", None, "b", "a"] * 2, (), "the label of row 1 of the train split is missing"),
        ([0.0, np.nan, 1.0, 0.0] * 2, (), "the label of row 1 of the train split is missing"),
        ([True, False] * 4, ("a", "b", "c"), "the labels are booleans, and there are 3 class names"),
        (np.eye(2)[[0, 1] * 4], (), "train targets have shape (4, 2)"),
    ],
)
def test_what_would_be_a_guess_is_refused(targets: Any, given: tuple[str, ...], message: str) -> None:
    made = np.array(targets, dtype=object if any(t is None for t in targets) else None)
    with pytest.raises(DataError) as error:
        data(made, class_names=given)
    assert message in error.value.message
    assert error.value.hint


def test_numbers_with_a_fraction_are_values_of_a_regression() -> None:
    found = data(np.linspace(0, 1, 8))
    assert found.train_targets.tolist() == [0] * 4
    assert found.train_values is not None
    assert found.train_values.dtype == np.float32
    np.testing.assert_allclose(found.train_values, np.linspace(0, 1, 8)[:4], rtol=1e-6)


def test_numbered_labels_have_the_fingerprint_that_they_had() -> None:
    targets = np.array([0, 1, 1, 0] * 2)
    assert data(targets).fingerprint == data(targets.astype(np.int32)).fingerprint
    assert data(targets).fingerprint != data(targets, class_names=("a", "b")).fingerprint


def test_float64_and_frames_are_taken_where_float32_can_tell_them_apart() -> None:
    y = np.array([0, 1] * 4)
    assert data(y, inputs=X.astype(np.float64)).train_inputs.dtype == np.float32
    frame = pd.DataFrame(X.astype(np.float64), columns=["age", "income", "debt"])
    found = data(y, inputs=frame)
    assert found.feature_names == ("age", "income", "debt")
    np.testing.assert_array_equal(found.train_inputs, X[:4])
    assert data(y, inputs=(X > 0)).train_inputs.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.assign(time=1.7e9 + np.arange(8.0)),
            "column 'time' of the train inputs cannot be stored in float32",
        ),
        (lambda f: f.assign(day=pd.Timestamp("2024-01-31")), "column 'day' of the train inputs holds datetime64"),
        (lambda f: f.assign(age=[1, 2, np.inf, 4] * 2), "train inputs hold infinity (column 'age', row 2)"),
    ],
)
def test_columns_that_cannot_be_taken_are_named(change: Any, message: str) -> None:
    frame = pd.DataFrame(X.astype(np.float64), columns=["age", "income", "debt"])
    with pytest.raises(DataError) as error:
        data(np.array([0, 1] * 4), inputs=change(frame))
    assert message in error.value.message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"feature_names": ("a", "b")}, "2 feature names for 3 columns"),
        ({"inputs": X[:, 0]}, "train inputs have shape (4,)"),
        ({"inputs": np.array([["a", "b"]] * 8)}, "not numbers"),
    ],
)
def test_shapes_and_names_must_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as error:
        data(np.array([0, 1] * 4), **given)
    assert message in error.value.message


def test_splits_of_different_width_are_refused() -> None:
    y = np.array([0, 1, 0, 1])
    with pytest.raises(DataError, match=r"train inputs have shape \(N, 3\), test inputs \(N, 2\)"):
        xb.Data("table", X[:4], y, X[4:, :2], y)


def test_classes_keep_their_numbers_in_number_classes() -> None:
    targets = np.array([2, 0, 1])
    assert number_classes(targets, targets).train is targets


@pytest.mark.parametrize("target", ["predicted", "label"])
def test_a_model_of_labels_minus_1_and_1_is_right_in_a_suite(tmp_path: Path, target: str) -> None:
    """Row 30: a model that is right on every test row had an accuracy of .41."""
    (tmp_path / "lab.py").write_text(
        "import numpy as np, xaibench as xb\n"
        f"@xb.dataset('pm1_{target}', features='table')\n"
        "def pm1(*, seed: int = 0) -> xb.Data:\n"
        "    '''Labels -1 and 1.'''\n"
        "    x = np.random.default_rng(0).normal(size=(300, 4)).astype('float32'); y = np.where(x[:, 0] > 0, 1, -1)\n"
        "    return xb.Data('table', x[:200], y[:200], x[200:], y[200:])\n"
        "def lr(data):\n"
        "    from sklearn.linear_model import LogisticRegression\n"
        "    return LogisticRegression(C=100).fit(data.train_inputs, data.train_targets)\n"
    )
    suite = tmp_path / "s.toml"
    suite.write_text(
        f'target = "{target}"\nsamples = 6\nbackground = 16\ncontrols = false\nexplainers = ["occlusion"]\n'
        'metrics = ["pixel_flipping"]\n[[problems]]\ndataset = "lab.py:pm1"\nmodels = ["lab.py:lr"]\n'
    )
    done = xb.run(suite, store=tmp_path / "st")
    rows = xb.results(done.store)
    assert rows["status"].tolist() == ["ok"]
    x = np.random.default_rng(0).normal(size=(300, 4)).astype("float32")
    y = np.where(x[:, 0] > 0, 1, -1)
    right = LogisticRegression(C=100).fit(x[:200], y[:200]).score(x[200:], y[200:])
    assert f'"value": {right}' in rows["gates"].iloc[0]
