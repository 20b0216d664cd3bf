"""Speed against Quantus 0.6.0 with the same number of model evaluations, in one process, taking turns.

Run in an environment that has quantus: python tests/bench/bench_quantus.py [REPEATS]
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from bench_models import cnn, medians, mlp

sys.path.insert(0, "tests")
from helpers.builders import make_evaluation, make_view

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.storage.cache import MemoryCache, SharedCache
from xaibench.core.truth import Truth

warnings.simplefilter("ignore")
import quantus  # noqa: E402

QUIET = {"disable_warnings": True, "display_progressbar": False, "normalise": False, "abs": False}
CASES = {"cnn 28x28": (cnn(), (1, 28, 28), 64, 28), "mlp, 30 columns": (mlp(30, 64, 2), (30,), 256, 30)}


def explain_func(model: torch.nn.Module, inputs: np.ndarray, targets: np.ndarray, **kwargs: Any) -> np.ndarray:
    """The gradient of the logit, as the evaluation's own explainer computes it."""
    leaf = torch.as_tensor(inputs, dtype=torch.float32).requires_grad_(True)
    picked = model(leaf).gather(1, torch.as_tensor(targets).unsqueeze(1))
    return torch.autograd.grad(picked.sum(), leaf)[0].numpy()


def pairs(n_features: int, steps: int, mask: np.ndarray) -> dict[str, tuple[Any, dict[str, Any], dict[str, Any]]]:
    """Name to Quantus' object, what its call needs, and our parameters for the same number of evaluations."""
    size = n_features // 4
    baseline = {"perturb_baseline": 0.0, **QUIET}
    absolute = {**QUIET, "abs": True}
    return {
        "pixel_flipping": (
            quantus.PixelFlipping(features_in_step=n_features // steps, **baseline),
            {"softmax": True},
            {"steps": steps, "masker": "zero"},
        ),
        "faithfulness_correlation": (
            quantus.FaithfulnessCorrelation(nr_runs=100, subset_size=size, **baseline),
            {"softmax": False},
            {"n_subsets": 100, "subset_size": size, "masker": "zero"},
        ),
        "faithfulness_estimate": (
            quantus.FaithfulnessEstimate(features_in_step=n_features // steps, **baseline),
            {"softmax": False},
            {"subset_size": n_features // steps, "masker": "zero"},
        ),
        "max_sensitivity": (
            quantus.MaxSensitivity(nr_samples=10, lower_bound=0.2, **QUIET),
            {"explain_func": explain_func},
            {"n_samples": 10},
        ),
        "sparseness": (quantus.Sparseness(**absolute), {}, {}),
        "complexity": (quantus.Complexity(**absolute), {}, {}),
        "relevance_rank": (quantus.RelevanceRankAccuracy(**QUIET), {"s_batch": mask}, {}),
    } | (
        {}
        if n_features < 100
        else {
            "road_morf": (
                quantus.ROAD(percentages=[10, 20, 30, 40, 50, 70, 90], **QUIET),
                {"softmax": True},
                {"measure": "accuracy"},
            ),
            "selectivity": (
                quantus.Selectivity(patch_size=4, **baseline),
                {"softmax": True},
                {"patch": 4, "masker": "zero"},
            ),
        }
    )


def ours(name: str, params: dict[str, Any], ev: Evaluation) -> torch.Tensor:
    """Score with empty caches."""
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), replace(ev, cache=MemoryCache(), shared=SharedCache())).values


def theirs(metric: Any, call: dict[str, Any], ev: Evaluation, module: torch.nn.Module) -> object:
    """Tables go in as (N, 1, F), the shape that Quantus takes."""
    n, shape = len(ev), ev.layout.input_shape
    x, a = (t.reshape(n, *shape) if len(shape) > 1 else t.reshape(n, 1, -1) for t in (ev.inputs, ev.attributions))
    return metric(
        model=module, x_batch=x.numpy().copy(), y_batch=ev.targets.numpy(), a_batch=a.numpy().copy(),
        channel_first=True, batch_size=n, **call,
    )  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for case, (module, shape, n, steps) in CASES.items():
        view = make_view(module, torch.randn(n, *shape))
        mask = torch.rand(n, *view.layout.feature_shape) < 0.3
        ev = make_evaluation(view, kind="contribution", truth=Truth("model", mask))
        print(f"{case}, N={n}, medians of {repeats}")
        for name, (metric, call, params) in pairs(view.layout.n_features, steps, mask.unsqueeze(1).numpy()).items():
            tasks = {"ours": partial(ours, name, params, ev), "quantus": partial(theirs, metric, call, ev, module)}
            found = medians(tasks, repeats)
            print(
                f"  {name:26s} ours {found['ours'] * 1e3:9.2f} ms   quantus {found['quantus'] * 1e3:9.2f} ms"
                f"   quantus / ours {found['quantus'] / found['ours']:6.1f}"
            )


if __name__ == "__main__":
    main()
