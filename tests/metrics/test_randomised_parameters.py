"""Smooth and efficient MPRT, histograms, and what the tests say about guided backpropagation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, TABLE, cnn, gradient, linear, make_evaluation, make_inputs, make_view, mlp
from helpers.robustness_cases import registered, run
from scipy.stats import entropy as scipy_entropy
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import xaibench as xb
from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.metrics.engines.random_weights import forward_order, random_weights, randomised_models, with_weights
from xaibench.metrics.maps.histogram import FEWEST, MAX_BINS, BinRule, entropy, n_bins

NUMPY_RULES: dict[BinRule, str] = {
    "freedman_diaconis": "fd", "scott": "scott", "sqrt": "sqrt", "sturges": "sturges", "rice": "rice",
}  # fmt: skip


@pytest.mark.parametrize("bins", [1, 7, 100])
def test_entropy_is_that_of_numpys_histogram(bins: int) -> None:
    maps = torch.cat([make_inputs((300,), 10), make_inputs((300,), 10, seed=1) ** 3])
    expected = [scipy_entropy(np.histogram(row.double().numpy(), bins=bins)[0]) for row in maps]
    np.testing.assert_allclose(entropy(maps, torch.full((20,), bins)), expected, atol=1e-12)


def test_rows_have_their_own_bins_and_range() -> None:
    maps, bins = make_inputs((50,), 4) * torch.tensor([[1.0], [100], [1e-6], [1]]), torch.tensor([5, 20, 10, 40])
    maps[3] = 2.0
    expected = [
        scipy_entropy(np.histogram(m.double().numpy(), bins=int(b))[0]) for m, b in zip(maps, bins, strict=True)
    ]
    np.testing.assert_allclose(entropy(maps, bins), expected, atol=1e-12)
    assert expected[3] == 0


@pytest.mark.parametrize("rule", NUMPY_RULES)
@pytest.mark.parametrize("size", [200, 3000])
def test_rules_for_bins_are_numpys_within_bounds(rule: BinRule, size: int) -> None:
    maps = torch.cat([make_inputs((size,), 5), torch.exp(3 * make_inputs((size,), 5, seed=2))])
    counts = [len(np.histogram_bin_edges(row.double().numpy(), bins=NUMPY_RULES[rule])) - 1 for row in maps]
    np.testing.assert_array_equal(n_bins(maps, rule), np.clip(counts, FEWEST, MAX_BINS))
    assert n_bins(maps, 33).tolist() == [33] * 10


def test_a_width_of_zero_gives_few_bins() -> None:
    one_out = torch.zeros(1, 100)
    one_out[0, 0] = 1
    assert n_bins(one_out, "freedman_diaconis").item() == FEWEST
    assert n_bins(torch.zeros(1, 100), "scott").item() == FEWEST


@pytest.mark.parametrize("bins", [20, "freedman_diaconis"])
def test_efficient_mprt_by_hand(bins: int | BinRule) -> None:
    """The gradient of a linear model: entropies of old and new weights, in as many bins as the old ask for."""
    module = linear((200,))
    module[1].weight.data **= 3  # type: ignore[index]
    view = make_view(module, make_inputs((200,), 6))
    own, fresh = module[1].weight.detach(), random_weights(module, view.seed)["1.weight"]  # type: ignore[index]
    expected = []
    for c in view.targets:
        edges = np.histogram_bin_edges(own[c].double().numpy(), bins=bins if bins == 20 else "fd")
        count = int(np.clip(len(edges) - 1, FEWEST, MAX_BINS))
        before, after = (scipy_entropy(np.histogram(w[c].double(), bins=count)[0]) for w in (own, fresh))
        expected.append((after - before) / before)
    np.testing.assert_allclose(run("efficient_mprt", make_evaluation(view), bins=bins), expected, rtol=1e-5, atol=1e-6)


def test_efficient_mprt_knows_no_scale_and_no_constant() -> None:
    view = make_view(cnn(), make_inputs(IMAGE, 4))
    values = run("efficient_mprt", make_evaluation(view), bins="sqrt")
    small = make_evaluation(view, function=lambda v, _s: gradient(v) / 1024)
    np.testing.assert_array_equal(run("efficient_mprt", small, bins="sqrt"), values)
    constant = make_evaluation(view, function=lambda v, _s: torch.ones(len(v), 8, 8))
    assert bool(torch.isnan(run("efficient_mprt", constant)).all())


def test_efficient_mprt_randomises_everything() -> None:
    states: list[dict[str, Tensor]] = []

    def spy(view: ProblemView, stream: str = "") -> Tensor:
        states.append({k: v.clone() for k, v in view.model.module.state_dict().items()})  # type: ignore[union-attr]
        return gradient(view)

    view = make_view(cnn(), make_inputs(IMAGE, 2))
    run("efficient_mprt", make_evaluation(view, function=spy))
    own, random = states
    changed = {k for k in own if own[k].is_floating_point() and bool((own[k] != random[k]).all())}
    assert changed == {k for k in own if own[k].is_floating_point()}
    # The model itself is as it was, though copies share with it what they do not change.
    assert all(torch.equal(v, own[k]) for k, v in view.model.module.state_dict().items())  # type: ignore[union-attr]


def test_changed_copies_leave_the_others_alone() -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 4))
    before = {k: v.clone() for k, v in view.model.module.state_dict().items()}  # type: ignore[union-attr]
    weights = random_weights(view.model.module, 0)  # type: ignore[arg-type]
    states = list(randomised_models(view.model, view.inputs[:1], weights, "independent", "top_down"))  # type: ignore[arg-type]
    with torch.no_grad():
        states[0].module[5].weight.zero_()  # type: ignore[index]
    assert all(torch.equal(v, before[k]) for k, v in view.model.module.state_dict().items())  # type: ignore[union-attr]
    assert float(weights["5.weight"].abs().min()) > 0
    assert torch.equal(states[1].module[5].weight, before["5.weight"])  # type: ignore[index]


def test_tied_weights_stay_tied() -> None:
    module = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)).eval()
    module[2].weight = module[0].weight
    view = make_view(module, make_inputs(TABLE, 2))
    found = with_weights(view.model, random_weights(module, 0)).module  # type: ignore[arg-type]
    assert found[0].weight is found[2].weight
    assert found[0].weight is not module[0].weight


@pytest.mark.parametrize("params", [{}, {"order": "top_down"}, {"mode": "independent"}, {"similarity": "pearson"}])
def test_smooth_mprt_without_noise_is_mprt(params: dict[str, str]) -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 6))
    ev = make_evaluation(view)
    plain = run("mprt", ev, **{"order": "bottom_up", **params})
    np.testing.assert_allclose(run("smooth_mprt", ev, radius=1e-9, n_samples=2, **params), plain, rtol=1e-5)


def test_smooth_mprt_by_hand() -> None:
    """Input times gradient of a linear model: both maps are weights times the mean noisy input."""
    module = linear((30,))
    view = make_view(module, make_inputs((30,), 5))
    noise = 0.5 * view.draws("smooth_mprt").normal((8, 30))
    x = (view.inputs.unsqueeze(1) + noise).mean(dim=1)
    fresh = random_weights(module, view.seed)["1.weight"][view.targets]
    own = module[1].weight.detach()[view.targets]  # type: ignore[index]
    expected = [spearmanr(a, b).statistic for a, b in zip(own * x, fresh * x, strict=True)]
    ev = make_evaluation(view, function=lambda v, _s: v.inputs * v.gradients(v.inputs))
    np.testing.assert_allclose(run("smooth_mprt", ev, radius=0.5, n_samples=8), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["mprt", "smooth_mprt", "efficient_mprt"])
def test_a_model_without_weights_cannot_be_randomised(name: str) -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum(dim=1), x.square().sum(dim=1)], dim=1)

    with pytest.raises(UnsupportedError, match="no weights"):
        run(name, make_evaluation(make_view(Sum(), make_inputs(TABLE, 2))))


@pytest.fixture(scope="module")
def digits() -> ProblemView:
    """A CNN trained on scikit-learn's digits, and test images."""
    data = load_digits()
    x, y = torch.from_numpy(data.images).float().unsqueeze(1) / 16, torch.from_numpy(data.target)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 16, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(y)))
    for _ in range(6):
        for rows in order[:1500].split(50):
            optimiser.zero_grad()
            functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimiser.step()
    view = make_view(net.eval(), x[order[1500:1600]])
    assert (view.targets == y[order[1500:1600]]).float().mean() > 0.9
    return view


