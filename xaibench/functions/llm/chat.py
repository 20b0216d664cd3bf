"""Client for endpoints with OpenAI's chat protocol: requests, retries, counted tokens, and errors.

The key is read from the environment when it is needed, goes to the SDK, and is taken out of
whatever comes back, so that it can reach no store, log or message.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator

from xaibench.core.extras import install_command
from xaibench.core.programs.black_box import AskAgainError, printable

SHORTEST_KEY = 8
"""Shorter keys are placeholders, such as local servers want, and may be words of an answer."""
NO_KEY = "none"


class NotReadyError(AskAgainError):
    """Something must be fixed first: no library, no key, an endpoint that refuses. The unit ends at once."""


class ConversationError(Exception):
    """The endpoint will not continue this one conversation; others may go well."""


def address(url: str) -> str:
    """The address of an endpoint, checked: it is stored with the results, so it must hold no key.

    Raises
    ------
    ValueError
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address looks like https://api.example.org/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("it is stored with the results, and must be no more than an address; keys go by api_key_env")
    return url


Address = Annotated[str, AfterValidator(address)]


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, and how.

    Attributes
    ----------
    model, base_url : str
    api_key_env : str
        Environment variable that holds the key; empty for an endpoint without keys.
    temperature : float or "default"
        ``default`` sends none.
    max_tokens : int
        Of one reply.
    token_limit : {"max_tokens", "max_completion_tokens"}
        What the endpoint calls that.
    timeout : float
        Seconds for one request.
    retries : int
        After a lost connection, 408, 409, 429 and 5xx, with growing pauses.
    """

    model: str
    base_url: str
    api_key_env: str
    temperature: float | Literal["default"]
    max_tokens: int
    token_limit: Literal["max_tokens", "max_completion_tokens"]
    timeout: float
    retries: int

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).netloc

    def key(self) -> str:
        """The key.

        Raises
        ------
        NotReadyError
            If the environment has none.
        """
        if not self.api_key_env:
            return NO_KEY
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise NotReadyError(
                f"the environment variable {self.api_key_env} holds no key for {self.host}; set it, or set "
                'api_key_env = "" for an endpoint without keys'
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise NotReadyError(f"the environment variable {self.api_key_env} holds no valid key: blanks, or not ASCII")
        return key


@dataclass
class Usage:
    """What a conversation took.

    Attributes
    ----------
    requests, retries : int
    prompt, completion : int or None
        Tokens as the endpoint counts them; None once it has not said.
    model : str
        As the endpoint calls it.
    """

    requests: int = 0
    retries: int = 0
    prompt: int | None = 0
    completion: int | None = 0
    model: str = ""

    def add(self, prompt: Any, completion: Any) -> None:
        self.prompt = self.prompt + prompt if isinstance(prompt, int) and self.prompt is not None else None
        both = isinstance(completion, int) and self.completion is not None
        self.completion = (self.completion or 0) + completion if both else None


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model calls; ``arguments`` is what it wrote, JSON or not."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """What a model says."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    cut: bool = False

    def message(self) -> dict[str, Any]:
        """The reply as a message of the conversation."""
        said: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.calls:
            said["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                for c in self.calls
            ]
        return said


