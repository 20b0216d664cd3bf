"""Does `quick` rank explainers like `nightly`? ``python tests/bench/bench_quick_choice.py QUICK FULL [OTHER ...]``.

QUICK and FULL are boards (``leaderboard.parquet``) or stores; FULL is a run of nightly's own problems and metrics, and
the others are runs of it on other problem seeds. Prints the rank correlations of the explainers' order in quick with
that in the full run, family by family, with intervals over data sets, and what the best pairs of problem and metric
within quick's cost reach on data that they were not chosen on. docs/concepts/quick.md shows the output.

The order in a family is that of mean relative ranks as in `xaibench.overall`: metrics of one construct and masker have
one vote, problems on one data set count together. Families in which fewer than four explainers can be ordered are left
out; where the pairs that are compared have no metric of a family, its correlation counts as 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats as sps

import xaibench as xb
from xaibench.analysis.leaderboard.columns import ENTRY, PROBLEM

Array = np.ndarray[Any, Any]
Pair = tuple[str, ...]
PAIR = [*PROBLEM, "family", "truth_kind", "about", "construct", "masker", "metric", "params", "asked_output"]
AT = {name: i for i, name in enumerate(PAIR)}
DRAWS = 300
LEAST = 4


def board_of(path: Path) -> pd.DataFrame:
    """Rows of explainers that have a rank."""
    board = pd.read_parquet(path) if path.suffix == ".parquet" else xb.leaderboard(path)
    found = board[~board["control"].astype(bool) & board["rank"].notna()].copy()
    for column in PAIR:
        found[column] = found[column].fillna("").astype(str)
    found["selection"] = ""  # runs on few samples are about the same problem
    found["family"] = found["family"] + np.where(found["about"] == "weights", " (weights)", "")
    return found


def places_of(board: pd.DataFrame, entries: Sequence[str]) -> pd.DataFrame:
    """Relative places (0 best) of the explainers, a row per pair of problem and metric; NaN where one has none."""
    wide = board.assign(entry=board[ENTRY].agg(" ".join, axis=1)).pivot_table(
        index=PAIR, columns="entry", values="rank", aggfunc="first"
    )
    ranks = wide.reindex(columns=list(entries)).rank(axis=1)
    ranks = ranks[ranks.notna().sum(axis=1) >= LEAST]
    return (ranks.sub(1)).div(ranks.notna().sum(axis=1) - 1, axis=0)


def costs_of(board: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Seconds of scoring by pair, and of explaining by problem."""
    scoring = board.groupby(PAIR)["score_seconds"].sum()
    once = board.groupby([*PROBLEM, *ENTRY])["explain_seconds"].max()
    return scoring, once.groupby(level=list(range(len(PROBLEM)))).sum()


class Ranking:
    """Places of explainers by family and problem, of some pairs, for means over problems with weights."""

    def __init__(self, places: pd.DataFrame, families: Sequence[str]) -> None:
        votes = places.groupby(level=[*PROBLEM, "family", "construct", "masker"]).mean()
        self.problems = votes.groupby(level=[*PROBLEM, "family"]).mean()
        self.families = families

    def vectors(self, weights: pd.Series | None = None) -> dict[str, Array]:
        """By family: mean place over data sets of the mean over their problems; problems count ``weights`` times."""
        found = {}
        for family in self.families:
            if family not in self.problems.index.get_level_values("family"):
                continue
            part = self.problems.xs(family, level="family")
            data = part.groupby(level="dataset").mean()
            w = np.ones(len(data)) if weights is None else weights.reindex(data.index).fillna(0).to_numpy()
            known = data.notna().to_numpy() * w[:, None]
            with np.errstate(invalid="ignore"):
                found[family] = np.nansum(data.to_numpy() * known, axis=0) / np.where(
                    known.sum(0) > 0, known.sum(0), np.nan
                )
        return found


def correlations(a: dict[str, Array], b: dict[str, Array]) -> dict[str, tuple[float, float]]:
    """Spearman's and Kendall's correlation by family of b; 0 where a says nothing about it."""
    found = {}
    for family, target in b.items():
        own = a.get(family, np.full_like(target, np.nan))
        both = np.isfinite(own) & np.isfinite(target)
        if np.isfinite(target).sum() < LEAST or len(set(target[both])) < 2:
            if np.isfinite(target).sum() >= LEAST:
                found[family] = (0.0, 0.0)
            continue
        if both.sum() < LEAST or len(set(own[both])) < 2:
            found[family] = (0.0, 0.0)
            continue
        found[family] = (
            float(sps.spearmanr(own[both], target[both]).statistic),
            float(sps.kendalltau(own[both], target[both]).statistic),
        )
    return found


