"""The command line as a user meets it: real processes for what matters to a shell, calls for the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.command_line import Call
from helpers.store_rows import COSTS

SUITE = """
samples = 8
background = 8
controls = false
explainers = ["gradient", "tiny.py:weights_times_input"]
metrics = ["sparseness", "own_metric"]
[[problems]]
dataset = "tiny.py:tiny"
models = ["tiny.py:exact"]
"""


@pytest.fixture
def suite(tmp_path: Path, plugin: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.replace("tiny.py", str(plugin)))
    return path


def shell(*arguments: object, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xaibench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)


@pytest.mark.slow
def test_run_prints_a_leaderboard_and_writes_it(call: Call, suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    code, out, err = call("run", suite, "--store", store)
    assert code == 0
    assert "weights_times_input" in out
    assert "2 explanations made" in out
    assert "[1/1] tiny/exact" in err
    board = pd.read_parquet(store / "leaderboard.parquet")
    assert set(board["suite"]) == {"mine"}
    assert len(pd.read_csv(store / "leaderboard.csv")) == len(board) == 4
    code, out, _ = call("run", suite, "--store", store)
    assert code == 0
    assert "nothing new; 4 cells were cached" in out


@pytest.mark.slow
def test_a_race_that_stops_nobody_says_so(call: Call, suite: Path, tmp_path: Path) -> None:
    code, out, _ = call("run", suite, "--store", tmp_path / "store", "--race", "best")
    assert code == 0
    assert "raced: no row stopped early: a race looks first at 12 samples, and no problem has more." in " ".join(
        out.split()
    )


@pytest.mark.slow
def test_json_is_one_document(call: Call, suite: Path, tmp_path: Path) -> None:
    code, out, err = call("run", suite, "--store", tmp_path / "store", "--json")
    assert code == 0
    assert err == ""
    document = json.loads(out)
    assert document["statuses"] == {"ok": 4}
    assert document["gates"]["tiny/exact"][0]["passed"]
    code, out, _ = call("plan", suite, "--store", tmp_path / "store", "--json", "--cells")
    assert {c["state"] for c in json.loads(out)["plan"]} == {"cached"}
    for kind in ("datasets", "models", "explainers", "metrics", "suites"):
        assert json.loads(call("list", kind, "--json")[1])[kind]


CLAIMS = """
[[claims]]
id = "mine.higher"
source = "nobody"
statement = "One map is sparser than the other."
left = { explainer = "gradient", metric = "sparseness" }
right = { explainer = "weights_times_input", metric = "sparseness" }
direction = "less"

