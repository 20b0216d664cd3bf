"""Runs: what fails becomes a row, what is finished is never done again, and nothing depends on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.store_rows import COSTS

import xaibench as xb
from xaibench import suite as suites
from xaibench.core import registry
from xaibench.core.errors import UsageError
from xaibench.core.problem import Problem
from xaibench.execution import Observer, Options, Outcome, execute
from xaibench.execution.provenance import provenance
from xaibench.plan import PlannedUnit, make_plan
from xaibench.plan.history import History
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.store import Row, Store

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def run(store: Store, tiny_suite: Make, tmp_path: Path) -> Callable[..., Outcome]:
    def go(
        observer: Observer | None = None, options: Options | None = None, rerun: Any = None, **fields: Any
    ) -> Outcome:
        chosen = options or Options(tmp_path / "cache")
        plan = make_plan(
            suites.parse(tiny_suite(**fields)),
            history=History.of(store),
            fingerprint=Problems(chosen.cache).fingerprint,
            rerun=rerun,
        )
        return execute(plan, store, chosen, observer)

    return go


Run = Callable[..., Outcome]
TIMES = [*COSTS, "created", "run", "explain_cached", "n_evaluations", "batch_size"]


def frame(store: Store) -> pd.DataFrame:
    return store.read().to_pandas().sort_values("cell_id").reset_index(drop=True)


def test_every_cell_becomes_a_row_with_its_scores(run: Run, store: Store) -> None:
    outcome = run(controls=True, metrics=["sparseness", "weight_agreement", "relevance_mass"])
    rows = frame(store)
    assert outcome.end == "finished"
    assert set(rows["status"]) == {"ok", "unsupported"}
    gradient = rows[(rows["explainer"] == "gradient") & (rows["metric"] == "weight_agreement")].iloc[0]
    np.testing.assert_allclose(gradient["scores"], 1, rtol=1e-6)
    assert len(gradient["sample_ids"]) == gradient["n"] == 8
    assert gradient["gate_passed"]
    assert gradient["truth_kind"] == "model"
    assert gradient["attribution_kind"] == "slope"
    lacking = rows[rows["metric"] == "relevance_mass"]
    assert set(lacking["status"]) == {"unsupported"}
    assert lacking["message"].str.contains("needs truth.mask").any()


def test_the_mask_of_a_linear_model_says_nothing_about_its_weights(run: Run, store: Store) -> None:
    """The oracle shows the mask: as weights that would be a wrong answer, and the scale of a wrong skill."""
    metrics = ["relevance_mass", "feature_agreement"]
    run(problems=[{"dataset": "tiny_masked", "models": ["exact"]}], controls=True, metrics=metrics)
    rows = frame(store).set_index(["explainer", "metric"]).sort_index()
    oracle = rows.loc["oracle"]
    assert oracle.loc["relevance_mass", "status"] == "ok"
    assert oracle.loc["feature_agreement", "status"] == "unsupported"
    assert "shows the mask" in oracle.loc["feature_agreement", "message"]
    np.testing.assert_allclose(rows.loc[("gradient", "feature_agreement"), "scores"], 1)
    assert rows.loc[("gradient", "relevance_mass"), "truth_kind"] == "data"
    assert rows.loc[("gradient", "feature_agreement"), "truth_kind"] == "model"


def test_rows_say_which_layer_was_used(run: Run, store: Store) -> None:
    """Fresh and stored explanations alike; nothing where an explainer uses no layer."""
    fields = {
        "explainers": ["grad_cam", {"name": "grad_cam", "params": {"layer": "0"}}, "gradient"],
        "problems": [{"dataset": "digits", "models": ["cnn"]}],
    }
    run(metrics=["sparseness"], **fields)
    run(metrics=["sparseness", "complexity"], **fields)
    rows = frame(store)
    for metric in ("sparseness", "complexity"):
        of = rows[rows["metric"] == metric]
        used = dict(zip(of["explainer"] + of["explainer_params"], of["layer_used"].fillna("none"), strict=True))
        assert set(used.values()) == {"4 relu (32, 4, 4)", "0 conv2d (16, 8, 8)", "none"}
        assert all((label == "none") == key.startswith("gradient") for key, label in used.items())


def test_a_second_run_does_nothing(run: Run, store: Store) -> None:
    first = run(metrics=["sparseness", "relevance_mass"])
    before = frame(store)
    again = run(metrics=["sparseness", "relevance_mass"])
    assert first.explained == 2
    assert again.statuses.total() == again.explained == again.reused == 0
    assert again.cached == 4
    pd.testing.assert_frame_equal(before, frame(store))


def test_a_new_metric_explains_nothing_again(run: Run) -> None:
    run(metrics=["sparseness"])
    outcome = run(metrics=["sparseness", "own_metric", "complexity"])
    assert outcome.explained == 0
    assert outcome.reused == 2
    assert outcome.statuses == {"ok": 4}


@pytest.mark.parametrize(
    ("explainer", "status", "message"),
    [
        ("raises", "failed", "this explainer is broken"),
        ("wrong_shape", "failed", r"shape \(8, 5\) instead of \(8, 6\)"),
        ("out_of_memory", "oom", "MemoryError"),
        ("nan_map", "undefined", "no sample has a defined score"),
    ],
)
def test_what_goes_wrong_is_in_the_row_and_the_run_goes_on(
    run: Run, store: Store, explainer: str, status: str, message: str
) -> None:
    run(explainers=[explainer, "gradient"], metrics=["sparseness"])
    rows = frame(store).set_index("explainer")
    assert rows.loc[explainer, "status"] == status
    assert pd.Series([rows.loc[explainer, "message"]]).str.contains(message).all()
    assert rows.loc["gradient", "status"] == "ok"
    if status != "undefined":
        assert "Traceback" in str(rows.loc[explainer, "traceback"])


def test_a_broken_metric_costs_only_its_own_cells(run: Run, store: Store) -> None:
    outcome = run(metrics=["sparseness", "broken_metric"])
    assert outcome.statuses == {"ok": 2, "failed": 2}
    assert outcome.n_failed == 2
    assert set(frame(store).query("metric == 'broken_metric'")["error_kind"]) == {"ZeroDivisionError"}


def test_failures_are_tried_again_and_never_shadow_results(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = registry.get("metric", "own_metric")

    def fails(ev: Any, *, power: float = 1.0) -> Any:
        raise RuntimeError("for now")

    failing = replace(spec, function=fails)
    vars(failing)["code_digest"] = spec.code_digest  # the same code, which fails because of something else
    table = registry._registry["metric"]
    with monkeypatch.context() as patch:
        patch.setitem(table, "own_metric", failing)
        assert run().statuses == {"ok": 2, "failed": 2}
    assert run().statuses == {"ok": 2}
    good = frame(store)
    with monkeypatch.context() as patch:
        patch.setitem(table, "own_metric", failing)
        assert run(rerun="all").statuses == {"ok": 2, "failed": 2}
    assert set(frame(store)["status"]) == {"ok"}
    columns = [c for c in good.columns if c not in TIMES]
    pd.testing.assert_frame_equal(frame(store)[columns], good[columns])


def test_a_new_version_makes_cells_stale(run: Run, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    run()
    spec = registry.get("metric", "own_metric")
    monkeypatch.setitem(registry._registry["metric"], "own_metric", replace(spec, version=2))
    assert run(rerun="failed").statuses == {}
    outcome = run()
    assert outcome.statuses == {"ok": 2}
    assert outcome.explained == 0


def test_a_changed_model_makes_its_results_stale(run: Run, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    run(metrics=["own_metric"], explainers=["weights_times_input"])
    before = frame(store)["scores"][0]
    spec = registry.get("model", "exact")
    changed = replace(spec, function=lambda data, *, scale=1.0: spec.function(data, scale=2 * scale))
    monkeypatch.setitem(registry._registry["model"], "exact", changed)
    outcome = run(metrics=["own_metric"], explainers=["weights_times_input"])
    assert outcome.explained == 1
    np.testing.assert_allclose(frame(store)["scores"][0], 2 * before, rtol=1e-6)


def test_a_problem_that_cannot_be_built_fails_alone(run: Run, store: Store) -> None:
    problems = [{"dataset": "tiny", "models": ["breaks", "exact"]}]
    assert run(problems=problems).statuses == {"failed": 4, "ok": 4}
    rows = frame(store)
    assert set(rows.query("model == 'breaks'")["message"]) == {"no such weights (tiny.py, line 51)"}
    assert run(problems=problems).statuses == {"failed": 4}


def test_a_failed_gate_is_recorded_with_its_number(run: Run, store: Store) -> None:
    outcome = run(problems=[{"dataset": "tiny", "models": ["upside_down"]}])
    (gate,) = outcome.gates["tiny/upside_down"]
    assert not gate.passed
    rows = frame(store)
    assert set(rows["status"]) == {"ok"}
    assert not rows["gate_passed"].any()
    assert '"threshold": 0.9' in rows["gates"][0]


def test_black_boxes_run_without_gradients(run: Run, store: Store, plugin: Path) -> None:
    problems = [{"dataset": "tiny", "models": [f"{plugin}:black_box"]}]
    run(problems=problems, explainers=["gradient", "feature_ablation", "kernel_shap"], metrics=["completeness"])
    rows = frame(store).set_index("explainer")
    assert rows.loc["gradient", "status"] == "unsupported"
    assert rows.loc["kernel_shap", "status"] == "ok"
    assert rows.loc["kernel_shap", "output"] == "probability"
    assert rows.loc["kernel_shap", "model"] == "tiny.black_box"
    np.testing.assert_allclose(rows.loc["kernel_shap", "scores"], 0, atol=1e-3)


@pytest.mark.slow
def test_numbers_do_not_depend_on_batch_size_or_order_of_the_work(
    run: Run, store: Store, tiny_suite: Make, tmp_path: Path
) -> None:
    explainers = ["gradient", "integrated_gradients", "smoothgrad", "kernel_shap", "random"]
    metrics = ["pixel_flipping", "faithfulness_correlation", "infidelity", "max_sensitivity", "mprt"]
    run(explainers=explainers, metrics=metrics)
    other = Store(tmp_path / "other", create=True)
    turned = tiny_suite(explainers=explainers[::-1], metrics=metrics[::-1])
    execute(make_plan(suites.parse(turned)), other, Options(None, batch_size=3))
    one, two = frame(store), frame(other)
    assert one["cell_id"].tolist() == two["cell_id"].tolist()
    for a, b in zip(one["scores"], two["scores"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    third = Store(tmp_path / "third", create=True)
    execute(make_plan(suites.parse(turned)), third, Options(tmp_path / "cache2"))
    for a, b in zip(one["scores"], frame(third)["scores"], strict=True):
        assert np.array_equal(a, b, equal_nan=True), "bit-identical at the same batch size"


class KillAfter(Observer):
    """Interrupts a run after some units, softly (a signal) or at once."""

    def __init__(self, units: int, *, hard: bool) -> None:
        self.left = units
        self.hard = hard

    def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
        self.left -= 1
        if self.left == 0:
            if self.hard:
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("hard", [False, True])
def test_an_interrupted_run_resumes_where_it_was(
    run: Run, store: Store, hard: bool, tiny_suite: Make, tmp_path: Path
) -> None:
    fields = {"controls": True, "metrics": ["sparseness", "own_metric", "weight_agreement"]}
    handler = signal.getsignal(signal.SIGINT)
    first = run(KillAfter(3, hard=hard), **fields)
    assert first.end == "interrupted"
    assert first.explained == 3
    assert signal.getsignal(signal.SIGINT) is handler
    rest = run(**fields)
    assert rest.end == "finished"
    whole = Store(tmp_path / "whole", create=True)
    once = execute(make_plan(suites.parse(tiny_suite(**fields))), whole, Options(tmp_path / "cache"))
    assert first.explained + rest.explained == once.explained
    columns = [c for c in frame(whole).columns if c not in TIMES]
    pd.testing.assert_frame_equal(frame(store)[columns], frame(whole)[columns])


def test_a_truncated_part_is_recomputed(run: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Store, "compact", lambda self: 0)
        run()
    before = frame(store)
    part = next(store.parts.glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    assert len(frame(store)) == 2
    assert [d.name for d in store.check()] == [f"parts/{part.name}"]
    outcome = run()
    assert outcome.statuses == {"ok": 2}
    assert outcome.reused == 1
    columns = [c for c in before.columns if c not in TIMES]
    pd.testing.assert_frame_equal(frame(store)[columns], before[columns])


def test_a_run_stops_when_too_many_cells_fail(run: Run, tmp_path: Path) -> None:
    options = Options(tmp_path / "cache", max_failures=0)
    outcome = run(options=options, explainers=["raises", "gradient", "weights_times_input"], metrics=["sparseness"])
    assert outcome.end == "too many failures"
    assert outcome.statuses == {"failed": 1}


def test_threads_are_put_back_and_the_manifest_tells_where_numbers_come_from(run: Run, store: Store) -> None:
    before = torch.get_num_threads()
    run()
    assert torch.get_num_threads() == before
    (manifest,) = store.manifests()
    assert manifest["suite"] == "tiny"
    assert manifest["n_cells"] == 4
    assert len(store.planned(1)) == 4
    assert manifest["provenance"]["threads"] == 1
    assert manifest["provenance"]["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert manifest["resolved_suite"]["samples"] == 8
    assert set(provenance()) >= {"argv", "git", "machine", "packages", "python", "deterministic"}


def test_observers_see_every_stage(run: Run) -> None:
    seen: list[str] = []

    class Watch(Observer):
        def preparing(self, problem: ProblemSpec) -> None:
            seen.append(f"preparing {problem.name}")

        def prepared(self, problem: ProblemSpec, built: Problem) -> None:
            seen.append("prepared")

        def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
            seen.append(planned.unit.spec.name)

        def problem_finished(self, problem: ProblemSpec) -> None:
            seen.append("finished")

    run(Watch())
    assert seen == ["preparing tiny/exact", "prepared", "gradient", "weights_times_input", "finished"]


@pytest.mark.slow
def test_content_that_comes_back_speaks_for_its_cells_again(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"metrics": ["own_metric"], "explainers": ["weights_times_input"]}
    run(**fields)
    first = frame(store)["scores"][0]
    spec = registry.get("model", "exact")
    with monkeypatch.context() as patch:
        other = replace(spec, function=lambda data, *, scale=1.0: spec.function(data, scale=3 * scale))
        patch.setitem(registry._registry["model"], "exact", other)
        run(**fields)
        assert frame(store)["scores"][0][0] == pytest.approx(3 * first[0])
    again = run(**fields)
    assert again.statuses == {}
    assert np.array_equal(frame(store)["scores"][0], first)
    run(**fields)
    assert np.array_equal(frame(store)["scores"][0], first)


NETS = """
import torch, numpy as np
from torch import nn
import xaibench as xb

