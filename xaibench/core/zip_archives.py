"""Zip archives from elsewhere: names and sizes are looked at before anything is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from xaibench.core.errors import DataError

MOST_RATIO = 20
"""What is inside may be this many times as large as the archive."""
SMALL = 2**28
"""Bytes up to which the ratio does not matter: masks of zeros are small when they are packed."""


def check_zip(path: Path) -> list[zipfile.ZipInfo]:
    """Members of a zip archive, which is an npz, a skops file or an exported program.

    Raises
    ------
    DataError
        If it is damaged, has members whose names lead out of a folder or are there twice, or would be far larger
        unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path.name} is not a zip archive, as it should be: {error}") from error
    for member in members:
        name = member.filename
        plain = PurePosixPath(name.replace("\\", "/"))
        if plain.is_absolute() or ".." in plain.parts or ":" in "".join(plain.parts[:1]) or not name:
            raise DataError(f"{path.name} has a member called {name!r}", "a name that leads elsewhere is refused")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise DataError(f"{path.name} has two members called {twice!r}")
    total = sum(member.file_size for member in members)
    if total > max(SMALL, MOST_RATIO * path.stat().st_size):
        raise DataError(
            f"{path.name} would be {total / 2**20:,.0f} MB when it is unpacked, "
            f"{total / max(path.stat().st_size, 1):,.0f} times its size",
            "store the arrays without compression, if it is yours",
        )
    return members
