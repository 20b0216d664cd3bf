"""A server that speaks OpenAI's chat protocol over real HTTP, with scripted models behind it."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-4d1c7e9a2b"
Message = dict[str, Any]
Script = Callable[[list[Message]], Message]


def call(name: str, arguments: Any, identity: str = "call_1") -> Message:
    """A message that calls a tool."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    tool = {"id": identity, "type": "function", "function": {"name": name, "arguments": text}}
    return {"role": "assistant", "content": None, "tool_calls": [tool]}


def text(content: str) -> Message:
    return {"role": "assistant", "content": content}


def answer(code: str, **more: Any) -> Message:
    return call("answer", {"description": "made up", "code": code, **more})


def results(messages: list[Message]) -> list[dict[str, Any]]:
    """What the tool ask_function has said so far."""
    said = [m["content"] for m in messages if m["role"] == "tool"]
    return [json.loads(s) for s in said if s.startswith("{")]


def linear(messages: list[Message]) -> Message:
    """Knows every line after two questions."""
    found = results(messages)
    if not found:
        return call("ask_function", {"inputs": [0, 1]})
    bias, one = (float(y or 0) for _, y in found[0]["answers"])
    code = f"import math\n\ndef f(x):\n    return {one - bias!r} * x + {bias!r}\n"
    return answer(code, description=f"the line {one - bias:g} x + {bias:g}", family="linear", intervals=[])


def fenced(messages: list[Message]) -> Message:
    """The same without tools for the answer: fenced code, and headings."""
    if not results(messages):
        return call("ask_function", {"inputs": [0, 1]})
    arguments = json.loads(linear(messages)["tool_calls"][0]["function"]["arguments"])
    return text(
        f"**DESCRIPTION:** {arguments['description']}\nDOMAIN: [2, 3]\n\n```python\n{arguments['code']}```\nDone."
    )


def asks_forever(messages: list[Message]) -> Message:
    return call("ask_function", {"inputs": [1]})


def no_code(messages: list[Message]) -> Message:
    return text("I am sorry, this is a hard function.")


def endless(messages: list[Message]) -> Message:
    return answer("def f(x):\n    while True:\n        pass\n")


def attack(messages: list[Message]) -> Message:
    return answer("import os\n\ndef f(x):\n    return os.system('id')\n")


def breaks(messages: list[Message]) -> Message:
    return answer("def f(x):\n    return 1 / 0\n")


def wrong(messages: list[Message]) -> Message:
    return answer("def f(x):\n    return 1e6\n")


SCRIPTS: dict[str, Script] = {
    f.__name__: f for f in (linear, fenced, asks_forever, no_code, endless, attack, breaks, wrong)
}


@dataclass
class ChatServer:
    """What tests see of the server.

    Attributes
    ----------
    url : str
        For ``base_url``.
    scripts : dict
        By the name of the model.
    requests : list
        Bodies of the requests, in the order in which they came.
    keys : list
        Headers ``Authorization``.
    trouble : callable or None
        ``(number of the request, body) -> status, headers, body``, or "drop" to close the
        connection without a word, or None for an answer.
    """

    url: str = ""
    scripts: dict[str, Script] = field(default_factory=lambda: dict(SCRIPTS))
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    trouble: Callable[[int, dict[str, Any]], Any] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def conversations(self) -> int:
        """How many conversations were begun."""
        return sum(len(r["messages"]) == 2 for r in self.requests)


def error(status: int, message: str, code: str | None = None) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Trouble as the protocol has it; retries come at once."""
    return (
        status,
        {"retry-after-ms": "1"},
        {"error": {"message": message, "type": "error", "param": None, "code": code}},
    )


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                server.requests.append(body)
                server.keys.append(self.headers.get("Authorization"))
                number = len(server.requests)
            trouble = server.trouble(number, body) if server.trouble is not None else None
            if trouble == "drop":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if trouble is None and self.path != "/v1/chat/completions":
                trouble = error(404, f"no such path: {self.path}")
            if trouble is None and body["model"] not in server.scripts:
                trouble = error(404, f"The model `{body['model']}` does not exist", "model_not_found")
            if trouble is None:
                trouble = 200, {}, _completion(body, server.scripts[body["model"]](body["messages"]))
            status, headers, found = trouble
            data = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _completion(body: dict[str, Any], message: Message) -> dict[str, Any]:
    tokens = len(re.findall(r"\w+", json.dumps(body["messages"])))
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": f"{body['model']}-2026-01-01",
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
        ],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 10, "total_tokens": tokens + 10},
    }


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """Serve on a free port of this machine until the context ends."""
    server = ChatServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as http:
        http.daemon_threads = True
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
