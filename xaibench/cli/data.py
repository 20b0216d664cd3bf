"""``xaibench data``: data sets that are fetched on demand."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from xaibench.cli.output import stderr, stdout
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.storage.paths import cache_folder
from xaibench.datasets.cards import card, card_names
from xaibench.datasets.fetch import fetch, fetchable, is_fetched
from xaibench.report.terminal import frame_table


def list_data() -> None:
    """Print every data set with its size, licence and whether it is there."""
    rows = []
    for found in map(card, card_names()):
        folder = cache_folder() / "datasets" / found.name
        where = "shipped" if found.files else "in a package" if not found.fetchable else "to be fetched"
        if found.fetchable and is_fetched(found, folder):
            where = f"fetched, {folder}"
        rows.append({"name": found.name, "rows": found.rows, "licence": found.licence, "where": where})
    stdout().print(frame_table(pd.DataFrame(rows)))


def fetch_data(names: Sequence[str]) -> None:
    """Fetch data sets by name; all names are checked first."""
    for name in names:
        if name in card_names() and name not in fetchable():
            raise UsageError(f"{name!r} does not have to be downloaded: it is shipped or comes with a package")
        if name not in fetchable():
            raise UsageError(f"there is no data set called {name!r}", did_you_mean(name, fetchable()))
    for name in names:
        stderr().print(f"fetching {name} from {card(name).origin.package} ...")  # type: ignore[union-attr]
        stdout().print(str(fetch(name, cache_folder())), markup=False, soft_wrap=True)
