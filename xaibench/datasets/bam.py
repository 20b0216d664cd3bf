"""BAM at 64x64 (Yang and Kim 2019): objects pasted into photographed scenes, with labels for both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Le
from pydantic import PositiveInt

from xaibench.core.checks import accuracy
from xaibench.core.data import Data, Intervention, PairSource
from xaibench.core.data_registry import dataset
from xaibench.core.gates import Findings, Gate
from xaibench.core.keys import array_digest
from xaibench.core.outputs import default_output, select_output
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.types import Array
from xaibench.datasets.bam_compose import Images, compose_scenes, images_as_inputs, paste, photograph
from xaibench.datasets.bam_pictures import OBJECTS, SCENES, load_pictures
from xaibench.datasets.patches import InsignificantPatch
from xaibench.datasets.splits import generator

DOG = OBJECTS.index("dog")
PER_PAIR = 60
"""Training images of each of the 100 pairs of an object and a scene."""
TEST_PER_PAIR = 5
PATCHED = 100
"""Test images that get a patch, as many as the paper has."""
DOGS_IN_ROOM = 100
CHANCE = 1 / len(OBJECTS)


@dataclass(frozen=True)
class Effect:
    """What a change of the test inputs does to the output of their class.

    Attributes
    ----------
    name : str
    changed : array (N, *input_shape), float32
    at_least : float
        What the mean fall of the output must be; with ``share``, how many outputs must rise.
    share : bool
    """

    name: str
    changed: Array
    at_least: float
    share: bool = False

    @property
    def identity(self) -> list[Any]:
        return ["effect", 1, self.name, self.at_least, self.share, array_digest(self.changed)]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Compare the outputs of the true classes; logits, where the model gives them."""
        targets = torch.from_numpy(data.test_targets)
        before, after = (
            select_output(raw, targets.to(raw.device), default_output(model.returns), model.returns)
            for raw in (predict_raw(model, x, data.test_context) for x in (data.test_inputs, self.changed))
        )
        value = (after > before).double().mean() if self.share else (before - after).double().mean()
        return Findings((Gate(self.name, float(value), self.at_least),))


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on other inputs than the test split's."""

    name: str
    inputs: Array
    targets: Array
    at_least: float

    @property
    def identity(self) -> list[Any]:
        return ["accuracy", 1, self.name, self.at_least, array_digest(self.inputs), array_digest(self.targets)]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Predict the inputs."""
        return Findings((Gate(self.name, accuracy(model, self.inputs, self.targets), self.at_least),))


@dataset("bam_object", features="image", provides={"truth.mask", "model_pair.contrast"})
def bam_object(*, seed: int, per_pair: PositiveInt = PER_PAIR) -> Data:
    """Name the object: ten objects in front of ten scenes; the object's pixels are the truth.

    The contrasting model learns to name the scenes of the same images (`bam_scene`). Scenes are
    split by azimuth, and test objects are drawn in a style of their own. Checked by intervention:
    without the object accuracy is at chance, and another scene behind it changes little.

    Parameters
    ----------
    seed : int
    per_pair : int
        Training images of each pair of an object and a scene.

    Notes
    -----
    After Yang & Kim (2019, arXiv:1907.09701), with ten panoramas and
    drawings instead of their photographs.
    """
    train, test = _images(seed, per_pair)
    exchanged = _behind(test, generator("exchange", "bam", seed))
    rows = np.arange(len(test.objects))
    return Data(
        "image",
        train.inputs,
        train.objects,
        test.inputs,
        test.objects,
        test_rows=test.pasted,
        class_names=OBJECTS,
        test_mask=test.mask,
        interventions=(
            Intervention("object removed", images_as_inputs(test.empty), test.objects, rows, at_most=CHANCE + 0.1),
            Intervention("another scene", images_as_inputs(exchanged), test.objects, rows, max_drop=0.1),
        ),
        accuracy_floor=0.85,
        pairs=(
            PairSource(
                "model_pair.contrast",
                f"bam_scene {per_pair}",
                data=partial(_scene_data, train, test, seed),
                labels=test.scenes,
                truth=~test.mask,
            ),
        ),
    )


@dataset("bam_scene", features="image", provides={"truth.mask", "truth.distractors", "input_pair.without"})
def bam_scene(*, seed: int, per_pair: PositiveInt = PER_PAIR) -> Data:
    """Name the scene behind an object: the images of `bam_object`, whose objects now only cover something.

    The scene's pixels are the truth, the object's are distractors; ``input_pair.without`` has the
    same views without objects. Checked by intervention: another object in the same place changes
    little, and with another scene accuracy is at chance. How often the object lowers the output of
    the true scene is a gate too: not always, so that a perfect input dependence rate is not 1.

    Parameters
    ----------
    seed, per_pair
        As for `bam_object`.
    """
    return _scene_data(*_images(seed, per_pair), seed)


def _scene_data(train: Images, test: Images, seed: int) -> Data:
    rng = generator("exchange", "bam", seed)
    exchanged = _behind(test, rng)
    others = rng.permutation(len(test.scenes))
    covered = np.where(test.mask[others][:, None], test.pasted[others], test.empty)
    rows = np.arange(len(test.scenes))
    without, everywhere = images_as_inputs(test.empty), np.ones_like(test.mask)
    return Data(
        "image",
        train.inputs,
        train.scenes,
        test.inputs,
        test.scenes,
        test_rows=test.pasted,
        class_names=SCENES,
        test_mask=~test.mask,
        test_distractors=test.mask,
        interventions=(
            Intervention("another object", images_as_inputs(covered), test.scenes, rows, max_drop=0.1),
            Intervention("another scene", images_as_inputs(exchanged), test.scenes, rows, at_most=CHANCE + 0.1),
        ),
        accuracy_floor=0.88,
        checks=(Effect("share of outputs that the object lowers", without, 0.75, share=True),),
        pairs=(PairSource("input_pair.without", "empty scenes", inputs=without, labels=test.scenes, truth=everywhere),),
    )


@dataset("bam_scene_only", features="image", provides={"truth.distractors", "input_pair.patched"})
def bam_scene_only(*, seed: int, per_pair: PositiveInt = PER_PAIR) -> Data:
    """Name the scene, without any object: the views of `bam_scene` as they were before.

    In the first 100 test images a patch that looks like a dog is optimised, for the fitted model,
    to change nothing about its outputs (`InsignificantPatch`, verified by gates); its pixels are
    the distractors.

    Parameters
    ----------
    seed, per_pair
        As for `bam_object`.
    """
    train, test = _images(seed, per_pair)
    dogs = np.full(len(test.scenes), DOG)
    pasted, mask = paste(load_pictures(), "test", test.empty, dogs, generator("dogs", "bam", seed))
    return Data(
        "image",
        images_as_inputs(train.empty),
        train.scenes,
        images_as_inputs(test.empty),
        test.scenes,
        test_rows=test.empty,
        class_names=SCENES,
        test_distractors=mask,
        accuracy_floor=0.90,
        checks=(InsignificantPatch(images_as_inputs(pasted[:PATCHED]), mask[:PATCHED]),),
    )


@dataset("bam_commonality", features="image", provides={"truth.mask", "model_pair.series"})
def bam_commonality(*, seed: int, level: Annotated[int, Ge(1), Le(10)] = 1, per_pair: PositiveInt = PER_PAIR) -> Data:
    """Name the scene where a dog is in every image of ``level`` of the ten scenes: the more, the less it says.

    The test set are dogs in the apartment, which is always among the scenes with a dog. The mask is
    the dog; a gate measures how much the output falls when it is removed. At low levels it must
    matter, at ten it says nothing: there the gate fails, and only `model_pair.series` (the models
    of all ten levels, in whose order the problem's own has its place) gives its scores a meaning.

    Parameters
    ----------
    seed : int
    level : int
        Number of scenes with a dog; the same views, dogs and places at all levels.
    per_pair : int
        A tenth of the training images of each scene.
    """
    pictures = load_pictures()
    train, test = (_dogs(seed, side, n) for side, n in (("train", 10 * per_pair), ("test", 10 * TEST_PER_PAIR)))
    rng = generator("apartment", "bam", seed)
    room = photograph(pictures, "test", np.zeros(DOGS_IN_ROOM, dtype=np.int64), rng)
    with_dog, mask = paste(pictures, "test", room, np.full(DOGS_IN_ROOM, DOG), rng)
    noise = rng.random(mask.shape, dtype=np.float32)

    def shown(made: Images) -> Array:
        return images_as_inputs(np.where((made.scenes < level)[:, None, None, None], made.pasted, made.empty))

    def other(i: int) -> PairSource:
        # What a map would look like that tells exactly how common the dog is, whatever it is scaled by.
        truth = np.where(mask, np.float32(1 - i / len(SCENES)), noise)
        data = partial(bam_commonality, seed=seed, level=i, per_pair=per_pair)
        own = i == level
        return PairSource(
            "model_pair.series",
            f"bam_commonality {i} {per_pair}",
            data=None if own else data,
            level=i / len(SCENES),
            truth=None if own else truth,
        )

    return Data(
        "image",
        shown(train),
        train.scenes,
        images_as_inputs(with_dog),
        np.zeros(DOGS_IN_ROOM, dtype=np.int64),
        test_rows=with_dog,
        class_names=SCENES,
        test_mask=mask,
        accuracy_floor=0.85,
        checks=(
            Accuracy("accuracy, all scenes", shown(test), test.scenes, 0.85),
            Effect("logit drop, dog removed", images_as_inputs(room), 1.0),
        ),
        pairs=tuple(other(i) for i in range(1, len(SCENES) + 1)),
    )


def _dogs(seed: int, side: str, per_scene: int) -> Images:
    """Views of all scenes, each with and without a dog."""
    pictures, rng = load_pictures(), generator("dogs everywhere", "bam", side, seed)
    scenes = rng.permutation(np.arange(len(SCENES)).repeat(per_scene))
    empty = photograph(pictures, side, scenes, rng)
    dogs = np.full(len(scenes), DOG)
    pasted, mask = paste(pictures, side, empty, dogs, rng)
    return Images(pasted, empty, mask, dogs, scenes)


def _images(seed: int, per_pair: int) -> tuple[Images, Images]:
    """Train and test images."""
    pictures = load_pictures()
    return compose_scenes(pictures, "train", per_pair, seed), compose_scenes(pictures, "test", TEST_PER_PAIR, seed)


def _behind(test: Images, rng: np.random.Generator) -> Array:
    """The objects where they are, in front of the views of other images."""
    return np.where(test.mask[:, None], test.pasted, test.empty[rng.permutation(len(test.scenes))])
