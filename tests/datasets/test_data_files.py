"""Tables, arrays and folders of images as data sets: what becomes of columns, gaps, targets and splits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.files import loans, pictures, save_pictures

from xaibench.core.data import Data
from xaibench.core.errors import DataError, UsageError, XaibenchError, XaibenchWarning
from xaibench.suite.references import ComponentEntry, ComponentRef


def read(folder: Path, file: str, seed: int = 0, **params: Any) -> Data:
    found = chosen(folder, file, **params)
    data = found.spec.function(**found.params, seed=seed)
    assert isinstance(data, Data)
    return data


def chosen(folder: Path, file: str, **params: Any) -> ComponentRef:
    return next(ComponentEntry(file=file, params=params).choices("dataset", folder))


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    found = loans()
    found.to_csv(tmp_path / "t.csv", index=False)
    return found


@pytest.mark.parametrize("ending", ["tsv", "parquet", "feather"])
def test_every_kind_of_table_is_one_data_set(tmp_path: Path, frame: pd.DataFrame, ending: str) -> None:
    write = {
        "tsv": lambda path: frame.to_csv(path, index=False, sep="\t"),
        "parquet": frame.to_parquet,
        "feather": frame.to_feather,
    }
    write[ending](tmp_path / f"t.{ending}")
    first, second = read(tmp_path, "t.csv", target="default"), read(tmp_path, f"t.{ending}", target="default")
    assert first.feature_names == second.feature_names
    assert first.class_names == second.class_names == ("no", "yes")
    assert (first.test_inputs == second.test_inputs).all()
    assert (first.train_targets == second.train_targets).all()


def test_numbers_are_standardised_by_the_training_rows(tmp_path: Path, frame: pd.DataFrame) -> None:
    data = read(tmp_path, "t.csv", target="default", encode="onehot")
    assert data.feature_names == (
        "age",
        "income",
        "purpose=car",
        "purpose=house",
        "purpose=study",
        "region=n",
        "region=s",
    )
    assert data.layout.groups == ((0,), (1,), (2, 3, 4), (5, 6))
    assert data.layout.categorical == (2, 3)
    assert data.train_inputs[:, 2:5].sum(axis=1).tolist() == [1.0] * len(data.train_inputs)
    assert data.train_inputs[:, :2].mean(axis=0) == pytest.approx([0, 0], abs=1e-5)
    assert data.train_inputs[:, :2].std(axis=0) == pytest.approx([1, 1], abs=1e-5)
    share = len(data.test_inputs) / len(frame)
    assert share == pytest.approx(0.3, abs=0.02)
    shares = [(t == 1).mean() for t in (data.train_targets, data.test_targets)]
    assert shares[0] == pytest.approx(shares[1], abs=0.03)


def test_a_column_says_which_rows_are_test_rows(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.assign(part=np.where(frame["age"] < 60, "train", "Test")).to_csv(tmp_path / "p.csv", index=False)
    data = read(tmp_path, "p.csv", target="default", split="part")
    assert "part" not in data.feature_names
    assert data.train_inputs[:, 0].max() < 60 <= data.test_inputs[:, 0].min()
    frame.assign(part="train").to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(DataError, match="no train or no test rows"):
        read(tmp_path, "p.csv", target="default", split="part")


def test_rows_of_a_group_stay_on_one_side(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.assign(person=np.arange(len(frame)) // 4, age=np.arange(len(frame))).to_csv(tmp_path / "g.csv", index=False)
    data = read(tmp_path, "g.csv", target="default", group="person")
    sides = [set(np.rint(x[:, 0]).astype(int) // 4) for x in (data.train_inputs, data.test_inputs)]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]


def test_splits_follow_the_seed(tmp_path: Path, frame: pd.DataFrame) -> None:
    first, again, other = (read(tmp_path, "t.csv", seed=s, target="default").test_inputs for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_regressions(tmp_path: Path, frame: pd.DataFrame) -> None:
    """Fractions and many whole numbers are values, also around 1e8; few whole numbers are classes."""
    values = 1e8 + np.arange(len(frame), dtype=float) * 1000
    frame.assign(amount=values, grade=np.arange(len(frame)) % 5).to_csv(tmp_path / "r.csv", index=False)
    data = read(tmp_path, "r.csv", target="amount", drop=["default"])
    assert data.train_values is not None
    assert set(np.round((data.train_values - 1e8) / 1000)) <= set(range(len(frame)))
    assert read(tmp_path, "r.csv", target="grade", drop=["default"]).class_names == ("0", "1", "2", "3", "4")
    assert read(tmp_path, "r.csv", target="grade", drop=["default"], task="regression").train_values is not None
    with pytest.raises(DataError, match="these are not classes"):
        read(tmp_path, "r.csv", target="amount", drop=["default"], task="classification")


@pytest.mark.parametrize("missing", ["drop", "keep", "median+flag", "category"])
def test_what_becomes_of_gaps(tmp_path: Path, frame: pd.DataFrame, missing: str) -> None:
    frame.loc[[3, 5], "income"] = np.nan
    frame.loc[7, "purpose"] = None
    if missing == "category":
        frame["income"] = frame["income"].fillna(0)
    frame.to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(DataError, match=r"column '\w+' is missing in row \d"):
        read(tmp_path, "m.csv", target="default")
    data = read(tmp_path, "m.csv", target="default", missing=missing)
    rows = np.concatenate([data.train_inputs, data.test_inputs])
    assert len(rows) == (197 if missing == "drop" else 200)
    if missing == "keep":
        assert int(np.isnan(rows[:, 1]).sum()) == 2
        assert int(np.isnan(rows[:, 2]).sum()) == 1
        return
    assert not np.isnan(rows).any()
    if missing == "median+flag":
        assert data.feature_names[:3] == ("age", "income", "income is missing")
        assert rows[rows[:, 2] == 1, 1] == pytest.approx([np.median(data.train_inputs[:, 1])] * 2, abs=1)
    if missing != "drop":
        assert "(missing)" in set(data.train_frame["purpose"]) | set(data.test_frame["purpose"])


def test_columns_come_back_as_they_are_in_the_file(tmp_path: Path, frame: pd.DataFrame) -> None:
    """Rows are numbers inside, and the very rows of the file for a model."""
    frame["own"] = frame["age"] > 40
    frame["size"] = np.where(frame["age"] > 60, "L", np.where(frame["age"] > 30, "M", "S"))
    frame["zip"] = 1000 + frame["age"] % 3
    frame.to_csv(tmp_path / "b.csv", index=False)
    order = {"size": ["S", "M", "L"]}
    data = read(tmp_path, "b.csv", target="default", ordered=order, categorical=["zip"])
    names = list(data.feature_names)
    assert [names[i] for i in data.layout.categorical] == ["purpose", "region", "size", "zip"]
    assert [names[i] for i in data.layout.boolean] == ["own"]
    back = pd.concat([data.train_frame, data.test_frame])
    wanted = frame.drop(columns="default")
    rows = [
        sorted(map(tuple, f.astype(str).to_numpy().tolist()))
        for f in (back.astype({"income": "float64"}).round(2), wanted)
    ]
    assert rows[0] == rows[1]
    codes = read(tmp_path, "b.csv", target="default", ordered=order, encode="onehot")
    assert "size" in codes.feature_names
    assert len(set(codes.train_inputs[:, list(codes.feature_names).index("size")].tolist())) == 3


WRONG = {
    "no such column": ({"target": "defualt"}, "no column 'defualt', which target names"),
    "a column to drop": ({"target": "default", "drop": ["x"]}, "no column 'x', which drop names"),
    "everything dropped": (
        {"target": "default", "drop": ["age", "income", "purpose", "region"]},
        "no column is left to predict 'default' from",
    ),
    "an order without a value": (
        {"target": "default", "ordered": {"purpose": ["car", "house"]}},
        "has the value 'study', which ordered does not name",
    ),
    "a split of other words": ({"target": "default", "split": "region"}, "it says train or test"),
    "texts as values": ({"target": "default", "task": "regression"}, "holds texts"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_name_the_column(tmp_path: Path, frame: pd.DataFrame, name: str) -> None:
    params, said = WRONG[name]
    with pytest.raises(DataError) as raised:
        read(tmp_path, "t.csv", **params)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"default": "yes"}, "has only one class"),
        ({"income": np.inf}, "holds infinity"),
        ({"default": None}, "is missing in 200 rows"),
    ],
)
def test_values_that_cannot_be_used(tmp_path: Path, frame: pd.DataFrame, change: dict[str, Any], said: str) -> None:
    frame.assign(**change).to_csv(tmp_path / "w.csv", index=False)
    with pytest.raises(DataError, match=said):
        read(tmp_path, "w.csv", target="default")


def test_a_column_that_gives_the_target_away_is_warned_of(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.assign(copy=(frame["default"] == "yes") + 0.5).to_csv(tmp_path / "l.csv", index=False)
    with pytest.warns(XaibenchWarning, match="'copy' alone separates the classes"):
        read(tmp_path, "l.csv", target="default")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(tmp_path, "t.csv", target="default")


def test_a_long_table_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces, the same rows as at once, with one type per column whatever a piece shows."""
    import xaibench.datasets.files.reading as reading

    frame = loans(2000)
    frame["code"] = [str(i) for i in range(1999)] + ["last"]
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(reading, "NUMBERS_PER_PIECE", 1200)
    tables = [
        reading.read_table(tmp_path / f"t.{kind}", rows=300, choose=np.random.default_rng(0))
        for kind in ("csv", "parquet")
    ]
    for table in tables:
        assert (len(table.frame), table.n_rows) == (300, 2000)
        assert not pd.api.types.is_numeric_dtype(table.frame["code"])
        joined = frame.set_index("code").loc[table.frame["code"]]
        assert (joined["age"].to_numpy() == table.frame["age"].to_numpy()).all()
    assert (tables[0].frame["code"].to_numpy() == tables[1].frame["code"].to_numpy()).all()


