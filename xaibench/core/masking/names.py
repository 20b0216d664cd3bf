"""Names of the maskers, and which of them draw: known without importing what computes with them."""

from __future__ import annotations

MASKERS_VERSION = 2
"""Raised when what a masker fills in changes: shared evaluations of older versions are not used again."""
DRAWN = frozenset({"uniform", "marginal", "noisy_linear", "conditional", "unigram", "mlm", "segment_marginal"})
"""Maskers with random numbers; results that rest on them belong to `MASKERS_VERSION`."""
FILLING = ("zero", "mean", "blur", "uniform", "marginal", "sample_min")
"""Maskers that replace removed features by those of a fixed fill."""
TOKEN_MASKERS = {
    "mask": "The symbol of a hidden token, in every piece of a word.",
    "pad": "The symbol of an empty token. The model attends to it: it is a strange word, not an absence.",
    "unk": "The symbol of an unknown token.",
    "mask_word": "The symbol of a hidden token once for a whole word, whose other pieces are deleted: `mask` tells how "
    "many pieces a word had.",
    "delete": "The token is taken out and the text closes up, which moves what follows. It has no value, so no line "
    "leads to it: it serves removal, not baselines. Other data have it where the model takes NaN as a missing value.",
    "unigram": "A token of the reference samples, drawn for every place; of words one with at most as many pieces.",
    "mlm": "A token drawn by a masked language model, for every place given the rest of its text; of words one of a "
    "single piece. The model is that of `xb.text_model(..., mlm=)`.",
}
"""Maskers that other data do not have, and what they do."""
SERIES_MASKERS = {
    "interpolate": "The straight line between the nearest kept steps of its sensor, constant beyond the ends; of a "
    "sensor without kept steps the background's mean.",
    "carry_forward": "The last kept value of its sensor, before the first kept one the first kept. It is the only "
    "masker that does not look into the future, for models that predict every step.",
    "window_mean": "Mean of the kept cells of its sensor within an eighth of the series (at least 2 steps) on either "
    "side; of all kept ones where there is none near.",
    "segment_marginal": "The stretch of a background row, drawn per sample, shifted and tilted so that both ends meet "
    "the kept neighbours: no jumps at the seams.",
}
"""Maskers that only series have, and what a removed cell becomes."""
FROM_KEPT_STEPS = frozenset({"interpolate", "carry_forward", "window_mean"})
"""Maskers under which a single cell loses next to nothing on a smooth series, so that removal goes by segments."""
MASKERS = (*FILLING, "noisy_linear", "conditional", *TOKEN_MASKERS, *SERIES_MASKERS)
SUMMARIES = {
    "zero": "All zeros.",
    "mean": "Mean of the background per channel, sensor, or column of a table; without one, the sample's own mean.",
    "blur": "Gaussian blur with a standard deviation of an eighth of the side, edges replicated (images and series).",
    "uniform": "One draw from U(lowest, highest), the range of the background's channel, sensor or column, else the "
    "sample's.",
    "marginal": "One row of the background, drawn per sample.",
    "sample_min": 'The smallest number of the sample itself, over all channels and sensors ("black" of an image).',
    "noisy_linear": "Replaces removed features by a weighted mean of their neighbours plus noise (Rong et al. 2022, "
    "ROAD).",
    "conditional": "Replaces removed columns of a table by a draw given the others, from a Gaussian fitted to the "
    "background.",
    **TOKEN_MASKERS,
    **SERIES_MASKERS,
}
"""What each masker does, in a sentence: of those that compute, the first line of their docstring."""
