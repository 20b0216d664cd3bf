"""ALTI-Logit: what every token's value adds to an output, through the layers of a pre-norm transformer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xaibench.core.attention import AttentionLayer, AttentionPass, attention_pass
from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import TorchPredictor, hooked, require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.attention_scores import explain_places
from xaibench.explainers.engines.backward_rules import ACTIVATIONS
from xaibench.explainers.engines.tracing import canonical, run_tracked
from xaibench.explainers.engines.transformer_rules import TransformerRules, is_written_activation

LARGEST_DEVIATION = 1e-3
"""Largest relative deviation from a sum of what was read and of one term for every value."""
_INSTEAD = "attn_lrp, value_zeroing and attention_rollout take other transformers"


@explainer("alti_logit", kind="contribution", needs={"text", "attention"})
def alti_logit(problem: ProblemView) -> Tensor:
    """Updates of the output by every token's values, traced back through the layers (Ferrando et al. 2023).

    In a pre-norm transformer the output reads a sum of updates. That of place j by attention in layer l changes the
    output by ``g T_ij``, where ``T_ij`` is its value after the output projection, weighted by attention, and g the
    slope of the output by what the last block returns, with the scale of the last normalisation as a constant. Such a
    share belongs to the tokens that place j is a mixture of, by ALTI (Ferrando et al. 2022):
    ``max(0, ||y_i|| - ||y_i - T_ij||)`` in L1 norm, rows scaled to sum 1, y_i being what block l has read and its
    attention has added, and the product of these matrices over the layers below. What the embedding of a place adds
    directly is that place's own.

    Returns
    -------
    Tensor (N, *feature_shape)
        In units of the output. The parts of MLPs, biases, positions behind the first layer and of what stands around a
        text are missing.

    Raises
    ------
    UnsupportedError
        If blocks are not of the form ``h + attention(norm(h))``, then ``+ mlp(norm(.))``: BERT normalises behind the
        sum, for example.

    Notes
    -----
    As many passes of every block as there are places, one sample at a time. Biases of the output projection are left
    out of ``y_i``, where the paper adds them.
    """
    return explain_places(problem, _scores)


def _scores(view: ProblemView, found: AttentionPass) -> Tensor:
    model = require_module(view.model)
    return torch.cat([_of_one(view.take(slice(i, i + 1)), model, found, slice(i, i + 1)) for i in range(len(view))])


def _of_one(own: ProblemView, model: TorchPredictor, found: AttentionPass, one: slice) -> Tensor:
    """Scores (1, m) of the places of one text."""
    alone = attention_pass(model, own.inputs, own.context, found.rows[one], found.features[one])
    slope = _slope_at_last_block(own, model, alone)
    first = alone.layers[0].hidden
    assert first is not None
    mixture = torch.eye(len(slope), dtype=slope.dtype, device=slope.device)
    scores = (slope * first[0].detach().double()).sum(dim=1)
    before = None
    for layer in alone.layers:
        read, updates = _updates(layer, before)
        scores = scores + torch.einsum("id,ijd->j", slope, updates) @ mixture
        mixture = _mixture(read, updates) @ mixture
        before = layer.output
    return scores.unsqueeze(0)


def _slope_at_last_block(own: ProblemView, model: TorchPredictor, alone: AttentionPass) -> Tensor:
    """Slope (m, D) of the explained output by what the last block returns, under the rules for normalisations."""
    block = alone.layers[-1].block
    if block is None:
        raise UnsupportedError("alti_logit needs attention inside of blocks, and this model has none", _INSTEAD)
    leaves: list[Tensor] = []

    def replaced(_module: nn.Module, _args: Any, output: Any) -> Any:
        states = output[0] if isinstance(output, tuple | list) else output
        leaves.append(states.detach().requires_grad_())
        return (leaves[-1], *output[1:]) if isinstance(output, tuple | list) else leaves[-1]

    rules = TransformerRules("cp")
    with hooked([*rules.watch(model.module), block.register_forward_hook(replaced)]):
        raw = run_tracked(model, rules, own.inputs.detach().to(model.device), own.context)
    (slope,) = torch.autograd.grad(own.select(raw).sum(), leaves[0])
    return slope[0].double()


def _updates(layer: AttentionLayer, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """What a block reads (m, D), and what the value of place j adds at place i (i, j, D), in float64."""
    hidden = layer.hidden
    if layer.block is None or hidden is None:
        raise UnsupportedError("alti_logit needs attention inside of blocks, and this model has none", _INSTEAD)
    m = hidden.shape[1]
    kept = torch.zeros(m + 2, m, dtype=layer.weights.dtype, device=layer.weights.device)
    kept[:m] = torch.eye(m, dtype=kept.dtype, device=kept.device)
    kept[m + 1] = 1.0
    with _without_activations(layer.block):
        outputs = layer.again(m + 2, lambda values: values * kept[:, None, :, None].to(values)).double()
    read, nothing, everything = hidden[0].detach().double(), outputs[m], outputs[m + 1]
    updates = (outputs[:m] - nothing).transpose(0, 1)
    size = everything.abs().amax() + read.abs().amax()
    added = nothing - read
    gaps = [everything - nothing - updates.sum(dim=1), added - added[:1]]
    if before is not None:
        gaps.append(before[0].detach().double() - read)
    if max(float(gap.abs().amax()) for gap in gaps) > LARGEST_DEVIATION * float(size):
        raise UnsupportedError(
            "alti_logit needs blocks that add attention(norm(h)) and mlp(norm(h)) to what they read", _INSTEAD
        )
    return read, updates


def _mixture(read: Tensor, updates: Tensor) -> Tensor:
    """Share of every place j (i, j) in what attention leaves at place i."""
    terms = updates + torch.diag_embed(read.T).permute(1, 2, 0)
    total = read + updates.sum(dim=1)
    near = (total.abs().sum(dim=1, keepdim=True) - (total.unsqueeze(1) - terms).abs().sum(dim=2)).clamp(min=0)
    sums = near.sum(dim=1, keepdim=True)
    own = torch.eye(len(near), dtype=near.dtype, device=near.device)
    return torch.where(sums > 0, near / sums.clamp(min=torch.finfo(near.dtype).tiny), own)


class _NoActivations(TorchFunctionMode):
    """Activation functions return 0, so that nothing comes out of an MLP but its bias."""

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name, _ = canonical(getattr(func, "__name__", str(func)))
        return result * 0 if name in ACTIVATIONS else result


@contextmanager
def _without_activations(block: nn.Module) -> Iterator[None]:
    def nothing(_module: nn.Module, _args: Any, output: Any) -> Any:
        return output * 0

    with ExitStack() as stack:
        for part in filter(is_written_activation, block.modules()):
            stack.callback(part.register_forward_hook(nothing).remove)
        stack.enter_context(_NoActivations())
        yield
