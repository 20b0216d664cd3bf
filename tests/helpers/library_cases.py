"""Problems for explainers of other libraries."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier

from helpers.builders import make_view
from xaibench.core.problem import ProblemView
from xaibench.models.adapters import as_predictor


def forest_view(n: int = 3, output: str | None = None) -> ProblemView:
    """A small forest of scikit-learn on a table of four columns."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
    forest = RandomForestClassifier(5, max_depth=3, random_state=0).fit(x, y)
    return make_view(
        as_predictor(forest), torch.from_numpy(x[:n]), background=torch.from_numpy(x[20:40]), output=output
    )
