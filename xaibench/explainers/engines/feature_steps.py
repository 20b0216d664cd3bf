"""The tensors that a network computes from its input, in the order of execution."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xaibench.core.context import Context
from xaibench.core.errors import UnsupportedError
from xaibench.core.model_outputs import as_matrix, read_output
from xaibench.core.predictor import TorchPredictor, hooked
from xaibench.explainers.engines.places import MAKING_FEATURES, Places, follow, fresh
from xaibench.explainers.engines.tracing import canonical, tracked


@dataclass(frozen=True, eq=False)
class FeatureStep:
    """One tensor that depends on the input, when it was computed.

    Attributes
    ----------
    number : int
        Position in the order of execution, the same in every forward pass.
    name : str
        Canonical name of the operation.
    layer : str
        Name of the innermost module that was run then, "" for the network itself.
    tensor : Tensor
        After an operation in place, this is the tensor that was changed.
    places : Places or None
    features : bool
        Whether weights were applied to the input before, so that this is more than a moved or scaled image.
    normalised : int
        Of a layer normalisation: the number of axes that it takes together, else 0.
    source : FeatureStep or None
        How the first argument of the operation was computed; None for the input itself.
    """

    number: int
    name: str
    layer: str
    tensor: Tensor
    places: Places | None
    features: bool
    normalised: int
    source: FeatureStep | None


class _NumberingMode(TorchFunctionMode):
    """Numbers tensors with a gradient as they are computed; subclasses say what to do with them."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.count = 0
        self._seen: dict[int, weakref.ref[Tensor]] = {id(inputs): weakref.ref(inputs)}

    def computed(
        self, name: str, func: Callable[..., Any] | None, args: Any, kwargs: dict[str, Any], results: list[Tensor]
    ) -> None:
        """Take note of results, the first of which has the number ``self.count``."""
        raise NotImplementedError

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        written = getattr(func, "__name__", str(func))
        # A property such as ``x.mT`` is a call of its getter.
        name, _ = canonical(getattr(func, "__self__", func).__name__ if written == "__get__" else written)
        for tensor in tracked((args, kwargs)):
            seen = self._seen.get(id(tensor))
            if seen is None or seen() is not tensor:
                # Made where no mode sees it: by an autograd function that somebody wrote.
                self._note(
                    tensor.grad_fn.name().removesuffix("Backward") if tensor.grad_fn else name, None, (), {}, [tensor]
                )
        result = func(*args, **kwargs)
        changed = args[:1] if name == "setitem" else result
        self._note(name, func, args, kwargs, list(tracked(changed)))
        return result

    def _note(
        self, name: str, func: Callable[..., Any] | None, args: Any, kwargs: dict[str, Any], results: list[Tensor]
    ) -> None:
        if results:
            self.computed(name, func, args, kwargs, results)
            self.count += len(results)
            self._seen.update({id(t): weakref.ref(t) for t in results})


