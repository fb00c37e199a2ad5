"""A run's images: seeded splits, and the resize against Pillow's."""

import numpy as np
import pytest
from image_sets import error_of, numbered, taken
from PIL import Image

from annealtrain.data import datasets
from annealtrain.data.datasets import Dataset
from annealtrain.data.images import split
from annealtrain.data.preprocessing import resize


def test_digits_reach_one():
    splits = split(datasets.digits(), samples=50, validation=None, seed=0, size=(8, 8))
    assert splits.train.images.max() == 1.0
    assert len(splits.validation.labels) == 140


def test_splits_do_not_overlap_and_keep_the_test_set():
    splits = split(numbered(), samples=36, validation=4, seed=0, size=(2, 2))
    assert sorted(taken(splits.train) + taken(splits.validation)) == list(range(40))
    assert taken(splits.test) == [0, 1, 2, 3, 4]
    for part in (splits.train, splits.validation, splits.test):
        assert part.images.dtype == np.float32
        assert part.labels.dtype == np.int64
        assert part.labels.tolist() == [value % 10 for value in taken(part)]


def test_seed_decides_the_split():
    first, again, other = (split(numbered(), samples=20, validation=4, seed=s, size=(2, 2)) for s in (0, 0, 1))
    assert taken(first.train) == taken(again.train)
    assert taken(first.train) != taken(other.train)
    assert taken(first.validation) != taken(other.validation)
    order = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,))).permutation(40)
    assert taken(first.validation) + taken(first.train) == order[:24].tolist()


def test_held_out_images_do_not_depend_on_samples():
    few, many = (split(numbered(), samples=n, validation=4, seed=3, size=(2, 2)) for n in (5, 30))
    assert taken(few.validation) == taken(many.validation)
    assert taken(few.train) == taken(many.train)[:5]


def test_validation_none_is_the_sets_default_and_zero_is_none():
    assert len(split(numbered(), samples=3, validation=None, seed=0).validation.labels) == 4
    splits = split(numbered(), samples=40, validation=0, seed=0, size=(2, 2))
    assert splits.validation is None
    assert sorted(taken(splits.train)) == list(range(40))


def test_split_resizes_each_image_alone():
    """5,000 images cross the border between two blocks."""
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (5000, 3, 4, 6), dtype=np.uint8)
    labels = np.zeros(5000, np.int64)
    made = Dataset("made", 10, images, labels, images, labels)
    test = split(made, samples=1, validation=0, seed=0, size=(8, 9)).test.images
    assert test.shape == (5000, 3, 8, 9)
    assert test.min() >= 0
    assert test.max() <= 1
    np.testing.assert_allclose(test[4090:4100], resize(images[4090:4100] / 255, (8, 9)), atol=1e-6)


@pytest.mark.parametrize(
    ("samples", "validation", "found"),
    [
        (
            40,
            4,
            "samples=40 and validation=4 need 44 images; numbered has 40 for training: at most samples=36, ",
        ),
        (40, None, "samples=40 and validation=4 need 44 images"),
        (40, 4, "or validation=0"),
        (41, 4, "need 45 images; numbered has 40 for training: at most samples=36"),
        (41, 0, "need 41 images; numbered has 40 for training: at most samples=40"),
        (1, 40, "need 41 images; numbered has 40 for training: at most validation=39"),
        (50, 50, "at most 40 together"),
        (0, 4, "samples=0 is not a whole number of at least 1"),
        (-3, 4, "samples=-3 is not a whole number of at least 1"),
        (10.0, 4, "samples=10.0 is not a whole number of at least 1"),
        (True, 4, "samples=true is not a whole number of at least 1"),
        ("10", 4, "samples='10' is not a whole number of at least 1"),
        (10, -1, "validation=-1 is not a whole number of at least 0"),
        (10, 0.1, "validation=0.1 is not a whole number of at least 0"),
    ],
)
def test_counts_beyond_the_set_are_refused(samples, validation, found):
    assert found in error_of(split, numbered(), samples=samples, validation=validation, seed=0)


def test_counts_message_offers_only_what_works():
    assert "validation=0" not in error_of(split, numbered(), samples=41, validation=4, seed=0).split("at most")[1]


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_bad_seed_is_refused(seed):
    shown = "null" if seed is None else seed
    assert f"seed={shown} is not a whole number of at least 0" in error_of(
        split, numbered(), samples=1, validation=0, seed=seed
    )


@pytest.mark.parametrize("size", [32, (32,), (0, 32), (32, 1.5), "32"])
def test_bad_size_is_refused(size):
    message = error_of(split, numbered(), samples=1, validation=0, seed=0, size=size)
    assert f"size={size!r} is not two whole numbers of at least 1, such as [32, 32]" in message


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((28, 28), (32, 32)),
        ((8, 8), (32, 32)),
        ((32, 32), (8, 8)),
        ((28, 28), (10, 13)),
        ((7, 31), (32, 16)),
        ((5, 9), (5, 4)),
        ((1, 6), (4, 1)),
    ],
)
def test_resize_agrees_with_pillow(source, target):
    images = np.random.default_rng(2).random((2, 3, *source))
    got = resize(images, target)
    assert got.dtype == np.float32
    assert got.shape == (2, 3, *target)
    for index in np.ndindex(2, 3):
        picture = Image.fromarray(images[index].astype(np.float32))
        assert picture.mode == "F"
        expected = np.asarray(picture.resize(target[::-1], Image.Resampling.BILINEAR))
        np.testing.assert_allclose(got[index], expected, atol=2e-6)


def test_resize_to_the_same_size_changes_nothing():
    images = np.random.default_rng(3).random((2, 1, 9, 7))
    np.testing.assert_array_equal(resize(images, (9, 7)), images.astype(np.float32))
