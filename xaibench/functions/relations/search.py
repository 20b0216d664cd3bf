"""Interpreters of relations: a search among known ones, and a table of what was asked."""

from __future__ import annotations

from functools import cache, partial

import numpy as np

from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation, Values
from xaibench.core.types import Array
from xaibench.functions.relations.catalogue import UNDEFINED, Relation, relations

MIN_CONFIRMED_ENTITIES = 3
"""Entities with an attribute that are asked for at least, if there are so many."""


@interpreter("relation_search", takes={"relation"})
def relation_search(f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """The relation, of all that are known here, that gives most of the answers.

    Asks for the word that splits the relations that agree with all answers so far into the smallest
    groups, until one is left and confirmed by three answers. This is a lookup among the very
    relations that `find_relation` is made of: an upper bound, and it finds no relation that is new.

    Notes
    -----
    A relation that no known one agrees with is answered as by `table`.
    """
    known = relations()
    words = np.array(domain.words)[draws.permutation(len(domain.words))]
    codes = np.array(_coded(known, tuple(sorted(domain.words))))[:, np.argsort(np.argsort(words))]
    remaining, told = np.arange(len(known)), np.zeros(len(known), dtype=np.int64)
    open_words = np.ones(len(words), dtype=bool)
    while f.left and open_words.any() and len(remaining):
        k = _next(codes[remaining], open_words)
        if len(remaining) == 1 and (told[remaining[0]] >= MIN_CONFIRMED_ENTITIES or not codes[remaining[0], k]):
            break
        (answer,) = f([str(words[k])])
        open_words[k] = False
        same = np.array([relation([words[k]])[0] == answer for relation in known])
        told += same & (answer != UNDEFINED)
        remaining = remaining[same[remaining]]
    if not len(remaining) or not told[remaining].any():
        return _table(f)
    found = known[int(remaining[np.argmax(told[remaining])])]
    facts = {"parameters": {"relation": found.name}, "agreeing": len(remaining)}
    return Interpretation(found, f"gives {found.says}, and '{UNDEFINED}' for anything else", found.name, facts=facts)


def _next(codes: Array, open_words: Array) -> int:
    """The word that leaves the fewest relations (r, w) in the group of its answer, then one that many know."""
    groups = np.zeros(codes.shape[1])
    for row in codes:
        groups += (codes == row).sum(axis=0)
    cost = groups - 1e-3 * (codes > 0).sum(axis=0)
    return int(np.argmin(np.where(open_words, cost, np.inf)))


@cache
def _coded(known: tuple[Relation, ...], words: tuple[str, ...]) -> Array:
    """Answers of relations as numbers, (r, w), 0 for undefined."""
    numbers = {UNDEFINED: 0}
    return np.array([[numbers.setdefault(a, len(numbers)) for a in relation(list(words))] for relation in known])


@interpreter("table", takes={"relation"})
def table(f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """What was asked, word for word, and "undefined" for the rest; asks for words drawn at random."""
    f([str(word) for word in draws.permutation(np.array(domain.words))[:budget]])
    return _table(f)


def _table(f: CountedFunction) -> Interpretation:
    pairs = {str(x): str(y) for x, y in zip(f.asked, f.answers, strict=True) if y != UNDEFINED}
    return Interpretation(partial(_looked_up, pairs=pairs), f"a table of {len(pairs)} pairs")


def _looked_up(inputs: Values, *, pairs: dict[str, str]) -> list[str]:
    return [pairs.get(str(x).strip(), UNDEFINED) for x in inputs]