@pytest.mark.slow
def test_guided_backprop_keeps_the_picture_of_the_input_and_the_gradient_does_not(digits: ProblemView) -> None:
    """As layers are randomised (Adebayo et al. 2018, section 4), whether or not explanations are smoothed."""
    plain, guided = (make_evaluation(digits, function=registered(name)) for name in ("gradient", "guided_backprop"))
    assert float(run("mprt", plain).mean()) < 0.2
    assert float(run("mprt", guided).mean()) > 0.5
    assert float(run("smooth_mprt", plain).mean()) < float(run("smooth_mprt", guided).mean()) - 0.2


def test_a_model_without_parameters_is_randomised_by_its_buffers() -> None:
    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.arange(6.0).reshape(2, 3))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight.T

    assert forward_order(Held(), torch.ones(1, 3)) == [""]


class WordTable(torch.nn.Module):
    """Sums vectors of words, which are all that it knows, or reads them once more."""

    def __init__(self, reads: bool) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(9, 3)
        self.head = torch.nn.Linear(3, 3) if reads else torch.nn.Identity()

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.head(torch.tanh(self.words(ids).sum(dim=1)))
        return found


def test_the_table_of_words_is_an_input_and_no_layer() -> None:
    torch.manual_seed(0)
    given = {"inputs": torch.randint(1, 9, (4, 5)), "features": "tokens", "special_tokens": xb.Tokens(pad=0)}
    with pytest.raises(UnsupportedError, match="no weights to randomise beside the table of its embedding"):
        xb.score("mprt", model=WordTable(False).eval(), explain="input_x_gradient", **given)  # type: ignore[arg-type]
    model = WordTable(True).eval()
    cascade, independent = (
        xb.score("mprt", model=model, explain="input_x_gradient", mode=mode, **given)  # type: ignore[arg-type]
        for mode in ("cascade", "independent")
    )
    assert np.isfinite(cascade).all()
    assert np.array_equal(cascade, independent)  # one layer, in either mode
