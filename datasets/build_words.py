"""Build the shipped words and their taxonomy from WordNet and SCOWL, and write the checksums into the card.

    python datasets/build_words.py           # download, build, write
    python datasets/build_words.py --check   # download, build, compare with what is shipped

Needs npm and a network connection. The downloads are verified against the card.

``words.tsv`` has a word, the nodes of its frequent senses, and those of its other noun senses. ``nodes.tsv`` has
WordNet's hypernyms of these words as far as they hold at least four of them: number, parents, lemma, and for the
concepts that functions are made of a name and WordNet's definition.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

from xaibench.datasets.cards import card
from xaibench.datasets.fetch import download

HERE = Path(__file__).resolve().parent / "find_words"
SIZES = (10, 20, 35)
"""Classes of SCOWL: the common words."""
COMMON = 10
"""Class whose words are kept even if they belong to no concept."""
PER_CONCEPT = 24
"""Most common words of a concept that are kept for its sake."""
LEFT_OUT = {"whore"}
FREQUENT = 0.25
"""Share of a noun's tagged occurrences from which on a sense counts."""
NOUN = 0.6
"""Share of a word's tagged occurrences that must be nouns."""
FEWEST = 4
"""Words below a node of the taxonomy."""

CONCEPTS = {
    "animal.1": "animals", "mammal.1": "mammals", "bird.1": "birds", "carnivore.1": "carnivorous mammals",
    "ungulate.1": "hoofed mammals", "insect.1": "insects", "reptile.1": "reptiles",
    "invertebrate.1": "invertebrates", "dog.1": "dogs", "body_part.1": "parts of the body", "organ.1": "organs",
    "external_body_part.1": "outer body parts", "bone.1": "bones", "tissue.1": "tissues of living things",
    "liquid_body_substance.1": "body fluids", "plant.2": "plants", "tree.1": "trees", "herb.1": "herbs",
    "edible_fruit.1": "edible fruits", "vegetable.1": "vegetables", "plant_organ.1": "organs of plants",
    "food.1": "food and drink", "food.2": "solid food", "beverage.1": "drinks", "alcohol.1": "alcoholic drinks",
    "baked_goods.1": "baked goods", "meat.1": "meat", "dish.2": "prepared dishes",
    "flavorer.1": "things that flavour food", "clothing.1": "clothing", "garment.1": "garments",
    "undergarment.1": "underwear", "fabric.1": "fabrics", "building.1": "buildings", "room.1": "rooms",
    "dwelling.1": "dwellings", "furniture.1": "furniture", "mercantile_establishment.1": "shops",
    "road.1": "roads", "barrier.1": "barriers", "passage.3": "ways through something",
    "geological_formation.1": "geological formations", "body_of_water.1": "bodies of water",
    "conveyance.3": "conveyances", "vehicle.1": "vehicles", "motor_vehicle.1": "motor vehicles",
    "aircraft.1": "aircraft", "vessel.2": "ships and boats", "container.1": "containers",
    "vessel.3": "vessels that hold things", "tool.1": "tools", "machine.1": "machines", "weapon.1": "weapons",
    "musical_instrument.1": "musical instruments", "wind_instrument.1": "wind instruments",
    "implement.1": "implements", "electrical_device.1": "electrical devices",
    "measuring_instrument.1": "measuring instruments", "book.1": "books", "publication.1": "publications",
    "chemical_element.1": "chemical elements", "metallic_element.1": "metals",
    "organic_compound.1": "organic compounds", "drug.1": "drugs", "medicine.2": "medicines", "fuel.1": "fuels",
    "building_material.1": "building materials", "liquid.1": "liquids", "worker.1": "workers",
    "leader.1": "leaders", "relative.1": "relatives", "scientist.1": "scientists",
    "entertainer.1": "entertainers", "musician.1": "musicians", "criminal.1": "criminals",
    "wrongdoer.1": "wrongdoers", "health_professional.1": "health professionals", "clergyman.1": "clergy",
    "traveler.1": "travellers", "serviceman.1": "members of the armed forces", "writer.1": "writers",
    "woman.1": "women", "professional.1": "members of a learned profession", "employee.1": "employees",
    "businessperson.1": "businesspeople", "artist.1": "artists", "ruler.1": "rulers",
    "spiritual_being.1": "spirits and gods", "creator.2": "creators", "adult.1": "kinds of adults",
    "sport.1": "sports", "game.1": "games", "travel.1": "kinds of travel", "crime.1": "crimes",
    "social_event.1": "social events", "music.1": "kinds of music", "conflict.1": "conflicts",
    "occupation.1": "occupations", "commerce.1": "commerce", "killing.2": "ways to kill",
    "disease.1": "diseases", "illness.1": "illnesses", "symptom.1": "symptoms", "pain.1": "pains",
    "feeling.1": "feelings", "emotion.1": "emotions", "fear.1": "fears", "happiness.2": "kinds of happiness",
    "sadness.1": "kinds of sadness", "anger.1": "kinds of anger", "science.1": "sciences",
    "natural_science.1": "natural sciences", "discipline.1": "disciplines", "time_period.1": "periods of time",
    "unit_of_measurement.1": "units of measurement", "number.2": "numbers", "shape.2": "shapes",
    "color.1": "colours", "currency.1": "currencies", "payment.1": "payments", "document.1": "documents",
    "legal_document.1": "legal documents", "literary_composition.1": "literary works",
    "musical_composition.1": "musical works", "language_unit.1": "units of language", "symbol.1": "symbols",
    "sound.4": "sounds", "weather.1": "weather", "atmospheric_phenomenon.1": "phenomena of the atmosphere",
    "organization.1": "organisations", "military_unit.1": "military units", "region.3": "regions",
    "district.1": "districts", "trait.1": "traits of character", "belief.1": "beliefs",
    "opening.10": "openings", "gathering.1": "groups of people in one place",
    "performing_arts.1": "performing arts", "diversion.1": "pastimes",
}  # fmt: skip
"""Lemma and sense number in WordNet 3.1, to the name under which a concept is known here."""


