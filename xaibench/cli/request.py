"""Options of ``xaibench run`` and ``xaibench plan`` as one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from xaibench.core.storage.paths import Location, default_store
from xaibench.plan import Rerun, Selection, Shard


@dataclass(frozen=True)
class Request:
    """What ``run`` and ``plan`` have in common."""

    suite: str
    store: Location | None
    seed: int
    only: Sequence[str] | None
    skip: Sequence[str] | None
    limit: int | None
    rerun: str | None
    plugins: Sequence[str] | None
    device: str
    shard: str | None = None

    @property
    def store_path(self) -> Location:
        return self.store or default_store()

    @property
    def selection(self) -> Selection:
        return Selection(tuple(self.only or ()), tuple(self.skip or ()), self.limit)

    @property
    def which(self) -> Rerun | None:
        """Which cells are run again."""
        return cast(Rerun | None, self.rerun)

    @property
    def part(self) -> Shard | None:
        """The part of the suite that is run.

        Raises
        ------
        UsageError
            If it is not of the form ``I/N``.
        """
        return None if self.shard is None else Shard.parse(self.shard)
