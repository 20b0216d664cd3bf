"""Data frames as numbers and back."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.frames.codec import FrameCodec

ALL_KINDS = pd.DataFrame(
    {
        "float": [1.5, np.nan, 3.0],
        "float32": np.array([1.5, 2.25, 3.0], np.float32),
        "int": [3, 1, 2],
        "uint8": np.array([0, 255, 7], np.uint8),
        "bool": [True, False, True],
        "text": ["b", "a", "b"],
        "object": pd.Series(["y", None, "x"], dtype=object),
        "flags": pd.Series([True, None, False], dtype=object),
        "category": pd.Categorical(["m", None, "s"], categories=["s", "m", "l"], ordered=True),
        "numbers": pd.Categorical([30, 10, 30]),
        "Int64": pd.array([1, None, 3], dtype="Int64"),
        "Float64": pd.array([1.5, None, 3], dtype="Float64"),
        "boolean": pd.array([True, None, False], dtype="boolean"),
        "string": pd.array(["u", None, "v"], dtype="string"),
        "arrow_int": pd.array([1, None, 3], dtype="int64[pyarrow]"),
        "arrow_float": pd.array([1.5, None, 3], dtype="double[pyarrow]"),
        "arrow_bool": pd.array([True, None, False], dtype="bool[pyarrow]"),
        "arrow_text": pd.array(["u", None, "v"], dtype="string[pyarrow]"),
    }
)


@pytest.mark.parametrize("column", list(ALL_KINDS))
def test_every_dtype_comes_back(column: str) -> None:
    frame = ALL_KINDS[[column]]
    codec = FrameCodec.of([frame])
    pd.testing.assert_frame_equal(codec.decode(codec.encode(frame)), frame)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(codec)).decode(codec.encode(frame)), frame)


def test_order_of_columns_and_index_play_no_role() -> None:
    codec = FrameCodec.of([ALL_KINDS])
    shuffled = ALL_KINDS[list(ALL_KINDS)[::-1]].set_axis([7, 7, 3], axis=0)
    np.testing.assert_array_equal(codec.encode(shuffled), codec.encode(ALL_KINDS))
    assert codec.names == tuple(ALL_KINDS)


def test_codes_are_in_the_order_of_the_categories() -> None:
    codec = FrameCodec.of([ALL_KINDS[["text", "category", "numbers"]]])
    np.testing.assert_array_equal(
        codec.encode(ALL_KINDS[["text", "category", "numbers"]]), [[1, 1, 1], [0, np.nan, 0], [1, 0, 1]]
    )
    assert codec.categorical == (0, 1, 2)


def test_known_categories_make_codes_that_do_not_depend_on_the_rows() -> None:
    one = pd.DataFrame({"job": ["nurse"]})
    codec = FrameCodec.of([one], categories={"job": np.array(["cook", "nurse"], dtype=object)})
    assert codec.encode(one).tolist() == [[1.0]]
    assert codec.decode(np.array([[0.0]]))["job"].tolist() == ["cook"]


def test_categories_of_all_frames_are_known() -> None:
    one, other = pd.DataFrame({"job": ["nurse"]}), pd.DataFrame({"job": ["cook", "nurse"]})
    codec = FrameCodec.of([one, other])
    assert codec.encode(one).tolist() == [[1.0]]


@pytest.mark.parametrize("dtype", ["int64", "Int64", "int64[pyarrow]"])
def test_integers_get_fractions_as_floats(dtype: str) -> None:
    frame = pd.DataFrame({"age": pd.array([30, 40], dtype=dtype)})
    codec = FrameCodec.of([frame])
    assert codec.decode(np.array([[31.0]]))["age"].dtype == frame["age"].dtype
    found = codec.decode(np.array([[30.5], [40.0]]))["age"]
    assert pd.api.types.is_float_dtype(found.dtype)
    assert found.tolist() == [30.5, 40.0]


@pytest.mark.parametrize("column", ["text", "category", "bool", "boolean", "arrow_text"])
@pytest.mark.parametrize("number", [0.5, -1.0, 17.0])
def test_there_is_nothing_between_and_beyond_categories(column: str, number: float) -> None:
    codec = FrameCodec.of([ALL_KINDS[[column]]])
    with pytest.raises(UnsupportedError, match=f"column '{column}' holds"):
        codec.decode(np.array([[number]]))


def test_wrong_columns_are_named() -> None:
    frame = pd.DataFrame({"age": [1.0], "income": [2.0]})
    codec = FrameCodec.of([frame])
    with pytest.raises(UsageError, match="the inputs have no column 'income'") as missing:
        codec.encode(frame.rename(columns={"income": "incom"}))
    assert missing.value.hint == "did you mean 'incom'?"
    with pytest.raises(UsageError, match="background have a column 'debt'"):
        codec.encode(frame.assign(debt=1), "background")
    with pytest.raises(UsageError, match="two columns called 'age'"):
        FrameCodec.of([pd.concat([frame, frame[["age"]]], axis=1)])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (pd.to_datetime(["2024-01-31"]), r"column 'x' of the inputs holds datetime64\[.*, neither numbers nor"),
        (pd.to_timedelta([1], unit="D"), "column 'x' of the inputs holds timedelta"),
        (np.array([1j]), "column 'x' of the inputs holds complex128"),
        (pd.Series([[1, 2]], dtype=object), "column 'x' of the inputs holds a list in row 0"),
        (pd.Series([1, "a"], dtype=object), r"column 'x' of the inputs mixes numbers and text \(row 1\)"),
        (np.array([1.0, np.inf]), r"inputs hold infinity \(column 'x', row 1\)"),
    ],
)
def test_what_cannot_be_a_column_is_said_with_column_and_row(values: object, sentence: str) -> None:
    frame = pd.DataFrame({"x": values})
    with pytest.raises(UsageError, match=sentence):
        FrameCodec.of([frame]).encode(frame)


def test_foreign_categories_are_said_with_column_and_row() -> None:
    codec = FrameCodec.of([pd.DataFrame({"job": ["cook", "nurse"]})])
    with pytest.raises(UsageError, match="column 'job' of the inputs is 'smith' in row 1") as error:
        codec.encode(pd.DataFrame({"job": ["cook", "smith"]}))
    assert error.value.hint == "known: 'cook', 'nurse'"


def test_kinds_that_differ_between_frames_are_refused() -> None:
    with pytest.raises(UsageError, match="column 'x' of the inputs holds"):
        FrameCodec.of([pd.DataFrame({"x": ["a"]}), pd.DataFrame({"x": [1.0]})])


def test_sparse_columns_are_dense_ones() -> None:
    frame = pd.get_dummies(pd.DataFrame({"job": ["a", "b"]}), sparse=True)
    codec = FrameCodec.of([frame])
    assert codec.boolean == (0, 1)
    assert codec.decode(codec.encode(frame)).to_numpy().tolist() == frame.to_numpy().tolist()