[[claims]]
id = "mine.wrong"
source = "nobody"
statement = "The weights are not sparse at all."
left = { explainer = "gradient", metric = "sparseness" }
number = 0.0
direction = "less"
"""


@pytest.mark.slow
def test_claims_are_judged_printed_and_written(call: Call, suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert call("run", suite, "--store", store)[0] == 0
    code, _, err = call("claims", store)
    assert code == 4
    assert "makes claims" in err
    suite.write_text(suite.read_text() + CLAIMS)
    code, out, _ = call("run", suite, "--store", store)
    assert code == 0
    assert "mine.wrong" in out
    code, out, _ = call("claims", store)
    assert code == 0
    assert "The weights are not sparse at all. [nobody]" in out
    assert "2 claims: " in out
    code, out, _ = call("claims", store, "--json")
    found = {c["id"]: c for c in json.loads(out)["claims"]}
    assert {"id", "verdict", "effect", "ci_low", "ci_high", "n", "n_informative", "source"} <= set(found["mine.wrong"])
    assert found["mine.wrong"]["verdict"] == "refuted"
    assert pd.read_parquet(store / "claims.parquet")["id"].tolist() == ["mine.higher", "mine.wrong"]
    assert call("claims", store, "--strict")[0] == 1
    assert call("claims", tmp_path / "nowhere")[0] == 2
    assert call("claims", store, "--suite", "other")[0] == 2


def test_plan_touches_nothing(call: Call, suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    code, out, _ = call("plan", suite, "--store", store)
    assert code == 0
    assert "4 cells: 4 run" in out
    assert not store.exists()


def test_failing_cells_give_3_and_nothing_to_do_4(call: Call, tmp_path: Path, suite: Path) -> None:
    store = tmp_path / "store"
    suite.write_text(suite.read_text().replace('"own_metric"', '"broken_metric"'))
    code, out, _ = call("run", suite, "--store", store)
    assert code == 3
    assert "ZeroDivisionError" in out
    assert call("run", suite, "--store", store, "--only", "nothing")[0] == 4
    suite.write_text(suite.read_text().replace('["sparseness", "broken_metric"]', '["relevance_mass"]'))
    code, _, err = call("run", suite, "--store", tmp_path / "other")
    assert code == 4
    assert "every selected cell is unsupported" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "quik"], "error: unknown suite 'quik'\nhint: did you mean 'quick'?"),
        (["run", "nowhere.toml"], "error: there is no suite file nowhere.toml"),
        (["run", "--device", "tpu"], "error: "),
        (["run", "--plugin", "nowhere.py"], "error: there is no file nowhere.py"),
        (["run", "--store", "{file}"], "is a file, not a store"),
        (["run", "--store", "{file}/x"], "cannot be a store: a part of that path is a file"),
        (["leaderboard", "{file}/x"], "cannot be a store: a part of that path is a file"),
        (["plan", "--store", "{file}/x"], "cannot be a store: a part of that path is a file"),
        (["plan", "--store", "{file}"], "is a file, not a store"),
        (["leaderboard", "{folder}/none"], "error: there is no store"),
        (["doctor", "{folder}/none"], "error: there is no store"),
        (["show", "pixel_fliping"], "hint: did you mean 'pixel_flipping'"),
        (["show", "certify"], "hint: it is a command: `xaibench certify --help` describes it"),
        (["data", "fetch", "mnist"], "does not have to be downloaded"),
        (["data", "fetch", "mnist_ful"], "hint: did you mean 'mnist_full'?"),
        (["run", "--threads", "0"], "Invalid value for '--threads'"),
        (["frobnicate"], "No such command"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(call: Call, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "file").write_text("x")
    code, out, err = call(*(a.format(file=tmp_path / "file", folder=tmp_path) for a in arguments))
    assert code == 2
    assert message in err
    assert out == ""
    assert "Traceback" not in err


def test_a_store_that_cannot_be_read_is_said_so(call: Call, suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    call("run", suite, "--store", store)
    (store / "store.json").write_text("garbage")
    code, _, err = call("leaderboard", store)
    assert code == 2
    assert "cannot be read" in err


@pytest.mark.slow
@pytest.mark.parametrize("form", ["table", "markdown", "csv", "json"])
def test_leaderboard_forms(call: Call, suite: Path, tmp_path: Path, form: str) -> None:
    call("run", suite, "--store", tmp_path / "store")
    code, out, _ = call("leaderboard", tmp_path / "store", "--format", form)
    assert code == 0
    assert "weights_times_input" in out
    if form == "json":
        assert len(json.loads(out)) == 4
    code, out, _ = call("leaderboard", tmp_path / "store", "--metric", "own_metric", "--explainer", "gradient")
    assert code == 0
    assert "own_metric" in out
    assert call("leaderboard", tmp_path / "store", "--explainer", "lime")[0] == 2


@pytest.mark.slow
def test_list_and_show(call: Call) -> None:
    out = call("list")[1]
    for name in ("mnist", "resnet", "kernel_shap", "pixel_flipping", "nightly"):
        assert name in out
    out = call("show", "pixel_flipping")[1]
    assert "Bach et al. 2015" in out
    assert 'masker = "mean"' in out
    assert "licence" in call("show", "mnist")[1]
    assert "[[problems]]" in call("show", "quick")[1]
    assert "mnist_full" in call("data", "list")[1]


@pytest.mark.slow
def test_show_says_which_layer_of_a_model_an_explainer_uses(call: Call) -> None:
    code, out, _ = call("show", "grad_cam", "--model", "digits/cnn")
    assert (code, out) == (0, "layer used in digits/cnn: 4 relu (32, 4, 4)\n")
    out = call("show", "guided_grad_cam", "--model", "digits/cnn", "--param", 'layer="0"')[1]
    assert "0 conv2d (16, 8, 8)" in out
    for arguments in (
        ("grad_cam", "--model", "digits"),
        ("gradient", "--model", "digits/cnn"),
        ("pixel_flipping", "--model", "digits/cnn"),
        ("grad_cam", "--model", "digits/cnm"),
        ("grad_cam", "--model", "breast_cancer/cnn"),
    ):
        assert call("show", *arguments)[0] == 2
    assert "feature map with more than one place" in "".join(
        map(str, call("show", "grad_cam", "--model", "digits/mlp"))
    )


@pytest.mark.slow
def test_doctor_finds_damage_and_the_next_run_repairs_it(call: Call, suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    call("run", suite, "--store", store)
    assert call("doctor", store)[0] == 0
    (file,) = (store / "compact").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:300])
    code, out, _ = call("doctor", store)
    assert code == 3
    assert f"damaged: {file}" in out
    assert call("doctor", store, "--remove")[0] == 3
    assert not file.exists()
    code, out, _ = call("run", suite, "--store", store)
    assert code == 0
    assert "4 ok" in out
    assert "2 reused" in out
    assert call("doctor", store)[0] == 0


@pytest.mark.slow
def test_plugin_option_makes_components_known_by_name(tmp_path: Path, plugin: Path) -> None:
    suite = tmp_path / "named.toml"
    suite.write_text(SUITE.replace("tiny.py:", ""))
    without = shell("run", suite, "--store", tmp_path / "store")
    assert without.returncode == 2
    assert "unknown dataset 'tiny'" in without.stderr
    given = shell("run", suite, "--store", tmp_path / "store", "--plugin", plugin)
    assert given.returncode == 0, given.stderr


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['xaibench', '--help']\n"
        "from xaibench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pyarrow', 'pydantic', 'captum', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    assert "Usage: xaibench" in subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip


SLOW = """
import time, torch, xaibench as xb

