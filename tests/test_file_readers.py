"""IDX files and pickled batches, whole and damaged; a pickle that would run code."""

import gzip
import os
import pickle
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
from image_sets import BATCHES, IDX, cifar_pickle, error_of, idx_bytes, write_cifar, write_mnist

from annealtrain.data import datasets


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
        (b"", "ValueError: pickle exhausted"),
        (b"\x80\x02garbage", "is not a CIFAR-10 batch (ValueError"),
        (batch()[:-100], "is not a CIFAR-10 batch (ValueError"),
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


def test_a_small_file_that_unpacks_to_any_size_is_read_no_further_than_its_header_says(tmp_path):
    raw = write_mnist(tmp_path, suffix=".gz")
    head = (raw / f"{IDX[0]}.gz").read_bytes()
    (raw / f"{IDX[0]}.gz").write_bytes(head + gzip.compress(bytes(50_000_000)))  # another member
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "holds 23537 bytes" in error_of(datasets.mnist, tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    wide = struct.pack(">4I", 2051, 60_000, 2_000, 2_000)
    (raw / f"{IDX[0]}.gz").write_bytes(gzip.compress(wide))
    assert "promises 240000000016 bytes, more than the" in error_of(datasets.mnist, tmp_path)


@pytest.mark.parametrize("number", [b"r\xff\xff\xff\x7f", b"p99999999\n"])
def test_a_small_pickle_whose_table_takes_any_memory_is_refused(tmp_path, number):
    folder, *_ = write_cifar(tmp_path)
    (folder / "test_batch").write_bytes(b"\x80\x02N" + number + b".")
    assert "it keeps an object as number" in error_of(datasets.cifar10, tmp_path)


def test_a_pipe_in_the_place_of_a_set_is_not_waited_for(tmp_path):
    raw = write_mnist(tmp_path)
    (raw / IDX[1]).rename(tmp_path / "moved")
    (raw / IDX[1]).symlink_to(tmp_path / "moved")  # a set may be linked to where it lies
    datasets.mnist(tmp_path)
    (raw / IDX[1]).unlink()
    os.mkfifo(raw / IDX[1])
    assert "missing" in error_of(datasets.mnist, tmp_path)