def mean_of(found: dict[str, tuple[float, float]]) -> Array:
    return np.array(list(found.values())).mean(axis=0) if found else np.full(2, np.nan)


MEAN = "mean over families"


def intervals(chosen: Ranking, target: Ranking, rng: np.random.Generator) -> dict[str, Array]:
    """95 % intervals (2, 2), low and high by statistic, when the target's data sets are drawn anew; the mean's too."""
    names = sorted(set(target.problems.index.get_level_values("dataset")))
    own = chosen.vectors()
    drawn: dict[str, list[Array]] = {}
    for _ in range(DRAWS):
        weights = pd.Series(rng.multinomial(len(names), np.full(len(names), 1 / len(names))), index=names)
        found = correlations(own, target.vectors(weights))
        for family, values in ((MEAN, mean_of(found)), *found.items()):
            drawn.setdefault(family, []).append(np.array(values))
    return {family: np.nanquantile(np.array(values), [0.025, 0.975], axis=0) for family, values in drawn.items()}


class Growing:
    """The order of a growing set of pairs, family by family, and its correlations with a target."""

    def __init__(self, target: dict[str, Array]) -> None:
        self.target = target
        self.votes: dict[str, dict[tuple[str, ...], list[Array]]] = {}
        self.found = dict.fromkeys(target, -0.0)

    def vector(self, family: str, pair: Pair, places: Array) -> Array:
        """Mean places of a family with one pair more."""
        levels = {key: list(rows) for key, rows in self.votes.get(family, {}).items()}
        levels.setdefault(_vote(pair), []).append(places)
        data: dict[str, dict[tuple[str, ...], list[Array]]] = {}
        for key, rows in levels.items():
            data.setdefault(key[0], {}).setdefault(key[: len(PROBLEM)], []).append(_mean(rows))
        return _mean([_mean([_mean(votes) for votes in problems.values()]) for problems in data.values()])

    def value(self, pair: Pair, places: Array) -> tuple[float, float]:
        """Mean Spearman correlation over families with one pair more, and that of its family."""
        family = pair[AT["family"]]
        if family not in self.target:
            return sum(self.found.values()) / len(self.found), 0.0
        own = correlations({family: self.vector(family, pair, places)}, {family: self.target[family]})
        rho = own.get(family, (0.0, 0.0))[0]
        return (sum(self.found.values()) - self.found[family] + rho) / len(self.found), rho

    def add(self, pair: Pair, places: Array) -> None:
        """Take a pair."""
        if pair[AT["family"]] in self.target:
            self.found[pair[AT["family"]]] = self.value(pair, places)[1]
        self.votes.setdefault(pair[AT["family"]], {}).setdefault(_vote(pair), []).append(places)


def _vote(pair: Pair) -> tuple[str, ...]:
    """Problem, construct and masker of a pair."""
    return (*_problem(pair), pair[AT["construct"]], pair[AT["masker"]])


def _problem(pair: Pair) -> tuple[str, ...]:
    """Data set, model and selection of a pair."""
    return pair[: len(PROBLEM)]


def _mean(rows: list[Array]) -> Array:
    """Mean over rows, without what is missing."""
    stacked = np.array(rows)
    known = np.isfinite(stacked)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known, stacked, 0.0).sum(axis=0) / known.sum(axis=0))


def greedy(
    places: pd.DataFrame, costs: tuple[pd.Series, pd.Series], target: dict[str, Array], budget: float
) -> list[Pair]:
    """Pairs one after the other within the budget, each the one that raises the mean Spearman correlation most."""
    scoring, explaining = costs[0].to_dict(), costs[1].to_dict()
    rows = dict(zip(places.index.tolist(), places.to_numpy(), strict=True))
    chosen: list[Pair] = []
    opened: set[Pair] = set()
    state, spent, best = Growing(target), 0.0, -2.0
    while True:
        step: tuple[float, float, Pair] | None = None
        for pair, own in rows.items():
            extra = float(scoring[pair]) + (0.0 if _problem(pair) in opened else float(explaining[_problem(pair)]))
            if pair in chosen or spent + extra > budget:
                continue
            value = state.value(pair, own)[0]
            if step is None or (value, -extra) > step[:2]:
                step = (value, -extra, pair)
        if step is None or step[0] <= best + 1e-9:
            return chosen
        best, spent = step[0], spent - step[1]
        state.add(step[2], rows[step[2]])
        chosen.append(step[2])
        opened.add(_problem(step[2]))


def total(pairs: Iterable[Pair], costs: tuple[pd.Series, pd.Series]) -> float:
    scoring, explaining = costs
    pairs = list(pairs)
    return float(scoring.reindex(pd.MultiIndex.from_tuples(pairs)).sum()) + sum(
        float(explaining[problem]) for problem in {_problem(p) for p in pairs}
    )


