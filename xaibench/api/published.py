"""Published results: boards, claims, advice and audits in ``results/``, read without running anything."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xaibench import suite as suites
from xaibench._version import __version__
from xaibench.analysis.claims.claims_index import index_claims
from xaibench.analysis.leaderboard.columns import LEADERBOARD_COLUMNS
from xaibench.api.reading import claims
from xaibench.core.errors import StoreError, UsageError
from xaibench.core.keys import canonical_json
from xaibench.core.storage.paths import local_path, shipped
from xaibench.plan import expand
from xaibench.suite import Claim, Suite

CARD, BOARD, CLAIMS, ADVICE, COST, AUDIT = (
    "card.toml",
    "leaderboard.parquet",
    "claims.parquet",
    "advice.parquet",
    "cost.parquet",
    "audit.parquet",
)


@dataclass(frozen=True)
class Published:
    """The results of one suite that were published.

    Attributes
    ----------
    folder : Path
        It has the suite's name.
    card : dict
        How they were made: see `xaibench.api.publishing`.
    """

    folder: Path
    card: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the suite."""
        return self.folder.name

    def table(self, file: str) -> pd.DataFrame | None:
        """One of the tables, or None if there is none of this name."""
        path = self.folder / file
        try:
            return pd.read_parquet(path) if path.is_file() else None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {error}", "publish the suite again") from error

    @cached_property
    def board(self) -> pd.DataFrame:
        """The leaderboard."""
        found = self.table(BOARD)
        if found is None:
            raise StoreError(f"{self.folder} holds no {BOARD}", "publish the suite again")
        return found


def published(folder: str | Path | None = None) -> list[Published]:
    """Everything that was published in a folder, by the names of the suites.

    Parameters
    ----------
    folder : path, optional
        Default: ``results`` of the checkout.

    Raises
    ------
    UsageError
        If there is no such folder.
    StoreError
        If a card cannot be read.
    """
    where = shipped("results") if folder is None else local_path(folder)
    if folder is not None and not where.is_dir():
        raise UsageError(f"there is no folder {where}", "name the one that holds published results, such as results")
    return [Published(path.parent, _card(path)) for path in sorted(where.glob(f"*/{CARD}"))]


def _card(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}", "publish the suite again") from error


def claims_index(source: str | Path | None = None, *, suite: str | None = None) -> pd.DataFrame:
    """Every claim of every shipped suite, with its verdict where there are results, and what would change it.

    Parameters
    ----------
    source : path, optional
        A store, whose verdicts are taken, or a folder of published results. Default: the published ones.
    suite : str, optional
        Only the claims of this suite's file.

    Returns
    -------
    DataFrame
        One row per claim, with the columns of the data dictionary; the verdict is *not run here* without results.

    Raises
    ------
    UsageError
        If there is no such suite or folder.
    StoreError
        If the results cannot be read.

    Examples
    --------
    >>> import xaibench as xb
    >>> index = xb.claims_index(suite="white_box")
    >>> index.loc[0, ["papers", "statement"]].isna().tolist()
    [True, False]
    >>> int(index["papers"].str.contains("Enguehard 2023", na=False).sum())
    10
    """
    verdicts = _verdicts(source)
    made = suites.shipped_claims()
    if suite is not None:
        suites.find(suite)
        made = {suite: made.get(suite, [])}
    index = index_claims({name: found for name, found in made.items() if found}, verdicts)
    if verdicts is not None and "digest" in verdicts:
        tested = dict(verdicts[["id", "digest"]].itertuples(index=False, name=None))
        now = {claim.id: claim_digest(claim) for found in made.values() for claim in found}
        old = [id in tested and tested[id] != now[id] for id in index["id"]]
        index.loc[np.array(old, dtype=bool) & (index["state"] == "current"), "state"] = "outdated"
    return index


def _verdicts(source: str | Path | None) -> pd.DataFrame | None:
    if source is not None and (local_path(source) / "store.json").is_file():
        return claims(source)
    frames = [
        found.assign(digest=found["id"].map(one.card.get("claims", {})))
        for one in published(source)
        if (found := one.table(CLAIMS)) is not None and len(found)
    ]
    return pd.concat(frames, ignore_index=True) if frames else None


def cells_digest(suite: Suite, ids: Iterable[str] | None = None) -> str:
    """Digest of the ids of all cells of a suite: names, parameters, seeds, samples and versions of components.

    Parameters
    ----------
    suite : Suite
    ids : iterable of str, optional
        Ids that a run planned, instead of those that the suite has now.
    """
    found = (cell.cell_id for unit in expand(suite) for cell in unit.cells) if ids is None else ids
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()[:16]


def claim_digest(claim: Claim) -> str:
    """Digest of what a claim tests; source and statement are not part of it."""
    tested = claim.model_dump(exclude={"source", "statement"})
    return hashlib.sha256(canonical_json(tested).encode()).hexdigest()[:16]


def claim_digests(suite: Suite) -> dict[str, str]:
    """Digests of the claims of a suite and of its parts, by id."""
    return {claim.id: claim_digest(claim) for claim in suite.all_claims()}


def with_training_seeds(suite: Suite, n: int | None) -> Suite:
    """The suite with at least this many training seeds in every matrix: its own, then the numbers that follow.

    Raises
    ------
    UsageError
        If the number is not positive.
    """
    if n is None:
        return suite
    if n < 1:
        raise UsageError(f"{n} training seeds are too few", "ask for at least one")
    following = range(max(suite.problem_seeds) + 1, max(suite.problem_seeds) + 1 + n - len(suite.problem_seeds))
    parts = [with_training_seeds(part, n) for part in suite.parts]
    return suite.model_copy(update={"problem_seeds": [*suite.problem_seeds, *following], "parts": parts})


def stale_reasons(one: Published) -> list[str]:
    """Why published results are older than the code, in a few words each; empty where they are not."""
    if one.name not in suites.available():
        return ["there is no suite of this name any more"]
    suite = with_training_seeds(suites.load(one.name), one.card.get("training_seeds"))
    reasons = []
    if one.card.get("version") != __version__:
        reasons.append(f"made by version {one.card.get('version')}")
    if one.card.get("cells") != cells_digest(suite):
        reasons.append("its cells are others now")
    if one.card.get("claims") != claim_digests(suite):
        reasons.append("its claims are others now")
    if list(one.board.columns) != list(LEADERBOARD_COLUMNS):
        reasons.append("its board lacks columns of today")
    return reasons
