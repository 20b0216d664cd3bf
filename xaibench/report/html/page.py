"""The page: templates filled with what `content` holds, everything inlined, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from xaibench.report.claims import FEW_CHANGES_NOTE
from xaibench.report.html import (
    audit_tables,
    cost_panel,
    critical,
    feature_tables,
    figures,
    graphs,
    panels,
    pictures,
    series,
    tables,
)
from xaibench.report.html.content import Content
from xaibench.report.html.rows import as_json, board_columns
from xaibench.report.html.summary import summarise
from xaibench.report.model_facts import model_rows
from xaibench.report.overview import LOST_MARK

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = {
    "trust": "Trust", "ranks": "Ranks", "board": "Leaderboard", "cost": "Cost", "curves": "Curves",
    "examples": "Examples", "claims": "Claims", "audit": "Metrics", "agreement": "Agreement",
    "gates": "Gates and failures", "runs": "Provenance",
}  # fmt: skip
"""Sections with their names in the navigation; those without content are left out."""


@dataclass(frozen=True)
class Report:
    """A page, and what draws the figures that it shows, by name."""

    html: str
    figures: dict[str, Callable[[], Figure]]

    def save_figures(
        self, *, folder: Path | None = None, pdf: Path | None = None, tell: Callable[[str], object] = str
    ) -> None:
        """Write every figure as PNG and SVG into a folder, or all of them into one PDF; ``tell`` hears of progress."""
        if folder is not None:
            figures.save(self.figures, folder, tell=tell)
        if pdf is not None:
            tell(f"writing a PDF of {len(self.figures)} figures")
            figures.save_pdf(self.figures, pdf)


def make_report(content: Content, *, live: str = "", refresh: int = 0) -> Report:
    """Fill the page.

    Nothing in it comes from elsewhere, and its policy forbids everything but its own style, its own
    script and pictures that it carries. Names and messages are escaped wherever they stand.

    Parameters
    ----------
    content : Content
    live : str
        How far a run is, for a page that is shown while it goes on.
    refresh : int
        Seconds after which a browser loads the page again; 0 for never.
    """
    environment = _environment()
    environment.filters.update(
        count=_count, breakable=_breakable, by_family=_in_runs("family"), groupby_problem=_in_runs("problem")
    )
    css, js = (_source(name) for name in ("style.css", "report.js"))
    made: dict[str, Callable[[], Figure]] = {}

    def draw(name: str, figure: Figure) -> Markup:
        """Remember a figure for export, and give it as an element."""
        made[name] = lambda: figure
        return Markup(figures.svg(figure, f"f{len(made)}"))

    def remember(name: str, figure: Callable[..., Figure], *args: Any, **options: Any) -> str:
        """Remember what draws a figure for export, and draw nothing now: the page has it in another form."""
        made[name] = partial(figure, *args, **options)
        return ""

    differences, refused = critical.diagrams(content.board)
    ranks, agreements = tables.rank_panels(content.board), audit_tables.shown_agreement(content.agreement)
    audit, claims = audit_tables.audit_listing(content.audit), tables.claim_rows(content.claims)
    gates, failures = tables.gate_rows(content.board), tables.failure_rows(content.cells)
    models = model_rows(content.cells)
    costs = cost_panel.cost_panels(content.board)
    there = {
        "trust": True, "ranks": bool(ranks or differences or refused), "board": len(content.board) > 0,
        "cost": bool(costs), "curves": bool(content.curves), "examples": bool(content.galleries),
        "claims": bool(claims), "audit": audit is not None, "agreement": bool(agreements),
        "gates": bool(gates or failures or models), "runs": True,
    }  # fmt: skip
    html = environment.get_template("report.html").render(
        live=live,
        refresh=refresh,
        policy=_policy(css, js),
        css=Markup(css),
        js=Markup(js),
        content=content,
        suites=[
            summarise(part, content.advice.get(str(name))) for name, part in content.board.groupby("suite", sort=False)
        ],
        board=Markup(as_json(board_columns(content.board))),
        sections=[(id, name, f"{id}.html") for id, name in SECTIONS.items() if there[id]],
        lacking={name: content.notes.get(name, ()) for name in ("examples", "curves") if not there[name]},
        ranks=ranks,
        curves=content.curves,
        galleries=[(g, pictures.is_flat(g), series.is_drawn_as_lines(g)) for g in content.galleries],
        series=series,
        agreements=agreements,
        audit=audit,
        critical=differences,
        no_critical=refused,
        tables=tables,
        claims=claims,
        few=FEW_CHANGES_NOTE,
        costs=costs,
        cost_heads=cost_panel.COST_PANEL_HEADS,
        gates=gates,
        failures=failures,
        models=models,
        runs=[tables.run_facts(m) for m in content.runs],
        statuses=content.cells["status"].value_counts().to_dict(),
        draw=draw,
        remember=remember,
        panels=panels,
        features=feature_tables,
        figures=figures,
        pictures=pictures,
        graphs=graphs,
    )
    for gallery in content.galleries:
        if not pictures.is_flat(gallery):
            made[f"examples {gallery.suite} {gallery.problem}"] = partial(pictures.montage, gallery)
    return Report(html, made)


def message_page(title: str, message: str, *, store: str, refresh: int = 0) -> str:
    """A page of a sentence, in the looks of the report, for what has no results to show."""
    css = _source("style.css")
    template = _environment().get_template("message.html")
    return template.render(
        title=title, message=message, store=store, refresh=refresh, css=Markup(css), policy=_policy(css, "")
    )


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8").strip() + "\n"


def _policy(css: str, js: str) -> str:
    """Content security policy: this style, this script, pictures in the page, nothing else."""

    def allowed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; style-src {allowed(css)}; script-src {allowed(js)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _count(n: int, name: str) -> str:
    return f"{n:,} {name}{'' if n == 1 else 's'}"


def _breakable(label: str) -> Markup:
    """A name that may be broken after its underscores, and not before its mark."""
    return Markup("_<wbr>").join(label.replace(LOST_MARK, f"\u00a0{LOST_MARK.strip()}").split("_"))


def _in_runs(name: str) -> Callable[[list[Any]], list[tuple[Any, list[Any]]]]:
    """Items that follow each other with the same value of an attribute, together."""
    return lambda items: [(key, list(group)) for key, group in groupby(items, key=attrgetter(name))]
