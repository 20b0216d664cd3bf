"""Relations: functions from a thing to what belongs to it, such as from a country to its capital."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from pydantic import PositiveInt

from xaibench.core.draws import keyed_generator
from xaibench.core.program_registry import functions
from xaibench.core.programs.black_box import BlackBox, Domain, Values
from xaibench.datasets.cards import read_shipped

UNDEFINED = "undefined"
"""What a relation answers for things that it says nothing about."""
TEST_DEFINED, TEST_UNDEFINED = 9, 3
"""Test entities at most: with an attribute, and without one."""

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_ROMAN = (
    (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip
_MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_PLANETS = ["Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"]
_LETTERS = list("abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, eq=False)
class Relation:
    """A table from entities to attributes.

    Attributes
    ----------
    name : str
    says : str
        What the attribute is.
    entity : str
        What kind of thing the entities are.
    pairs : mapping of str to str
    """

    name: str
    says: str
    entity: str
    pairs: Mapping[str, str]

    def __call__(self, inputs: Values) -> list[str]:
        """Attributes, ``undefined`` where there is none; spelling and case of an entity count."""
        return [self.pairs.get(str(x).strip(), UNDEFINED) for x in inputs]


def relations() -> tuple[Relation, ...]:
    """All relations that are known here, in alphabetical order of their names.

    Raises
    ------
    DataError
        If the files of facts are missing or damaged.
    """
    return _made(read_shipped("find_relations", "facts.toml"), read_shipped("find_relations", "countries.csv"))


@cache
def _made(facts: bytes, countries: bytes) -> tuple[Relation, ...]:
    found = [*_written(facts), *_of_countries(countries), *_computed()]
    greek = next(r for r in found if r.name == "greek_letter")
    signs = next(r for r in found if r.name == "zodiac_element")
    elements = next(r for r in found if r.name == "element_symbol")
    found += [
        *_sequence("Greek letter", "greek", list(greek.pairs), cyclic=False),
        *_sequence("sign of the zodiac", "zodiac", list(signs.pairs), cyclic=True),
        Relation(
            "element_number",
            "the atomic number of a chemical element",
            elements.entity,
            {name: str(k + 1) for k, name in enumerate(elements.pairs)},
        ),
        Relation(
            "element_next",
            "the chemical element with the next atomic number",
            elements.entity,
            _successors(list(elements.pairs)),
        ),
    ]
    return tuple(sorted(found, key=lambda r: r.name))


def _written(facts: bytes) -> list[Relation]:
    """Relations of ``facts.toml``, and their inverses where these are named."""
    found = []
    for name, given in tomllib.loads(facts.decode("utf-8")).items():
        pairs = dict(pair.strip().split(" > ") for pair in given["pairs"].replace("\n", " ").split(";"))
        found.append(Relation(name, given["says"], given["entity"], pairs))
        if "inverse" in given:
            other, says, entity = given["inverse"]
            found.append(Relation(other, says, entity, _inverse(pairs)))
    return found


def _of_countries(table: bytes) -> list[Relation]:
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8"))))

    def column(field: str) -> dict[str, str]:
        return {row["name"]: row[field] for row in rows if row[field]}

    capital, code = column("capital"), column("code")
    return [
        Relation("country_capital", "the capital of a country", "country", capital),
        Relation("capital_country", "the country of which a city is the capital", "capital", _inverse(capital)),
        Relation("country_continent", "the continent of a country", "country", column("continent")),
        Relation("country_currency", "the code of the currency of a country", "country", column("currency")),
        Relation("country_phone", "the international dialling code of a country", "country", column("phone")),
        Relation("country_code", "the two-letter code of a country", "country", code),
        Relation("code_country", "the country with a two-letter code", "country code", _inverse(code)),
    ]


def _inverse(pairs: Mapping[str, str]) -> dict[str, str]:
    """Attributes that one entity only has, to that entity."""
    values = list(pairs.values())
    return {value: key for key, value in pairs.items() if values.count(value) == 1}


def _successors(things: Sequence[str], cyclic: bool = False) -> dict[str, str]:
    pairs = dict(pairwise(things))
    return {**pairs, things[-1]: things[0]} if cyclic else pairs


def _sequence(entity: str, name: str, things: Sequence[str], cyclic: bool) -> list[Relation]:
    """Next, previous and position."""
    return [
        Relation(f"{name}_next", f"the next {entity}", entity, _successors(things, cyclic)),
        Relation(f"{name}_previous", f"the previous {entity}", entity, _successors(things[::-1], cyclic)),
        Relation(
            f"{name}_position",
            f"the position of a {entity}",
            entity,
            {thing: str(k + 1) for k, thing in enumerate(things)},
        ),
    ]


def _computed() -> list[Relation]:
    """Numbers, letters, and parts of the calendar."""
    words = {number_word(k): k for k in range(1, 100)}

    def of_numbers(name: str, says: str, value: Callable[[int], str]) -> Relation:
        return Relation(name, says, "number word", {word: value(k) for word, k in words.items()})

    roman = {f"{k}": roman_numeral(k) for k in range(1, 100)}
    return [
        *_sequence("month", "month", _MONTHS, cyclic=True),
        *_sequence("day of the week", "weekday", _WEEKDAYS, cyclic=True),
        *_sequence("letter", "letter", _LETTERS, cyclic=False),
        *_sequence("planet", "planet", _PLANETS, cyclic=False),
        Relation(
            "month_days",
            "the number of days of a month in a common year",
            "month",
            {month: str(days) for month, days in zip(_MONTHS, _DAYS, strict=True)},
        ),
        Relation("month_short", "the first three letters of a month", "month", {m: m[:3] for m in _MONTHS}),
        Relation("letter_upper", "the capital form of a letter", "letter", {c: c.upper() for c in _LETTERS}),
        of_numbers("number_numeral", "the numeral of a number word", str),
        of_numbers("number_next", "the next number word", lambda k: number_word(k + 1)),
        of_numbers("number_double", "the numeral of twice a number", lambda k: str(2 * k)),
        of_numbers("number_square", "the numeral of the square of a number", lambda k: str(k * k)),
        of_numbers("number_parity", "whether a number is even or odd", lambda k: "odd" if k % 2 else "even"),
        of_numbers("number_ordinal", "the ordinal of a number word", ordinal),
        of_numbers("number_digits", "the sum of the digits of a number", lambda k: str(k // 10 + k % 10)),
        Relation("numeral_roman", "the Roman numeral of a number", "numeral", roman),
        Relation("roman_numeral", "the value of a Roman numeral", "Roman numeral", _inverse(roman)),
        Relation("numeral_binary", "the binary form of a number", "numeral", {f"{k}": f"{k:b}" for k in range(1, 100)}),
        Relation("numeral_word", "the word for a number", "numeral", {f"{k}": number_word(k) for k in range(1, 100)}),
    ]


def number_word(k: int) -> str:
    """English words for 0 to 100: ``forty-two``."""
    if k == 100:
        return "hundred"
    return _ONES[k] if k < 20 else _TENS[k // 10 - 2] + (f"-{_ONES[k % 10]}" if k % 10 else "")


def ordinal(k: int) -> str:
    """English ordinal of 1 to 99: ``forty-second``."""
    head, dash, last = number_word(k).rpartition("-")
    last = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return head + dash + last


def roman_numeral(k: int) -> str:
    """Roman numeral of 1 to 399."""
    found = ""
    for value, sign in _ROMAN:
        found += sign * (k // value)
        k %= value
    return found


@functions("find_relation", kind="relation")
def find_relation(*, seed: int, n: PositiveInt | None = None) -> tuple[BlackBox, ...]:
    """Relations between things and what belongs to them, ``undefined`` for all other things.

    After FIND's 75 relations (Schwettmann et al. 2023), which are answered by a language model there
    and looked up in tables here. The domain is the same for all relations: things of all kinds, so
    that it tells nothing. A third of the things of each kind is held out, and all test inputs are
    from there: up to nine that have an attribute, and one that has none for every three of them.

    Parameters
    ----------
    seed : int
        Of the order, and of what is held out.
    n : int, optional
        Relations, the first of the seed's order; by default all. There are no more than `relations` has.
    """
    known = relations()
    askable = _askable(known, seed)
    domain = Domain(words=tuple(thing for thing, asked in askable.items() if asked))
    held_out = [thing for thing, asked in askable.items() if not asked]
    order = keyed_generator(seed, "order", "find/relation").permutation(len(known))
    made = []
    for i, k in enumerate(order[:n]):
        relation, name = known[k], f"find/relation/{i:04d}"
        draws = keyed_generator(seed, "find_relation", relation.name)
        defined = draws.permutation([thing for thing in held_out if thing in relation.pairs])[:TEST_DEFINED]
        others = draws.permutation([thing for thing in held_out if thing not in relation.pairs])
        wanted = [*defined, *others[: -(-len(defined) * TEST_UNDEFINED // TEST_DEFINED)]]
        made.append(
            BlackBox(
                name,
                "relation",
                relation,
                relation,
                domain,
                relation.name,
                {"relation": relation.name, "entities": len(relation.pairs)},
                f"gives {relation.says}, and '{UNDEFINED}' for anything else",
                [str(thing) for thing in draws.permutation(wanted)],
            )
        )
    return tuple(made)


def _askable(known: Sequence[Relation], seed: int) -> dict[str, bool]:
    """Whether each thing may be asked for: two of three of those that are first met under the same kind."""
    kinds: dict[str, list[str]] = {}
    met: set[str] = set()
    for relation in known:
        kinds.setdefault(relation.entity, []).extend(t for t in relation.pairs if t not in met)
        met.update(relation.pairs)
    found = {}
    for kind, things in kinds.items():
        order = keyed_generator(seed, f"find_relation/{kind}", "held out").permutation(len(things))
        found.update({thing: bool(order[k] * 3 >= len(things)) for k, thing in enumerate(things)})
    shuffled = keyed_generator(seed, "find_relation", "domain").permutation(sorted(found))
    return {str(thing): found[thing] for thing in shuffled}
