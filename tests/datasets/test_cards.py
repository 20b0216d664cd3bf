"""Cards, and the checksums that stand between a damaged file and a wrong result."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from xaibench.core.errors import DataError
from xaibench.core.registry import get
from xaibench.core.storage import paths
from xaibench.datasets import cards

SHIPPED = [(name, file) for name in cards.card_names() for file in cards.card(name).files]

READ_BY = {
    "bam": ("dataset", "bam_object"),
    "find_relations": ("functions", "find_relation"),
    "find_words": ("functions", "find_neuron"),
}
"""Components that read the files of a card that is no data set of its own."""


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped data that a test may damage."""
    folder = tmp_path / "datasets"
    shutil.copytree(paths.shipped("datasets"), folder)
    monkeypatch.setattr(cards, "shipped", lambda kind: tmp_path / kind)
    return folder


@pytest.mark.parametrize(("name", "file"), SHIPPED)
def test_one_flipped_bit_is_one_clear_error(copy: Path, name: str, file: str):
    path = copy / name / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{file} is damaged") as caught:
        get(*READ_BY.get(name, ("dataset", name))).function(seed=0)
    assert caught.value.hint


@pytest.mark.parametrize(("name", "file"), SHIPPED)
def test_a_missing_file_is_one_clear_error(copy: Path, name: str, file: str):
    (copy / name / file).unlink()
    with pytest.raises(DataError, match=f"cannot read .*{file}") as caught:
        get(*READ_BY.get(name, ("dataset", name))).function(seed=0)
    assert caught.value.hint


def test_a_wrong_checksum_on_the_card_is_found(copy: Path):
    path = copy / "digits" / "card.toml"
    path.write_text(path.read_text().replace('images = "8f', 'images = "9f'))
    with pytest.raises(DataError, match="images of 'digits' is damaged"):
        get("dataset", "digits").function(seed=0)


def test_a_missing_or_broken_card_is_one_clear_error(copy: Path):
    (copy / "mnist" / "card.toml").write_text("name = ")
    with pytest.raises(DataError, match="is not a card"):
        get("dataset", "mnist").function(seed=0)
    (copy / "mnist" / "card.toml").write_text('name = "mnist"\nunheard = 1')
    with pytest.raises(DataError, match="is not a card"):
        cards.card("mnist")
    with pytest.raises(DataError, match="no card for 'minst'") as caught:
        cards.card("minst")
    assert "'mnist" in (caught.value.hint or "")


def test_a_file_that_the_card_does_not_list_is_not_read(copy: Path):
    (copy / "mnist" / "other.npz").write_bytes(b"")
    with pytest.raises(DataError, match="lists no file"):
        cards.read_shipped("mnist", "other.npz")


def test_shipped_data_is_small():
    files = [p for p in paths.shipped("datasets").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    assert sum(p.stat().st_size for p in files) < 3 * 2**20
