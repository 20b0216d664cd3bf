"""A problem is wrapped once: explained, scored and drawn as curves, with the parameters that made the maps."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, TABLE, cnn, linear, make_inputs, mlp
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn

import xaibench as xb

X = make_inputs(TABLE).numpy()


class Counted(nn.Module):
    """A module that counts its inputs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.n = 0
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        self.n += len(inputs)
        out: Tensor = self.module(inputs)
        return out


def test_maps_are_explained_again_with_the_parameters_that_made_them() -> None:
    net = mlp(TABLE)
    problem = xb.Problem(net, X)
    maps = problem.explain("smoothgrad", n_samples=2048)
    almost_nothing: dict[str, Any] = {"radius": 1e-6, "n_samples": 2}
    assert problem.score("max_sensitivity", maps, **almost_nothing).max() < 1e-3
    given: dict[str, Any] = {"model": net, "inputs": X, **almost_nothing}
    assert xb.score("max_sensitivity", attributions=maps, **given).max() < 1e-3
    assert xb.score("max_sensitivity", attributions=maps, explain="smoothgrad", **given).max() < 1e-3
    for others in ({"explain": "smoothgrad", "explainer_params": {"n_samples": 16}}, {"explain": "gradient"}):
        with pytest.raises(xb.UsageError, match="does not give these attributions"):
            xb.score("max_sensitivity", attributions=maps, **others, **given)
    plain = np.asarray(maps)
    with pytest.raises(xb.UsageError, match="does not give these attributions") as caught:
        xb.score("max_sensitivity", attributions=plain, explain="smoothgrad", **given)
    assert "explainer_params=" in str(caught.value)
    named = {"explain": "smoothgrad", "explainer_params": {"n_samples": 2048}}
    assert xb.score("max_sensitivity", attributions=plain, **named, **given).max() < 1e-3


def test_maps_are_explained_again_with_their_own_seed_and_output() -> None:
    net = mlp(TABLE)
    for made in ({"seed": 5}, {}):
        maps = xb.explain("smoothgrad", model=net, inputs=X, output="probability", n_samples=8, **made)  # type: ignore[arg-type]
        found = xb.score("max_sensitivity", model=net, inputs=X, attributions=maps, seed=9, radius=1e-6, n_samples=2)
        assert found.max() < 1e-3
        assert (maps.seed, maps.output) == (made.get("seed", 0), "probability")


def test_maps_that_the_explainer_gives_are_not_refused_for_rounding() -> None:
    net = cnn()
    x = make_inputs(IMAGE)
    maps = np.asarray(xb.explain("integrated_gradients", model=net, inputs=x, batch_size=3))
    given: dict[str, Any] = {"model": net, "inputs": x, "explain": "integrated_gradients", "n_samples": 2}
    found = xb.score("max_sensitivity", attributions=maps * (1 + 1e-6), batch_size=8, **given)
    np.testing.assert_allclose(found, xb.score("max_sensitivity", **given), rtol=1e-3)
    with pytest.raises(xb.UsageError, match="differs by up to 0"):
        xb.score("max_sensitivity", attributions=maps * 1.01, **given)
    # A metric that does not explain again scores what it is given.
    del given["n_samples"]
    np.testing.assert_allclose(
        xb.score("sparseness", attributions=maps * 1.01, **given), xb.score("sparseness", **given), rtol=1e-4
    )


def test_functions_that_draw_are_not_held_to_their_maps() -> None:
    net = linear(TABLE)
    generator = np.random.default_rng(0)

    def noisy(model: Any, inputs: Tensor, targets: Tensor) -> Any:
        return inputs.numpy() + generator.normal(size=inputs.shape)

    maps = noisy(None, torch.from_numpy(X), torch.zeros(8))
    found = xb.score("max_sensitivity", model=net, inputs=X, attributions=maps, explain=noisy, n_samples=2)
    assert np.isfinite(found).all()


