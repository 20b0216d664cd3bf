"""BAM: what is pasted where, which pixels that changes, and that train and test share neither views nor drawings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xaibench.core.data import Data
from xaibench.core.predictor import TorchPredictor
from xaibench.core.registry import get
from xaibench.datasets.bam import DOG, PATCHED, PER_PAIR, TEST_PER_PAIR, Accuracy, Effect
from xaibench.datasets.bam_compose import compose_scenes, paste, photograph
from xaibench.datasets.bam_pictures import (
    BAND,
    DRAWING_STYLES,
    GLYPHS,
    IMAGE_SIDE,
    OBJECTS,
    SCENES,
    SIZES,
    WIDTH,
    WINDOWS,
    ZOOMS,
    load_pictures,
    zoomed,
)
from xaibench.datasets.cards import card, read_shipped
from xaibench.datasets.patches import InsignificantPatch

SMALL = {"per_pair": 1}


@pytest.fixture(scope="module")
def images():
    return compose_scenes(load_pictures(), "test", 3, seed=0)


def make(name: str, **params: int) -> Data:
    return get("dataset", name).function(**{"seed": 0, **SMALL, **params})


def test_azimuths_of_training_and_test_never_overlap_and_fill_the_circle():
    columns = {
        side: [c % WIDTH for first, width in parts for c in range(first, first + width)]
        for side, parts in WINDOWS.items()
    }
    assert not set(columns["train"]) & set(columns["test"])
    assert sorted(columns["train"] + columns["test"]) == list(range(WIDTH))
    assert min(width for parts in WINDOWS.values() for _, width in parts) >= max(ZOOMS)
    assert max(ZOOMS) <= BAND


@pytest.mark.slow
def test_windows_hold_the_pixels_of_their_azimuths_and_no_others():
    """At the native zoom a window is a part of the shipped panorama, bit by bit, across the seam too."""
    import io

    from skimage.io import imread

    shipped = imread(io.BytesIO(read_shipped("bam", "scenes.png"))).reshape(len(SCENES), BAND, WIDTH, 3)
    native = ZOOMS.index(IMAGE_SIDE)
    for side, parts in WINDOWS.items():
        for window, (first, width) in zip(load_pictures().windows[side][2 * native :], parts, strict=False):
            expected = shipped[:, :, [c % WIDTH for c in range(first, first + width)]]
            assert (window.transpose(0, 2, 3, 1) == expected).all()


@pytest.mark.slow
def test_views_are_parts_of_their_own_scene():
    """Without the jitter of light each view is found in its scene's windows, and in no other scene's."""
    pictures = load_pictures()

    class Still:
        """Draws the middle of everything: no mirroring, no change of light."""

        def integers(self, n: int, size: int) -> np.ndarray:
            return np.zeros(size, dtype=np.int64)

        def random(self, size: tuple[int, int]) -> np.ndarray:
            return np.full(size, 0.5)

        def uniform(self, low: float, high: float, size: tuple[int, int]) -> np.ndarray:
            return np.ones(size)

    views = photograph(pictures, "test", np.arange(len(SCENES)), Still())
    windows = pictures.windows["test"][0]
    y, x = ((extent - IMAGE_SIDE + 1) // 2 for extent in windows.shape[2:])
    assert (views == windows[:, :, y : y + IMAGE_SIDE, x : x + IMAGE_SIDE]).all()


@pytest.mark.slow
def test_only_pixels_of_the_mask_change_and_nearly_all_of_them_do(images):
    changed = (images.pasted != images.empty).any(axis=1)
    assert not (changed & ~images.mask).any()
    assert (changed & images.mask).sum() > 0.999 * images.mask.sum()


def test_objects_are_as_large_as_the_paper_says_and_lie_anywhere(images):
    heights, widths = (images.mask.any(axis=axis).sum(axis=1) for axis in (2, 1))
    longer = np.maximum(heights, widths)
    # Kites end in a tail that is thinner than a pixel: their masks can be a few pixels shorter.
    firm = images.objects != OBJECTS.index("kite")
    assert set(longer[firm]) <= {size - less for size in SIZES for less in (0, 1)}
    assert IMAGE_SIDE / np.sqrt(3) <= SIZES[0] < IMAGE_SIDE / np.sqrt(3) + 1
    assert IMAGE_SIDE / np.sqrt(2) - 1 < SIZES[-1] <= IMAGE_SIDE / np.sqrt(2)
    tops = images.mask.any(axis=2).argmax(axis=1)
    assert tops.min() <= 2
    assert (tops + heights).max() >= IMAGE_SIDE - 2
    assert 0.1 < images.mask.mean() < 0.35


def test_every_pair_comes_equally_often_and_order_says_nothing(images):
    assert (np.bincount(images.objects * len(SCENES) + images.scenes) == 3).all()
    assert abs(np.corrcoef(images.objects, images.scenes)[0, 1]) < 1e-12
    assert abs(np.corrcoef(images.objects[1:], images.objects[:-1])[0, 1]) < 0.25


def test_the_drawings_of_the_test_style_are_not_trained_on():
    assert {g.style for g in GLYPHS} == set(DRAWING_STYLES)
    pictures = load_pictures()
    for label in range(len(OBJECTS)):
        train, test = (pictures.cut_outs[label, side] for side in ("train", "test"))
        assert len(test) == 1
        size = len(SIZES) // 2
        for other in train:
            same = other[size].colour.shape == test[0][size].colour.shape
            assert not same or np.abs(other[size].colour - test[0][size].colour).mean() > 0.01


def test_alpha_is_clean():
    for variants in load_pictures().cut_outs.values():
        for cut in (c for sizes in variants for c in sizes):
            drawn = cut.alpha > 0
            assert cut.alpha.max() <= 1 + 1e-6
            assert cut.alpha[drawn].min() >= 1 / 8
            assert (cut.colour[:, ~drawn] == 0).all()
            assert (cut.colour <= cut.alpha + 1e-5).all()


def test_zooming_keeps_the_mean_and_constants():
    image = np.random.default_rng(0).random((3, 12, 20)).astype(np.float32)
    assert zoomed(image, 1.0) == pytest.approx(image)
    assert zoomed(image, 0.5) == pytest.approx(image.reshape(3, 6, 2, 10, 2).mean(axis=(2, 4)), abs=1e-6)
    assert zoomed(np.full((1, 7, 9), 3, dtype=np.float32), 1.3) == pytest.approx(3)


@pytest.mark.slow
def test_object_and_scene_are_the_same_images_with_other_labels():
    objects, scenes, empty = make("bam_object"), make("bam_scene"), make("bam_scene_only")
    assert (objects.train_inputs == scenes.train_inputs).all()
    assert (objects.test_inputs == scenes.test_inputs).all()
    assert (objects.pairs[0].labels == scenes.test_targets).all()
    assert objects.pairs[0].data().fingerprint == scenes.fingerprint
    assert (objects.test_mask == scenes.test_distractors).all()
    assert (scenes.test_mask == ~scenes.test_distractors).all()
    assert (scenes.pairs[0].inputs == empty.test_inputs).all()
    assert (scenes.train_targets == empty.train_targets).all()


@pytest.mark.slow
def test_interventions_exchange_what_they_say():
    objects, scenes = make("bam_object"), make("bam_scene")
    mask = objects.test_mask[:, None]
    removed, behind = (check.inputs for check in objects.interventions)
    assert (np.where(mask, objects.test_inputs, removed) == objects.test_inputs).all()
    assert (removed == scenes.pairs[0].inputs).all()
    assert (np.where(mask, behind, 0) == np.where(mask, objects.test_inputs, 0)).all()
    assert (behind != objects.test_inputs).any(axis=(1, 2, 3)).mean() > 0.95
    covered, exchanged = (check.inputs for check in scenes.interventions)
    assert (exchanged == behind).all()
    differs = (covered != scenes.pairs[0].inputs).any(axis=1)
    assert 0.1 < differs.mean() < 0.35


def test_the_patch_starts_from_a_dog_in_its_mask():
    data = make("bam_scene_only")
    (check,) = data.checks
    assert isinstance(check, InsignificantPatch)
    assert len(check.inputs) == PATCHED
    outside = ~check.masks[:, None]
    assert (np.where(outside, check.inputs, 0) == np.where(outside, data.test_inputs[:PATCHED], 0)).all()
    assert (check.masks == data.test_distractors[:PATCHED]).all()


@pytest.mark.slow
def test_levels_of_commonality_differ_by_the_dogs_in_one_scene():
    low, high = make("bam_commonality", level=3), make("bam_commonality", level=4)
    differs = (low.train_inputs != high.train_inputs).any(axis=(1, 2, 3))
    assert (differs == (low.train_targets == 3)).all()
    assert (low.test_inputs == high.test_inputs).all()
    assert (low.test_targets == 0).all()
    assert [p.level for p in low.pairs] == [i / 10 for i in range(1, 11)]
    assert [p.data is None for p in low.pairs] == [i == 3 for i in range(1, 11)]
    assert low.pairs[3].data().fingerprint == high.fingerprint
    room = low.checks[1].changed
    assert ((low.test_inputs != room).any(axis=1) <= low.test_mask).all()


@pytest.mark.slow
def test_scene_and_object_seen_by_the_oracle_of_a_level():
    data = make("bam_commonality")
    for source in data.pairs[1:]:
        assert source.truth[data.test_mask] == pytest.approx(1 - source.level)
        assert source.truth[~data.test_mask].mean() == pytest.approx(0.5, abs=0.01)


def test_checks_measure_what_they_say():
    """A model that adds up the first channel: the effect of a change is known."""
    data = make("bam_scene")
    module = nn.Sequential(nn.Flatten(), nn.Linear(data.test_inputs[0].size, 10))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module[1].weight[:, : IMAGE_SIDE * IMAGE_SIDE] = 1
        module[1].bias[0] = 9
    model = TorchPredictor(module.eval())
    changed = data.pairs[0].inputs
    fall = (data.test_inputs - changed)[:, 0].sum(axis=(1, 2))
    (mean,) = Effect("x", changed, 0).measure(model, data).gates
    (share,) = Effect("x", changed, 0, share=True).measure(model, data).gates
    assert mean.value == pytest.approx(fall.mean(), rel=1e-3)
    assert share.value == pytest.approx((fall < 0).mean(), abs=0.01)
    (found,) = Accuracy("x", data.test_inputs, data.test_targets, 0.5).measure(model, data).gates
    assert found.value == pytest.approx(0.1)
    assert not found.passed


def test_the_shipped_files_are_small_and_named_with_their_origins():
    found = card("bam")
    sizes = [len(read_shipped("bam", file)) for file in found.files]
    assert sum(sizes) < 2_000_000
    assert {o.package for o in found.origins} == {
        "@pmndrs/assets@1.7.0", "@iconify-json/fluent-emoji@1.2.7", "@iconify-json/fluent-emoji-flat@1.2.6",
        "@iconify-json/noto@1.2.9",
    }  # fmt: skip
    assert sum(len(o.members) for o in found.origins) == len(SCENES) + 3
    assert card("bam_object").rows == 100 * (PER_PAIR + TEST_PER_PAIR)


def test_pasting_leaves_the_scenes_alone():
    pictures = load_pictures()
    scenes = photograph(pictures, "test", np.arange(10), np.random.default_rng(0))
    before = scenes.copy()
    pasted, mask = paste(pictures, "test", scenes, np.full(10, DOG), np.random.default_rng(1))
    assert (scenes == before).all()
    assert (pasted != before).any(axis=1)[mask].mean() > 0.99