def _say(title: str, values: Array, bounds: Array) -> None:
    """Spearman's and Kendall's correlation with their intervals, in a line."""
    said = (
        f"{n} {v:.2f} [{low:.2f}, {high:.2f}]" for n, v, low, high in zip(("rho", "tau"), values, *bounds, strict=True)
    )
    print(f"  {title:<28}  {'  '.join(said)}")


def main() -> None:
    """Print correlations and what a search finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quick", type=Path)
    parser.add_argument("full", type=Path)
    parser.add_argument("others", type=Path, nargs="*")
    parser.add_argument("--no-search", action="store_true", help="print the correlations only")
    arguments = parser.parse_args()
    quick, full, *others = (board_of(path) for path in (arguments.quick, arguments.full, *arguments.others))
    entries = sorted(set(quick[ENTRY].agg(" ".join, axis=1)) & set(full[ENTRY].agg(" ".join, axis=1)))
    places, own = places_of(full, entries), places_of(quick, entries)
    families = sorted(set(places.index.get_level_values("family")))
    rng = np.random.default_rng(0)
    print(f"{len(entries)} explainers; quick: {len(own)} pairs of problem and metric, full: {len(places)}")
    in_quick = set(zip(*(own.index.get_level_values(c) for c in PROBLEM), strict=True))
    new = places[[_problem(key) not in in_quick for key in places.index]]
    chosen = Ranking(own, families)
    targets = {"all of the full run": places, "problems that quick lacks": new}
    targets |= {f"seed of {path.name}": places_of(b, entries) for path, b in zip(arguments.others, others, strict=True)}
    for title, part in targets.items():
        if part.empty:
            continue
        target = Ranking(part, families)
        found = correlations(chosen.vectors(), target.vectors())
        print(f"\nquick and {title} ({len(part)} pairs)")
        bounds = intervals(chosen, target, rng)
        for family, values in ((MEAN, mean_of(found)), *found.items()):
            _say(family, np.array(values), bounds[family])
    if not arguments.no_search:
        _search(places, own, full, families, rng)


def _search(
    places: pd.DataFrame, own: pd.DataFrame, full: pd.DataFrame, families: list[str], rng: np.random.Generator
) -> None:
    """Leave one data set out: search on the others, compare with quick's pairs on the one left out."""
    costs = costs_of(full)
    ours = [pair for pair in places.index if pair in set(own.index)]
    budget = total(ours, costs)
    print(f"\nsearch: quick's pairs in the full run: {len(ours)} of {len(own)}, {budget:.1f} s")
    print("left out              quick's pairs on other data    searched   at random (90 %)   pairs    s")
    gains = []
    for left in sorted(set(places.index.get_level_values("dataset"))):
        here = places.index.get_level_values("dataset") == left
        rest, held = places[~here], Ranking(places[here], families).vectors()
        limit = total([p for p in ours if p[0] != left], costs)
        pairs = greedy(rest, costs, Ranking(rest, families).vectors(), limit)
        base = Ranking(places.loc[[p for p in ours if p[0] != left]], families)
        a = mean_of(correlations(base.vectors(), held))[0]
        b = mean_of(correlations(Ranking(rest.loc[pairs], families).vectors(), held))[0]
        drawn = [_random(rest, costs, limit, held, families, rng) for _ in range(30)]
        low, high = np.quantile(drawn, [0.05, 0.95])
        gains.append(b - a)
        said = f"{low:.2f} to {high:.2f}      {len(pairs):5d}  {total(pairs, costs):5.1f}"
        print(f"{left:<22}  {a:27.2f}  {b:10.2f}   {said}")
    mean, half = np.mean(gains), sps.t.ppf(0.975, len(gains) - 1) * np.std(gains, ddof=1) / np.sqrt(len(gains))
    print(f"searched - quick on data sets left out: {mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]")


def _random(
    places: pd.DataFrame, costs: tuple[pd.Series, pd.Series], limit: float, held: dict[str, Array], families: list[str],
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """Mean Spearman correlation of pairs drawn at random within the budget."""
    pairs: list[Pair] = []
    spent, opened = 0.0, set()
    for at in rng.permutation(len(places)):
        pair = places.index[at]
        extra = float(costs[0][pair]) + (0.0 if _problem(pair) in opened else float(costs[1][_problem(pair)]))
        if spent + extra <= limit:
            pairs.append(pair)
            spent += extra
            opened.add(_problem(pair))
    return float(mean_of(correlations(Ranking(places.loc[pairs], families).vectors(), held))[0])


if __name__ == "__main__":
    main()
