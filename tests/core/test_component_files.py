"""Components that are files: named in a suite, known by content, held to the suite's folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.files import loans, pictures

import xaibench as xb
from xaibench import suite as suites
from xaibench.core import trust
from xaibench.core.component_files import content_sha256
from xaibench.core.errors import UsageError
from xaibench.plan.expansion import expand
from xaibench.problems.preparing import Problems
from xaibench.suite import Suite


@pytest.fixture(autouse=True)
def _trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test trusts what another one does, and the user's configuration plays no part."""
    monkeypatch.setattr(trust, "_trusted", set())
    monkeypatch.setattr(trust, "user_config", lambda: tmp_path / "config.toml")


def suite_of(folder: Path, data: Any, model: Any = "softmax_regression", **fields: Any) -> Suite:
    document = {
        "name": "files",
        "samples": 6,
        "background": 8,
        "controls": False,
        "explainers": ["occlusion"],
        "metrics": ["sparseness"],
        "problems": [{"dataset": data, "models": [model]}],
        **fields,
    }
    return suites.parse(document, folder=folder)


def fingerprint(suite: Suite) -> str:
    unit = next(expand(suite))
    return Problems(None).prepare(unit.problem).fingerprint  # type: ignore[arg-type]


TABLE: dict[str, Any] = {"file": "loans.csv", "params": {"target": "default", "encode": "onehot"}}


def test_the_content_is_what_counts_and_the_path_is_not(tmp_path: Path) -> None:
    """Moved, the same ids and the same fingerprint; one letter changed, another fingerprint."""
    for name in ("a", "b/deep"):
        (tmp_path / name).mkdir(parents=True)
        loans().to_csv(tmp_path / name / "loans.csv", index=False)
    here = suite_of(tmp_path / "a", TABLE)
    there = suite_of(tmp_path / "b", {**TABLE, "file": "deep/loans.csv"})
    ids = [[u.unit_id for u in expand(s)] for s in (here, there)]
    assert ids[0] == ids[1]
    assert fingerprint(here) == fingerprint(there)
    path = tmp_path / "a" / "loans.csv"
    path.write_text(path.read_text().replace("car", "cab"))
    assert fingerprint(suite_of(tmp_path / "a", TABLE)) != fingerprint(there)


