"""Attention of transformers as it is computed: its weights with their gradient, and the blocks around it.

How a module shows its attention
--------------------------------
A module needs no special output. It computes attention by `torch.nn.functional.scaled_dot_product_attention`, by
`torch.nn.MultiheadAttention`, or as a softmax over scores (..., n, n) that is multiplied from the left with the
values (``weights @ values``), once in every block. A block is a submodule that is called with the hidden states
(B, n, D) as its first tensor and returns such states, alone or as the first element of a tuple. Blocks are the
elements of a `torch.nn.ModuleList`, or those that the module lists itself in an attribute ``attention_blocks``.
The models of the library transformers fit as they are, whatever their ``attn_implementation`` is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xaibench.core.attention_operations import (
    ATTENTION_FUNCTION,
    MULTI_HEAD_FUNCTION,
    dot_product_attention,
    multi_head_attention,
)
from xaibench.core.context import Context, context_rows
from xaibench.core.errors import UnsupportedError
from xaibench.core.input_gradients import as_leaf
from xaibench.core.predictor import TorchPredictor, hooked, require_module
from xaibench.core.problem import Samples
from xaibench.core.token_networks import TokenNetwork

_PRODUCTS = frozenset({"bmm", "matmul"})
_UNCHANGED = frozenset(
    {"clone", "contiguous", "dropout", "expand", "float", "reshape", "to", "type", "type_as", "view"}
)
"""Operations that leave weights what they are, where nothing is dropped."""
HOW_TO_SHOW = (
    "attention is seen where a block computes it by scaled_dot_product_attention, MultiheadAttention or "
    "softmax(scores) @ values, in the elements of a ModuleList or of the module's attention_blocks"
)


@dataclass(frozen=True)
class AttentionLayer:
    """The attention of one block.

    Attributes
    ----------
    weights : Tensor (B, H, m, m)
        After the softmax; row i says where place i looks. Part of the graph behind the outputs.
    block : torch.nn.Module or None
        The block that computes it; None where it is in none.
    args, kwargs : tuple, dict
        What the block was called with.
    hidden : Tensor (B, m, D) or None
        The hidden states among that.
    output : Tensor (B, m, D) or None
        What the block returned.
    """

    weights: Tensor
    block: nn.Module | None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    hidden: Tensor | None = None
    output: Tensor | None = None

    def again(self, copies: int, change: Callable[[Tensor], Tensor]) -> Tensor:
        """The output (copies, m, D) of the block for copies of its one sample, with other values.

        Parameters
        ----------
        copies : int
        change : callable
            Makes other values (copies, H, m, d) of the values.
        """
        if self.block is None or self.hidden is None:
            raise UnsupportedError("the model computes attention outside of a block", HOW_TO_SHOW)
        hidden = self.hidden.detach()
        many = hidden.expand(copies, *hidden.shape[1:])
        args = tuple(many if a is self.hidden else a for a in self.args)
        kwargs = {name: many if a is self.hidden else a for name, a in (self.kwargs or {}).items()}
        with torch.no_grad(), _AttentionTrace(copies, change):
            return _first(self.block(*args, **kwargs))


@dataclass(frozen=True)
class AttentionPass:
    """A forward pass over samples with sequences of equal length.

    Attributes
    ----------
    rows : Tensor (B,) of int64
        Which samples these are.
    inputs : Tensor (B, *input_shape)
        A leaf that the outputs can be differentiated by.
    raw : Tensor (B, C)
    layers : tuple of AttentionLayer
        From the first to the last.
    features : Tensor (B, m) of int64
        Feature that every place of the sequence belongs to; -1 for what stands around a text.
    """

    rows: Tensor
    inputs: Tensor
    raw: Tensor
    layers: tuple[AttentionLayer, ...]
    features: Tensor

    def weight_gradients(self, output: Tensor) -> tuple[Tensor, ...]:
        """Gradients (B, H, m, m) of an output (B,) of this pass by the weights of every layer; the graph stays."""
        weights = [layer.weights for layer in self.layers]
        found = torch.autograd.grad(output.sum(), weights, retain_graph=True, allow_unused=True)
        return tuple(torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True))

    def read_places(self) -> Tensor:
        """Share (B, m) of every place in what the head reads.

        A place is read if the outputs depend on what it attends to in the last layer: one place for a model that
        reads ``[CLS]`` or the last token, all places for one that takes their mean. Those that are read have equal
        shares.
        """
        columns = torch.arange(1, self.raw.shape[1] + 1, dtype=self.raw.dtype, device=self.raw.device)
        last = self.weight_gradients((self.raw * columns).sum(dim=1))[-1]
        read = (last != 0).any(dim=3).any(dim=1)
        read |= ~read.any(dim=1, keepdim=True)
        return read.to(last.dtype) / read.sum(dim=1, keepdim=True)

    def per_feature(self, scores: Tensor, n_features: int) -> Tensor:
        """Scores of places (B, m) summed over the places of every feature (B, n_features).

        What stands around a text is dropped, and nothing is renormalised.
        """
        out = scores.new_zeros(len(scores), n_features + 1)
        return out.scatter_add_(1, self.features % (n_features + 1), scores)[:, :n_features]


def attention_passes(problem: Samples) -> Iterator[AttentionPass]:
    """Forward passes over all samples, those of equal length together.

    Raises
    ------
    UnsupportedError
        If no attention is seen, or it is not between the places of one sequence.
    """
    model = require_module(problem.model)
    features = [features_of_places(model, problem.inputs, problem.context, row) for row in range(len(problem))]
    lengths = torch.tensor([len(f) for f in features])
    size = problem.batch_size
    for length in sorted(set(lengths.tolist())):
        for rows in torch.split((lengths == length).nonzero().squeeze(1), size):
            own = torch.stack([features[row] for row in rows.tolist()]).to(problem.inputs.device)
            chosen = rows.to(problem.inputs.device)
            context = context_rows(problem.context, chosen)
            yield attention_pass(model, problem.inputs[chosen], context, chosen, own)


def attention_pass(
    model: TorchPredictor, inputs: Tensor, context: Context, rows: Tensor, features: Tensor
) -> AttentionPass:
    """One forward pass over samples whose sequences have the same length."""
    trace = _AttentionTrace(len(inputs))
    with torch.enable_grad(), hooked(trace.watch(model.module)), trace:
        leaf = as_leaf(inputs.to(model.device))
        raw = model.forward(leaf.clone(), context or None)
    layers = trace.layers()
    m = features.shape[1]
    if any(layer.weights.shape[2:] != (m, m) for layer in layers):
        shapes = {tuple(layer.weights.shape[2:]) for layer in layers}
        raise UnsupportedError(f"attention of shape {shapes} is not between the {m} places of a text", HOW_TO_SHOW)
    return AttentionPass(rows, leaf, raw, layers, features)


def features_of_places(model: TorchPredictor, inputs: Tensor, context: Context, row: int) -> Tensor:
    """Feature of every place (m,) of the sequence of one sample, -1 for what stands around it."""
    n, width = inputs.shape[1], 1 if inputs.ndim < 4 else inputs.shape[2]
    own = torch.arange(n, device=inputs.device).repeat_interleave(width)
    if not isinstance(model.module, TokenNetwork):
        return own
    live = context.get("live")
    if live is not None:
        own = own[live[row].flatten()]
    before, after = (own.new_full((len(part),), -1) for part in (model.module.prefix, model.module.suffix))
    return torch.cat([before, own, after])


def shows_attention(model: TorchPredictor, inputs: Tensor, context: Context) -> bool:
    """Whether attention between the places of one sample (1, *input_shape) is seen when the model runs."""
    try:
        features = features_of_places(model, inputs, context, 0).unsqueeze(0)
        attention_pass(model, inputs, context, torch.zeros(1, dtype=torch.int64), features)
    except Exception:  # Whatever a module raises: then there is none to be explained with.
        return False
    return True


class _AttentionTrace(TorchFunctionMode):
    """Takes note of attention while a network runs, and optionally changes the values."""

    def __init__(self, n_samples: int, change: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.n_samples = n_samples
        self.change = change
        self._weights: dict[int, Tensor] = {}
        # A block may run several times, as where layers share their weights: a record for every call.
        self._active: list[dict[str, Any]] = []
        self._found: list[tuple[Tensor, dict[str, Any]]] = []

    def watch(self, module: nn.Module) -> list[Any]:
        """Hooks that tell in which block the network is, to be removed afterwards."""
        handles = []
        for block in _blocks(module):
            handles.append(block.register_forward_pre_hook(self._enter, with_kwargs=True))
            handles.append(block.register_forward_hook(self._leave))
        return handles

    def layers(self) -> tuple[AttentionLayer, ...]:
        """What was seen, in the order of execution."""
        if not self._found:
            raise UnsupportedError("no attention is seen in this model", HOW_TO_SHOW)
        calls = [id(call) for _, call in self._found if call["block"] is not None]
        if len(set(calls)) < len(calls):
            raise UnsupportedError("a block of this model computes attention more than once", HOW_TO_SHOW)
        return tuple(AttentionLayer(weights, **call) for weights, call in self._found)

    def _enter(self, block: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        given = (*args, *kwargs.values())
        hidden = next((a for a in given if isinstance(a, Tensor) and a.ndim == 3 and a.is_floating_point()), None)
        self._active.append({"block": block, "args": args, "kwargs": kwargs, "hidden": hidden})

    def _leave(self, block: nn.Module, _args: Any, output: Any) -> None:
        call = self._active.pop()
        assert call["block"] is block
        found = output[0] if isinstance(output, tuple | list) and output else output
        call["output"] = found if isinstance(found, Tensor) else None

    def _attend(self, weights: Tensor, values: Tensor) -> Tensor:
        n = weights.shape[-1]
        recorded = weights if weights.ndim == 4 else weights.reshape(self.n_samples, -1, *weights.shape[-2:])
        if self.change is not None:
            own = values.reshape(self.n_samples, -1, n, values.shape[-1])
            values = self.change(own).reshape(values.shape)
        self._found.append((recorded, self._active[-1] if self._active else {"block": None}))
        # The product is taken with what is recorded, so that it has a gradient.
        return torch.matmul(recorded.reshape(weights.shape), values)

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func)).strip("_")
        if name == ATTENTION_FUNCTION:
            return dot_product_attention(self._attend, *args, **kwargs)
        if name == MULTI_HEAD_FUNCTION:
            return multi_head_attention(partial(dot_product_attention, self._attend), *args, **kwargs)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        are_weights = first is not None and self._weights.get(id(first)) is first
        if are_weights and name in _PRODUCTS and isinstance(args[1], Tensor):
            assert first is not None
            return self._attend(first, args[1])
        result = func(*args, **kwargs)
        square = isinstance(result, Tensor) and result.ndim > 2 and result.shape[-1] == result.shape[-2]
        if square and (name == "softmax" or (are_weights and name in _UNCHANGED)):
            self._weights[id(result)] = result
        return result


def _blocks(module: nn.Module) -> list[nn.Module]:
    """Blocks that a module lists, else the elements of its lists of modules."""
    for part in module.modules():
        listed = getattr(part, "attention_blocks", None)
        if isinstance(listed, list | tuple | nn.ModuleList):
            return list(listed)
    lists = [part for part in module.modules() if isinstance(part, nn.ModuleList)]
    return list({id(block): block for part in lists for block in part}.values())


def _first(output: Any) -> Tensor:
    found: Tensor = output[0] if isinstance(output, tuple | list) else output
    return found
