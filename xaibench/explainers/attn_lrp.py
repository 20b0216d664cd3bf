"""Layer-wise relevance propagation for transformers."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.input_gradients import input_gradient
from xaibench.core.predictor import hooked, require_module
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.channels import Channels, per_feature
from xaibench.explainers.engines.perturbed_copies import model_batches
from xaibench.explainers.engines.tracing import run_tracked
from xaibench.explainers.engines.transformer_rules import AttentionRule, TransformerRules


@explainer("attn_lrp", kind="contribution", needs={"text", "attention"})
def attn_lrp(problem: ProblemView, *, rule: AttentionRule = "attn", channels: Channels = "sum") -> Tensor:
    """Layer-wise relevance propagation through attention (Achtibat et al. 2024, AttnLRP).

    Input times the gradient of the network under changed rules. The product of two activations (queries and keys,
    attention weights and values, a gate and what it gates) passes half of the gradient to each factor. Layer
    normalisation divides by a constant; an activation function is the line through 0 and its value. The softmax keeps
    its gradient, which is the rule of the paper, and biases absorb.

    The authors of layer-wise relevance propagation claim a patent on it.

    Parameters
    ----------
    rule : {"attn", "cp"}
        Of products with attention weights; ``cp`` takes the weights as constants (Ali et al. 2022): then the
        relevance of tokens, of what stands around them, of positions and of biases adds up to the output. With ``attn``
        what the softmax absorbs is missing.
    channels : {"sum", "positive", "norm", "abs"}
        Signed sum over channels; or, as a saliency, the sum of their positive parts, their Euclidean norm or the
        sum of their magnitudes.

    Returns
    -------
    Tensor (N, *feature_shape)
        In units of the output. Positions, biases and what stands around a text take a large share, which is not a
        token's.

    Raises
    ------
    UnsupportedError
        If the network holds an operation that has no rule, or the pass over it does not give the model's own outputs.
    """
    model = require_module(problem.model)
    maps = []
    for inputs, rows, context in model_batches(problem, model):
        mode = TransformerRules(rule)
        with hooked(mode.watch(model.module)):
            raw = run_tracked(model, mode, inputs, context)
        output = problem.select(raw, rows)
        maps.append(inputs.detach() * input_gradient(output, inputs))
    return per_feature(problem, torch.cat(maps), channels)
