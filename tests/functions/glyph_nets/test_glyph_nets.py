"""Trained nets on glyphs: images, reliance by erasing, components, betting, and who finds the used glyph."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.core.errors import UnsupportedError
from xaibench.functions.concept_nets.generation import concept_net
from xaibench.functions.glyph_nets.components import Components
from xaibench.functions.glyph_nets.generation import GlyphProbe, concept_cnn, erasing_effects
from xaibench.functions.glyph_nets.images import GLYPH_SHAPES, INTENSITY, drawn_presence, glyph_images
from xaibench.functions.glyph_nets.network import MAP_SHAPE, GlyphNet, trained_net


@cache
def nets(probes: str = "natural") -> tuple[xb.Case, ...]:
    return concept_cnn(seed=5, n=2, probes=probes)  # type: ignore[arg-type]


def test_glyphs_are_in_quadrants_of_their_own_and_are_erased_exactly() -> None:
    present = np.array([[1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]])
    images, erased = glyph_images(present, np.random.default_rng(0))
    assert images.shape == (3, 1, 12, 12)
    assert float(images.max()) <= 1.0
    for j, glyph in enumerate(GLYPH_SHAPES.values()):
        changed = images[0, 0] - erased[0, j, 0]
        assert int((changed > 0.1).sum()) == int(glyph.sum())
        torch.testing.assert_close(changed[changed > 0.1], torch.full((int(glyph.sum()),), INTENSITY))
        y, x = (changed > 0.1).nonzero().T
        assert (y // 6 == y[0] // 6).all()
        assert (x // 6 == x[0] // 6).all()
    assert images[2].max() <= 0.3
    assert images[1].equal(erased[1, 0])
    assert images[2].equal(erased[2, 3])


def test_a_cross_goes_with_a_plus_as_often_as_is_said() -> None:
    present = drawn_presence(20_000, np.random.default_rng(1), correlated=True)
    assert (present[:, 0] == present[:, 1]).mean() == pytest.approx(0.9, abs=0.01)
    assert present.mean(axis=0) == pytest.approx([0.5] * 4, abs=0.015)
    apart = drawn_presence(20_000, np.random.default_rng(1), correlated=False)
    assert (apart[:, 0] == apart[:, 1]).mean() == pytest.approx(0.5, abs=0.015)


def test_glyphs_drawn_again_have_their_conditional_rates() -> None:
    around = GlyphProbe(GlyphNet(), isolated=False)
    rng = np.random.default_rng(2)
    present = torch.from_numpy(drawn_presence(40_000, rng, correlated=True)).double()
    drawn = around.redraw(present, rng)
    for there in (0.0, 1.0):
        chosen = present[:, 0] == there
        assert float(drawn[chosen, 1].mean()) == pytest.approx(float(present[chosen, 1].mean()), abs=0.015)
        assert float(drawn[chosen, 2].mean()) == pytest.approx(0.5, abs=0.015)


def test_effects_of_a_net_that_is_known() -> None:
    """Channel 0 is the brightness of a pixel; the margin is its maximum, so that only the last glyph left counts."""
    net = GlyphNet()
    for p in net.parameters():
        p.data.zero_()
    first, second = net.convolutions[0], net.convolutions[2]
    first.weight.data[0, 0, 1, 1] = 1  # type: ignore[union-attr, operator, index]
    second.weight.data[0, 0, 1, 1] = 1  # type: ignore[union-attr, operator, index]
    net.linear.weight.data[1, 0] = 1
    for p in net.parameters():
        p.requires_grad_(False)
    images = torch.rand(4, 1, 12, 12)
    torch.testing.assert_close(net.margin(net.maps(images)), images.flatten(1).amax(dim=1).double())
    logits = net(images)
    torch.testing.assert_close(net.margin(net.maps(images)), (logits[:, 1] - logits[:, 0]).double())
    effects, _ = erasing_effects(net, 0, np.random.default_rng(0))
    assert (effects >= 0).all()
    assert (effects < 0.2).all(), "mostly another glyph is there"


def test_each_net_uses_its_glyph_and_no_other() -> None:
    for used, case in enumerate(nets()):
        assert not case.failed_gates
        effects = case.truth.tensors["values"]
        assert effects[used] > 10 * torch.cat([effects[:used], effects[used + 1 :]]).abs().max()
        assert case.hidden["used"].argmax() == used
        assert case.hidden["partner_used"].argmax() == 1 - used


def test_training_repeats_itself_and_weights_come_from_the_cache(tmp_path: Path) -> None:
    images = torch.rand(64, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(64) % 2
    state = torch.random.get_rng_state()
    made = [
        trained_net(images, labels, seed, tmp_path if kept else None) for seed, kept in ((1, 0), (1, 1), (1, 1), (2, 1))
    ]
    assert torch.random.get_rng_state().equal(state), "the generator of others is left alone"
    weights = [net.linear.weight for net in made]
    assert weights[0].equal(weights[1])
    assert weights[0].equal(weights[2])
    assert not weights[0].equal(weights[3])
    assert len(list((tmp_path / "glyph_nets").glob("*.safetensors"))) == 2


def test_components_make_the_activations_of_their_sum() -> None:
    rng = np.random.default_rng(0)
    strengths, components = rng.random((3, 144, 2)), rng.random((2, 24))
    found = Components(strengths, components)
    wanted = np.einsum("npr,rc->ncp", strengths, components).reshape(3, -1)
    np.testing.assert_allclose(found.maps().numpy(), wanted)
    without = np.einsum("np,c->ncp", strengths[..., 0], components[0]).reshape(3, -1)
    np.testing.assert_allclose(found.maps(1).numpy(), without)
    assert found.maps().shape == (3, int(np.prod(MAP_SHAPE)))


@pytest.mark.slow
def test_who_finds_the_used_glyph() -> None:
    for used, case in enumerate(nets()):
        for name, params in (
            ("concept_vectors", {"vector": "filter", "statistic": "tcav", "n_vectors": 4}),
            ("concept_betting", {}),
        ):
            answer = xb.explain_case(name, case, seed=1, **params)
            assert isinstance(answer, xb.Scores)
            assert int(answer.values.abs().argmax()) == used, name
        components = xb.explain_case("nmf_components", case, seed=1, n_components=12)
        assert components.facts["fidelity"] > 0.9
        assert components.facts["presence"][used] > 0.97
        assert components.queries == 14
        betting = [xb.explain_case("concept_betting", case, seed=1, sampler=s) for s in ("conditional", "marginal")]
        reported = [(b.tensors["values"] != 0).tolist() for b in betting]
        assert reported[0] == [j == used for j in range(4)]
        assert reported[1] == [j < 2 for j in range(4)]


def test_what_a_case_has_not_got_is_said() -> None:
    with pytest.raises(UnsupportedError, match="not activations of a convolution"):
        xb.explain_case("nmf_components", concept_net(seed=5, n=1)[0])
    with pytest.raises(UnsupportedError, match="no known directions"):
        xb.explain_case("true_concept_directions", nets()[0])