def test_functions_are_explained_again() -> None:
    net = linear(TABLE)
    problem = xb.Problem(net, X)

    def weights(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        return model[1].weight[targets].detach()  # type: ignore[no-any-return]

    maps = problem.explain(weights, kind="slope")
    assert (maps.explainer, maps.kind) == ("weights", "slope")
    np.testing.assert_array_equal(maps, problem.explain("gradient"))
    np.testing.assert_allclose(problem.score("max_sensitivity", maps, n_samples=2), 0, atol=1e-6)
    flipping = {"masker": "zero", "output": "logit"}
    np.testing.assert_array_equal(
        problem.score("pixel_flipping", maps, **flipping),  # type: ignore[arg-type]
        problem.score("pixel_flipping", explain="gradient", **flipping),  # type: ignore[arg-type]
    )


def test_single_calls_and_a_problem_give_the_same() -> None:
    x = make_inputs(TABLE, 40).numpy()
    forest = RandomForestClassifier(10, random_state=0).fit(x, x[:, 0] > 0)
    problem = xb.Problem(forest, x[:6], background=x)
    maps = problem.explain("kernel_shap", n_samples=64, masker="marginal")
    given: dict[str, Any] = {"model": forest, "inputs": x[:6], "background": x}
    alone = xb.explain("kernel_shap", n_samples=64, masker="marginal", **given)
    np.testing.assert_array_equal(maps, alone)
    for metric in ("deletion", "max_sensitivity", "completeness"):
        np.testing.assert_array_equal(
            problem.score(metric, maps), xb.score(metric, attributions=alone, **given), strict=True
        )
    np.testing.assert_array_equal(problem.curve("deletion", maps), xb.curve("deletion", attributions=alone, **given))
    assert xb.Problem(forest, x[:6], labels=problem.targets).targets.tolist() == problem.targets.tolist()


def test_evaluations_that_do_not_depend_on_maps_are_made_once() -> None:
    net = Counted(mlp(TABLE))
    problem = xb.Problem(net, X)
    maps = problem.explain("gradient"), problem.explain("integrated_gradients")
    costs = []
    for each in maps:
        before = net.n
        problem.score("infidelity", each)
        costs.append(net.n - before)
    assert costs[0] > 100
    assert costs[1] == 0
    before = net.n
    problem.score("deletion", maps[0])
    first = net.n - before
    problem.score("pixel_flipping", maps[0])
    assert first > 0
    assert net.n - before == first


def test_attributions_are_an_array_that_knows_what_made_it() -> None:
    problem = xb.Problem(linear(TABLE), X)
    maps = problem.explain("smoothgrad", n_samples=4, seed=3)
    assert isinstance(maps, np.ndarray)
    assert maps.dtype == np.float32
    facts = ("smoothgrad", "slope", 3, "logit", 4)
    for kept in (maps, maps[2:5], maps[:], maps[[1, 2]], maps[np.arange(8) > 3], maps[1:, :], maps[...], maps.copy(),
                 copy.copy(maps), copy.deepcopy(maps), pickle.loads(pickle.dumps(maps))):  # fmt: skip
        assert isinstance(kept, xb.Attributions)
        assert (kept.explainer, kept.kind, kept.seed, kept.output, kept.params["n_samples"]) == facts
    for lost in (maps * 2, abs(maps), maps[0], maps[:, 0], maps[:, :2], maps.sum(axis=1), maps[None], maps[maps > 0],
                 np.asarray(maps), maps.T, maps.reshape(-1), maps.astype(float), np.vstack([maps, maps])):  # fmt: skip
        assert getattr(lost, "explainer", None) is None
    assert isinstance(maps[0, 0], np.float32)
    assert isinstance(maps.max(), np.float32)
    assert repr(maps).endswith("seed=3, output='logit')")
    assert "explainer='smoothgrad'" in repr(maps)
    torch.from_numpy(np.asarray(maps))


def test_selected_rows_are_of_the_selected_inputs() -> None:
    net = mlp(TABLE)
    problem, some = xb.Problem(net, X), xb.Problem(net, X[2:5])
    maps = problem.explain("smoothgrad", n_samples=16)
    np.testing.assert_allclose(maps[2:5], some.explain("smoothgrad", n_samples=16), rtol=1e-4, atol=1e-6)
    found = some.score("max_sensitivity", maps[2:5], n_samples=2)
    np.testing.assert_allclose(found, problem.score("max_sensitivity", maps, n_samples=2)[2:5], rtol=1e-4)
    with pytest.raises(xb.UsageError, match="of other inputs"):
        some.score("max_sensitivity", maps[3:6])


def test_maps_that_were_changed_are_plain_arrays() -> None:
    problem = xb.Problem(linear(TABLE), X)
    maps = problem.explain("gradient")
    maps[0] = 0
    with pytest.raises(xb.UnsupportedError, match="needs reexplain"):
        problem.score("max_sensitivity", maps)
    np.testing.assert_array_equal(problem.score("sparseness", maps), problem.score("sparseness", np.array(maps)))


def test_maps_of_another_library_can_be_scored_and_not_made_again() -> None:
    problem = xb.Problem(linear(TABLE), X)
    theirs = xb.Attributions(np.asarray(problem.explain("gradient")), explainer="theirs", kind="slope")
    table = problem.evaluate([theirs, "gradient"], ["deletion", "max_sensitivity"], controls=False)
    scores = table.pivot_table(index="sample", columns=["metric", "explainer"], values="score")
    np.testing.assert_array_equal(scores["deletion", "theirs"], scores["deletion", "gradient"])
    refused = table[(table["explainer"] == "theirs") & (table["metric"] == "max_sensitivity")]
    assert refused[["status", "message"]].values.tolist() == [["unsupported", "metric max_sensitivity needs reexplain"]]


def test_a_copy_in_a_pickle_forgets_functions_that_cannot_be_imported() -> None:
    problem = xb.Problem(linear(TABLE), X)
    maps = pickle.loads(pickle.dumps(problem.explain(lambda model, x, y: x)))
    assert maps.explainer == "<lambda>"
    with pytest.raises(xb.UnsupportedError, match="needs reexplain"):
        problem.score("max_sensitivity", maps)


SCRIPT = """
from typing import Any

import numpy as np
import torch
import xaibench as xb


def mine(model: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return inputs


x = np.ones((4, 6), np.float32)
problem = xb.Problem(torch.nn.Linear(6, 3), x, labels=[0, 1, 2, 0], features="table", output="logit")
maps: xb.Attributions = problem.explain("smoothgrad", n_samples=4, seed=1)
scores = problem.score("max_sensitivity", maps, radius=0.1)
curve = problem.curve("deletion", maps[:4], output="probability")
table = problem.evaluate(["gradient", ("lime", {"n_samples": 64}), mine, maps], ["deletion"], seeds=[0, 1])
board = xb.leaderboard(table)
ranks, pairs = xb.overall(board, missing="drop"), xb.pairwise(table)
total = float(scores.mean()) + float(curve.mean()) + float((maps * 2).sum())
again = xb.score("sparseness", model=torch.nn.Linear(6, 3), inputs=x, attributions=maps, kind="slope")
try:
    xb.explain("lime", model=mine, inputs=x, masker="median")
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_script_of_a_user_passes_strict_type_checking(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "script.py").write_text(SCRIPT)
    line = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", "types", "script.py"]
    here = os.environ | {"MYPYPATH": str(Path(xb.__file__).parents[1])}
    done = subprocess.run(line, cwd=tmp_path, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
