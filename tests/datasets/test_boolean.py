"""Boolean functions: exact counts over all functions of four variables, and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from helpers.builders import make_view

from xaibench.core.errors import UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import explain, explain_function
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.datasets.boolean import boolean, corners, minimal_sufficient, relevant_variables, shapley_values
from xaibench.datasets.units import units
from xaibench.models.written_formulas import MultilinearExtension
from xaibench.models.written_formulas import boolean_extension as written

ISSUES = ("credited", "reversed", "ignored", "credited_and_ignored", "all_reversed")


def relevant_by_hand(table: np.ndarray, d: int, x: int) -> list[bool]:
    """Minimal sufficient sets by their definition, with loops."""
    instance = corners(d)[x]
    sufficient = []
    for size in range(d + 1):
        for chosen in itertools.combinations(range(d), size):
            agrees = [k for k, c in enumerate(corners(d)) if all(c[j] == instance[j] for j in chosen)]
            if len({int(table[k]) for k in agrees}) == 1:
                sufficient.append(set(chosen))
    minimal = [s for s in sufficient if not any(t < s for t in sufficient)]
    return [any(j in s for s in minimal) for j in range(d)]


def test_relevance_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    for d in (2, 3, 4):
        tables = rng.integers(0, 2, (6, 2**d))
        found = relevant_variables(tables)
        for f, x in itertools.product(range(6), range(2**d)):
            assert found[f, x].tolist() == relevant_by_hand(tables[f], d, x)


def issues_of(phi: np.ndarray, relevant: np.ndarray) -> dict[str, np.ndarray]:
    """The five issues of all functions and instances (F, 2^d) of bool; |phi| < 1e-6 is 0."""
    size = np.where(np.abs(phi) < 1e-6, 0, np.abs(phi))
    irrelevant = np.where(relevant, -np.inf, size).max(-1)
    least = np.where(relevant, size, np.inf).min(-1)
    most = np.where(relevant, size, -np.inf).max(-1)
    first, third = irrelevant > 0, least == 0
    any_relevant = relevant.any(-1)
    return {
        "credited": first,
        "reversed": (irrelevant > least + 1e-9),
        "ignored": third,
        "credited_and_ignored": first & third,
        "all_reversed": any_relevant & (irrelevant > most + 1e-9),
    }


@pytest.mark.slow
def test_counts_over_all_functions_of_four_variables() -> None:
    """I1 is published as 99.67 % of the functions; the others were counted here, and are exact."""
    tables = (np.arange(2**16)[:, None] >> np.arange(16)) & 1
    counts, pairs, varying = dict.fromkeys(ISSUES, 0), dict.fromkeys(ISSUES, 0), 0
    for block in np.array_split(tables, 16):
        found = issues_of(shapley_values(block), relevant_variables(block))
        constant = (block.sum(1) == 0) | (block.sum(1) == 16)
        varying += int((~constant).sum())
        for issue in ISSUES:
            counts[issue] += int(found[issue].any(1).sum())
            pairs[issue] += int(found[issue][~constant].sum())
    assert counts == {
        "credited": 65_320, "reversed": 38_208, "ignored": 8_856, "credited_and_ignored": 3_712, "all_reversed": 1_248,
    }  # fmt: skip
    shares = {issue: 100 * n / (16 * varying) for issue, n in pairs.items()}
    expected = {"credited": 54.4, "reversed": 9.35, "ignored": 5.5, "credited_and_ignored": 0.92, "all_reversed": 0.16}
    for issue, share in expected.items():
        assert shares[issue] == pytest.approx(share, abs=0.06), (issue, shares)


def test_negation_changes_nothing() -> None:
    tables = np.random.default_rng(1).integers(0, 2, (50, 16))
    relevant, phi = relevant_variables(tables), shapley_values(tables)
    np.testing.assert_array_equal(relevant_variables(1 - tables), relevant)
    np.testing.assert_allclose(shapley_values(1 - tables), -phi, atol=1e-12)
    # Negating the second variable exchanges instances in pairs.
    flipped = np.arange(16) ^ 2
    np.testing.assert_array_equal(relevant_variables(tables[:, flipped]), relevant[:, flipped])
    np.testing.assert_allclose(shapley_values(tables[:, flipped]), phi[:, flipped], atol=1e-12)


def test_shapley_values_add_up_and_responsibility_is_that_of_the_smallest_reason() -> None:
    tables = np.random.default_rng(2).integers(0, 2, (20, 16))
    total = tables - tables.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(shapley_values(tables).sum(axis=2), total, atol=1e-12)
    either = corners(3).any(axis=1)[None].astype(int)
    _, relevant, responsibility = minimal_sufficient(either)
    # At (1, 1, 0) each one suffices; at 0 everywhere all three are needed.
    assert responsibility[0, 3].tolist() == [1, 1, 0]
    assert responsibility[0, 0] == pytest.approx([1 / 3] * 3)
    np.testing.assert_array_equal(responsibility > 0, relevant)


def view_of(variables: int = 4, functions: int = 30):
    data = boolean(seed=0, variables=variables, functions=functions)
    return data, make_view(
        written(data),
        torch.from_numpy(data.test_inputs),
        targets=torch.from_numpy(data.test_targets),
        background=torch.from_numpy(data.background),
        truth=Truth("model", mask=torch.from_numpy(data.test_mask)),
    )


def run(name: str, view, **params) -> torch.Tensor:
    spec = get("explainer", name)
    return explain(explain_function(spec, spec.bind(params)), view, f"explain/{name}")


def truth_of(data) -> torch.Tensor:
    tables = np.asarray(data.facts["tables"])
    bits = (data.test_inputs @ (2 ** np.arange(data.test_inputs.shape[1]))).astype(int)
    return torch.from_numpy(shapley_values(tables)[np.arange(len(bits)), bits]).float()


def test_the_extension_is_the_function_at_corners_and_its_mean_in_the_middle() -> None:
    tables = np.random.default_rng(3).integers(0, 2, (5, 16)).astype(np.float32)
    net = MultilinearExtension(tables)
    np.testing.assert_array_equal(net(torch.from_numpy(corners(4)).float()).T.numpy(), tables)
    np.testing.assert_allclose(net(torch.full((1, 4), 0.5))[0].numpy(), tables.mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("variables", [4, 6])
def test_integrated_gradients_from_one_half_are_exact_shapley_values(variables: int) -> None:
    """Owen's diagonal formula; and KernelSHAP with the mean is exact as well."""
    data, view = view_of(variables)
    exact = truth_of(data)
    integrated = run("integrated_gradients", view, steps=64, baseline="mean")
    torch.testing.assert_close(integrated, exact, rtol=0, atol=2e-4)
    fine = run("integrated_gradients", view, steps=512, baseline="mean")
    torch.testing.assert_close(fine, exact, rtol=0, atol=1e-5)
    torch.testing.assert_close(run("kernel_shap", view, masker="mean"), exact, rtol=0, atol=1e-5)


