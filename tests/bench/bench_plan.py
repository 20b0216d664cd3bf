"""Plan a million cells, plan against a hundred thousand finished ones, and compact over a long life.

Run: ``python tests/bench/bench_plan.py [CELLS]``. Prints seconds and the peak of memory; every part
in a process of its own, so that one's memory is not counted for another.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from xaibench import suite as suites
from xaibench.plan import expand, make_plan, planned_tables
from xaibench.plan.history import History
from xaibench.store import Store, generations
from xaibench.store.schema import SCHEMA
from xaibench.store.tables import sealed, to_bytes


def million(cells: int) -> suites.Suite:
    """A suite of about so many cells: digits, three models, draw seeds without end."""
    document: dict[str, Any] = {
        "name": "million",
        "controls": False,
        "random_draws": 1,
        "problems": [{"dataset": "digits", "models": ["logistic_regression", "mlp"]}],
        "explainers": [{"name": "gradient"}, {"name": "input_x_gradient"}, {"name": "integrated_gradients"},
                       {"name": "smoothgrad", "grid": {"n_samples": [4, 8, 16, 32]}}],
        "metrics": [{"name": "sparseness"}, {"name": "complexity"},
                    {"name": "pixel_flipping", "grid": {"steps": [4, 8, 16], "masker": ["zero", "mean", "uniform"]}},
                    {"name": "infidelity", "grid": {"n_samples": [8, 16, 32]}}],
        "seeds": [0],
        "problem_seeds": list(range(10)),
    }  # fmt: skip
    per_seed = sum(len(u.cells) for u in expand(suites.parse(document)))
    document["seeds"] = list(range(-(-cells // per_seed)))
    return suites.parse(document)


def fingerprint(problem: Any) -> str:
    return f"fingerprint of {problem.key}"


def finished(suite: suites.Suite, cells: int, folder: Path) -> Store:
    """A store in which the first cells of a suite have results with 64 scores each."""
    store = Store(folder, create=True)
    known: list[pa.Table] = []
    count = 0
    for unit in expand(suite):
        (table,) = planned_tables([unit])
        n = len(table)
        new = {
            "status": ["ok"] * n,
            "run": [1] * n,
            "score_key": [unit.score_key(fingerprint(unit.problem), c) for c in unit.cells],
            "explain_seconds": [0.1] * n,
            "score_seconds": [0.2] * n,
            "scores": [[0.5] * 64] * n,
            "sample_ids": [[f"{i:016x}" for i in range(64)]] * n,
            "n": [64] * n,
        }
        for name, values in new.items():
            index = SCHEMA.get_field_index(name)
            table = table.set_column(index, SCHEMA.field(index), pa.array(values, SCHEMA.field(index).type))
        known.append(table)
        count += n
        if count >= cells:
            break
    content = to_bytes(pa.concat_tables(known))
    store.files.write(sealed("compact/generation-000001", content), content)
    return store


class Watch:
    """Seconds by the wall and by the processor, from when it is made."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def report(self, what: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        wall, processor = time.perf_counter() - self.wall, time.process_time() - self.processor
        print(f"{what}: {wall:.1f} s ({processor:.1f} s of the processor), peak {peak:.0f} MiB", flush=True)


def plan_large(cells: int) -> None:
    suite = million(cells)
    Watch().report("imports and suite")
    watch = Watch()
    plan = make_plan(suite, fingerprint=fingerprint)
    watch.report(f"planned {plan.states.total()} cells in {len(plan.units)} units")
    watch = Watch()
    count = sum(len(u.cells) for _, units in plan.by_problem() for u in units)
    watch.report(f"went through {count} cells problem by problem")
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store", create=True)
        store.claim_run(plan.facts(), planned_tables(plan.every_unit()))
        size = sum(store.files.find("runs").values()) / 2**20
    watch.report(f"claimed a run, its list of cells takes {size:.0f} MiB")


def fill(cells: int, folder: str) -> None:
    finished(million(cells), cells, Path(folder))


def plan_against(cells: int) -> None:
    suite = million(cells)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "fill", str(cells), f"{folder}/store"], check=True)
        watch = Watch()
        history = History.of(Store(Path(folder) / "store"))
        watch.report("read the history")
        plan = make_plan(suite, history=history, fingerprint=fingerprint)
        watch.report(f"history and plan of {plan.states.total()} cells: {dict(plan.states)}")


def compact_life(runs: int) -> None:
    """Bytes written by compaction over many small runs, beside merging everything each time."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store", create=True)
        written = everything = 0
        watch = Watch()
        (unit, *_) = expand(million(1))
        (row,) = (t.slice(0, 1) for t in planned_tables([unit]))
        for run in range(runs):
            names = [f"{run}-{i}" for i in range(50)]
            table = pa.concat_tables([row] * 50).set_column(0, SCHEMA.field(0), pa.array(names))
            content = to_bytes(table)
            store.files.write(sealed(f"parts/life-{run:06d}", content), content)
            before = generations.generation_files(store.files)
            store.compact()
            after = generations.generation_files(store.files)
            written += sum(size for name, size in after.items() if name not in before)
            everything += sum(after.values())
        watch.report(
            f"{runs} runs: {written / 2**20:.1f} MiB written by compaction, {everything / 2**20:.1f} MiB if each "
            f"merged everything; {len(after)} generations remain"
        )


PARTS = {"large": plan_large, "against": plan_against, "life": compact_life}

if __name__ == "__main__":
    if sys.argv[1:2] == ["fill"]:
        fill(int(sys.argv[2]), sys.argv[3])
    elif sys.argv[1:2] and sys.argv[1] in PARTS:
        PARTS[sys.argv[1]](int(sys.argv[2]))
    else:
        cells = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
        for part, number in (("large", cells), ("against", cells // 10), ("life", 200)):
            subprocess.run([sys.executable, __file__, part, str(number)], check=True)
