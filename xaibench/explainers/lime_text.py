"""LIME for texts as its authors' software computes it: all occurrences of a word are removed together."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.coalitions import Players, coalition_values
from xaibench.explainers.engines.word_types import types_of_words
from xaibench.explainers.surrogates import weighted_ridge

WordUnit = Literal["type", "position"]


@explainer("lime_text", kind="contribution", needs={"text"})
def lime_text(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 1000,
    by: WordUnit = "type",
    masker: str = "delete",
    width: Annotated[float, Gt(0)] = 25.0,
    ridge: Annotated[float, Ge(0)] = 1.0,
    draws: Draws,
) -> Tensor:
    """Coefficients of a ridge regression on which words are there, occurrences of one together (Ribeiro et al. 2016).

    As in the authors' software (`lime`, ``LimeTextExplainer``): a copy lacks so many different words, a number drawn
    evenly from 1 to d, and weighs ``exp(-(100 distance / width)^2 / 2)``, the distance being the cosine distance to the
    whole text. `lime` takes every place as a feature of its own instead, removes each with probability 1/2 and has a
    kernel that falls faster. A word that occurs twice is then half as important in each of its places, where both
    matter equally; where one occurrence decides and the other does nothing, ``by="type"`` gives both the same.

    Parameters
    ----------
    n_samples : int
        Copies, the whole text among them.
    by : {"type", "position"}
        Features of the regression: different words, or places. Words are the same if they read the same, with or
        without a space before them; of ids without a tokenizer, if the model's inputs are.
    masker : str
        The authors delete words.
    width : float
        Width of the kernel, in hundredths of the cosine distance.
    ridge : float
        Penalty on the squared coefficients; the intercept is free.

    Returns
    -------
    Tensor (N, *feature_shape)
        The coefficient of a word is shared equally by its places, so that maps add up in units of the output.

    Notes
    -----
    The authors' software also picks the ten most important words by default and fits these alone; here all are fitted
    (``feature_selection="none"``).
    """
    if problem.layout.kind != "tokens":
        raise UnsupportedError(f"lime_text is about words, and these features are {problem.layout.kind}", "use lime")
    maps = []
    for row in range(len(problem)):
        one = slice(row, row + 1)
        view = problem.take(one)
        players = _players(view, by)
        present = _present(players.count, n_samples, draws[one])
        values = coalition_values(view, players, present, masker).double()
        z = present.double()
        cosine = z.mean(dim=-1).sqrt()
        weights = torch.exp(-((100 * (1 - cosine) / width) ** 2) / 2)
        maps.append(players.share(weighted_ridge(z, values, weights, ridge)))
    return torch.cat(maps).to(problem.inputs.dtype)


def _players(view: ProblemView, by: WordUnit) -> Players:
    """Words of the one text of a view, or its places."""
    n = view.layout.n_features
    words = [str(place) for place in range(n)] if by == "position" else types_of_words(view)
    numbers = {word: i for i, word in enumerate(dict.fromkeys(words))}
    return Players(torch.tensor([numbers[word] for word in words], device=view.inputs.device), len(numbers))


def _present(d: int, n: int, draws: Draws) -> Tensor:
    """Which of d words are in each of n copies (1, n, d) of bool; the first has all."""
    removed = 1 + (draws.uniform((n, 1)) * d).floor().clamp(max=d - 1)
    removed[:, 0] = 0
    return draws.permutation((n, d)) >= removed