def test_the_middle_of_that_line_is_the_banzhaf_value() -> None:
    data, view = view_of(3)
    tables = np.asarray(data.facts["tables"])
    way = view.inputs - 0.5
    middle = way * view.gradients(0.5 + way / 2)
    means = np.zeros((len(view), 3))
    for row, (x, f) in enumerate(zip(data.test_inputs.astype(int), data.test_targets, strict=True)):
        for j in range(3):
            others = [i for i in range(3) if i != j]
            gains = []
            for kept in itertools.product([False, True], repeat=2):
                fixed = [i for i, k in zip(others, kept, strict=True) if k]

                def value(chosen, x=x, f=f):
                    return tables[f][[k for k, c in enumerate(corners(3)) if all(c[i] == x[i] for i in chosen)]].mean()

                gains.append(value([*fixed, j]) - value(fixed))
            means[row, j] = np.mean(gains)
    np.testing.assert_allclose(middle.numpy(), means, atol=1e-5)


def test_issues_are_those_of_the_exhaustive_count() -> None:
    data, view = view_of(4, 200)
    exact = truth_of(data)
    expected = issues_of(exact.numpy(), data.test_mask)
    defined = data.test_mask.any(axis=1)
    of = get("metric", "relevance_issue")
    for issue in ISSUES:
        ev = Evaluation.of(view, attributions=exact, kind="contribution", truth=view.truth)
        found = score(of, of.bind({"issue": issue}), ev).values.numpy()
        np.testing.assert_array_equal(found[defined], expected[issue][defined].astype(float))
        assert np.isnan(found[~defined]).all()
        shown = run("oracle", view)
        perfect = score(of, of.bind({"issue": issue}), Evaluation.of(view, attributions=shown, kind="saliency",
                                                                     truth=view.truth)).values  # fmt: skip
        assert perfect.nansum() == 0


def test_another_data_set_is_refused() -> None:
    with pytest.raises(UsageError, match="the functions of the data set boolean"):
        written(units(seed=0))
