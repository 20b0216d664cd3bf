"""Levenshtein's distance between strings, and what it aligns."""

from __future__ import annotations

Alignment = list[tuple[int | None, int | None]]


def distance(a: str, b: str) -> int:
    """Fewest insertions, deletions and replacements of a character that turn one into the other (Levenshtein 1966).

    The columns of the table are the bits of integers (Myers 1999, as Hyyro 2003 has it).
    """
    if not a or not b:
        return len(a) + len(b)
    where: dict[str, int] = {}
    for k, x in enumerate(a):
        where[x] = where.get(x, 0) | 1 << k
    every, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    rises, falls, found = every, 0, len(a)
    for y in b:
        equal = where.get(y, 0)
        across = (((equal & rises) + rises) ^ rises) | equal
        up, down = falls | (every & ~(across | rises)), rises & across
        found += 1 if up & last else -1 if down & last else 0
        up, down = up << 1 | 1, down << 1
        equal |= falls
        rises, falls = (down | ~(equal | up)) & every, up & equal & every
    return found


def edit_similarity(a: str, b: str) -> float:
    """``1 - distance / length of the longer one``; 1 for two empty strings."""
    return 1.0 if a == b else 1 - distance(a, b) / max(len(a), len(b))


def alignment(a: str, b: str) -> Alignment:
    """Positions of a and of b that stand for each other, in order; None opposite to what one of them lacks."""
    table, i, j = _table(a, b), len(a), len(b)
    pairs: Alignment = []
    while i or j:
        here = table[i][j]
        if i and j and here == table[i - 1][j - 1] + (a[i - 1] != b[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and here == table[i - 1][j] + 1:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


def _table(a: str, b: str) -> list[list[int]]:
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, start=1):
        above, left = rows[-1], i
        row = [i]
        for j, y in enumerate(b, start=1):
            left = min(left + 1, above[j] + 1, above[j - 1] + (x != y))
            row.append(left)
        rows.append(row)
    return rows
