"""Torch's attention functions written out, so that weights and values can be seen and given rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from xaibench.core.errors import UnsupportedError

ATTENTION_FUNCTION = "scaled_dot_product_attention"
MULTI_HEAD_FUNCTION = "multi_head_attention_forward"
Product = Callable[[Tensor, Tensor], Tensor]
"""A product of two tensors, such as `torch.matmul`."""


def dot_product_attention(
    attend: Product,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    product: Product = torch.matmul,
) -> Tensor:
    """`torch.nn.functional.scaled_dot_product_attention` in single steps.

    Parameters
    ----------
    attend : callable
        Makes the result of weights (..., n, m) and values (..., m, d).
    query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa
        As torch has them.
    product : callable
        Multiplies queries and keys.
    """
    if dropout_p > 0:
        raise UnsupportedError("the model drops attention at random", "call model.eval()")
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        share = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(share, -3), value.repeat_interleave(share, -3)
    scores = product(query, key.transpose(-2, -1)) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        n, m = scores.shape[-2:]
        later = torch.ones(n, m, dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return attend(functional.softmax(scores, dim=-1), value)


def multi_head_attention(
    attend: Callable[..., Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, None]:
    """`torch.nn.functional.multi_head_attention_forward` with its attention by ``attend(q, k, v, mask)``.

    The weights that the module may want to return are not given back.
    """
    extras: tuple[Any, ...] = (bias_k, bias_v, static_k, static_v)
    if any(e is not None for e in extras) or add_zero_attn or (training and dropout_p > 0) or query.ndim != 3:
        raise UnsupportedError("attention with extra keys, dropout or without a batch axis is not followed")
    biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
    if use_separate_proj_weight:
        assert q_proj_weight is not None
        assert k_proj_weight is not None
        assert v_proj_weight is not None
        weights: tuple[Tensor, ...] = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        assert in_proj_weight is not None
        weights = in_proj_weight.chunk(3)
    n, batch, width = query.shape

    def heads(given: Tensor, i: int) -> Tensor:
        found = functional.linear(given, weights[i], biases[i])
        return found.view(len(given), batch, num_heads, width // num_heads).permute(1, 2, 0, 3)

    q, k, v = (heads(given, i) for i, given in enumerate((query, key, value)))
    mask = None
    if attn_mask is not None:
        mask = _additive(attn_mask, q.dtype)
        mask = mask.view(batch, num_heads, *mask.shape[-2:]) if mask.ndim == 3 else mask
    if key_padding_mask is not None:
        padding = _additive(key_padding_mask, q.dtype)[:, None, None, :]
        mask = padding if mask is None else mask + padding
    out = attend(q, k, v, mask).permute(2, 0, 1, 3).reshape(n, batch, width)
    return functional.linear(out, out_proj_weight, out_proj_bias), None


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores; of booleans, True hides."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)
