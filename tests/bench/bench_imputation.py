"""Cost and error of ROAD's imputation, next to the evaluations of a small CNN on the imputed images.

Times are the least of several turns, in CPU seconds of one thread, so that a busy machine says little.
Errors are the largest difference from a double-precision sparse solver, for some of the samples.

Run: python tests/bench/bench_imputation.py [N]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from bench_models import cnn
from scipy.ndimage import gaussian_filter, zoom
from sklearn.datasets import load_digits
from torch import Tensor

sys.path.insert(0, "tests")
from helpers.builders import linear, make_view
from helpers.exact_imputation import exact

from xaibench.core.masking.imputation import linear_imputation

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
REPEATS = 7
N_EXACT = 3


def digits(n: int, side: int) -> Tensor:
    """Enlarged digits in [0, 1]."""
    images = [np.clip(zoom(image / 16, side / 8, order=1), 0, 1) for image in load_digits().images[:n]]
    return torch.tensor(np.stack(images), dtype=torch.float32).unsqueeze(1)


def maps(kind: str, x: Tensor) -> Tensor:
    """Attributions (N, H, W), of which the largest are removed first."""
    n, _, height, width = x.shape
    noise = np.random.default_rng(0).standard_normal((n, height, width))
    centre = np.maximum(*np.abs(np.indices((height, width)) - (height - 1) / 2))
    if kind == "gradient":
        torch.manual_seed(0)
        leaf = x.clone().requires_grad_(True)
        cnn(height)(leaf)[:, 0].sum().backward()
        assert leaf.grad is not None
        return leaf.grad[:, 0]
    return {
        "random": torch.from_numpy(noise),
        "smooth": torch.from_numpy(gaussian_filter(noise, (0, 3, 3))),
        "block": torch.from_numpy(-centre + 1e-3 * noise),
        "frame": torch.from_numpy(centre + 1e-3 * noise),
    }[kind]


def removed(scores: Tensor) -> Tensor:
    """Kept pixels (N, len(SHARES), H, W)."""
    rank = scores.flatten(1).argsort(dim=1, descending=True).argsort(dim=1).view(scores.shape)
    counts = torch.tensor([round(share * scores[0].numel()) for share in SHARES])
    return rank.unsqueeze(1) >= counts.view(-1, 1, 1)


def least(tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Least CPU seconds per task over turns."""
    seconds = {name: float("inf") for name in tasks}
    for _ in range(REPEATS):
        for name, task in tasks.items():
            start = time.thread_time()
            task()
            seconds[name] = min(seconds[name], time.thread_time() - start)
    return seconds


def evaluate(model: torch.nn.Module, images: Tensor, batch: int) -> None:
    """Evaluate the model without gradients."""
    with torch.inference_mode():
        for part in images.split(batch):
            model(part)


def main() -> None:
    torch.set_num_threads(1)
    whole = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    print(f"{'images':>12} {'map':>9} {'imputed in':>11} {'CNN':>9} {'ratio':>6} {'largest error':>14}")
    for side, n in ((28, whole), (64, max(4, whole // 5))):
        x = digits(n, side)
        view, model = make_view(linear((1, side, side)), x), cnn(side)
        masker = view.masker("noisy_linear")
        ready = x.repeat_interleave(len(SHARES), dim=0)
        for kind in ("random", "gradient", "smooth", "block", "frame"):
            keep = removed(maps(kind, x))
            tasks: dict[str, Callable[[], object]] = {
                f"cnn {batch}": partial(evaluate, model, ready, batch) for batch in (32, 64, 128)
            }
            tasks["impute"] = partial(masker.copies, slice(0, n), keep)
            found = least(tasks)
            floor = min(value for name, value in found.items() if name != "impute")
            few = keep[:N_EXACT].flatten(0, 1)
            own = torch.arange(N_EXACT).repeat_interleave(len(SHARES))
            solved = linear_imputation(x, few, view.layout, own).numpy()
            error = max(abs(a - exact(x[i].numpy(), k.numpy())).max() for a, k, i in zip(solved, few, own, strict=True))
            print(
                f"{len(ready):5d} {side:>3}x{side:<3} {kind:>8} {found['impute'] * 1e3:8.1f} ms {floor * 1e3:6.1f} ms"
                f" {found['impute'] / floor:6.2f} {error:14.1e}"
            )


if __name__ == "__main__":
    main()
