"""Advice in sentences: what to use, what not, what is undecided and what would decide it, and the scope."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from xaibench.analysis.advice.verdicts import (
    Advice,
    AdviceKind,
    AdviceScope,
    ComparisonKey,
    ExplainerAdvice,
    OpenConstruct,
)  # fmt: skip
from xaibench.report.labels import metric_labels, problem_label, time_label, variants

NOTHING_SHOWN = "No explainer here is shown to be better than the placebos. Do not rely on any because of this board."
NOTHING_TESTED = "No test here counts for advice: this board recommends no explainer and warns of none."
IN_PART = "No explainer here is better than every placebo in most tests of any construct; some are in part."
NONE_THROUGHOUT = "No explainer here is better than every placebo in two ways without being worse in another."
_TITLES: dict[tuple[str, str], str] = {
    ("use", ""): "Use",
    ("also", ""): "Also better than every placebo and worse in no test, but behind these or slower",
    ("avoid", ""): "Do not use",
    ("undecided", "contradicted"): "Undecided, better than every placebo in part and worse than one in part",
    ("undecided", "one construct"): "Undecided, better than every placebo in one way only",
    ("undecided", "not shown"): "Undecided, not shown to be better than every placebo",
    ("undecided", "few samples"): "Undecided, too few samples for some test",
    ("undecided", "undefined"): "Undecided, without a defined score too often",
    ("undecided", "raced"): "Undecided, left every race early",
    ("undecided", "no explanation"): "References, made without the model or from the truth",
    ("untested", "no test"): "Not tested against placebos",
}
"""What a group of explainers is called, in the order in which groups are shown."""
_DECIDES: dict[str, str] = {
    "contradicted": "what decides: the metric that is nearest to your question",
    "one construct": "what decides: a metric of another construct",
    "not shown": "what decides: as many samples as said, if the differences stay what they are",
    "few samples": "what decides: as many samples or repeats as said",
    "raced": "what decides: a run without --race; --metric NAME says who was ahead",
    "undefined": "what decides: a metric or a masker with defined scores",
}
_NO_BREAK = "\N{NO-BREAK SPACE}"
_FEW = 3
"""Names of tests that a note lists; of more their number."""


@dataclass(frozen=True)
class AdviceGroup:
    """Explainers of one kind and cause.

    Attributes
    ----------
    kind : str
        Of the advice.
    title : str
    members : list of (str, str)
        Name of the explainer, and why in a few words.
    hint : str
        What would decide it; empty where nothing is open.
    keys : list of (str, str)
        Names and parameters of the members.
    costs : list of str
        What an explanation by each member takes, where it is recommended; else empty.
    """

    kind: AdviceKind
    title: str
    members: list[tuple[str, str]]
    hint: str
    keys: list[tuple[str, str]]
    costs: list[str]

    @property
    def text(self) -> str:
        """The group in one line."""
        return self.unbroken.replace(_NO_BREAK, " ")

    @property
    def unbroken(self) -> str:
        """The group in one line, with non-breaking spaces within short notes."""
        shown = []
        costs = dict(zip((name for name, _ in self.members), self.costs, strict=False))
        for note, names in _by_note(self.members):
            who = ", ".join(f"{name} ({_tied(costs[name])})" if costs.get(name) else name for name in names)
            if self.kind == "use":
                shown.append(f"{who}: {note}")
            elif not note:
                shown.append(who)
            else:
                shown.append(f"{who} ({_tied(note)})" if len(names) == 1 else f"{note} ({who})")
        body = f"{self.title}: {'; '.join(shown)}."
        return f"{body} {self.hint[0].upper()}{self.hint[1:]}." if self.hint else body


def _by_note(members: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Names of members that share a note, together."""
    found: dict[str, list[str]] = {}
    for name, note in members:
        found.setdefault(note, []).append(name)
    return list(found.items())


def _tied(note: str) -> str:
    return note.replace(" ", _NO_BREAK) if len(note) <= 30 else note


def advice_groups(advice: Advice, board: pd.DataFrame) -> list[AdviceGroup]:
    """Explainers in groups by what the tests say of them, each with the reason; groups without members are left out.

    Parameters
    ----------
    advice : Advice
    board : DataFrame
        The leaderboard that it is of.
    """
    names = variants(zip(board["explainer"], board["explainer_params"], strict=True))
    metrics = metric_labels(board)
    single = advice.scope.n_problems == 1
    groups = []
    for (kind, cause), title in _TITLES.items():
        own = [found for found in advice.explainers if (found.kind, found.cause) == (kind, cause)]
        if not own:
            continue
        if kind == "use" and len(own) > 1:
            title = "Use one of these, which are tied, the fastest first"
        members = [(names.get(found.entry, found.entry[0]), _note(found, advice, metrics, single)) for found in own]
        hint = _DECIDES.get(cause, "")
        if cause == "not shown" and not any(found.samples for found in own):
            hint = "what decides: another metric; more samples would hardly speak for it"
        costs = [_cost(found.seconds) for found in own] if kind == "use" else []
        groups.append(AdviceGroup(own[0].kind, title, members, hint, [found.entry for found in own], costs))
    return groups


