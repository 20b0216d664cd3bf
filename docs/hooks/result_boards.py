"""Pages of published results: what there is, a page per suite with its board, and the index of claims."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd
from result_tables import HIDDEN, Html, drawn_table, link, markdown_text, plain, slug, table

from xaibench.analysis.leaderboard.placebo_outcomes import placebo_outcomes
from xaibench.api.published import CLAIMS, COST, Published, stale_reasons
from xaibench.report.claims import claimed
from xaibench.report.claims_index import OWN, counts, verdict_label
from xaibench.report.html.cost_panel import COST_PANEL_HEADS, cost_panel
from xaibench.report.labels import interval, metric_labels, number, problem_labels, rank_interval, variants

HOW_TO_READ = """\
Every number here was computed by `python results/publish.py SUITE` at the commit that its page names; the pages are
made from the Parquet files in [results/](https://github.com/xaibench/xaibench/tree/main/results) when the site is
built. Intervals are 95 %. Explainers that share a letter in *ties* are not separated by the tests, so that their order
says nothing. *Stale* results were made by an older version of the code or of the suite.
"""


def pages(results: Sequence[Published], index: pd.DataFrame, described: dict[str, str]) -> dict[str, str]:
    """Markdown by path below the documentation's folder."""
    stale = {one.name: stale_reasons(one) for one in results}
    return {
        "results/index.md": _overview(results, stale, described),
        "results/claims.md": _claims_page(index),
        **{f"results/boards/{slug(one.name)}.md": _board_page(one, stale[one.name]) for one in results},
    }


def _overview(results: Sequence[Published], stale: dict[str, list[str]], described: dict[str, str]) -> str:
    rows = []
    for one in results:
        card, verdicts = one.card, one.card.get("verdicts", {})
        told = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
        rows.append(
            (
                Html(link(one.name, f"boards/{slug(one.name)}/")),
                card.get("description", ""),
                told,
                "stale" if stale[one.name] else "current",
                card.get("started", "")[:10],
                card.get("extent", {}).get("problems", ""),
                len(card.get("problem_seeds", [])),
                f"{card.get('seconds', 0):.0f}",
            )
        )
    heads = ("suite", "about", "claims", "state", "run on", "problems", "training seeds", "seconds")
    missing = sorted(set(described) - {one.name for one in results})
    parts = [
        "---\nhide:\n  - toc\n---\n\n# Published results",
        HOW_TO_READ,
        "- [Index of claims](claims.md): every published statement that is tested, with its verdict\n"
        "- [Explainers](explainers/index.md): what is known of each\n"
        "- [Metrics](metrics/index.md): which of them deserve trust",
        "## Boards",
        table(heads, rows, left=5, label="Published boards") if rows else "No results are published yet.",
    ]
    if missing:
        parts.append("## Not run here\n\nShipped suites without published results: " + ", ".join(missing) + ".")
    return "\n\n".join(parts) + "\n"


def _claims_page(index: pd.DataFrame) -> str:
    kinds = ("word", "choice", "number", "interval", "number", "word", "number", "choice", "choice", "word")
    heads = (
        "claim", "verdict", "effect", "95 % interval", "n", "claimed", "turns at", "suite", "paper",
        "what would change it",
    )  # fmt: skip
    rows = [
        [
            f"{row['id']}: {row['statement']}",
            verdict_label(row),
            plain(row["effect"]),
            [plain(row["ci_low"]), plain(row["ci_high"])],
            plain(row["n"]) or None,
            claimed(row["direction"], row["margin"]),
            plain(row["critical_margin"]),
            row["suite"],
            row["papers"] if isinstance(row["papers"], str) else OWN,
            row["would_change"] if isinstance(row["would_change"], str) else plain(row["message"]),
        ]
        for row in index.to_dict("records")
    ]
    text = (
        "Every claim of every shipped suite is a test with a margin that its suite file fixes. *Reproduced* and "
        "*refuted* need the test and the 95 % interval beyond that margin; everything else is *inconclusive*. "
        "*Turns at* is the margin at which the verdict would be another one. `xaibench claims --all` prints the same."
    )
    label = "Index of claims"
    return "\n\n".join(
        [f"{HIDDEN}# {label}", text, counts(index), drawn_table(_pairs(heads, kinds), rows, label=label)]
    )


def _pairs(heads: Sequence[str], kinds: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(heads, kinds, strict=True))


def _board_page(one: Published, stale: list[str]) -> str:
    card = one.card
    parts = [f"{HIDDEN}# {one.name}", str(card.get("description", ""))]
    if stale:
        parts.append(f'!!! warning "Stale"\n\n    Made by older code: {"; ".join(stale)}.')
    parts += [_listed("What to conclude", card.get("conclude", []))]
    parts += [_listed("What not to conclude", card.get("not_conclude", []))]
    cost = one.table(COST)
    panel = None if cost is None else cost_panel(one.name, cost)
    if panel is not None:
        rows = [(Html(_explainer(row[0])), *row[1:]) for row in panel.rows]
        figure = f'<div class="xb-plot" role="img" aria-label="{escape(panel.sentence)}">{panel.figure}</div>'
        parts += [
            "## Quality and cost",
            panel.sentence,
            figure,
            table(COST_PANEL_HEADS, rows, label="Quality and cost"),
        ]
    claims = one.table(CLAIMS)
    if claims is not None and len(claims):
        parts += ["## Claims", _claims(claims)]
    parts += ["## Leaderboard", _board(one.board)]
    parts += ["## How it was made", _made(card)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _explainer(label: str) -> str:
    return link(label, f"../../explainers/{slug(label.partition('(')[0])}/")


def _listed(title: str, sentences: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {markdown_text(s)}" for s in sentences) if sentences else ""


def _claims(claims: pd.DataFrame) -> str:
    rows = [
        (
            f"{row['id']}: {row['statement']}",
            row["verdict"],
            row["would_change"] if isinstance(row["would_change"], str) else plain(row["message"]) or "",
            number(row["effect"]),
            interval(row["ci_low"], row["ci_high"]),
            row["n"],
            claimed(row["direction"], row["margin"]),
        )
        for row in claims.to_dict("records")
    ]
    heads = ("claim", "verdict", "what would change it", "effect", "95 % interval", "n", "claimed")
    return table(heads, rows, left=3, label="Claims")


def _board(board: pd.DataFrame) -> str:
    names = variants(zip(board["explainer"], board["explainer_params"], strict=True))
    metrics = metric_labels(board)
    outcomes = placebo_outcomes(board)
    rows: list[list[Any]] = []
    problems = problem_labels(board)
    for row, problem, outcome in zip(board.to_dict("records"), problems, outcomes, strict=True):
        if row["status"] != "ok" and pd.isna(row["value"]):
            continue
        label = names[row["explainer"], row["explainer_params"]]
        rows.append(
            [
                f"{label} (control)" if row["control"] else label,
                metrics[row["metric"], row["params"], row["asked_output"]] + ("" if row["higher_is_better"] else " ↓"),
                problem,
                row["family"],
                plain(row["value"]),
                [plain(row["ci_low"]), plain(row["ci_high"])],
                rank_interval(row["rank_low"], row["rank_high"]) or plain(row["rank"]),
                plain(row["tie_group"]),
                outcome,
                plain(row["explain_seconds"], 3),
                plain(row["score_seconds"], 3),
                _megabytes(row.get("explain_memory")),
                row["n"],
            ]
        )
    heads = (
        "explainer", "metric", "problem", "family", "value", "95 % interval", "rank", "ties", "placebos",
        "explaining, s", "scoring, s", "memory, MB", "n",
    )  # fmt: skip
    kinds = (
        "choice", "choice", "choice", "choice", "number", "interval", "rank", "word", "choice", "number", "number",
        "number", "number",
    )  # fmt: skip
    return drawn_table(_pairs(heads, kinds), rows, label="Leaderboard")


def _megabytes(size: Any) -> float | None:
    return None if size is None or size != size else round(float(size) / 1e6, 1)


def _made(card: dict[str, Any]) -> str:
    machine = card.get("machine", {})
    facts = {
        "command": card.get("command", ""),
        "commit": card.get("commit", "")[:10],
        "version": card.get("version", ""),
        "run on": card.get("started", "").replace("T", " "),
        "seconds": card.get("seconds", ""),
        "machine": f"{machine.get('processor', '')}, {machine.get('cores', '')} cores",
        "threads": machine.get("threads", ""),
        "seeds": ", ".join(map(str, card.get("seeds", []))),
        "training seeds": ", ".join(map(str, card.get("problem_seeds", []))),
        "intervals hold": card.get("about", ""),
        "packages": ", ".join(f"{k} {v}" for k, v in card.get("packages", {}).items()),
    }
    return table(("", "value"), facts.items(), left=2, label="How it was made")
