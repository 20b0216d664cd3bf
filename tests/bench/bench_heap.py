"""Time of model evaluations with the C library's default and with a heap that is kept, each in a process of its own.

Run: python tests/bench/bench_heap.py
"""

from __future__ import annotations

import subprocess
import sys
import time

import torch
from bench_models import cnn, mlp, resnet

from xaibench.core.predictor import TorchPredictor
from xaibench.execution.malloc import keep_heap

CASES = {
    "cnn 28x28": (cnn(), (2000, 1, 28, 28)),
    "resnet 28x28": (resnet(), (300, 3, 28, 28)),
    "mlp, 30 columns": (mlp(30, 64, 2), (60000, 30)),
}


def main() -> None:
    torch.set_num_threads(1)
    kept = "--keep" in sys.argv and keep_heap()
    for name, (module, shape) in CASES.items():
        model, inputs, found = TorchPredictor(module), torch.rand(shape), []
        for _ in range(9):
            start = time.process_time()
            model.predict(inputs)
            found.append(time.process_time() - start)
        print(f"  {name:18s} {'kept heap' if kept else 'default':10s} {1e3 * min(found[1:]):8.1f} ms")


if __name__ == "__main__":
    if "--alone" in sys.argv:
        main()
    else:
        for _turn in range(2):
            for extra in ([], ["--keep"]):
                subprocess.run([sys.executable, __file__, "--alone", *extra], check=True)
