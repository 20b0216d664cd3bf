"""Text models: a network or a function with the tokenizer that reads strings for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from xaibench.core.errors import UsageError, XaibenchWarning
from xaibench.core.language_models import MaskedLanguageModel
from xaibench.core.outputs import Returns
from xaibench.core.text_readers import StringReader, TextUnit, TokenizerReader, function_of_ids
from xaibench.core.token_networks import CallWithMask
from xaibench.core.token_predictor import TokenIdPredictor, TokenPredictor

TextPredictor = TokenPredictor | TokenIdPredictor
NO_EMBEDDING = (
    "embedding= names a torch.nn.Embedding of the model or gives its table; a function of strings needs none, and has "
    "no gradients"
)
UNUSED_IDS = 0.1
"""Share of a model's ids that its tokenizer may not know before that is worth a warning."""


def text_model(
    model: Any,
    tokenizer: Any = None,
    *,
    unit: TextUnit = "word",
    length: int = 64,
    call: CallWithMask | None = None,
    returns: Returns | None = None,
    mlm: Any = None,
    embedding: nn.Embedding | Tensor | str | None = None,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
) -> TextPredictor:
    """A model of texts that reads strings, ready to be explained and scored.

    Features are words, or the tokenizer's tokens; what the tokenizer puts around a text is never one of them. A text
    has the same explanation alone and in any batch, as the model never sees padding. Nothing of the library
    transformers is imported: its models and tokenizers are used by what they have.

    Parameters
    ----------
    model : torch.nn.Module, fitted scikit-learn pipeline, or callable
        A model of the library transformers with a head for classes, or one for the next token
        (``...ForCausalLM``), whose last place is explained. A module of yours that maps embeddings (B, m, D) and a mask
        (B, m) to logits (B, C), with ``embedding``. Or what maps a list of strings to (N, C), without gradients.
    tokenizer : callable, optional
        ``tokenizer(text, add_special_tokens=False)`` gives ``input_ids``, as those of transformers do, or
        ``tokenizer(text)`` a list of ids. Functions of strings need none.
    unit : {"word", "token"}
        A word is removed with all of its tokens.
    length : int
        Most features of a text; longer ones are refused, and nothing is cut.
    call : callable, optional
        ``call(module, embeddings, mask) -> logits``, where the module is called otherwise.
    returns : {"logit", "multilabel_logit", "probability", "value"}, optional
        What the model's numbers are; by default its outputs decide.
    mlm : torch.nn.Module or callable, optional
        A masked language model with the same tokenizer, for the masker ``mlm`` and `input_marginalisation`: a model
        with ``logits`` (B, m, V), or a function of ids (B, m) and places (B,) that gives log probabilities (B, V).
    embedding : torch.nn.Embedding, Tensor (V, D) or str, optional
        Where a module of yours looks ids up: a table in front of it, or the name of the embedding inside a module of
        ids.
    device, batch_size
        Never change a result beyond rounding.

    Returns
    -------
    TokenPredictor or TokenIdPredictor
        To be given as ``model=`` to `xaibench.explain`, `xaibench.score` and `xaibench.Problem`, whose inputs are then
        strings.

    Raises
    ------
    UsageError
        If there is no embedding or no tokenizer, or the tokenizer is not the model's.

    Examples
    --------
    A function of strings:

    >>> import numpy as np
    >>> import xaibench as xb
    >>> def opinion(texts):
    ...     good = np.array([text.count("fine") - text.count("dull") for text in texts], dtype=float)
    ...     return np.stack([-good, good], axis=1)
    >>> model = xb.text_model(opinion, returns="logit")
    >>> xb.explain("feature_ablation", model=model, inputs=["a fine film"], targets=[1]).tolist()
    [[0.0, 1.0, 0.0]]
    """
    if unit not in get_args(TextUnit):
        raise UsageError(f"unknown unit {unit!r}", f"known: {', '.join(get_args(TextUnit))}")
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise UsageError(f"length is {length!r}", "give the largest number of features of a text")
    if not isinstance(model, nn.Module):
        made: TextPredictor = _of_strings(model, tokenizer, unit, length, returns, batch_size)
        if mlm is not None or embedding is not None or call is not None:
            raise UsageError("mlm=, embedding= and call= go with a torch module", "leave them out")
        return made
    if tokenizer is None:
        raise UsageError("a torch module does not read strings", "give its tokenizer")
    table = embedding if embedding is not None else _own_embedding(model)
    size = _rows(model, table)
    reader = TokenizerReader(tokenizer, unit, length, size, most_places_of(model))
    _warn_of_another_tokenizer(tokenizer, size)
    hugging_face = embedding is None
    made = TokenPredictor(
        model,
        table,
        reader.tokens,
        returns or "logit",
        call=call or (call_hugging_face if hugging_face else None),
        device=device,
        batch_size=batch_size,
    )
    made.reader, made.returns_assumed = reader, returns is None
    if mlm is not None:
        made.language_model = MaskedLanguageModel(mlm, reader.tokens, device=device)
    return made


