"""Whole runs with `llm` against a server: what is asked, kept, shown and paid, and what never happens twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.chat_server import KEY, ChatServer, chat_server, error
from helpers.command_line import Call

import xaibench as xb
from xaibench.functions.sandbox import confinement, program
from xaibench.store import Store

pytest.importorskip("openai", reason="the extra llm is not installed")
pytestmark = pytest.mark.skipif(not confinement.supported(), reason="programs are confined on Linux only")
PROGRAMS = Path(__file__).parent.parent / "plugins" / "programs.py"
N = 4


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_LOG"):
        monkeypatch.delenv(name, raising=False)
    with chat_server() as running:
        yield running
    program.dismiss_all()


@pytest.fixture
def suite(tmp_path: Path, server: ChatServer) -> Callable[..., Path]:
    def write(*models: str, metrics: str = '"tiny_fit"', **params: Any) -> Path:
        given = {"base_url": server.url, "retries": 0, "max_rounds": 4, "repairs": 0, **params}
        fields = ", ".join(f"{k} = {json.dumps(v)}" for k, v in given.items())
        entries = ", ".join(f'{{ name = "llm", params = {{ model = "{m}", {fields} }} }}' for m in models)
        path = tmp_path / "chat.toml"
        path.write_text(
            f"description = 'lines'\nbudget = 8\nrandom_draws = 3\ninterpreters = [{entries}]\nmetrics = [{metrics}]\n"
            f'[[problems]]\nfunctions = {{ name = "tiny_lines", params = {{ n = {N} }} }}\n'
        )
        return path

    return write


@pytest.fixture
def run(call: Call, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    def go(suite: Path, command: str = "run") -> tuple[int, str, str]:
        return call(command, suite, "--store", tmp_path / "store", "--plugin", PROGRAMS)

    return go


def rows_of(tmp_path: Path, model: str, metric: str = "tiny_fit") -> Any:
    frame = Store(tmp_path / "store").read().to_pandas()
    frame = frame[(frame["explainer"] == "llm") & (frame["metric"] == metric)]
    return frame[frame["explainer_params"].str.contains(f'"{model}"')].iloc[0]


@pytest.mark.slow
def test_a_run_from_plan_to_leaderboard(run: Any, suite: Any, server: ChatServer, call: Call, tmp_path: Path) -> None:
    path = suite("linear", price_prompt=2.0)
    code, out, _ = run(path, "plan")
    assert code == 0
    assert server.requests == [], "a plan sends nothing"
    assert f"{N} answers; estimate, an upper bound for replies of typical length: {4 * N} requests" in out
    assert "cost 0." in out
    code, out, err = run(path)
    assert code == 0
    assert "estimate, an upper bound" in err
    assert len(server.requests) == 2 * N
    row = rows_of(tmp_path, "linear")
    assert list(row["scores"]) == [1] * N
    assert row["n_evaluations"] == 2 * N
    assert run(path)[0] == 0
    assert len(server.requests) == 2 * N, "what is there is not asked for again"
    assert run(suite("linear", timeout=5.0, retries=3, price_prompt=1.0))[0] == 0
    assert len(server.requests) == 2 * N, "nor for another timeout or price"
    assert "timeout" not in rows_of(tmp_path, "linear")["explainer_params"]
    assert run(suite("linear", metrics='"tiny_fit", "tiny_new_points"'))[0] == 0
    assert len(server.requests) == 2 * N, "nor where a program is wanted elsewhere: it is restored"
    new = rows_of(tmp_path, "linear", "tiny_new_points")
    assert list(new["scores"]) == [7 * (i + 1) + i for i in range(N)]


@pytest.mark.slow
def test_the_conversation_can_be_read_later(
    run: Any, suite: Any, server: ChatServer, call: Call, tmp_path: Path
) -> None:
    run(suite("linear", "wrong"))
    asked = len(server.requests)
    show = ["show", "tiny/0003", "--plugin", PROGRAMS, "--store", tmp_path / "store", "--interpreter"]
    code, out, _ = call(*show, "llm", "--param", "model=linear")
    assert code == 0
    assert "the line 4 x + 3" in out
    assert "system: You are to find out what an unknown function f does" in out
    assert 'assistant calls ask_function: {"inputs": [0, 1]}' in out
    assert "def f(x):\n    return 4.0 * x + 3.0" in out
    assert "stored in" in out
    assert "made up" in call(*show, "llm", "--param", "model=wrong")[1]
    assert "also stored: llm(" in call(*show, "llm")[1]
    assert len(server.requests) == asked
    assert call(*show, "mean")[0] == 0
    code, _, err = call(*show, "polynomial")
    assert code == 2
    assert "holds no answer of polynomial for tiny/0003" in err
    fresh = ["show", "tiny/0003", "--plugin", PROGRAMS, "--interpreter", "llm", "--budget", 8]
    code, out, _ = call(*fresh, "--param", "model=linear", "--param", f"base_url={server.url}")
    assert code == 0
    assert "the line 4 x + 3" in out
    assert len(server.requests) == asked + 2


@pytest.mark.slow
def test_a_dropped_connection_costs_what_was_missing_only(
    run: Any, suite: Any, server: ChatServer, call: Call, tmp_path: Path
) -> None:
    path = suite("linear")
    server.trouble = lambda number, body: "drop" if number > 4 else None
    code, out, _ = run(path)
    assert code == 3
    assert "no answer from 127.0.0.1" in out
    assert rows_of(tmp_path, "linear")["status"] == "failed"
    assert server.conversations == 3
    server.trouble = None
    server.requests.clear()
    _, out, _ = run(path, "plan")
    assert "2 are stored and are not asked for again" in out
    assert f"{4 * (N - 2)} requests" in out
    assert run(path)[0] == 0
    assert server.conversations == N - 2
    assert len(server.requests) == 2 * (N - 2)
    row = rows_of(tmp_path, "linear")
    assert (row["status"], list(row["scores"])) == ("ok", [1] * N)


@pytest.mark.slow
def test_an_endpoint_that_refuses_is_asked_once_and_again_when_it_is_mended(
    run: Any, suite: Any, server: ChatServer, tmp_path: Path
) -> None:
    path = suite("linear")
    server.trouble = lambda number, body: error(401, f"Incorrect API key provided: {KEY}")
    code, out, err = run(path)
    assert code == 3
    assert len(server.requests) == 1
    assert rows_of(tmp_path, "linear")["error_kind"] == "NotReadyError"
    assert KEY not in out + err
    server.trouble = None
    assert run(path)[0] == 0
    assert rows_of(tmp_path, "linear")["status"] == "ok"


@pytest.mark.slow
def test_bad_answers_are_zeros_with_a_reason_and_the_run_goes_on(
    run: Any, suite: Any, server: ChatServer, tmp_path: Path
) -> None:
    bad = {
        "asks_forever": "no answer after 4 rounds",
        "no_code": "no code in the answer",
        "attack": "the program was refused: line 1: importing 'os' is not allowed",
        "breaks": "ZeroDivisionError: division by zero (line 2)",
        "wrong": None,
    }
    code, _, _ = run(suite(*bad, "linear"))
    assert code == 0
    assert list(rows_of(tmp_path, "linear")["scores"]) == [1] * N
    for model, reason in bad.items():
        row = rows_of(tmp_path, model)
        assert row["status"] == "ok"
        assert list(row["scores"]) == [0] * N
        if reason is None:
            assert not isinstance(row["message"], str)
        else:
            assert row["message"].startswith(f"no program, or one that failed, for {N} of {N} functions: tiny/0000: ")
            assert reason in row["message"]
    asked = len(server.requests)
    run(suite(*bad, "linear"))
    assert len(server.requests) == asked, "a bad answer is an answer"


def test_the_interpreter_is_listed_with_what_it_requires(call: Call) -> None:
    assert '"(required)"' in call("show", "llm")[1]
    assert xb.components("interpreter").set_index("name").loc["llm", "parameters"]["model"] == "(required)"


@pytest.mark.slow
def test_one_endless_program_among_good_ones(run: Any, suite: Any, server: ChatServer, tmp_path: Path) -> None:
    good, endless = server.scripts["linear"], server.scripts["endless"]
    second = '"answers": [[0.0, 1.0]'
    server.scripts["moody"] = lambda m: (endless if second in m[-1]["content"] else good)(m)
    assert run(suite("moody"))[0] == 0
    row = rows_of(tmp_path, "moody")
    assert list(row["scores"]) == [1, 0, *[1] * (N - 2)]
    assert f"for 1 of {N} functions: tiny/0001: the program was stopped after 2 s" in row["message"]


@pytest.mark.slow
def test_the_key_is_nowhere_in_the_store(run: Any, suite: Any, server: ChatServer, call: Call, tmp_path: Path) -> None:
    server.scripts["parrot"] = lambda m: {"role": "assistant", "content": f"my key is {KEY}"}
    server.trouble = lambda number, body: error(401, f"bad key {KEY}") if body["model"] == "refused" else None
    said = run(suite("linear", "parrot", "refused"))
    shown = call("show", "tiny/0001", "--plugin", PROGRAMS, "--store", tmp_path / "store", "--interpreter", "llm")
    assert all(KEY not in text for text in (*said[1:], *shown[1:]))
    files = [p for p in (tmp_path / "store").rglob("*") if p.is_file()]
    assert len(files) > 5
    assert not [p for p in files if KEY.encode() in p.read_bytes()]
    for row in Store(tmp_path / "store").read().to_pylist():
        assert KEY not in json.dumps(row, default=str)
    assert set(server.keys) == {f"Bearer {KEY}"}
    kept = [r for folder in (tmp_path / "store" / "interpretations").glob("*/*") for r in _answers(folder)]
    assert [r for r in kept if "my key is [key]" in json.dumps(r["facts"])]


def _answers(folder: Path) -> list[dict[str, Any]]:
    return [a for file in folder.glob("*.json") for a in json.loads(file.read_text())["answers"]]


@pytest.mark.slow
def test_shipped_functions_of_every_kind_can_be_put_to_a_model(
    suite: Any, server: ChatServer, call: Call, tmp_path: Path
) -> None:
    """Whatever the set, the conversation begins, and a constant answer has a score."""
    from xaibench.core import registry

    server.scripts["number"] = lambda m: _constant("0.0", m)
    server.scripts["text"] = lambda m: _constant("'undefined'", m)
    for spec in registry.components("functions"):
        if not spec.function.__module__.startswith("xaibench.") or spec.holds_cases:
            continue
        box = spec.function(**spec.bind({}), seed=0)[0]
        kind = "number" if box.kind in ("numeric", "neuron") else "text"
        found = xb.interpret("llm", box, budget=4, model=kind, base_url=server.url)
        assert found.failure == ""
        assert found.queries == 1
        outputs = found.program(box.test_inputs)
        assert (np.asarray(outputs) == (0 if kind == "number" else "undefined")).all()


def _constant(value: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    from helpers.chat_server import answer, call, results

    if results(messages):
        return answer(f"def f(x):\n    return {value}")
    return call("ask_function", {"inputs": [0.5] if "takes a number" in messages[0]["content"] else ["a"]})
