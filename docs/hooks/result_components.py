"""Pages of what is known of every explainer and of every metric, from published results and from the claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from result_tables import HIDDEN, Html, frame_of, link, markdown_text, plain, slug, table

from xaibench.analysis.leaderboard.placebo_outcomes import BEATS, LOSES, TOO_FEW, UNDECIDED, placebo_outcomes
from xaibench.api.published import ADVICE, AUDIT, COST, Published
from xaibench.report.labels import (
    interval,
    memory_label,
    metric_labels,
    number,
    problem_labels,
    time_label,
    variants,
)
from xaibench.suite import Claim, ScoreSelection

MOST_ROWS = 40
KINDS = {
    "use": "use", "also": "supported, behind or slower", "avoid": "do not use", "undecided": "undecided",
    "untested": "not tested",
}  # fmt: skip


def pages(results: Sequence[Published], index: pd.DataFrame, claims: Mapping[str, Sequence[Claim]]) -> dict[str, str]:
    """Markdown by path below the documentation's folder."""
    boards = _boards(results)
    verdicts = {row["id"]: row for row in index.to_dict("records")}
    about = {side: _claims_by(claims, verdicts, side) for side in ("explainer", "metric")}
    explainers = _Explainers(boards, frame_of(results, COST), frame_of(results, ADVICE), about["explainer"])
    metrics = _Metrics(boards, frame_of(results, AUDIT), about["metric"])
    return {**explainers.pages(), **metrics.pages()}