class WordNet:
    """Nouns of WordNet: synsets with lemmas, hypernyms and definitions, and senses of words with counts."""

    def __init__(self, members: dict[str, bytes]) -> None:
        self.senses: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
        self.offsets: dict[str, int] = {}
        for line in members["index.sense"].decode().splitlines():
            key, offset, number, count = line.split()
            lemma, _, rest = key.partition("%")
            self.senses[lemma].append((int(rest[0]), int(number), int(offset), int(count)))
            if rest[0] == "1":
                self.offsets[f"{lemma}.{number}"] = int(offset)
        self.lemmas: dict[int, str] = {}
        self.hypernyms: dict[int, list[int]] = {}
        self.definitions: dict[int, str] = {}
        for line in members["data.noun"].decode().splitlines():
            if line.startswith("  "):
                continue
            data, _, gloss = line.partition("|")
            fields = data.split()
            offset, after = int(fields[0]), 4 + 2 * int(fields[3], 16)
            pointers = [fields[after + 1 + 4 * k : after + 3 + 4 * k] for k in range(int(fields[after]))]
            self.lemmas[offset] = fields[4].lower()
            self.hypernyms[offset] = [int(to) for kind, to in pointers if kind in ("@", "@i")]
            self.definitions[offset] = re.split(r"; [\"a-z]", gloss.strip())[0].strip("; ")
        self.above = cache(self._above)

    def _above(self, offset: int) -> frozenset[int]:
        """A synset and all its hypernyms."""
        return frozenset({offset}).union(*(self.above(h) for h in self.hypernyms[offset]))

    def count(self, word: str) -> int:
        """Tagged occurrences of a word."""
        return sum(count for *_, count in self.senses[word])

    def frequent(self, word: str) -> tuple[list[int], list[int]] | None:
        """Synsets of the frequent senses, and of the other noun senses; None where that cannot be told."""
        senses = self.senses.get(word, [])
        nouns = [(number, offset, count) for pos, number, offset, count in senses if pos == 1]
        total, tagged = sum(s[3] for s in senses), sum(n[2] for n in nouns)
        if total == 0:
            return ([nouns[0][1]], []) if len(nouns) == len(senses) == 1 else None
        if tagged < NOUN * total:
            return None
        found = [offset for _, offset, count in sorted(nouns) if count and count >= FREQUENT * tagged]
        rest = [offset for _, offset, _ in sorted(nouns) if offset not in found]
        return (found, rest) if found else None


