"""Critical differences for the page: where the statistics allow them, and why not where they do not."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from xaibench.analysis.ranks.critical_differences import critical_differences, tied_sets
from xaibench.report.labels import number, p_value, variants


@dataclass(frozen=True)
class Diagram:
    """Mean ranks of the explainers of one family over independent problems.

    Attributes
    ----------
    name, title : str
    rows : DataFrame
        ``label, mean_rank``, the best first.
    difference : float
    groups : list of list of str
        Labels that no test separates; only groups of two and more.
    n : int
        Problems.
    sentence : str
        What the diagram says.
    """

    name: str
    title: str
    rows: pd.DataFrame
    difference: float
    groups: list[list[str]]
    n: int
    sentence: str


def diagrams(board: pd.DataFrame) -> tuple[list[Diagram], list[str]]:
    """Diagrams of the families of every suite, and for the others the reasons why there are none."""
    made, reasons = [], []
    for suite, part in board.groupby("suite", sort=False):
        found = critical_differences(part)
        found = found[found["metric"] == ""]
        names = variants(zip(part["explainer"], part["explainer_params"], strict=True))
        refused: dict[str, list[str]] = {}
        for (family, kind, about), rows in found.groupby(["family", "truth_kind", "about"], sort=False):
            said = [str(family).replace("_", " "), *(f"truth: {x}" for x in (kind, about) if x)]
            title = f"{said[0]} ({', '.join(said[1:])})" if said[1:] else said[0]
            reason = rows["reason"].iloc[0]
            if isinstance(reason, str):
                refused.setdefault(reason, []).append(title)
                continue
            labels = [names[key] for key in zip(rows["explainer"], rows["explainer_params"], strict=True)]
            made.append(_diagram(str(suite), title, rows.assign(label=labels)))
        reasons += [f"{suite}, {', '.join(titles)}: {reason}." for reason, titles in refused.items()]
    return made, reasons


def _diagram(suite: str, title: str, rows: pd.DataFrame) -> Diagram:
    labels = rows["label"].tolist()
    groups = [[labels[i] for i in group] for group in tied_sets(rows)]
    n, difference = int(rows["n_datasets"].iloc[0]), float(rows["critical_difference"].iloc[0])
    told = "; ".join(", ".join(names) for names in groups)
    sentence = (
        f"Friedman's test p {_equals(p_value(rows['p_friedman'].iloc[0]))}, critical difference {number(difference)}"
        f" (Nemenyi, 5 %). {f'Not separated by the test: {told}.' if told else 'The test separates all of them.'}"
    )
    return Diagram(f"{suite} {title}", f"{suite}: {title}", rows, difference, groups, n, sentence)


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"
