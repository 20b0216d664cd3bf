"""Answers that can be stored: what was answered, and the outputs of the program that metrics asked for."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from xaibench.core.cases.answers import CaseAnswer, answer_from_tensors
from xaibench.core.cases.case import Case
from xaibench.core.keys import array_digest, digest
from xaibench.core.program_specs import InterpreterSpec
from xaibench.core.programs.black_box import BlackBox, Interpretation, Program, Values, numeric_outputs, run_program
from xaibench.core.programs.evaluation import AnyCase
from xaibench.core.programs.interpreting import AnyAnswer, TimedInterpretation, ask
from xaibench.core.types import FunctionKind

AnswerRecord = dict[str, Any]
"""An answer as plain values that JSON can hold; that about a case has ``tensors`` besides, by name."""


class AnswerCache:
    """Where the answers of one interpreter for one set of functions are asked for, or looked up.

    An answer comes from the records, if it is there and its interpreter did not raise; else the
    interpreter is asked. Outputs of a program are looked up in the same way; for points that no
    metric has asked for before, the program is restored from its facts, or asked for again.

    Parameters
    ----------
    spec : InterpreterSpec
    params : mapping
        Bound parameters.
    functions : sequence of BlackBox or Case
        The whole set.
    seed : int
    stream : str
        Name of the draws.
    records : sequence of AnswerRecord
        Answers that are stored already; of several for one function and budget the last one counts.
    """

    def __init__(
        self,
        spec: InterpreterSpec,
        params: Mapping[str, Any],
        functions: Sequence[AnyCase],
        *,
        seed: int,
        stream: str,
        records: Sequence[AnswerRecord] = (),
    ) -> None:
        self.spec = spec
        self.params = params
        self.functions = functions
        self.seed = seed
        self.stream = stream
        self.n_asked = 0
        self._records = {(r["name"], r["budget"]): r for r in records if not r["traceback"]}
        self._answers: dict[tuple[int, int], _AnswerFile | _CaseAnswerFile] = {}

    def ask(self, i: int, budget: int) -> TimedInterpretation:
        """Ask the interpreter, even if an answer is stored."""
        return ask(self.spec, self.params, self.functions, i, budget=budget, seed=self.seed, stream=self.stream)

    def answer(self, i: int, budget: int) -> AnyAnswer:
        """The answer for function or case i with a budget; its program remembers what it is asked."""
        return self._take(i, budget).interpretation

    def _take(self, i: int, budget: int) -> _AnswerFile | _CaseAnswerFile:
        if (i, budget) not in self._answers:
            record = self._records.get((self.functions[i].name, budget))
            asked = None
            if record is None:
                self.n_asked += 1
                asked = self.ask(i, budget)
            self._answers[i, budget] = self._entry(i, budget, record, asked)
        return self._answers[i, budget]

    def _entry(
        self, i: int, budget: int, record: AnswerRecord | None, asked: TimedInterpretation | None
    ) -> _AnswerFile | _CaseAnswerFile:
        explained = self.functions[i]
        if isinstance(explained, Case):
            return _CaseAnswerFile(explained, record or answer_record(explained, budget, asked), changed=record is None)
        if record is None:
            assert asked is not None
            return _AnswerFile.of_answer(self, i, explained, budget, asked)
        return _AnswerFile(self, i, explained, budget, record)

    def take_new(self) -> list[AnswerRecord]:
        """Records of the answers that are new, or of which more outputs are known, since this was called last.

        Another thread may call this while answers are taken.
        """
        changed = [entry for entry in list(self._answers.values()) if entry.changed]
        for entry in changed:
            entry.changed = False
        return [entry.record for entry in changed]

    def all(self, budget: int) -> list[AnswerRecord]:
        """Records of all answers that were taken with this budget."""
        return [entry.record for (_, b), entry in self._answers.items() if b == budget]


def answer_record(explained: AnyCase, budget: int, answer: TimedInterpretation | None) -> AnswerRecord:
    """The record of a new answer."""
    assert answer is not None
    found = answer.interpretation
    said = found if isinstance(found, Interpretation) else None
    record: AnswerRecord = {
        "name": explained.name,
        "budget": budget,
        "description": said.description if said else "",
        "family": said.family if said else None,
        "intervals": [list(pair) for pair in said.intervals] if said else [],
        "queries": found.queries,
        "facts": dict(found.facts),
        "failure": found.failure,
        "traceback": answer.traceback,
        "seconds": answer.seconds,
        "broken": "",
        "outputs": {},
    }
    return record if isinstance(found, Interpretation) else {**record, "tensors": found.tensors}


class _CaseAnswerFile:
    """The answer about a case and its record."""

    def __init__(self, case: Case, record: AnswerRecord, *, changed: bool) -> None:
        self.record = record
        self.changed = changed
        fields = {name: record[name] for name in ("facts", "queries", "failure")}
        self.interpretation: CaseAnswer = answer_from_tensors(case.truth, record["tensors"], **fields)


class _AnswerFile:
    """One answer and its record, which grows as its program is used."""

    def __init__(
        self,
        cache: AnswerCache,
        i: int,
        box: BlackBox,
        budget: int,
        record: AnswerRecord,
        program: Program | None = None,
        changed: bool = False,
    ) -> None:
        self._cache = cache
        self._i = i
        self._box = box
        self._budget = budget
        self._program = program
        self.record = record
        self.changed = changed

    @classmethod
    def of_answer(
        cls, cache: AnswerCache, i: int, box: BlackBox, budget: int, answer: TimedInterpretation
    ) -> _AnswerFile:
        """A new answer."""
        program = cast(Interpretation, answer.interpretation).program
        return cls(cache, i, box, budget, answer_record(box, budget, answer), program, changed=True)

    @property
    def interpretation(self) -> Interpretation:
        """The answer, with a program that looks up what it can."""
        return interpretation_of(self.record, self.outputs)

    def outputs(self, inputs: Values) -> Values:
        """Outputs of the program, from the record where they are there."""
        kind = self._box.kind
        key = array_digest(np.asarray(inputs)) if kind == "numeric" else digest(list(inputs))
        if key not in self.record["outputs"]:
            found, failure = run_program(self._live(), inputs, kind)
            outputs = {**self.record["outputs"], key: _encoded(found)}
            self.record = {**self.record, "outputs": outputs, "broken": self.record["broken"] or failure}
            self.changed = True
        return _decoded(self.record["outputs"][key], kind)

    def _live(self) -> Program:
        """The program itself."""
        if self._program is None:
            cache, restore = self._cache, self._cache.spec.restore
            if self.record["failure"]:
                self._program = Interpretation.failed(self.record["failure"]).program
            elif restore is not None:
                self._program = restore(self.record["facts"], self._box.domain)
            else:
                self._program = cast(Interpretation, cache.ask(self._i, self._budget).interpretation).program
        return self._program


def interpretation_of(record: AnswerRecord, program: Program) -> Interpretation:
    """The interpretation that a record is of."""
    return Interpretation(
        program,
        description=record["description"],
        family=record["family"],
        intervals=tuple((low, high) for low, high in record["intervals"]),
        queries=record["queries"],
        facts=record["facts"],
        failure=record["failure"] or record["broken"],
    )


def _encoded(outputs: Any) -> Any:
    """Numbers bit for bit as text, strings as they are."""
    if isinstance(outputs, np.ndarray):
        return base64.b64encode(np.ascontiguousarray(outputs, "<f8").tobytes()).decode("ascii")
    return list(outputs)


def _decoded(encoded: Any, kind: FunctionKind) -> Values:
    if numeric_outputs(kind):
        return np.frombuffer(base64.b64decode(encoded), "<f8").astype(np.float64)
    strings: list[str] = encoded
    return list(strings)
