"""Content of a case: a digest of everything that an answer or a score can depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor, nn

from xaibench.core.cases.case import Case
from xaibench.core.keys import array_digest, digest

ADDED_LATER: Mapping[str, bool] = MappingProxyType({"added_later": True})
"""Metadata of a field that is newer than stored results: at its default it is left out, so that digests stay."""


def case_digest(case: Case) -> str:
    """Digest of a case: names, what is given, truth and what is hidden.

    Callables of what is given are left out: the version of the set of cases stands for them. Of gates the
    conditions count, and not what was measured. Where a case names its ``content``, that stands for tensors.
    """
    tensors = (case.given, case.truth.tensors, case.hidden) if case.content is None else (case.content,)
    return digest(
        [case.name, case.kind, list(case.units), list(case.questions), case.description],
        _content(case.parameters),
        *map(_content, tensors),
        [[gate.name, gate.threshold, gate.at_least] for gate in case.gates],
    )


def _content(value: Any) -> Any:
    """Tensors and arrays as digests, plain values as they are, callables as nothing."""
    if isinstance(value, Tensor):
        return array_digest(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return array_digest(value)
    if isinstance(value, nn.Module):
        return _content(dict(value.state_dict()))
    if isinstance(value, Mapping):
        return {str(k): _content(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_content(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _content(getattr(value, f.name)) for f in fields(value) if not _says_nothing_new(f, value)}
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        return value
    return None if callable(value) else repr(value)


def _says_nothing_new(field: Field[Any], value: Any) -> bool:
    """Whether a field that was added later has its default."""
    if not field.metadata.get("added_later"):
        return False
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return bool(getattr(value, field.name) == default)
