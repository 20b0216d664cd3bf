"""Predictors: models with one interface, inputs to raw outputs, batched by a deterministic rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core.batch_rule import activation_bytes as activation_bytes
from xaibench.core.batch_rule import batch_size_for
from xaibench.core.batch_rule import hooked as hooked
from xaibench.core.context import Context, Encoded, check_context, context_rows
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.features import FeatureLayout
from xaibench.core.floating_types import FloatingTypes
from xaibench.core.model_facts import ModelFacts
from xaibench.core.model_outputs import as_matrix, check_rows, read_output, where_output_is
from xaibench.core.module_copies import copy_module, is_compiled
from xaibench.core.outputs import Returns

CPU_BUDGET = 21 * 2**20
"""Bytes of activations, summed over layers, that a batch may produce on a CPU.

Measured (tests/bench/bench_budget.py): CNNs on 8x8 and 28x28, residual networks on 28x28 and 64x64
and MLPs on tables and images are all within 5 % of their best batch size. From about 22 MiB on, the
C library gives the activations of a small CNN back to the system after every batch.
"""
CUDA_BUDGET = 2**30
"""The same on a GPU, where large batches are what makes it fast."""
_BLACK_BOX_BATCH = 8192


class Predictor(ABC):
    """Evaluate a model in batches.

    A model may take more than its inputs: the ``context``, tensors with a row for every input that go to
    the model by name, ``module(inputs, **context)``. Without a context it is called with inputs alone.

    Attributes
    ----------
    returns : {"logit", "multilabel_logit", "probability", "multilabel_probability", "value"}
        What `predict` gives.
    module : torch.nn.Module or None
        The differentiable model, where there is one.
    facts : ModelFacts or None
        What a first look found; None before it.
    returns_assumed : bool
        Whether ``returns`` is what models of this kind return by default, until a first look decides.
    n_evaluations : int
        Samples evaluated so far, forward passes only; for accounting and tests.
    takes_missing : bool
        Whether a feature whose numbers are NaN is taken as one that is not there.
    encodes_ids : bool
        Whether raw rows are token ids, which `encode` turns into inputs.
    symbols : mapping of str to Tensor (*slot)
        What stands for a feature that is not there, by the name of the masker.
    identity : list
        What numbers depend on beside the module or the function, as plain values.
    why_no_gradients : str
        Why a model that might have gradients has none; for messages.
    estimator : object or None
        The fitted scikit-learn estimator, where there is one that takes rows of numbers.
    """

    module: nn.Module | None = None
    takes_missing: bool = False
    encodes_ids: bool = False
    why_no_gradients: str = ""
    estimator: Any = None
    facts: ModelFacts | None = None
    returns_assumed = False

    @property
    def symbols(self) -> Mapping[str, Tensor]:
        """Nothing, unless there is a vocabulary."""
        return {}

    @property
    def identity(self) -> list[Any]:
        """Nothing, unless something stands in front of the model."""
        return []

    def encoded_layout(self, layout: FeatureLayout, size: int) -> FeatureLayout:
        """The layout of samples of ``size`` features along their first axis, from that of the raw rows."""
        return FeatureLayout(layout.kind, (size, *layout.input_shape[1:]), slot=layout.slot)

    def encode(self, raw: Tensor, size: int, layout: FeatureLayout) -> Encoded:
        """Turn raw rows of one size into what the model is evaluated and differentiated in.

        Parameters
        ----------
        raw : Tensor (N, L, ...)
            Rows as a data set has them, the first ``size`` entries of each existing.
        size : int
        layout : FeatureLayout
            Of the raw rows.
        """
        return Encoded(raw[:, :size], {}, self.encoded_layout(layout, size))

    def encode_pool(self, raw: Tensor, sizes: Tensor) -> Tensor:
        """Everything that exists in raw rows (M, L, ...) along their first axis, one after the other, encoded."""
        return torch.cat([row[:n] for row, n in zip(raw, sizes.tolist(), strict=True)])

    def __init__(self, returns: Returns, *, device: torch.device | str = "cpu", batch_size: int | None = None):
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, not {batch_size}")
        self.returns: Returns = returns
        self.device = torch.device(device)
        self.n_evaluations = 0
        self._batch_size = batch_size
        self._leaves_inputs_alone: bool | None = None

    @abstractmethod
    def _forward(self, inputs: Tensor, context: Context | None = None) -> Tensor:
        """Raw outputs (N, C) of one batch; ``context`` is given only where there is one."""

    @abstractmethod
    def _batch_rule(self, inputs: Tensor, context: Context | None = None) -> int:
        """Samples per batch, from one sample (1, *input_shape) and its context."""

    @property
    def provides(self) -> frozenset[str]:
        """Needs of explainers and metrics that the model meets."""
        if self.facts is not None:
            return self.facts.provides
        return frozenset() if self.module is None else frozenset({"gradients", "module"})

    def shifted(self, by: float) -> Predictor:
        """The same model in a world where every input number is larger by ``by``: ``g(x) = f(x - by)``.

        Raises
        ------
        UnsupportedError
            If this kind of predictor cannot be shifted.
        """
        raise UnsupportedError("this model cannot be shifted")

    def in_float64(self, inputs: Tensor, context: Context | None = None) -> Predictor:
        """The same model computing in float64, or this one if it cannot.

        What rounding adds changes with the size of a batch: some 1e-7 in float32, 1e-15 in float64.
        The model takes the same inputs, and counts its evaluations for itself.

        Parameters
        ----------
        inputs : Tensor (N, *input_shape)
            Such as it is going to be asked about; the first one is tried.
        context : mapping of str to Tensor (N, ...), optional
        """
        return self

    def batch_size(self, inputs: Tensor, context: Context | None = None) -> int:
        """Samples per batch for inputs like these: given by the caller, or by the rule, measured once."""
        if self._batch_size is None:
            one = context_rows(context, slice(0, 1))
            self._batch_size = self._batch_rule(inputs[:1], one) if one else self._batch_rule(inputs[:1])
        return self._batch_size

    def predict(self, inputs: Tensor, context: Context | None = None) -> Tensor:
        """Return raw outputs (N, C), without gradients, whatever N is.

        Parameters
        ----------
        inputs : Tensor (N, *input_shape)
        context : mapping of str to Tensor (N, ...), optional
            What else the model is given, a row for every input; components go through `Samples.predict`.
        """
        self.n_evaluations += len(inputs)
        if len(inputs) == 0:
            raise ValueError("cannot predict for no inputs")
        check_context(context, len(inputs))
        size = self.batch_size(inputs, context)
        with torch.no_grad():
            if len(inputs) <= size:
                return self._call(inputs.to(self.device), self.on_device(context))
            starts = range(0, len(inputs), size)
            parts = zip(torch.split(inputs, size), (slice(start, start + size) for start in starts), strict=True)
            return torch.cat(
                [self._call(part.to(self.device), self.on_device(context_rows(context, rows))) for part, rows in parts]
            )

    def on_device(self, context: Context | None) -> dict[str, Tensor]:
        """The context where the model computes; empty without one."""
        return {name: values.to(self.device) for name, values in (context or {}).items()}

    def _call(self, inputs: Tensor, context: Context) -> Tensor:
        """Forward pass that leaves its inputs alone: the first one tells whether the model changes them in place."""
        if self._leaves_inputs_alone:
            return self._forward(inputs, context) if context else self._forward(inputs)
        given, beside = inputs.clone(), {name: values.clone() for name, values in context.items()}
        raw = self._forward(given, beside) if context else self._forward(given)
        if self._leaves_inputs_alone is None:
            pairs = ((given, inputs), *((beside[name], values) for name, values in context.items()))
            self._leaves_inputs_alone = all(
                torch.equal(a, b) or torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs
            )
        return raw


@contextmanager
def computing_in_float64(model: Predictor, inputs: Tensor, context: Context | None = None) -> Iterator[Predictor]:
    """`Predictor.in_float64`, whose evaluations are counted for ``model`` in the end."""
    exact = model.in_float64(inputs, context)
    before = exact.n_evaluations
    yield exact
    if exact is not model:
        model.n_evaluations += exact.n_evaluations - before


class TorchPredictor(Predictor):
    """A `torch.nn.Module` in evaluation mode.

    A module that is in training mode, or on another device, is copied: the caller's stays as it is.

    The batch size is the largest power of two whose activations stay in a cache-sized budget:
    measured by hooks on one sample, so that it is the same in every run.
    """

    module: nn.Module

    def __init__(
        self,
        module: nn.Module,
        returns: Returns = "logit",
        *,
        device: torch.device | str = "cpu",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(returns, device=device, batch_size=batch_size)
        # A frozen TorchScript module does not know of modes.
        ready = not any(getattr(m, "training", False) for m in module.modules()) and _is_on(module, self.device)
        self.module = module if ready else _evaluating(module, self.device)

    def _forward(self, inputs: Tensor, context: Context | None = None) -> Tensor:
        raw = as_matrix(read_output(self.module(inputs, **(context or {}))))
        check_rows(raw, inputs)
        return raw

    def forward(self, inputs: Tensor, context: Context | None = None) -> Tensor:
        """Differentiable raw outputs (N, C), in one pass; the caller sees to the batch."""
        self.n_evaluations += len(inputs)
        check_context(context, len(inputs))
        return self._forward(inputs, self.on_device(context)) if context else self._forward(inputs)

    def with_module(self, module: nn.Module) -> TorchPredictor:
        """The same predictor around another module of the same architecture."""
        other = TorchPredictor(module, self.returns, device=self.device, batch_size=self._batch_size)
        other.facts = self.facts
        return other

    def shifted(self, by: float) -> TorchPredictor:
        """See `Predictor.shifted`; a copy of the module with the same layers, names and gradients."""
        if is_compiled(self.module):
            raise UnsupportedError("a TorchScript module cannot be given other inputs by hooks")
        if self.facts is not None and "int" in self.facts.input_dtype:
            raise UnsupportedError("the model reads whole numbers as codes, and shifted codes stand for something else")
        module = copy_module(self.module)
        # Before any other hook: it is the inputs of the model that move.
        module.register_forward_pre_hook(lambda _module, inputs: (inputs[0] - by, *inputs[1:]), prepend=True)
        return self.with_module(module)

    def in_float64(self, inputs: Tensor, context: Context | None = None) -> Predictor:
        """See `Predictor.in_float64`; a copy of the module.

        Devices without float64, compiled modules and modules that insist on another type, somewhere, cannot.
        """
        if is_compiled(self.module):
            return self
        one, seen = inputs[:1].to(self.device, copy=True), FloatingTypes()
        try:
            module = copy_module(self.module).double()
            module.register_forward_pre_hook(_to_double, prepend=True, with_kwargs=True)
            beside = self.on_device(context_rows(context, slice(0, 1)))
            with torch.no_grad(), seen:
                module(one, **beside)
        except Exception:  # Whatever a module raises in float64 is no fault of the model.
            return self
        if seen.types != {torch.float64}:
            return self
        # As many bytes per batch as before.
        size = max(1, self.batch_size(inputs, context) // 2)
        return TorchPredictor(module, self.returns, device=self.device, batch_size=size)

    def _batch_rule(self, inputs: Tensor, context: Context | None = None) -> int:
        if is_compiled(self.module):
            return _black_box_batch(inputs)
        # A copy, because a model may change its inputs in place.
        one = inputs.to(self.device, copy=True)
        beside = {name: values.clone() for name, values in self.on_device(context).items()}
        return batch_size_for(self.module, one, beside, CUDA_BUDGET if self.device.type == "cuda" else CPU_BUDGET)


def _to_double(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Inputs and context in float64; what is not a floating-point number stays."""
    beside = {name: value.double() if value.is_floating_point() else value for name, value in kwargs.items()}
    return (args[0].double(), *args[1:]), beside


