"""Reference page of the shipped suites: what each of them holds."""

from __future__ import annotations

from pathlib import Path

import numpydoc

from xaibench import suite as suites

PAGES = Path(__file__).parents[1] / "suites"


def pages() -> dict[str, str]:
    """Markdown by path below the documentation's folder."""
    parts = [
        "# Shipped suites",
        "`xaibench run NAME` runs one, `xaibench show NAME` prints its file, `xaibench plan NAME` counts its cells.",
    ]
    rows = [_row(name) for name in sorted(suites.available())]
    parts.append(numpydoc.table(["suite", "what it is for", "problems", "explainers", "metrics", "claims"], rows))
    return {"reference/suites.md": "\n\n".join(parts) + "\n"}


def _row(name: str) -> list[object]:
    suite = suites.load(name)
    matrices = list(suite.matrices())
    problems = sum(len(getattr(p, "models", [p])) for m in matrices for p in m.problems)
    explainers = {(e.name, str(e.params), str(e.grid)) for m in matrices for e in (*m.explainers, *m.interpreters)}
    metrics = {(e.name, str(e.params), str(e.grid)) for m in matrices for e in m.metrics}
    names = (name, name.partition("-")[0], name.removesuffix("_full"))
    page = next((n for n in names if (PAGES / f"{n}.md").is_file()), None)
    shown = f"[{name}](../suites/{page}.md)" if page else name
    return [shown, suite.description, problems, len(explainers), len(metrics), len(suite.all_claims())]
