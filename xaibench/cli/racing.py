"""``xaibench race``: races replayed on stored scores."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from xaibench.analysis.racing.modes import RACE_MODES
from xaibench.analysis.racing.replay import replay
from xaibench.api.reading import results
from xaibench.cli.arguments import race_mode
from xaibench.cli.output import print_json, stdout
from xaibench.core.components import MetricSpec
from xaibench.core.errors import NothingToDoError
from xaibench.core.known_names import all_components


def show_replay(store: Path, *, suite: str | None, mode: str | None, samples: int, json: bool) -> int:
    """Print what races would have saved and kept; returns the exit code."""
    chosen = race_mode(mode)
    cells = results(store, suite)
    specs = [spec for spec in all_components("metric") if isinstance(spec, MetricSpec)]
    bounds, units = {s.name: s.bounds for s in specs}, {s.name: s.has_output_unit for s in specs}
    frames = [
        replay(cells, kind, least=samples, bounds=bounds, in_output_unit=units)
        for kind in ((chosen,) if chosen else RACE_MODES)
    ]
    found = pd.concat(frames, ignore_index=True)
    if found.empty:
        raise NothingToDoError(
            f"{store} holds no comparison of two explainers on {samples} samples", "use another store, or --samples"
        )
    if json:
        print_json(found.to_dict("records"))
        return 0
    for line in replay_lines(found):
        stdout().print(line, markup=False, soft_wrap=True)
    return 0


def replay_lines(found: pd.DataFrame) -> list[str]:
    """A line per race and comparison, and one for all comparisons of a race.

    Parameters
    ----------
    found : DataFrame
        From `xaibench.analysis.racing.replay.replay`.
    """
    names = (found["dataset"] + "/" + found["model"] + " " + found["metric"]).to_list()
    width = max(map(len, [*names, "all comparisons"]))
    head = f"{'':<9}{'':<{width}}  samples  explainers  evaluations  decided  kept  extra  reversed  tied  inseparable"
    lines = [head]
    for mode, part in found.groupby("mode", sort=False):
        for label, row in zip(part.index, part.to_dict("records"), strict=True):
            lines.append(
                f"{mode:<9}{names[int(label)]:<{width}}  {row['n_samples']:>7}  {row['n_explainers']:>10}"
                f"  {row['share']:>11.0%}  {row['n_decided']:>7}  {row['n_kept']:>4}  {row['n_extra']:>5}"
                f"  {row['n_reversed']:>8}  {row['n_tied']:>4}  {row['n_inseparable']:>11}"
            )
        total = part[["n_decided", "n_kept", "n_extra", "n_reversed", "n_tied", "n_inseparable"]].sum()
        size = part["n_samples"] * part["n_explainers"]
        share = float((part["share"] * size).sum() / size.sum())
        lines.append(
            f"{mode:<9}{'all comparisons':<{width}}  {'':>7}  {int(part['n_explainers'].sum()):>10}  {share:>11.0%}"
            f"  {total['n_decided']:>7}  {total['n_kept']:>4}  {total['n_extra']:>5}  {total['n_reversed']:>8}"
            f"  {total['n_tied']:>4}  {total['n_inseparable']:>11}"
        )
    return lines
