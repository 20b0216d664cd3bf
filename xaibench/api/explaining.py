"""Explaining and scoring arrays, without a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from xaibench.api.background import explaining, meant, say_if_unused
from xaibench.api.inputs import ArrayLike, ExplainWith, make_evaluation, make_view, require_needs, with_distractors
from xaibench.api.pairs import PairsArgument, make_labels, make_pairs
from xaibench.api.raw_rows import behind_end
from xaibench.api.retraining import RetrainWith, make_retraining
from xaibench.core import registry, scoring
from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.tokens import Tokens
from xaibench.core.types import Array


def explain(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    seed: int = 0,
    features: str | None = None,
    axes: str | None = None,
    output: str | None = None,
    returns: str | None = None,
    background: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    context: Mapping[str, ArrayLike] | None = None,
    background_context: Mapping[str, ArrayLike] | None = None,
    special_tokens: Tokens | None = None,
    embedding: nn.Embedding | Tensor | str | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Array:
    """Explain a model's outputs.

    Parameters
    ----------
    name : str
        An explainer; `components` ("explainer") lists them.
    model : torch.nn.Module, fitted scikit-learn estimator, or callable (N, ...) -> (N, C)
    inputs : array or Tensor (N, *input_shape)
        For a model with several inputs a tuple in the order of its parameters, or a dictionary by their
        names: the first one is explained, the others are held fixed (see ``context``). Series of different
        lengths are a list of arrays. Texts are token ids (N, L) with -1 behind the end, a list of lists of ids, or
        pieces of words (N, W, P).
    targets : array or Tensor (N,) of int, optional
        Output column to explain; the predicted class by default.
    seed : int
    features : {"image", "volume", "table", "series", "tokens"}, optional
        What the inputs are, where the shape leaves doubt.
    axes : str, optional
        A letter for each axis of the inputs: ``"NTC"`` (time, then sensors) or ``"NCT"`` of series,
        ``"NCHW"`` or ``"NHWC"`` of images, ``"NCDHW"`` of volumes. Attributions have the axes of the
        inputs, without channels of images and volumes.
    output : {"logit", "probability", "margin", "value"}, optional
        The number that is explained; by default what the model returns.
    returns : {"logit", "probability", "value"}, optional
        What the model's numbers are, where that is not plain (see `as_predictor`).
    background : array or Tensor (M, *input_shape), optional
        Reference samples. Explainers that remove columns of a table put those of a drawn reference
        sample in their place (``masker="marginal"``) unless a masker is named; where nothing uses
        them, an `UnusedBackgroundWarning` says so.
    truth : array or Tensor (N, *features), optional
        For the oracle: a mask (booleans or integers) or weights (floats).
    context : dict of str to array (N, ...), optional
        What goes to the model beside the inputs, by the names of its parameters: ``model(inputs, **context)``.
        Every changed copy of a sample comes with the context of that sample, which is never explained.
    background_context : dict of str to array (M, ...), optional
        The same of the reference samples, for components that evaluate the model there.
    special_tokens : Tokens, optional
        Of token ids: the symbols for a hidden, an empty and an unknown token, and what stands around every text.
        Maskers are then ``mask``, ``pad``, ``unk``, ``delete`` and ``unigram``; the default is the first of ``mask``,
        ``pad`` and ``delete`` that there is.
    embedding : torch.nn.Embedding or str, optional
        Of a model of token ids: where it looks them up, or the name of that module; found where it can be. The model
        is then differentiated in embeddings.
    batch_size, device
        Never change a result beyond rounding.
    **params
        Parameters of the explainer.

    Returns
    -------
    array (N, *features), float32
        Of samples of different lengths as long as the longest, NaN behind the end of the others.

    Raises
    ------
    UsageError
        If a name, a parameter or a shape is wrong.
    UnsupportedError
        If the explainer cannot work on this model or these data.

    Examples
    --------
    The contributions of a linear model to its first output:

    >>> import numpy as np
    >>> import xaibench as xb
    >>> model = lambda a: np.stack([a @ [2.0, -1.0], a @ [0.0, 0.0]], axis=1)
    >>> xb.explain("feature_ablation", model=model, returns="logit", inputs=np.ones((1, 2)), targets=[0]).tolist()
    [[2.0, -1.0]]
    """
    view = make_view(
        model,
        inputs,
        targets,
        seed,
        features,
        output,
        returns,
        background,
        truth,
        batch_size,
        device,
        context,
        background_context,
        special_tokens,
        embedding,
        axes,
    )
    spec = cast(ExplainerSpec, registry.get("explainer", name))
    require_needs(spec, view)
    bound = spec.bind(meant(spec, params, view))
    say_if_unused(view, [(spec, bound)])
    scoring.check_masker(bound, view)
    function = scoring.explain_function(spec, bound)
    maps = scoring.explain(function, view, f"explain/{spec.name}")
    if view.sizes is not None:
        maps = maps.masked_fill(behind_end(view.sizes, tuple(maps.shape[1:])), torch.nan)
    return maps.cpu().numpy()


def score(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    attributions: ArrayLike | None = None,
    explain: ExplainWith | None = None,
    kind: str | None = None,
    truth: ArrayLike | None = None,
    seed: int = 0,
    features: str | None = None,
    axes: str | None = None,
    output: str | None = None,
    returns: str | None = None,
    background: ArrayLike | None = None,
    retrain: RetrainWith | None = None,
    train: tuple[ArrayLike, ArrayLike] | None = None,
    labels: ArrayLike | None = None,
    distractors: ArrayLike | None = None,
    pairs: PairsArgument | None = None,
    context: Mapping[str, ArrayLike] | None = None,
    background_context: Mapping[str, ArrayLike] | None = None,
    special_tokens: Tokens | None = None,
    embedding: nn.Embedding | Tensor | str | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Array:
    """Score an explanation; nothing is cached between calls.

    Parameters
    ----------
    name : str
        A metric; `components` ("metric") lists them.
    attributions : array or Tensor (N, *features), optional
        What is scored. Without them, what ``explain`` gives.
    explain : str or callable (model, inputs, targets) -> attributions, optional
        Explains again, for metrics that need it. With ``attributions`` it serves only that. Where there
        is a ``context``, the callable is given it by this name, a row for every input.
    kind : {"slope", "contribution", "saliency"}, optional
        What the attributions mean; by default what the named explainer declares, else
        ``"contribution"``. Metrics of contributions turn slopes into them.
    truth : array or Tensor (N, *features), optional
        A mask or weights, for ground-truth metrics.
    output : str, optional
        The number that is explained and measured; removal curves use the probability by default.
    retrain : callable (inputs, targets, seed) -> model, optional
        Fits the model from scratch to arrays (M, *input_shape) and (M,), for metrics that retrain.
        The global random generators are seeded around every call and then put back. ``targets``
        must be the labels of ``inputs``, which serve as test data.
    train : tuple of array (M, *input_shape) and array (M,) of int, optional
        The data that the model was fitted to: inputs and labels.
    labels : array or Tensor (N,) of int, optional
        True class of every input, where a metric asks what the model gets right; ``targets`` say what is explained.
    distractors : array or Tensor (N, *features) of bool, optional
        Features that look as if they mattered and do not. No explainer is shown them.
    pairs : dict, optional
        The inputs seen otherwise, by the need of the metric. ``"model_pair.NAME"`` is a dictionary
        with the other ``model`` (and ``returns``, where that is not plain) and its ``labels``,
        ``"input_pair.NAME"`` one with the other ``inputs``, in the same order, and their
        ``labels``, by default those of the inputs themselves. Several pairs of one need are a list,
        each with its ``level``; one with a level only stands for ``model`` itself. The oracle asks
        for the ``truth`` of each pair, as ``truth`` above.
    **params
        Parameters of the metric; the others are those of `explain`.

    Returns
    -------
    array (N,), float32
        NaN where the score is not defined. A metric of scope ``dataset`` gives one number per
        repeat instead, (R,).

    Raises
    ------
    UsageError
        If a name, a parameter or a shape is wrong.
    UnsupportedError
        If the metric cannot work on this model, these data or this kind of explanation.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> model = lambda a: np.stack([a @ [2.0, -1.0], a @ [0.0, 0.0]], axis=1)
    >>> given = dict(model=model, returns="logit", inputs=np.ones((1, 2)), targets=[0], baseline="zero")
    >>> xb.score("completeness", attributions=[[2.0, -1.0]], **given).tolist()
    [0.0]
    """
    view = make_view(
        model,
        inputs,
        targets,
        seed,
        features,
        output,
        returns,
        background,
        truth,
        batch_size,
        device,
        context,
        background_context,
        special_tokens,
        embedding,
        axes,
    )
    if labels is not None:
        view = replace(view, labels=make_labels(view, labels, view.model))
    if distractors is not None:
        view = with_distractors(view, distractors)
    spec = cast(MetricSpec, registry.get("metric", name))
    ev = make_evaluation(view, attributions, explain, kind)
    known = {} if pairs is None else make_pairs(view, pairs, returns)
    ev = replace(ev, pairs=known)
    if retrain is not None or train is not None:
        ev = replace(ev, retraining=make_retraining(view, inputs, targets, retrain, train, returns))
    require_needs(spec, view, explains=explain is not None, retrains=retrain is not None, pairs=known)
    bound = spec.bind(meant(spec, params, view))
    say_if_unused(view, [(spec, bound), *explaining(explain, view)])
    return scoring.score(spec, bound, ev, output=output).values.numpy()


def curve(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    attributions: ArrayLike,
    seed: int = 0,
    features: str | None = None,
    axes: str | None = None,
    output: str | None = None,
    returns: str | None = None,
    background: ArrayLike | None = None,
    context: Mapping[str, ArrayLike] | None = None,
    background_context: Mapping[str, ArrayLike] | None = None,
    special_tokens: Tokens | None = None,
    embedding: nn.Embedding | Tensor | str | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Array:
    """The curve behind a metric such as ``pixel_flipping``, start point included.

    Parameters are those of `score`; attributions are ordered as they are. The curve of a random
    order is that of the explainer ``random``.

    Returns
    -------
    array (N, points), float32
        One point per step and one for the start; the ROAD metrics have one per share. NaN for
        samples whose attributions are not finite.

    Raises
    ------
    UsageError
        If the metric has no curve, or a name, a parameter or a shape is wrong.
    UnsupportedError
        If the metric cannot work on this model or these data.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> model = lambda a: np.stack([a @ [2.0, -1.0], a @ [0.0, 0.0]], axis=1)
    >>> given = dict(model=model, returns="logit", inputs=np.ones((1, 2)), targets=[0], masker="zero", output="logit")
    >>> xb.curve("pixel_flipping", attributions=[[2.0, -1.0]], steps=2, **given).tolist()
    [[1.0, -1.0, 0.0]]
    """
    spec = cast(MetricSpec, registry.get("metric", name))
    if spec.curve is None:
        known = [s.name for s in registry.components("metric") if cast(MetricSpec, s).curve is not None]
        raise UsageError(f"{name!r} has no curve", did_you_mean(name, known))
    view = make_view(
        model,
        inputs,
        targets,
        seed,
        features,
        output,
        returns,
        background,
        None,
        batch_size,
        device,
        context,
        background_context,
        special_tokens,
        embedding,
        axes,
    )
    require_needs(spec, view)
    ev = make_evaluation(view, attributions, None, None)
    bound = spec.bind(meant(spec, params, view))
    say_if_unused(view, [(spec, bound)])
    return scoring.curve(spec, bound, ev, output=output).numpy()
