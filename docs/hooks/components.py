"""Reference pages of explainers, metrics, data sets, models, interpreters and sets of functions, from the registry."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpydoc

from xaibench.core import registry
from xaibench.core.components import Component, ExplainerSpec, Kind, MetricSpec
from xaibench.core.program_specs import InterpreterSpec
from xaibench.datasets.cards import card, card_names

SOURCE = "https://github.com/xaibench/xaibench/blob/main/xaibench/"
INTRODUCTIONS: dict[Kind, tuple[str, str]] = {
    "explainer": ("Explainers", "Turn a model and its inputs into one number per feature."),
    "dataset": ("Data sets", "Hold inputs, targets, and ground truth where it is known."),
    "model": ("Models", "Recipes that fit a model to a data set."),
    "interpreter": (
        "Interpreters",
        "Question a black-box function, and answer with a program; or explain a case, and answer with scores.",
    ),
    "functions": (
        "Sets of functions",
        "Black boxes whose formula is known, and other cases with a known answer, for interpreters.",
    ),
}
FAMILIES = {
    "faithfulness": "Do the attributions say what the model uses?",
    "ground_truth": "Do the attributions agree with what is known to matter?",
    "axiomatic": "Do the attributions keep rules that they should keep, such as adding up?",
    "robustness": "Do similar inputs have similar explanations?",
    "sanity": "Does the explanation change when the model does?",
    "complexity": "How concentrated is the explanation? Says nothing about whether it is right.",
}
PROGRAMS = "programs"
CASES = "cases"


def pages() -> dict[str, str]:
    """Markdown by path below the documentation's folder."""
    found = {
        f"reference/{registry.plural(kind)}.md": _page(title, text, registry.components(kind))
        for kind, (title, text) in INTRODUCTIONS.items()
    }
    found["reference/adapters.md"] = _page(
        "Explainers and metrics of other libraries",
        "Generated from the registry. [How to use them](../how-to/other-libraries.md).",
        [*registry.adapters("explainer"), *registry.adapters("metric")],
    )
    metrics = [m for m in registry.components("metric") if isinstance(m, MetricSpec)]
    groups = {family: [m for m in metrics if m.family == family and not m.about_programs] for family in FAMILIES}
    groups[PROGRAMS] = [m for m in metrics if m.about_programs and not m.about_cases]
    groups[CASES] = [m for m in metrics if m.about_cases]
    texts = {
        **FAMILIES,
        PROGRAMS: "Is the program that an interpreter gives the function that it was asked about?",
        CASES: "Is the answer about a case (training rows, circuits, concepts, scores of descriptions) the true one?",
    }
    for family, members in groups.items():
        title = f"Metrics: {family.replace('_', ' ')}"
        found[f"reference/metrics/{family}.md"] = _page(title, texts[family], members)
    found["reference/metrics/index.md"] = _metrics_index(groups, texts)
    return found


def _metrics_index(groups: dict[str, list[MetricSpec]], texts: dict[str, str]) -> str:
    parts = [
        "# Metrics",
        "Generated from the registry. [Which metric should I read?](../../concepts/which-metric.md) helps to choose; "
        "[by family](../metric-families.md) shows all names at once.",
    ]
    for family, members in groups.items():
        parts.append(f"## [{family.replace('_', ' ').capitalize()}]({family}.md)\n\n{texts[family]}")
        rows = [[f"[{m.name}]({family}.md#{m.name})", _better(m), m.summary] for m in members]
        parts.append(numpydoc.table(["metric", "better", "what it says"], rows))
    return "\n\n".join(parts) + "\n"


def _page(title: str, text: str, specs: Iterable[Component]) -> str:
    specs = list(specs)
    rows: list[list[object]] = [[f"[{s.name}](#{_anchor(s)})", s.summary] for s in specs]
    parts = [f"# {title}", text, numpydoc.table(["name", ""], rows), *map(_section, specs)]
    return "\n\n".join(parts) + "\n"


def _anchor(spec: Component) -> str:
    return spec.name.replace(":", "-")


