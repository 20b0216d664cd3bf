"""How well a model does on the test split: accuracy, R2 of values, F1 of labels that may be true together."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.data import Data
from xaibench.core.outputs import label_threshold


def held_out_score(raw: Tensor, data: Data, returns: str) -> float:
    """Accuracy of outputs (N, C) on the test split; of values R2, of several outputs the lowest; of labels F1.

    F1 is over all pairs of a row and a label (micro-averaged): the share of labels that are right cannot be reached by
    predicting none where labels are rare.
    """
    if data.test_values is not None:
        from sklearn.metrics import r2_score

        values = data.test_values.reshape(len(data.test_values), -1)
        return float(r2_score(values, raw.cpu().numpy(), multioutput="raw_values").min())
    if data.test_labels is not None:
        from sklearn.metrics import f1_score

        predicted = (raw > label_threshold(returns)).cpu().numpy()
        return float(f1_score(data.test_labels, predicted, average="micro", zero_division=0))
    right = raw.argmax(dim=1).cpu() == torch.from_numpy(data.test_targets)
    return int(right.sum()) / len(right)


def expected_columns(data: Data) -> str:
    """What a model of a data set returns, for messages."""
    if data.n_values:
        return "one value to learn" if data.n_values == 1 else f"{data.n_values} values to learn"
    return f"{data.n_classes} {'classes' if data.test_labels is None else 'labels'}"
