"""Fetching with clients that are no more than they seem: shell scripts and local folders, no network."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from xaibench.core.errors import DataError
from xaibench.core.registry import get
from xaibench.datasets import cards, fetch
from xaibench.datasets.images import read_idx

CARD = """
name = "{name}"
description = "d"
source = "s"
url = "u"
licence = "l"
citation = "c"
rows = 1
columns = 1

[origin]
client = "{client}"
package = "{package}"

[origin.members]
"{member}" = "{sha256}"
"""
CONTENT = b"some rows"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of cards of our own, and caches of our own."""
    monkeypatch.setattr(cards, "shipped", lambda kind: tmp_path / kind)
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write_card(shelf: Path, client: str, package: str, member: str, content: bytes = CONTENT) -> None:
    folder = shelf / "datasets" / "toy"
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = hashlib.sha256(content).hexdigest()
    text = CARD.format(name="toy", client=client, package=package, member=member, sha256=sha256)
    (folder / "card.toml").write_text(text)


def tgz(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def fake_npm(shelf: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder = shelf / "bin"
    folder.mkdir(exist_ok=True)
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\necho called >> {shelf}/calls\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_npm_packages_are_unpacked_verified_and_kept(shelf: Path, monkeypatch: pytest.MonkeyPatch):
    write_card(shelf, "npm", "toy@1.0.0", "package/data/rows.bin")
    tgz(shelf / "toy-1.0.0.tgz", {"package/data/rows.bin": CONTENT, "package/index.js": b"boom"})
    fake_npm(shelf, monkeypatch, f'[ "$1 $2 $3" = "pack --ignore-scripts toy@1.0.0" ] && cp {shelf}/toy-1.0.0.tgz .')
    folder = fetch.fetch("toy", shelf / "cache")
    assert [p.name for p in folder.iterdir()] == ["rows.bin"]
    assert fetch.read_fetched("toy", "rows.bin") == CONTENT
    fetch.fetch("toy", shelf / "cache")
    assert (shelf / "calls").read_text().count("called") == 1, "what is there is not downloaded again"
    (folder / "rows.bin").write_bytes(b"damaged")
    with pytest.raises(DataError, match="is damaged") as caught:
        fetch.read_fetched("toy", "rows.bin")
    assert "data fetch toy" in (caught.value.hint or "")
    fetch.fetch("toy", shelf / "cache")
    assert fetch.read_fetched("toy", "rows.bin") == CONTENT


@pytest.mark.slow
def test_pip_packages_come_from_wheels(shelf: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pip")
    write_card(shelf, "pip", "toy==1.0", "toy/rows.bin")
    links = shelf / "links"
    links.mkdir()
    with zipfile.ZipFile(links / "toy-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy/rows.bin", CONTENT)
        wheel.writestr("toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        wheel.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("toy-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    assert (fetch.fetch("toy", shelf / "cache") / "rows.bin").read_bytes() == CONTENT
    shutil.rmtree(links)
    shutil.rmtree(shelf / "cache")
    with pytest.raises(DataError, match=r"pip could not bring toy==1\.0: ERROR") as caught:
        fetch.fetch("toy", shelf / "cache")
    assert "network" in (caught.value.hint or "")
    assert not (shelf / "cache").exists()


def test_a_package_with_other_content_is_refused(shelf: Path, monkeypatch: pytest.MonkeyPatch):
    write_card(shelf, "npm", "toy@1.0.0", "package/rows.bin")
    fake_npm(shelf, monkeypatch, f"cp {shelf}/toy-1.0.0.tgz .")
    for members, reason in (
        ({"package/rows.bin": b"other"}, "is damaged"),
        ({"package/else.bin": CONTENT}, "not the expected package"),
    ):
        tgz(shelf / "toy-1.0.0.tgz", members)
        with pytest.raises(DataError, match=reason):
            fetch.fetch("toy", shelf / "cache")
    (shelf / "toy-1.0.0.tgz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="not the expected package"):
        fetch.fetch("toy", shelf / "cache")
    assert not (shelf / "cache").exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'npm error network getaddrinfo ENOTFOUND' >&2; exit 1", "npm error network getaddrinfo ENOTFOUND"),
        ("exit 1", "no reason given"),
        ("exit 0", "left 0 archives"),
    ],
)
def test_a_client_that_fails_is_one_clear_error(shelf: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str):
    write_card(shelf, "npm", "toy@1.0.0", "package/rows.bin")
    fake_npm(shelf, monkeypatch, script)
    with pytest.raises(DataError, match=reason):
        fetch.fetch("toy", shelf / "cache")


def test_a_missing_client_and_an_unknown_name_are_clear_errors(shelf: Path, monkeypatch: pytest.MonkeyPatch):
    write_card(shelf, "npm", "toy@1.0.0", "package/rows.bin")
    monkeypatch.setenv("PATH", str(shelf / "nothing"))
    with pytest.raises(DataError, match="npm is needed"):
        fetch.fetch("toy", shelf / "cache")
    with pytest.raises(DataError, match="'toys' is not among") as caught:
        fetch.fetch("toys", shelf / "cache")
    assert "'toy'" in (caught.value.hint or "")


def test_a_download_that_hangs_is_ended(shelf: Path, monkeypatch: pytest.MonkeyPatch):
    write_card(shelf, "npm", "toy@1.0.0", "package/rows.bin")
    fake_npm(shelf, monkeypatch, "exec sleep 20")
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    with pytest.raises(DataError, match=r"within 0\.2 s"):
        fetch.fetch("toy", shelf / "cache")


@pytest.mark.parametrize("name", ["mnist_full", "adult"])
def test_data_that_is_not_fetched_says_how(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="not in the cache") as caught:
        get("dataset", name).function(seed=0)
    assert caught.value.hint == f"run `xaibench data fetch {name}`"


def test_idx_files_are_decoded():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = b"\0\0\x08\x03" + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    assert (read_idx(content) == array).all()
    with pytest.raises(DataError, match="not an IDX file"):
        read_idx(b"\0\0\x0d\x01")


def test_source_distributions_are_verified_by_pip_before_anything_of_them_runs(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
):
    member = "toy-1.0/data/rows.bin"
    write_card(shelf, "pip", "toy==1.0", member)
    path = shelf / "datasets" / "toy" / "card.toml"
    path.write_text(path.read_text().replace("[origin.members]", f'sdist = "{"ab" * 32}"\n\n[origin.members]'))
    calls: list[list[str]] = []

    def run(command: list[str], folder: Path, origin: cards.Origin) -> None:
        calls.append(command)
        assert (folder / "requirements.txt").read_text() == f"toy==1.0 --hash=sha256:{'ab' * 32}\n"
        tgz(folder / "toy-1.0.tar.gz", {member: CONTENT, "toy-1.0/setup.py": b"boom"})

    monkeypatch.setattr(fetch, "_run", run)
    fetch.fetch("toy", shelf / "cache")
    assert fetch.read_fetched("toy", "rows.bin") == CONTENT
    ((*_, binary, name, hashes, flag, file),) = calls
    assert (binary, name, hashes, flag, file) == (
        "--no-binary",
        "toy",
        "--require-hashes",
        "--requirement",
        "requirements.txt",
    )
