"""``xaibench list`` and ``xaibench show``."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import pandas as pd

from xaibench import suite as suites
from xaibench.api.listing import components, listed_adapters, shown_parameters
from xaibench.cli.arguments import parse_params
from xaibench.cli.choices import LISTED
from xaibench.cli.output import print_json, stdout
from xaibench.core import registry
from xaibench.core.components import KINDS, Component, ExplainerSpec, Kind, MetricSpec
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.extras import install_command
from xaibench.core.keys import canonical_json
from xaibench.core.libraries import LIBRARIES, installed_version, library_of, why_missing
from xaibench.core.masking.names import DRAWN, FILLING, MASKERS, SERIES_MASKERS, SUMMARIES, TOKEN_MASKERS
from xaibench.core.needs import kinds_known
from xaibench.core.source_files import source_file
from xaibench.datasets.cards import card, card_names
from xaibench.report.component_lists import by_family, grouped_list
from xaibench.report.glossary import glossary
from xaibench.report.terminal import frame_table


def _load_plugins(plugins: Sequence[str] | None) -> None:
    for plugin in plugins or ():
        registry.load_module(plugin)


ADAPTED = ("explainers", "metrics")
"""Kinds of which other libraries have some."""


def list_components(
    kind: str | None, *, plugins: Sequence[str] | None, long: bool, json: bool, adapters: bool = False
) -> None:
    """Print the components of one kind, or of every kind: names by family, a line each, or all that is known.

    With ``adapters`` those of other libraries, instead of those of this package and of plugins.
    """
    _load_plugins(plugins)
    kinds: Sequence[str] = [kind] if kind else ADAPTED if adapters else LISTED
    if adapters and kind is not None and kind not in ADAPTED:
        raise UsageError(f"other libraries have no {kind} here", "`xaibench list explainers --adapters`")
    if json:
        print_json({k: _frame(k, adapters=adapters).to_dict("records") for k in kinds})
        return
    out = stdout()
    for i, name in enumerate(kinds):
        frame = _frame(name, adapters=adapters)
        if frame.empty:
            continue
        if len(kinds) > 1:
            if i:
                out.print()
            out.print(f"{name} ({len(frame)})", style="bold")
        if long:
            out.print(frame_table(frame))
        else:
            out.print(grouped_list(by_family(name, frame), described=kind is not None))
    if not long:
        more = "`xaibench list --long`" if kind is None else f"`xaibench list {kind} --long`"
        out.print(f"\n`xaibench show NAME` explains one; {more} adds needs and kinds", markup=False)
        if adapters:
            names = [name for listed in kinds for name in _frame(listed, adapters=True)["name"]]
            for prefix in sorted({library_of(name) or "" for name in names} - {""}):
                if (missing := why_missing(prefix)) is not None:
                    out.print(missing, markup=False)
        elif kind in ADAPTED:
            out.print(f"`xaibench list {kind} --adapters` lists those of other libraries", markup=False)


def _frame(kind: str, *, adapters: bool = False) -> pd.DataFrame:
    """What a list shows of a kind: names, what they need, one line of description."""
    if kind == "suites":
        return pd.DataFrame(suites.descriptions().items(), columns=["name", "description"])
    if kind == "maskers":
        rows = [(m, _features(m), _random(m), SUMMARIES[m]) for m in MASKERS]
        return pd.DataFrame(rows, columns=["name", "features", "random", "summary"])
    singular = cast(Kind, kind if kind == "functions" else kind.removesuffix("s"))
    frame = listed_adapters(singular) if adapters else components(singular)
    if frame.empty:
        return frame
    if kind == "interpreters":
        frame["takes"] = [_kinds_taken({*n}) for n in frame["needs"]]
    frame["needs"] = [", ".join(n) for n in frame["needs"]]
    columns = {
        "datasets": ["name", "features", "provides", "summary"],
        "models": ["name", "features", "provides", "summary"],
        "explainers": ["name", "kind", "needs", "control", "summary"],
        "metrics": ["name", "family", "better", "ranks", "needs", "summary"],
        "functions": ["name", "functions", "summary"],
        "interpreters": ["name", "takes", "control", "summary"],
    }[kind]
    if kind == "metrics":
        specs = registry.adapters("metric") if adapters else registry.components("metric")
        ranks = [spec.ranks for spec in specs if isinstance(spec, MetricSpec)]
        frame["better"] = ["higher" if h else "lower" for h in frame["higher_is_better"]]
        frame["ranks"] = [_listed_rank(rule) for rule in ranks]
    if kind in ("explainers", "interpreters"):
        frame["control"] = ["yes" if c else "" for c in frame["control"]]
    for name in ("features", "provides"):
        if name in columns:
            frame[name] = [", ".join(v) if isinstance(v, list) else v or "any" for v in frame[name]]
    return frame[columns]


def _random(masker: str) -> str:
    return "yes" if masker in DRAWN else ""


def _features(masker: str) -> str:
    """The only kind of data that has this masker, if there is one."""
    return "tokens" if masker in TOKEN_MASKERS else "series" if masker in SERIES_MASKERS else ""


def _kinds_taken(needs: set[str]) -> str:
    """Kinds of functions and cases among the needs of an interpreter; without any, it takes every one."""
    every = {"program": "functions", "case": "cases"}
    kinds = sorted(needs & kinds_known()) or [f"all {text}" for sort, text in every.items() if sort in needs]
    return ", ".join(kinds)


def show_component(
    name: str,
    *,
    plugins: Sequence[str] | None,
    model: str | None = None,
    params: Sequence[str] | None = None,
    seed: int = 0,
    commands: Collection[str] = (),
) -> None:
    """Print the components, the masker, the suite or the term of this name; with a model, the layer used there.

    A name that is that of a command only, one of ``commands``, is answered with where the command is described.
    """
    _load_plugins(plugins)
    everything = {(k, s.name): s for k in KINDS for s in (*registry.components(k), *registry.adapters(k))}
    found = [
        spec
        for (_, known), spec in everything.items()
        if known == name or (isinstance(spec, ExplainerSpec) and name in spec.aliases)
    ]
    if ":" in name and not found and library_of(name) is None:
        registry.load_module(name.rpartition(":")[0])
        found = [s for k in KINDS for s in registry.components(k) if s.function.__name__ == name.rpartition(":")[2]]
    out = stdout()
    if model is not None:
        if not found or not isinstance(found[0], ExplainerSpec):
            raise UsageError(
                "--model can only be used with the name of an explainer", "for example grad_cam --model digits/cnn"
            )
        from xaibench.api.layers import layer_in_model

        layer = layer_in_model(found[0], model, parse_params(params), seed)
        out.print(f"layer used in {model}: {layer}", markup=False, soft_wrap=True)
        return
    for spec in found:
        out.print(_describe(spec), markup=False, soft_wrap=True)
    if name in MASKERS:
        out.print("\n" * bool(found) + _describe_masker(name), markup=False, soft_wrap=True)
    if found or name in MASKERS:
        return
    if name in suites.available():
        out.print(suites.available()[name].read_text(encoding="utf-8"), markup=False, soft_wrap=True)
        return
    terms = glossary()
    if name.lower() in terms:
        out.print(terms[name.lower()], markup=False, soft_wrap=True)
        return
    own = [n for _, n in everything if (library_of(n) is None) == (library_of(name) is None)]
    raise UsageError(
        f"{name!r} is not the name of a component, a masker, a suite or a term",
        f"it is a command: `xaibench {name} --help` describes it"
        if name in commands
        else did_you_mean(name, [*own, *MASKERS, *suites.available(), *terms]),
    )


def _describe_masker(name: str) -> str:
    drawn = "yes: keyed by seed and sample" if name in DRAWN else "no"
    used = f'masker = "{name}"' + (f', or baseline = "{name}" of explainers that have one' if name in FILLING else "")
    facts = {"features": _features(name)} if _features(name) else {}
    facts |= {"random": drawn, "use": used}
    return f"masker {name}\n\n{SUMMARIES[name]}\n\n" + "\n".join(f"{k:<11} {v}" for k, v in facts.items())


def _describe(spec: Component) -> str:
    facts: dict[str, Any] = {"version": spec.version}
    if spec.library is not None:
        version = installed_version(spec.library)
        extra = LIBRARIES[spec.library].extra
        facts["library"] = f"{spec.library} {version}" if version else f"missing: {install_command(extra)}"
    if spec.needs:
        facts["needs"] = ", ".join(sorted(spec.needs))
    if isinstance(spec, ExplainerSpec):
        facts["kind"] = spec.attribution_kind if isinstance(spec.attribution_kind, str) else "depends on the problem"
    if isinstance(spec, MetricSpec) and spec.about_programs:
        low, high = spec.bounds
        facts |= {
            "family": spec.family,
            "better": "higher" if spec.higher_is_better else "lower",
            "bounds": f"{'-inf' if low is None else low} to {'inf' if high is None else high}",
            "scores": "one per case" if spec.about_cases else "one per function",
            "aggregate": spec.aggregate,
            "skill": "valid" if spec.skill_valid else "not valid",
            "source": spec.source,
        }
    elif isinstance(spec, MetricSpec):
        low, high = spec.bounds
        facts |= {
            "family": spec.family,
            "better": "higher" if spec.higher_is_better else "lower",
            "bounds": f"{'-inf' if low is None else low} to {'inf' if high is None else high}",
            "measures": {None: "the explained output", "curve": "the probability where there is one"}.get(
                spec.output, f"the {spec.output}"
            ),
            "takes": ", ".join(sorted(spec.accepts)),
            "conversion": "slopes x (input - masked input)" if spec.convert else "none",
            "sign": spec.handled_sign(spec.parameters),
            "scores": _scores(spec),
            "aggregate": spec.aggregate,
            "skill": "valid" if spec.skill_valid else "not valid",
            "ranks": _ranks(spec),
            "source": spec.source,
        }
    if spec.parameters:
        facts["parameters"] = ", ".join(f"{k} = {canonical_json(v)}" for k, v in shown_parameters(spec).items())
    width = max(len(k) for k in facts)
    lines = [f"{spec.kind} {spec.name}", "", inspect.getdoc(spec.function) or "(no documentation)", ""]
    lines += [f"{k:<{width}}  {v}" for k, v in facts.items()]
    lines.append(f"{'defined in':<{width}}  {source_file(spec.function)}")
    if spec.kind == "dataset":
        lines += _card(spec.name)
    return "\n".join(lines)


def _scores(spec: MetricSpec) -> str:
    """What a score is of."""
    words = {"sample": "one per sample", "dataset": "one per repeat, over the whole data set"}
    more = "" if spec.dataset_where is None else f"; one over the whole data set with {_values(spec.dataset_where)}"
    return words[spec.scope] + more


def _ranks(spec: MetricSpec) -> str:
    """Whether scores rank explainers, and with which parameters."""
    if isinstance(spec.ranks, Mapping):
        return f"only with {_values(spec.ranks)}"
    return "yes" if spec.ranks else "no: shown, and never counted in a rank, a placebo test or an overall vote"


def _listed_rank(rule: bool | Mapping[str, Any]) -> str:
    return f"with {_values(rule)}" if isinstance(rule, Mapping) else "yes" if rule else "no"


def _values(chosen: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {canonical_json(value)}" for name, value in chosen.items())


def _card(name: str) -> list[str]:
    """Source and licence of a data set that has a card."""
    if name not in card_names():
        return []
    found = card(name)
    facts = ("description", "source", "url", "licence", "citation", "rows", "columns", "preprocessing")
    lines = ["", *(f"{fact}: {getattr(found, fact)}" for fact in facts if getattr(found, fact))]
    return lines + [f"sha256 of {file}: {value}" for file, value in {**found.files, **found.arrays}.items()]
