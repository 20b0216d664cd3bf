"""Traces what a network computes from its input, and refuses values whose gradient was detached.

A method that carries something back through a network treats every value without a gradient as a
constant. For a mask ``h > 0`` or a factor ``h.detach()`` that is wrong: it changes with the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from xaibench.core.context import Context
from xaibench.core.errors import UnsupportedError
from xaibench.core.model_outputs import as_matrix, read_output
from xaibench.core.predictor import TorchPredictor
from xaibench.explainers.engines.forward_check import check_outputs

_FROM_FIRST = frozenset({"expand_as", "reshape_as", "to", "type_as", "view_as"})
"""Operations that take values from their first argument only, and shape or type from the others."""
_LIKE_FIRST = frozenset({
    "empty_like", "full_like", "new_empty", "new_full", "new_ones", "new_tensor", "new_zeros", "ones_like",
    "rand_like", "randn_like", "zeros_like",
})  # fmt: skip
"""Operations that take shape or type from their first argument, and no values."""
_LEAVES_TORCH = frozenset({"array", "complex", "float", "index", "int", "item", "numpy", "tolist"})
"""Operations that turn a tensor into Python or numpy numbers; ``float`` and ``int`` are conversions as methods, too."""

_INSTEAD = "explainers that only evaluate the model, such as occlusion or kernel_shap, need no gradient"


class TrackingMode(TorchFunctionMode):
    """Watches the operations of a network while it runs; subclasses say what to do with them.

    What requires a gradient depends on the input. What was computed from such tensors and requires
    none (comparisons, ``argmax``, ``detach``, anything under ``no_grad``) depends on it too, unseen by
    autograd; it may be used for itself, but not together with tensors that have a gradient. Nor may it
    become a Python number or a numpy array, which cannot be followed; decisions (``if h.max() > 9``) may
    depend on it.

    Parameters
    ----------
    method : str
        Name for messages.

    Raises
    ------
    UnsupportedError
        Where a value that was computed from the input without a gradient meets one that has it, or
        becomes a number that cannot be followed.
    """

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method
        self._cut: dict[int, Tensor] = {}

    def run(self, name: str, in_place: bool, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """Run an operation with at least one argument that has a gradient; subclasses say how."""
        raise UnsupportedError(f"{self.method} has no rule for {name!r}")

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name, in_place = canonical(getattr(func, "__name__", str(func)))
        writes = in_place or name == "setitem"
        read = args[:1] if name in _FROM_FIRST else (args[1:], kwargs) if name in _LIKE_FIRST else (args, kwargs)
        has_gradient = any(True for _ in tracked(read))
        # Autograd functions hand out what they computed without a gradient as tensors with one: no leaves.
        has_cut = any(id(t) in self._cut and t.is_leaf for t in tensors(read))
        if not has_gradient:
            result = func(*args, **kwargs)
            self._refuse_numbers(name, has_cut, result)
        elif torch.is_grad_enabled() and not has_cut:
            result = self.run(name, in_place, func, args, kwargs)
            self._refuse_numbers(name, True, result)
        else:
            refusal = UnsupportedError(
                f"{self.method} cannot follow {name!r} here: it uses a value that was computed from the input "
                "without a gradient (a comparison, an index, a detached tensor)"
            )
            if writes:
                raise refusal
            result = func(*args, **kwargs)
            if any(True for _ in tracked(result)):
                raise refusal
        if has_gradient or has_cut:
            changed = (result, args[:1]) if writes else result
            self._cut.update({id(t): t for t in tensors(changed) if not t.requires_grad})
        return result

    def _refuse_numbers(self, name: str, from_input: bool, result: Any) -> None:
        if from_input and name in _LEAVES_TORCH and not isinstance(result, Tensor):
            raise UnsupportedError(
                f"{self.method} cannot follow {name!r} here: it makes a Python number or a numpy array of a value that "
                "was computed from the input",
                _INSTEAD,
            )


def run_tracked(model: TorchPredictor, mode: TrackingMode, inputs: Tensor, context: Context | None = None) -> Tensor:
    """Differentiable raw outputs (N, C) of the network under a mode, checked against its outputs without one.

    Parameters take part as constants, so that what requires a gradient is what depends on the input.

    Raises
    ------
    UnsupportedError
        For compiled modules and user-written autograd functions, whose inside cannot be seen, for
        outputs without a gradient, and where the outputs are not the model's own.
    """
    if any(isinstance(m, torch.jit.ScriptModule) for m in model.module.modules()):
        raise UnsupportedError(f"{mode.method} cannot see into compiled modules")
    why = None if model.facts is None else model.facts.lacking.get("gradients")
    if why is not None:
        raise UnsupportedError(f"{mode.method} needs gradients, and {why}", _INSTEAD)
    constants = {name: p.detach() for name, p in model.module.named_parameters()}
    model.n_evaluations += len(inputs)
    with torch.enable_grad():
        with mode:
            # A copy, because a model may change its inputs in place, and a leaf must not be changed.
            found = torch.func.functional_call(model.module, constants, (inputs.clone(),), model.on_device(context))
        raw = as_matrix(read_output(found))
    if not raw.requires_grad:
        raise UnsupportedError(
            f"{mode.method} needs a network whose output has a gradient, and no gradient reaches the inputs of this "
            "one: it reads them as integers, detaches them or does not use them",
            _INSTEAD,
        )
    for node in graph_nodes(raw):
        written = getattr(node, "_forward_cls", None)
        if written is not None and not written.__module__.startswith("xaibench."):
            raise UnsupportedError(f"{mode.method} cannot see into the autograd function {node.name()!r}")
    check_outputs(mode.method, model, inputs, raw, context)
    return raw


def graph_nodes(output: Tensor) -> Iterator[Any]:
    """Every node of the autograd graph behind a tensor, once."""
    waiting, seen = [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(parent for parent, _ in node.next_functions)


def occurrences(tree: Any) -> Iterator[Tensor]:
    """Tensors in nested arguments, as often as they stand there."""
    waiting = [tree]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, tuple | list):
            waiting.extend(item)
        elif isinstance(item, slice):
            waiting.extend((item.start, item.stop, item.step))


def tensors(tree: Any) -> Iterator[Tensor]:
    """Tensors in nested arguments, each once."""
    return iter({id(t): t for t in occurrences(tree)}.values())


def tracked(tree: Any) -> Iterator[Tensor]:
    """Tensors in nested arguments that have a gradient with respect to the input, each once."""
    return (t for t in tensors(tree) if t.requires_grad)


def canonical(name: str) -> tuple[str, bool]:
    """One name for an operation in all its forms, and whether it works in place."""
    in_place = name.endswith("_") and not name.endswith("__")
    name = name.strip("_")
    for base in ("add", "sub", "mul", "truediv"):
        if name in (f"i{base}", f"r{base}"):
            # c - x and c / x keep their own function; only the name is shared.
            in_place, name = name.startswith("i"), base
    return {"truediv": "div", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div"}.get(
        name, name
    ), in_place
