"""Names of the races."""

from __future__ import annotations

from typing import Literal, get_args

RaceMode = Literal["best", "placebo", "anytime"]
RACE_MODES: tuple[RaceMode, ...] = get_args(RaceMode)
