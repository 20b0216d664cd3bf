"""Which explainers a certificate is about where none are named, and what they put in the place of features."""

from __future__ import annotations

from typing import Any

from xaibench.core import registry
from xaibench.core.data import Data
from xaibench.core.needs import missing_needs, need_of_data

REMOVING = ("occlusion", "lime", "kernel_shap", "shapley_sampling")
OF_TABLES = ("tabular_lime",)
OF_GRADIENTS = ("gradient", "input_x_gradient", "integrated_gradients", "smoothgrad", "deep_lift", "lrp")
OF_IMAGES = (*OF_GRADIENTS, "guided_backprop", "grad_cam", "occlusion", "lime", "kernel_shap", "rise")
OF_SERIES = (*OF_GRADIENTS, "occlusion", "lime", "kernel_shap")
OF_TEXTS = (
    *("feature_ablation", "lime", "kernel_shap", "shapley_sampling"),
    *("gradient", "input_x_gradient", "integrated_gradients", "smoothgrad"),
    *("attention_rollout", "value_zeroing", "attn_lrp"),
)
MEAN = "mean"
"""Masker and baseline of explainers: the mean over planted training rows, at which no version stands."""
OF_NORM = ("gradient", "smoothgrad")
"""Explainers of texts whose slopes over an embedding are its norm: their sum over channels means nothing."""


def default_explainers(data: Data, provides: frozenset[str]) -> list[Any]:
    """Explainers that apply to this kind of data and model, removing features by their mean, words by a symbol."""
    of_kind = {"image": OF_IMAGES, "series": OF_SERIES, "tokens": OF_TEXTS}
    names = of_kind.get(data.features, (*OF_TABLES, *REMOVING, *OF_GRADIENTS))
    offered = {"background", "reexplain", "labels", need_of_data(data.features), *provides}
    masker = text_masker(data) if data.has_ids else MEAN
    return [
        with_masker(name, masker) for name in names if not missing_needs(registry.get("explainer", name).needs, offered)
    ]


def text_masker(data: Data) -> str:
    """What stands for a removed word: the symbol of a hidden or an unknown one, else nothing."""
    known = {} if data.tokens is None else data.tokens.symbols
    return next((name for name in ("mask", "unk") if name in known), "delete")


def with_masker(name: str, masker: str) -> Any:
    """An explainer as a suite names it, with this masker where it has one, and this baseline where that has a value."""
    known = registry.get("explainer", name).parameters
    possible = ("masker",) if masker == "delete" else ("masker", "baseline")
    params = {p: masker for p in possible if p in known and known[p] != masker}
    if masker != MEAN and name in OF_NORM:
        params["channels"] = "norm"
    return {"name": name, "params": params} if params else name


def shown_name(entry: Any) -> str:
    """What results call an explainer that a request names."""
    name = str(entry if isinstance(entry, str) else entry.get("name") or entry.get("file") or "")
    return name.rpartition(":")[2] if ".py:" in name else name