def build(members: dict[str, bytes]) -> dict[str, bytes]:
    """The two tables as bytes, by file name."""
    net = WordNet(members)
    chosen = {net.offsets[key]: name for key, name in CONCEPTS.items()}
    sizes = {
        word: size
        for size in reversed(SIZES)
        for side in ("english", "american")
        for word in json.loads(members[f"{side}-words-{size}.json"])
    }
    found = {word: net.frequent(word) for word in sizes if re.fullmatch("[a-z]{3,}", word) and word not in LEFT_OUT}
    known = {
        word: frozenset().union(*map(net.above, senses[0]))
        for word, senses in sorted(found.items())
        if senses is not None
    }
    by_use = sorted(known, key=lambda word: (sizes[word], -net.count(word), word))
    wanted = {word for word in known if sizes[word] == COMMON}
    for offset in chosen:
        wanted.update([word for word in by_use if offset in known[word]][:PER_CONCEPT])
    words = {word: senses for word, senses in sorted(found.items()) if word in wanted and senses is not None}
    below: dict[int, set[str]] = defaultdict(set)
    for word, (senses, _) in words.items():
        for offset in frozenset().union(*map(net.above, senses)):
            below[offset].add(word)
    kept = {o for o, found in below.items() if len(found) >= FEWEST or o in chosen}
    twins: dict[frozenset[str], list[int]] = defaultdict(list)
    for o in kept:
        twins[frozenset(below[o])].append(o)
    for same in twins.values():  # A chain of nodes that hold the same words is one node: the concept, else the lowest.
        best = max(same, key=lambda o: (o in chosen, len(net.above(o)), o))
        kept -= {o for o in same if o != best and o not in chosen}
    nodes = sorted(kept, key=lambda o: (len(net.above(o)), o))
    number = {o: k for k, o in enumerate(nodes)}

    def lowest(offsets: frozenset[int]) -> list[int]:
        found = offsets & kept
        return sorted(number[o] for o in found if not any(o != p and o in net.above(p) for p in found))

    node_lines = [
        "\t".join(
            [
                str(number[o]),
                ",".join(map(str, lowest(net.above(o) - {o}))),
                net.lemmas[o].replace("_", " "),
                chosen.get(o, ""),
                net.definitions[o] if o in chosen else "",
            ]
        )
        for o in nodes
    ]
    word_lines = [
        "\t".join([word, *("|".join(",".join(map(str, lowest(net.above(o)))) for o in side) for side in senses)])
        for word, senses in words.items()
    ]
    header = {"nodes.tsv": "node\tparents\tlemma\tconcept\tdefinition", "words.tsv": "word\tsenses\tlesser"}
    tables = {"nodes.tsv": node_lines, "words.tsv": word_lines}
    return {file: "\n".join([header[file], *lines, ""]).encode() for file, lines in tables.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    known = card("find_words")
    members: dict[str, bytes] = {}
    for origin in known.origins:
        members |= download(origin)
    different = 0
    for file, content in build(members).items():
        sha256 = hashlib.sha256(content).hexdigest()
        same = sha256 == known.files[file]
        different += not same
        print(f"{file}: {len(content)} bytes, sha256 {sha256}, {'as' if same else 'not as'} on the card")
        if not check:
            (HERE / file).write_bytes(content)
            text = (HERE / "card.toml").read_text(encoding="utf-8")
            text = re.sub(rf'("{re.escape(file)}" = )"\w*"', rf'\1"{sha256}"', text)
            (HERE / "card.toml").write_text(text, encoding="utf-8")
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.exit(main())
