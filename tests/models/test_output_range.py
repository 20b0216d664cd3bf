"""What the numbers of a model are: by what was said, by the operation that made them, by rows that sum to 1."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xaibench.core.errors import UsageError
from xaibench.models.output_range import last_operation, settle_returns

SUM_TO_ONE = torch.softmax(torch.arange(15.0).view(5, 3).sin(), dim=1)
INDEPENDENT = torch.sigmoid(torch.arange(15.0).view(5, 3).cos())
LOGITS = torch.arange(15.0).view(5, 3).sin() * 3


@pytest.mark.parametrize(
    ("raw", "default", "last", "returns", "source"),
    [
        (LOGITS, "logit", "other", "logit", "default"),
        (LOGITS, "logit", None, "logit", "default"),
        (SUM_TO_ONE, "logit", "softmax", "probability", "outputs"),
        (SUM_TO_ONE, "logit", "other", "probability", "outputs"),
        (SUM_TO_ONE, "logit", None, "probability", "outputs"),
        (SUM_TO_ONE[:1], "logit", "softmax", "probability", "outputs"),
        (SUM_TO_ONE[:1], "logit", None, "probability", "outputs"),
        (SUM_TO_ONE[:1], "logit", "other", "logit", "default"),
        (INDEPENDENT, "logit", "sigmoid", "probability", "outputs"),
        (INDEPENDENT, "logit", "other", "logit", "default"),
        (SUM_TO_ONE, "probability", None, "probability", "default"),
        (INDEPENDENT, "probability", None, "probability", "default"),
        (LOGITS, "value", None, "value", "default"),
        (SUM_TO_ONE.bfloat16().float(), "logit", "softmax", "probability", "outputs"),
    ],
)
def test_outputs_decide_where_nothing_is_said(raw: Tensor, default: Any, last: Any, returns: str, source: str) -> None:
    found = settle_returns(raw, None, default, last, torch.bfloat16 if raw is not SUM_TO_ONE else torch.float32)
    assert (found.returns, found.returns_from, found.doubt) == (returns, source, None)


def test_where_the_outputs_leave_doubt_it_is_said() -> None:
    found = settle_returns(INDEPENDENT, None, "logit", None)
    assert found.returns == "logit"
    assert 'say returns="logit", or returns="probability"' in str(found.doubt)


@pytest.mark.parametrize(
    ("raw", "given", "last", "message", "hint"),
    [
        (LOGITS, "probability", None, "not probabilities", 'returns="logit"'),
        (LOGITS[:, :1], "probability", None, "not probabilities", 'returns="value"'),
        (SUM_TO_ONE, "logit", None, "sum to 1", 'returns="probability"'),
        (SUM_TO_ONE[:1], "logit", "softmax", "sum to 1", 'returns="probability"'),
        (SUM_TO_ONE, "multilabel_logit", None, "sum to 1", 'returns="probability"'),
        (INDEPENDENT, "multilabel_logit", "sigmoid", "outputs of a sigmoid", 'returns="probability"'),
    ],
)
def test_what_outputs_cannot_be_is_an_error(raw: Tensor, given: Any, last: Any, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        settle_returns(raw, given, "logit", last)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("given", ["logit", "multilabel_logit", "value"])
def test_logits_between_0_and_1_that_do_not_sum_to_1_are_believed(given: Any) -> None:
    net = nn.Linear(4, 3)
    nn.init.constant_(net.bias, 0.5)
    nn.init.uniform_(net.weight, -0.05, 0.05)
    raw = net(torch.rand(8, 4)).detach()
    assert 0 < raw.min() < raw.max() < 1
    assert settle_returns(raw, given, "logit", "other").returns == given


def test_one_row_that_sums_to_1_does_not_contradict_logits() -> None:
    assert settle_returns(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), "logit", "logit").returns == "logit"


def test_values_are_never_doubted() -> None:
    assert settle_returns(SUM_TO_ONE, "value", "logit", "softmax").returns == "value"


class OwnFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sigmoid()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


@pytest.mark.parametrize(
    ("function", "last"),
    [
        (lambda x: x.sigmoid(), "sigmoid"),
        (lambda x: x.softmax(1), "softmax"),
        (lambda x: x.t().softmax(0).t(), "softmax"),
        (lambda x: x.unsqueeze(2).sigmoid().squeeze(2).float(), "sigmoid"),
        (lambda x: x.sigmoid().bfloat16().float().view(-1, 3), "sigmoid"),
        (lambda x: x.sigmoid() * 5, "other"),
        (lambda x: x.log_softmax(1), "other"),
        (lambda x: x @ torch.ones(3, 3), "other"),
        (lambda x: x.detach().sigmoid(), None),
        (OwnFunction.apply, None),
    ],
)
def test_the_last_operation_is_read_from_the_graph(function: Any, last: str | None) -> None:
    assert last_operation(function(torch.randn(4, 3, requires_grad=True))) == last