@dataclass
class Chat:
    """Conversations with an endpoint; use it as a context.

    Raises
    ------
    NotReadyError
        If the SDK is not installed, or there is no key.
    """

    endpoint: Endpoint
    usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        try:
            import openai
        except ImportError as error:
            raise NotReadyError(
                f"the interpreter llm needs the package openai ({error}); {install_command('llm')}"
            ) from None
        self._sdk = openai
        self._key = self.endpoint.key()
        self._client = openai.OpenAI(
            api_key=self._key,
            base_url=self.endpoint.base_url,
            timeout=self.endpoint.timeout,
            max_retries=self.endpoint.retries,
        )

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> Reply:
        """The next reply of the model.

        Raises
        ------
        AskAgainError
            If there is none now, after all retries.
        NotReadyError
            If the endpoint refuses what it would refuse every time.
        ConversationError
            If it refuses this conversation: too long, or filtered.
        """
        endpoint = self.endpoint
        options: dict[str, Any] = {endpoint.token_limit: endpoint.max_tokens}
        if endpoint.temperature != "default":
            options["temperature"] = endpoint.temperature
        create: Callable[..., Any] = self._client.chat.completions.with_raw_response.create
        try:
            raw = create(model=endpoint.model, messages=list(messages), tools=list(tools), **options)
            completion = raw.parse()
        except self._sdk.APIStatusError as error:
            raise self._refused(error) from None
        except self._sdk.APIConnectionError as error:
            # Timeouts too.
            raise AskAgainError(f"no answer from {endpoint.host}: {self._clean(str(error))}") from None
        except (self._sdk.OpenAIError, ValueError) as error:
            raise AskAgainError(f"{endpoint.host} gave no chat completion: {self._clean(str(error))}") from None
        self.usage.requests += 1
        self.usage.retries += int(getattr(raw, "retries_taken", 0) or 0)
        return self._reply(completion)

    def _reply(self, completion: Any) -> Reply:
        choices: Any = getattr(completion, "choices", None) or [None]
        message = getattr(choices[0], "message", None)
        if message is None:
            raise AskAgainError(f"{self.endpoint.host} gave no chat completion")
        tokens = getattr(completion, "usage", None)
        self.usage.add(getattr(tokens, "prompt_tokens", None), getattr(tokens, "completion_tokens", None))
        self.usage.model = self._scrubbed(str(getattr(completion, "model", None) or self.usage.model))
        calls = []
        for k, call in enumerate(getattr(message, "tool_calls", None) or ()):
            function = getattr(call, "function", None)
            name, arguments = (str(getattr(function, what, None) or "") for what in ("name", "arguments"))
            identity = str(getattr(call, "id", None) or f"call_{self.usage.requests}_{k}")
            calls.append(ToolCall(self._scrubbed(identity), self._scrubbed(name), self._scrubbed(arguments)))
        text = getattr(message, "content", None) or getattr(message, "refusal", None) or ""
        cut = getattr(choices[0], "finish_reason", None) == "length"
        return Reply(self._scrubbed(text if isinstance(text, str) else str(text)), tuple(calls), cut)

    def _refused(self, error: Any) -> Exception:
        """What a status other than 200 means."""
        status, said = int(error.status_code), self._clean(str(error.message))
        host = self.endpoint.host
        if status in (408, 409, 429) or status >= 500:
            return AskAgainError(f"{host} answered {status} and {self.endpoint.retries} retries did not help: {said}")
        if status in (400, 413, 422) and _about_length(f"{error.code} {said}"):
            return ConversationError(f"the conversation is too long for the model: {said}")
        if status == 400 and "content_filter" in f"{error.code} {said}":
            return ConversationError(f"the endpoint filtered the conversation: {said}")
        hint = {
            401: f"; see the key in the environment variable {self.endpoint.api_key_env or '(none)'}",
            403: "; the key may not use this model",
            404: f"; see the model's name {self.endpoint.model!r} and base_url",
            400: '; where the model takes no temperature, set temperature = "default", '
            'and where it wants another limit, token_limit = "max_completion_tokens"',
        }.get(status, "")
        return NotReadyError(f"{host} refused with {status}: {said}{hint}")

    def _clean(self, text: str) -> str:
        """One line without the key."""
        text = " ".join(self._scrubbed(text).split())
        return text if len(text) <= 300 else f"{text[:300]} ..."

    def _scrubbed(self, text: str) -> str:
        """Text without the key, and without what could steer a terminal."""
        return printable(text.replace(self._key, "[key]") if len(self._key) >= SHORTEST_KEY else text)


def _about_length(text: str) -> bool:
    lowered = text.lower()
    return any(words in lowered for words in ("context_length", "context length", "maximum context", "too many tokens"))
