"""``xaibench merge``: join stores."""

from __future__ import annotations

from collections.abc import Sequence

from xaibench.api.advising import advice_on
from xaibench.api.reading import write_leaderboard
from xaibench.cli.output import stdout
from xaibench.core.storage.paths import Location
from xaibench.report.standings import first_screen
from xaibench.store import Store


def merge_stores(dest: Location, sources: Sequence[Location]) -> int:
    """Merge, print what came and the leaderboards; returns the exit code."""
    opened = [Store(source) for source in sources]
    store = Store(dest, create=True)
    brought = store.merge(*opened)
    out = stdout()
    out.print(
        f"{dest}: {brought.runs} runs, {brought.rows} rows, {brought.attributions} explanations "
        f"and {brought.answers} answers came from {len(sources)} store{'' if len(sources) == 1 else 's'}",
        soft_wrap=True,
    )
    if store.manifests():
        for name, part in write_leaderboard(store.path).groupby("suite", sort=False):
            out.print(f"suite {name}", style="bold")
            out.print(first_screen(part, advice_on(store.path, part)))
        for line in store.coverage():
            out.print(line, soft_wrap=True)
    return 0
