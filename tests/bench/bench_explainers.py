"""Seconds per explainer at default parameters, on 64 MNIST-like inputs, one thread; beside Captum's.

Run: OMP_NUM_THREADS=1 python tests/bench/bench_explainers.py [REPEATS]
"""

from __future__ import annotations

import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import captum.attr
import torch
from helpers.builders import make_inputs, make_view
from torch import nn

from xaibench.core.explaining import explain, explain_function
from xaibench.core.problem import ProblemView
from xaibench.core.registry import components
from xaibench.core.truth import Truth
from xaibench.explainers.engines.coalitions import make_players


def small_cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
    ).eval()  # fmt: skip


def digits(n: int) -> torch.Tensor:
    """Bright strokes on black, about a fifth of the pixels, as in MNIST."""
    noise = nn.functional.avg_pool2d(make_inputs((1, 28, 28), n), 5, stride=1, padding=2)
    shown = noise - noise.flatten(1).quantile(0.8, dim=1).view(-1, 1, 1, 1)
    return (shown.clamp(min=0) * 4).clamp(max=1)


def captum_calls(view: ProblemView, background: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The same method with the same number of model evaluations, where Captum has it."""
    model, x, y, a = view.model.module, view.inputs, view.targets, captum.attr
    leaf = x.clone().requires_grad_(True)
    patches = make_players(view, None).index.unsqueeze(0)
    groups = make_players(view, None, limit=256).index.unsqueeze(0)
    tunnel = a.NoiseTunnel(a.Saliency(model))
    conv = model[3]
    return {
        "saliency": lambda: a.Saliency(model).attribute(leaf, target=y),
        "input_x_gradient": lambda: a.InputXGradient(model).attribute(leaf, target=y),
        "integrated_gradients": lambda: a.IntegratedGradients(model).attribute(x, target=y, n_steps=32),
        "smoothgrad": lambda: tunnel.attribute(x, nt_type="smoothgrad", nt_samples=32, stdevs=0.15, target=y),
        "vargrad": lambda: tunnel.attribute(x, nt_type="vargrad", nt_samples=32, stdevs=0.15, target=y),
        "gradient_shap": lambda: a.GradientShap(model).attribute(x, background, n_samples=32, target=y),
        "deep_lift": lambda: a.DeepLift(model).attribute(x, target=y),
        "guided_backprop": lambda: a.GuidedBackprop(model).attribute(leaf, target=y),
        "deconvolution": lambda: a.Deconvolution(model).attribute(leaf, target=y),
        "grad_cam": lambda: a.LayerGradCam(model, conv).attribute(leaf, target=y),
        "guided_grad_cam": lambda: a.GuidedGradCam(model, conv).attribute(leaf, target=y),
        "occlusion": lambda: a.Occlusion(model).attribute(
            x, sliding_window_shapes=(1, 4, 4), strides=(1, 2, 2), target=y
        ),
        "feature_ablation": lambda: a.FeatureAblation(model).attribute(x, feature_mask=groups, target=y),
        "lime": lambda: _one_by_one(
            x, y, lambda xi, yi: a.Lime(model).attribute(xi, feature_mask=patches, n_samples=256, target=yi)
        ),
        "kernel_shap": lambda: _one_by_one(
            x, y, lambda xi, yi: a.KernelShap(model).attribute(xi, feature_mask=patches, n_samples=512, target=yi)
        ),
        "shapley_sampling": lambda: a.ShapleyValueSampling(model).attribute(
            x, feature_mask=patches, n_samples=10, target=y
        ),
    }


def _one_by_one(x: torch.Tensor, y: torch.Tensor, call: Callable[[torch.Tensor, torch.Tensor], object]) -> None:
    """Captum's surrogates take one sample at a time; eight are timed and the rest extrapolated."""
    for i in range(8):
        call(x[i : i + 1], y[i : i + 1])


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Least CPU time of a call: with one thread that is the time on an idle machine."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    inputs, background = digits(64), digits(200).flip(0)
    truth = Truth("model", mask=inputs.squeeze(1) > 0)
    view = make_view(small_cnn(), inputs, background=background, truth=truth)
    peers = captum_calls(view, background)
    view.scores(inputs)
    rows = []
    for spec in components("explainer"):
        function = explain_function(spec, spec.bind({}))
        before = view.model.n_evaluations
        explain(function, view, "explain")
        evaluations = view.model.n_evaluations - before
        ours = seconds(lambda f=function: explain(f, view, "explain"), repeats)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append((spec.name, evaluations, ours, peak))
    print(f"{'explainer':22}{'evaluations':>12}{'ours s':>9}{'peak MiB':>10}{'captum s':>10}{'ratio':>8}")
    for name, evaluations, ours, peak in rows:
        theirs = float("nan")
        if name in peers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = seconds(peers[name], 1) * (8 if name in ("lime", "kernel_shap") else 1)
        print(f"{name:22}{evaluations:12d}{ours:9.3f}{peak:10.0f}{theirs:10.3f}{theirs / ours:8.1f}", flush=True)


if __name__ == "__main__":
    main()