class Net(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.a, self.b, self.act = nn.Linear(6, 8), nn.Linear(8, 2), act
        for p in self.parameters():
            torch.manual_seed(p.numel())
            nn.init.normal_(p)
    def forward(self, x):
        return self.b(getattr(torch, self.act)(self.a(x)))

@xb.model("functional", provides={"gradients", "module"})
def functional(data, *, act: str = "relu"):
    \"\"\"Equal weights, another activation.\"\"\"
    return Net(act)

@xb.model("leaky", provides={"gradients", "module"})
def leaky(data, *, slope: float = 0.01):
    \"\"\"Equal weights, another slope.\"\"\"
    net = Net("relu")
    return nn.Sequential(net.a, nn.LeakyReLU(slope), net.b)

def plain(data):
    return Net("ACT")

def off_the_data(data):
    known = {row.tobytes() for row in np.concatenate([data.test_inputs, data.train_inputs])}
    def predict(x):
        p = np.array([0.9 if row.tobytes() in known else ELSEWHERE for row in x])
        return np.stack([p, 1 - p], axis=1)
    return predict
"""


@pytest.mark.parametrize(
    ("models", "edit"),
    [
        (["functional", {"name": "functional", "params": {"act": "tanh"}}], None),
        (["leaky", {"name": "leaky", "params": {"slope": 0.9}}], None),
        (["{file}:plain"], ("ACT", "relu", "tanh")),
        (["{file}:off_the_data"], ("ELSEWHERE", "0.5", "0.1")),
    ],
)
def test_models_of_equal_weights_or_outputs_are_not_mistaken_for_each_other(
    run: Run, store: Store, tmp_path: Path, models: list[Any], edit: tuple[str, str, str] | None
) -> None:
    """Another activation, an edited forward pass, a black box that differs off the data only."""
    fields: dict[str, Any] = {"explainers": ["kernel_shap"], "metrics": ["own_metric"]}
    found = []
    for i in range(1 if edit is None else 2):
        file = tmp_path / f"v{i}" / "nets.py"
        file.parent.mkdir()
        file.write_text(NETS if edit is None else NETS.replace(edit[0], edit[1 + i]))
        if edit is None:
            registry.load_module(str(file))
        named = [m.format(file=file) if isinstance(m, str) else m for m in models]
        try:
            run(problems=[{"dataset": "tiny", "models": named}], **fields)
        finally:
            for name in ("functional", "leaky"):
                registry._registry["model"].pop(name, None)
        found += frame(store)["scores"].tolist()
    assert len(found) == 2
    assert not np.allclose(found[0], found[1], rtol=1e-2)


def test_draws_of_other_raw_rows_are_other_problems(run: Run, store: Store) -> None:
    data = registry.get("dataset", "tiny").function(seed=0)
    turned = replace(data, test_rows=data.test_inputs[::-1].copy())
    checked = replace(data, accuracy_floor=0.99)
    assert len({data.fingerprint, turned.fingerprint, checked.fingerprint}) == 3


def test_two_files_cannot_share_a_name_in_one_suite(tiny_suite: Make, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text("def build(data):\n    return lambda x: x[:, :2]\n")
    models = [f"{tmp_path}/{folder}/net.py:build" for folder in ("a", "b")]
    with pytest.raises(UsageError, match=r"are both called 'net\.build'"):
        suites.parse(tiny_suite(problems=[{"dataset": "tiny", "models": models}]))


@pytest.mark.parametrize("race", [None, "best"])
def test_a_model_that_needs_what_is_missing_costs_its_cells_and_no_more(
    tiny_suite: Make, tmp_path: Path, race: Any
) -> None:
    """Before, a missing extra of a model ended the run with a KeyError of the live view."""
    (tmp_path / "needy.py").write_text(
        "from xaibench.core.errors import UnsupportedError\n"
        "def build(data):\n    raise UnsupportedError('this needs a package', 'pip install it')\n"
    )
    models = [f"{tmp_path / 'needy.py'}:build", "exact"]
    suite = tiny_suite(
        problems=[{"dataset": "tiny", "models": models}], metrics=["sparseness"], explainers=["gradient"]
    )
    found = xb.results(xb.run(suite, store=tmp_path / "s", race=race).store).set_index("model")["status"]
    assert sorted(found) == ["ok", "unsupported"]
