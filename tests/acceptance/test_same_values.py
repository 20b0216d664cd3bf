"""One suite by every executor: what is stored is equal, scores bit by bit.

pytest tests/acceptance/test_same_values.py -s
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.cluster_runs import MIXED, assert_same, frame, run

from xaibench.store import Store
from xaibench.store.merging import merge

LINES = pytest.mark.filterwarnings("default::ResourceWarning", "default::pytest.PytestUnraisableExceptionWarning")


def pool(workers: int) -> Callable[[Path], Store]:
    return lambda folder: run(folder, "pool", workers=workers, **MIXED)[1]


def shards(folder: Path) -> Store:
    parts = [run(folder / f"part{i}", shard=f"{i}/2", **MIXED)[1] for i in (1, 2)]
    assert all(len(frame(part)) > 0 for part in parts)
    joined = Store(folder / "joined", create=True)
    merge(joined.files, [part.files for part in parts])
    return joined


def dask(folder: Path) -> Store:
    return run(folder, "dask", workers=2, settings={"units": "3"}, **MIXED)[1]


def slurm(folder: Path) -> Store:
    return run(folder, "slurm", settings={"cluster": "local", "units": "20"}, **MIXED)[1]


WAYS = {
    "pool of 1": pool(1),
    "pool of 2": pool(2),
    "two shards, merged": shards,
    "Dask, 2 workers": dask,
    "submitit": slurm,
}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return run(tmp_path_factory.mktemp("here"), **MIXED)[1]


@LINES
@pytest.mark.parametrize("way", list(WAYS))
def test_what_is_stored_does_not_depend_on_who_computes_it(way: str, tmp_path: Path, truth: Store) -> None:
    other = WAYS[way](tmp_path)
    assert_same(truth, other)
    rows = frame(other)
    scores = np.concatenate([np.asarray(s, np.float32) for s in rows["scores"]])
    print(f"\n{way}: {len(rows)} rows, {len(scores)} scores ({len(np.unique(scores))} different), all bits equal")
