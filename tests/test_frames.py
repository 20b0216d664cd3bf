"""Data frames as inputs: by column name, with their dtypes, to models that were fitted on frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import xaibench as xb
from xaibench.core.declaration_index import built_in
from xaibench.core.registry import components

pytestmark = pytest.mark.filterwarnings("ignore::xaibench.core.errors.UnusedBackgroundWarning")
JOBS = ["clerk", "cook", "nurse"]
N = 120


def people(n: int = N, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(20, 60, n),
            "job": np.array(JOBS, dtype=object)[rng.integers(3, size=n)],
            "income": rng.normal(3000, 500, n),
            "owner": rng.random(n) < 0.5,
            "size": pd.Categorical(np.array(["S", "M", "L"])[rng.integers(3, size=n)], categories=["S", "M", "L"]),
        }
    )


def value(frame: pd.DataFrame) -> pd.Series:
    jobs = frame["job"].astype(object).map({"clerk": 5.0, "cook": -20.0, "nurse": 11.0}).astype(float)
    sizes = frame["size"].astype(object).map({"S": 1.0, "M": 2.5, "L": -4.0}).astype(float)
    return 0.5 * frame["age"] + jobs + 0.01 * frame["income"] + 3.0 * frame["owner"].astype(float) + sizes


def fitted(frame: pd.DataFrame) -> Any:
    columns = ColumnTransformer(
        [("words", OneHotEncoder(), ["job", "size"]), ("numbers", StandardScaler(), ["income", "age"])],
        remainder="passthrough",
    )
    return make_pipeline(columns, LinearRegression()).fit(frame, value(frame))


def exact(frame: pd.DataFrame, background: pd.DataFrame) -> np.ndarray:
    """Contributions of an additive model against all rows of the background."""
    found = []
    for column in frame:
        only = background.copy()
        whole = value(background).mean()
        shown = []
        for v in frame[column]:
            only[column] = pd.Series([v] * len(background), dtype=background[column].dtype, index=background.index)
            shown.append(value(only).mean() - whole)
        found.append(shown)
    return np.array(found).T


DTYPES = {
    "as they are": {},
    "nullable": {"age": "Int64", "income": "Float64", "owner": "boolean", "job": "string"},
    "arrow": {"age": "int64[pyarrow]", "income": "double[pyarrow]", "owner": "bool[pyarrow]", "job": "string[pyarrow]"},
    "categories": {"job": "category"},
}


@pytest.mark.parametrize("dtypes", list(DTYPES.values()), ids=list(DTYPES))
def test_contributions_of_a_linear_model_are_exact_per_original_column(dtypes: dict[str, str]) -> None:
    train = people().astype(dtypes)
    rows = train.head(8)
    found = xb.explain(
        "kernel_shap", model=fitted(train), inputs=rows, background=train, references="rows", n_references=N
    )
    np.testing.assert_allclose(found, exact(rows, train), atol=2e-4)


@pytest.mark.parametrize("name", ["kernel_shap", "shapley_sampling", "lime", "occlusion", "rise", "tabular_lime"])
def test_order_of_columns_changes_nothing(name: str) -> None:
    train = people()
    model, rows = fitted(train), train.head(6)
    order = ["size", "income", "age", "owner", "job"]
    found = xb.explain(name, model=model, inputs=rows, background=train)
    other = xb.explain(name, model=model, inputs=rows[order], background=train[order[::-1]])
    where = [order.index(c) for c in rows]
    np.testing.assert_array_equal(np.asarray(found), np.asarray(other)[:, where])
    for metric in ("pixel_flipping", "sparseness", "max_sensitivity"):
        kw = {"masker": "marginal"} if metric == "pixel_flipping" else {}
        a = xb.score(metric, model=model, inputs=rows, background=train, explain=name, **kw)
        b = xb.score(metric, model=model, inputs=rows[order], background=train, explain=name, **kw)
        np.testing.assert_array_equal(a, b)


def test_maps_and_truth_of_a_caller_are_in_the_order_of_his_columns() -> None:
    train = people()
    model, rows = fitted(train), train.head(6)
    order = ["size", "income", "age", "owner", "job"]
    maps = np.random.default_rng(0).normal(size=(6, 5))
    mask = np.zeros((6, 5), bool)
    mask[:, 0] = True
    back = [order.index(c) for c in rows]
    for metric in ("auprc", "pixel_flipping"):
        kw = {"masker": "marginal"} if metric == "pixel_flipping" else {}
        a = xb.score(metric, model=model, inputs=rows[order], background=train, attributions=maps, truth=mask, **kw)
        b = xb.score(
            metric, model=model, inputs=rows, background=train, attributions=maps[:, back], truth=mask[:, back], **kw
        )
        np.testing.assert_array_equal(a, b)
    given = xb.explain("oracle", model=model, inputs=rows[order], truth=mask)
    np.testing.assert_array_equal(np.asarray(given), mask.astype(np.float32))
    made = xb.explain("occlusion", model=model, inputs=rows[order], background=train)
    again = xb.score("max_sensitivity", model=model, inputs=rows[order], background=train, attributions=made)
    assert np.isfinite(again).all()


def test_a_frame_gives_what_codes_and_a_decoder_give() -> None:
    train = people()
    model, rows = fitted(train), train.head(8)
    sizes = ["S", "M", "L"]

    def coded(frame: pd.DataFrame) -> np.ndarray:
        codes = frame.assign(
            job=[JOBS.index(v) for v in frame["job"]], size=[sizes.index(v) for v in frame["size"].astype(object)]
        )
        return codes.astype(float).to_numpy()

    def by_hand(codes: np.ndarray) -> np.ndarray:
        frame = pd.DataFrame(codes, columns=list(rows))
        frame["job"] = [JOBS[int(c)] for c in codes[:, 1]]
        frame["size"] = pd.Categorical([sizes[int(c)] for c in codes[:, 4]], categories=sizes)
        frame["owner"] = codes[:, 3] == 1
        return model.predict(frame)

    kw = {"masker": "marginal", "seed": 3}
    for name in ("kernel_shap", "lime", "feature_ablation", "shapley_sampling"):
        a = xb.explain(name, model=model, inputs=rows, background=train, **kw)
        b = xb.explain(name, model=by_hand, inputs=coded(rows), background=coded(train), returns="value", **kw)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
        s = [
            xb.score("pixel_flipping", model=m, inputs=x, background=r, attributions=a, masker="marginal", returns=k)
            for m, x, r, k in ((model, rows, train, None), (by_hand, coded(rows), coded(train), "value"))
        ]
        np.testing.assert_allclose(s[0], s[1], rtol=1e-6, atol=1e-6)


def test_a_sample_alone_is_explained_as_in_a_batch() -> None:
    train = people()
    model = fitted(train)
    for name in ("kernel_shap", "lime", "shapley_sampling", "tabular_lime"):
        kw = {"n_samples": 4} if name != "tabular_lime" else {}
        whole = xb.explain(name, model=model, inputs=train.head(5), background=train, **kw)
        alone = xb.explain(name, model=model, inputs=train.iloc[[3]], background=train, **kw)
        np.testing.assert_allclose(alone[0], whole[3], rtol=1e-6, atol=1e-6)


def test_columns_that_the_model_does_not_know_are_named() -> None:
    train = people()
    model, rows = fitted(train), train.head(4)
    with pytest.raises(xb.UsageError, match="inputs have no column 'job', which the model was fitted on") as error:
        xb.explain("occlusion", model=model, inputs=rows.rename(columns={"job": "jobs"}), background=train)
    assert error.value.hint == "did you mean 'jobs'?"
    with pytest.raises(xb.UsageError, match="inputs have a column 'debt', which is not among those"):
        xb.explain("occlusion", model=model, inputs=rows.assign(debt=1), background=train)
    with pytest.raises(xb.UsageError, match="background have no column 'age'"):
        xb.explain("occlusion", model=model, inputs=rows, background=train.drop(columns="age"))


def test_categories_need_a_background_to_be_removed() -> None:
    train = people()
    model, rows = fitted(train), train.head(4)
    with pytest.raises(
        xb.UnsupportedError, match="nothing to put in the place of features that are categories"
    ) as error:
        xb.explain("occlusion", model=model, inputs=rows)
    assert error.value.hint == "pass background=, reference samples"


class Strict:
    """A model that raises for everything that its training data did not have."""

    classes_ = np.array([0, 1])

    def __init__(self, seen: pd.DataFrame) -> None:
        self.seen = seen
        self.feature_names_in_ = np.array(list(seen), dtype=object)

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        assert list(frame) == list(self.seen)
        for column in ("job", "size", "owner"):
            assert frame[column].dtype == self.seen[column].dtype
            assert set(frame[column].astype(object)) <= set(self.seen[column].astype(object))
        p = 1 / (1 + np.exp(-(value(frame).to_numpy(float) - 40) / 10))
        return np.stack([1 - p, p], axis=1)


MASKERS = ["zero", "mean", "uniform", "marginal", "sample_min"]


@pytest.mark.parametrize("masker", MASKERS)
@pytest.mark.parametrize("dtypes", list(DTYPES.values()), ids=list(DTYPES))
def test_maskers_put_categories_there_that_exist(masker: str, dtypes: dict[str, str]) -> None:
    train = people().astype(dtypes)
    rows, model = train.head(6), Strict(train)
    for name in ("kernel_shap", "lime", "feature_ablation", "rise"):
        assert np.isfinite(xb.explain(name, model=model, inputs=rows, background=train, masker=masker)).all()
    for metric in ("pixel_flipping", "deletion", "faithfulness_correlation"):
        found = xb.score(metric, model=model, inputs=rows, background=train, explain="occlusion", masker=masker)
        assert np.isfinite(found).any()


@pytest.mark.parametrize(
    "metric",
    ["max_sensitivity", "local_lipschitz", "infidelity", "relative_input_stability", "relative_output_stability"],
)
def test_noise_is_on_numbers_only(metric: str) -> None:
    train = people()
    found = xb.score(metric, model=Strict(train), inputs=train.head(6), background=train, explain="occlusion")
    assert np.isfinite(found).any()
    words = train[["job", "size"]]
    only = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(words, train["age"] > 40)
    with pytest.raises(xb.UnsupportedError, match=r"noise needs a feature that is a quantity, and all are categories"):
        xb.score(metric, model=only, inputs=words.head(6), background=words, explain="occlusion")


@pytest.mark.parametrize(
    "name",
    ["finite_difference", "c_lime", "partial_dependence", "accumulated_local_effects", "pattern", "m_plot", "firm",
     "conditional_shapley"],
)  # fmt: skip
def test_what_moves_along_a_feature_is_refused_for_categories(name: str) -> None:
    train = people()
    with pytest.raises(xb.UnsupportedError, match="needs features that are quantities, and feature 1 is a category"):
        xb.explain(name, model=fitted(train), inputs=train.head(4), background=train)


def test_every_explainer_and_metric_gives_numbers_or_a_sentence() -> None:
    train = people()
    problem = xb.Problem(Strict(train), train.head(5), background=train, labels=[0, 1, 0, 1, 0])
    # Not those that tests of plugins have registered.
    names = [spec.name for spec in components("explainer") if built_in(spec) and not spec.about_programs]
    metrics = ["pixel_flipping", "sparseness", "max_sensitivity", "faithfulness_correlation", "completeness"]
    table = problem.evaluate(names, metrics, controls=False, random_draws=2, progress=False)
    failed = table[table["status"] == "failed"]
    assert failed.empty, failed[["explainer", "metric", "message"]].drop_duplicates().to_string()
    assert {"kernel_shap", "lime", "rise", "tabular_lime", "occlusion"} <= set(
        table.query("status == 'ok' and metric == 'pixel_flipping'")["explainer"]
    )


# What the model encodes itself, found in fitted pipelines.


def coded_people() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame({"age": rng.normal(size=90), "job": rng.integers(0, 3, 90)})


@pytest.mark.parametrize("strict", ["error", "ignore"])
@pytest.mark.parametrize("as_frame", [True, False])
@pytest.mark.parametrize("metric", ["pixel_flipping", "faithfulness_correlation", "infidelity", "max_sensitivity"])
def test_codes_that_a_pipeline_encodes_are_categories(strict: str, as_frame: bool, metric: str) -> None:
    frame = coded_people()
    given = frame if as_frame else frame.to_numpy()
    where = ["job"] if as_frame else [1]
    columns = ColumnTransformer([("c", OneHotEncoder(handle_unknown=strict), where)], remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression()).fit(given, frame["job"] == 0)
    found = xb.score(metric, model=model, inputs=given[:5], background=given, explain="occlusion")
    assert np.isfinite(found).all()
    with pytest.raises(xb.UnsupportedError, match="feature 1 is a category"):
        xb.explain("c_lime", model=model, inputs=given[:5], background=given)


def test_encoders_are_found_behind_imputers_and_in_searches() -> None:
    frame = coded_people()
    inside = make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder(), Ridge())
    search = GridSearchCV(inside, {"ridge__alpha": [1.0]}, cv=2).fit(frame[["job"]], frame["age"])
    with pytest.raises(xb.UnsupportedError, match="feature 0 is a category"):
        xb.explain("finite_difference", model=search, inputs=frame[["job"]].head(3))
    boosted = HistGradientBoostingClassifier(max_iter=3, categorical_features=["job"]).fit(frame, frame["job"] == 0)
    with pytest.raises(xb.UnsupportedError, match="feature 1 is a category"):
        xb.explain("finite_difference", model=boosted, inputs=frame.head(3))


def test_categories_of_arrays_can_be_named() -> None:
    x = np.c_[np.linspace(0, 1, 40), np.arange(40) % 4]
    table = np.array([0.0, 3.0, -1.0, 7.0])
    model = lambda a: a[:, 0] + table[a[:, 1].astype(int)] + 1000 * (a[:, 1] != np.round(a[:, 1]))  # noqa: E731
    kw = {"model": model, "returns": "value", "inputs": x[:4], "background": x, "categorical_features": [1]}
    found = xb.explain("feature_ablation", masker="mean", **kw)
    np.testing.assert_allclose(found[:, 1], table[[0, 1, 2, 3]] - table[0], atol=1e-5)
    with pytest.raises(xb.UsageError, match="categorical_features names column 7"):
        xb.explain("occlusion", **{**kw, "categorical_features": [7]})


# What is given besides frames of people.


def test_dummies_are_booleans_beside_numbers() -> None:
    frame = pd.get_dummies(pd.DataFrame({"age": [30.0, 40, 50], "job": ["a", "b", "a"]}))
    model = LogisticRegression().fit(frame, [0, 1, 0])
    found = xb.explain("occlusion", model=model, inputs=frame, targets=[1, 1, 1], returns="logit")
    np.testing.assert_allclose(found, frame.to_numpy(float) * model.coef_ / 2, atol=1e-5)


def test_gaps_are_values_where_the_model_takes_them() -> None:
    train = people()
    train.loc[::7, "income"] = np.nan
    train.loc[::5, "job"] = None
    columns = ColumnTransformer(
        [
            ("words", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["job", "size"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["income", "age"]),
        ],
        remainder="passthrough",
    )
    target = value(train.assign(job=train["job"].fillna("cook"), income=train["income"].fillna(3000)))
    model = make_pipeline(columns, LinearRegression()).fit(train, target)
    found = xb.explain("kernel_shap", model=model, inputs=train.head(6), background=train)
    assert np.isfinite(found).all()
    total = model.predict(train.head(6))
    assert np.isfinite(total).all()
    strict = LinearRegression().fit(train[["age", "income"]].fillna(0), target)
    with pytest.raises(xb.UsageError):
        xb.explain("kernel_shap", model=strict, inputs=train[["age", "income"]].head(8))


def test_functions_get_frames_and_those_of_arrays_get_arrays() -> None:
    train = people()
    rows = train.head(5)
    got: list[type] = []

    def of_frames(frame: Any) -> np.ndarray:
        got.append(type(frame))
        return value(frame).to_numpy(float)

    def of_arrays(a: Any) -> np.ndarray:
        return 2 * a[:, 0] - a[:, 1]

    found = xb.explain(
        "kernel_shap",
        model=of_frames,
        inputs=rows,
        background=train,
        returns="value",
        references="rows",
        n_references=N,
    )
    np.testing.assert_allclose(found, exact(rows, train), atol=2e-4)
    assert set(got) == {pd.DataFrame}
    numbers = train[["age", "income"]]
    a = xb.explain("occlusion", model=of_arrays, inputs=numbers.head(3), returns="value")
    np.testing.assert_allclose(a, numbers.head(3).to_numpy() * [2, -1], rtol=1e-5)
    pipeline = fitted(train)
    b = xb.explain(
        "occlusion", model=pipeline.predict, inputs=rows[list(rows)[::-1]], background=train, returns="value"
    )
    c = xb.explain("occlusion", model=pipeline, inputs=rows, background=train)
    np.testing.assert_array_equal(np.asarray(b)[:, ::-1], np.asarray(c))


def test_modules_take_frames_of_numbers_and_refuse_text() -> None:
    train = people()
    net = torch.nn.Linear(2, 1)
    numbers = train[["age", "income"]].head(3)
    found = xb.explain("gradient", model=net, inputs=numbers, returns="value")
    np.testing.assert_allclose(found, np.repeat(net.weight.detach().numpy(), 3, axis=0), rtol=1e-6)
    with pytest.raises(xb.UsageError, match="a torch module takes numbers, and the data frame has a column of text"):
        xb.explain("gradient", model=net, inputs=train[["age", "job"]].head(3), returns="value")


@pytest.mark.parametrize("scale", [1.0, 1e8])
def test_values_of_any_size_keep_their_digits(scale: float) -> None:
    frame = pd.DataFrame({"a": [5.0, 7.0], "b": [1, 2]})
    found = xb.explain("occlusion", model=lambda f: scale + 3 * f["a"] - 2 * f["b"], inputs=frame, returns="value")
    np.testing.assert_allclose(found, [[15, -2], [21, -4]], rtol=1e-6)


def test_models_are_retrained_on_frames() -> None:
    train = people()
    labels = (value(train) > value(train).median()).to_numpy(int)
    got: list[pd.DataFrame] = []

    def fit(frame: pd.DataFrame, targets: np.ndarray, seed: int) -> Any:
        got.append(frame)
        columns = ColumnTransformer([("words", OneHotEncoder(), ["job", "size"])], remainder="passthrough")
        return make_pipeline(columns, StandardScaler(), LogisticRegression()).fit(frame, targets)

    model = fit(train, labels, 0)
    problem = xb.Problem(
        model, train.head(40), labels[:40], background=train, retrain=fit, train=(train[list(train)[::-1]], labels)
    )
    assert np.isfinite(problem.score("roar", explain="occlusion", n_retrainings=1)).all()
    assert len(got) > 1
    for frame in got:
        assert list(frame) == list(train)
        assert set(frame["job"]) <= set(JOBS)
        assert frame["size"].dtype == train["size"].dtype


def test_pairs_of_frames_are_encoded_like_the_inputs() -> None:
    train = people()
    model, rows = fitted(train), train.head(5)
    other = train.iloc[5:10]
    found = []
    for order in (list(rows), list(rows)[::-1]):
        problem = xb.Problem(
            model,
            rows,
            background=train,
            pairs={"input_pair.patched": {"inputs": other[order], "labels": [0] * 5}},
        )
        found.append(problem._shared.prepared.pairs["input_pair.patched"][0].inputs.numpy())
    np.testing.assert_array_equal(found[0], found[1])


def test_a_model_that_takes_no_gaps_says_column_and_row() -> None:
    train = people()
    model = fitted(train)
    rows = train.head(9).copy()
    rows.loc[4, "income"] = np.nan
    with pytest.raises(xb.UsageError, match="does not take missing values, and column 'income' of sample 4 is missing"):
        xb.explain("occlusion", model=model, inputs=rows, background=train)
