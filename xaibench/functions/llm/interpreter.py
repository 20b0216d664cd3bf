"""A language model as interpreter: it asks by tool calls, and answers with a program that runs in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from xaibench.core.program_registry import interpreter
from xaibench.core.program_specs import CostEstimate
from xaibench.core.programs.black_box import BudgetError, CountedFunction, Domain, Interpretation, Program, Values
from xaibench.core.types import FunctionKind
from xaibench.functions.llm.chat import Address, Chat, ConversationError, Endpoint, Reply, ToolCall, Usage
from xaibench.functions.llm.protocol import (
    NO_ANSWER,
    Said,
    UnreadableError,
    answer_in,
    answer_of,
    arguments_of,
    call_in,
    inputs_of,
    instructions,
    told,
    tools,
)
from xaibench.functions.sandbox.program import ProgramError, SandboxedProgram, check_supported

MILLION = 1_000_000
TRIED = 32
"""Inputs that a program is tried on before it is taken for an answer."""


def restore(facts: Mapping[str, Any], domain: Domain) -> Program:
    """The program of a stored answer."""
    return SandboxedProgram(facts["code"], facts["kind"])


def estimate(params: Mapping[str, Any], n: int, budget: int) -> CostEstimate:
    """What n conversations take at most, with replies of a common length: every turn is used, and every question."""
    turns = int(params["max_rounds"])
    per_turn, per_question, said = 250, 14, 200
    prompt = turns * 1200 + per_turn * turns * (turns - 1) // 2 + per_question * budget * (turns - 1)
    completion = turns * said + per_question * budget // 2
    return CostEstimate(n * turns, n * prompt, n * completion, _cost(params, n * prompt, n * completion))


def _cost(params: Mapping[str, Any], prompt: int | None, completion: int | None) -> float | None:
    prices = params["price_prompt"], params["price_completion"]
    if prompt is None or completion is None or prices == (None, None):
        return None
    return float((prompt * (prices[0] or 0) + completion * (prices[1] or 0)) / MILLION)


@interpreter(
    "llm",
    takes=get_args(FunctionKind),
    restore=restore,
    estimate=estimate,
    unkeyed={"api_key_env", "timeout", "retries", "price_prompt", "price_completion"},
)
def llm(
    f: CountedFunction,
    domain: Domain,
    budget: int,
    draws: np.random.Generator,
    *,
    model: str,
    base_url: Address = "https://api.openai.com/v1",
    api_key_env: str = "OPENAI_API_KEY",
    max_rounds: PositiveInt = 20,
    repairs: NonNegativeInt = 1,
    temperature: NonNegativeFloat | Literal["default"] = 0.0,
    max_tokens: PositiveInt = 4096,
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
    timeout: PositiveFloat = 120.0,
    retries: NonNegativeInt = 4,
    price_prompt: NonNegativeFloat | None = None,
    price_completion: NonNegativeFloat | None = None,
) -> Interpretation:
    """A language model behind any endpoint with OpenAI's chat protocol and tools.

    It asks by the tool ``ask_function`` and ends with the tool ``answer``; fenced code in a message
    is taken too. Its program runs in the sandbox only. The whole conversation is stored with the
    answer. Answers are not repeatable, not even at temperature 0; what is stored is never asked again.

    Parameters
    ----------
    model : str
        As the endpoint calls it.
    base_url : str
        Address of the endpoint, without credentials.
    api_key_env : str
        Environment variable that holds the key; empty for none.
    max_rounds : int
        Requests for one function, at most.
    repairs : int
        How often an answer that cannot be used is sent back with the reason.
    temperature : float or "default"
        ``default`` sends none, for models that take none.
    max_tokens : int
        Of one reply.
    token_limit : {"max_tokens", "max_completion_tokens"}
        What the endpoint calls that.
    timeout : float
        Seconds for one request.
    retries : int
        After a lost connection, 408, 409, 429 and 5xx, with growing pauses.
    price_prompt, price_completion : float, optional
        Of a million tokens, in any currency, for estimates and for ``facts["cost"]``.

    Raises
    ------
    AskAgainError
        If the endpoint gives no answer now, or refuses what it would refuse every time.
    """
    check_supported()
    endpoint = Endpoint(model, base_url, api_key_env, temperature, max_tokens, token_limit, timeout, retries)
    with Chat(endpoint) as chat:
        talk = _Conversation(f, domain, chat, rounds=max_rounds, repairs=repairs)
        return talk.interpretation(lambda u: _cost(
            {"price_prompt": price_prompt, "price_completion": price_completion}, u.prompt, u.completion
        ))  # fmt: skip


class _Conversation:
    """One function, from the system prompt to the answer."""

    def __init__(self, f: CountedFunction, domain: Domain, chat: Chat, *, rounds: int, repairs: int) -> None:
        self.f = f
        self.domain = domain
        self.chat = chat
        self.rounds = rounds
        self.repairs = repairs
        self.used = 0
        self.messages: list[dict[str, Any]] = [
            {"role": "system", "content": instructions(f.kind, domain, f.budget, rounds)},
            {"role": "user", "content": "Begin."},
        ]
        self.said: Said | None = None
        self.size = 0
        self.failure = ""

    def interpretation(self, cost: Callable[[Usage], float | None]) -> Interpretation:
        """Talk, and make an interpretation of it."""
        try:
            self._talk()
        except ConversationError as error:
            self.failure = str(error)
        usage = self.chat.usage
        facts = {
            "kind": self.f.kind,
            "model": usage.model,
            "rounds": self.used,
            "requests": usage.requests,
            "retries": usage.retries,
            "tokens": {"prompt": usage.prompt, "completion": usage.completion},
            "cost": cost(usage),
            "asked": self.f.asked,
            "transcript": self.messages,
        }
        if self.said is not None:
            facts["code"] = self.said.code
        if self.said is None or self.failure:
            return Interpretation.failed(self.failure, facts=facts)
        facts["size"] = self.size
        return Interpretation(
            SandboxedProgram(self.said.code, self.f.kind),
            self.said.description,
            self.said.family,
            self.said.intervals,
            facts=facts,
        )

    def _talk(self) -> None:
        offered = tools(self.f.kind)
        while self.used < self.rounds:
            reply = self.chat.ask(self.messages, offered)
            self.used += 1
            self.messages.append(reply.message())
            if self._heard(reply):
                return
        self.failure = self.failure or f"no answer after {self.rounds} rounds"

    def _heard(self, reply: Reply) -> bool:
        """Do what a reply asks for; whether the conversation is over."""
        if reply.calls:
            return self._called(reply.calls)
        written = call_in(reply.text)
        if written is not None and written[0] == "ask_function":
            self._say("user", self._asked(written[1]))
            return False
        said = answer_in(reply.text, self.f.kind) if written is None else answer_of(written[1], self.f.kind)
        over, reason = self._judged(said, reply.cut)
        if not over:
            self._say("user", reason)
        return over

    def _called(self, calls: tuple[ToolCall, ...]) -> bool:
        for call in calls:
            over, result = False, f"There is no tool {call.name[:40]!r}."
            try:
                if call.name == "ask_function":
                    result = self._asked(arguments_of(call.arguments))
                elif call.name == "answer":
                    over, result = self._judged(answer_of(arguments_of(call.arguments), self.f.kind), False)
            except UnreadableError as error:
                result = str(error)
            self._say("tool", result, tool_call_id=call.id)
            if over:
                return True
        return False

    def _say(self, role: str, content: str, **more: str) -> None:
        self.messages.append({"role": role, **more, "content": content})

    def _asked(self, arguments: dict[str, Any]) -> str:
        """Ask the function, within the budget; what the model is told."""
        left = self.rounds - self.used
        try:
            inputs = inputs_of(arguments, self.f.kind, self.domain)
            return told(inputs, self.f(inputs), self.f.left, left)
        except (BudgetError, UnreadableError) as error:
            return f"{error} Nothing was asked. Turns left: {left}."

    def _judged(self, said: Said, cut: bool) -> tuple[bool, str]:
        """Whether an answer ends the conversation, and what the model is told about it."""
        self.said, self.failure = said, ""
        if not said.code:
            self.said = None
            self.failure = "no code in the answer" + (", which was cut at max_tokens" if cut else "")
            reason = NO_ANSWER
        else:
            try:
                self.size = self._tried(SandboxedProgram(said.code, self.f.kind))
                return True, "Taken."
            except ProgramError as error:
                self.failure = str(error)
                reason = f"The program cannot be used: {error}. Call the tool answer again, with a better one."
        if not self.repairs or self.used >= self.rounds:
            return True, self.failure
        self.repairs -= 1
        return False, reason

    def _tried(self, program: SandboxedProgram) -> int:
        """Run a program where answers are known, or at least inputs."""
        size = program.check()
        inputs: Values = list(self.domain.words[:TRIED]) or self.f.asked[:TRIED]
        if self.f.kind == "numeric":
            inputs = np.linspace(self.domain.low, self.domain.high, TRIED)
        if len(inputs):
            program(inputs)
        return size
