"""Models of one's own in suites: boards or one sentence, with the right exit code; what a suite says of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import Call

import xaibench as xb
from xaibench.plan import expand
from xaibench.suite import load

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
MODELS = """
import sys
sys.path.insert(0, {helpers!r})
import torch
from torch import nn
from helpers.odd_models import Around, WithoutBatchFirst


def plain(data):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(data.input_shape[0], 8), nn.ReLU(), nn.Linear(8, data.n_classes))
    x, y = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_targets)
    optimiser = torch.optim.Adam(net.parameters(), 0.03)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    return net.eval()


def hidden(m, x):
    with torch.no_grad():
        h = m.net[1](m.net[0](x))
    return m.net[2](h)


def frozen(data): return Around(plain(data), hidden).eval()
def named(data): return Around(plain(data), lambda m, x: {{"logits": m.net(x), "inputs": x}}).eval()
def two(data): return Around(plain(data), lambda m, x: {{"a": m.net(x), "b": x}}).eval()
def brain(data): return plain(data).bfloat16()
def double(data): return plain(data).double()
def script(data): return torch.jit.script(plain(data))
def freeze(data): return torch.jit.freeze(torch.jit.script(plain(data)))
def gru(data): return WithoutBatchFirst(nn.GRU, 1, fold=True).eval()
def nans(data): return Around(plain(data), lambda m, x: torch.where(x[:, :1] > 0, torch.nan, m.net(x))).eval()
def mixing(data): return Around(plain(data), lambda m, x: m.net(x - x.mean(0))).eval()
def soft(data): return nn.Sequential(plain(data), nn.Softmax(1)).eval()
def functional(data): return Around(plain(data), lambda m, x: torch.softmax(m.net(x), 1)).eval()
def unused(data): return Around(plain(data), lambda m, x: m.net(x), last=nn.Softmax(1)).eval()
def normed(data):
    net = plain(data)
    nn.utils.weight_norm(net[0])
    net(torch.from_numpy(data.train_inputs[:4])).sum().backward()
    return net.train()
"""
TABLE = """
import numpy as np
import xaibench as xb


@xb.dataset("three_columns", features="table")
def three_columns(*, seed: int) -> xb.Data:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(240, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0).astype(np.int64)
    return xb.Data("table", x[:160], y[:160], x[160:], y[160:], class_names=("a", "b", "c"), accuracy_floor=0.5)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models and a data set, which are registered once."""
    made = tmp_path_factory.mktemp("own")
    (made / "mine.py").write_text(MODELS.format(helpers=str(Path(__file__).parents[1])))
    (made / "table.py").write_text(TABLE)
    return made


@pytest.fixture
def suite(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a suite about the named models beside their file and gives its path."""
    monkeypatch.chdir(tmp_path)

    def write(*models: str, explainers: str = '"gradient", "lrp", "occlusion"', more: str = "") -> Path:
        entries = ", ".join(m if m.startswith("{") else f'"mine.py:{m}"' for m in models)
        path = folder / f"s{len(list(folder.glob('*.toml')))}.toml"
        path.write_text(
            f'samples = 6\nbackground = 16\ncontrols = false\nexplainers = [{explainers}, "other_sample"]\n'
            f'metrics = ["pixel_flipping", "mprt", "relative_output_stability"]\n{more}\n'
            f'[[problems]]\ndataset = "table.py:three_columns"\nmodels = [{entries}]\n'
        )
        return path

    return write


def scores(store: Path) -> Any:
    return xb.results(store).set_index(["explainer", "metric"])


@pytest.mark.parametrize("model", ["named", "brain", "double", "normed", "soft", "unused"])
def test_models_get_a_board(suite: Any, call: Call, model: str) -> None:
    code, out, _ = call("run", suite(model), "--store", "st")
    assert code == 0
    assert "occlusion" in out
    rows = scores(Path("st"))
    assert set(rows["status"]) <= ({"ok", "unsupported"} if model == "soft" else {"ok"})
    found = json.loads(rows["model_facts"].iloc[0])
    returns = "probability" if model == "soft" else "logit"
    assert (found["returns"], found["gradients"], found["hooks"]) == (returns, True, True)
    assert found["input_dtype"] == {"brain": "bfloat16", "double": "float64"}.get(model, "float32")