class _StepsMode(_NumberingMode):
    """Collects all steps, and where in the image their elements are."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__(inputs)
        self.layers: list[str] = []
        self.latest = {id(inputs): FeatureStep(-1, "input", "", inputs, fresh(inputs.shape), False, 0, None)}
        self.steps: list[FeatureStep] = []

    def computed(
        self, name: str, func: Callable[..., Any] | None, args: Any, kwargs: dict[str, Any], results: list[Tensor]
    ) -> None:
        """Make a step of every result."""
        given = [self.latest[id(t)] for t in tracked((args, kwargs)) if id(t) in self.latest]
        if func is None:
            given = self._behind(results[0])
            same = given and given[0].tensor.shape == results[0].shape
            places = [given[0].places if same else None]
        else:
            places = follow(
                name, func, args, kwargs, results, lambda t: found.places if (found := self.latest.get(id(t))) else None
            )
        features = name in MAKING_FEATURES or any(s.features for s in given)
        normalised = _normalised_axes(args, kwargs) if name in ("layer_norm", "rms_norm") else 0
        layer = self.layers[-1] if self.layers else ""
        for number, (tensor, where) in enumerate(zip(results, places, strict=True), self.count):
            step = FeatureStep(number, name, layer, tensor, where, features, normalised, given[0] if given else None)
            self.steps.append(step)
            self.latest[id(tensor)] = step

    def _behind(self, tensor: Tensor) -> list[FeatureStep]:
        """What a tensor was computed from, by its autograd node."""
        parents = {parent for parent, _ in tensor.grad_fn.next_functions} if tensor.grad_fn else set()
        return [s for s in self.latest.values() if s.tensor.grad_fn is not None and s.tensor.grad_fn in parents]


class _TakingMode(_NumberingMode):
    """Takes the tensor of one number, and puts another one in its place if there is a ``change``."""

    def __init__(self, inputs: Tensor, number: int, change: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__(inputs)
        self.number = number
        self.change = change
        self.taken: tuple[str, Tensor] | None = None
        self._new: tuple[Tensor, Tensor] | None = None

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [id(t) for t in tracked((args, kwargs or {}))]
        result = super().__torch_function__(func, _types, args, kwargs)
        if self._new is None:
            return result
        (old, new), self._new = self._new, None
        self._seen[id(new)] = weakref.ref(new)
        if id(old) in given:
            # Changed in place: whoever holds the tensor has to see the new values.
            old.copy_(new)
            return result
        return _replaced(result, old, new)

    def computed(
        self, name: str, func: Callable[..., Any] | None, args: Any, kwargs: dict[str, Any], results: list[Tensor]
    ) -> None:
        """Take it if it is among the results."""
        if 0 <= self.number - self.count < len(results):
            tensor = results[self.number - self.count]
            self.taken = (name, tensor)
            if self.change is not None:
                self._new = (tensor, self.change(tensor))


def _replaced(result: Any, old: Tensor, new: Tensor) -> Any:
    """The result of an operation, a tensor or a sequence of tensors, with another tensor in it."""
    if isinstance(result, tuple | list):
        items = [_replaced(item, old, new) for item in result]
        return items if isinstance(result, list) else type(result)(items)
    return new if result is old else result


def computed_steps(
    model: TorchPredictor, inputs: Tensor, method: str, context: Context | None = None
) -> tuple[Tensor, dict[int, FeatureStep], list[FeatureStep]]:
    """Run one sample.

    Parameters
    ----------
    model : TorchPredictor
    inputs : Tensor (1, *input_shape), with a gradient
    method : str
        Name for messages.
    context : mapping of str to Tensor (1, ...), optional
        What goes to the model beside the input.

    Returns
    -------
    Tensor (1, C)
        Differentiable raw outputs.
    dict
        The latest step of every tensor, by its ``id``, that of the input among them.
    list of FeatureStep
        In the order of execution.

    Raises
    ------
    UnsupportedError
        For compiled modules, whose inside cannot be seen, and for outputs without a gradient.
    """
    if any(isinstance(m, torch.jit.ScriptModule) or hasattr(m, "_orig_mod") for m in model.module.modules()):
        raise UnsupportedError(f"{method} cannot see into compiled modules", "explain the module before compilation")
    why = None if model.facts is None else model.facts.lacking.get("gradients")
    if why is not None:
        raise UnsupportedError(f"{method} needs gradients, and {why}")
    mode = _StepsMode(inputs)
    with _named_layers(model.module, mode.layers):
        raw = _run(model, mode, inputs, context)
    if not raw.requires_grad:
        raise UnsupportedError(f"{method} needs a network whose output has a gradient")
    return raw, mode.latest, mode.steps


def run_to(
    model: TorchPredictor,
    inputs: Tensor,
    number: int,
    context: Context | None = None,
    change: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, tuple[str, Tensor] | None]:
    """Differentiable raw outputs (N, C), and name and result of the step of this number, if there is one.

    With ``change`` the network goes on with ``change(result)``, a tensor of the same shape.
    """
    mode = _TakingMode(inputs, number, change)
    model.n_evaluations += len(inputs)
    return _run(model, mode, inputs, context), mode.taken


def _run(model: TorchPredictor, mode: TorchFunctionMode, inputs: Tensor, context: Context | None) -> Tensor:
    """Raw outputs under a mode; parameters are constants, so that what has a gradient depends on the input."""
    constants = {name: p.detach() for name, p in model.module.named_parameters()}
    with torch.enable_grad():
        with mode:
            raw = torch.func.functional_call(model.module, constants, (inputs,), model.on_device(context))
        return as_matrix(read_output(raw))


@contextmanager
def _named_layers(module: nn.Module, running: list[str]) -> Iterator[None]:
    """Keep the names of the modules that are running at the moment, the innermost last."""
    handles = []
    for name, part in module.named_modules():
        label = name

        def enter(_module: nn.Module, _inputs: Any, label: str = label) -> None:
            running.append(label)

        def leave(_module: nn.Module, _inputs: Any, _output: Any) -> None:
            running.pop()

        handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
    with hooked(handles):
        yield


def _normalised_axes(args: Any, kwargs: dict[str, Any]) -> int:
    shape = args[1] if len(args) > 1 else kwargs.get("normalized_shape", (0,))
    return len(shape) if isinstance(shape, list | tuple | torch.Size) else 1
