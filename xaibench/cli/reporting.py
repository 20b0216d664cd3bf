"""``xaibench report``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from xaibench.api.reporting import report
from xaibench.cli.output import stderr
from xaibench.core.errors import UsageError
from xaibench.core.storage.paths import default_store


def write_report(
    store: Path | None,
    output: Path,
    *,
    suite: str | None,
    examples: int,
    problems: int,
    curves: bool,
    figures: Path | None,
    pdf: Path | None,
    plugins: list[str] | None,
) -> None:
    """Write the page, and say where it is and how large."""
    if output.is_dir():
        raise UsageError(f"{output} is a folder", "name a file with --output, such as report.html")
    err = stderr()
    with err.status("starting") if err.is_terminal else nullcontext() as shown:
        page = report(
            store or default_store(),
            output,
            suite=suite,
            examples=examples,
            n_problems=problems,
            curves=curves,
            figures=figures,
            pdf=pdf,
            plugins=plugins or (),
            progress=lambda stage: (
                err.print(f"report: {stage}", markup=False) if shown is None else shown.update(stage)
            ),
        )
    said = [f"report: {page} ({page.stat().st_size / 1e6:.1f} MB)"]
    said += [f"figures: {figures}"] if figures else []
    said += [f"figures: {pdf}"] if pdf else []
    err.print("\n".join(said), markup=False, soft_wrap=True)