def test_a_comment_in_a_file_is_another_content(tmp_path: Path) -> None:
    """The digest is that of the file, also where the rows are the same."""
    loans().to_csv(tmp_path / "loans.csv", index=False)
    first = fingerprint(suite_of(tmp_path, TABLE))
    loans().to_csv(tmp_path / "loans.csv", index=False, lineterminator="\r\n")
    assert fingerprint(suite_of(tmp_path, TABLE)) != first


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one.txt").write_text("1")
    first = content_sha256(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    assert content_sha256(tmp_path / "c") == first
    (tmp_path / "c" / "b" / "one.txt").rename(tmp_path / "c" / "b" / "two.txt")
    assert content_sha256(tmp_path / "c") != first


def test_names_are_those_of_files_or_of_their_own(tmp_path: Path) -> None:
    loans().to_csv(tmp_path / "loans.csv", index=False)
    assert next(expand(suite_of(tmp_path, TABLE))).problem.labels[0] == "loans.csv"
    named = next(expand(suite_of(tmp_path, {**TABLE, "name": "mine"})))
    assert named.problem.labels[0] == "mine"
    grid = suite_of(tmp_path, {**TABLE, "grid": {"test": [0.2, 0.4]}})
    assert {u.problem.labels[0] for u in expand(grid)} == {"loans.csv(test=0.2)", "loans.csv(test=0.4)"}


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    """One file with two sets of parameters would be one row of a board."""
    loans().to_csv(tmp_path / "loans.csv", index=False)
    other = {"file": "loans.csv", "params": {**TABLE["params"], "test": 0.5}}
    problems = [{"dataset": d, "models": ["softmax_regression"]} for d in (TABLE, other)]
    with pytest.raises(UsageError, match=r"two datasets are called 'loans\.csv'"):
        suite_of(tmp_path, TABLE, problems=problems)
    problems[1]["dataset"] = {**other, "name": "half"}
    suite_of(tmp_path, TABLE, problems=problems)


WRONG = {
    "no file": ({"file": "nothing.csv"}, "there is no file nothing.csv"),
    "nothing": ({}, "needs a name, or a file"),
    "another ending": ({"file": "notes.txt"}, "which no dataset is read from"),
    "a parameter": ({**TABLE, "params": {"target": "default", "tset": 1}}, "has no parameter 'tset'"),
    "a value": ({**TABLE, "params": {"target": "default", "test": 2}}, "test = 2 is not valid"),
    "no target": ({"file": "loans.csv"}, "needs a value for 'target'"),
    "a name with a slash": ({**TABLE, "name": "a/b"}, "'a/b' is not a name"),
    "as a name": ("loans.csv", "unknown dataset 'loans.csv'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_said_before_anything_runs(tmp_path: Path, name: str) -> None:
    loans().to_csv(tmp_path / "loans.csv", index=False)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UsageError, match=WRONG[name][1].replace("(", r"\(")):
        suite_of(tmp_path, WRONG[name][0])


def test_metrics_are_no_files(tmp_path: Path) -> None:
    loans().to_csv(tmp_path / "loans.csv", index=False)
    with pytest.raises(UsageError, match="a metric cannot be a file"):
        suite_of(tmp_path, TABLE, metrics=[{"file": "loans.csv"}])


@pytest.mark.parametrize("how", ["..", "absolute", "link"])
def test_a_suite_reads_in_its_own_folder_only(tmp_path: Path, how: str) -> None:
    """A suite may come from elsewhere; what it names outside its folder must be trusted."""
    outside, inside = tmp_path / "secret.csv", tmp_path / "inside"
    inside.mkdir()
    loans().to_csv(outside, index=False)
    file = {"..": "../secret.csv", "absolute": str(outside), "link": "link.csv"}[how]
    if how == "link":
        (inside / "link.csv").symlink_to(outside)
    entry = {**TABLE, "file": file}
    with pytest.raises(UsageError, match="the folder of the suite"):
        suite_of(inside, entry)
    trust.trust_files([outside])
    suite_of(inside, entry)


def test_trust_is_of_a_content(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"mine")
    trust.trust_files([path])
    sha256 = trust.file_sha256(path)
    trust.require_trust(path, sha256, "runs code")
    path.write_bytes(b"another")
    with pytest.raises(UsageError, match=r"a\.bin runs code") as raised:
        trust.require_trust(path, trust.file_sha256(path), "runs code")
    assert raised.value.hint == "if it is yours, say --trust a.bin"
    (tmp_path / "config.toml").write_text(f'trust = ["sha256:{trust.file_sha256(path)}"]')
    trust.require_trust(path, trust.file_sha256(path), "runs code")


@pytest.mark.parametrize("content", ["trust = 'sha256:00'", "trust = ['00']", "trust ="])
def test_a_broken_configuration_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.toml").write_text(content)
    with pytest.raises(UsageError, match=r"config\.toml"):
        trust.trusted_digests()


def test_models_of_files_are_fitted_once(tmp_path: Path) -> None:
    """Several problem seeds would compare one model with itself, and nothing trains it again."""
    from safetensors.torch import save_file
    from torch import nn

    (tmp_path / "net.py").write_text("from torch import nn\ndef line():\n    return nn.Linear(2, 2)\n")
    save_file(nn.Linear(2, 2).state_dict(), tmp_path / "line.safetensors")
    loans().to_csv(tmp_path / "loans.csv", index=False)
    data = {**TABLE, "params": {"target": "default", "drop": ["purpose", "region"], "accuracy_floor": 0.0}}
    model = {"file": "line.safetensors", "params": {"architecture": "net.py:line"}}
    with pytest.raises(UsageError, match="cannot be trained again"):
        suite_of(tmp_path, data, model, problem_seeds=[0, 1])
    found = xb.run(
        suite_of(tmp_path, data, model, metrics=["sparseness", "roar"]).model_dump(exclude={"folder"})
        | {"problems": [{"dataset": {**data, "file": str(tmp_path / "loans.csv")}, "models": [
            {"file": str(tmp_path / "line.safetensors"), "params": {"architecture": f"{tmp_path}/net.py:line"}}]}]},
        store=tmp_path / "store",
    ).results()  # fmt: skip
    said = found[found["metric"] == "roar"]["message"].item()
    assert "needs retrain: a file cannot be trained again" in said
    assert found[found["metric"] == "sparseness"]["status"].item() == "ok"


def test_arrays_and_folders_are_data_too(tmp_path: Path) -> None:
    images, classes, _ = pictures()
    np.savez(tmp_path / "data.npz", inputs=images[:, None] / np.float32(255), targets=classes)
    unit = next(expand(suite_of(tmp_path, {"file": "data.npz"}, "cnn")))
    assert unit.problem.labels == ("data.npz", "cnn")
