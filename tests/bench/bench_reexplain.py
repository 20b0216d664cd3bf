"""Cost of the metrics that explain again, as a multiple of their floor and beside Quantus 0.6.0.

The floor is what the explainer (the gradient) and the model take for the same copies at the best
batch size; copies for different models, or with fresh draws, cannot share a batch. Quantus is
measured where it is installed.

Run: python tests/bench/bench_reexplain.py [REPEATS]
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from bench_models import cnn, medians, mlp
from torch import Tensor, nn

sys.path.insert(0, "tests")
from helpers.builders import make_evaluation, make_view

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.needs import DATA_NEEDS
from xaibench.core.predictor import TorchPredictor
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.storage.cache import MemoryCache, SharedCache
from xaibench.metrics.engines.random_weights import layer_tensors

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import quantus
except ImportError:
    quantus = None

CASES = {"cnn 28x28": (cnn(), (1, 28, 28), 64), "mlp, 30 columns": (mlp(30, 64, 2), (30,), 256)}
SAMPLES, SMOOTH, MOVES = 10, 5, 8
ROBUST = ("max_sensitivity", "avg_sensitivity", "local_lipschitz")
RELATIVE = ("relative_input_stability", "relative_output_stability", "relative_representation_stability")


def work(module: nn.Module) -> dict[str, tuple[int, int, int, dict[str, Any]]]:
    """By metric: calls of the explainer, copies per sample in each, copies per sample predicted, parameters."""
    layers = len(layer_tensors(module))
    return {
        **dict.fromkeys(ROBUST, (1, SAMPLES, 0, {})),
        **dict.fromkeys(RELATIVE, (1, SAMPLES, SAMPLES + 1, {})),
        "continuity": (1, MOVES, 0, {}),
        "rerun_stability": (SAMPLES, 1, 0, {}),
        "mprt": (layers, 1, 0, {}),
        "smooth_mprt": (layers + 1, SMOOTH, 0, {"n_samples": SMOOTH}),
        "efficient_mprt": (1, 1, 0, {}),
        "random_logit": (1, 1, 0, {}),
        "input_invariance": (1, 1, 2, {}),
    }


def best(module: nn.Module, inputs: Tensor, *, gradients: bool) -> Callable[[], object]:
    """Gradients, or outputs, of the inputs at the batch size that is fastest."""
    n = len(inputs)
    tasks: dict[str, Callable[[], object]] = {}
    for size in [2**k for k in range(4, 14) if 2**k < 2 * n]:
        view = make_view(TorchPredictor(module, batch_size=size), inputs, targets=torch.zeros(n, dtype=torch.int64))
        tasks[str(size)] = partial(view.gradients if gradients else view.model.predict, inputs)
    seconds = medians(tasks, 3)
    return tasks[min(seconds, key=lambda size: seconds[size])]


def fresh(spec: MetricSpec, params: dict[str, Any], ev: Evaluation) -> Tensor:
    """Score with empty caches."""
    return score(spec, spec.bind(params), replace(ev, cache=MemoryCache(), shared=SharedCache())).values


def explain_func(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **kwargs: Any) -> np.ndarray:
    """The gradient of the logit, as the evaluation's own explainer computes it."""
    leaf = torch.as_tensor(inputs, dtype=torch.float32).requires_grad_(True)
    picked = model(leaf).gather(1, torch.as_tensor(targets).unsqueeze(1))
    return torch.autograd.grad(picked.sum(), leaf)[0].numpy()


def theirs(name: str, ev: Evaluation, module: nn.Module) -> partial[Any] | None:
    """The same metric of Quantus; tables go in as (N, 1, F), the shape that it takes."""
    quiet = {"disable_warnings": True, "display_progressbar": False, "normalise": False, "abs": False}
    made = {
        "max_sensitivity": lambda: quantus.MaxSensitivity(nr_samples=SAMPLES, lower_bound=0.2, **quiet),
        "avg_sensitivity": lambda: quantus.AvgSensitivity(nr_samples=SAMPLES, lower_bound=0.2, **quiet),
        "local_lipschitz": lambda: quantus.LocalLipschitzEstimate(nr_samples=SAMPLES, **quiet),
        "relative_input_stability": lambda: quantus.RelativeInputStability(nr_samples=SAMPLES, **quiet),
        "relative_output_stability": lambda: quantus.RelativeOutputStability(nr_samples=SAMPLES, **quiet),
        "relative_representation_stability": lambda: quantus.RelativeRepresentationStability(
            nr_samples=SAMPLES, layer_names=[next(n for n in layer_tensors(module))], **quiet
        ),
        "mprt": lambda: quantus.MPRT(layer_order="top_down", return_average_correlation=True, **quiet),
        "random_logit": lambda: quantus.RandomLogit(num_classes=ev.model.predict(ev.inputs[:1]).shape[1], **quiet),
    }
    if quantus is None or name not in made:
        return None
    n, shape = len(ev), ev.layout.input_shape
    x, a = (t.reshape(n, *shape) if len(shape) > 1 else t.reshape(n, 1, -1) for t in (ev.inputs, ev.attributions))
    return partial(
        made[name](), model=module, x_batch=x.numpy().copy(), y_batch=ev.targets.numpy(), a_batch=a.numpy().copy(),
        channel_first=True, batch_size=n, explain_func=explain_func,
    )  # fmt: skip


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for case, (module, shape, n) in CASES.items():
        view = make_view(module, torch.randn(n, *shape))
        ev = make_evaluation(view, kind="contribution")
        print(f"{case}, N={n}, medians of {repeats}")
        for name, (calls, copies, predicted, params) in work(module).items():
            spec = get("metric", name)
            assert isinstance(spec, MetricSpec)
            kinds = spec.needs & DATA_NEEDS
            if kinds and view.layout.kind not in kinds:
                continue
            tasks: dict[str, Any] = {"ours": partial(fresh, spec, params, ev)}
            tasks["explain"] = best(module, torch.randn(n * copies, *shape), gradients=True)
            if predicted:
                tasks["predict"] = best(module, torch.randn(n * predicted, *shape), gradients=False)
            other = theirs(name, ev, module)
            if other is not None:
                try:
                    other()
                    tasks["quantus"] = other
                except Exception as error:
                    print(f"  quantus fails: {type(error).__name__}: {str(error)[:80]}")
            tasks["ours"]()
            found = medians(tasks, repeats)
            least = calls * found["explain"] + found.get("predict", 0.0)
            own = found["ours"]
            line = f"  {name:34s} floor {least * 1e3:8.2f} ms  ours {own * 1e3:8.2f} ms  ratio {own / least:5.2f}"
            if "quantus" in found:
                line += f"  quantus {found['quantus'] * 1e3:9.2f} ms  quantus / ours {found['quantus'] / own:6.1f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
