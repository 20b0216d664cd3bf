"""Interpreters of neurons over words: a search over concepts, a table of words, a level."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from scipy.stats import rankdata

from xaibench.core.errors import UsageError
from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation, Values
from xaibench.core.types import Array
from xaibench.functions.neurons.concepts import ConceptMode, Expression, Vocabulary, jaccard_similarity, vocabulary
from xaibench.functions.neurons.generation import ALIKE, Neuron
from xaibench.functions.numeric.baselines import level

WORDS_PER_QUERY = 4
"""Words that are asked for at once."""
SHARE_COVER = 0.375
"""Share of the budget for words all over the taxonomy, before guesses decide what to ask."""
ERROR = 0.08
"""Standard deviation of an answer about its level that the choice of questions reckons with."""
LIKELY = 256
"""Guesses that decide about the next question."""
SETTLED_VARIANCE = 1e-4
"""Uncertainty of the clearest question, as a variance, below which nothing is left to ask."""
MIN_CONFIRMED_MEMBERS = 4
"""Members of the best guess that are asked for at least."""
TOP = 5


@interpreter("concept_search", takes={"neuron"})
def concept_search(f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """The concept, or the pair of concepts joined by "or" or "and", that ranks the answers best (AUROC).

    Every concept and every pair is a guess, except pairs in which one part lies in the other for the
    most part. First it asks for words that cover the taxonomy, then, a few at a time, for those about
    whose level the guesses that fit best differ most; it stops when they agree. Guesses are ranked by
    the AUROC of their members among the answers (exact, ties 1/2), then by how well their levels fit
    (squared error, with a handicap for pairs, of which there are more: `_Guesses.handicaps`).

    Notes
    -----
    It searches the very space that `find_neuron` draws from, and knows how near words answer: an
    upper bound for what questions can find out, and no model of a reader who does not know the
    concepts. ``facts`` has the best guesses with their AUROC.

    Raises
    ------
    UsageError
        If no word of the domain is in the vocabulary.
    """
    words = vocabulary()
    rows = words.rows(domain.words)
    rows = np.unique(rows[rows >= 0])
    if not len(rows):
        raise UsageError("no word of the domain is in the vocabulary", "name English nouns; see datasets/find_words")
    guesses = _guesses(words)
    asked, answers, errors = np.zeros(0, dtype=np.int64), np.zeros(0), guesses.handicaps()
    questions = _cover(words, rows, max(1, round(SHARE_COVER * budget)), draws)
    while len(questions):
        given = np.asarray(f([words.words[row] for row in questions]), dtype=np.float64)
        given = np.where(np.isfinite(given), given, 0.0)
        asked, answers = np.concatenate([asked, questions]), np.concatenate([answers, given])
        errors += guesses.errors(questions, given)
        questions = _doubtful(guesses, errors, asked, np.setdiff1d(rows, asked))[: f.left]
    areas = guesses.auroc(asked, answers)
    best = np.lexsort([errors, -areas])[:TOP]
    found = guesses.expression(int(best[0]))
    return Interpretation(
        Neuron(words, found.levels(words)),
        f"fires for {found.text}",
        found.mode,
        facts={
            "parameters": {"mode": found.mode, "concepts": list(found.concepts)},
            "auroc": float(areas[best[0]]),
            "guesses": [{"text": guesses.expression(int(k)).text, "auroc": float(areas[k])} for k in best],
        },
    )


@dataclass(frozen=True, eq=False)
class _Guesses:
    """Concepts, then pairs.

    Attributes
    ----------
    words : Vocabulary
    first, second : array (h,)
        Numbers of concepts; equal for a single one.
    union : array (h,) of bool
        Whether one of two is enough.
    """

    words: Vocabulary
    first: Array
    second: Array
    union: Array

    def levels(self, rows: Array, chosen: Array | slice = slice(None)) -> Array:
        """Level of words under guesses, (h, r)."""
        known = self.words.levels[:, rows]
        a, b = known[self.first[chosen]], known[self.second[chosen]]
        return np.where(self.union[chosen][:, None], np.maximum(a, b), np.minimum(a, b))

    def errors(self, asked: Array, answers: Array) -> Array:
        """Squared error of the levels of each guess, (h,)."""
        return np.asarray(((self.levels(asked) - answers) ** 2).sum(axis=1))

    def handicaps(self) -> Array:
        """What a guess must make up for (h,): the log of how many there are of its mode, in units of squared error.

        So that each mode is as likely as the others before anything was asked.
        """
        kinds = np.where(self.first == self.second, 0, np.where(self.union, 1, 2))
        return np.asarray(2 * ERROR**2 * np.log(np.bincount(kinds)[kinds]))

    def auroc(self, asked: Array, answers: Array) -> Array:
        """Area under the ROC curve of each guess's members among the answers, (h,); 0.5 where all or none are asked."""
        members = (self.levels(asked) == 1).astype(np.float64)
        n = members.sum(axis=1)
        pairs = n * (len(asked) - n)
        above = members @ rankdata(answers) - n * (n + 1) / 2
        return np.where(pairs > 0, above / np.maximum(pairs, 1), 0.5)

    def expression(self, k: int) -> Expression:
        """A guess by its number."""
        if self.first[k] == self.second[k]:
            return Expression("single", (self.words.concepts[self.first[k]],))
        mode: ConceptMode = "or" if self.union[k] else "and"
        return Expression(mode, (self.words.concepts[self.first[k]], self.words.concepts[self.second[k]]))


