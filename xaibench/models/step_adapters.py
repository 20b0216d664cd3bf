"""Models with one output per step of a series, as models with a single output: two questions, one adapter each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from xaibench.core.errors import UsageError
from xaibench.core.model_outputs import read_output
from xaibench.core.outputs import Returns

_QUESTION = "say of which class the output of every step is explained: context=adapter.context(inputs)"


class SumOfSteps(nn.Module):
    """A model with outputs per step, as the sum over steps of the output of the step's class.

    The question is what a cell does to the output of its own *and of all later* steps, ``sum_t out[t, c_t]``. The
    classes of the steps belong to the sample and not to its changed copies, so they are part of the context. See
    `OwnStep` for what a cell does to its own step alone.

    Parameters
    ----------
    module : torch.nn.Module
        Maps series (N, T, D) to (N, T, C), one row of outputs per step.

    Examples
    --------
    A network that adds up what it has seen: the first step counts in all three outputs, the last one in a single one.

    >>> import torch
    >>> import xaibench as xb
    >>> class Total(torch.nn.Module):
    ...     def forward(self, series):
    ...         return series.cumsum(dim=1)
    >>> summed = xb.SumOfSteps(Total())
    >>> x = torch.ones(1, 3, 1)
    >>> xb.explain("gradient", model=summed, inputs=x, context=summed.context(x), features="series").tolist()
    [[[3.0], [2.0], [1.0]]]
    """

    default_returns: Returns = "value"

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.train(module.training)

    def step_outputs(self, series: Tensor) -> Tensor:
        """Outputs (N, T, C) of every step of series (N, T, D).

        Raises
        ------
        UsageError
            If the module does not return one row per step.
        """
        return _per_step(self.module(series), series)

    def context(self, series: Any, classes: Any = None) -> dict[str, Tensor]:
        """The context of samples (N, T, D), for `explain` and the others.

        Parameters
        ----------
        series : array (N, T, D)
            The samples as they are, not changed copies.
        classes : array (N, T) of int, optional
            Class of every step whose output is explained. By default the one with the largest output.
        """
        clean = torch.as_tensor(series)
        if classes is not None:
            return {"classes": torch.as_tensor(classes)}
        return {"classes": _evaluated(self, self.step_outputs, clean).argmax(dim=2)}

    def forward(self, inputs: Tensor, series: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
        """The sum (N, 1) over steps of the outputs of their classes.

        Parameters
        ----------
        inputs : Tensor (N, T, D)
        series : Tensor (N, T, D), optional
            The clean series; the classes are then those with the largest outputs on it.
        classes : Tensor (N, T) of int64, optional

        Raises
        ------
        UsageError
            If neither is given.
        """
        if classes is None:
            if series is None:
                raise UsageError("SumOfSteps does not know which output of each step is explained", _QUESTION)
            classes = _of_distinct(series, lambda clean: self.step_outputs(clean).argmax(dim=2))
        return _picked(self.step_outputs(inputs), classes).sum(dim=1, keepdim=True)


class OwnStep(nn.Module):
    """A recurrent model with outputs per step, as a sum in which every step sees its own inputs and the clean past.

    The question is what a cell does to the output of its *own* step: ``sum_t head(cell(x_t, h_(t-1)))[c_t]``, where the
    states h are those of the clean series. Terms share nothing, so the attribution of a cell is that of its own step,
    and one gradient, or ``2^D`` copies for exact Shapley values, serve all steps at once. What a cell does through the
    states of later steps is not asked; `SumOfSteps` asks it.

    The clean series goes to the model as the context ``series``, and its states are computed from it by the
    weights that the module has, so that they are right for a model with other weights too.

    Parameters
    ----------
    recurrent : torch.nn.RNN, torch.nn.GRU or torch.nn.LSTM
        With ``batch_first=True``, of one direction, of any number of layers.
    head : torch.nn.Module
        Maps states (M, H) to outputs (M, C).

    Raises
    ------
    UsageError
        If the layer is of another kind, reads series backwards, or has its steps first.

    Examples
    --------
    >>> import torch
    >>> import xaibench as xb
    >>> gru, head = torch.nn.GRU(2, 4, batch_first=True), torch.nn.Linear(4, 3)
    >>> own = xb.OwnStep(gru, head)
    >>> x = torch.ones(1, 5, 2)
    >>> maps = xb.explain("integrated_gradients", model=own, inputs=x, context=own.context(x), features="series")
    >>> maps.shape
    (1, 5, 2)
    >>> terms = own.own_terms(x, x) - own.own_terms(torch.zeros_like(x), x)
    >>> bool(torch.allclose(torch.as_tensor(maps).sum(dim=2), terms, atol=1e-3))
    True
    """

    default_returns: Returns = "value"

    def __init__(self, recurrent: nn.RNNBase, head: nn.Module) -> None:
        super().__init__()
        if not isinstance(recurrent, (nn.RNN, nn.GRU, nn.LSTM)):
            raise UsageError(
                f"OwnStep takes an RNN, GRU or LSTM layer of torch.nn, not a {type(recurrent).__name__}",
                "other networks with outputs per step: xb.SumOfSteps",
            )
        if recurrent.bidirectional:
            raise UsageError("a layer that reads series backwards too has no state before a step", "xb.SumOfSteps")
        if not recurrent.batch_first:
            raise UsageError("the recurrent layer has its steps first", "make it with batch_first=True")
        self.recurrent, self.head = recurrent, head
        self.train(recurrent.training)

    def step_outputs(self, series: Tensor) -> Tensor:
        """Outputs (N, T, C) of every step of series (N, T, D), states being those of the series itself."""
        states, _ = self.recurrent(series)
        return self._read(states)

    def context(self, series: Any, classes: Any = None) -> dict[str, Tensor]:
        """The context of samples (N, T, D), for `explain` and the others.

        Parameters
        ----------
        series : array (N, T, D)
            The samples as they are, not changed copies.
        classes : array (N, T) of int, optional
            Class of every step whose output is explained. By default the one with the largest output.
        """
        more = {} if classes is None else {"classes": torch.as_tensor(classes)}
        return {"series": torch.as_tensor(series), **more}

    def own_outputs(self, inputs: Tensor, series: Tensor) -> Tensor:
        """Outputs (N, T, C) of the steps of inputs (N, T, D), with the states of the clean series (N, T, D)."""
        before = _of_distinct(series, self._states_before)
        return self._one_step(inputs, before)

    def own_terms(self, inputs: Tensor, series: Tensor, classes: Tensor | None = None) -> Tensor:
        """The terms (N, T) of the sum: outputs of the steps' classes, by default those of the clean series."""
        if classes is None:
            classes = _of_distinct(series, lambda clean: self.step_outputs(clean).argmax(dim=2))
        return _picked(self.own_outputs(inputs, series), classes)

    def forward(self, inputs: Tensor, series: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
        """The sum (N, 1) of the terms.

        Parameters
        ----------
        inputs : Tensor (N, T, D)
        series : Tensor (N, T, D)
            The clean series that each input is a copy of.
        classes : Tensor (N, T) of int64, optional

        Raises
        ------
        UsageError
            If the clean series is not given, or has another shape.
        """
        if series is None:
            raise UsageError("OwnStep needs the clean series beside its copies", "context=adapter.context(inputs)")
        if series.shape != inputs.shape:
            raise UsageError(f"the clean series has shape {tuple(series.shape)}, the inputs {tuple(inputs.shape)}")
        return self.own_terms(inputs, series, classes).sum(dim=1, keepdim=True)

    def _read(self, states: Tensor) -> Tensor:
        """Outputs (N, T, C) of states (N, T, H)."""
        found = read_output(self.head(states.flatten(0, 1)))
        if found.ndim == 1:
            found = found.unsqueeze(1)
        if found.ndim != 2 or len(found) != states.shape[0] * states.shape[1]:
            raise UsageError(
                f"the head returned shape {tuple(found.shape)} for {states.shape[0] * states.shape[1]} states",
                "a head maps (M, H) to (M, C)",
            )
        return found.view(*states.shape[:2], -1)

    def _states_before(self, series: Tensor) -> Tensor:
        """State before every step (N, T, S, L, H); S is 2 for an LSTM, which has two kinds, else 1."""
        layer = self.recurrent
        if layer.num_layers == 1 and not isinstance(layer, nn.LSTM):
            after, _ = layer(series)
            zero = torch.zeros_like(after[:, :1])
            return torch.cat([zero, after[:, :-1]], dim=1)[:, :, None, None]
        kinds = self._initial(series)
        found = []
        for t in range(series.shape[1]):
            found.append(self._stacked(kinds))
            _, last = layer(series[:, t : t + 1], kinds if isinstance(layer, nn.LSTM) else kinds[0])
            kinds = tuple(last) if isinstance(layer, nn.LSTM) else (last,)
        return torch.stack(found, dim=1)

    def _initial(self, series: Tensor) -> tuple[Tensor, ...]:
        """Zeros (L, N, H) of every kind of state."""
        layer = self.recurrent
        sizes = (layer.proj_size or layer.hidden_size, layer.hidden_size)[: 2 if isinstance(layer, nn.LSTM) else 1]
        return tuple(series.new_zeros(layer.num_layers, len(series), size) for size in sizes)

    def _stacked(self, kinds: tuple[Tensor, ...]) -> Tensor:
        """States (N, S, L, H), the narrower kind filled up with zeros."""
        width = max(kind.shape[2] for kind in kinds)
        wide = [nn.functional.pad(kind, (0, width - kind.shape[2])) for kind in kinds]
        return torch.stack(wide).permute(2, 0, 1, 3)

    def _one_step(self, inputs: Tensor, before: Tensor) -> Tensor:
        """Outputs (N, T, C) of one step from the states before it (N, T, S, L, H)."""
        layer = self.recurrent
        flat = before.flatten(0, 1).permute(1, 2, 0, 3)
        if isinstance(layer, nn.LSTM):
            short = flat[0][..., : layer.proj_size or layer.hidden_size].contiguous()
            after, _ = layer(inputs.flatten(0, 1).unsqueeze(1), (short, flat[1].contiguous()))
        else:
            after, _ = layer(inputs.flatten(0, 1).unsqueeze(1), flat[0].contiguous())
        return self._read(after.view(*inputs.shape[:2], -1))


def _per_step(raw: Any, series: Tensor) -> Tensor:
    """Outputs (N, T, C) of a module; (N, T) is one output per step."""
    found = read_output(raw)
    found = found.unsqueeze(2) if found.ndim == 2 else found
    if found.ndim != 3 or found.shape[:2] != series.shape[:2]:
        raise UsageError(
            f"the model returned shape {tuple(found.shape)} for series {tuple(series.shape)}",
            "SumOfSteps takes a model with one row of outputs per step, (N, T, C)",
        )
    return found


def _picked(outputs: Tensor, classes: Tensor) -> Tensor:
    """The output (N, T) of the class of every step, of outputs (N, T, C)."""
    if classes.shape != outputs.shape[:2]:
        raise UsageError(
            f"classes have shape {tuple(classes.shape)}, the steps {tuple(outputs.shape[:2])}", "one class per step"
        )
    return outputs.gather(2, classes.long().unsqueeze(2)).squeeze(2)


def _of_distinct(series: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """What is computed of clean series (N, ...), once for copies of one series in a row, without gradients."""
    with torch.no_grad():
        runs, which = torch.unique_consecutive(series, dim=0, return_inverse=True)
        found = compute(runs)
        return found if len(runs) == len(series) else found[which]


def _evaluated(module: nn.Module, function: Callable[[Tensor], Tensor], series: Tensor) -> Tensor:
    """What a function of a module gives in evaluation mode, without gradients."""
    training, first = module.training, next(module.parameters(), None)
    module.eval()
    with torch.no_grad():
        found = function(series if first is None else series.to(first))
    module.train(training)
    return found
