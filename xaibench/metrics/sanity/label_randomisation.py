"""Data randomisation test (Adebayo et al. 2018): explanations of a model trained on random labels must differ."""

from __future__ import annotations

from dataclasses import replace

from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.predictor import Predictor
from xaibench.core.registry import metric
from xaibench.core.retraining import retraining_seed, variant
from xaibench.core.types import Share
from xaibench.metrics.engines.explained_rows import retraining_of, rows_of
from xaibench.metrics.maps.similarity import Similarity, similarity_to


@metric(
    "label_randomisation",
    family="sanity",
    higher_is_better=False,
    bounds=(-1, 1),
    needs={"reexplain", "retrain"},
    source="Adebayo et al. 2018, Sanity checks for saliency maps; data randomisation test",
    undefined_for={"zero maps", "constant maps"},
)
def label_randomisation(
    ev: Evaluation,
    *,
    similarity: Similarity = "spearman",
    epochs: PositiveInt = 100,
    min_accuracy: Share = 0.95,
    max_train: PositiveInt = 2000,
) -> Tensor:
    """Similarity of the explanation to that of a model fitted to permuted labels.

    An explanation that stays is about the inputs or the architecture, not about what the model
    learned from the labels. Both models are explained for the same targets. All explainers are
    compared on the same retrained model, one per seed.

    Parameters
    ----------
    similarity : {"spearman", "abs_spearman", "pearson"}
    epochs : int
        How long the model is trained, where its recipe has such a parameter: recipes stop long
        before random labels are learned by heart.
    min_accuracy : float
        Share of the permuted labels that the model must have learned. A model that did not learn
        them is just another random model, and `mprt` tests with those.
    max_train : int
        Rows of the training data that are used at most, evenly spaced.

    Returns
    -------
    Tensor (N,)
        NaN where one of the maps is constant.

    Raises
    ------
    UnsupportedError
        If the model did not learn enough of the permuted labels; the message says how much.
    """
    model, accuracy = _fitted_to_permuted_labels(ev, epochs, max_train)
    if accuracy < min_accuracy:
        raise UnsupportedError(
            f"the model learned {accuracy:.1%} of the permuted labels, not {min_accuracy:.0%}",
            "more epochs or a smaller max_train help",
        )
    return similarity_to(ev.attributions.flatten(1), similarity)(ev.explain(ExplainRequest(model=model)).flatten(1))


def _fitted_to_permuted_labels(ev: Evaluation, epochs: int, max_train: int) -> tuple[Predictor, float]:
    """The model, and the share of the permuted labels that it gives back."""
    retraining = retraining_of(ev)
    rows = rows_of(ev, "train", max_train)
    order = Draws(ev.seed, "permuted labels", (b"train",)).permutation((len(rows),))[0].to(rows.targets.device)
    targets = rows.targets[order]
    data = variant(
        retraining.data,
        train_inputs=rows.inputs.cpu().numpy(),
        train_targets=targets.cpu().numpy(),
        train_context={name: values.cpu().numpy() for name, values in rows.context.items()},
    )
    model = retraining.fit(data, retraining_seed("permuted labels", ev.seed), epochs=epochs)
    right = replace(rows, model=model).predict(rows.inputs).argmax(dim=1) == targets
    return model, float(right.double().mean())