def _note(found: ExplainerAdvice, advice: Advice, metrics: dict[tuple[str, str, str], str], single: bool) -> str:
    parts = []
    if found.kind == "use":
        parts.append(f"better than every placebo on {_listed(found.ahead)}, worse in no test")
        n = len({test[:3] for test in found.evidence})
        if n < advice.scope.n_problems:
            parts.append(f"on {n} of {advice.scope.n_problems} problems")
        if found.place > 1:
            ranked = sum(one.place > 0 for one in advice.explainers)
            parts.append(f"overall rank {found.place} of {ranked}")
    elif found.kind == "avoid" or found.cause == "contradicted":
        parts.append(f"worse {_lost(found, metrics, single)}")
    elif found.cause == "one construct":
        parts.append(_listed(found.ahead))
    elif found.cause == "few samples":
        parts.append(f"at least {found.samples} samples")
    elif found.cause == "no explanation" and found.ahead:
        parts.append(f"yet better than every placebo on {_listed(found.ahead)}")
    elif found.cause == "not shown":
        if found.won:
            named = _named_tests(found.won, metrics, single)
            parts.append(f"better {named or f'in {len(found.won)} tests'}")
        if found.samples:
            parts.append(f"about {found.samples} samples")
    if found.certificate is not None:
        won, _, tried = found.certificate
        parts.append(f"finds {won} of {tried} planted shortcut{'' if tried == 1 else 's'}")
    return "; ".join(parts)


def _lost(found: ExplainerAdvice, metrics: dict[tuple[str, str, str], str], single: bool) -> str:
    """The tests that were lost, by metric, with their problem where that is one of several; else the constructs."""
    return _named_tests(found.lost, metrics, single) or f"on {_listed(found.behind)}"


def _named_tests(
    tests: Iterable[ComparisonKey], metrics: dict[tuple[str, str, str], str], single: bool, most: int = _FEW
) -> str:
    """Tests by metric, with their problem where that is one of several; empty where there are none or too many."""
    by_metric: dict[str, list[str]] = {}
    for *problem, metric, params, output in tests:
        by_metric.setdefault(metrics.get((metric, params, output), metric), []).append(problem_label(*problem))
    if not by_metric or len(by_metric) > most:
        return ""
    if single:
        return _listed(f"by {metric}" for metric in by_metric)
    where = (
        (metric, problems[0] if len(problems) == 1 else f"{len(problems)} problems")
        for metric, problems in by_metric.items()
    )
    return _listed(f"by {metric} on {place}" for metric, place in where)


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else "nothing"


def _cost(seconds: float) -> str:
    """Time of one explanation; empty where it is unknown."""
    return f"{time_label(seconds)} a sample" if seconds == seconds else ""


def unknown_sentence(advice: Advice) -> str:
    """The constructs in which no explainer is shown to be better than the placebos; empty where there is none.

    Of too few samples it is only said that tests do not count: explainers may have won them.
    """
    few = [construct.name for construct in advice.unknown if construct.cause == "few samples"]
    why: dict[str, list[str]] = {}
    for construct in advice.unknown:
        if construct.cause != "few samples":
            why.setdefault(_cause(construct), []).append(construct.name)
    parts = [f"{_listed(names)}{f' ({cause})' if cause else ''}" for cause, names in why.items()]
    said = [f"No explainer is shown to be better than the placebos on {'; '.join(parts)}."] if parts else []
    return " ".join([*said, *([f"Too few samples for a test on {_listed(few)} to count."] if few else [])])


def _cause(construct: OpenConstruct) -> str:
    causes = {
        "none": "",
        "oracle fails": "nor is the oracle",
        "audit": "by metrics that the audit does not trust",
    }
    return causes[construct.cause]


def scope_sentence(scope: AdviceScope) -> str:
    """What the advice is about."""
    low, high = scope.least_samples, scope.most_samples
    samples = f"{low} samples per score" if low == high else f"{low} to {high} samples or repeats per score"
    few, many = scope.fewest_trainings, scope.most_trainings
    trained = "trained once" if few <= 1 else f"trained {few} times"
    trained = trained if few == many else f"{trained.removesuffix(' times')} to {many} times"
    if scope.n_problems == 1:
        ((dataset, model, selection),) = scope.problems
        where = f"This is about {problem_label(dataset, model, selection)} only"
        text = f"{where}, one model {trained}, {samples}"
    else:
        data = f"{scope.n_datasets} data set{'' if scope.n_datasets == 1 else 's'}"
        text = f"This is about {scope.n_problems} problems on {data}, every model {trained}, {samples}"
    failed = scope.n_failed_gates
    if failed:
        text += f"; {failed} problem{' whose gate' if failed == 1 else 's whose gates'} failed left out"
    return f"{text}."


def advice_sentences(advice: Advice, board: pd.DataFrame) -> list[str]:
    """The advice as plain sentences, the recommendation first.

    Parameters
    ----------
    advice : Advice
        One that compared something with placebos.
    board : DataFrame
        The leaderboard that it is of.

    Returns
    -------
    list of str
        What to use (or that nothing is shown), what not, what is undecided, what is unknown, and the scope.
    """
    groups = [group.text for group in advice_groups(advice, board)]
    return _framed(advice, groups)


def unbroken_sentences(advice: Advice, board: pd.DataFrame) -> list[str]:
    """`advice_sentences` with non-breaking spaces, for a screen."""
    return _framed(advice, [group.unbroken for group in advice_groups(advice, board)])


def opening_sentence(advice: Advice) -> str:
    """What is said where nothing can be recommended; empty where something is."""
    if advice.of("use"):
        return ""
    asked = [found for found in advice.explainers if found.cause != "no explanation"]
    if any(found.ahead for found in asked):
        return NONE_THROUGHOUT
    if any(found.won for found in asked):
        return IN_PART
    return NOTHING_SHOWN if advice.counted else NOTHING_TESTED


def _framed(advice: Advice, groups: Sequence[str]) -> list[str]:
    said = [opening_sentence(advice), *groups, unknown_sentence(advice), scope_sentence(advice.scope)]
    return [sentence for sentence in said if sentence]
