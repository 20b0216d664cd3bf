"""Input marginalisation: what a word adds, against the words that could stand in its place."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.perturbed_copies import blocks_of
from xaibench.explainers.engines.word_candidates import candidate_words

LEAST_PROBABILITY = 1e-7
"""Probabilities nearer to 0 or 1 have the log odds of this."""


@explainer("input_marginalisation", kind="contribution", needs={"text"}, uses_background=True)
def input_marginalisation(problem: ProblemView, *, candidates: PositiveInt = 32) -> Tensor:
    """Log odds of the class less those with a word marginalised over what could stand there (Kim et al. 2020, Eq. 4).

    ``log odds(p(y | x)) - log odds(sum_v p(v | x without t) p(y | x with v in the place of t))``. How probable a word v
    is there, a masked language model says where the model was made with one (of words of one piece each), else it is
    the frequency of v in the background.

    Parameters
    ----------
    candidates : int
        Most probable words that are tried, whose probabilities are made to sum to 1.

    Returns
    -------
    Tensor (N, *feature_shape)
        In nats, whatever output is explained.

    Raises
    ------
    UnsupportedError
        If the model gives no probabilities, or there are neither a language model nor background texts.

    Notes
    -----
    The paper takes logarithms to the base of 2, and drops words of a probability below 1e-5 instead.
    """
    own = _log_odds(_probability(problem, problem.predict(problem.inputs)))
    maps = torch.zeros(len(problem), problem.layout.n_features, dtype=torch.float64, device=problem.inputs.device)
    for row in range(len(problem)):
        view = problem.take(slice(row, row + 1))
        places, weights, words = candidate_words(view, candidates)
        mixed = torch.zeros_like(maps[row])
        for part in blocks_of(view, len(places), 4 * view.inputs[0].numel()):
            at, rows = places[part], torch.zeros(len(places[part]), dtype=torch.int64, device=places.device)
            copies = view.inputs[rows].clone()
            copies[torch.arange(len(at)), at] = words[part]
            found = _probability(view, view.predict(copies, rows), rows)
            mixed.scatter_add_(0, at, weights[part] * found.to(weights))
        maps[row] = own[row] - _log_odds(mixed)
    return maps.to(problem.inputs.dtype).view(len(problem), *problem.layout.feature_shape)


def _probability(view: ProblemView, raw: Tensor, rows: Tensor | None = None) -> Tensor:
    return view.select(raw, rows, output="probability").double()


def _log_odds(probability: Tensor) -> Tensor:
    return torch.logit(probability, eps=LEAST_PROBABILITY)
