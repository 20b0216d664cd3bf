"""Handwritten digits: scikit-learn's, a slice of MNIST, and the whole of MNIST."""

from __future__ import annotations

import io

import numpy as np

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.errors import DataError
from xaibench.core.types import Array
from xaibench.datasets.cards import check_array, read_shipped
from xaibench.datasets.fetch import read_fetched
from xaibench.datasets.splits import generator, split

DIGIT_NAMES = tuple("0123456789")


def load_digits() -> tuple[Array, Array]:
    """scikit-learn's digits: images (1797, 8, 8) uint8 from 0 to 16, and labels (1797,) int64."""
    from sklearn.datasets import load_digits as load

    found = load()
    images, labels = found.images.astype(np.uint8), found.target.astype(np.int64)
    check_array("digits", "images", images.tobytes())
    check_array("digits", "labels", labels.astype(np.uint8).tobytes())
    return images, labels


def image_data(train: tuple[Array, Array], test: tuple[Array, Array], *, white: int, accuracy_floor: float) -> Data:
    """Make Data of uint8 images (N, H, W) and labels (N,); ``white`` is the value that becomes 1."""

    def scaled(images: Array) -> Array:
        return images[:, None].astype(np.float32) / np.float32(white)

    return Data(
        "image",
        scaled(train[0]),
        train[1].astype(np.int64),
        scaled(test[0]),
        test[1].astype(np.int64),
        test_rows=test[0],
        class_names=DIGIT_NAMES,
        accuracy_floor=accuracy_floor,
    )


@dataset("digits", features="image")
def digits(*, seed: int) -> Data:
    """1,797 handwritten digits of 8x8 pixels from scikit-learn, 500 of them for testing; ten classes."""
    images, labels = load_digits()
    train, test = split(images, labels, 500 / len(images), generator("split", "digits", seed))
    return image_data((images[train], labels[train]), (images[test], labels[test]), white=16, accuracy_floor=0.90)


@dataset("mnist", features="image")
def mnist(*, seed: int) -> Data:
    """A balanced slice of MNIST, 5,000 train and 1,000 test digits of 28x28 pixels; ten classes.

    The slice has MNIST's own split; the seed orders its rows.
    """
    with np.load(io.BytesIO(read_shipped("mnist", "mnist.npz"))) as arrays:
        parts = {k: arrays[k] for k in arrays.files}
    rng = generator("split", "mnist", seed)
    train, test = (rng.permutation(len(parts[f"{side}_labels"])) for side in ("train", "test"))
    return image_data(
        (parts["train_images"][train], parts["train_labels"][train]),
        (parts["test_images"][test], parts["test_labels"][test]),
        white=255,
        accuracy_floor=0.88,
    )


@dataset("mnist_full", features="image")
def mnist_full(*, seed: int) -> Data:
    """The whole of MNIST, 60,000 train and 10,000 test digits (`xaibench data fetch mnist_full`)."""
    rng = generator("split", "mnist_full", seed)
    sides = []
    for side in ("train", "t10k"):
        images = read_idx(read_fetched("mnist_full", f"{side}-images-idx3-ubyte"))
        labels = read_idx(read_fetched("mnist_full", f"{side}-labels-idx1-ubyte"))
        order = rng.permutation(len(labels))
        sides.append((images[order], labels[order]))
    return image_data(sides[0], sides[1], white=255, accuracy_floor=0.88)


def read_idx(content: bytes) -> Array:
    """Decode an IDX file of unsigned bytes (the format of yann.lecun.com/exdb/mnist)."""
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DataError("this is not an IDX file of unsigned bytes")
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4).astype(int)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
