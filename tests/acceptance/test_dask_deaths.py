"""Processes of a Dask cluster that die, again and again: every death costs the import of torch."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.cluster_runs import frame, run, statuses

pytest.importorskip("distributed", reason="the extra dask is not installed")
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning", "default::DeprecationWarning")


def test_a_worker_that_dies_costs_the_unit_that_ends_it(tmp_path: Path) -> None:
    """A cluster of processes, on a store that they do not see: what was finished elsewhere comes back."""
    import dask
    from distributed import LocalCluster

    own = {"distributed.scheduler.allowed-failures": 0, "distributed.deploy.lost-worker-timeout": "1 hour"}
    with (
        dask.config.set(own),
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit=None, dashboard_address=":0", silence_logs="CRITICAL"
        ) as cluster,
    ):
        outcome, store = run(
            tmp_path,
            "dask",
            store="memory://dask-unseen",
            settings={"scheduler": cluster.scheduler_address, "units": "3"},
            explainers=["gradient", "segfaults", "saliency"],
        )
    assert statuses(store) == {"gradient": {"ok"}, "segfaults": {"failed"}, "saliency": {"ok"}}
    assert outcome.statuses == {"ok": 4, "failed": 2}
    lost = frame(store).query("explainer == 'segfaults'")
    assert set(lost["error_kind"]) == {"WorkerDied"}
    assert lost["message"].str.contains("1 Dask workers ended with it").all()
    assert len(store.files.find("attributions")) == 2
