"""Processor time of metrics in two checkouts: a worker process of each scores the same samples, turn by turn.

Run: python tests/bench/bench_versions.py OTHER_CHECKOUT [METRIC ...]; prints the time here over the time there.
Turns of a few milliseconds make the ratio hold on a machine whose speed drifts; pin both with `taskset -c 0`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

METRICS = ["pixel_flipping", "infidelity", "faithfulness_correlation", "sufficiency", "max_sensitivity", "road_morf"]
TURNS = 7
SECONDS_PER_TURN = 0.3


def serve() -> None:
    """Answer 'CASE METRIC TIMES' on standard input with the processor seconds of that many scorings."""
    import time
    from dataclasses import replace

    import torch
    from bench_models import cnn, mlp

    sys.path.insert(0, "tests")
    from helpers.builders import make_evaluation, make_view

    from xaibench.core.components import MetricSpec
    from xaibench.core.registry import get
    from xaibench.core.scoring import score
    from xaibench.core.storage.cache import MemoryCache, SharedCache

    torch.set_num_threads(1)
    evaluations = {}
    for case, module, shape, n in (("cnn", cnn(), (1, 28, 28), 64), ("mlp", mlp(30, 64, 2), (30,), 256)):
        torch.manual_seed(0)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        evaluations[case] = make_evaluation(
            make_view(module, torch.randn(n, *shape), background=torch.randn(64, *shape))
        )
    for line in sys.stdin:
        case, name, times = line.split()
        spec = get("metric", name)
        assert isinstance(spec, MetricSpec)
        started = time.process_time()
        for _ in range(int(times)):
            empty = replace(evaluations[case], cache=MemoryCache(), shared=SharedCache())
            score(spec, spec.bind({}), empty)
        print(time.process_time() - started, flush=True)


class Worker:
    """A process that scores with the package of one checkout."""

    def __init__(self, checkout: Path) -> None:
        paths = os.pathsep.join(str(checkout / part) for part in ("", "tests/bench", "tests"))
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"},
        )

    def seconds(self, case: str, metric: str, times: int) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(case, metric, times, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def main() -> None:
    here, other = Worker(Path(__file__).resolve().parents[2]), Worker(Path(sys.argv[1]).resolve())
    for case in ("cnn", "mlp"):
        for metric in sys.argv[2:] or METRICS:
            for worker in (here, other):
                worker.seconds(case, metric, 2)
            times = max(1, round(SECONDS_PER_TURN / max(other.seconds(case, metric, 1), 1e-4)))
            # A turn changes between the two after every scoring, so that both meet the same moments.
            totals = []
            for _ in range(TURNS):
                pairs = [(here.seconds(case, metric, 1), other.seconds(case, metric, 1)) for _ in range(times)]
                totals.append((sum(a for a, _ in pairs), sum(b for _, b in pairs)))
            ratios = [a / b for a, b in totals]
            ms = statistics.median(b for _, b in totals) / times * 1e3
            print(
                f"{case} {metric:26s} {statistics.median(ratios):5.3f} (of {TURNS}: {min(ratios):.3f} to"
                f" {max(ratios):.3f}), the other {ms:.2f} ms",
                flush=True,
            )


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
