"""A linear head on a frozen pretrained transformer: real weights, and gradients through all of it."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Gt
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.core.hugging_face import from_folder
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.token_predictor import TokenPredictor
from xaibench.datasets.film_opinions import PRETRAINED, pretrained_folder


class PooledEncoder(nn.Module):
    """Logits (B, 2) of embeddings (B, m, D): an encoder, the mean over its places, and a linear head.

    Attributes
    ----------
    encoder : torch.nn.Module
        Of the library transformers.
    head : nn.Linear or nn.Identity
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.head: nn.Module = nn.Identity()

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        hidden = self.encoder(inputs_embeds=embeddings, attention_mask=mask.long()).last_hidden_state
        found: Tensor = self.head(hidden.mean(dim=1))
        return found


@model("minilm_head", provides={"gradients", "module", "attention"}, features={"tokens"}, version=1)
def minilm_head(data: Data, *, penalty: Annotated[float, Gt(0)] = 10.0) -> TokenPredictor:
    """Logistic regression on the mean of all places of a pretrained transformer (all-MiniLM-L6-v2), which is frozen.

    Needs the extra ``text`` and `xaibench data fetch minilm_l6`.

    Parameters
    ----------
    penalty : float
        On the squared weights of the head, 1 / C of scikit-learn.

    Raises
    ------
    UsageError
        If the texts were not tokenised for it.
    """
    if data.facts.get("pretrained") != PRETRAINED or data.n_classes != 2:
        raise UsageError(
            f"minilm_head takes two classes of texts that were tokenised for {PRETRAINED}",
            "use the data set film_opinions",
        )
    encoder = from_folder("AutoModel", str(pretrained_folder())).eval()
    for p in encoder.parameters():
        p.requires_grad_(False)
    network = PooledEncoder(encoder).eval()
    table = encoder.get_input_embeddings()
    features = predict_raw(TokenPredictor(network, table, data.tokens, "value"), data.train_inputs).double().numpy()
    fitted = LogisticRegression(C=1 / penalty, max_iter=1000).fit(features, data.train_targets)
    # Logits of the two classes are minus and plus half of the regression's.
    weights = np.concatenate([-fitted.coef_, fitted.coef_]) / 2
    head = nn.Linear(features.shape[1], 2)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights))
        head.bias.copy_(torch.from_numpy(np.concatenate([-fitted.intercept_, fitted.intercept_]) / 2))
    network.head = head
    return TokenPredictor(network.eval(), table, data.tokens)
