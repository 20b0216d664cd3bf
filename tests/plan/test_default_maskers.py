"""Defaults that a kind of data has no use for: edges are removed by weight 0 where a suite names no masker."""

from __future__ import annotations

from pathlib import Path

from xaibench import suite as suites
from xaibench.plan import expand

SUITE = """
description = "two kinds of data"
samples = 2
problem_seeds = [0]
explainers = ["feature_ablation", { name = "integrated_gradients", params = { baseline = "mean" } }]
metrics = ["deletion", { name = "insertion", params = { masker = "mean" } }, "monotonicity_correlation", "sparseness"]

[[problems]]
dataset = { name = "linear_gnn", params = { train = 4, test = 4 } }
models = ["walk_sum"]

[[problems]]
dataset = "synthgauss"
models = ["clusterwise"]
"""


def test_what_nobody_named_is_zero_for_edges_and_stays_for_other_data(tmp_path: Path) -> None:
    file = tmp_path / "both.toml"
    file.write_text(SUITE)
    found: dict[str, set[tuple[str, str | None]]] = {}
    for unit in expand(suites.load(str(file))):
        chosen = found.setdefault(unit.problem.names[0], set())
        chosen.update((metric.label, metric.params.get("masker")) for metric, _ in unit.metrics)
        if unit.explainer.spec.name == "integrated_gradients":
            assert unit.explainer.params["baseline"] == "mean"
    same = {("insertion(masker=mean)", "mean"), ("monotonicity_correlation", "uniform"), ("sparseness", None)}
    assert found["synthgauss"] == {("deletion", "mean"), *same}
    assert found["linear_gnn"] == {("deletion", "zero"), *same}