def _of_strings(
    model: Any, tokenizer: Any, unit: TextUnit, length: int, returns: Returns | None, batch_size: int | None
) -> TokenIdPredictor:
    """A predictor of a function of strings."""
    if unit != "word":
        raise UsageError("the features of a function of strings are words", 'leave unit="word"')
    known: str = returns or "probability"
    function: Callable[[list[str]], Any] = model
    if not callable(model) or hasattr(model, "predict_proba") or hasattr(model, "decision_function"):
        methods = {"probability": "predict_proba", "logit": "decision_function", "value": "predict"}
        possible = [kind for kind, name in methods.items() if hasattr(model, name)]
        if not possible or (returns is not None and returns not in possible):
            raise UsageError(
                f"a {type(model).__name__} cannot return {returns or 'numbers for texts'}",
                "give a torch module, a fitted pipeline of scikit-learn, or a function of a list of strings",
            )
        known = returns or possible[0]
        function = getattr(model, methods[known])
    symbols = {name: getattr(tokenizer, f"{name}_token", None) for name in ("mask", "unk")}
    reader = StringReader(length, {name: str(text) for name, text in symbols.items() if text is not None})
    made = TokenIdPredictor(
        function_of_ids(function, reader), reader.tokens, cast(Returns, known), batch_size=batch_size,
        why_no_gradients="a function of strings has no gradients; explainers by removal work",
    )  # fmt: skip
    made.reader, made.returns_assumed = reader, returns is None and function is model
    return made


def _own_embedding(model: nn.Module) -> nn.Embedding:
    """The embedding that a model of transformers says is its own."""
    ask = getattr(model, "get_input_embeddings", None)
    found = None
    if ask is not None:
        try:
            found = ask()
        except (NotImplementedError, AttributeError):
            found = None
    if not isinstance(found, nn.Embedding):
        raise UsageError(f"this {type(model).__name__} does not show an embedding of its tokens", NO_EMBEDDING)
    return found


def _rows(model: nn.Module, embedding: nn.Embedding | Tensor | str) -> int:
    if isinstance(embedding, str):
        found = dict(model.named_modules()).get(embedding)
        if not isinstance(found, nn.Embedding):
            raise UsageError(f"the model has no embedding {embedding!r}", NO_EMBEDDING)
        return found.num_embeddings
    if isinstance(embedding, nn.Embedding):
        return embedding.num_embeddings
    if not isinstance(embedding, Tensor) or embedding.ndim != 2:
        raise UsageError(f"a {type(embedding).__name__} is not an embedding", NO_EMBEDDING)
    return len(embedding)


def most_places_of(model: nn.Module) -> int | None:
    """The longest sequence that a model with learned positions takes; None where nothing says it."""
    most = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if not isinstance(most, int):
        return None
    for name, part in model.named_modules():
        if name.rpartition(".")[2] == "position_embeddings" and isinstance(part, nn.Embedding):
            # RoBERTa counts positions from behind its padding.
            return min(most, part.num_embeddings) - (0 if part.padding_idx is None else part.padding_idx + 1)
    return most


def _warn_of_another_tokenizer(tokenizer: Any, size: int) -> None:
    try:
        known = len(tokenizer)
    except TypeError:
        return
    if known < (1 - UNUSED_IDS) * size:
        warnings.warn(
            f"the tokenizer knows {known} tokens and the model {size}: is it the model's own?",
            XaibenchWarning,
            stacklevel=3,
        )


def call_hugging_face(module: nn.Module, embeddings: Tensor, mask: Tensor) -> Any:
    """Logits of embeddings without padding; of a model of the next token, at the last place."""
    with _taking_batches(module):
        found = module(inputs_embeds=embeddings, attention_mask=mask)
    logits = getattr(found, "logits", None)
    if isinstance(logits, Tensor) and logits.ndim == 3 and type(module).__name__.endswith(("CausalLM", "LMHeadModel")):
        return logits[:, -1]
    return found


@contextmanager
def _taking_batches(module: nn.Module) -> Iterator[None]:
    """Decoders as they take rows of equal length: without a cache of keys, and without the need for a padding id."""
    configs = {id(c): c for part in module.modules() if (c := getattr(part, "config", None)) is not None}
    changed: list[tuple[Any, str, Any]] = [
        (c, "use_cache", False) for c in configs.values() if getattr(c, "use_cache", False)
    ]
    own = getattr(module, "config", None)
    if own is not None and getattr(own, "pad_token_id", 0) is None:
        changed.append((own, "pad_token_id", 0))
    before = [(c, name, getattr(c, name)) for c, name, _ in changed]
    for c, name, value in changed:
        setattr(c, name, value)
    try:
        yield
    finally:
        for c, name, value in before:
            setattr(c, name, value)
