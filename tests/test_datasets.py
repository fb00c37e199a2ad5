"""Datasets from small files written here; the real sets where they are found."""

import gzip
import importlib
import os
import pickle
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from annealtrain.data import datasets, file_readers, images
from annealtrain.data.datasets import Dataset, default_data_dir
from annealtrain.data.downloads import available, download
from annealtrain.data.images import resize, split
from annealtrain.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("ANNEALTRAIN_DATA") or REPOSITORY.parent / "shared" / "data").expanduser()
IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 2048 + array.ndim, *array.shape) + array.tobytes()


def write_mnist(root: Path, *, suffix: str = "", folder: str = "MNIST", seed: int = 0) -> Path:
    """Write 30 training and 12 test images of 28 x 28; return their folder."""
    random = np.random.default_rng(seed)
    raw = root / folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for stem, shape in zip(IDX, ((30, 28, 28), (30,), (12, 28, 28), (12,)), strict=True):
        content = idx_bytes(random.integers(0, 10 if len(shape) == 1 else 256, shape, dtype=np.uint8))
        (raw / (stem + suffix)).write_bytes(gzip.compress(content) if suffix else content)
    return raw


def cifar_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """Return a batch as the original release has it: protocol 2, Python 2 strings, numpy.core's old name."""

    def string(text: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(text)) + text

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R(K\x03" + string(b"|")
    dtype += b"NNN" + number(-1) + number(-1) + b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R("
    array += b"K\x01" + number(pixels.shape[0]) + number(pixels.shape[1]) + b"\x86" + dtype + b"\x89"
    array += string(pixels.tobytes()) + b"tb"
    listed = b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + listed + b"u."


def write_cifar(root: Path, *, seed: int = 0) -> tuple[Path, np.ndarray, list[int]]:
    """Write six batches of 4 images; return their folder, all pixels (24, 3072) and all labels."""
    random = np.random.default_rng(seed)
    pixels, labels = random.integers(0, 256, (24, 3072), dtype=np.uint8), random.integers(0, 10, 24).tolist()
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number, name in enumerate(BATCHES):
        part = slice(4 * number, 4 * number + 4)
        (folder / name).write_bytes(cifar_pickle(pixels[part], labels[part]))
    return folder, pixels, labels


def numbered(count: int = 40, **changes: object) -> Dataset:
    """Return a set whose image i has the value i everywhere, so that a split tells which images it took."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), np.uint8)
    labels = np.arange(count) % 10
    fields = {
        "name": "numbered",
        "classes": 10,
        "train_images": images,
        "train_labels": labels,
        "test_images": images[:5],
        "test_labels": labels[:5],
        "default_validation": 4,
    }
    return Dataset(**(fields | changes))


def taken(images: images.Images) -> list[int]:
    return np.rint(images.images[:, 0, 0, 0] * 255).astype(int).tolist()


def error_of(function, *arguments, **keywords) -> str:
    """Return the one line of the InputError that the call must raise."""
    with pytest.raises(InputError) as caught:
        function(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- digits and the IDX sets


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


def test_digits_reach_one():
    splits = split(datasets.digits(), samples=50, validation=None, seed=0, size=(8, 8))
    assert splits.train.images.max() == 1.0
    assert len(splits.validation.labels) == 140


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files_are_read_plain_and_gzipped(tmp_path, name, folder):
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    raw = write_mnist(plain, folder=folder)
    write_mnist(packed, folder=folder, suffix=".gz")
    one, other = getattr(datasets, name)(plain), getattr(datasets, name)(str(packed))
    assert one.name == name
    assert one.train_images.shape == (30, 1, 28, 28)
    assert one.test_images.shape == (12, 1, 28, 28)
    assert one.train_labels.dtype == one.test_labels.dtype == np.int64
    assert one.default_validation == 6000
    pixels = np.frombuffer((raw / IDX[0]).read_bytes()[16:], np.uint8).reshape(30, 1, 28, 28)
    np.testing.assert_array_equal(one.train_images, pixels)
    np.testing.assert_array_equal(one.test_labels, list((raw / IDX[3]).read_bytes()[8:]))
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_missing_files_are_named_with_every_remedy(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    remedy = 'set data_dir=... or $ANNEALTRAIN_DATA, or run "annealtrain data --download mnist"'
    message = error_of(datasets.mnist, tmp_path)
    assert message == f"dataset mnist is not at {folder} (missing {IDX[0]} and 3 more): {remedy} (needs torchvision)"
    write_mnist(tmp_path)
    (folder / IDX[3]).unlink()
    assert f"(missing {IDX[3]})" in error_of(datasets.mnist, tmp_path)
    assert "(missing data_batch_1 and 5 more)" in error_of(datasets.cifar10, tmp_path)


DAMAGE = {
    "truncated": (
        0,
        lambda content: content[:-1],
        "holds 23535 bytes, its header [30, 28, 28] promises 23536",
    ),
    "trailing junk": (1, lambda content: content + b"junk", "holds 42 bytes, its header [30] promises 38"),
    "cut header": (2, lambda content: content[:9], "holds 9 bytes, its header alone needs 16"),
    "empty": (2, lambda content: b"", "holds 0 bytes, its header alone needs 16"),
    "labels as images": (
        0,
        lambda content: b"\0\0\x08\x01" + content[4:],
        "has magic number 2049, expected 2051",
    ),
    "images as labels": (
        3,
        lambda content: b"\0\0\x08\x03" + content[4:],
        "has magic number 2051, expected 2049",
    ),
    "huge header": (0, lambda content: content[:4] + b"\xff" * 12 + content[16:], "promises 7922816"),
    "too few labels": (1, lambda content: idx_bytes(np.zeros(29, np.uint8)), "holds 29 labels for 30 images"),
    "too many labels": (
        3,
        lambda content: idx_bytes(np.zeros(13, np.uint8)),
        "holds 13 labels for 12 images",
    ),
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_idx_files_are_named(tmp_path, kind, suffix):
    number, damage, found = DAMAGE[kind]
    path = write_mnist(tmp_path, suffix=suffix) / (IDX[number] + suffix)
    content = gzip.decompress(path.read_bytes()) if suffix else path.read_bytes()
    path.write_bytes(gzip.compress(damage(content)) if suffix else damage(content))
    message = error_of(datasets.mnist, tmp_path)
    assert message.startswith(str(path))
    assert found in message
    assert message.endswith("restore it or download it again")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda content: b"not gzip at all", "BadGzipFile"),
        (lambda content: content[:-20], "EOFError"),
        (lambda content: content[:10] + b"\xff" * 40 + content[50:], "invalid block type"),
        (lambda content: content[:-8] + bytes(8), "CRC check failed"),
    ],
)
def test_corrupt_gzip_is_named(tmp_path, damage, found):
    path = write_mnist(tmp_path, suffix=".gz") / f"{IDX[0]}.gz"
    path.write_bytes(damage(path.read_bytes()))
    message = error_of(datasets.mnist, tmp_path)
    assert message.startswith(f"{path} cannot be read (")
    assert found in message


# --- CIFAR-10


def test_cifar_batches_are_read_in_order(tmp_path):
    _, pixels, labels = write_cifar(tmp_path)
    cifar = datasets.cifar10(tmp_path)
    assert cifar.train_images.shape == (20, 3, 32, 32)
    np.testing.assert_array_equal(cifar.train_images.reshape(20, 3072), pixels[:20])
    np.testing.assert_array_equal(cifar.test_images.reshape(4, 3072), pixels[20:])
    assert cifar.train_labels.tolist() + cifar.test_labels.tolist() == labels
    assert cifar.train_labels.dtype == np.int64
    # Channel first, then rows: pixel 32 of a record is row 1, column 0 of the first channel.
    assert cifar.train_images[0, 0, 1, 0] == pixels[0, 32]
    assert cifar.train_images[0, 1, 0, 0] == pixels[0, 1024]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("key", [str, str.encode])
def test_batches_pickled_by_this_numpy_are_read(tmp_path, protocol, order, key):
    folder, pixels, labels = write_cifar(tmp_path)
    batch = {key("data"): np.asarray(pixels[:4], order=order), key("labels"): labels[:4]}
    (folder / BATCHES[0]).write_bytes(pickle.dumps(batch, protocol=protocol))
    np.testing.assert_array_equal(datasets.cifar10(tmp_path).train_images.reshape(20, 3072), pixels[:20])


class Hostile:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [os.mkdir, Path, eval, np.load])
@pytest.mark.parametrize("protocol", [2, 4])
def test_hostile_pickle_does_not_execute(tmp_path, function, protocol):
    trace = tmp_path / "trace"
    text = f"__import__('os').mkdir({str(trace)!r})" if function is eval else str(trace)
    content = pickle.dumps({b"data": Hostile(function, (text,)), b"labels": []}, protocol=protocol)
    folder, *_ = write_cifar(tmp_path)
    (folder / "data_batch_3").write_bytes(content)
    message = error_of(datasets.cifar10, tmp_path)
    assert message.startswith(f"{folder / 'data_batch_3'} is not a CIFAR-10 batch (UnpicklingError: it names ")
    assert not trace.exists()
    if function is os.mkdir:  # the same bytes do execute where nothing holds them back
        pickle.loads(content)
        assert trace.exists()


def batch(**changes: object) -> bytes:
    content = {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 2, 3]}
    return pickle.dumps(content | {key.encode(): part for key, part in changes.items()}, protocol=4)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "EOFError"),
        (b"\x80\x02garbage", "UnpicklingError"),
        (batch()[:-100], "UnpicklingError"),
        (batch() + b"junk", "bytes follow the pickle's end"),
        (pickle.dumps([1, 2], protocol=2), "is not a CIFAR-10 batch (AttributeError"),
        (pickle.dumps({b"labels": []}, protocol=2), "KeyError: b'data'"),
        (batch(data=b"bytes"), "is not a CIFAR-10 batch (AttributeError"),
        (batch(data=np.zeros((4, 3072))), "pixels are 'f8', expected 'u1'"),
        (batch(data=np.zeros((4, 1024), np.uint8)), "pixels (4, 1024), expected n integers and (n, 3072)"),
        (batch(labels=[0, 1, 2]), "3 labels and pixels (4, 3072)"),
        (batch(labels=[0, 1, 2, 3.5]), "expected n integers"),
        (batch(labels=[0, 1, 2, 10**30]), "OverflowError"),
    ],
)
def test_damaged_batches_are_named(tmp_path, content, found):
    folder, *_ = write_cifar(tmp_path)
    (folder / "test_batch").write_bytes(content)
    message = error_of(datasets.cifar10, tmp_path)
    assert message.startswith(str(folder / "test_batch"))
    assert found in message
    assert message.endswith("restore it or download it again")


def test_batch_with_too_few_pixels_is_named(tmp_path):
    folder, pixels, labels = write_cifar(tmp_path)
    whole = cifar_pickle(pixels[:4], labels[:4])
    size = struct.pack("<i", pixels[:4].size)
    assert whole.count(size) == 1
    start = whole.index(size)
    short = (
        whole[:start] + struct.pack("<i", 3072) + whole[start + 4 : start + 4 + 3072] + whole[start + 4 + 4 * 3072 :]
    )
    (folder / "data_batch_1").write_bytes(short)
    assert "cannot reshape array of size 3072" in error_of(datasets.cifar10, tmp_path)


# --- what a Dataset accepts


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
        ({"train_images": np.zeros((40, 2, 2), np.uint8)}, "images are (40, 2, 2) uint8"),
        ({"train_images": np.zeros((40, 1, 2, 2), np.int64)}, "images are (40, 1, 2, 2) int64"),
        ({"train_images": np.zeros((40, 1, 2, 3), np.uint8)}, "C, H, W as in the test set"),
        ({"test_images": np.zeros((0, 1, 2, 2), np.uint8)}, "test set: images are (0, 1, 2, 2)"),
        ({"train_labels": np.zeros(39, np.int64)}, "labels are (39,) int64: make them (40,) integers"),
        ({"train_labels": np.zeros(40)}, "labels are (40,) float64"),
        ({"scale": 16.0}, "pixels span 0..39, not 0..16: set scale"),
        ({"train_images": np.full((40, 1, 2, 2), -0.5)}, "pixels span -0.5..-0.5, not 0..255"),
    ],
)
def test_misshapen_datasets_are_refused(changes, found):
    assert found in error_of(numbered, **changes)


# --- splits


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
        (0, 4, "samples=0 is not a whole number >= 1"),
        (-3, 4, "samples=-3 is not a whole number >= 1"),
        (10.0, 4, "samples=10.0 is not a whole number >= 1"),
        (True, 4, "samples=True is not a whole number >= 1"),
        ("10", 4, "samples='10' is not a whole number >= 1"),
        (10, -1, "validation=-1 is not a whole number >= 0"),
        (10, 0.1, "validation=0.1 is not a whole number >= 0"),
    ],
)
def test_counts_beyond_the_set_are_refused(samples, validation, found):
    assert found in error_of(split, numbered(), samples=samples, validation=validation, seed=0)


def test_counts_message_offers_only_what_works():
    assert "validation=0" not in error_of(split, numbered(), samples=41, validation=4, seed=0).split("at most")[1]


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_bad_seed_is_refused(seed):
    assert f"seed={seed} is not a whole number >= 0" in error_of(split, numbered(), samples=1, validation=0, seed=seed)


@pytest.mark.parametrize("size", [32, (32,), (0, 32), (32, 1.5), "32"])
def test_bad_size_is_refused(size):
    message = error_of(split, numbered(), samples=1, validation=0, seed=0, size=size)
    assert f"size={size!r} is not two whole numbers" in message


# --- resize


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


# --- folders, availability, download


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


def test_available_counts_by_headers_alone(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    write_mnist(tmp_path, folder="FashionMNIST", suffix=".gz")
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in BATCHES:  # sparse files of the right size: nothing of them may be read
        with (folder / name).open("wb") as file:
            file.truncate(10_000 * 3072 + 1)
    monkeypatch.setattr(file_readers, "cifar_batch", None)
    monkeypatch.setattr(file_readers, "idx_arrays", None)
    rows = {row.name: row for row in available(tmp_path)}
    assert list(rows) == ["digits", "mnist", "fashion_mnist", "cifar10"]
    assert all(row.present for row in rows.values())
    assert rows["digits"].detail == "1397 training and 400 test images"
    assert rows["mnist"].detail == rows["fashion_mnist"].detail == "30 training and 12 test images"
    assert rows["cifar10"].detail == "50000 training and 10000 test images"
    assert rows["mnist"].folder == str(tmp_path / "MNIST" / "raw")


def test_available_says_why_not(tmp_path):
    raw = write_mnist(tmp_path)
    (raw / IDX[0]).write_bytes((raw / IDX[0]).read_bytes()[:-1])
    write_cifar(tmp_path)
    rows = {row.name: row for row in available(tmp_path)}
    assert [row.present for row in rows.values()] == [True, False, False, False]
    assert "holds 23535 bytes, its header [30, 28, 28] promises 23536" in rows["mnist"].detail
    assert "--download fashion_mnist" in rows["fashion_mnist"].detail
    assert "too few for 10000 images" in rows["cifar10"].detail


def fake_torchvision(monkeypatch, action) -> None:
    classes = {name: action for name in ("MNIST", "FashionMNIST", "CIFAR10")}
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(datasets=SimpleNamespace(**classes)))


def test_download_through_torchvision(monkeypatch, tmp_path):
    def fetch(root, train, download):
        assert train
        assert download
        write_mnist(Path(root))

    fake_torchvision(monkeypatch, fetch)
    assert download("mnist", tmp_path) == tmp_path / "MNIST" / "raw"
    assert len(datasets.mnist(tmp_path).train_labels) == 30


@pytest.mark.parametrize(
    "error",
    [
        URLError("no route"),
        OSError("disk full"),
        RuntimeError("Error downloading:\nTried two\nmirrors"),
        AssertionError(),
    ],
)
def test_failed_download_is_one_line(monkeypatch, tmp_path, error):
    def fetch(**keywords):
        raise error

    fake_torchvision(monkeypatch, fetch)
    message = error_of(download, "cifar10", tmp_path)
    assert message.startswith(f"downloading cifar10 failed ({type(error).__name__}: ")
    assert f"empty {tmp_path / 'cifar-10-batches-py'} and try again" in message


def test_download_without_torchvision_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    message = error_of(download, "mnist", tmp_path)
    assert "needs torchvision" in message
    assert "pip install torchvision, or copy the files to" in message


@pytest.mark.parametrize("error", ["RuntimeError('operator torchvision::nms does not exist')", "AttributeError('_C')"])
def test_download_beside_a_cpu_torch_names_the_matching_build(monkeypatch, tmp_path, error):
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    message = error_of(download, "mnist", tmp_path)
    assert "in the build made for your torch" in message
    assert error.split("'")[1] in message


def test_download_of_other_names():
    assert "it is inside scikit-learn" in error_of(download, "digits")
    assert "no dataset 'minst' to download; did you mean 'mnist'?" in error_of(download, "minst")


# --- the real sets


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
    splits = split(real, samples=1000, validation=None, seed=0)
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
