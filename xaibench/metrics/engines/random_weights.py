"""Models with random weights, layer by layer, for sanity checks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xaibench.core.context import Context
from xaibench.core.errors import UnsupportedError
from xaibench.core.keys import seed as derive_seed
from xaibench.core.module_copies import copy_module
from xaibench.core.predictor import TorchPredictor, hooked

RandomisationMode = Literal["cascade", "independent"]
Direction = Literal["top_down", "bottom_up"]


def layer_tensors(module: nn.Module) -> dict[str, list[str]]:
    """Names of the tensors to randomise, by layer, in the order of definition.

    A layer is a module that holds parameters or floating-point buffers of its own, be it a
    convolution, an attention block or the model itself with a bare parameter. Integers and masks
    with infinite entries are structure, not weights.
    """
    layers = {}
    for prefix, layer in module.named_modules():
        own = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}
        names = [
            f"{prefix}.{name}".lstrip(".")
            for name, tensor in own.items()
            if tensor.is_floating_point() and bool(torch.isfinite(tensor).all())
        ]
        if names:
            layers[prefix] = names
    return layers


def forward_order(module: nn.Module, one: Tensor, context: Context | None = None) -> list[str]:
    """Layers in the order in which the forward pass of ``one`` (1, *input_shape) and its context enters them.

    A layer that is never called itself (the output projection of an attention block) comes with
    the module that holds it; among those, the order is that of definition. Layers that have no part
    in the output (an auxiliary head) are left out: randomising them changes nothing. So is the table of an embedding
    whose vectors are the inputs.
    """
    module = _rebuilt(module, {p: nn.Parameter(p.detach()) for p in module.parameters()})
    entered: dict[str, int] = {}

    def enter(name: str, _module: nn.Module, _inputs: Any) -> None:
        entered.setdefault(name, len(entered))

    handles = [part.register_forward_pre_hook(partial(enter, name)) for name, part in module.named_modules()]
    with hooked(handles), torch.enable_grad():
        output = module(one, **(context or {}))
    parameters = dict(module.named_parameters(remove_duplicate=False))
    # A model may know everything by its buffers.
    given = list(parameters.values())
    differentiable = bool(parameters) and output.requires_grad
    slopes = torch.autograd.grad(output.sum(), given, allow_unused=True) if differentiable else [None] * len(given)
    has_part = {name for name, slope in zip(parameters, slopes, strict=True) if slope is not None}

    def first(name: str) -> int:
        while name and name not in entered:
            name = name.rpartition(".")[0]
        return entered.get(name, 0)

    # The table of an embedding that is replaced by its vectors is an input, and no weight of the model.
    tables = {name for name, part in module.named_modules() if isinstance(part, nn.Embedding)}
    used = [
        layer
        for layer, names in layer_tensors(module).items()
        if has_part & set(names) or (layer in entered and layer not in tables)
    ]
    return sorted(used, key=first)


def random_weights(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """Fresh values of every parameter and floating-point buffer, drawn by name.

    Tensors of two or more axes are drawn like PyTorch's default for linear layers and
    convolutions, U(-b, b) with b = 1 / sqrt(fan in), and so are the biases beside them. A reset
    would leave the rest constant, hence it is drawn around its reset value: scales, variances and
    other positive buffers from U(0.5, 1.5), shifts and means from U(-0.5, 0.5).

    Parameters
    ----------
    module : nn.Module
        Only shapes and names are read.
    seed : int

    Returns
    -------
    dict of str to Tensor
        By the names of `layer_tensors`, on the CPU.
    """
    buffers = dict(module.named_buffers(remove_duplicate=False))
    tensors = {**dict(module.named_parameters(remove_duplicate=False)), **buffers}
    fresh = {}
    for names in layer_tensors(module).values():
        fans = [tensors[n][0].numel() for n in names if tensors[n].ndim >= 2]
        for name in names:
            tensor = tensors[name]
            generator = torch.Generator().manual_seed(derive_seed("randomise", seed, name))
            unit = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
            scale = tensor.ndim < 2 and not fans and name.endswith(("weight", "running_var"))
            if scale or (name in buffers and bool((tensor > 0).all())):
                drawn = 0.5 + unit
            else:
                fan = tensor[0].numel() if tensor.ndim >= 2 else max(fans, default=4)
                drawn = (2 * unit - 1) / fan**0.5
            fresh[name] = drawn.to(tensor.dtype)
    return fresh


def randomised_models(
    predictor: TorchPredictor,
    one: Tensor,
    weights: dict[str, Tensor],
    mode: RandomisationMode,
    order: Direction,
    context: Context | None = None,
) -> Iterator[TorchPredictor]:
    """Copies of the model with more and more layers randomised, or one layer at a time.

    Parameters
    ----------
    predictor : TorchPredictor
        Stays as it is.
    one : Tensor (1, *input_shape)
        An input, to find the order of the layers.
    weights : dict of str to Tensor
        See `random_weights`.
    mode : {"cascade", "independent"}
    order : {"top_down", "bottom_up"}
        Start at the output or at the input.
    context : mapping of str to Tensor (1, ...), optional
        What goes to the model beside that input.

    Raises
    ------
    UnsupportedError
        If no layer has a part in the output.
    """
    tensors_of = layer_tensors(predictor.module)
    layers = forward_order(predictor.module, one.to(predictor.device), context)
    if not layers:
        raise UnsupportedError(
            "the model has no weights to randomise beside the table of its embedding, which holds its inputs"
        )
    if order == "top_down":
        layers.reverse()
    idle = [name for layer, names in tensors_of.items() if layer not in layers for name in names]
    done: list[str] = []
    for layer in layers:
        # What has no part in the output goes with the last step, so that in the end nothing is left.
        names = tensors_of[layer] + (idle if mode == "cascade" and layer == layers[-1] else [])
        done = [*done, *names] if mode == "cascade" else names
        yield with_weights(predictor, {name: weights[name] for name in done})


def with_weights(predictor: TorchPredictor, weights: dict[str, Tensor]) -> TorchPredictor:
    """A copy of the model in which the named parameters and buffers have other values."""
    module = predictor.module
    tensors = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    new = {}
    for name, value in weights.items():
        old = tensors[name]
        value = value.to(old.device, copy=True)
        new[old] = nn.Parameter(value, old.requires_grad) if isinstance(old, nn.Parameter) else value
    return predictor.with_module(_rebuilt(module, new))


def _rebuilt(module: nn.Module, new: dict[Tensor, Tensor]) -> nn.Module:
    """A copy of the module with some tensors replaced; it shares the others with the original."""
    return copy_module(module, {t: new.get(t, t) for t in (*module.parameters(), *module.buffers())})
