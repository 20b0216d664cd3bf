"""The interpreter `llm` against a server that speaks the protocol: one function at a time."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers.chat_server import KEY, ChatServer, answer, call, chat_server, error, results, text

import xaibench as xb
from xaibench.core.errors import UsageError
from xaibench.core.program_specs import InterpreterSpec
from xaibench.core.programs.black_box import AskAgainError, Domain
from xaibench.core.registry import get
from xaibench.functions.llm.interpreter import estimate, restore
from xaibench.functions.llm.protocol import answer_in, answer_of, call_in, instructions, told
from xaibench.functions.sandbox import confinement, program

pytest.importorskip("openai", reason="the extra llm is not installed")
pytestmark = pytest.mark.skipif(not confinement.supported(), reason="programs are confined on Linux only")
Ask = Callable[..., xb.Interpretation]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_LOG"):
        monkeypatch.delenv(name, raising=False)
    with chat_server() as running:
        yield running
    program.dismiss_all()


@pytest.fixture
def ask(server: ChatServer) -> Ask:
    def go(model: str = "linear", f: Any = lambda x: 3 * x + 2, **params: Any) -> xb.Interpretation:
        given = {"budget": 8, "model": model, "base_url": server.url, "retries": 0, **params}
        return xb.interpret("llm", f, **given)

    return go


def test_a_line_takes_two_requests(ask: Ask, server: ChatServer) -> None:
    found = ask(domain=(-2.0, 5.0))
    assert found.program(np.array([1.0, 4.0])).tolist() == [5, 14]
    assert (found.description, found.family, found.queries) == ("the line 3 x + 2", "linear", 2)
    facts = found.facts
    assert facts["model"] == "linear-2026-01-01"
    assert facts["requests"] == facts["rounds"] == len(server.requests) == 2
    assert facts["tokens"]["completion"] == 20
    assert facts["tokens"]["prompt"] > 100
    assert facts["cost"] is None
    assert [m["role"] for m in facts["transcript"]] == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert facts["size"] == 2
    first = server.requests[0]
    assert (first["temperature"], first["max_tokens"], first["model"]) == (0, 4096, "linear")
    assert [t["function"]["name"] for t in first["tools"]] == ["ask_function", "answer"]
    assert "from -2 to 5" in first["messages"][0]["content"]


def test_facts_are_enough_to_make_the_program_again(ask: Ask, server: ChatServer) -> None:
    facts = json.loads(json.dumps(ask().facts))
    before = len(server.requests)
    spec = get("interpreter", "llm")
    assert isinstance(spec, InterpreterSpec)
    assert spec.restore is restore
    assert restore(facts, Domain())(np.array([5.0])).tolist() == [17]
    assert len(server.requests) == before


def test_fenced_code_is_an_answer_too(ask: Ask) -> None:
    found = ask("fenced")
    assert found.program(5.0) == 17
    assert (found.description, found.intervals) == ("the line 3 x + 2", ((2.0, 3.0),))


@pytest.mark.slow
def test_strings_neurons_and_relations(ask: Ask, server: ChatServer) -> None:
    def upper(messages: list[dict[str, Any]]) -> dict[str, Any]:
        return (
            answer("def f(x):\n    return x.upper()") if results(messages) else call("ask_function", {"inputs": "ab"})
        )

    server.scripts |= {"upper": upper, "neuron": lambda m: answer("def f(x):\n    return 0.5 if 'a' in x else 0")}
    words = ["ab", "cd"]
    shout = ask("upper", lambda xs: [x.upper() for x in xs], domain=words)
    assert shout.program(["xy"]) == ["XY"]
    assert shout.queries == 1
    assert "'ab', 'cd'" in server.requests[0]["messages"][0]["content"]
    assert ask("upper", lambda xs: xs, domain=words, kind="relation").program(["xy"]) == ["XY"]
    neuron = ask("neuron", lambda xs: np.zeros(len(xs)), domain=words, kind="neuron")
    assert neuron.program(["ab", "cd"]).tolist() == [0.5, 0]


BAD = {
    "asks_forever": "no answer after 4 rounds",
    "no_code": "no code in the answer",
    "attack": "the program was refused: line 1: importing 'os' is not allowed",
    "breaks": "ZeroDivisionError: division by zero (line 2)",
}


@pytest.mark.parametrize("model", BAD)
def test_bad_answers_have_a_reason_and_are_paid_for_a_bounded_number_of_times(
    ask: Ask, server: ChatServer, model: str
) -> None:
    found = ask(model, max_rounds=4)
    assert found.failure.startswith(BAD[model])
    assert len(server.requests) <= 4
    assert found.facts["transcript"]
    assert "size" not in found.facts, "a program that cannot run is no short one"
    with pytest.raises(xb.XaibenchError, match="there is no program"):
        found.program(1.0)


def test_a_bad_answer_can_be_mended_as_often_as_is_allowed(ask: Ask, server: ChatServer) -> None:
    def learns(messages: list[dict[str, Any]]) -> dict[str, Any]:
        if "numpy" not in json.dumps(messages[2:]):
            return answer("import numpy as np\ndef f(x):\n    return np.sin(x)")
        return answer("import math\ndef f(x):\n    return math.sin(x)")

    server.scripts["learns"] = learns
    assert ask("learns").program(1.0) == np.sin(1.0)
    assert "importing 'numpy'" in server.requests[-1]["messages"][-1]["content"]
    assert "importing 'numpy'" in ask("learns", repairs=0).failure


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"inputs": list(range(9))}, "9 questions, and 8 of 8 are left"),
        ({"inputs": [1e9]}, "no number from -128 to 128"),
        ({"inputs": ["a"]}, "no number"),
        ({"inputs": [True]}, "no number"),
        ({"inputs": [float("nan")]}, "no number"),
        ({"inputs": []}, "no inputs"),
        ({}, "no inputs"),
        ('{"inputs": [1', "no JSON object"),
        ("[1]", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
    ],
)
def test_questions_that_cannot_be_asked_are_explained(ask: Ask, server: ChatServer, arguments: Any, said: str) -> None:
    def asks(messages: list[dict[str, Any]]) -> dict[str, Any]:
        return answer("def f(x):\n    return x") if len(messages) > 2 else call("ask_function", arguments)

    server.scripts["asks"] = asks
    found = ask("asks")
    assert found.failure == ""
    assert found.queries == 0
    assert said in server.requests[-1]["messages"][-1]["content"]


def test_several_calls_in_one_message_all_get_a_result(ask: Ask, server: ChatServer) -> None:
    def eager(messages: list[dict[str, Any]]) -> dict[str, Any]:
        if len(messages) > 2:
            return answer("def f(x):\n    return x")
        made = call("ask_function", {"inputs": [1]}, "a")
        made["tool_calls"] += call("ask_function", {"inputs": [2]}, "b")["tool_calls"]
        made["tool_calls"] += call("other", {}, "c")["tool_calls"]
        return made

    server.scripts["eager"] = eager
    found = ask("eager")
    assert found.queries == 2
    said = {m["tool_call_id"]: m["content"] for m in server.requests[-1]["messages"] if m["role"] == "tool"}
    assert json.loads(said["b"])["answers"] == [[2, 8]]
    assert json.loads(said["b"])["inputs_left"] == 6
    assert "no tool 'other'" in said["c"]


# What goes wrong on the way


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_that_passes_is_tried_again(ask: Ask, server: ChatServer, status: int) -> None:
    server.trouble = lambda number, body: error(status, "later") if number == 2 else None
    found = ask(retries=2)
    assert found.program(5.0) == 17
    assert len(server.requests) == 3
    assert found.facts["requests"] == 2
    assert found.facts["retries"] == 1


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (error(429, "slow down"), "answered 429 and 0 retries did not help"),
        (error(503, "overloaded"), "answered 503"),
        ("drop", "no answer from 127.0.0.1"),
        ((200, {}, b"<html>login</html>"), "gave no chat completion"),
        ((200, {}, {"choices": []}), "gave no chat completion"),
        ((200, {}, {"choices": None}), "gave no chat completion"),
        (error(401, "Incorrect API key provided"), "see the key in the environment variable OPENAI_API_KEY"),
        (error(403, "no"), "the key may not use this model"),
        (error(404, "The model does not exist"), "see the model's name 'linear'"),
        (error(400, "Unsupported parameter: temperature"), 'temperature = "default"'),
    ],
)
def test_trouble_that_stays_is_no_answer(ask: Ask, server: ChatServer, trouble: Any, said: str) -> None:
    server.trouble = lambda number, body: trouble
    with pytest.raises(AskAgainError) as caught:
        ask()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 1


def test_unknown_models_paths_and_servers(ask: Ask, server: ChatServer) -> None:
    with pytest.raises(AskAgainError, match="`gpt-0` does not exist"):
        ask("gpt-0")
    with pytest.raises(AskAgainError, match="no such path"):
        ask(base_url=server.url + "/v2")
    with pytest.raises(AskAgainError, match="no answer from 127"):
        ask(base_url="http://127.0.0.1:9/v1")


def test_a_slow_server_is_given_up(ask: Ask, server: ChatServer) -> None:
    import time

    server.trouble = lambda number, body: time.sleep(0.6)
    with pytest.raises(AskAgainError, match="timed out"):
        ask(timeout=0.2)


@pytest.mark.parametrize(
    "trouble",
    [error(400, "maximum context length is 10", "too_long"), error(400, "no", "content_filter")],
)
def test_a_conversation_that_is_refused_is_a_bad_answer(ask: Ask, server: ChatServer, trouble: Any) -> None:
    server.trouble = lambda number, body: trouble if number == 2 else None
    found = ask()
    assert "conversation" in found.failure
    assert found.queries == 2


def test_what_endpoints_differ_in(ask: Ask, server: ChatServer) -> None:
    ask(temperature="default", token_limit="max_completion_tokens", max_tokens=77, api_key_env="")
    assert "temperature" not in server.requests[0]
    assert "max_tokens" not in server.requests[0]
    assert server.requests[0]["max_completion_tokens"] == 77
    assert server.keys[0] != f"Bearer {KEY}"


def test_tokens_that_are_not_told_are_unknown(ask: Ask, server: ChatServer) -> None:
    made = {"choices": [{"index": 0, "message": answer("def f(x):\n    return 1"), "finish_reason": "stop"}]}
    server.trouble = lambda number, body: (200, {}, made)
    facts = ask(price_prompt=1.0).facts
    assert facts["tokens"] == {"prompt": None, "completion": None}
    assert facts["cost"] is None


def test_cost_and_estimate(ask: Ask) -> None:
    facts = ask(price_prompt=1000.0, price_completion=1e6).facts
    assert facts["cost"] == pytest.approx(facts["tokens"]["prompt"] / 1000 + 20)
    params = {"max_rounds": 20, "price_prompt": 1.0, "price_completion": None}
    for n in (0, 1, 1000):
        assert estimate(params, n, 128).requests == 20 * n
        assert estimate(params, n, 128).cost == pytest.approx(estimate(params, n, 128).prompt_tokens / 1e6)
    assert estimate({**params, "price_prompt": None}, 1, 8).cost is None


@pytest.mark.slow
def test_the_estimate_is_above_what_conversations_of_every_turn_take(ask: Ask, server: ChatServer) -> None:
    facts = ask("asks_forever", max_rounds=8, budget=8).facts
    expected = estimate({"max_rounds": 8, "price_prompt": None, "price_completion": None}, 1, 8)
    assert facts["requests"] == expected.requests
    assert facts["tokens"]["prompt"] < expected.prompt_tokens


# The key


def test_the_key_goes_to_the_server_and_nowhere_else(
    ask: Ask, server: ChatServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    server.scripts["parrot"] = lambda m: answer(f"# {KEY}\ndef f(x):\n    return 1", description=f"{KEY} \x1b[2J")
    found = ask("parrot")
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert found.description == "[key] ?[2J"
    server.trouble = lambda number, body: error(401, f"Incorrect API key provided: {KEY}\x1b[2J")
    with pytest.raises(AskAgainError) as caught:
        ask()
    written, errors = capfd.readouterr()
    import traceback

    everything = [repr(found), json.dumps(dict(found.facts)), caplog.text, written, errors]
    everything += ["".join(traceback.format_exception(caught.value)), json.dumps(server.requests)]
    assert not [s for s in everything if KEY in s]
    assert "\x1b" not in "".join(everything[:2] + everything[5:])


def test_without_a_key_nothing_is_sent(ask: Ask, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(AskAgainError, match="the environment variable OPENAI_API_KEY holds no key"):
        ask()
    monkeypatch.setenv("OTHER", "two words\n and a line")
    with pytest.raises(AskAgainError, match="the environment variable OTHER holds no valid key") as caught:
        ask(api_key_env="OTHER")
    assert "two words" not in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize(
    "url", ["api.example.org", "ftp://a.b/v1", "https://me:secret@a.b/v1", "https://a.b/v1?key=s", "https://a.b/#k"]
)
def test_addresses_hold_no_more_than_an_address(ask: Ask, url: str) -> None:
    with pytest.raises(UsageError, match="base_url"):
        ask(base_url=url)


def test_without_the_sdk_it_says_what_to_install(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(AskAgainError, match=r"pip install 'xaibench\[llm\]'"):
        ask()


def test_nothing_is_asked_where_programs_cannot_run(
    ask: Ask, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confinement, "supported", lambda: False)
    with pytest.raises(xb.UnsupportedError, match="Linux"):
        ask()
    assert server.requests == []


# Reading what models write


def test_code_in_messages() -> None:
    two = "```python\nx = 1\n```\nbetter:\n```py\ndef f(x):\n    return 1\n```\nuse it as\n```\nprint(f(1))\n```"
    assert answer_in(two, "numeric").code == "def f(x):\n    return 1"
    thought = "<think>```python\ndef f(x): return 0\n```</think>\n```python\nf = lambda x: 2\n```"
    assert answer_in(thought, "numeric").code == "f = lambda x: 2"
    assert answer_in("```python\ndef f(x):\n    return 3", "numeric").code == "def f(x):\n    return 3"
    assert answer_in("def f(x): in words", "numeric").code == ""
    said = answer_in("DESCRIPTION: a line\n- **FAMILY**: linear\nDOMAIN: [-3, 4.5] and (6, 7e1)", "numeric")
    assert (said.description, said.family, said.intervals) == ("a line", "linear", ((-3.0, 4.5), (6.0, 70.0)))
    assert answer_in("DOMAIN: [1, 2]", "string").intervals == ()


def test_tool_calls_that_are_written_as_text() -> None:
    assert call_in('{"name": "ask_function", "arguments": {"inputs": [1]}}') == ("ask_function", {"inputs": [1]})
    assert call_in('Now:\n```json\n{"inputs": [1]}\n```') == ("ask_function", {"inputs": [1]})
    assert call_in('<think>{"inputs": [2]}</think>{"code": "f = 1"}') == ("answer", {"code": "f = 1"})
    for other in ("no", "[1]", '{"name": "rm", "arguments": {}}', "{" * 5000, "[" * 100_000):
        assert call_in(other) is None


def test_models_that_write_their_tool_calls_as_text_are_understood(ask: Ask, server: ChatServer) -> None:
    def writes(messages: list[dict[str, Any]]) -> dict[str, Any]:
        if len(messages) == 2:
            return text('{"name": "ask_function", "parameters": {"inputs": [0, 1]}}')
        return text(json.dumps({"code": "def f(x):\n    return 3 * x + 2", "family": "linear"}))

    server.scripts["writes"] = writes
    found = ask("writes")
    assert (found.program(5.0), found.family, found.queries) == (17, "linear", 2)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"code": 3}, {"code": "f = 1", "intervals": 3}, {"code": "f = 1", "intervals": [[1], [2, 1], ["a", 2], None]}],
)
def test_answers_of_any_shape_are_read(arguments: dict[str, Any]) -> None:
    said = answer_of({**arguments, "description": ["x"], "family": {}}, "numeric")
    assert (said.description, said.family, said.intervals) == ("", None, ())


def test_what_the_model_is_told() -> None:
    said = json.loads(told([1.0, 2.0], np.array([1 / 3, np.nan]), 5, 1))
    assert said["answers"] == [[1, 0.3333333333], [2, None]]
    assert (said["inputs_left"], said["turns_left"]) == (5, 1)
    assert "last turn" in said["note"]
    assert "{" not in instructions("numeric", Domain(), 8, 20)
    many = Domain(words=tuple(f"w{k}" for k in range(10_000)))
    assert len(instructions("neuron", many, 8, 20)) < 10_000