def arrays(folder: Path, **values: Any) -> None:
    np.savez(folder / "d.npz", **values)


def test_arrays_with_a_split_of_their_own(tmp_path: Path) -> None:
    images, classes, places = pictures(20)
    x = images[:, None] / np.float32(255)
    arrays(
        tmp_path, train_inputs=x[:12], train_targets=classes[:12], test_inputs=x[12:], test_targets=classes[12:],
        test_mask=places[12:], class_names=np.array(["a", "b"]),
    )  # fmt: skip
    data = read(tmp_path, "d.npz")
    assert data.features == "image"
    assert np.array_equal(data.test_inputs, x[12:])
    assert data.test_mask is not None
    assert np.array_equal(data.test_mask, places[12:])
    assert data.class_names == ("a", "b")
    assert "truth.mask" in chosen(tmp_path, "d.npz").spec.provides  # type: ignore[attr-defined]


def test_arrays_that_are_split_take_their_masks_along(tmp_path: Path) -> None:
    x = np.arange(80, dtype=np.float32).reshape(20, 4)
    arrays(tmp_path, inputs=x, targets=np.arange(20) % 2, mask=x % 3 == 0, groups=np.arange(20) // 2)
    data = read(tmp_path, "d.npz")
    assert data.test_mask is not None
    assert np.array_equal(data.test_mask, data.test_inputs % 3 == 0)
    sides = [set((rows[:, 0] // 8).astype(int)) for rows in (data.train_inputs, data.test_inputs)]
    assert not sides[0] & sides[1]


ARRAYS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no targets": ({"inputs": np.zeros((4, 2))}, {}, "has no array 'targets'"),
    "an unknown array": (
        {"inputs": np.zeros((4, 2)), "targets": np.arange(4) % 2, "masks": np.zeros(4)},
        {},
        "has an array 'masks'",
    ),
    "other lengths": ({"inputs": np.zeros((4, 2)), "targets": np.arange(3)}, {}, "4 inputs and 3 targets"),
    "axes in doubt": ({"inputs": np.zeros((4, 9, 9)), "targets": np.arange(4) % 2}, {}, "could be several things"),
    "no rows": ({"inputs": np.zeros((0, 2)), "targets": np.zeros(0)}, {}, "is empty"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_no_data_set(tmp_path: Path, name: str) -> None:
    values, params, said = ARRAYS[name]
    arrays(tmp_path, **values)
    with pytest.raises(XaibenchError, match=said):
        read(tmp_path, "d.npz", **params)


def test_images_in_sub_folders(tmp_path: Path) -> None:
    save_pictures(tmp_path, 24)
    data = read(tmp_path, "scans", masks="masks")
    assert data.class_names == ("even", "odd")
    assert data.test_inputs.shape[1:] == (1, 12, 12)
    assert data.test_mask is not None
    assert data.test_mask.sum(axis=(1, 2)).tolist() == [16] * len(data.test_inputs)
    larger = read(tmp_path, "scans", size=[24, 18], channels=3)
    assert larger.test_inputs.shape[1:] == (3, 24, 18)
    assert larger.test_mask is None


def test_images_with_a_table_of_labels(tmp_path: Path) -> None:
    save_pictures(tmp_path, 24)
    rows = [f"{p.parent.name}/{p.name},{'x' if int(p.stem) % 3 else 'y'}" for p in (tmp_path / "scans").rglob("*.png")]
    (tmp_path / "labels.csv").write_text("\n".join(["file,class", *sorted(rows)]))
    assert read(tmp_path, "scans", labels="labels.csv").class_names == ("x", "y")
    (tmp_path / "labels.csv").write_text("file,class\n../net.py,x\n")
    with pytest.raises(DataError, match="which is not in scans"):
        read(tmp_path, "scans", labels="labels.csv")


def test_images_whose_folders_say_train_and_test(tmp_path: Path) -> None:
    for side, n in (("train", 20), ("test", 8)):
        save_pictures(tmp_path / side, n)
        (tmp_path / "all").mkdir(exist_ok=True)
        (tmp_path / side / "scans").rename(tmp_path / "all" / side)
    data = read(tmp_path, "all")
    assert (len(data.train_inputs), len(data.test_inputs)) == (20, 8)


@pytest.mark.parametrize("wrong", ["size", "mask", "class", "text", "outside"])
def test_images_that_cannot_be_used(tmp_path: Path, wrong: str) -> None:
    save_pictures(tmp_path, 24)
    first = tmp_path / "scans" / "even" / "000.png"
    said, params = "", {}
    if wrong == "size":
        from PIL import Image

        Image.new("L", (5, 5)).save(first)
        said = "is 12 x 12, the first one 5 x 5"
    elif wrong == "mask":
        for path in (tmp_path / "masks").rglob("*.png"):
            path.unlink()
        said, params = "there is no mask for the image", {"masks": "masks"}
    elif wrong == "class":
        import shutil

        shutil.rmtree(tmp_path / "scans" / "odd")
        said = "are of one class"
    elif wrong == "text":
        first.write_text("not an image")
        said = "is not an image"
    else:
        first.rename(tmp_path / "scans" / "alone.png")
        said = "outside of any class"
    with pytest.raises((DataError, UsageError), match=said):
        read(tmp_path, "scans", **params)