def _boards(results: Sequence[Published]) -> pd.DataFrame:
    """All published boards, with labels and the outcome of the placebo tests."""
    frames = []
    for one in results:
        board = one.board
        names = variants(zip(board["explainer"], board["explainer_params"], strict=True))
        labels = metric_labels(board)
        keys = zip(board["metric"], board["params"], board["asked_output"], strict=True)
        frames.append(
            board.assign(
                suite=one.name,
                label=[names[k] for k in zip(board["explainer"], board["explainer_params"], strict=True)],
                metric_label=[labels[key] for key in keys],
                problem=problem_labels(board),
                outcome=placebo_outcomes(board),
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["explainer", "metric", "control"])


def _claims_by(
    claims: Mapping[str, Sequence[Claim]], verdicts: Mapping[str, Any], side: str
) -> dict[str, list[dict[str, Any]]]:
    """Rows of the index by the explainers, or the metrics, that the claims name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for made in claims.values():
        for claim in made:
            names: dict[str, None] = {}
            for selection in (claim.left, claim.right):
                names |= dict.fromkeys(_named(selection, side))
            for name in names:
                found.setdefault(name, []).append(verdicts[claim.id])
    return found


def _named(selection: ScoreSelection | None, side: str) -> Iterable[str]:
    """Names that a selection gives, without parameters and trailing stars; patterns are about no one in particular."""
    for glob in getattr(selection, side, ()) or ():
        name = str(glob).partition("(")[0].rstrip("*")
        if name and not any(c in name for c in "*?["):
            yield name


class _Explainers:
    def __init__(
        self, boards: pd.DataFrame, costs: pd.DataFrame, advice: pd.DataFrame, claims: dict[str, list[dict[str, Any]]]
    ) -> None:
        on_boards = boards.loc[~boards["control"].astype(bool), "explainer"].unique() if len(boards) else []
        self.names = sorted({*on_boards, *claims})
        self.boards = dict(list(boards.groupby("explainer"))) if len(boards) else {}
        self.costs = dict(list(costs.groupby("explainer"))) if len(costs) else {}
        self.kinds = {
            (str(row["suite"]), str(label)): KINDS[row["kind"]]
            for row in advice.to_dict("records")
            if row["kind"] in KINDS
            for label in row["explainers"]
        }
        self.claims = claims

    def pages(self) -> dict[str, str]:
        made = {f"results/explainers/{slug(name)}.md": self._page(name) for name in self.names}
        return {"results/explainers/index.md": self._index(), **made}

    def _index(self) -> str:
        rows = []
        for name in self.names:
            own = self.boards.get(name)
            counts = {} if own is None else own["outcome"].value_counts()
            cost = self.costs.get(name)
            seconds = "" if cost is None else time_label(float(cost["seconds"].median()))
            rows.append(
                (
                    Html(link(name, f"{slug(name)}/")),
                    *(counts.get(o, 0) for o in (BEATS, LOSES, UNDECIDED)),
                    len(self.claims.get(name, ())),
                    seconds,
                )
            )
        heads = ("explainer", "beats placebos", "loses to one", "undecided", "claims", "seconds a sample (median)")
        text = (
            "Tests against every placebo, over all published boards: one per problem and metric of faithfulness and "
            "ground truth. Suites differ in what they ask: counts say where to read on, and not which explainer "
            "is best."
        )
        return f"{HIDDEN}# What is known of explainers\n\n{text}\n\n" + table(heads, rows, label="Explainers") + "\n"

    def _page(self, name: str) -> str:
        own = self.boards.get(name)
        parts = [f"{HIDDEN}# {markdown_text(name)}", "What published results say of it, suite by suite."]
        if own is None:
            parts.append("It is on no published board.")
        else:
            parts += ["## Suites", self._suites(name, own)]
            parts += self._tests("Where it beats every placebo", own[own["outcome"] == BEATS])
            parts += self._tests("Where it loses to a placebo", own[own["outcome"] == LOSES])
            parts += self._failures(own)
        parts += _claims_section(self.claims.get(name, []))
        return "\n\n".join(parts) + "\n"

    def _suites(self, name: str, own: pd.DataFrame) -> str:
        rows = []
        costs = self.costs.get(name, pd.DataFrame())
        at = {(c["suite"], c["explainer_params"]): c for c in costs.to_dict("records")}
        for (suite, label, params), part in own.groupby(["suite", "label", "explainer_params"], sort=False):
            cost = at.get((suite, params), {})
            tests = part["outcome"].value_counts()
            rows.append(
                (
                    Html(link(suite, f"../../boards/{slug(str(suite))}/")),
                    self.kinds.get((str(suite), str(label)), ""),
                    label,
                    number(cost.get("relative_rank")),
                    interval(cost.get("ci_low", float("nan")), cost.get("ci_high", float("nan"))),
                    *(tests.get(o, 0) for o in (BEATS, LOSES, UNDECIDED, TOO_FEW)),
                    time_label(cost.get("seconds", float("nan"))),
                    memory_label(cost.get("memory", float("nan"))),
                    "yes" if cost.get("pareto") else "",
                )
            )
        heads = (
            "suite", "advice", "variant", "relative rank", "95 % interval", "beats placebos", "loses", "undecided",
            "too few samples", "seconds a sample", "peak memory", "Pareto front",
        )  # fmt: skip
        note = "\n\nThe relative rank is 0 for the best and 1 for the worst of a suite; it needs common ground."
        return table(heads, rows, left=3, label="Suites") + note

    def _tests(self, title: str, part: pd.DataFrame) -> list[str]:
        if part.empty:
            return []
        ordered = part.reindex(part["placebo_effect"].abs().sort_values(ascending=False, kind="stable").index)
        rows = [
            (
                r["suite"],
                r["problem"],
                r["metric_label"],
                r["placebo"],
                number(r["value"]),
                number(r["placebo_value"]),
                number(r["placebo_effect"]),
                r["n"],
            )
            for r in ordered.head(MOST_ROWS).to_dict("records")
        ]
        heads = ("suite", "problem", "metric", "best placebo", "value", "placebo's value", "effect", "n")
        more = len(part) - len(rows)
        note = f"\n\n{more} more are on the boards." if more > 0 else ""
        return [f"## {title}", table(heads, rows, left=4, label=title) + note]

    def _failures(self, own: pd.DataFrame) -> list[str]:
        part = own[own["status"].isin(("failed", "undefined", "unsupported"))]
        counted = part.groupby(["suite", "status", part["message"].fillna("")], sort=False).size()
        rows = [(suite, status, message, n) for (suite, status, message), n in counted.items()][:MOST_ROWS]
        if not rows:
            return []
        return [
            "## Where it has no score",
            table(("suite", "status", "why", "rows of the board"), rows, left=3, label="Without score"),
        ]


class _Metrics:
    def __init__(self, boards: pd.DataFrame, audit: pd.DataFrame, claims: dict[str, list[dict[str, Any]]]) -> None:
        on_boards = boards["metric"].unique() if len(boards) else []
        audited = audit["metric"].unique() if len(audit) else []
        self.names = sorted({*on_boards, *audited, *claims})
        self.boards = dict(list(boards.groupby("metric"))) if len(boards) else {}
        self.audit = dict(list(audit.groupby("metric"))) if len(audit) else {}
        self.claims = claims

    def pages(self) -> dict[str, str]:
        made = {f"results/metrics/{slug(name)}.md": self._page(name) for name in self.names}
        return {"results/metrics/index.md": self._index(), **made}

    def _index(self) -> str:
        rows = []
        for name in self.names:
            own, audited = self.boards.get(name), self.audit.get(name)
            verdicts = "" if audited is None else _counted(audited["verdict"])
            scored = pd.DataFrame() if own is None else own[own["n"] > 0]
            rows.append(
                (
                    Html(link(name, f"{slug(name)}/")),
                    "" if own is None else str(own["family"].iloc[0]).replace("_", " "),
                    verdicts or "not audited here",
                    0 if own is None else own["suite"].nunique(),
                    len(self.claims.get(name, ())),
                    time_label(float(scored["score_seconds"].median())) if len(scored) else "",
                )
            )
        heads = ("metric", "family", "audit, by problem", "suites", "claims", "seconds a scoring (median)")
        text = (
            "The [audit](../../concepts/audit.md) asks of a metric on a problem whether it distinguishes the truth "
            "from noise, whether it repeats, and what else it depends on."
        )
        return (
            f"{HIDDEN}# Which metrics deserve trust\n\n{text}\n\n" + table(heads, rows, left=3, label="Metrics") + "\n"
        )

    def _page(self, name: str) -> str:
        own, audited = self.boards.get(name), self.audit.get(name)
        parts = [f"{HIDDEN}# {markdown_text(name)}"]
        if audited is None:
            parts.append("It is part of no published audit; `xaibench run audit` and `xaibench audit` judge metrics.")
        else:
            rows = [
                (r["suite"], f"{r['dataset']}/{r['model']}", r["verdict"], r["diagnosis"] or "", number(r["trust"]))
                for r in audited.to_dict("records")
            ]
            parts += [
                "## Audit",
                table(("suite", "problem", "verdict", "diagnosis", "trust"), rows, left=4, label="Audit"),
            ]
        if own is not None:
            parts += ["## Boards", self._boards(own)]
        parts += _claims_section(self.claims.get(name, []))
        return "\n\n".join(parts) + "\n"

    def _boards(self, own: pd.DataFrame) -> str:
        rows = []
        for (suite, label), part in own.groupby(["suite", "metric_label"], sort=False):
            tests = part.loc[~part["control"].astype(bool), "outcome"].value_counts()
            memory_of = part["score_memory"].max() if "score_memory" in part else float("nan")
            rows.append(
                (
                    Html(link(suite, f"../../boards/{slug(str(suite))}/")),
                    label,
                    part["problem"].nunique(),
                    *(tests.get(o, 0) for o in (BEATS, LOSES, UNDECIDED)),
                    int(part["n_undefined"].sum()),
                    time_label(float(part["score_seconds"].median())),
                    memory_label(float(memory_of)),
                )
            )
        heads = (
            "suite", "variant", "problems", "explainers beat placebos", "lose to one", "undecided", "undefined scores",
            "seconds a scoring", "peak memory",
        )  # fmt: skip
        return table(heads, rows, left=2, label="Boards")


def _counted(values: pd.Series[Any]) -> str:
    return ", ".join(f"{n} {v}" for v, n in values.value_counts().items())


def _claims_section(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    told = [
        (
            f"{row['id']}: {row['statement']}",
            row["verdict"] + (" (outdated)" if row["state"] == "outdated" else ""),
            row["papers"] if isinstance(row["papers"], str) else "xaibench",
            number(row["effect"]),
            interval(row["ci_low"], row["ci_high"]),
            plain(row["n"]) or "",
        )
        for row in rows
    ]
    heads = ("claim", "verdict", "paper", "effect", "95 % interval", "n")
    return ["## Claims about it", table(heads, told, left=3, label="Claims")]
