"""Build the shipped facts about countries from the npm package countries-list, and write checksums into the card.

    python datasets/build_relations.py           # download, build, write
    python datasets/build_relations.py --check   # download, build, compare with what is shipped

Needs npm and a network connection. The download is verified against the card. ``facts.toml`` beside the table is
written by hand; its checksum is brought up to date too.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import re
import sys
from pathlib import Path

from xaibench.datasets.cards import card
from xaibench.datasets.fetch import download

HERE = Path(__file__).resolve().parent / "find_relations"
TERRITORIES = {
    "AC", "AI", "AQ", "AS", "AW", "AX", "BL", "BM", "BQ", "BV", "CC", "CK", "CW", "CX", "EH", "FK", "FO", "GF",
    "GG", "GI", "GL", "GP", "GS", "GU", "HK", "HM", "IM", "IO", "JE", "KY", "MF", "MO", "MP", "MQ", "MS", "NC",
    "NF", "NU", "PF", "PM", "PN", "PR", "RE", "SH", "SJ", "SX", "TA", "TC", "TF", "TK", "TW", "UM", "VA", "VG",
    "VI", "WF", "XK", "YT",
}  # fmt: skip
"""Territories, and countries that not all others recognise."""
UNCLEAR = {"BJ", "BO", "CI", "GQ", "ID", "IL", "KI", "LK", "MY", "NR", "PS", "SZ", "ZA"}
"""Countries whose capital is moved, disputed, not official, or more than one place."""
BETWEEN = {"AM", "AZ", "CY", "EG", "GE", "KZ", "RU", "TL", "TR"}
"""Countries between continents; none is named."""
NAMES = {"TR": "Turkey"}


def build(table: bytes) -> bytes:
    """Name, code, capital, continent, currency and dialling code; empty where there is not exactly one answer."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "code", "capital", "continent", "currency", "phone"])
    for row in csv.DictReader(io.StringIO(table.decode("utf-8"))):
        code = row["Code"]
        if code in TERRITORIES | UNCLEAR:
            continue
        continent = "" if code in BETWEEN else row["Continent"]
        one = ["" if "," in row[field] else row[field] for field in ("Currency", "Phone")]
        writer.writerow([NAMES.get(code, row["Name"]), code, row["Capital"], continent, *one])
    return out.getvalue().encode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    known = card("find_relations")
    (origin,) = known.origins
    contents = {
        "countries.csv": build(download(origin)["countries.csv"]),
        "facts.toml": (HERE / "facts.toml").read_bytes(),
    }
    different = 0
    for file, content in contents.items():
        sha256 = hashlib.sha256(content).hexdigest()
        same = sha256 == known.files[file]
        different += not same
        print(f"{file}: {len(content)} bytes, sha256 {sha256}, {'as' if same else 'not as'} on the card")
        if not check:
            (HERE / file).write_bytes(content)
            text = (HERE / "card.toml").read_text(encoding="utf-8")
            text = re.sub(rf'("{re.escape(file)}" = )"\w*"', rf'\1"{sha256}"', text)
            (HERE / "card.toml").write_text(text, encoding="utf-8")
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.exit(main())
