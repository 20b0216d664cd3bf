"""Descriptions of every column of a certificate, for the data dictionary of the documentation."""

from __future__ import annotations

from collections.abc import Mapping

COPY_COLUMN_DESCRIPTIONS: dict[str, str] = {
    "plant": "Kind of shortcut that was planted.",
    "level": "Probability with which a carrier's label follows the plant; 0 is the null twin.",
    "copy": "Number of the copy: seed of its carriers and of its training.",
    "reliance": "Share of test rows that a swap of versions decides the right way, less those the wrong way.",
    "dominance": "Half the change of the output by a swap, over its spread with the version held fixed.",
    "clean_accuracy": "Accuracy of the copy on test rows without the plant; of a regression R2.",
    "gates": "JSON list of everything that was measured on the copy.",
    "gates_passed": "Whether the copy counts: its gates, those of its twin and of its full level passed.",
    "failed": "Why it does not count.",
    "explainer": "The explainer, with parameters where it is there with several.",
    "explainer_params": "Its parameters, as JSON.",
    "control": "Whether it is a control.",
    "found": "Share of decisive rows in which the plant is the largest unit; of a pair, of its halves.",
    "found_all": "The same over all rows.",
    "found_overdetermined": "The same over rows that the plant does not decide alone.",
    "found_on_twin": "The same on the null twin, in the decisive rows of this copy.",
    "net": "found less found_on_twin.",
    "auroc": "Probability that the plant ranks higher on the copy than on its twin; never ranked.",
    "n": "Decisive rows.",
    "n_rows": "Rows that were explained.",
    "seconds": "Seconds that explaining them took.",
    "fingerprint": "Content of the copy: weights, data and selection.",
    "dataset": "The data set, as it was named.",
    "model": "The recipe, as it was named.",
    "original_accuracy": "Accuracy of the recipe on the data without a plant.",
    "original_fingerprint": "Content of the model that was fitted to them.",
    "data_fingerprint": "Content of the data without a plant.",
}
"""A sentence by column of ``certify.parquet``, in its order."""
THRESHOLD_COLUMN_DESCRIPTIONS: dict[str, str] = {
    "explainer": "The explainer, with parameters where it is there with several.",
    "explainer_params": "Its parameters, as JSON.",
    "control": "Whether it is a control.",
    "threshold": "Reliance at which the curve of net first reaches one half; infinite if never.",
    "threshold_low": "Lower end of the 95 % interval over resampled copies and rows.",
    "threshold_high": "Upper end.",
    "censored": "below: one half is reached at the weakest copy, so the threshold is at most that; never; or empty.",
    "area": "Mean of net over reliance.",
    "found_at_full_level": "Share found in decisive rows at the highest level, mean over copies.",
    "net_at_full_level": "The same beyond the null twin.",
    "found_on_twin": "Share of all rows of the null twin in which the plant is the largest unit.",
    "n_decisive": "Decisive rows of the copy with the fewest, at the highest level.",
    "n_copies": "Copies that count.",
    "p": "Smallest p over the levels, after Holm's correction over explainers and levels.",
    "finds": "Whether it shows the plant more often than on the twin and than every placebo does.",
    "ranked": "Whether it has a place in the order: no control, and at least 20 decisive rows.",
    "tie_group": "Letters: two explainers share one if the resamples do not separate their thresholds.",
    "verdict": "What that means, in words.",
}
"""A sentence by column of ``thresholds.parquet``, in its order."""

_TEXTS = {
    "plant", "gates", "failed", "explainer", "explainer_params", "fingerprint", "dataset", "model",
    "original_fingerprint", "data_fingerprint", "censored", "tie_group", "verdict",
}  # fmt: skip
_COUNTS = {"copy", "n", "n_rows", "n_decisive", "n_copies"}
_TRUTHS = {"gates_passed", "control", "finds", "ranked"}


def column_types(described: Mapping[str, str]) -> dict[str, str]:
    """Type of every column of a certificate, as Parquet has it."""

    def kind(name: str) -> str:
        if name in _TEXTS:
            return "string"
        return "int64" if name in _COUNTS else "bool" if name in _TRUTHS else "double"

    return {name: kind(name) for name in described}
