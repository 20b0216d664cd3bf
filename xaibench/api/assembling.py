"""A problem of a caller's model and arrays: everything that was given, checked and put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from xaibench.api.arguments import require_choice, require_whole
from xaibench.api.inputs import ArrayLike, as_classes, capabilities_of, make_view, with_distractors
from xaibench.api.pairs import PairsArgument, make_labels, make_pairs
from xaibench.api.retraining import CallableRetraining, RetrainWith, make_retraining
from xaibench.api.shared_problem import SharedProblem, digest_of_weights
from xaibench.api.targets import by_number, evaluates_all, names_of, read_targets
from xaibench.core.errors import UsageError
from xaibench.core.feature_groups import ColumnGroups
from xaibench.core.features import FEATURE_KINDS, FeatureKind
from xaibench.core.keys import KEY_VERSION, digest
from xaibench.core.outputs import (
    OUTPUTS,
    GivenReturns,
    Output,
    check_output,
    default_output,
    is_of_one_column,
)
from xaibench.core.problem import Problem, ProblemView, Samples
from xaibench.core.samples_of_labels import samples_of_labels
from xaibench.core.tokens import Tokens
from xaibench.core.truth import TruthKind


def assemble_problem(
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None,
    *,
    background: ArrayLike | None,
    background_labels: ArrayLike | None,
    truth: ArrayLike | None,
    truth_kind: TruthKind,
    labels: ArrayLike | None,
    distractors: ArrayLike | None,
    pairs: PairsArgument | None,
    retrain: RetrainWith | None,
    train: tuple[ArrayLike, ArrayLike] | None,
    context: Mapping[str, ArrayLike] | None,
    background_context: Mapping[str, ArrayLike] | None,
    special_tokens: Tokens | None,
    embedding: nn.Embedding | Tensor | str | None,
    feature_groups: ColumnGroups | None,
    categorical_features: Sequence[str | int],
    features: FeatureKind | None,
    axes: str | None,
    output: Output | None,
    returns: GivenReturns | None,
    batch_size: int | None,
    device: str | torch.device,
    name: str | None,
    foils: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
) -> SharedProblem:
    """Put a problem together; arguments and errors are those of `Problem`."""
    require_choice("features", features, FEATURE_KINDS)
    require_choice("output", output, OUTPUTS)
    require_choice("returns", returns, get_args(GivenReturns))
    require_choice("truth_kind", truth_kind, get_args(TruthKind))
    if batch_size is not None:
        require_whole("batch_size", batch_size, at_least=1)
    if not isinstance(device, (str, torch.device)):
        raise UsageError(f"unknown device {device!r}", "known: cpu, cuda, cuda:0, mps")
    where = str(device)
    view, raw = make_view(
        model,
        inputs,
        0,
        features,
        returns,
        background,
        truth,
        batch_size,
        where,
        context,
        background_context,
        special_tokens,
        embedding,
        axes,
        feature_groups,
        categorical_features,
        predict_all=evaluates_all(targets, foils),
    )
    n_inputs, columns = len(view), names_of(class_names, model, raw.shape[1])
    asked = read_targets(targets, foils, len(view), raw, view.model, columns)
    contrastive = asked.foils is not None
    chosen_output = output or default_output(view.model.returns, contrastive=contrastive)
    check_output(chosen_output, view.model.returns, contrastive=contrastive)
    view = replace(view, output=chosen_output)
    if asked.rows is None:
        view = replace(view, targets=asked.columns, foils=asked.foils)
    if view.truth is not None:
        view = replace(view, truth=replace(view.truth, kind=truth_kind))
    if labels is not None:
        numbers = by_number(labels, raw.shape[1], view.model.returns, columns)
        view = replace(view, labels=make_labels(view, numbers, view.model))
    if background_labels is not None:
        numbers = by_number(background_labels, raw.shape[1], view.model.returns, columns)
        view = replace(view, background_labels=_background_labels(view, numbers))
    if distractors is not None:
        view = with_distractors(view, distractors)
    known = {} if pairs is None else make_pairs(view, pairs, returns)
    retraining = None
    if retrain is not None or train is not None:
        retraining = make_retraining(view, inputs, targets, retrain, train, returns)
    if asked.rows is not None:
        _refuse_several(pairs, retraining)
        view, _ = samples_of_labels(view, view.truth, asked, columns)
    samples = Samples(**{f.name: getattr(view, f.name) for f in fields(Samples)})
    content = [digest_of_weights(samples), [d.hex() for d in view.digests], view.targets.tolist()]
    content += [[returns]] if is_of_one_column(returns) else []
    content += [] if view.foils is None else [["foils", *view.foils.tolist()]]
    dataset, model_name = _names(name, model)
    chosen = "predicted" if targets is None else "given" if asked.rows is None else "each"
    chosen += " foils" if contrastive else ""
    references = view.background if view.references is None else view.references.values
    n_references = 0 if references is None else len(references)
    selection = f"inputs[:{n_inputs}] {chosen} {output or 'default'} background[:{n_references}]"
    seen = view.model.facts
    prepared = Problem(
        dataset,
        model_name,
        samples,
        digest(KEY_VERSION, *content),
        capabilities_of(view, retrains=retraining is not None, pairs=known),
        view.truth,
        retraining=retraining,
        pairs=known,
        info={} if seen is None else {"model": seen.to_json()},
        lacking={} if seen is None else seen.lacking,
    )
    return SharedProblem(prepared, selection, asked.rows)


def _refuse_several(pairs: PairsArgument | None, retraining: CallableRetraining | None) -> None:
    """Raise UsageError for what goes with one target per sample only."""
    for argument, given in (("pairs", pairs), ("retrain", retraining)):
        if given is not None:
            raise UsageError(f"{argument}= goes with one target per sample", "give one label of every sample")


def _names(name: str | None, model: Any) -> tuple[str, str]:
    """Data set and model as tables show them."""
    if name is None:
        function = callable(model) and not hasattr(model, "predict") and not isinstance(model, nn.Module)
        return "inputs", "function" if function else type(model).__name__
    dataset, slash, model_name = name.partition("/") if isinstance(name, str) else ("", "", "")
    if not (slash and dataset and model_name):
        raise UsageError(
            f"name={name!r} is not the name of a problem", 'write DATASET/MODEL, for example "loans/forest"'
        )
    return dataset, model_name


def _background_labels(view: ProblemView, labels: ArrayLike) -> Tensor:
    classes = as_classes(labels, "background_labels").cpu()
    n = 0 if view.background is None else len(view.background)
    if tuple(classes.shape) != (n,):
        raise UsageError(f"background_labels have shape {tuple(classes.shape)} for {n} reference samples")
    return classes
