"""Image sets by name: what they accept, where they are looked for; the real ones where they are found."""

import os
import pickle
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from image_sets import IDX, cifar_pickle, error_of, idx_bytes, numbered, write_mnist

from annealtrain.data import datasets
from annealtrain.data.datasets import default_data_dir
from annealtrain.data.downloads import available
from annealtrain.data.images import split

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = Path(os.environ.get("ANNEALTRAIN_DATA") or SHARED).expanduser()


def test_digits_are_split_once_by_a_fixed_permutation():
    from sklearn.datasets import load_digits

    digits = datasets.digits()
    assert digits.train_images.shape == (1397, 1, 8, 8)
    assert digits.test_images.shape == (400, 1, 8, 8)
    assert digits.default_validation == 140
    # Figures of different versions are comparable only while the test set stays the same.
    assert digits.test_labels[:12].tolist() == [5, 1, 8, 2, 5, 7, 4, 5, 5, 2, 9, 4]
    pixels, labels = load_digits(return_X_y=True)
    both = np.concatenate([digits.train_images, digits.test_images]).reshape(1797, 64)
    both = np.column_stack([both, np.concatenate([digits.train_labels, digits.test_labels])])
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, np.column_stack([pixels, labels]).tolist()))


def test_missing_files_are_named_with_every_remedy(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    remedy = 'set data_dir=... or $ANNEALTRAIN_DATA, or run "annealtrain data --download mnist"'
    message = error_of(datasets.mnist, tmp_path)
    assert message == f"dataset mnist is not at {folder} (missing {IDX[0]} and 3 more): {remedy} (needs torchvision)"
    write_mnist(tmp_path)
    (folder / IDX[3]).unlink()
    assert f"(missing {IDX[3]})" in error_of(datasets.mnist, tmp_path)
    assert "(missing data_batch_1 and 5 more)" in error_of(datasets.cifar10, tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["train", "test"])
def test_not_finite_images_are_refused(value, part):
    images = np.full((40 if part == "train" else 5, 1, 2, 2), 0.5)
    images[3, 0, 1, 1] = value
    message = error_of(numbered, **{f"{part}_images": images}, scale=255.0)
    assert "dataset numbered" in message
    assert "images contain NaN or inf" in message


@pytest.mark.parametrize("label", [-1, 10])
def test_labels_outside_the_classes_are_refused(label):
    labels = np.arange(40) % 10
    labels[7] = label
    message = error_of(numbered, train_labels=labels)
    assert message == f"dataset numbered, training set: label {label} is outside 0..9: correct the labels"


def test_label_outside_the_classes_in_a_file(tmp_path):
    raw = write_mnist(tmp_path)
    (raw / IDX[3]).write_bytes(idx_bytes(np.full(12, 10, np.uint8)))
    assert "dataset mnist, test set: label 10 is outside 0..9" in error_of(datasets.mnist, tmp_path)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"train_images": np.zeros((40, 2, 2), np.uint8)}, "samples are (40, 2, 2) uint8"),
        ({"train_images": np.zeros((40, 1, 2, 2), np.int64)}, "samples are (40, 1, 2, 2) int64"),
        (
            {"train_images": np.zeros((40, 1, 2, 3), np.uint8)},
            "samples are 1x2x3, those of the test set 1x2x2: make both alike",
        ),
        ({"test_images": np.zeros((0, 1, 2, 2), np.uint8)}, "test set: samples are (0, 1, 2, 2)"),
        ({"train_labels": np.zeros(39, np.int64)}, "labels are (39,) int64: make them (40,) integers"),
        ({"train_labels": np.zeros(40)}, "labels are (40,) float64"),
        ({"scale": 16.0}, "pixels span 0..39, not 0..16: set scale"),
        ({"train_images": np.full((40, 1, 2, 2), -0.5)}, "pixels span -0.5..-0.5, not 0..255"),
    ],
)
def test_misshapen_datasets_are_refused(changes, found):
    assert found in error_of(numbered, **changes)


