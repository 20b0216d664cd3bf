"""Models that no gradient can go through: unsupported for every explainer that needs one, and fine for the others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.builders import make_view
from helpers.explainer_cases import NAMES, run, spec_of
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError

NEED = [
    n
    for n in NAMES
    if spec_of(n).needs & {"gradients", "module"}
    and not spec_of(n).needs & {"image", "text", "series", "truth.weights"}
]
BLIND = ["occlusion", "kernel_shap", "random"]
TOKENS = torch.tensor([[1.0, 2.0, 0.0, 3.0, 1.0], [4.0, 4.0, 2.0, 0.0, 3.0], [0.0, 1.0, 2.0, 3.0, 4.0]])


class Reader(nn.Module):
    def __init__(self, read: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head, self.dense, self.read = nn.Embedding(6, 4), nn.Linear(4, 3), nn.Linear(5, 3), read
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.read(self, inputs)
        return out


def without_gradient(m: Reader, x: Tensor) -> Tensor:
    with torch.no_grad():
        return m.dense(x)


READERS: dict[str, Any] = {
    "embedding": lambda m, x: m.head(torch.relu(m.table(x.long()).mean(1))),
    "embedding of int": lambda m, x: m.head(m.table(x.int()).sum(1)),
    "embedding of to": lambda m, x: m.head(m.table(x.to(torch.int64)).amax(1)),
    "one-hot": lambda m, x: m.head(nn.functional.one_hot(x.long(), 6).float().mean(1)[:, :4]),
    "embedding bag": lambda m, x: m.head(nn.functional.embedding_bag(x.long(), m.table.weight)),
    "index": lambda m, x: m.head(m.table.weight[x.long()].mean(1)),
    "integers and back": lambda m, x: m.dense(x.long().float()),
    "comparison": lambda m, x: m.dense((x > 1.5).float()),
    "argmax": lambda m, x: m.head(m.table(x.argmax(1))),
    "detached": lambda m, x: m.dense(x.detach()),
    "data": lambda m, x: m.dense(x.data),
    "no_grad": without_gradient,
    "nothing": lambda m, x: m.head(m.table.weight[:1].expand(len(x), 4)),
    "constant": lambda m, x: torch.ones(len(x), 3),
    "numpy": lambda m, x: m.dense(torch.from_numpy(x.detach().numpy())),
}


def view_of(read: str, frozen: bool = False):
    model = Reader(READERS[read])
    for p in model.parameters():
        p.requires_grad_(not frozen)
    # The words of a text, as numbers of a table.
    return make_view(model, TOKENS, background=TOKENS.flip(0))


@pytest.mark.parametrize("name", NEED)
@pytest.mark.parametrize("read", READERS)
def test_what_no_gradient_reaches_is_unsupported(name, read):
    with pytest.raises(UnsupportedError, match=r"gradient|numpy") as caught:
        run(name, view_of(read))
    assert caught.value.hint is not None


@pytest.mark.parametrize("name", NEED)
def test_frozen_parameters_change_nothing(name):
    with pytest.raises(UnsupportedError, match="gradient"):
        run(name, view_of("embedding", frozen=True))


@pytest.mark.parametrize("name", BLIND)
def test_others_explain_it(name):
    assert torch.isfinite(run(name, view_of("embedding"))).all()


def test_there_are_enough_of_them():
    assert {"gradient", "saliency", "integrated_gradients", "smoothgrad", "gradient_shap", "lrp", "deep_lift"} <= set(
        NEED
    )


@pytest.mark.parametrize("name", NEED)
def test_inputs_that_a_model_changes_in_place_have_gradients(name):
    def shifted(m: Reader, x: Tensor) -> Tensor:
        x -= 1
        return m.dense(x)

    inputs = TOKENS.clone()
    model = Reader(shifted)
    view = make_view(model, inputs, background=TOKENS.flip(0), targets=torch.zeros(3, dtype=torch.int64))
    assert torch.isfinite(run(name, view)).all()
    assert torch.equal(inputs, TOKENS)
