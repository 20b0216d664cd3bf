"""Choice of the layer whose feature maps class activation maps use."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xaibench.core.context import Context, context_rows
from xaibench.core.errors import UnsupportedError, UsageError, did_you_mean
from xaibench.core.predictor import TorchPredictor, hooked, require_module
from xaibench.core.problem import ProblemView
from xaibench.explainers.engines.feature_steps import FeatureStep, computed_steps
from xaibench.explainers.engines.places import MAKING_FEATURES, Places, is_pooling

METHOD = "class activation mapping"
"""Name of the family of CAM and Grad-CAM, for messages."""
TokenGrid = tuple[int, int, int]
"""Rows and columns of patches, and the number of tokens before them."""
_KEEPING = frozenset({
    "T", "alpha_dropout", "bfloat16", "clone", "contiguous", "double", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "feature_alpha_dropout", "feature_dropout", "flatten", "float", "half", "identity", "mT", "moveaxis", "movedim",
    "pad", "permute", "reshape", "reshape_as", "squeeze", "swapaxes", "swapdims", "to", "transpose", "type", "type_as",
    "unflatten", "unsqueeze", "view", "view_as",
})  # fmt: skip
"""Operations whose result is the same features, moved at most."""
_BY_HAND = "name a layer of maps (layer=), or give the grid of patches (tokens=(rows, columns, tokens before them))"
_NOTHING = f"{METHOD} cannot explain this model: it has no feature map with more than one place"


@dataclass(frozen=True)
class FeatureLayer:
    """Where feature maps are taken.

    Attributes
    ----------
    axes : tuple of int
        Of rows and columns, or of tokens.
    grid : tuple of int
        Rows and columns of places; of maps, whatever a tensor has.
    before : int
        Tokens before the first place.
    step : FeatureStep or None
        The operation whose result is taken.
    module : torch.nn.Module or None
        The module whose output is taken, where there is no step.
    label : str
        Name of the layer, operation, shape without samples: what the column ``layer_used`` says.
    """

    axes: tuple[int, ...]
    grid: tuple[int, int]
    before: int
    label: str
    step: FeatureStep | None = None
    module: nn.Module | None = None

    def maps(self, tensor: Tensor) -> Tensor:
        """The tensor taken here as maps (N, K, h, w); class tokens and the like are dropped."""
        sample = 1 if self.axes == (0,) else 0
        (channel,) = {*range(tensor.ndim)} - {sample, *self.axes}
        found = tensor.permute(sample, channel, *self.axes)
        if len(self.axes) == 2:
            return found
        patches = found[..., self.before : self.before + self.grid[0] * self.grid[1]]
        return patches.reshape(*patches.shape[:2], *self.grid)


def feature_layer(problem: ProblemView, *, layer: str | None = None, tokens: TokenGrid | None = None) -> FeatureLayer:
    """The layer that class activation maps use.

    Without a name it is the last one whose result still has places: the network is run on one sample,
    and of all tensors that depend on the input through weights and feed the output the last feature map
    is taken. Where it only pools, drops out, pads or rearranges another map, it is that one. So it is
    the ReLU before the last pooling of a VGG, the ReLU behind the last sum of a ResNet or behind the
    last normalisation of a DenseNet, the activation of the last 1x1 convolution of a MobileNet, and the
    last residual sum of a ConvNeXt. An activation in place, as a module or as a function is the same.
    Channels may come last.

    Where tokens are normalised behind the last map, it is the last layer normalisation whose gradient
    at patches is not 0 everywhere: the final one where all tokens are averaged, and the first of the
    last block where only a class token is read, because behind it nothing of the patches is used.

    Parameters
    ----------
    problem : ProblemView
    layer : str, optional
        Name of a module that is run once and gives maps or tokens. Unless a module has this name, ``default`` is as
        without a name, and ``convolution`` is the last convolution that is run, leaving out 1x1 convolutions
        where there are others (the rule of version 1; goes with the next release).
    tokens : tuple of int, optional
        Rows and columns of patches and the number of tokens before them; default: as the patches were made.

    Raises
    ------
    UnsupportedError
        If there is no feature map with more than one place, if the places of maps or tokens cannot be
        followed, and if the named layer gives neither maps nor tokens or is not run once.
    UsageError
        If there is no module of this name, or numbers of tokens are not possible.
    """
    weights = [w._version for w in require_module(problem.model).module.parameters()]
    asked = (layer, tokens, weights)
    known = _latest[-1] if _latest else None
    if known is not None and known[0]() is problem and known[1] == asked:
        return known[2]
    found = _feature_layer(problem, layer, tokens)
    _latest[:] = [(weakref.ref(problem), asked, found)]
    return found


_latest: list[tuple[weakref.ref[ProblemView], tuple[Any, ...], FeatureLayer]] = []
"""The layer that was found last: the column ``layer_used`` and the explanation ask for that of the same samples."""


def _feature_layer(problem: ProblemView, layer: str | None, tokens: TokenGrid | None) -> FeatureLayer:
    model = require_module(problem.model)
    if tokens is not None and (min(tokens[:2]) < 1 or tokens[2] < 0):
        raise UsageError(f"tokens = {tokens} is not a grid", "give rows, columns and the number of tokens before them")
    one = problem.inputs[:1].detach().to(model.device).requires_grad_(True)
    context = context_rows(problem.context, slice(0, 1))
    if layer in ("convolution", "default") and layer not in dict(model.module.named_modules()):
        if layer == "convolution":
            return _last_convolution(model, one, context)
        layer = None
    return _default(model, one, context, tokens) if layer is None else _named(model, one, context, layer, tokens)


def layer_used(
    problem: ProblemView, *, layer: str | None = None, tokens: TokenGrid | None = None, **_others: Any
) -> str:
    """Name, operation and shape of the layer that is used, as the column ``layer_used`` says it."""
    return feature_layer(problem, layer=layer, tokens=tokens).label


def _keep(outputs: list[Any]) -> Any:
    """A hook that keeps outputs; a copy goes on, so that an activation in place leaves them alone."""

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        outputs.append(output)
        return output.clone() if isinstance(output, Tensor) else output

    return keep


def _default(model: TorchPredictor, one: Tensor, context: Context, tokens: TokenGrid | None) -> FeatureLayer:
    raw, _, steps = computed_steps(model, one, METHOD, context)
    used = _used(raw, [s for s in steps if s.features and s.tensor.ndim in (3, 4)])
    norms = [s for s in used if s.normalised]
    if tokens is not None:
        return _last_with_gradient(raw, [f for s in norms if (f := _by_grid(s, tokens)) is not None], str(tokens))
    maps = [s for s in used if _is_map(s)]
    found = maps[-1] if maps else None
    after = [s for s in used if found is None or s.number > found.number]
    if any(s.tensor.ndim == 3 and s.normalised for s in after):
        placed = [s for s in norms if _has_tokens(s)]
        if any(s not in placed and _many(s.tensor) for s in after if s.normalised and s.tensor.ndim == 3):
            raise UnsupportedError(f"{METHOD} cannot follow which places of the image the tokens are about", _BY_HAND)
        if placed and (found is None or placed[-1].number > found.number):
            return _last_with_gradient(raw, [_layer(s, s.places) for s in placed if s.places], "any")
    beside = _nodes_beside(raw, found)
    lost = next((s for s in used if s.tensor.grad_fn in beside and _unfollowed(s)), None)
    if lost is not None:
        raise UnsupportedError(f"{METHOD} cannot follow the places of feature maps through {_name(lost)}", _BY_HAND)
    if found is None:
        raise UnsupportedError(_NOTHING, _BY_HAND)
    if any(s.name in MAKING_FEATURES and _has_tokens(s) for s in after):
        raise UnsupportedError(f"{METHOD} needs a layer normalisation in a network of tokens", _BY_HAND)
    while found.name in _KEEPING or is_pooling(found.name):
        before = found.source
        if before is None or not before.features or not _is_map(before):
            if is_pooling(found.name) or found.name == "pad":
                raise UnsupportedError(_NOTHING, _BY_HAND)
            break
        found = before
    assert found.places is not None
    return _layer(found, found.places)


def _named(model: TorchPredictor, one: Tensor, context: Context, layer: str, tokens: TokenGrid | None) -> FeatureLayer:
    modules: dict[str, nn.Module] = dict(model.module.named_modules())
    if layer not in modules:
        raise UsageError(f"the model has no layer {layer!r}", did_you_mean(layer, [n for n in modules if n]))
    outputs: list[Any] = []
    with hooked([modules[layer].register_forward_hook(_keep(outputs))]):
        _, latest, _ = computed_steps(model, one, METHOD, context)
    if len(outputs) != 1 or not isinstance(outputs[0], Tensor):
        raise UnsupportedError(f"{METHOD} needs a layer that is run once and gives maps or tokens, unlike {layer!r}")
    step = latest.get(id(outputs[0]))
    found = None
    if step is not None and tokens is not None:
        found = _by_grid(step, tokens)
    elif step is not None and step.places is not None and (len(step.places.axes) == 2 or _has_tokens(step)):
        found = _layer(step, step.places)
    if found is None or found.grid == (1, 1):
        raise UnsupportedError(
            f"{METHOD} needs a layer that gives maps or tokens of more than one place, unlike {layer!r} "
            f"of shape {tuple(outputs[0].shape[1:])}" + ("" if tokens is None else f" with tokens={tokens}")
        )
    label = " ".join((layer, type(modules[layer]).__name__.lower(), _shape(found.axes, outputs[0])))
    return FeatureLayer(found.axes, found.grid, found.before, label, module=modules[layer])


def _last_convolution(model: TorchPredictor, one: Tensor, context: Context) -> FeatureLayer:
    """The convolution that is run last, by its position in the forward pass and not in the definition."""
    run: list[tuple[nn.Conv2d, Tensor]] = []

    def note(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        run.append((module, output))

    handles = [m.register_forward_hook(note) for m in model.module.modules() if isinstance(m, nn.Conv2d)]
    with hooked(handles), torch.no_grad():
        model.module(one.detach(), **model.on_device(context))
    if not run:
        raise UnsupportedError(f"{METHOD} needs a convolution for layer='convolution', and the model runs none")
    chosen, output = ([pair for pair in run if max(pair[0].kernel_size) > 1] or run)[-1]
    names = {module: name for name, module in model.module.named_modules()}
    label = f"{names[chosen]} conv2d {_shape((2, 3), output)}"
    return FeatureLayer((2, 3), (int(output.shape[2]), int(output.shape[3])), 0, label, module=chosen)


def _used(raw: Tensor, steps: list[FeatureStep]) -> list[FeatureStep]:
    """Those of the steps that feed the output."""
    if not steps:
        return []
    gradients = torch.autograd.grad(raw.sum(), [s.tensor for s in steps], allow_unused=True, retain_graph=True)
    return [s for s, g in zip(steps, gradients, strict=True) if g is not None]


def _nodes_beside(raw: Tensor, step: FeatureStep | None) -> set[Any]:
    """Autograd nodes that the output depends on, without those that it sees through this step alone."""
    end = None if step is None else step.tensor.grad_fn
    waiting, seen = [raw.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node is not end and node not in seen:
            seen.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    return seen


def _last_with_gradient(raw: Tensor, layers: list[FeatureLayer], grid: str) -> FeatureLayer:
    """The last of these layers whose gradient at patches is not 0 everywhere."""
    # Unequal weights: probabilities add up to 1, and the gradient of their sum is 0.
    weights = torch.linspace(1, 2, raw.shape[1], device=raw.device).to(raw.dtype).expand_as(raw)
    for layer in reversed(layers):
        assert layer.step is not None
        (gradient,) = torch.autograd.grad(raw, layer.step.tensor, weights, retain_graph=True)
        if bool(layer.maps(gradient).any()):
            return layer
    raise UnsupportedError(
        f"{METHOD} needs a layer normalisation of tokens on whose patches the output depends, "
        f"and this model has none (tokens: {grid})", "name a layer (layer=)",
    )  # fmt: skip


def _layer(step: FeatureStep, places: Places) -> FeatureLayer:
    label = " ".join(filter(None, (step.layer, _operation(step), _shape(places.axes, step.tensor))))
    return FeatureLayer(places.axes, places.grid, places.before, label, step=step)


def _by_grid(step: FeatureStep, tokens: TokenGrid) -> FeatureLayer | None:
    """The layer of tokens of this grid, if there are as many."""
    shape, length = step.tensor.shape, tokens[0] * tokens[1] + tokens[2]
    fitting = [a for a in (1, 0) if step.tensor.ndim == 3 and shape[a] == length and shape[1 - a] == 1]
    if not fitting:
        return None
    return _layer(step, Places(step.tensor.detach(), tokens[:2], (fitting[0],), tokens[2]))


def _is_map(step: FeatureStep) -> bool:
    places = step.places
    return places is not None and len(places.axes) == 2 and min(step.tensor.shape[a] for a in places.axes) > 1


def _has_tokens(step: FeatureStep) -> bool:
    places = step.places
    return places is not None and len(places.axes) == 1 and places.axes[0] < step.tensor.ndim - step.normalised


def _many(tensor: Tensor) -> bool:
    """Whether tokens (1, T, D) or (T, 1, D) are more than one."""
    return max(tensor.shape[:2]) > 1


def _unfollowed(step: FeatureStep) -> bool:
    """Whether this may be a map, of whose places nothing is known."""
    shape = step.tensor.shape
    several = step.tensor.ndim == 4 and shape[0] == 1 and min(shape[2] * shape[3], shape[1] * shape[2]) > 1
    return several and (step.places is None or step.places.displaced)


def _name(step: FeatureStep) -> str:
    return " ".join(filter(None, (repr(step.name), f"in {step.layer}" if step.layer else "")))


def _operation(step: FeatureStep) -> str:
    return "relu6" if step.name == "hardtanh" else step.name


def _shape(axes: tuple[int, ...], tensor: Tensor) -> str:
    """Shape without the axis of samples."""
    return str(tuple(n for axis, n in enumerate(tensor.shape) if axis != (1 if axes == (0,) else 0)))
