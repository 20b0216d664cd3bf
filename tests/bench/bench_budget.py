"""Which activation budget comes closest to the best batch size of every model? Calibrates CPU_BUDGET.

Run: python tests/bench/bench_budget.py
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from bench_models import cnn, medians, mlp, resnet

from xaibench.core.predictor import TorchPredictor, activation_bytes

CASES = {
    "cnn 8x8": (cnn(8), (1, 8, 8), 4096),
    "cnn 28x28": (cnn(28), (1, 28, 28), 1024),
    "resnet 28x28": (resnet(1), (1, 28, 28), 256),
    "resnet 64x64": (resnet(3), (3, 64, 64), 64),
    "mlp, 30 columns": (mlp(30, 64, 2), (30,), 32768),
    "mlp 28x28": (mlp(784, 256, 10), (1, 28, 28), 8192),
}


def main() -> None:
    torch.set_num_threads(1)
    for name, (module, shape, n) in CASES.items():
        inputs = torch.randn(n, *shape)
        per_sample = activation_bytes(module, inputs[:1])
        sizes = [2**k for k in range(2, 14) if 2**k <= n]
        tasks = {str(b): partial(TorchPredictor(module, batch_size=b).predict, inputs) for b in sizes}
        found = medians(tasks, repeats=5)
        best = min(found.values())
        print(f"{name}: {per_sample} bytes/sample, best {best / n * 1e6:.2f} us/sample")
        print("  batch    " + "  ".join(f"{b}:{s / best:.2f}" for b, s in found.items()))
        cells = []
        for mib in (4, 8, 16, 21, 32, 48, 64):
            size = int(2 ** np.clip(np.floor(np.log2(max(mib * 2**20 / per_sample, 1))), 0, 13))
            cells.append(f"{mib}:{found[str(size)] / best:.2f}" if str(size) in found else f"{mib}:-")
        print("  MiB      " + "  ".join(cells))


if __name__ == "__main__":
    main()
