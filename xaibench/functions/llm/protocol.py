"""Prompts, tools and answer format for language models as interpreters."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from xaibench.core.programs.black_box import Domain, Interval, Values, printable
from xaibench.core.types import Array, FunctionKind
from xaibench.functions.numeric.families import FUNCTION_FAMILIES

MAX_WORDS = 300
MAX_QUERY_CHARACTERS = 1_000
"""Characters of a text that may be asked about."""

_TASK = """You are to find out what an unknown function f does, by asking it.

{about}

You may ask about {budget} inputs in all, many at a time, with the tool ask_function. You have {rounds} turns; \
ask about many inputs in each, look at the answers, and choose the next inputs where you can learn most. Then call \
the tool answer, once, with a description and a program.

The program is Python that defines f(x) for one input, like this:

def f(x):
    return {example}

It must give the answers of the function without its noise for inputs that you have not asked about. It runs in a \
sandbox: only math, re and string can be imported, there is no numpy, there are no classes, no files, no print, no \
str.format (f-strings work), and it has to be fast."""

_ABOUT = {
    "numeric": "f takes a number from {low:g} to {high:g} and returns a number. Inside of one interval it may return "
    "something unlike the rest, and its answers may be noisy.",
    "string": "f takes a text and returns a text. Texts that it can be asked about are, for example: {words}.",
    "neuron": "f takes a word and returns a number: how strongly an artificial neuron responds to the word, which "
    "depends on what the word means. Words that it knows: {words}.",
    "relation": "f takes a text and returns a text: it maps things to an attribute of theirs, and what it does not "
    "know to 'undefined'. Things that it can be asked about: {words}.",
}
_EXAMPLES = {"numeric": "2.0 * x + 1.0", "string": "x.upper()", "neuron": "1.0 if x in words else 0.0"}
NO_ANSWER = (
    "This is no answer. Call the tool ask_function to ask about inputs, or the tool answer with a description and "
    "with code that defines f(x)."
)


def instructions(kind: FunctionKind, domain: Domain, budget: int, rounds: int) -> str:
    """The system prompt."""
    words = ", ".join(repr(word) for word in domain.words[:MAX_WORDS])
    about = _ABOUT[kind].format(low=domain.low, high=domain.high, words=words)
    example = _EXAMPLES.get(kind, "{'a': 'b'}.get(x, 'undefined')")
    return _TASK.format(about=about, budget=budget, rounds=rounds, example=example)


def tools(kind: FunctionKind) -> list[dict[str, Any]]:
    """The tools ``ask_function`` and ``answer`` as the protocol describes them."""
    item = {"type": "number"} if kind == "numeric" else {"type": "string"}
    fields: dict[str, Any] = {
        "description": {"type": "string", "description": "What f does, in one or two sentences."},
        "code": {"type": "string", "description": "Python source that defines f(x)."},
    }
    if kind == "numeric":
        fields["family"] = {
            "type": "string",
            "enum": [*FUNCTION_FAMILIES, "compound"],
            "description": "What f is, if known.",
        }
        fields["intervals"] = {
            "type": "array",
            "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
            "description": "Intervals [low, high] in which f departs from its family; none if there are none.",
        }
    else:
        fields["family"] = {"type": "string", "description": "What f is, in a word or two."}
    ask = {"inputs": {"type": "array", "items": item, "description": "Inputs to ask about."}}
    return [
        _tool("ask_function", "Ask f about inputs.", ask, ["inputs"]),
        _tool("answer", "Give the answer, which ends the conversation.", fields, ["description", "code"]),
    ]


def _tool(name: str, description: str, fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": fields, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


@dataclass(frozen=True)
class Said:
    """An answer as the model gave it; ``code`` is empty where there is none."""

    code: str
    description: str = ""
    family: str | None = None
    intervals: tuple[Interval, ...] = ()


class UnreadableError(Exception):
    """Something the model wrote cannot be used; the message, one sentence, is for the model."""


def arguments_of(text: str) -> dict[str, Any]:
    """Arguments of a tool call.

    Raises
    ------
    UnreadableError
        If they are not a JSON object.
    """
    try:
        found = json.loads(text or "{}", strict=False)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnreadableError("The arguments are no JSON object.")
    return found


def inputs_of(arguments: dict[str, Any], kind: FunctionKind, domain: Domain) -> list[Any]:
    """Inputs that are asked for.

    Raises
    ------
    UnreadableError
        If they are not what the function takes.
    """
    given = arguments.get("inputs")
    inputs = given if isinstance(given, list) else [] if given is None else [given]
    if not inputs:
        raise UnreadableError("There are no inputs: give {'inputs': [...]}.")
    return [_input(x, kind, domain) for x in inputs]


def _input(x: Any, kind: FunctionKind, domain: Domain) -> float | str:
    if kind != "numeric":
        if not isinstance(x, str) or len(x) > MAX_QUERY_CHARACTERS:
            raise UnreadableError(f"{str(x)[:40]!r} is no text of at most {MAX_QUERY_CHARACTERS} characters.")
        return x
    try:
        number = math.nan if isinstance(x, bool) else float(x)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not domain.low <= number <= domain.high:
        raise UnreadableError(f"{str(x)[:40]} is no number from {domain.low:g} to {domain.high:g}.")
    return number


def told(inputs: list[Any], outputs: Values | Array, left: int, rounds: int) -> str:
    """Answers of the function as the model sees them: JSON, ten digits, null where there is none."""
    shown = [[x, y if isinstance(y, str) else _digits(y)] for x, y in zip(inputs, outputs, strict=True)]
    said: dict[str, Any] = {"answers": shown, "inputs_left": left, "turns_left": rounds}
    if rounds <= 1:
        said["note"] = "This is the last turn: call the tool answer now."
    return json.dumps(said, ensure_ascii=False)


def _digits(value: Any) -> float | None:
    number = float(value)
    return float(f"{number:.10g}") if math.isfinite(number) else None


def answer_of(arguments: dict[str, Any], kind: FunctionKind) -> Said:
    """The answer in the arguments of the tool ``answer``; whatever is unreadable in it is left out."""
    code, description, family = (arguments.get(k) for k in ("code", "description", "family"))
    source = code if isinstance(code, str) else ""
    fenced = _blocks(source)
    return Said(
        fenced[-1] if fenced else source.strip("\n"),
        printable(description.strip()) if isinstance(description, str) else "",
        printable(family.strip()) or None if isinstance(family, str) else None,
        _intervals(arguments.get("intervals")) if kind == "numeric" else (),
    )


def _intervals(given: Any) -> tuple[Interval, ...]:
    found = []
    for pair in given if isinstance(given, list) else ():
        try:
            low, high = (float(end) for end in pair)
        except (TypeError, ValueError, OverflowError):
            continue
        if low <= high:
            found.append((low, high))
    return tuple(found)


_FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_FIELD = re.compile(r"^\W*(DESCRIPTION|FAMILY|DOMAIN|INTERVALS)\W*?:[ \t*]*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)
_PAIR = re.compile(r"[\[(]\s*(-?[\d.]+(?:e-?\d+)?)\s*,\s*(-?[\d.]+(?:e-?\d+)?)\s*[\])]", re.IGNORECASE)


def _blocks(text: str) -> list[str]:
    return [block.strip("\n") for _, block in _FENCE.findall(text)]


def call_in(text: str) -> tuple[str, dict[str, Any]] | None:
    """A tool call that the model has written as text: JSON with name and arguments, or with the arguments alone."""
    bare = _THOUGHT.sub("", text).strip()
    for candidate in (bare, *_blocks(bare)):
        try:
            found = json.loads(candidate, strict=False)
        except (ValueError, RecursionError):
            continue
        if not isinstance(found, dict):
            continue
        name = found.get("name")
        inner = found.get("arguments", found.get("parameters"))
        if name in ("ask_function", "answer") and isinstance(inner, dict):
            return str(name), inner
        if "code" in found:
            return "answer", found
        if "inputs" in found:
            return "ask_function", found
    return None


def answer_in(text: str, kind: FunctionKind) -> Said:
    """The answer in a message without a tool call: fenced code, and lines that begin with DESCRIPTION, FAMILY, DOMAIN.

    Of several blocks of code the last one that defines f counts.
    """
    bare = _THOUGHT.sub("", text)
    blocks = _blocks(bare)
    defining = [b for b in blocks if re.search(r"^(?:def f\b|f\s*=)", b, re.MULTILINE)]
    fields = {name.upper(): value for name, value in _FIELD.findall(_FENCE.sub("", bare))}
    domain = fields.get("DOMAIN", fields.get("INTERVALS", ""))
    return Said(
        (defining or blocks or [""])[-1],
        fields.get("DESCRIPTION", ""),
        fields.get("FAMILY") or None,
        _intervals([list(pair) for pair in _PAIR.findall(domain)]) if kind == "numeric" else (),
    )