@pytest.mark.parametrize("model", ["named", "unused", "double", "script"])
def test_their_scores_are_those_of_the_network_inside(suite: Any, call: Call, model: str) -> None:
    for name in ("plain", model):
        assert call("run", suite(name), "--store", name, "-q")[0] == 0
    plain, odd = (scores(Path(name)).loc[("occlusion", "pixel_flipping"), "scores"] for name in ("plain", model))
    assert odd == pytest.approx(list(plain), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("model", ["script", "freeze"])
def test_compiled_models_are_unsupported_where_layers_are_needed(suite: Any, call: Call, model: str) -> None:
    code, _, _ = call("run", suite(model), "--store", "st")
    assert code == 0
    rows = scores(Path("st"))
    status = rows["status"].to_dict()
    assert status[("gradient", "pixel_flipping")] == status[("occlusion", "relative_output_stability")] == "ok"
    assert status[("lrp", "pixel_flipping")] == status[("gradient", "mprt")] == "unsupported"
    assert "the model is compiled (TorchScript)" in rows.loc[("lrp", "pixel_flipping"), "message"]
    assert call("run", suite(model), "--store", "st")[0] == 0


def test_without_a_gradient_the_others_are_scored(suite: Any, call: Call) -> None:
    assert call("run", suite("frozen"), "--store", "st")[0] == 0
    rows = scores(Path("st"))
    for name, status in (
        ("gradient", "unsupported"),
        ("lrp", "unsupported"),
        ("occlusion", "ok"),
        ("other_sample", "ok"),
    ):
        assert rows.loc[(name, "pixel_flipping"), "status"] == status
    assert rows.loc[("gradient", "mprt"), "message"].startswith(
        "explainer gradient needs gradients: no gradient reaches the inputs"
    )


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("two", "model 'mine.two': the model returns a dictionary with a, b, and none is called 'logits'; explain a"),
        ("gru", "model 'mine.gru': the model returned 3 rows for 8 inputs; a model maps (N, ...) to (N, C)"),
        ("nans", "model 'mine.nans': the model returned NaN for 34 of 80 inputs; look for"),
        ("mixing", "model 'mine.mixing': the output of a sample depends on the other samples of its batch"),
        ('{ name = "mine.py:plain", returns = "probability" }', 'these are not probabilities; say returns="logit"'),
        ('{ name = "mine.py:soft", returns = "logit" }', 'returns="logit" was said; say returns="probability" instead'),
        ('{ name = "mine.py:plain", returns = "value" }', "returns 3 values for data of 3 classes"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence(suite: Any, call: Call, model: str, sentence: str) -> None:
    code, out, err = call("run", suite(model, explainers='"occlusion"'), "--store", "st")
    assert code == 3
    assert "Traceback" not in out + err
    rows = xb.results("st")
    assert set(rows["status"]) == {"failed"}
    assert set(rows["error_kind"]) == {"UsageError"}
    message = rows["message"].iloc[0]
    assert sentence in message
    assert "\n" not in message


def test_what_a_suite_says_of_a_model_is_measured(suite: Any, call: Call) -> None:
    path = suite(
        "plain",
        '{ name = "mine.py:plain", returns = "multilabel_logit", batch_size = 2 }',
        '{ name = "mine.py:plain", returns = "logit", output = "probability" }',
        explainers='"occlusion"',
    )
    assert call("run", path, "--store", "st")[0] == 0
    rows = xb.results("st")
    rows = rows[(rows["explainer"] == "occlusion") & (rows["metric"] == "relative_output_stability")]
    assert sorted(rows["selection"]) == [
        "test[:6] predicted default train[:16]",
        "test[:6] predicted default train[:16] returns multilabel_logit",
        "test[:6] predicted probability train[:16] returns logit",
    ]
    by = rows.set_index("selection")
    several = by.loc["test[:6] predicted default train[:16] returns multilabel_logit"]
    assert several["batch_size"] == 2
    assert json.loads(several["model_facts"])["returns_from"] == "given"
    assert len(set(rows["fingerprint"])) == 3
    assert list(by.sort_index()["output"]) == ["logit", "logit", "probability"]


def test_ids_stay_where_nothing_is_said(suite: Any) -> None:
    said = [
        suite("plain"),
        suite('{ name = "mine.py:plain" }'),
        suite('{ name = "mine.py:plain", batch_size = 4 }'),
        suite('{ name = "mine.py:plain", returns = "logit" }'),
        suite('{ name = "mine.py:plain", output = "logit" }'),
    ]
    keys = [next(iter(expand(load(str(path))))).problem.key for path in said]
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('{ name = "mine.py:plain", returns = "logits" }', "returns"),
        ('{ name = "mine.py:plain", batch_size = 0 }', "batch_size"),
        ('{ name = "mine.py:plain", return = "logit" }', "did you mean 'returns'"),
    ],
)
def test_mistakes_in_what_is_said_are_named(suite: Any, call: Call, entry: str, message: str) -> None:
    code, _, err = call("run", suite(entry), "--store", "st")
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("model", "lines"),
    [
        (
            "plain",
            ["torch module", "logits (assumed of a model of this kind), columns: 3", "float32", "hooks and copies"],
        ),
        ("functional", ["probabilities (decided by its outputs)"]),
        ("script", ["TorchScript module", "no module: the model is compiled"]),
        ("brain", ["bfloat16"]),
        ("frozen", ["no gradients: no gradient reaches the inputs"]),
    ],
)
def test_show_prints_the_facts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: Call, model: str, lines: list[str]
) -> None:
    monkeypatch.chdir(folder)
    code, out, _ = call("show", f"table.py:three_columns/mine.py:{model}")
    assert code == 0
    assert not [line for line in lines if line not in out]


def test_a_report_prints_the_facts(suite: Any, call: Call) -> None:
    assert call("run", suite("script", explainers='"occlusion"'), "--store", "st", "-q")[0] == 0
    assert call("report", "st", "-o", "page.html")[0] == 0
    page = Path("page.html").read_text()
    assert "Models, as a first look at their outputs found them" in page
    assert "TorchScript module" in page
