"""First look at a model: a few samples at two batch sizes, before anything is explained or measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from xaibench.core.attention import shows_attention
from xaibench.core.context import Context, context_rows
from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError, UsageError, XaibenchError
from xaibench.core.features import FeatureLayout, raw_layout
from xaibench.core.groups import groups, others_of
from xaibench.core.input_gradients import NO_GRADIENT, as_leaf, input_gradient
from xaibench.core.model_facts import ModelFacts, ModelKind
from xaibench.core.model_outputs import read_output, where_output_is
from xaibench.core.module_copies import is_compiled, sharing_copy
from xaibench.core.outputs import Returns, columns_returned, has_classes, is_of_one_column
from xaibench.core.predictor import CallablePredictor, Predictor, TorchPredictor
from xaibench.core.steps import OWN_STEPS, OwnStepModule
from xaibench.core.tokens import text_sizes
from xaibench.models.adapted_modules import adapted, cast_context, whole_numbers
from xaibench.models.one_column import check_single_column
from xaibench.models.output_range import LastOperation, coarse_values, last_operation, settle_returns

N_SAMPLES = 8
"""Samples that are looked at, at most."""
Answer = TypeVar("Answer")
COMPILED = "the model is compiled (TorchScript): its layers can be neither watched nor given other weights"


def first_look(
    predictor: Predictor, inputs: Tensor, context: Context | None = None, *, given: str | None = None
) -> Predictor:
    """Evaluate a model on a few samples, alone and in a batch, and say what it is.

    Parameters
    ----------
    predictor : Predictor
        As `as_predictor` makes it.
    inputs : Tensor (N, *input_shape)
        The first 8 are looked at.
    context : mapping of str to Tensor (N, ...), optional
        What else the model is given.
    given : GivenReturns, optional
        What the caller said that the numbers are. Without it ``predictor.returns`` is what models of this kind
        return by default, and the outputs decide; see `settle_returns`.

    Returns
    -------
    Predictor
        With `ModelFacts`. A module that does not return one tensor, or computes in another number type, is
        replaced by a copy that does, sharing its weights; layers keep their names.

    Raises
    ------
    UsageError
        If the model fails on these inputs, does not return a row of finite numbers per sample, returns what it was
        said not to return, or if the output of a sample depends on the other samples of its batch.
    """
    returns = columns_returned(given) or (None if predictor.returns_assumed else predictor.returns)
    one_column = given if is_of_one_column(given) else None
    few = inputs[:N_SAMPLES].to(predictor.device)
    beside = predictor.on_device(context_rows(context, slice(0, N_SAMPLES)))
    seen = _Call(output="tensor", dtype=few.dtype, output_dtype=few.dtype)
    if isinstance(predictor, TorchPredictor) and not predictor.encodes_ids:
        predictor, seen = _called(predictor, few[:1], context_rows(beside, slice(0, 1)))
    size = min(len(few), _understood(few[:1], lambda: predictor.batch_size(few, beside)))
    few, beside = few[:size], context_rows(beside, slice(0, size))

    def everything() -> Tensor:
        return predictor.predict(inputs.to(predictor.device), predictor.on_device(context))

    raw, notes = _evaluated(predictor, few, beside, everything)
    last: LastOperation | None = None
    gradients, why = False, ""
    if isinstance(predictor, TorchPredictor):
        behind = 0 if one_column is None else 1
        gradients, why, last = _gradients(predictor, few[:2], context_rows(beside, slice(0, 2)), behind)
    elif isinstance(predictor, CallablePredictor):
        seen = _Call(predictor.part, few.dtype, raw.dtype)
    doubt = None if one_column is None else check_single_column(raw, one_column, last)
    settled = settle_returns(raw, returns, predictor.returns, last, seen.output_dtype)
    coarse = coarse_values(raw) if settled.returns == "value" else None
    predictor.returns = settled.returns
    predictor.returns_assumed = False
    module = predictor.module
    hooks = module is not None and not is_compiled(module)
    lacking = {} if module is None else _lacking(gradients, why, hooks)
    provides = frozenset() if module is None else frozenset({"gradients", "module"} - set(lacking))
    if isinstance(predictor, TorchPredictor) and predictor.encodes_ids and not lacking:
        one = context_rows(beside, slice(0, 1))
        provides |= {"attention"} if shows_attention(predictor, few[:1], one) else frozenset()
    if isinstance(module, OwnStepModule):
        provides |= {OWN_STEPS}
    predictor.facts = ModelFacts(
        kind=_kind(module),
        returns=settled.returns,
        returns_from="default" if given is None and settled.returns_from == "given" else settled.returns_from,
        columns=raw.shape[1],
        output=seen.output if one_column is None else f"{seen.output}, one column written as two",
        input_dtype=_name(seen.dtype),
        output_dtype=_name(seen.output_dtype),
        device=str(predictor.device),
        gradients=gradients,
        hooks=hooks,
        copies=hooks and _can_be_copied(module),
        repeatable=not notes,
        provides=provides,
        lacking=lacking,
        notes=(*notes, *(d for d in (settled.doubt, doubt, coarse) if d)),
    )
    return predictor


def look_at_rows(
    predictor: Predictor,
    rows: Tensor,
    sizes: Tensor,
    layout: FeatureLayout,
    context: Context | None = None,
    *,
    given: str | None = None,
) -> Predictor:
    """A first look at a model of samples of different sizes, at those of the size of the first one.

    Parameters
    ----------
    predictor : Predictor
    rows : Tensor (N, L, ...)
        Raw rows, such as token ids.
    sizes : Tensor (N,)
        How many entries of each exist.
    layout : FeatureLayout
        Of the raw rows.
    context, given
        As for `first_look`.
    """
    filled = (sizes > 0).nonzero().squeeze(1)
    first = int(filled[0]) if len(filled) else 0
    group = next(g for g in groups(sizes, None, others_of(layout, rows, context)) if first in g.rows.tolist())
    few = replace(group, rows=group.rows[:N_SAMPLES])
    found = predictor.encode(few.of(rows), few.size, layout)
    return first_look(predictor, found.inputs, {**few.context_of(context, layout), **found.context}, given=given)


def look_at_data(predictor: Predictor, data: Data, *, given: str | None = None) -> Predictor:
    """A first look at a model of a data set; see `first_look`.

    Where the labels of the data may be true together, the model's logits or probabilities are those of labels.
    """
    found = _look_at_data(predictor, data, given)
    if data.test_labels is not None and has_classes(found.returns):
        found.returns = cast(Returns, f"multilabel_{found.returns}")
        if found.facts is not None:
            found.facts = replace(found.facts, returns=found.returns)
    return found


def _look_at_data(predictor: Predictor, data: Data, given: str | None) -> Predictor:
    if not predictor.encodes_ids:
        everything = {name: torch.from_numpy(values) for name, values in data.test_context.items()}
        return first_look(predictor, torch.from_numpy(data.test_inputs), everything, given=given)
    n = slice(0, N_SAMPLES)
    context = {name: torch.from_numpy(values[n]).to(predictor.device) for name, values in data.test_context.items()}
    rows = torch.from_numpy(data.test_inputs[n]).to(predictor.device)
    sizes = torch.from_numpy(text_sizes(data.test_inputs[n])).to(predictor.device)
    return look_at_rows(predictor, rows, sizes, raw_layout(data.input_shape), context, given=given)


@dataclass(frozen=True)
class _Call:
    """How a model is called and answers: the part that is read, and the number types of inputs and outputs."""

    output: str
    dtype: torch.dtype
    output_dtype: torch.dtype


def _called(predictor: TorchPredictor, one: Tensor, beside: Context) -> tuple[TorchPredictor, _Call]:
    """The predictor, called in a number type that its module takes, and adapted if it returns no plain tensor."""
    failure: Exception | None = None
    for dtype, given in _number_types(predictor.module, one, beside):
        try:
            with torch.no_grad():
                own = {name: values.clone() for name, values in given.items()}
                answer = predictor.module(one.to(dtype, copy=True), **own)
        except XaibenchError:
            raise
        except Exception as error:  # Whatever a module raises.
            # Of a code that a table has no row for, only the call with whole numbers tells.
            failure = error if failure is None or isinstance(error, IndexError) else failure
            continue
        part, raw = where_output_is(answer), read_output(answer)
        output_dtype = answer.dtype if isinstance(answer, Tensor) else raw.dtype
        found = _Call(part, dtype, output_dtype)
        as_given = dtype == one.dtype and all(given[name].dtype == beside[name].dtype for name in beside)
        if as_given and isinstance(answer, Tensor) and answer.dtype == raw.dtype:
            return predictor, found
        module = adapted(predictor.module, None if as_given else dtype)
        return predictor.with_module(module), found
    assert failure is not None
    raise _cannot_take(one, failure) from failure


def _number_types(module: nn.Module, one: Tensor, beside: Context) -> Iterator[tuple[torch.dtype, Context]]:
    """Number types to call a module in, and the context for each.

    That of the inputs, with the context as it is and then in the same type, then its own, then whole numbers if
    these are some.
    """
    yield one.dtype, beside
    tried = {one.dtype: None} if any(v.dtype != one.dtype for v in beside.values() if v.is_floating_point()) else {}
    own = {t.dtype: None for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()}
    for dtype in (*tried, *(t for t in own if t != one.dtype)):
        yield dtype, cast_context(beside, dtype)
    if whole_numbers(one):
        yield torch.int64, beside


def _evaluated(
    predictor: Predictor, few: Tensor, beside: Context, predict_all: Callable[[], Tensor]
) -> tuple[Tensor, tuple[str, ...]]:
    """Finite outputs (n, C) of a few samples in one batch, and a note if the model draws at random.

    The first sample is evaluated alone as well, and among copies of itself: batches of the same size are
    computed alike, so that what differs there comes from the other samples.
    """
    raw = _understood(few, lambda: predictor.predict(few, beside))
    if not bool(raw.isfinite().all()):
        # How many there are is worth more than a quick answer.
        check_finite_outputs(_understood(few, predict_all), predictor.returns)
    if len(few) > 1:
        first = context_rows(beside, slice(0, 1))
        alone = _understood(few[:1], lambda: predictor.predict(few[:1], first))
        copies = {name: values.expand(len(few), *values.shape[1:]).clone() for name, values in first.items()}
        among_copies = predictor.predict(few[:1].expand_as(few).clone(), copies)
        size = float(raw[raw.isfinite()].abs().amax()) if bool(raw.isfinite().any()) else 0.0
        rounding = max(torch.finfo(raw.dtype).eps, torch.finfo(torch.float32).eps) ** 0.5 * size
        # A batch of another size may be computed by other kernels, which round otherwise.
        by_size = _gap(raw[:1], alone) > 8 * rounding and _gap(*_exactly(predictor, few, beside)) > rounding
        by_content = _gap(raw[:1], among_copies[:1]) > rounding
        if by_size or by_content:
            if _gap(raw, predictor.predict(few, beside)) > rounding:
                return raw, ("the model gives other outputs for the same inputs: scores hold for these draws only",)
            raise UsageError(
                "the output of a sample depends on the other samples of its batch "
                f"(it changes by {max(_gap(raw[:1], alone), _gap(raw[:1], among_copies[:1])):.2g})",
                "batch normalisation without running statistics and dynamic quantisation do that; "
                "correct the model, or say batch_size=1",
            )
    return raw, ()


def _exactly(predictor: Predictor, few: Tensor, beside: Context) -> tuple[Tensor, Tensor]:
    """Outputs (1, C) of the first sample in the batch and alone, in float64 where the model can."""
    exact = predictor.in_float64(few, beside)
    return exact.predict(few, beside)[:1], exact.predict(few[:1], context_rows(beside, slice(0, 1)))


def _gap(a: Tensor, b: Tensor) -> float:
    """The largest difference of two tensors; infinite where only one of them is a number."""
    if not torch.equal(a.isfinite(), b.isfinite()):
        return math.inf
    gap = (a - b).abs()
    return float(gap[a.isfinite()].max()) if bool(a.isfinite().any()) else 0.0


def check_finite_outputs(raw: Tensor, returns: str, what: str = "the model") -> None:
    """Raise UsageError where outputs (N, C) are NaN or infinite, with the number of rows; a logit may be -infinity."""
    wrong = raw.isnan() | (raw == torch.inf) | ((raw == -torch.inf) & ("logit" not in returns))
    n = int(wrong.any(dim=1).sum())
    if n:
        which = "NaN" if bool(raw.isnan().any()) else "infinity"
        raise UsageError(
            f"{what} returned {which} for {n} of {len(raw)} inputs",
            "look for overflow, a logarithm of 0, missing values in the inputs, or training that diverged",
        )


def _understood(inputs: Tensor, evaluate: Callable[[], Answer]) -> Answer:
    """What an evaluation of the model gives; whatever the model raises becomes one sentence."""
    try:
        return evaluate()
    except XaibenchError:
        raise
    except Exception as error:
        raise _cannot_take(inputs, error) from error


def _cannot_take(inputs: Tensor, error: Exception) -> UsageError:
    reason = str(error).partition("\n")[0]
    samples = "one sample" if len(inputs) == 1 else f"{len(inputs)} samples"
    hint = next((hint for text, hint in _HINTS.items() if text in reason), "a model maps (N, ...) to (N, C) for any N")
    return UsageError(
        f"the model failed on {samples} of shape {tuple(inputs.shape[1:])}: {type(error).__name__}: {reason}", hint
    )


_HINTS = {
    "more than 1 value per channel": "batch normalisation without running statistics makes a sample depend on the "
    "others of its batch; fit running statistics and call model.eval()",
    "positional argument": "what a model takes beside the inputs that are explained goes into context=, by name",
    "must have the same dtype": "the model mixes number types; convert all of it with model.float(), and give a "
    "context of whole numbers as floats where the model computes with it",
    "index out of range": "the inputs hold codes that the model has no row for",
    "Guard failed": "the program was exported for one size of its inputs; export it with a dynamic batch axis "
    "(dynamic_shapes)",
    "shapes cannot be multiplied": "the inputs do not have the shape that the model was made for",
}
"""What to do, by what is in the first line of an exception."""


def _gradients(
    predictor: TorchPredictor, few: Tensor, beside: Context, behind: int
) -> tuple[bool, str, LastOperation | None]:
    """Whether gradients reach the inputs, why not, and the operation that made the outputs; see `last_operation`."""
    last: LastOperation | None = None
    try:
        with torch.enable_grad():
            leaf = as_leaf(few)
            # A copy, because a model may change its inputs in place, and a leaf must not be changed.
            raw = predictor.forward(leaf.clone(), {name: values.clone() for name, values in beside.items()})
            last = last_operation(raw, behind=behind)
            input_gradient(raw.sum(dim=1), leaf)
    except UnsupportedError as error:
        return False, error.message, last
    except Exception as error:  # Whatever a module raises when it is differentiated.
        reason = str(error).partition("\n")[0]
        return False, f"no gradient passes through the model: {type(error).__name__}: {reason}", None
    return True, "", last


def _lacking(gradients: bool, why: str, hooks: bool) -> dict[str, str]:
    lacking = {} if gradients else {"gradients": why or NO_GRADIENT}
    return lacking if hooks else {**lacking, "module": COMPILED}


def _can_be_copied(module: nn.Module | None) -> bool:
    if module is None:
        return False
    try:
        sharing_copy(module)
    except UnsupportedError:
        return False
    return True


def _kind(module: nn.Module | None) -> ModelKind:
    if module is None:
        return "black box"
    return "TorchScript module" if is_compiled(module) else "torch module"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
