"""``xaibench certify``: what is said of wrong calls, and whole certificates."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import Call, caller

import xaibench as xb
from xaibench.api.certify_explainers import default_explainers
from xaibench.api.certify_request import CertifyRequest, read_request
from xaibench.api.certify_suite import prepare
from xaibench.cli.certifying import exceeded
from xaibench.core.errors import UsageError

RECIPES = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

def first_columns(data, seed):
    fitted = LogisticRegression().fit(data.train_inputs[:, :30], data.train_targets)
    return lambda rows: fitted.predict_proba(rows[:, :30])

def shares(x):
    x = np.asarray(x) + 6
    return x / x.sum(axis=1, keepdims=True)

leaking = make_pipeline(FunctionTransformer(shares), LogisticRegression(C=1e6, max_iter=2000))
plain = LogisticRegression()
"""


EXPLAINERS = """
import xaibench as xb

@xb.explainer("blind", kind="contribution")
def blind(problem):
    maps = problem.inputs.clone()
    maps[:, -1] = 0
    return maps

@xb.explainer("reads_data", kind="saliency")
def reads_data(problem):
    maps = problem.inputs.abs()
    maps[:, -1] = 100
    return maps
"""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "recipes.py").write_text(RECIPES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mlp",), "certify needs data"),
        (("model.onnx", "--data", "breast_cancer"), "a copy must be trained"),
        (("mlp", "--data", "breast_cancer", "--plant", "ptach"), "there is no plant 'ptach'"),
        (("mlp", "--data", "breast_cancer", "--plant", "patch"), "is not for table data"),
        (("mlp", "--data", "loans.csv"), "does not say what is predicted"),
        (("mlp", "--data", "breast_cancer", "--levels", "0,high"), "is not a list of numbers"),
        (("mlp", "--data", "breast_cancer", "--levels", "0,2"), "must be at most 1"),
        (("mlp", "--data", "breast_cancer", "--fail-above", "lime"), "is not a limit"),
        (("study.toml",), "there is no file study.toml"),
        (("mlp", "--data", "certify_table"), "has a plant already"),
        (("mlp", "--data", "breast_cancer", "--plant", "overwrite", "--column", "nosuch"), "have no column 'nosuch'"),
        (("mlp", "--data", "breast_cancer", "--plant", "category"), "have no category"),
        (("mlp", "--data", "breast_cancer", "--column", "mean area"), "plant new does not stand in a column"),
        (("mlp", "--data", "breast_cancer", "--explainers", "limr"), "unknown explainer 'limr'"),
        (("mlp", "--data", "digits", "--plant", "patch", "--column", "a"), "does not stand in a column"),
        (("side.toml",), "a square of 7 pixels cannot be planted"),
        (("wrong.toml",), "has no parameter 'sied'"),
        (("gin", "--data", "ba2motifs"), "more than one input per row"),
    ],
)
def test_a_wrong_call_is_said_in_a_sentence(
    arguments: tuple[str, ...], said: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xaibench.api.certify_suite.obtain", _never_fitted)
    (tmp_path / "loans.csv").write_text("a,b\n1,2\n")
    for name, size in (("side", "side"), ("wrong", "sied")):
        (tmp_path / f"{name}.toml").write_text(f'model = "cnn"\ndata = "digits"\nplant_params = {{ {size} = 7 }}\n')
    code, _, err = call("certify", *arguments, "--store", tmp_path / "store")
    assert code == 2
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def _never_fitted(*_args: object, **_more: object) -> None:
    raise AssertionError("this is said before anything is fitted")


def test_a_limit_of_an_explainer_that_is_not_certified_is_said_before_copies_are_fitted(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xaibench.api.certifying.run_suite", _never_fitted)
    code, _, err = call(
        "certify", "logistic_regression", "--data", "breast_cancer", "--explainers", "lime", "--fail-above",
        "kernel_shap=0.3", "--store", tmp_path / "store",
    )  # fmt: skip
    assert code == 2
    assert "--fail-above names kernel_shap, which is not certified" in " ".join(err.split())


def test_a_study_file_is_read_and_arguments_win(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text('model = "mlp"\ndata = "breast_cancer"\ncopies = 2\n[model_params]\nwidth = 8\n')
    request = read_request({"copies": 5, "rows": None}, file)
    assert (request.copies, request.rows, request.model_params) == (5, 100, {"width": 8})
    file.write_text('modell = "mlp"\n')
    with pytest.raises(UsageError, match="unknown field 'modell'"):
        read_request({"model": "mlp", "data": "breast_cancer"}, file)


def test_levels_always_have_the_twin_and_the_proof() -> None:
    assert CertifyRequest(model="m", data="d", levels=(0.5,)).all_levels == [0.0, 0.5, 1.0]


def test_explainers_remove_by_the_mean_and_apply_to_the_model() -> None:
    request = CertifyRequest(model="gradient_boosting", data="breast_cancer")
    prepared = prepare(request)
    named = {e if isinstance(e, str) else e["name"]: e for e in prepared.suite["explainers"]}
    assert named["kernel_shap"] == {"name": "kernel_shap", "params": {"masker": "mean"}}
    assert "gradient" not in named
    names = default_explainers(prepared.data, frozenset({"gradients", "module"}))
    assert {"name": "integrated_gradients", "params": {"baseline": "mean"}} in names
    assert prepared.n_fits == 12
    assert prepared.suite["problem_seeds"] == [0, 1, 2]


def small(model: str, store: Path, **more: object) -> xb.Certification:
    given = {"levels": (0, 1), "copies": 1, "rows": 60, "explainers": ["kernel_shap", "occlusion"], **more}
    return xb.certify(model, "breast_cancer", store=store, **given)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["logistic_regression", "gradient_boosting", "mlp"])
def test_every_gate_passes_and_exact_methods_find_what_decides(recipe: str, tmp_path: Path) -> None:
    found = small(recipe, tmp_path / "store", rows=100)
    assert found.proved
    assert found.certificate.failures == ()
    full = found.copies[found.copies["level"] == 1].set_index("explainer")
    assert full.loc["oracle", "found"] == 1.0
    assert full.loc["random", "found"] <= 0.08
    assert full.loc["kernel_shap", "found"] >= 0.95
    twin = found.copies[(found.copies["level"] == 0) & ~found.copies["control"]]
    assert (twin["found_all"] <= 0.10).all()
    assert full.loc["kernel_shap", "auroc"] > 0.95
    stored = pd.read_parquet(tmp_path / "store" / found.folder / "certify.parquet")
    assert len(stored) == len(found.copies)


@pytest.mark.slow
def test_a_recipe_that_drops_the_column_exits_with_the_gate(recipes: Path, call: Call) -> None:
    arguments = (
        "--data",
        "breast_cancer",
        "--levels",
        "0,1",
        "--copies",
        "1",
        "--explainers",
        "occlusion",
        "-j",
        "0",
        "-q",
    )
    code, out, _ = call(
        "certify", "recipes.py:first_columns", *arguments, "--plant", "new", "--store", recipes / "store"
    )
    assert code == 4
    assert "0.00 of 0.90 needed" in " ".join(out.split())
    code, out, _ = call("certify", "recipes.py:first_columns", *arguments, "--store", recipes / "other")
    assert "a column that it has is overwritten instead" in " ".join(out.split())
    assert "plant: overwrite" in " ".join(out.split())


@pytest.mark.slow
def test_a_pipeline_that_spreads_the_plant_exits_with_the_gate(recipes: Path, call: Call) -> None:
    rows = np.random.default_rng(0).normal(size=(600, 4))
    frame = pd.DataFrame(rows, columns=list("abcd"))
    frame["y"] = np.where(rows[:, 0] > rows[:, 1], "high", "low")
    frame.to_csv(recipes / "four.csv", index=False)
    code, out, _ = call(
        "certify", "recipes.py:leaking", "--data", "four.csv", "--target", "y", "--levels", "0,1", "--copies", "1",
        "--explainers", "occlusion", "--plant", "new", "-j", "0", "-q", "--store", recipes / "store",
    )  # fmt: skip
    assert code == 4
    assert "second trace" in " ".join(out.split())


@pytest.mark.slow
def test_a_recipe_that_cannot_learn_a_pair_exits_with_the_gate(tmp_path: Path, call: Call) -> None:
    code, out, _ = call(
        "certify", "logistic_regression", "--data", "breast_cancer", "--plant", "pair", "--levels", "0,1", "--copies",
        "1", "--explainers", "occlusion", "-j", "0", "-q", "--json", "--store", tmp_path / "store",
    )  # fmt: skip
    assert code == 4
    document = json.loads(out)
    assert not document["proved"]
    assert "cannot cheat that way" in document["message"]


@pytest.mark.slow
def test_a_blind_explainer_never_finds_it_and_the_twin_catches_one_that_reads_the_data(recipes: Path) -> None:
    (recipes / "explainers.py").write_text(EXPLAINERS)
    found = xb.certify(
        "recipes.py:plain", "breast_cancer", levels=(0, 1), copies=1, rows=60, store=recipes / "store",
        explainers=["explainers.py:blind", "explainers.py:reads_data", "occlusion"],
    )  # fmt: skip
    rows = found.thresholds.set_index("explainer")
    assert rows.loc["blind", "censored"] == "never"
    assert rows.loc["reads_data", "censored"] == "never"
    assert rows.loc["reads_data", "verdict"] == "marks it where it means nothing as well"
    assert rows.loc["occlusion", "verdict"] == "finds it"


@pytest.mark.slow
def test_a_limit_decides_the_exit_code(tmp_path: Path, call: Call) -> None:
    arguments = (
        "certify", "logistic_regression", "--data", "breast_cancer", "--levels", "0,1", "--copies", "1",
        "--explainers", "occlusion", "-j", "0", "-q", "--store", tmp_path / "store",
    )  # fmt: skip
    assert call(*arguments, "--fail-above", "occlusion=1")[0] == 0
    code, out, _ = call(*arguments, "--fail-above", "occlusion=0.3", "-o", tmp_path / "page.html")
    assert code == 1
    assert "above the limit: occlusion" in out
    page = (tmp_path / "page.html").read_text()
    assert "Would you see it if your model cheated?" in page
    assert "<script" not in page


@pytest.mark.exhaustive
def test_replanting_moves_thresholds_within_their_intervals(tmp_path: Path) -> None:
    runs = [
        xb.certify(
            "logistic_regression", "breast_cancer", levels=(0, 0.3, 0.6, 1), copies=3, rows=100, seed=seed,
            explainers=["occlusion"], store=tmp_path / f"store{seed}",
        ).thresholds.iloc[0]
        for seed in range(10)
    ]  # fmt: skip
    first = runs[0]
    assert first["explainer"] == "occlusion"
    moves = [abs(r["threshold"] - first["threshold"]) for r in runs[1:]]
    widths = [r["threshold_high"] - r["threshold_low"] for r in runs[1:]]
    assert sum(move < width for move, width in zip(moves, widths, strict=True)) >= 8, (moves, widths)


@pytest.mark.slow
def test_a_killed_run_resumes(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "xaibench", "certify", "mlp", "--data", "breast_cancer", "--copies", "1", "-j", "0",
        "--rows", "60", "--explainers", "lime,kernel_shap", "--store", str(tmp_path / "store"), "--json",
    ]  # fmt: skip
    environment = {**os.environ, "XAIBENCH_CACHE": str(tmp_path / "cache")}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parts, deadline = tmp_path / "store" / "parts", time.time() + 300
    while running.poll() is None and time.time() < deadline and len(list(parts.rglob("*.parquet"))) < 3:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    there = len(list(parts.rglob("*.parquet")))
    assert there >= 3
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["proved"]
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert json.loads(again.stdout)["thresholds"] == json.loads(done.stdout)["thresholds"]


@pytest.mark.slow
def test_a_second_fit_shows_a_recipe_that_is_not_deterministic(recipes: Path) -> None:
    (recipes / "noisy.py").write_text(
        "import numpy as np\nfrom sklearn.linear_model import LogisticRegression\n"
        "def build(data):\n"
        "    weights = np.random.default_rng().random(len(data.train_inputs))\n"
        "    fit = LogisticRegression(max_iter=500).fit\n"
        "    return fit(data.train_inputs, data.train_targets, sample_weight=weights)\n"
    )
    prepared = prepare(CertifyRequest(model="noisy.py:build", data="breast_cancer", copies=1), folder=recipes)
    assert not prepared.deterministic
    assert "two fits of this recipe with one seed differ" in prepared.notes[0]
    assert "no test" in prepared.notes[0]
    many = prepare(CertifyRequest(model="noisy.py:build", data="breast_cancer"), folder=recipes)
    assert "copies are the unit" in many.notes[0]
    assert prepare(CertifyRequest(model="recipes.py:plain", data="breast_cancer"), folder=recipes).deterministic


@pytest.mark.parametrize(
    ("proved", "threshold", "censored", "said"),
    [
        (True, 0.5, "", "above the limit: lime notices the shortcut from .50 on, limit 0.3"),
        (True, 0.5, "below", "above the limit: lime notices the shortcut from below .50 on, limit 0.3"),
        (True, np.inf, "never", "above the limit: lime never notices the shortcut, limit 0.3"),
        (False, np.inf, "never", "not known to be below the limit: lime has no threshold here, limit 0.3"),
        (True, 0.2, "", None),
    ],
)
def test_a_limit_that_is_exceeded_is_a_sentence(
    proved: bool, threshold: float, censored: str, said: str | None
) -> None:
    thresholds = pd.DataFrame({"explainer": ["lime"], "threshold": [threshold], "censored": [censored]})
    found = cast(Any, SimpleNamespace(proved=proved, thresholds=thresholds))
    assert exceeded(found, {"lime": 0.3}) == ([] if said is None else [said])
