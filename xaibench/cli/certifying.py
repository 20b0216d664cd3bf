"""``xaibench certify``: would an explanation show that a model of this kind cheats?"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from xaibench.api.certify_explainers import shown_name
from xaibench.api.certify_request import CertifyRequest, read_request
from xaibench.cli.arguments import workers_from
from xaibench.cli.output import duration, print_json, stderr, stdout
from xaibench.cli.running import CELLS_FAILED
from xaibench.core import registry
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.program_specs import is_control
from xaibench.core.trust import trust_files, trusted_digests

if TYPE_CHECKING:
    from xaibench.api.certify_suite import PreparedCertificate
    from xaibench.api.certifying import Certification

ANSWERED, ABOVE, NOTHING_PROVED = 0, 1, 4
LONG = 30 * 60
"""Seconds of fitting from which on the command asks for --yes."""


def certify_command(
    given: Mapping[str, Any],
    *,
    file: str | None,
    store: Path | None,
    workers: str,
    trust: Sequence[str],
    fail_above: Sequence[str],
    yes: bool,
    json: bool,
    quiet: bool,
    output: Path | None,
) -> int:
    """Certify and report; returns the exit code."""
    request = read_request(given, file)
    limits = limits_from(fail_above)
    trust_files([*trust, *_own_files(request)])
    n_workers = workers_from(workers)
    from xaibench.api.certifying import certificate_document, certify_request
    from xaibench.cli.progress import observer_for
    from xaibench.execution import Options

    options = Options(workers=n_workers, trusted=tuple(sorted(trusted_digests())), argv=sys.argv)
    found = certify_request(
        request,
        options,
        store=store,
        watch=lambda plan, opened: observer_for(stderr(), quiet=quiet or json, workers=n_workers),
        tell=lambda prepared: _announce(prepared, limits, yes=yes, quiet=quiet or json),
    )
    above = exceeded(found, limits)
    if json:
        print_json({**certificate_document(found), "above": above})
    else:
        _print(found, above)
    if output is not None:
        from xaibench.api.certify_page import write_page

        write_page(found, output)
        stderr().print(f"report page: {output}", markup=False, soft_wrap=True)
    if not found.proved:
        return CELLS_FAILED if found.n_failed and not any(c.gates for c in found.copy_set.copies) else NOTHING_PROVED
    if above:
        return ABOVE
    return CELLS_FAILED if found.n_failed else ANSWERED


def _own_files(request: CertifyRequest) -> list[Path]:
    """The file of data that the command line itself names: it may lie anywhere."""
    path = Path(request.data).expanduser()
    return [path] if path.is_file() else []


def _announce(prepared: PreparedCertificate, limits: Mapping[str, float], *, yes: bool, quiet: bool) -> None:
    """Say how many fits there will be and how long the original took.

    Raises
    ------
    UsageError
        If fitting alone would take more than half an hour, and that was not agreed to; or if a limit is about an
        explainer that is not certified.
    """
    named = [shown_name(entry) for entry in prepared.suite["explainers"]]
    controls = [spec.name for spec in registry.components("explainer") if is_control(spec)]
    for name in limits:
        known = [*named, *controls]
        if name.partition("(")[0] not in known and not any(set("*?[") & set(one) for one in named):
            raise UsageError(f"--fail-above names {name}, which is not certified", did_you_mean(name, named))
    seconds = prepared.n_fits * prepared.fit_seconds
    plan = (
        f"{prepared.n_fits} copies are fitted ({prepared.request.copies} x {len(prepared.request.all_levels)} levels), "
        f"about {duration(seconds)}; the original took {duration(prepared.fit_seconds)}"
    )
    if seconds > LONG and not yes:
        raise UsageError(plan, "add --yes to do so, or take --copies 1 --levels 0,1")
    if not quiet:
        stderr().print(plan, markup=False, highlight=False, soft_wrap=True)
        for note in prepared.notes:
            stderr().print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def _print(found: Certification, above: Sequence[str]) -> None:
    from xaibench.api.certify_page import certificate_text
    from xaibench.report.certificate import certificate_screen

    out = stdout()
    out.print(certificate_screen(certificate_text(found), found.thresholds, found.copies))
    lines = [
        f"left out: level {level:g}, copy {number}: {'; '.join(reasons)}"
        for level, number, reasons in found.certificate.failures
    ]
    if found.n_failed:
        lines.append(f"{found.n_failed} cells failed: `xaibench doctor {found.store} --tracebacks`")
    lines += above
    lines.append(f"Certificate: {found.store}/{found.folder} (certify.parquet, thresholds.parquet, suite.toml)")
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def limits_from(given: Sequence[str]) -> dict[str, float]:
    """Limits of thresholds from ``EXPLAINER=NUMBER``.

    Raises
    ------
    UsageError
        If one of them is not of that form.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            if not (name and equals):
                raise ValueError
            found[name] = float(value)
        except ValueError:
            raise UsageError(f"--fail-above {text} is not a limit", "write, for example, kernel_shap=0.3") from None
    return found


def exceeded(found: Certification, limits: Mapping[str, float]) -> list[str]:
    """Explainers whose threshold is above its limit, or not known to be below it, as sentences.

    Raises
    ------
    UsageError
        If one of them was not certified.
    """
    known: dict[str, pd.Series[Any]] = {row["explainer"]: row for _, row in found.thresholds.iterrows()}
    said = []
    for name, limit in limits.items():
        if name not in known:
            raise UsageError(f"--fail-above names {name}, which was not certified", f"known: {', '.join(known)}")
        row = known[name]
        if not found.proved or not row["threshold"] <= limit:
            from xaibench.report.certificate import threshold_text

            at = threshold_text(row) if found.proved else ""
            when = "never notices the shortcut" if at == "never" else f"notices the shortcut from {at} on"
            said.append(
                f"above the limit: {name} {when}, limit {limit:g}"
                if at
                else f"not known to be below the limit: {name} has no threshold here, limit {limit:g}"
            )
    return said
