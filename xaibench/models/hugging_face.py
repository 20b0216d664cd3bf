"""Classifiers of the library transformers, from a folder."""

from __future__ import annotations

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.core.hugging_face import folder_digest, from_folder
from xaibench.core.token_predictor import TokenPredictor
from xaibench.datasets.texts import MODEL_FOLDER
from xaibench.models.text_models import call_hugging_face


@model("hugging_face", provides={"gradients", "module", "attention"}, features={"tokens"})
def hugging_face(data: Data, *, path: str) -> TokenPredictor:
    """A classifier of transformers as it is in a folder; nothing is trained or downloaded.

    Parameters
    ----------
    path : str
        The folder, as ``save_pretrained`` writes it. The data set `texts` is given the same, as ``model``.

    Raises
    ------
    UsageError
        If the texts were not tokenised for this model as it is.
    """
    if data.facts.get(MODEL_FOLDER) != folder_digest(path):
        raise UsageError(
            f"the texts were not tokenised for the model in {path!r} as it is",
            "use the data set texts, with model= the same folder",
        )
    module = from_folder("AutoModelForSequenceClassification", path).eval()
    return TokenPredictor(module, module.get_input_embeddings(), data.tokens, call=call_hugging_face)
