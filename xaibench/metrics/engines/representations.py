"""Hidden representations: the outputs of a layer of a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xaibench.core.context import Context
from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import TorchPredictor, hooked

Layer = Literal["first", "penultimate"]


class Representation:
    """Evaluates a network and records what one of its layers saw or made.

    Parameters
    ----------
    predictor : TorchPredictor
    layer : {"first", "penultimate"}
        The output of the first layer with parameters that the forward pass calls, or the input of
        the last one: what the head of a classifier sees. In a network of a single layer these are
        the model's output and its input.
    one : Tensor (1, *input_shape)
        An input, to find the layer.
    context : mapping of str to Tensor (1, ...), optional
        What goes to the model beside it.

    Raises
    ------
    UnsupportedError
        If the network calls no layer with parameters.
    """

    def __init__(self, predictor: TorchPredictor, layer: Layer, one: Tensor, context: Context | None = None) -> None:
        predictor.batch_size(
            one, context
        )  # Measured by a forward pass of its own, the first time: not under our hooks.
        called = layer_calls(predictor.module, one.to(predictor.device), context)
        if not called:
            raise UnsupportedError("the model has no layer with parameters, so no hidden representation")
        self.predictor = predictor
        self.layer = layer
        self.name = called[0] if layer == "first" else called[-1]

    def __call__(self, inputs: Tensor, predict: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Raw outputs (B, C) and the representation (B, F) of ``inputs`` (B, *input_shape).

        ``predict`` gives the raw outputs of this model, each input with the context of its sample.

        Raises
        ------
        UnsupportedError
            If what the layer saw or made is not one tensor with a row per sample.
        """
        batches: list[Tensor] = []
        latest: list[Tensor] = []

        def record(value: Any) -> None:
            if self.layer == "first" and latest:
                return
            tensor = next((v for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, Tensor)), None)
            if tensor is None:
                raise UnsupportedError(f"layer {self.name!r} handles no tensor")
            # A copy: the next operation may work in place.
            latest[:] = [tensor.flatten(1).clone() if tensor.ndim > 1 else tensor.unsqueeze(1).clone()]

        def seen(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            record((*args, *kwargs.values()))

        def made(_module: nn.Module, _args: Any, output: Any) -> None:
            record(output)

        def end(_module: nn.Module, _args: Any, _output: Any) -> None:
            batches.append(latest.pop())

        part = self.predictor.module.get_submodule(self.name)
        handles = [
            part.register_forward_hook(made) if self.layer == "first"
            else part.register_forward_pre_hook(seen, with_kwargs=True),
            self.predictor.module.register_forward_hook(end),
        ]  # fmt: skip
        with hooked(handles):
            raw = predict(inputs)
        if sum(len(batch) for batch in batches) != len(inputs):
            raise UnsupportedError(f"layer {self.name!r} does not give one row per sample")
        return raw, torch.cat(batches)


def layer_calls(module: nn.Module, one: Tensor, context: Context | None = None) -> list[str]:
    """Layers with parameters of their own in the order of their calls for ``one`` (1, *input_shape).

    A layer that calls others is left out: it is those that represent something. A layer that is
    called again stands at every call.
    """
    calls: list[str] = []

    def enter(name: str, _module: nn.Module, _args: Any) -> None:
        calls.append(name)

    own = [(name, part) for name, part in module.named_modules() if any(True for _ in part.parameters(recurse=False))]
    handles = [part.register_forward_pre_hook(partial(enter, name)) for name, part in own]
    with hooked(handles), torch.no_grad():
        module(one, **(context or {}))
    return [a for a in calls if not any(b != a and (a == "" or b.startswith(f"{a}.")) for b in calls)]