def _better(spec: MetricSpec) -> str:
    return "higher" if spec.higher_is_better else "lower"


def _section(spec: Component) -> str:
    doc = numpydoc.parse(spec.function.__doc__)
    parts = [f"## {spec.name} {{ #{_anchor(spec)} }}", doc.text or "(no description)"]
    if spec.parameters:
        parts.append(_parameters(spec, doc.described("Parameters")))
    if doc.entries.get("Raises"):
        parts += [f"*Raises* `{'`, `'.join(e.names)}`: {e.text}" for e in doc.entries["Raises"]]
    parts += [f"*{name}.* {text}" for name, text in doc.others.items() if name != "Examples"]
    parts.append("\n".join(f"- {name}: {value}" for name, value in _facts(spec)))
    return "\n\n".join(parts)


def _parameters(spec: Component, described: dict[str, str]) -> str:
    signature = inspect.signature(spec.function).parameters
    rows: list[list[object]] = []
    for name, default in spec.parameters.items():
        annotation = signature[name].annotation
        kind = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
        shown = "required" if default is inspect.Parameter.empty else f"`{default!r}`"
        rows.append([f"`{name}` ({kind})", shown, described.get(name, "")])
    return numpydoc.table(["parameter", "default", ""], rows)


def _facts(spec: Component) -> list[list[object]]:
    rows: list[list[object]] = [["needs", _names(spec.needs) or "nothing"], ["version", spec.version]]
    if isinstance(spec, ExplainerSpec):
        stated = spec.attribution_kind
        rows.append(["kind of attributions", stated if isinstance(stated, str) else "depends on the problem"])
    if isinstance(spec, (ExplainerSpec, InterpreterSpec)) and spec.control:
        rows.append(["control", "yes: shown, and never ranked"])
    if isinstance(spec, MetricSpec):
        rows += _metric_facts(spec)
    for name in ("features", "provides"):
        value: Any = getattr(spec, name, None)
        if value:
            rows.append([name, value if isinstance(value, str) else _names(value)])
    file = (inspect.getsourcefile(spec.function) or "").replace("\\", "/").rpartition("/xaibench/")[2]
    rows.append(["defined in", f"[`xaibench/{file}`]({SOURCE}{file})"])
    return rows + (_card(spec.name) if spec.kind == "dataset" else [])


def _metric_facts(spec: MetricSpec) -> list[list[object]]:
    low, high = spec.bounds
    measured = {None: "the explained output", "curve": "the probability, where there is one"}
    rows: list[list[object]] = [
        ["better", _better(spec)],
        ["bounds", f"{'-inf' if low is None else low} to {'inf' if high is None else high}"],
    ]
    if not spec.about_programs:
        rows += [
            ["output measured", measured.get(spec.output, f"the {spec.output}")],
            ["accepts", _names(spec.accepts)],
            ["sign of attributions", spec.handled_sign(spec.parameters)],
            ["construct", spec.measures],
        ]
    score = (
        "case"
        if spec.about_cases
        else "function"
        if spec.about_programs
        else {"sample": "sample", "dataset": "repeat"}[spec.scope]
    )
    rows += [["one score per", score], ["aggregated by", spec.aggregate]]
    rows += [["undefined for", _names(spec.undefined_for)]] if spec.undefined_for else []
    rows += [["skill", "valid" if spec.skill_valid else "not given"], ["ranks", _ranks(spec)]]
    return [*rows, ["source", spec.source or "own"]]


def _ranks(spec: MetricSpec) -> str:
    """Whether scores rank explainers."""
    if isinstance(spec.ranks, bool):
        return "yes" if spec.ranks else "no: shown, and counted in no rank, no placebo test and no overall vote"
    return "only with " + ", ".join(f"{name} = {value!r}" for name, value in spec.ranks.items())


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _card(name: str) -> list[list[object]]:
    if name not in card_names():
        return []
    found = card(name)
    facts = ("source", "url", "licence", "citation", "rows", "columns", "preprocessing")
    return [[fact, getattr(found, fact)] for fact in facts if getattr(found, fact)]
