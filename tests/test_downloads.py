"""Which sets are at hand, told without reading them, and how the others are fetched."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
from image_sets import BATCHES, IDX, error_of, write_cifar, write_mnist

from annealtrain.data import datasets, file_readers
from annealtrain.data.downloads import available, download


def test_available_counts_by_headers_alone(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    write_mnist(tmp_path, folder="FashionMNIST", suffix=".gz")
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in BATCHES:  # sparse files of the right size: nothing of them may be read
        with (folder / name).open("wb") as file:
            file.truncate(10_000 * 3072 + 1)
    (tmp_path / "cifar-100-python").mkdir()
    for name, count in (("train", 50_000), ("test", 10_000), ("meta", 0)):
        with (tmp_path / "cifar-100-python" / name).open("wb") as file:
            file.truncate(count * 3072 + 1)
    monkeypatch.setattr(file_readers, "cifar_batch", None)
    monkeypatch.setattr(file_readers, "idx_arrays", None)
    rows = {row.name: row for row in available(tmp_path)}
    assert list(rows) == ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100"]
    assert all(row.present for row in rows.values())
    assert rows["digits"].detail == "1397 training and 400 test images"
    assert rows["mnist"].detail == rows["fashion_mnist"].detail == "30 training and 12 test images"
    assert rows["cifar10"].detail == rows["cifar100"].detail == "50000 training and 10000 test images"
    assert rows["mnist"].folder == str(tmp_path / "MNIST" / "raw")


def test_available_says_why_not(tmp_path):
    raw = write_mnist(tmp_path)
    (raw / IDX[0]).write_bytes((raw / IDX[0]).read_bytes()[:-1])
    write_cifar(tmp_path)
    rows = {row.name: row for row in available(tmp_path)}
    assert [row.present for row in rows.values()] == [True, False, False, False, False]
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
