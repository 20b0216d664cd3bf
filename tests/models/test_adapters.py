from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.builders import linear, make_inputs, mlp
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from xaibench.core.errors import UsageError
from xaibench.core.predictor import CallablePredictor, TorchPredictor
from xaibench.models.adapters import as_predictor, find_device, fingerprint
from xaibench.models.first_look import first_look

X = make_inputs((2, 3), 60)
FLAT = X.flatten(1).numpy()
Y3, Y2 = FLAT[:, :3].argmax(axis=1), (FLAT[:, 0] > 0).astype(int)


def test_a_module_gives_logits_in_evaluation_mode():
    module = nn.Sequential(mlp((2, 3)), nn.Dropout(0.5)).train()
    predictor = as_predictor(module)
    assert isinstance(predictor, TorchPredictor)
    assert predictor.returns == "logit"
    assert torch.equal(predictor.predict(X), predictor.predict(X))


def test_what_a_module_returns_is_assumed_until_a_first_look_decides():
    module = nn.Sequential(linear((2, 3)), nn.Softmax(dim=1))
    assert as_predictor(module).returns_assumed
    assert not as_predictor(module, returns="probability").returns_assumed
    assert first_look(as_predictor(module), torch.ones(1, 2, 3)).returns == "probability"
    assert as_predictor(module, returns="value").returns == "value"


FOREST = RandomForestClassifier(5, random_state=0)
PIPELINE = make_pipeline(StandardScaler(), LogisticRegression())


@pytest.mark.parametrize("estimator", [LogisticRegression(), FOREST, PIPELINE])
def test_a_classifier_gives_its_probabilities_for_flattened_inputs(estimator):
    predictor = as_predictor(estimator.fit(FLAT, Y3))
    assert predictor.returns == "probability"
    np.testing.assert_allclose(predictor.predict(X).numpy(), estimator.predict_proba(FLAT), rtol=1e-6)


@pytest.mark.parametrize("estimator", [RidgeClassifier(), LinearSVC()])
def test_a_classifier_without_probabilities_gives_its_decision_function(estimator):
    predictor = as_predictor(estimator.fit(FLAT, Y3))
    assert predictor.returns == "logit"
    np.testing.assert_allclose(predictor.predict(X).numpy(), estimator.decision_function(FLAT), rtol=1e-5)
    binary = as_predictor(estimator.fit(FLAT, Y2)).predict(X).numpy()
    np.testing.assert_allclose(binary[:, 1] - binary[:, 0], estimator.decision_function(FLAT), rtol=1e-5)
    assert (binary.argmax(axis=1) == estimator.predict(FLAT)).all()
    with pytest.raises(UsageError, match="cannot return probability") as caught:
        as_predictor(estimator, returns="probability")
    assert "logit" in (caught.value.hint or "")


def test_the_decision_function_agrees_with_the_probabilities_of_logistic_regression():
    for labels in (Y2, Y3):
        estimator = LogisticRegression().fit(FLAT, labels)
        logits = as_predictor(estimator, returns="logit").predict(X)
        np.testing.assert_allclose(torch.softmax(logits, 1).numpy(), estimator.predict_proba(FLAT), atol=1e-6)


def test_a_regressor_gives_values():
    estimator = LinearRegression().fit(FLAT, FLAT @ np.arange(6.0))
    predictor = as_predictor(estimator)
    assert predictor.returns == "value"
    np.testing.assert_allclose(predictor.predict(X)[:, 0].numpy(), FLAT @ np.arange(6.0), atol=1e-5)


def test_an_estimator_fitted_on_a_frame_gets_a_frame():
    """scikit-learn warns otherwise, and warnings are errors here."""
    names = [f"c{i}" for i in range(6)]
    frame = pd.DataFrame(FLAT, columns=names)
    estimator = LogisticRegression().fit(frame, Y3)
    np.testing.assert_allclose(as_predictor(estimator).predict(X).numpy(), estimator.predict_proba(frame), rtol=1e-6)


def test_a_callable_gives_probabilities_and_a_predictor_stays_as_it_is():
    predictor = as_predictor(lambda x: np.stack([x.sum((1, 2)), -x.sum((1, 2))], axis=1))
    assert isinstance(predictor, CallablePredictor)
    assert predictor.returns == "probability"
    assert as_predictor(predictor) is predictor
    assert as_predictor(predictor.function, returns="logit").returns == "logit"


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (3, {}, "a int is not a model"),
        (None, {}, "a NoneType is not a model"),
        (LogisticRegression(), {}, "not fitted"),
        (LogisticRegression, {}, "is a class"),
        (nn.Linear, {}, "is a class"),
        (linear((6,)), {"returns": "logits"}, "cannot return 'logits'"),
        (linear((6,)), {"device": "tpu9"}, "unknown device 'tpu9'"),
        (linear((6,)), {"device": "meta"}, "not supported"),
        (linear((6,)), {"device": "cuda:99"}, "no device 'cuda:99'"),
        (linear((6,)), {"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_what_is_no_model_is_a_usage_error(model, options, reason):
    with pytest.raises(UsageError, match=reason):
        as_predictor(model, **options)


def test_the_cpu_is_always_there():
    assert find_device("cpu") == find_device(torch.device("cpu")) == torch.device("cpu")


def test_fingerprints_tell_models_apart():
    inputs = X.numpy()
    one = fingerprint(linear((2, 3)), inputs)
    assert one == fingerprint(linear((2, 3)), inputs)
    assert one == fingerprint(as_predictor(linear((2, 3))), inputs)
    assert one != fingerprint(linear((2, 3), seed=1), inputs)
    nudged = linear((2, 3))
    with torch.no_grad():
        nudged[1].bias[0] = torch.nextafter(nudged[1].bias[0], torch.tensor(9.0))
    assert one != fingerprint(nudged, inputs)
    relu, tanh = (nn.Sequential(nn.Flatten(), nn.Linear(6, 2), a) for a in (nn.ReLU(), nn.Tanh()))
    tanh.load_state_dict(relu.state_dict())
    assert fingerprint(relu, inputs) != fingerprint(tanh, inputs)
    forests = [RandomForestClassifier(5, random_state=s).fit(FLAT, Y3) for s in (0, 0, 1)]
    first, same, other = (fingerprint(f, inputs) for f in forests)
    assert first == same != other
