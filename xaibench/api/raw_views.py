"""Reading token ids and samples of different lengths, and the model that takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.api.raw_rows import is_ragged, series_rows, token_rows
from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.context import Context
from xaibench.core.default_maskers import takes_masker, without_useless_defaults
from xaibench.core.errors import UsageError
from xaibench.core.features import GRAPH_KINDS, FeatureLayout, infer_layout, raw_layout
from xaibench.core.graphs import graph_digests
from xaibench.core.keys import sample_digests
from xaibench.core.masking.maskers import DRAWN, MASKERS
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView
from xaibench.core.raw_rows import RawRows
from xaibench.core.tokens import Tokens, text_widths
from xaibench.core.types import Array
from xaibench.models.adapters import as_predictor
from xaibench.models.text_adapters import as_text_predictor


@dataclass(frozen=True)
class RawSamples:
    """Samples of different sizes as a caller gave them.

    Attributes
    ----------
    predictor : Predictor
    inputs : Tensor (N, L, ...)
        Raw rows: token ids, or float32.
    rows : array (N, L, ...)
        The same as they were given, for their digests.
    sizes : Tensor (N,)
    layout : FeatureLayout
        Of the raw rows.
    references : RawRows or None
        The reference samples.
    counts : mapping of str to Tensor (N,)
        Of graphs: what is to be known of their sizes beside ``sizes``.
    """

    predictor: Predictor
    inputs: Tensor
    rows: Array
    sizes: Tensor
    layout: FeatureLayout
    references: RawRows | None
    counts: Context = field(default_factory=dict)

    def digests(self, context: Context) -> tuple[bytes, ...]:
        """Identity of every sample with its context."""
        beside = {name: values.cpu().numpy() for name, values in context.items()}
        if self.layout.kind in GRAPH_KINDS:
            return graph_digests(self.layout.kind, self.rows, beside)
        widths = text_widths(self.rows) if self.predictor.encodes_ids else None
        return sample_digests(self.rows, beside, self.sizes.cpu().numpy(), widths)


def read_raw(
    model: Any,
    inputs: Any,
    background: Any,
    *,
    features: str | None,
    tokens: Tokens | None,
    embedding: nn.Embedding | Tensor | str | None,
    returns: str | None,
    device: str,
    batch_size: int | None,
    context: Context | None = None,
) -> RawSamples | None:
    """Read token ids or samples of different lengths; None where the inputs are neither.

    Raises
    ------
    UsageError
        If they are not what they are said to be.
    """
    text = _is_text(model, inputs, features, tokens, embedding)
    if not text and not is_ragged(inputs) and not is_ragged(background):
        return None
    if text:
        known = tokens if tokens is not None else getattr(model, "tokens", None)
        inputs, background = ids_of_strings(model, inputs), ids_of_strings(model, background, "background")
        rows, sizes = token_rows(inputs, known)
        predictor = as_text_predictor(
            model,
            torch.from_numpy(rows),
            tokens,
            context=context,
            embedding=embedding,
            returns=returns,
            device=device,
            batch_size=batch_size,
        )
        given = None if background is None else token_rows(background, known, "background")
        values, layout = torch.from_numpy(rows), raw_layout(rows.shape[1:])
        if given is not None and given[0].ndim != rows.ndim:
            raise UsageError(f"background has {given[0].ndim} axes and inputs {rows.ndim}", "give texts of one kind")
    else:
        if features != "series":
            raise UsageError(
                "samples of different lengths", "say features='series' or 'tokens'; images and tables have one size"
            )
        rows, sizes = series_rows(inputs, "inputs")
        given = None if background is None else series_rows(background, "background")
        predictor = as_predictor(model, returns=returns, device=device, batch_size=batch_size)
        values, layout = torch.from_numpy(rows.astype(np.float32)), infer_layout(rows.shape[1:], "series")
        if given is not None and given[0].shape[2:] != rows.shape[2:]:
            raise UsageError(f"background has steps of shape {given[0].shape[2:]}, inputs {rows.shape[2:]}")
    where, references = predictor.device, None
    if given is not None:
        if len(given[0]) == 0:
            raise UsageError("background has no samples", "leave it out, or give at least one")
        kind = torch.int64 if text else torch.float32
        rows_of, sizes_of = (torch.from_numpy(part) for part in given)
        own = raw_layout(rows_of.shape[1:]) if text else infer_layout(rows_of.shape[1:], "series")
        references = RawRows(rows_of.to(where, kind), sizes_of.to(where), own)
    reader = getattr(predictor, "reader", None)
    given_rows = rows if reader is None or not text else reader.identities(rows)
    return RawSamples(predictor, values.to(where), given_rows, torch.from_numpy(sizes).to(where), layout, references)


def ids_of_strings(model: Any, texts: Any, name: str = "inputs") -> Any:
    """The ids of strings for a model that reads them; what are not strings is returned as it is."""
    reader = getattr(model, "reader", None)
    if reader is None or texts is None:
        return texts
    if isinstance(texts, Iterator):
        raise UsageError(f"{name} are a {type(texts).__name__}", "give a list of texts")
    if not _holds_strings(texts):
        return texts
    return reader.read(texts, name)


def _holds_strings(texts: Any) -> bool:
    if isinstance(texts, str):
        return True
    if isinstance(texts, Tensor | Iterator) or not isinstance(texts, Iterable):
        return False
    return any(isinstance(text, str) for text in texts)


def default_maskers(spec: ExplainerSpec | MetricSpec, params: dict[str, Any], view: ProblemView) -> dict[str, Any]:
    """The parameters, with a masker that means something for tokens, or edges, where none was named.

    A symbol that stands for a hidden token, else for an empty one; without symbols a token that is removed is
    deleted, and a line starts at 0 in embeddings. Of slopes by embeddings it is the norm: their sum changes when the
    embedding is rotated, and is 0 but for rounding in front of a layer normalisation.
    """
    if view.layout.kind != "tokens" or view.sizes is None:
        return {**params, **without_useless_defaults(spec, params, view.layout.default_masker)}
    masker = view.token_masker
    instead = {"masker": masker, "baseline": "zero" if masker == "delete" else masker}
    # What draws its fill goes on drawing: tokens of the reference samples.
    unnamed = {
        name: "marginal" if default in DRAWN else instead[name]
        for name, default in spec.parameters.items()
        if name in instead and name not in params and default in MASKERS
        if takes_masker(spec, name, "marginal" if default in DRAWN else instead[name])
    }
    if isinstance(spec, ExplainerSpec) and spec.attribution_kind == "slope" and "channels" in spec.parameters:
        unnamed |= {} if "channels" in params or view.encoded_layout.one_number_each else {"channels": "norm"}
    return {**params, **unnamed}


def _is_text(model: Any, inputs: Any, features: str | None, tokens: Any, embedding: Any) -> bool:
    if features not in (None, "tokens"):
        if tokens is not None or embedding is not None:
            raise UsageError(
                f"special_tokens= and embedding= are about texts, and features is {features!r}", "leave them out"
            )
        return False
    said = features == "tokens" or tokens is not None or embedding is not None
    if not said and not (isinstance(model, Predictor) and model.encodes_ids):
        return False
    if tokens is not None and not isinstance(tokens, Tokens):
        raise UsageError(f"special_tokens is a {type(tokens).__name__}", "give xb.Tokens(mask=..., pad=...)")
    if _holds_strings(inputs):
        return True
    shape = tuple(inputs.shape) if hasattr(inputs, "shape") else np.shape(inputs) if not is_ragged(inputs) else ()
    kind = getattr(inputs, "dtype", None)
    floats = kind is not None and (kind.is_floating_point if isinstance(kind, torch.dtype) else kind.kind == "f")
    # Numbers (N, L, D) are embeddings of tokens: dense inputs with a slot.
    return not (len(shape) == 3 and floats)