def test_default_folder_is_the_variable_or_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ANNEALTRAIN_DATA", "~/sets")
    assert default_data_dir() == tmp_path / "sets"
    for unset in ("", None):
        monkeypatch.setenv("ANNEALTRAIN_DATA", "") if unset == "" else monkeypatch.delenv("ANNEALTRAIN_DATA")
        assert default_data_dir() == tmp_path / ".cache" / "annealtrain"


def test_data_dir_defaults_and_expands(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ANNEALTRAIN_DATA", str(tmp_path / "by-variable"))
    write_mnist(tmp_path / "by-variable", seed=1)
    write_mnist(tmp_path / "given", seed=2)
    by_variable, given = datasets.mnist(), datasets.mnist("~/given")
    np.testing.assert_array_equal(datasets.mnist("").train_images, by_variable.train_images)
    assert not np.array_equal(by_variable.train_images, given.train_images)
    assert "data_dir=5 is not a path" in error_of(datasets.mnist, 5)


def require(*parts: str) -> None:
    if not REAL.joinpath(*parts).exists():
        pytest.skip(f"{REAL.joinpath(*parts)} is absent: set $ANNEALTRAIN_DATA")


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_real_idx_sets(name, folder):
    require(folder, "raw")
    real = getattr(datasets, name)(REAL)
    assert real.train_images.shape == (60000, 1, 28, 28)
    assert real.test_images.shape == (10000, 1, 28, 28)
    train, test = np.bincount(real.train_labels).tolist(), np.bincount(real.test_labels).tolist()
    if name == "mnist":
        assert train == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert test == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    else:
        assert train == [6000] * 10
        assert test == [1000] * 10
    row = next(row for row in available(REAL) if row.name == name)
    assert row.detail == "60000 training and 10000 test images"
    splits = split(real, samples=1000, validation=None, seed=0, size=(32, 32))
    assert splits.train.images.shape == (1000, 1, 32, 32)
    assert len(splits.validation.labels) == 6000
    assert 0.1 < splits.test.images.mean() < 0.4
    message = error_of(split, real, samples=60000, validation=None, seed=0)
    assert message == (
        f"samples=60000 and validation=6000 need 66000 images; {name} has 60000 for training: "
        f"at most samples=54000, or validation=0"
    )


@pytest.mark.real_data
def test_real_cifar():
    require("cifar-10-batches-py")
    real = datasets.cifar10(REAL)
    assert real.train_images.shape == (50000, 3, 32, 32)
    assert np.bincount(real.train_labels).tolist() == [5000] * 10
    assert np.bincount(real.test_labels).tolist() == [1000] * 10
    assert real.train_labels[:5].tolist() == [6, 9, 9, 4, 1]
    row = next(row for row in available(REAL) if row.name == "cifar10")
    assert row.detail == "50000 training and 10000 test images"


def test_cifar100(tmp_path):
    random = np.random.default_rng(0)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    pixels, labels = random.integers(0, 256, (6, 3072), dtype=np.uint8), [7, 99, 0, 3, 50, 98]
    for name, part in (("train", slice(0, 4)), ("test", slice(4, 6))):
        content = cifar_pickle(pixels[part], labels[part])
        (folder / name).write_bytes(content.replace(b"T\x06\x00\x00\x00labels", b"T\x0b\x00\x00\x00fine_labels"))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"thing{k}" for k in range(100)]}, protocol=2))
    made = datasets.cifar100(tmp_path)
    np.testing.assert_array_equal(made.train_images.reshape(4, 3072), pixels[:4])
    assert made.test_labels.tolist() == [50, 98]
    assert (made.classes, made.class_names[99], made.held_out) == (100, "thing99", 6000)
    (folder / "test").write_bytes(pickle.dumps(datetime.now()))
    assert f"{folder / 'test'} is not a CIFAR-100 batch (UnpicklingError: it names datetime" in error_of(
        datasets.cifar100, tmp_path
    )
    (folder / "meta").unlink()
    assert '(missing meta): set data_dir=... or $ANNEALTRAIN_DATA, or run "annealtrain data --download cifar100"' in (
        error_of(datasets.cifar100, tmp_path)
    )
