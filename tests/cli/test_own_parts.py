"""Components of one's own in a suite: edits are noticed by plan and run alike, and errors say where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from helpers.command_line import Call

import xaibench as xb

HELPER = """
import torch
def forward(net, x): return net[1](torch.{activation}(net[0](x)))
def total(a): return {factor} * a.abs().sum(1)
"""
MINE = """
import torch, xaibench as xb, helper
class Net(torch.nn.Sequential):
    def forward(self, x): return helper.forward(self, x)
def build(data):
    torch.manual_seed(1); return Net(torch.nn.Linear(5, 8), torch.nn.Linear(8, 2))
@xb.model("trained", provides={{"gradients", "module"}})
def trained(data, *, seed):
    torch.manual_seed(1); return Net(torch.nn.Linear(5, 8), torch.nn.Linear(8, {classes}))
@xb.explainer("of_mine", kind="slope", needs={{"gradients"}})
def of_mine(problem):
    '''Gradients.'''
    return {sign}problem.gradients(problem.inputs)
@xb.metric("total", family="complexity", higher_is_better=False, bounds=(0, None))
def total(ev):
    '''Total.'''
    return helper.total(ev.attributions)
"""
DATA = """
import numpy as np, xaibench as xb
@xb.dataset("mine", features="table")
def mine(*, seed: int = 0) -> xb.Data:
    '''Five columns.'''
    x = np.random.default_rng(seed).normal(size=(60, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    {more}
    return xb.Data("table", x[:40], y[:40], x[40:], y[40:], accuracy_floor=None)
"""
SUITE = """
description = "own parts"
samples = 6
background = 16
controls = false
explainers = ["mine.py:of_mine", "occlusion"]
metrics = ["mine.py:total", "pixel_flipping"]
[[problems]]
dataset = "data.py:mine"
models = ["mine.py:{model}"]
"""


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


class Lab:
    """A folder with a suite and its files."""

    def __init__(self, folder: Path, call: Call) -> None:
        self.folder, self._call = folder, call
        self.write()

    def call(self, *arguments: object) -> Done:
        return Done(*self._call(*arguments))

    def write(
        self, *, model: str = "build", activation: str = "relu", factor: int = 1, sign: str = "", more: str = "",
        classes: int = 2,
    ) -> None:  # fmt: skip
        (self.folder / "helper.py").write_text(HELPER.format(activation=activation, factor=factor))
        (self.folder / "mine.py").write_text(MINE.format(sign=sign, classes=classes))
        (self.folder / "data.py").write_text(DATA.format(more=more))
        (self.folder / "s.toml").write_text(SUITE.format(model=model))

    def plan(self, store: str = "st") -> dict[str, int]:
        done = self.call("plan", str(self.folder / "s.toml"), "--store", str(self.folder / store), "--json")
        assert done.code == 0, done.err
        return {state: n for state, n in json.loads(done.out)["cells"].items() if n}

    def run(self, *more: str, store: str = "st") -> dict[str, int]:
        """Number of cells by status of a run, and of those that were there."""
        done = self.call("run", str(self.folder / "s.toml"), "--store", str(self.folder / store), "--json", *more)
        assert done.code == 0, done.err
        found = json.loads(done.out)
        return {**found["statuses"], "cached": found["cached"]}

    def scores(self, store: str = "st") -> dict[tuple[str, str], list[float]]:
        rows = xb.results(self.folder / store)
        newest = rows.sort_values("run").drop_duplicates(["explainer", "metric"], keep="last")
        return {(r.explainer, r.metric): list(r.scores) for r in newest.itertuples()}


@pytest.fixture
def lab(tmp_path: Path, call: Call) -> Lab:
    return Lab(tmp_path, call)


def test_an_edited_formula_in_an_imported_module_is_scored_again(lab: Lab) -> None:
    assert lab.plan() == {"run": 4}
    assert lab.run() == {"ok": 4, "cached": 0}
    first = lab.scores()
    assert lab.run() == {"cached": 4}
    lab.write(factor=100)
    assert lab.run() == {"ok": 4, "cached": 0}
    lab.run(store="fresh")
    assert lab.scores() == lab.scores("fresh")
    assert lab.scores()["of_mine", "total"] == pytest.approx([100 * v for v in first["of_mine", "total"]], rel=1e-5)
    lab.write(factor=1)
    assert lab.run() == {"cached": 4}
    assert lab.scores() == first


@pytest.mark.parametrize("change", [{"sign": "-"}, {"activation": "tanh"}, {"factor": 2}])
def test_plan_and_run_agree_about_edits(lab: Lab, change: dict[str, str]) -> None:
    """The recipe is registered and declares what it provides, so that its content is known before the run."""
    lab.write(model="trained")
    assert lab.run() == {"ok": 4, "cached": 0}
    assert lab.plan() == {"cached": 4}
    lab.write(model="trained", **change)
    waiting = lab.plan()
    assert set(waiting) <= {"stale", "open"}
    assert sum(waiting.values()) == 4
    assert lab.run() == {"ok": 4, "cached": 0}
    assert lab.plan() == {"cached": 4}
    lab.run(store="fresh")
    assert lab.scores() == lab.scores("fresh")


def test_what_only_building_the_model_tells_is_open_and_not_stale(lab: Lab) -> None:
    lab.run()
    assert lab.plan() == {"open": 4}
    assert lab.run("--rerun", "stale") == {"cached": 4}
    text = lab.call("plan", str(lab.folder / "s.toml"), "--store", str(lab.folder / "st")).out
    assert "at most 4 cells to run" in text
    assert "4 are open: their models are built first" in text


def test_an_edited_recipe_with_a_decorator_is_trained_again(lab: Lab) -> None:
    """Its weights are cached by name and version; the code decides too."""
    lab.write(model="trained")
    lab.run()
    before = lab.scores()
    text = (lab.folder / "mine.py").read_text()
    (lab.folder / "mine.py").write_text(text.replace("manual_seed(1)", "manual_seed(2)"))
    assert lab.run() == {"ok": 4, "cached": 0}
    assert lab.scores()["occlusion", "pixel_flipping"] != before["occlusion", "pixel_flipping"]


def test_metrics_of_ones_own_share_no_evaluations_with_their_older_code(lab: Lab) -> None:
    metric = """
@xb.metric("shared_total", family="complexity", higher_is_better=True)
def shared_total(ev):
    '''Evaluated once for all explainers.'''
    return ev.shared.get(("mine",), lambda: {{"a": {factor} * ev.model.predict(ev.inputs)}})["a"].sum(1)
"""
    (lab.folder / "mine.py").write_text(MINE.format(sign="", classes=2) + metric.format(factor=1))
    suite = (lab.folder / "s.toml").read_text().replace("mine.py:total", "mine.py:shared_total")
    (lab.folder / "s.toml").write_text(suite)
    lab.run()
    before = lab.scores()["occlusion", "shared_total"]
    (lab.folder / "mine.py").write_text(MINE.format(sign="", classes=2) + metric.format(factor=10))
    lab.run()
    assert lab.scores()["occlusion", "shared_total"] == pytest.approx([10 * v for v in before], rel=1e-5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("{}['income']", "data set 'mine' failed: KeyError: 'income' (data.py, line 8)"),
        ("raise SystemExit(7)", "data set 'mine' failed: SystemExit: 7 (data.py, line 8)"),
        ("y = None", "data set 'mine' failed: TypeError: 'NoneType' object is not subscriptable (data.py, line 9)"),
        ("x[3, 1] = np.inf", "data set 'mine': train inputs hold infinity (column 1, row 3)"),
        ("y = np.where(y, 'yes', None)", "data set 'mine': the label of row"),
        ("y = y[:50]", "data set 'mine': test split has 20 inputs and 10 targets"),
        ("raise KeyError(b'x' * 9000)", "..."),
    ],
)
@pytest.mark.parametrize("model", ["build", "trained"])
def test_an_error_in_a_data_set_is_one_of_data(lab: Lab, more: str, said: str, model: str) -> None:
    """With a model whose content is known before, the plan needs the data; else they fail in the run."""
    lab.write(model=model, more=more)
    done = lab.call("run", str(lab.folder / "s.toml"), "--store", str(lab.folder / "st"))
    assert done.code in (2, 3)
    text = " ".join((done.out + done.err).split())
    assert "Traceback" not in text
    if model == "trained":
        assert done.code == 2
        assert said in done.err
        assert max(map(len, done.err.splitlines())) < 400
    else:
        rows = xb.results(lab.folder / "st")
        assert set(rows["status"]) == {"failed"}
        assert rows["message"].str.contains(said, regex=False).all()


def test_the_traceback_is_there_on_request(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write(model="trained", more="{}['income']")
    monkeypatch.setenv("XAIBENCH_TRACEBACK", "1")
    done = lab.call("run", str(lab.folder / "s.toml"), "--store", str(lab.folder / "st"))
    assert done.code == 2
    assert "Traceback" in done.err
    assert "{}['income']" in done.err


def test_failures_of_components_name_file_and_line_and_their_text_is_short(lab: Lab) -> None:
    text = (lab.folder / "mine.py").read_text()
    failing = text.replace("    return helper.total(ev.attributions)", "    raise KeyError(bytes(range(256)) * 40)")
    (lab.folder / "mine.py").write_text(failing)
    done = lab.call("run", str(lab.folder / "s.toml"), "--store", str(lab.folder / "st"))
    assert done.code == 3
    assert len(done.out) < 6000
    assert f"xaibench doctor {lab.folder / 'st'} --tracebacks" in done.out
    rows = xb.results(lab.folder / "st")
    assert rows.loc[rows["metric"] == "total", "message"].str.contains(r"\(mine.py, line 17\)$").all()
    shown = lab.call("doctor", str(lab.folder / "st"), "--tracebacks")
    assert "mine.py" in shown.out
    assert "raise KeyError(bytes(range(256)) * 40)" in shown.out


def test_only_an_explainer_brings_its_placebos(lab: Lab) -> None:
    suite = (lab.folder / "s.toml").read_text().replace("controls = false", "controls = true")
    (lab.folder / "s.toml").write_text(suite)
    where = str(lab.folder / "st")
    lab.call("run", str(lab.folder / "s.toml"), "--store", where, "--only", "occlusion", "--json")
    found = xb.results(lab.folder / "st")
    assert {"occlusion", "random", "constant"} <= set(found["explainer"])
    assert "of_mine" not in set(found["explainer"])
    one = lab.call("plan", str(lab.folder / "s.toml"), "--store", where, "--only", "*/*/occlusion/total", "--json")
    assert json.loads(one.out)["units"] > 2
    none = lab.call("plan", str(lab.folder / "s.toml"), "--store", where, "--only", "occlusoin")
    assert none.code == 4
    assert "did you mean 'occlusion'?" in none.err
    skipped = lab.call(
        "plan", str(lab.folder / "s.toml"), "--store", where, "--only", "occlusion", "--skip", "random*", "--cells",
        "--json",
    )  # fmt: skip
    assert "random" not in {row["explainer"] for row in json.loads(skipped.out)["plan"]}


def test_the_home_folder_in_paths(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    for name in ("mine.py", "helper.py", "data.py", "s.toml"):
        (home / name).write_text((lab.folder / name).read_text())
    assert lab.call("run", "~/s.toml", "--store", "~/st", "--plugin", "~/mine.py", "--json").code == 0
    assert lab.call("leaderboard", "~/st", "-o", "~/board.csv").code == 0
    assert len(pd.read_csv(home / "board.csv"))
    assert lab.call("compare", "~/st", "~/st@1", "--junit", "~/j.xml", "--markdown", "~/c.md").code == 0
    assert (home / "j.xml").exists()
    assert (home / "c.md").exists()
    assert xb.run("~/s.toml", store="~/st").store == home / "st"
    assert not list(work.iterdir())
    unknown = lab.call("run", "~/s.toml", "--store", "~nobody_here/st")
    assert unknown.code == 2
    assert "no home folder" in unknown.err