@xb.explainer("slow", kind="saliency")
def slow(problem, *, number: int = 0):
    \"\"\"Takes its time.\"\"\"
    time.sleep(0.3)
    return problem.inputs.abs() + number
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "kill", [signal.SIGKILL, *(pytest.param(s, marks=pytest.mark.exhaustive) for s in (signal.SIGINT, signal.SIGTERM))]
)
def test_killed_runs_resume_and_end_with_the_same_leaderboard(
    tmp_path: Path, plugin: Path, kill: signal.Signals
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    entries = ", ".join(f'{{ name = "slow.py:slow", params = {{ number = {i} }} }}' for i in range(6))
    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE.replace("tiny.py", str(plugin)).replace("explainers = [", f"explainers = [{entries}, "))
    store, whole = tmp_path / "store", tmp_path / "whole"
    command = [sys.executable, "-m", "xaibench", "run", str(suite), "--store", str(store)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ)
    deadline = time.monotonic() + 60
    while len(list(store.glob("parts/*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(kill)
    process.communicate(timeout=60)
    assert process.returncode == (-9 if kill == signal.SIGKILL else 130)
    finished = len(list(store.glob("attributions/*/*.safetensors")))
    assert 2 <= finished < 8
    resumed = json.loads(shell("run", suite, "--store", store, "--json").stdout)
    assert resumed["explained"] <= 8 - finished + 1
    assert resumed["cached"] >= 4
    assert shell("run", suite, "--store", whole).returncode == 0
    boards = [pd.read_parquet(s / "leaderboard.parquet").drop(columns=COSTS) for s in (store, whole)]
    pd.testing.assert_frame_equal(*boards, check_exact=True)


@pytest.mark.slow
def test_rerun_failed_takes_failures_of_any_model_and_nothing_else(call: Call, suite: Path, tmp_path: Path) -> None:
    plugin = suite.read_text().split('models = ["')[1].split(":")[0]
    suite.write_text(suite.read_text().replace(":exact", ":breaks").replace("] #", "]"))
    (tmp_path / "own.py").write_text("def build(data):\n    raise RuntimeError('not today')\n")
    text = suite.read_text().replace(f'"{plugin}:breaks"', f'"own.py:build", "{plugin}:exact"')
    suite.write_text(text)
    store = tmp_path / "store"
    code, out, _ = call("run", suite, "--store", store, "--rerun", "failed")
    assert code == 4
    assert call("run", suite, "--store", store)[0] == 3
    plan = json.loads(call("plan", suite, "--store", store, "--rerun", "failed", "--json")[1])
    assert plan["cells"]["retry"] == 4
    assert plan["cells"]["cached"] == 4
    code, out, _ = call("run", suite, "--store", store, "--rerun", "failed")
    assert code == 3
    assert "4 failed; 4 cells were cached" in out


@pytest.mark.slow
def test_a_part_of_a_suite_does_not_displace_the_board_of_the_whole(call: Call, suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    call("run", suite, "--store", store)
    code, out, _ = call("run", suite, "--store", store, "--limit", "4", "--only", "sparseness")
    assert code == 0
    assert "own_metric" not in out
    assert "This board is of the selected part" in out
    board = pd.read_parquet(store / "leaderboard.parquet")
    assert set(board["metric"]) == {"sparseness", "own_metric"}
    assert set(board["n"]) == {8}


@pytest.mark.slow
def test_a_pointer_of_an_earlier_version_plays_no_role(call: Call, suite: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    call("run", suite, "--store", store)
    (generation,) = (store / "compact").glob("generation-*.parquet")
    old = generation.rename(store / "compact" / "generation-000001.parquet")
    (store / "compact" / "CURRENT").write_text('{"file": "generation-000000.parquet"}')
    _, out, _ = call("run", suite, "--store", store)
    assert "nothing new; 4 cells were cached" in out
    assert old.exists()
    assert call("doctor", store)[0] == 0


def test_modules_beside_the_suite_are_found_by_name(call: Call, suite: Path, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text(
        "import xaibench as xb\n@xb.explainer('beside', kind='saliency')\ndef beside(problem):\n"
        "    '''Nothing much.'''\n    return problem.inputs.abs()\n"
    )
    suite.write_text(suite.read_text().replace('"gradient"', '"beside:beside"'))
    assert call("run", suite, "--store", tmp_path / "store")[0] == 0


def test_seeds_out_of_range_are_usage_errors(call: Call, tmp_path: Path) -> None:
    assert call("run", "--seed", "99999999999999999999", "--store", tmp_path / "s")[0] == 2
    assert call("run", "--seed", "-1", "--store", tmp_path / "s")[0] == 2