@cache
def _guesses(words: Vocabulary) -> _Guesses:
    members = words.members.astype(np.float64)
    size, shared = members.sum(axis=1), members @ members.T
    a, b = np.triu_indices(len(size), 1)
    meaning = ~np.array([words.is_form(name) for name in words.concepts])
    apart = shared[a, b] <= ALIKE * np.minimum(size[a], size[b])
    either, both = apart & meaning[a] & meaning[b], apart & meaning[a] & (shared[a, b] > 0)
    one = np.flatnonzero(meaning)
    return _Guesses(
        words,
        np.concatenate([one, a[either], a[both]]),
        np.concatenate([one, b[either], b[both]]),
        np.concatenate([np.ones(len(one) + either.sum(), dtype=bool), np.zeros(both.sum(), dtype=bool)]),
    )


def _cover(words: Vocabulary, rows: Array, n: int, draws: np.random.Generator) -> Array:
    """Up to n words that cover the concepts: each belongs to many that the words before it leave open."""
    shuffled = draws.permutation(rows)
    members = words.members[:, shuffled].astype(np.float64)
    open_share = np.array([0.0 if words.is_form(name) else 1.0 for name in words.concepts])
    chosen: list[int] = []
    for _ in range(min(n, len(rows))):
        worth = open_share @ members
        worth[chosen] = -1
        chosen.append(int(np.argmax(worth)))
        open_share = np.where(members[:, chosen[-1]] > 0, open_share / 2, open_share)
    return np.asarray(shuffled[chosen])


def _doubtful(guesses: _Guesses, errors: Array, asked: Array, rows: Array) -> Array:
    """Words about which the likely guesses differ most, each given the ones before it; none if nothing is in doubt.

    Once the guesses agree, members of the best one, until enough of them are asked.
    """
    if not len(rows):
        return rows
    likely = np.argsort(errors, kind="stable")[:LIKELY]
    spread = max(ERROR**2, float(errors[likely[0]]) / len(asked))
    weights = np.exp(-(errors[likely] - errors[likely[0]]) / (2 * spread))
    weights /= weights.sum()
    levels = guesses.levels(rows, likely)
    parts = (levels - weights @ levels) * np.sqrt(weights)[:, None]
    found: list[int] = []
    for _ in range(WORDS_PER_QUERY):
        doubt = (parts**2).sum(axis=0)
        doubt[found] = 0
        k = int(np.argmax(doubt))
        if doubt[k] < SETTLED_VARIANCE:
            break
        found.append(k)
        direction = parts[:, k] / np.sqrt(doubt[k])
        parts = parts - direction[:, None] * (direction @ parts)
    if not found and (guesses.levels(asked, likely[:1]) == 1).sum() < MIN_CONFIRMED_MEMBERS:
        return np.asarray(rows[levels[0] == 1][:WORDS_PER_QUERY])
    return np.asarray(rows[found])


@interpreter("neuron_lookup", takes={"neuron"})
def neuron_lookup(f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """Answer for the nearest one of the words that were asked for, drawn at random.

    Words are near that share most of their places in the taxonomy (`concepts.similarity`); words that
    are equally near count alike. Knows the taxonomy, and no concepts.
    """
    words = vocabulary()
    chosen = [str(word) for word in draws.permutation(np.array(domain.words))[:budget]]
    answers = np.asarray(f(chosen), dtype=np.float64)
    rows = words.rows(chosen)
    known = np.isfinite(answers) & (rows >= 0)
    mean = float(answers[np.isfinite(answers)].mean()) if np.isfinite(answers).any() else 0.0
    program = partial(_nearest, words=words, rows=rows[known], answers=answers[known], otherwise=mean)
    return Interpretation(program, f"a table of {known.sum()} words, nearest in the taxonomy")


def _nearest(inputs: Values, *, words: Vocabulary, rows: Array, answers: Array, otherwise: float) -> Array:
    """Mean answer of the nearest words of a table."""
    found = words.rows([str(word) for word in inputs])
    values = np.full(len(found), otherwise)
    if len(rows):
        near = jaccard_similarity(words, found[found >= 0], rows)
        best = near >= near.max(axis=1, keepdims=True) - 1e-12
        values[found >= 0] = (best @ answers) / best.sum(axis=1)
    return values


@interpreter("mean_level", takes={"neuron"}, control=True)
def mean_level(f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """The mean answer for words drawn at random, whatever the word."""
    chosen = [str(word) for word in draws.permutation(np.array(domain.words))[:budget]]
    answers = np.asarray(f(chosen), dtype=np.float64)
    value = float(np.nanmean(answers)) if np.isfinite(answers).any() else 0.0
    return Interpretation(partial(level, value=value), f"always {value:.3g}")
