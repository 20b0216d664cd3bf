"""Runs on clusters, for the tests of every executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.store_rows import COSTS
from xaibench import suite as suites
from xaibench.core import registry
from xaibench.execution import Observer, Options, Outcome, execute
from xaibench.plan import Shard, make_plan
from xaibench.plan.history import History
from xaibench.store import Store

PLUGINS = tuple(str(Path(__file__).parents[1] / "plugins" / f"{name}.py") for name in ("tiny", "faulty", "programs"))
TIMES = [*COSTS, "created", "run", "n_evaluations", "explain_cached"]
"""Columns that say when a row was made and what was there already: evaluations are shared with whoever was first."""


MIXED: dict[str, Any] = {
    "seeds": [0, 1],
    "controls": True,
    "problems": [
        {"dataset": "tiny", "models": ["exact", "mlp", "gradient_boosting"]},
        {"functions": "tiny_lines", "samples": 2},
    ],
    "explainers": [
        "gradient",
        {"name": "smoothgrad", "params": {"n_samples": 4}},
        {"name": "kernel_shap", "params": {"n_samples": 32}},
    ],
    "interpreters": ["two_points"],
    "metrics": ["sparseness", "pixel_flipping", "infidelity", "max_sensitivity", "tiny_fit"],
}
"""Models of torch and of scikit-learn, trained and not, functions, and explainers and metrics that draw."""


def load() -> None:
    for plugin in PLUGINS:
        registry.load_module(plugin)


def document(**fields: Any) -> dict[str, Any]:
    return {
        "name": "tiny",
        "samples": 8,
        "background": 8,
        "random_draws": 2,
        "controls": False,
        "problems": [{"dataset": "tiny", "models": ["exact"]}],
        "explainers": ["gradient", "weights_times_input", "saliency"],
        "metrics": ["sparseness", "own_metric"],
        **fields,
    }


def run(
    folder: Path,
    executor: str | None = None,
    observer: Observer | None = None,
    *,
    store: str | None = None,
    shard: str | None = None,
    **fields: Any,
) -> tuple[Outcome, Store]:
    """Run a small suite with an executor; ``settings`` and fields of `Options` are taken out of the fields."""
    load()
    names = ("settings", "workers", "timeout", "memory", "retry", "plugins", "max_failures")
    options = {name: fields.pop(name) for name in names if name in fields}
    opened = Store(store or folder / "store", create=True)
    plan = make_plan(
        suites.parse(document(**fields)),
        history=History.of(opened),
        shard=None if shard is None else Shard.parse(shard),
    )
    chosen = Options(folder / "cache", executor=executor, **{"plugins": PLUGINS, **options})
    return execute(plan, opened, chosen, observer), opened


def frame(store: Store) -> pd.DataFrame:
    return store.read().to_pandas().sort_values("cell_id").reset_index(drop=True)


def statuses(store: Store) -> dict[str, set[str]]:
    """Statuses by explainer."""
    return frame(store).groupby("explainer")["status"].agg(set).to_dict()


def assert_same(one: Store, other: Store) -> None:
    """Everything that is stored is equal but for `TIMES`, scores bit by bit."""
    a, b = frame(one), frame(other)
    pd.testing.assert_frame_equal(a.drop(columns=[*TIMES, "scores"]), b.drop(columns=[*TIMES, "scores"]))
    for x, y in zip(a["scores"], b["scores"], strict=True):
        assert np.asarray(x, np.float32).tobytes() == np.asarray(y, np.float32).tobytes()
