"""Predictors of text models: over embeddings, with the table in front of the model, or over token ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from xaibench.core.batch_rule import batch_size_for
from xaibench.core.context import Context, Encoded
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.features import FeatureLayout
from xaibench.core.keys import array_digest
from xaibench.core.language_models import MaskedLanguageModel, pieces_of
from xaibench.core.model_outputs import as_matrix, read_output
from xaibench.core.module_copies import is_compiled
from xaibench.core.outputs import Returns
from xaibench.core.predictor import (
    CPU_BUDGET,
    CallablePredictor,
    Predictor,
    TorchPredictor,
)
from xaibench.core.token_networks import CallWithMask, TokenNetwork, around, logits_of
from xaibench.core.tokens import NO_TOKEN, TextReader, Tokens

_FRACTION = "token ids are names, and there is nothing between two of them"
_MASKERS = "removal by a masker of tokens (mask, pad, unk, delete, unigram) works"


class TokenPredictor(TorchPredictor):
    """A text model that is differentiated in embeddings: the table is in front of the model.

    Features are tokens, or words of several pieces. Gradients, noise and baselines are about embeddings, and the
    table itself takes no part in tests with random weights. Copies from which tokens are deleted close up and run
    with others of their length, without padding, so a text has the same outputs alone and in any batch.

    Parameters
    ----------
    module : torch.nn.Module
        Maps embeddings (B, m, D) and a mask (B, m) of ones to logits (B, C). Or, with ``embedding`` the name of an
        embedding of its own, ids (B, m) of int64 to logits.
    embedding : torch.nn.Embedding, Tensor (V, D), or str
        The table, or the name of the embedding in the module.
    tokens : Tokens, optional
        Symbols, and what stands around every text.
    returns : {"logit", "probability", "value"}
    call : callable, optional
        ``call(module, embeddings, mask) -> logits``, where that is not ``module(embeddings, mask)``.
    device, batch_size
        As for `TorchPredictor`.

    Examples
    --------
    >>> import torch
    >>> import xaibench as xb
    >>> class Mean(torch.nn.Module):
    ...     def forward(self, embeddings, mask):
    ...         return embeddings.mean(dim=1)
    >>> table = torch.tensor([[0.0, 0.0], [1.0, -1.0], [3.0, 0.0]])
    >>> model = xb.TokenPredictor(Mean(), table, xb.Tokens(pad=0))
    >>> xb.explain("feature_ablation", model=model, inputs=[[1, 2]], targets=[0], masker="pad").tolist()
    [[0.5, 1.5]]
    """

    takes_missing = True
    encodes_ids = True
    reader: TextReader | None = None
    language_model: MaskedLanguageModel | None = None

    def __init__(
        self,
        module: nn.Module,
        embedding: nn.Embedding | Tensor | str,
        tokens: Tokens | None = None,
        returns: Returns = "logit",
        *,
        call: CallWithMask | None = None,
        device: torch.device | str = "cpu",
        batch_size: int | None = None,
    ) -> None:
        self.tokens = tokens or Tokens()
        self.name = embedding if isinstance(embedding, str) else None
        look_up = module.get_submodule(embedding) if isinstance(embedding, str) else embedding
        self.table = _frozen(look_up)
        if self.tokens.size is None:
            self.tokens = _sized(self.tokens, len(self.table))
        network = TokenNetwork(module, call=call, embedding=self.name, **around(self.tokens, self.embedded))
        super().__init__(network, returns, device=device, batch_size=batch_size)
        self._sizes: dict[int, int] = {}

    @property
    def network(self) -> TokenNetwork:
        """The module, over embeddings."""
        assert isinstance(self.module, TokenNetwork)
        return self.module

    @property
    def symbols(self) -> Mapping[str, Tensor]:
        """Embeddings (D,) of the symbols, by name."""
        return {name: self.embedded(torch.tensor([i]))[0].to(self.device) for name, i in self.tokens.symbols.items()}

    @property
    def identity(self) -> list[Any]:
        """What numbers depend on beside the module."""
        return ["tokens", array_digest(self.table.detach().cpu().numpy()), self.tokens.identity]

    def encoded_layout(self, layout: FeatureLayout, size: int) -> FeatureLayout:
        """See `Predictor.encoded_layout`."""
        shape = (size, *layout.input_shape[1:], self.table.shape[1])
        return FeatureLayout("tokens", shape, slot=len(shape) - 1)

    def encode(self, raw: Tensor, size: int, layout: FeatureLayout) -> Encoded:
        """See `Predictor.encode`: embeddings of ids (N, L), or of the pieces of words (N, W, P)."""
        ids = raw[:, :size].long()
        live = ids != NO_TOKEN
        vectors = torch.where(live.unsqueeze(-1), self.embedded(ids.clamp(min=0)), 0.0)
        context = {} if bool(live.all()) else {"live": live}
        if self.name is not None or self.language_model is not None:
            context["ids"] = ids.clamp(min=0)
        return Encoded(vectors, context, self.encoded_layout(layout, size))

    def encode_pool(self, raw: Tensor, sizes: Tensor) -> Tensor:
        """See `Predictor.encode_pool`: (M, D), or (M, P, D) with NaN behind the last piece of a word."""
        ids = torch.cat([row[:n] for row, n in zip(raw.long(), sizes.tolist(), strict=True)])
        return torch.where((ids != NO_TOKEN).unsqueeze(-1), self.embedded(ids.clamp(min=0)), torch.nan)

    def words_in_place(self, inputs: Tensor, context: Context, uniform: Tensor) -> Tensor:
        """Inputs whose features are all drawn by the language model, each given the rest of its text.

        Parameters
        ----------
        inputs : Tensor (N, n, D) or (N, n, P, D)
        context : mapping of str to Tensor (N, ...)
            As `encode` gives it.
        uniform : Tensor (N, n)
            Numbers between 0 and 1 that decide which words are drawn.

        Returns
        -------
        Tensor, same shape
            Of words, NaN behind their first piece: a word is replaced by one of a single piece.
        """
        assert self.language_model is not None
        live = context.get("live")
        filled = torch.full_like(inputs, torch.nan)
        for row, drawn in enumerate(uniform.cpu().double()):
            found = self.language_model.probabilities(
                pieces_of(context["ids"][row], None if live is None else live[row])
            )
            total = found.cumsum(dim=1)
            ids = torch.searchsorted(total, (drawn * total[:, -1]).unsqueeze(1), right=True).squeeze(1)
            words = self.embedded(ids.clamp(max=found.shape[1] - 1)).to(inputs)
            filled[row].view(len(words), -1, inputs.shape[-1])[:, 0] = words
        return filled

    def batch_size(self, inputs: Tensor, context: Context | None = None) -> int:
        """Samples per batch, measured once for every number of features."""
        if self._batch_size is not None:
            return self._batch_size
        n = inputs.shape[1]
        if n not in self._sizes:
            self._sizes[n] = super().batch_size(inputs, context)
            self._batch_size = None
        return self._sizes[n]

    def with_module(self, module: nn.Module) -> TorchPredictor:
        """See `TorchPredictor.with_module`; the table stays."""
        return self._around(module, self._batch_size)

    def in_float64(self, inputs: Tensor, context: Context | None = None) -> Predictor:
        """See `Predictor.in_float64`."""
        found = super().in_float64(inputs, context)
        if found is self or found.module is None:
            return self
        return self._around(found.module, found.batch_size(inputs, context))

    def shifted(self, by: float) -> TorchPredictor:
        """See `Predictor.shifted`: embeddings larger by a constant; symbols and pads move as they are copied."""
        raise UnsupportedError("embeddings cannot be shifted: symbols and what stands around a text would stay")

    def _around(self, network: nn.Module, batch_size: int | None) -> TokenPredictor:
        made = object.__new__(TokenPredictor)
        TorchPredictor.__init__(made, network, self.returns, device=self.device, batch_size=batch_size)
        made.tokens, made.name, made.table, made._sizes = self.tokens, self.name, self.table, {}
        made.facts, made.language_model, made.reader = self.facts, self.language_model, self.reader
        return made

    def embedded(self, ids: Tensor) -> Tensor:
        """Embeddings (..., D) of ids (...)."""
        return self.table[ids.to(self.table.device)].to(ids.device)


class TokenIdPredictor(CallablePredictor):
    """A text model over token ids, without gradients: a black box that is given ids (B, m) of int64.

    Inputs are ids as float32, NaN for a token or a piece that is not there. Ids must stay whole numbers: there is
    nothing between two tokens.

    Parameters
    ----------
    function : torch.nn.Module or callable
        Maps ids (B, m) of int64 to outputs (B, C). A module is given a tensor, a callable an array.
    tokens : Tokens, optional
    returns : {"logit", "probability", "value"}
    device, batch_size
        As for `TorchPredictor`; a callable computes where it wants.
    why_no_gradients : str, optional
        For messages.
    """

    takes_missing = True
    encodes_ids = True
    reader: TextReader | None = None

    def __init__(
        self,
        function: nn.Module | Callable[..., Any],
        tokens: Tokens | None = None,
        returns: Returns = "probability",
        *,
        device: torch.device | str = "cpu",
        batch_size: int | None = None,
        why_no_gradients: str = "",
    ) -> None:
        self.tokens = tokens or Tokens()
        self.why_no_gradients = why_no_gradients
        self.inner: nn.Module | None = None
        if isinstance(function, nn.Module):
            self.inner = TorchPredictor(function, returns, device=device).module
        super().__init__(function, returns, batch_size=batch_size)
        if self.inner is not None:
            self.device = torch.device(device)

    @property
    def symbols(self) -> Mapping[str, Tensor]:
        """Ids (1,) of the symbols, by name."""
        found = {name: torch.tensor([float(i)]) for name, i in self.tokens.symbols.items()}
        return {name: i.to(self.device) for name, i in found.items()}

    @property
    def identity(self) -> list[Any]:
        """What numbers depend on beside the model."""
        return ["tokens", self.tokens.identity]

    def encoded_layout(self, layout: FeatureLayout, size: int) -> FeatureLayout:
        """See `Predictor.encoded_layout`."""
        shape = (size, *layout.input_shape[1:], 1)
        return FeatureLayout("tokens", shape, slot=len(shape) - 1, discrete=True)

    def encode(self, raw: Tensor, size: int, layout: FeatureLayout) -> Encoded:
        """See `Predictor.encode`: ids (N, n, 1), or pieces (N, n, P, 1) with NaN behind the last of a word."""
        ids = raw[:, :size]
        numbers = torch.where(ids != NO_TOKEN, ids.to(torch.float32), torch.nan).unsqueeze(-1)
        return Encoded(numbers, {}, self.encoded_layout(layout, size))

    def encode_pool(self, raw: Tensor, sizes: Tensor) -> Tensor:
        """See `Predictor.encode_pool`."""
        ids = torch.cat([row[:n] for row, n in zip(raw, sizes.tolist(), strict=True)])
        return torch.where(ids != NO_TOKEN, ids.to(torch.float32), torch.nan).unsqueeze(-1)

    def shifted(self, by: float) -> CallablePredictor:
        """Token ids cannot be shifted."""
        raise UnsupportedError(f"token ids cannot be shifted: {_FRACTION}", _MASKERS)

    def _forward(self, inputs: Tensor, context: Context | None = None) -> Tensor:
        ids = inputs.flatten(1)
        there = ~torch.isnan(ids)
        self._check(ids[there])
        lengths = there.sum(dim=1)
        order = (~there).long().argsort(dim=1, stable=True)
        parts, rows = [], []
        for length in sorted(set(lengths.tolist())):
            chosen = (lengths == length).nonzero().squeeze(1)
            sequence = ids[chosen].gather(1, order[chosen, :length]).nan_to_num(0.0).long()
            beside = {name: values[chosen] for name, values in (context or {}).items()}
            parts.append(self._run(sequence, beside, shortened=length < inputs.shape[1]))
            rows.append(chosen)
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _check(self, ids: Tensor) -> None:
        if bool((ids != ids.round()).any()):
            raise UnsupportedError(
                f"the model would be asked about ids such as {_fraction(ids)}: {_FRACTION}", _MASKERS
            )
        last = None if self.tokens.size is None else self.tokens.size - 1
        if ids.numel() and (float(ids.min()) < 0 or (last is not None and float(ids.max()) > last)):
            wrong = int(ids.min()) if float(ids.min()) < 0 else int(ids.max())
            raise UnsupportedError(f"the model would be asked about the id {wrong}, which is not a token", _MASKERS)

    def _run(self, ids: Tensor, context: Context, *, shortened: bool) -> Tensor:
        """Raw outputs of texts of one length."""
        prefix, suffix = tuple(self.tokens.prefix), tuple(self.tokens.suffix)
        if ids.shape[1] + len(prefix) + len(suffix) == 0:
            if self.tokens.pad is None:
                raise UnsupportedError(
                    "nothing is left of a text of which every token is deleted",
                    "give the id of the empty token, Tokens(pad=...), which then stands for it, or another masker",
                )
            prefix = (self.tokens.pad,)
        n = len(ids)
        left, right = ([ids.new_full((n, 1), i) for i in part] for part in (prefix, suffix))
        ids = torch.cat([*left, ids, *right], dim=1)
        try:
            raw = self._ask(ids, context)
            wrong = None if len(raw) == n else f"it returned {len(raw)} rows for {n} texts"
        except (UsageError, UnsupportedError):
            raise
        except Exception as error:
            if not shortened:
                raise
            wrong = str(error).splitlines()[0] if str(error) else type(error).__name__
        if wrong is None:
            return as_matrix(raw)
        if not shortened:
            raise UsageError(f"the model does not take texts: {wrong}", "a text model maps ids (N, L) to (N, C)")
        raise UnsupportedError(
            f"the model does not take a text of {ids.shape[1]} tokens, as delete makes of a longer one: {wrong}",
            "name a symbol, special_tokens=Tokens(mask=...) or Tokens(pad=...), and the masker of that name",
        )

    def _ask(self, ids: Tensor, context: Context) -> Tensor:
        if self.inner is not None:
            return logits_of(self.inner(ids, **context))
        raw = self.function(ids.numpy(), **{name: values.numpy() for name, values in context.items()})
        return read_output(raw).detach().cpu().to(torch.float32)

    def _batch_rule(self, inputs: Tensor, context: Context | None = None) -> int:
        if self.inner is None or is_compiled(self.inner):
            return super()._batch_rule(inputs, context)
        ids = inputs.flatten(1).nan_to_num(0.0).long().to(self.device)
        return batch_size_for(self.inner, ids, self.on_device(context), CPU_BUDGET)


def _frozen(table: nn.Module | Tensor) -> Tensor:
    """Every row of an embedding (V, D), as a lookup gives it."""
    if isinstance(table, Tensor):
        found = table.detach()
    elif isinstance(table, nn.Embedding):
        with torch.no_grad():
            found = table(torch.arange(table.num_embeddings, device=table.weight.device)).detach().clone()
    else:
        raise UsageError(f"a {type(table).__name__} is not an embedding", "give a torch.nn.Embedding or a table (V, D)")
    if found.ndim != 2 or not found.is_floating_point():
        raise UsageError(f"an embedding table of shape {tuple(found.shape)}", "a table is (V, D), a row for every id")
    return found


def _sized(tokens: Tokens, size: int) -> Tokens:
    return replace(tokens, vocabulary=size)


def _fraction(ids: Tensor) -> str:
    wrong = ids[ids != ids.round()]
    return f"{float(wrong[0]):.4g}"
