"""Type aliases that every layer uses."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
FunctionKind = Literal["numeric", "string", "neuron", "relation"]
