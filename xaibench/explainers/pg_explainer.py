"""PGExplainer (Luo et al. 2020): a network that gives an edge its place in a mask, trained once for all graphs."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError
from xaibench.core.keys import array_digest, digest
from xaibench.core.keys import seed as derive_seed
from xaibench.core.predictor import Predictor, require_module
from xaibench.core.problem import ProblemView, Samples
from xaibench.core.registry import explainer
from xaibench.explainers.engines.edge_masks import EdgeMaskLoss, mask_penalty, require_embeddings
from xaibench.explainers.engines.reference_graphs import reference_graphs

SCORER_WIDTH = 64
GRAPHS_AT_ONCE = 32
"""Graphs of one size in a step of the training."""
NOISE_MARGIN = 0.01
"""Uniform numbers are drawn this far inside of (0, 1), as in the published code."""
SOFTENING = 0.99
"""Masks are drawn this much towards one half before their entropy is taken, as in the published code."""
_trained: WeakKeyDictionary[Predictor, dict[str, nn.Module]] = WeakKeyDictionary()
"""Networks that were trained in this process, by the model that they explain."""


@explainer("pg_explainer", kind="saliency", needs={"graph", "gradients", "module", "background"}, version=1)
def pg_explainer(
    problem: ProblemView,
    *,
    epochs: PositiveInt = 20,
    learning_rate: PositiveFloat = 0.003,
    size: NonNegativeFloat = 0.05,
    entropy: NonNegativeFloat = 1.0,
    first_temperature: PositiveFloat = 5.0,
    last_temperature: PositiveFloat = 2.0,
    symmetric: bool = True,
) -> Tensor:
    """The mask that a small network gives to edges by the states of their ends, trained on the reference graphs.

    The network reads the states of both ends after the last layer (of node tasks also that of the target node) and
    returns a score ``s`` for the edge. In training a mask is drawn from the concrete distribution, ``sigmoid((s +
    logit(u)) / T)`` with uniform u and a temperature T that falls from epoch to epoch, and Adam walks down
    ``-log p(class | w m) + size sum(m) + entropy mean(H(m))`` for the class that the model predicts (Luo et al. 2020,
    Eq. 8 and 9); the explanation is ``sigmoid(s)``. One training serves all graphs that are explained, and all calls of
    this process with the same model, reference graphs, parameters and seed.

    Parameters
    ----------
    epochs : int
    learning_rate : float
    size : float
        Weight of the sum of the mask.
    entropy : float
        Weight of the mean entropy of the mask, in nats.
    first_temperature, last_temperature : float
        Of the concrete distribution; geometric in between.
    symmetric : bool
        Average the score over both orders of the ends of an edge; False for directed graphs, whose network then sees
        the ends in the order of the edge.

    Returns
    -------
    Tensor (N, E)
        The mask, from 0 to 1.

    Raises
    ------
    UnsupportedError
        If the module has no method ``embed(w, **context)`` that returns states of nodes (N, n, h), or there are no
        reference graphs.

    Notes
    -----
    torch_geometric 2.8 trains on the graphs that its caller chooses, one at a time, scores the two directions of an
    undirected edge apart, and adds a bias of 0.01 to the uniform numbers, which are all differences from here but the
    last one.
    """
    require_embeddings(problem)
    settings = [epochs, learning_rate, size, entropy, first_temperature, last_temperature, symmetric]
    graphs = reference_graphs(problem)
    known = _trained.setdefault(problem.model, {})
    key = digest(problem.seed, settings, [_content(part) for part in graphs])
    if key not in known:
        known[key] = _train(
            problem, graphs, epochs, learning_rate, (size, entropy), (first_temperature, last_temperature), symmetric
        )
    with torch.no_grad():
        return torch.cat(
            [
                _scores(known[key], _edge_states(problem.take(slice(i, i + problem.batch_size))), symmetric).sigmoid()
                for i in range(0, len(problem), problem.batch_size)
            ]
        )


def _content(graphs: Samples) -> list[str]:
    arrays = {"inputs": graphs.inputs, **graphs.context}
    return [array_digest(values.cpu().numpy()) for _, values in sorted(arrays.items())]


def _edge_states(graphs: Samples) -> tuple[Tensor, Tensor, Tensor]:
    """States of both ends of every edge (N, E, h), and what else the network reads of it (N, E, h or 0)."""
    model = require_module(graphs.model)
    embed = model.module.embed
    with torch.no_grad():
        states: Tensor = embed(graphs.inputs.to(model.device), **model.on_device(graphs.context))  # type: ignore[operator]
    if states.ndim != 3 or len(states) != len(graphs):
        raise UnsupportedError(
            f"embed of the module returns shape {tuple(states.shape)} for {len(graphs)} graphs",
            "return the states of all nodes, (N, n, h)",
        )
    row = torch.arange(len(states), device=states.device).unsqueeze(1)
    src, dst = (states[row, graphs.context[name].to(states.device)] for name in ("src", "dst"))
    if "target" not in graphs.context:
        return src, dst, src[..., :0]
    target = states[row, graphs.context["target"].to(states.device).unsqueeze(1)]
    return src, dst, target.expand_as(src)


def _scores(network: nn.Module, states: tuple[Tensor, Tensor, Tensor], symmetric: bool) -> Tensor:
    """Score of every edge (N, E)."""
    src, dst, target = states
    score: Tensor = network(torch.cat([src, dst, target], dim=-1)).squeeze(-1)
    if symmetric:
        score = (score + network(torch.cat([dst, src, target], dim=-1)).squeeze(-1)) / 2
    return score


def _train(
    problem: ProblemView,
    graphs: list[Samples],
    epochs: int,
    learning_rate: float,
    weights: tuple[float, float],
    temperatures: tuple[float, float],
    symmetric: bool,
) -> nn.Module:
    """The trained network; random numbers are its own, and depend on the seed of the problem only."""
    losses = [EdgeMaskLoss(part) for part in graphs]
    states = [_edge_states(part) for part in graphs]
    width = sum(values.shape[-1] for values in states[0])
    device = states[0][0].device
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(derive_seed("pg_explainer", problem.seed))
        network = nn.Sequential(nn.Linear(width, SCORER_WIDTH), nn.ReLU(), nn.Linear(SCORER_WIDTH, 1)).to(device)
        parameters = list(network.parameters())
        optimizer = torch.optim.Adam(parameters, lr=learning_rate)
        batches = [(i, rows) for i, part in enumerate(graphs) for rows in _batches(len(part))]
        for epoch in range(epochs):
            temperature = temperatures[0] * (temperatures[1] / temperatures[0]) ** (epoch / epochs)
            for number in torch.randperm(len(batches)).tolist():
                part, rows = batches[number]
                own = tuple(values[rows] for values in states[part])
                score = _scores(network, own, symmetric)
                u = NOISE_MARGIN + (1 - 2 * NOISE_MARGIN) * torch.rand(score.shape)
                mask = ((score + u.logit().to(score)) / temperature).sigmoid()
                soft = SOFTENING * mask + (1 - SOFTENING) / 2
                loss = (
                    losses[part](mask, rows) + mask_penalty(mask, weights[0], 0.0) + mask_penalty(soft, 0.0, weights[1])
                )
                # Not backward(), which would write gradients into the parameters of the model.
                for parameter, slope in zip(parameters, torch.autograd.grad(loss.mean(), parameters), strict=True):
                    parameter.grad = slope
                optimizer.step()
    return network.requires_grad_(False)


def _batches(n: int) -> list[slice]:
    return [slice(i, min(i + GRAPHS_AT_ONCE, n)) for i in range(0, n, GRAPHS_AT_ONCE)]
