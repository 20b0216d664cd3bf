"""The scaffolding attack on LIME and KernelSHAP, and on-manifold sampling against it, on seeds of their own."""

from __future__ import annotations

import pytest

from xaibench.core.explaining import explain, explain_function
from xaibench.core.registry import get
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.suite import ComponentRef

SEEDS = (101, 102, 103)
HONEST = ("biased", {})
FOREST = ("scaffolded", {"attack": "lime", "detector": "forest"})
NEIGHBOURS = ("scaffolded", {"attack": "lime", "detector": "neighbours"})
SHAP = ("scaffolded", {"attack": "shap", "detector": "forest"})
SHAP_AS_IS = ("scaffolded", {"attack": "shap", "detector": "forest", "rounded": False})
LIME = ("tabular_lime", {})
DEFENCE = ("tabular_lime", {"neighbours": 200})
ROUNDED = ("kernel_shap", {"references": "kmeans_rounded"})
AS_IS = ("kernel_shap", {"references": "kmeans"})
Part = tuple[str, dict[str, object]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("dataset", "model", "explainer", "low", "high"),
    [
        *((d, HONEST, e, 0.99, 1) for d in ("table", "compas") for e in (LIME, DEFENCE, ROUNDED)),
        *((d, FOREST, LIME, 0, 0.05) for d in ("table", "compas")),
        *((d, FOREST, DEFENCE, 0.9, 1) for d in ("table", "compas")),
        ("table", NEIGHBOURS, LIME, 0, 0.05),
        ("table", NEIGHBOURS, DEFENCE, 0.9, 1),
        ("table", SHAP, ROUNDED, 0, 0.2),
        ("compas", SHAP_AS_IS, AS_IS, 0, 0.2),
    ],
)
def test_how_often_the_sensitive_bit_is_first(
    dataset: str, model: Part, explainer: Part, low: float, high: float, seed: int
) -> None:
    choices = ComponentRef.of("dataset", f"scaffold_{dataset}", {}), ComponentRef.of("model", *model)
    problem = Problems(None).prepare(ProblemSpec(*choices, seed, 100, "predicted", 10_000))
    assert problem.gate_passed, [str(g) for g in problem.gates]
    spec = get("explainer", explainer[0])
    maps = explain(explain_function(spec, spec.bind(explainer[1])), problem.view(0), "explain").abs()
    share = float((maps.argmax(dim=1) == maps.shape[1] - 2).float().mean())
    fidelity = next(g.value for g in problem.gates if g.name == "fidelity")
    print(f"{dataset} {model} {explainer} seed {seed}: {share:.2f}, fidelity {fidelity:.3f}")
    assert low <= share <= high
