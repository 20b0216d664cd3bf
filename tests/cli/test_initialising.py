"""`xaibench init` leaves a suite that runs, or nothing and a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import Call

from xaibench import suite as suites
from xaibench.core import registry


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CSV file with a gap, a category, names, and classes that a line parts, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, 120),
            "income": rng.normal(50, 10, 120).round(1),
            "job": rng.choice(["cook", "clerk"], 120),
            "name": [f"person {i}" for i in range(120)],
        }
    )
    frame["paid"] = np.where(frame["age"] > 45, "yes", "no")
    frame["amount"] = np.arange(120.0)
    frame["constant"] = 1
    frame["rare"] = ["x"] * 118 + ["y"] * 2
    frame.loc[3, "income"] = np.nan
    frame.to_csv(tmp_path / "My loans.csv", index=False)
    return tmp_path / "My loans.csv"


def test_a_table_becomes_a_suite_that_runs(call: Call, table: Path) -> None:
    code, out, err = call("init", "--data", "My loans.csv", "--model", "mlp", "--target", "paid", "-o", "mine.toml")
    assert (code, err) == (0, "")
    assert "1 of 120 rows have gaps and are left out." in out
    assert "Column 'name' has 119 different texts and is left out." in out
    data = registry.get("dataset", "my_loans_data.py:my_loans", folder=table.parent).function(seed=0)
    assert data.feature_names == ("age", "income", "amount", "constant", "job_clerk", "job_cook", "rare_x", "rare_y")
    assert data.class_names == ("no", "yes")
    assert len(data.train_inputs) + len(data.test_inputs) == 119
    assert np.allclose(data.train_inputs.mean(axis=0), 0, atol=1e-5)
    assert data.train_inputs.std(axis=0) == pytest.approx(
        [1, 1, 1, 0, 1, 1, *data.train_inputs.std(axis=0)[6:]], rel=1e-4
    )
    raw, frame = data.test_rows, pd.read_csv(table).dropna().reset_index(drop=True)
    found = frame.set_index("amount").loc[raw[:, 2]]
    assert (found["age"].to_numpy() == raw[:, 0]).all()
    assert ((found["paid"] == "yes").to_numpy() == data.test_targets).all()
    shares = [(targets == 1).mean() for targets in (data.train_targets, data.test_targets)]
    assert shares[0] == pytest.approx(shares[1], abs=0.03)
    assert "#" in Path("mine.toml").read_text()
    code, out, err = call(
        "run", "mine.toml", "--store", "s", "--limit", "4", "--only", "*/*/*/sparseness", "-q", "-j", "0"
    )
    assert code == 0, err
    assert "ok" in out


@pytest.mark.parametrize(
    ("data", "model", "wanted"), [("digits", "cnn", "mprt"), ("planted_digits", "cnn", "relevance_rank")]
)
def test_shipped_data_and_recipes(call: Call, table: Path, data: str, model: str, wanted: str) -> None:
    code, _, err = call("init", "--data", data, "--model", model)
    assert code == 0, err
    loaded = suites.load("suite.toml")
    assert wanted in [m.name for m in loaded.metrics]
    assert "gradient" in [e.name for e in loaded.explainers]
    assert sorted(p.name for p in table.parent.iterdir()) == ["My loans.csv", "suite.toml"]


def test_black_boxes_get_what_asks_for_outputs_only(call: Call, table: Path) -> None:
    assert call("init", "--data", "breast_cancer", "--model", "random_forest")[0] == 0
    loaded = suites.load("suite.toml")
    assert "gradient" not in [e.name for e in loaded.explainers]
    assert "mprt" not in [m.name for m in loaded.metrics]
    assert "kernel_shap" in [e.name for e in loaded.explainers]


def test_a_model_of_ones_own_is_named_from_the_folder_of_the_suite(call: Call, table: Path) -> None:
    Path("parts").mkdir()
    Path("parts/net.py").write_text(
        "import numpy as np\ndef flat(data):\n    return lambda a: np.full((len(a), 2), 0.5)\n"
    )
    Path("suites").mkdir()
    arguments = ("--data", "My loans.csv", "--model", "parts/net.py:flat", "--target", "paid", "-o", "suites/a.toml")
    code, _, err = call("init", *arguments)
    assert code == 0, err
    text = Path("suites/a.toml").read_text()
    assert '"../parts/net.py:flat"' in text
    assert 'FILE = Path(__file__).parent / "../My loans.csv"' in Path("suites/my_loans_data.py").read_text()


WRONG = {
    "no target": (["My loans.csv", "mlp"], "--target is missing"),
    "a column that is not there": (["My loans.csv", "mlp", "pade"], "did you mean 'paid'"),
    "numbers": (["My loans.csv", "mlp", "amount"], "119 different values; that is not a class"),
    "one class": (["My loans.csv", "mlp", "constant"], "has 1 class"),
    "a rare class": (["My loans.csv", "mlp", "rare"], "class 'y' of column 'rare' has 2 rows"),
    "no file": (["nothing.csv", "mlp", "paid"], "there is no file nothing.csv"),
    "a table that is not there": (["My loans.parquet", "mlp", "paid"], "there is no file My loans.parquet"),
    "another kind of file": (["My loans.xlsx", "mlp", "paid"], "is not a file that data sets are read from"),
    "an unknown data set": (["digit", "mlp"], "did you mean 'digits'"),
    "a target of a known data set": (["digits", "mlp", "class"], "leave --target out"),
    "an unknown model": (["My loans.csv", "mpl", "paid"], "did you mean 'mlp'"),
    "a fitted model that is not there": (["My loans.csv", "clf.joblib", "paid"], "there is no file clf.joblib"),
    "another kind of model": (["My loans.csv", "clf.h5", "paid"], "is not a model file that is read"),
    "maps that are not there": (["digits", "cnn", "", "--explanations", "m.npz"], "there is no file m.npz"),
    "a split of a data set": (["digits", "cnn", "", "--split", "part"], "--split is for tables"),
    "a file without a name": (["My loans.csv", "net.py", "paid"], "write net.py:NAME"),
    "a model for images": (["My loans.csv", "cnn", "paid"], "takes image data"),
    "not a suite": (["My loans.csv", "mlp", "paid", "-o", "suite.txt"], "is not a suite file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_leave_nothing_behind(call: Call, table: Path, name: str) -> None:
    (data, model, *rest), said = WRONG[name]
    target = ["--target", rest[0]] if rest and rest[0] else []
    code, _, err = call("init", "--data", data, "--model", model, *target, *rest[1:])
    assert code == 2
    assert said in err.replace("\n", " ")
    assert [p.name for p in table.parent.iterdir()] == ["My loans.csv"]


@pytest.mark.parametrize("content", ["", "a,b\n1,2,3,4\n1\n", "\x00\x01"])
def test_what_is_no_table_is_said(call: Call, table: Path, content: str) -> None:
    table.write_text(content)
    code, _, err = call("init", "--data", "My loans.csv", "--model", "mlp", "--target", "paid")
    assert code == 2
    assert err.startswith("error: ")
    assert len(list(table.parent.iterdir())) == 1


def test_files_are_not_written_over_unless_asked(call: Call, table: Path) -> None:
    arguments = ("init", "--data", "My loans.csv", "--model", "mlp", "--target", "paid")
    assert call(*arguments)[0] == 0
    Path("suite.toml").write_text("# mine\n")
    code, _, err = call(*arguments)
    assert (code, "add --force" in err) == (2, True)
    assert Path("suite.toml").read_text() == "# mine\n"
    code, _, _ = call("init", "--data", "My loans.csv", "--model", "cnn", "--target", "paid", "--force")
    assert code == 2
    assert Path("suite.toml").read_text() == "# mine\n", "what was there comes back"
    assert call(*arguments, "--force")[0] == 0
    assert "[[problems]]" in Path("suite.toml").read_text()
