"""Descriptions of every stored column of a result row, for the data dictionary of the documentation."""

from __future__ import annotations

RESULT_COLUMN_DESCRIPTIONS: dict[str, str] = {
    "cell_id": "Logical identity of the cell: names, parameters, versions, seeds and sample selection.",
    "lineage": "Identity without versions; it tells a stale cell from a new one.",
    "unit_id": "Identity of the unit: all cells that score one explanation share it.",
    "dataset": "Name of the data set, with the parameters that the suite gives it.",
    "model": "Name of the model, with the parameters that the suite gives it; functions, or the kind of cases.",
    "problem_seed": "Seed of the data and of the training.",
    "selection": "Which samples, class and output are explained, and against how many reference samples: "
    "test[:48] predicted default train[:64].",
    "explainer": "Name of the explainer or interpreter.",
    "explainer_params": "All parameters of the explainer, defaults included, as canonical JSON.",
    "seed": "Seed of explaining and scoring.",
    "repeat": "Number of the draw of the random control; 0 for everything else.",
    "metric": "Name of the metric.",
    "params": "All parameters of the metric, defaults included, as canonical JSON.",
    "family": "Family of the metric: faithfulness, ground_truth, axiomatic, sanity, robustness or complexity.",
    "higher_is_better": "Whether a larger score is a better one.",
    "aggregate": "How scores become one number: mean, or median_log10 (the median of log10 of the scores).",
    "skill_valid": "Whether the oracle is provably the best possible, so that skill has a meaning.",
    "control": "Whether the explainer is a control: it is shown and never ranked.",
    "versions": "Versions of data set, model, explainer and metric, as JSON.",
    "status": "What became of the cell: ok, undefined, unsupported, failed, timeout or oom; missing where a "
    "planned cell has no row.",
    "run": "Number of the run that made the row.",
    "created": "Time at which the row was made, in UTC.",
    "score_key": "Content key of the scores: equal keys mean that scores are reused. Null where none was computed.",
    "explain_key": "Content key of the explanation, for its reuse.",
    "fingerprint": "Digest of weights, data and sample selection: what the problem is, whatever it is called.",
    "attribution_kind": "What the attributions mean: slope, contribution or saliency; what else an answer is: program, "
    "scores or dictionary.",
    "conversion": "How slopes were converted before scoring, such as slope x (input - mean); none if they were not.",
    "output": "The output that was measured: logit, probability, margin, contrast (with a foil), value, or "
    "standardised_value (values in standard deviations from their mean over the background).",
    "asked_output": "The output that the suite asks the metric to measure; null where the metric's own rule holds.",
    "sign": "What the metric did with the sign of attributions: signed, absolute or positive.",
    "channels": "How the channels of an image, or the columns of a group, became one number, for example sum; "
    "none for single numbers, as given for maps that were made elsewhere and had one number per feature.",
    "truth_kind": "What the ground truth is about: model, data, circuit or program. Null where there is none.",
    "gate_passed": "Whether every gate of the problem passed, and not every case failed one of its own. Null where the "
    "problem was not prepared.",
    "gates": "JSON list of the measured gates: name, value, threshold, at_least, passed; case where it is about one "
    "function or case only, which is left out of rankings, claims and comparisons if it failed; limited, which is "
    "false, where the value is shown without a condition.",
    "error_kind": "Class of the exception of a failed cell.",
    "message": "Why the cell is not ok, in a sentence.",
    "traceback": "Traceback of a failed cell, or the last lines that its worker wrote.",
    "scores": "One score per sample (their mean, where one row is a sample for each of its labels), or per repeat with "
    "scope dataset; NaN where undefined, empty if none was made.",
    "sample_ids": "Names of the samples or repeats behind the scores, in their order; equal names pair up.",
    "n": "Number of scores.",
    "n_undefined": "Number of scores that are NaN.",
    "explain_seconds": "Wall time of the explanation in seconds; a reused one keeps the time that it took when made.",
    "score_seconds": "Wall time of scoring in seconds.",
    "explain_cached": "Whether the explanation was read from the store instead of made.",
    "n_evaluations": "Model evaluations that scoring took; of programs, the questions that were asked; of cases, the "
    "runs of the model that the explainer made.",
    "batch_size": "Inputs that the model was given at a time.",
    "device": "Device that the model ran on, for example cpu.",
    "threads": "CPU threads of the process.",
    "scope": "What a score is of: sample, or dataset (one score per repeat over the whole data set).",
    "layer_used": "Layer that the explainer takes its feature maps from: name, operation and shape. Null without one.",
    "model_facts": "JSON of what a first look at the model found: outputs, number types, gradients, what is lacking.",
    "explain_memory": "Peak memory of the explanation in bytes, beyond what the process held when it began; null where "
    "it was reused, or where the system does not tell.",
    "score_memory": "Peak memory of scoring in bytes, beyond what the process held when it began.",
}
"""A sentence or two by column of `SCHEMA`, in its order."""
