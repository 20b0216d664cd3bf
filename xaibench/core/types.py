"""Type aliases that every layer uses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

Array = np.ndarray[Any, Any]
FunctionKind = Literal["numeric", "string", "neuron", "relation"]
ExplainerKey = tuple[str, str]
"""An explainer: its name, and its parameters as JSON."""
Share = Annotated[float, Ge(0), Le(1)]
"""A number from 0 to 1."""
