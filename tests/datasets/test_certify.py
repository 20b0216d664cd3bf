"""Data sets with a planted shortcut: what is planted where, and that everything else is left as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import xaibench as xb
from xaibench.core.errors import DataError, UsageError
from xaibench.core.keys import row_digests
from xaibench.datasets.certify.base import chosen_classes, load_base, scores_of
from xaibench.datasets.certify.carriers import both_versions, draw_carriers
from xaibench.datasets.certify.certify_image import certify_image
from xaibench.datasets.certify.certify_table import certify_table
from xaibench.datasets.certify.image_plants import image_plant
from xaibench.datasets.certify.series_plants import bump_plant
from xaibench.datasets.certify.table_plants import category, new_pair, overwritten


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def table(n: int = 200) -> xb.Data:
    """Numbers with a spread, a block of three columns that are one category, and labels of the first column."""
    rows = rng().normal(size=(n, 6)).astype(np.float32)
    rows[:, 3:] = np.eye(3)[rng().integers(3, size=n)]
    labels = (rows[:, 0] > 0).astype(np.int64)
    half = n // 2
    return xb.Data(
        "table", rows[:half], labels[:half], rows[half:], labels[half:], class_names=("no", "yes"),
        feature_names=("a", "b", "c", "k=1", "k=2", "k=3"), feature_groups={"k": ["k=1", "k=2", "k=3"]},
        categorical=["k=1", "k=2", "k=3"],
    )  # fmt: skip


def test_levels_share_carriers_and_versions_and_a_higher_one_only_adds_labels() -> None:
    targets = np.repeat([0, 1, 2], [100, 100, 10])
    drawn = {
        level: draw_carriers(targets, (0, 1), share=0.5, level=level, protocol="carriers", rng=rng())
        for level in (0.0, 0.3, 1.0)
    }
    assert (drawn[0.0].versions == drawn[1.0].versions).all()
    assert (drawn[0.0].targets == targets).all()
    for label in (0, 1, 2):
        carries = drawn[1.0].versions[targets == label] != 0
        assert carries.mean() == 0.5, "every label carries the plant in the same share"
    full = drawn[1.0]
    assert (full.targets[full.versions == 1] == 0).all()
    assert (full.targets[full.versions == -1] == 1).all()
    assert (full.targets[full.versions == 0] == targets[full.versions == 0]).all()
    changed = drawn[0.3].targets != targets
    assert (full.targets[changed] == drawn[0.3].targets[changed]).all()
    assert 0 < changed.sum() < (full.targets != targets).sum()


def test_under_agreement_labels_stay_and_versions_agree_with_them_as_often_as_the_level_says() -> None:
    targets = np.repeat([0, 1], 5000)
    for level, share in ((0.0, 0.5), (0.6, 0.8), (1.0, 1.0)):
        drawn = draw_carriers(targets, (0, 1), share=0.5, level=level, protocol="agree", rng=rng())
        assert (drawn.targets == targets).all()
        agreed = np.where(drawn.versions > 0, 0, 1) == targets
        assert abs(agreed.mean() - share) < 0.015


def test_the_order_of_both_versions_depends_on_the_rows_alone() -> None:
    digests = row_digests(np.arange(50))
    rows, versions = both_versions(digests)
    assert sorted(zip(rows.tolist(), versions.tolist(), strict=True)) == sorted(
        (i, v) for i in range(50) for v in (1, -1)
    )
    few, of_few = both_versions(digests[:20])
    kept = rows < 20
    assert (rows[kept] == few).all()
    assert (versions[kept] == of_few).all()
    assert abs(versions[:30].mean()) < 0.5, "both versions are mixed"


@pytest.mark.parametrize("plant", ["new", "overwrite", "pair"])
def test_only_the_planted_columns_of_a_table_change(plant: str) -> None:
    base = load_base("breast_cancer", {}, seed=0, folder=None)
    data = certify_table(seed=0, plant=plant, n_rows=40)
    assert data.test_mask is not None
    planted = data.test_mask[0]
    assert (data.test_mask == planted).all()
    assert planted.sum() == (2 if plant == "pair" else 1)
    natural = ~planted[: base.input_shape[0]]
    width = base.input_shape[0]
    known = {tuple(row[natural]) for row in base.test_inputs[:40]}
    assert {tuple(row[:width][natural]) for row in data.test_inputs} == known
    assert (data.train_inputs[:, :width][:, natural] == base.train_inputs[:, natural]).all()
    pairs = {p.need: p.inputs for p in data.pairs}
    swapped, absent = pairs["input_pair.swapped"], pairs["input_pair.absent"]
    assert (swapped[:, ~planted] == data.test_inputs[:, ~planted]).all()
    assert (absent[:, ~planted] == data.test_inputs[:, ~planted]).all()
    assert (swapped[:, planted] != data.test_inputs[:, planted]).any(axis=1).all()
    if plant in ("new", "pair"):
        assert (absent[:, planted] == 0).all()
        assert set(np.unique(data.test_inputs[:, planted])) == {-1.0, 1.0}


def test_a_single_column_of_a_pair_says_nothing_and_their_product_everything() -> None:
    fields, plant = new_pair(table())
    rows = fields["train_inputs"].repeat(40, axis=0)
    versions = np.where(rng().random(len(rows)) < 0.5, 1, -1)
    put = plant.put(rows, versions, rng().random((len(rows), 2)))[:, list(plant.columns)]
    assert (put.prod(axis=1) == versions).all()
    for column in put.T:
        assert abs(np.corrcoef(column, versions)[0, 1]) < 0.05


def test_overwritten_numbers_lie_at_the_quartiles() -> None:
    data = table()
    plant = overwritten(data, "b")
    rows = plant.put(data.train_inputs, np.ones(len(data.train_inputs)), rng().random((len(data.train_inputs), 1)))
    column = data.train_inputs[:, 1]
    assert abs(rows[:, 1].mean() - np.quantile(column, 0.75)) < 0.05
    assert 0.05 < rows[:, 1].std() / column.std() < 0.15
    assert plant.b[0] == pytest.approx(np.quantile(column, 0.25))


def test_a_category_takes_its_two_rarest_common_values_as_one_feature() -> None:
    data = table()
    plant = category(data, "")
    assert plant.columns == (3, 4, 5)
    mask = plant.mask(np.zeros((2, 6)), np.zeros((2, 3)))
    assert mask.shape == (2, data.layout.n_features)
    assert mask.sum() == 2
    assert plant.natural(data.train_inputs).mean() == pytest.approx(1 - data.train_inputs[:, 3:].mean(axis=0).max())
    counts = data.train_inputs[:, 3:].sum(axis=0)
    assert {int(plant.a.argmax()), int(plant.b.argmax())} == set(np.argsort(counts)[:2].tolist())
    put = plant.put(data.train_inputs, np.ones(len(data.train_inputs)), np.zeros((len(data.train_inputs), 3)))
    assert (put[:, 3:] == plant.a).all()


def test_columns_that_cannot_be_planted_in_are_refused() -> None:
    data = table()
    with pytest.raises(UsageError, match="no column 'z'"):
        overwritten(data, "z")
    with pytest.raises(UsageError, match="is not a column of numbers"):
        overwritten(data, "k")
    with pytest.raises(UsageError, match="is not a category"):
        category(data, "a")


def test_a_csv_file_with_texts_stays_a_frame(tmp_path: Path) -> None:
    n, draw = 300, rng()
    frame = pd.DataFrame(
        {
            "age": draw.integers(18, 80, n), "region": draw.choice(["north", "south", "east", "west"], n),
            "default": draw.choice(["no", "yes"], n),
        }
    )  # fmt: skip
    frame.to_csv(tmp_path / "loans.csv", index=False)
    for plant, extra in (("new", ["planted"]), ("category", []), ("overwrite", [])):
        data = certify_table(
            seed=0, suite_folder=tmp_path, data="loans.csv", data_params={"target": "default"}, plant=plant
        )
        assert list(data.train_frame.columns) == ["age", "region", *extra]
        assert set(data.train_frame["region"]) <= {"north", "south", "east", "west"}
    planted = certify_table(
        seed=0, suite_folder=tmp_path, data="loans.csv", data_params={"target": "default"}, plant="category"
    )
    carried = set(planted.test_frame["region"])
    counts = frame["region"].value_counts()
    assert len(carried) == 2
    assert carried < set(counts.index)


def test_a_patch_is_the_same_place_in_both_versions_and_nothing_else_changes() -> None:
    base = load_base("digits", {}, seed=0, folder=None)
    data = certify_image(seed=0, n_rows=30, repeats=1)
    assert data.test_mask is not None
    assert (data.test_mask.reshape(60, -1).sum(axis=1) == 9).all()
    pairs = {p.need: p.inputs for p in data.pairs}
    outside = ~data.test_mask[:, None]
    absent, swapped = pairs["input_pair.absent"], pairs["input_pair.swapped"]
    assert (data.test_inputs[outside] == absent[outside]).all()
    assert (swapped[outside] == absent[outside]).all()
    assert {row.tobytes() for row in absent} == {row.tobytes() for row in base.test_inputs[:30]}
    places = data.test_mask.reshape(60, -1).argmax(axis=1)
    assert len(set(places.tolist())) > 8, "the place is drawn"


def test_repeats_draw_places_and_carriers_afresh() -> None:
    data = certify_image(seed=0, n_rows=10, repeats=2)
    n = len(data.train_inputs) // 2
    assert 0.4 < (data.train_inputs[:n] != data.train_inputs[n:]).any(axis=(1, 2, 3)).mean() < 0.85


def test_a_tint_has_no_smaller_unit() -> None:
    data = certify_image(seed=0, plant="tint", n_rows=10, repeats=1)
    assert data.test_mask is not None
    assert data.test_mask.all()


def test_a_square_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be planted"):
        image_plant(load_base("digits", {}, seed=0, folder=None), "patch", side=7, contrast=0.0)


@pytest.mark.parametrize(("shape", "axes"), [((32, 3), "NTC"), ((3, 32), "NCT"), ((32,), "")])
def test_a_bump_is_on_one_sensor_and_upwards_or_downwards(shape: tuple[int, ...], axes: str) -> None:
    rows = rng().normal(size=(40, *shape)).astype(np.float32)
    data = xb.Data("series", rows, np.arange(40) % 2, rows, np.arange(40) % 2, axes=axes)
    plant = bump_plant(data, steps=0, height=3.0, sensor=0)
    noise = rng().random((40, 1))
    mask = plant.mask(rows, noise)
    assert (mask.reshape(40, -1).sum(axis=1) == 3).all()
    up, down = (plant.put(rows, np.full(40, side), noise) for side in (1, -1))
    assert (up[~mask] == rows[~mask]).all()
    assert (up[mask] > rows[mask]).all()
    np.testing.assert_allclose(up + down, 2 * rows, atol=1e-5)
    sensor = mask if axes == "" else mask.any(axis=1) if axes == "NTC" else mask.any(axis=2)
    assert axes == "" or (sensor.sum(axis=1) == 1).all()
    with pytest.raises(UsageError, match="not among the"):
        bump_plant(data, steps=0, height=1.0, sensor=7)


def test_levels_and_seeds_share_test_rows_and_their_keys() -> None:
    twin, full = (certify_table(seed=s, level=level, n_rows=30) for s, level in ((0, 0.0), (5, 1.0)))
    assert (twin.test_inputs == full.test_inputs).all()
    assert (twin.test_rows == full.test_rows).all()
    assert len(row_digests(full.test_rows)) == len(set(row_digests(full.test_rows)))
    assert (twin.train_inputs != full.train_inputs).any()


def test_classes_can_be_named_and_are_the_most_frequent_ones_else() -> None:
    data = load_base("digits", {}, seed=0, folder=None)
    assert chosen_classes(data, ("7", "2")) == (7, 2)
    counts = np.bincount(data.train_targets)
    assert set(counts[list(chosen_classes(data, ()))]) == set(np.sort(counts)[-2:])
    with pytest.raises(UsageError, match="not two classes"):
        chosen_classes(data, ("7", "7"))


def test_other_kinds_of_data_are_refused() -> None:
    with pytest.raises(DataError, match="takes tables"):
        certify_table(seed=0, data="digits")
    with pytest.raises(DataError, match="takes images"):
        certify_image(seed=0, data="breast_cancer")
    with pytest.raises(UsageError, match="has a plant already"):
        certify_table(seed=0, data="certify_table")


def test_the_preference_of_a_class_is_the_difference_of_logits() -> None:
    logits = np.array([[1.0, 3.0, 0.0]])
    p = np.exp(logits) / np.exp(logits).sum()
    assert scores_of(logits, "logit", (1, 2)) == pytest.approx([3.0])
    assert scores_of(p, "probability", (1, 2)) == pytest.approx([3.0])
    assert np.isfinite(scores_of(np.array([[1.0, 0.0]]), "probability", (0, 1))).all()