def _evaluating(module: nn.Module, device: torch.device) -> nn.Module:
    """A copy of a module, in evaluation mode and on the device."""
    try:
        copied = copy_module(module)
        return (copied if _is_on(copied, device) else copied.to(device)).eval()
    except Exception as error:  # Some kinds of modules know of no modes, or move nowhere.
        reason = str(error).partition("\n")[0].removeprefix("the model ")
        raise UsageError(
            f"the model is in training mode or on another device, and no copy of it can be changed: {reason}",
            "call model.eval() and put it on the device before it is explained",
        ) from error


def _is_on(module: nn.Module, device: torch.device) -> bool:
    """Whether every tensor of the module is there; ``cuda`` without a number means any GPU."""
    tensors = (*module.parameters(), *module.buffers())
    return all(t.device.type == device.type and device.index in (None, t.device.index) for t in tensors)


class CallablePredictor(Predictor):
    """Any callable from a numpy array (N, ...) to (N, C): a black box without gradients."""

    def __init__(
        self,
        function: Callable[..., Any],
        returns: Returns,
        *,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(returns, batch_size=batch_size)
        self.function = function
        self.part = ""
        """Which part of what the function returns is read; see `where_output_is`."""

    def _forward(self, inputs: Tensor, context: Context | None = None) -> Tensor:
        answer = self.function(inputs.numpy(), **{name: values.numpy() for name, values in (context or {}).items()})
        self.part = where_output_is(answer)
        values = read_output(answer).detach().cpu()
        raw = as_matrix(values if self._keeps_float64(inputs) else values.to(torch.float32))
        check_rows(raw, inputs)
        return raw

    def _keeps_float64(self, inputs: Tensor) -> bool:
        """Values may be large and differ by little, and a model that returns float64 keeps it."""
        return self.returns == "value" or inputs.dtype == torch.float64

    def shifted(self, by: float) -> CallablePredictor:
        """See `Predictor.shifted`."""
        return CallablePredictor(
            lambda inputs, **context: self.function(inputs - by, **context), self.returns, batch_size=self._batch_size
        )

    def _batch_rule(self, inputs: Tensor, context: Context | None = None) -> int:
        return _black_box_batch(inputs)


def _black_box_batch(inputs: Tensor) -> int:
    """Samples per batch where nothing is known of what happens inside."""
    return int(np.clip(2**25 // max(inputs[0].numel(), 1) // 4, 16, _BLACK_BOX_BATCH))


def require_module(predictor: Predictor) -> TorchPredictor:
    """Return the predictor as a differentiable one, or raise UnsupportedError."""
    if not isinstance(predictor, TorchPredictor):
        raise UnsupportedError("the model has no gradients", "black boxes take the perturbation explainers")
    return predictor
