"""`dataset=folder`: pictures as they are or at one size, and the picture that is named where one is bad."""

import os
import struct
import zlib

import numpy as np
import pytest
from image_sets import error_of
from own_data import write_pictures
from PIL import Image

from annealtrain.data.image_folders import folder


def test_pictures_keep_their_size_and_colours(tmp_path):
    made = folder(str(write_pictures(tmp_path / "mine", classes=4, each=5)))
    assert (made.name, made.classes, made.shape) == ("mine", 4, (3, 64, 64))
    assert made.class_names == ("class00", "class01", "class02", "class03")
    assert np.bincount(made.test_labels).tolist() == [1] * 4
    assert (made.train_images.dtype, made.scale, made.resized_from) == (np.uint8, 255.0, "")
    first = np.asarray(Image.open(tmp_path / "mine" / "class02" / "0.png")).transpose(2, 0, 1)
    assert any(np.array_equal(first, one) for one in [*made.train_images, *made.test_images])


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("train", "val"), ("Training", "valid")])
def test_folders_of_training_and_test(tmp_path, train, test):
    write_pictures(tmp_path / train, each=4)
    write_pictures(tmp_path / test, each=2)
    (tmp_path / "notes").mkdir()
    (tmp_path / ".hidden").mkdir()
    made = folder(str(tmp_path))
    assert (len(made.train_labels), len(made.test_labels)) == (12, 6)


def test_training_pictures_alone_in_a_folder_of_their_name(tmp_path):
    write_pictures(tmp_path / "train", each=10)
    made = folder(str(tmp_path))
    assert (len(made.train_labels), len(made.test_labels)) == (24, 6)


def test_a_class_may_be_called_train(tmp_path):
    write_pictures(tmp_path, classes=2, each=5)
    (tmp_path / "class00").rename(tmp_path / "train")
    assert folder(str(tmp_path)).class_names == ("class01", "train")
    (tmp_path / "class01").rename(tmp_path / "test")  # pictures without classes
    assert "has no folders of pictures" in error_of(folder, str(tmp_path))


def test_what_is_hidden_is_no_picture(tmp_path):
    root = write_pictures(tmp_path, each=5)
    (root / "class01" / "._0.png").write_bytes(b"\0\5\x16\7")
    (root / "class01" / ".trash").mkdir()
    (root / "class01" / ".trash" / "0.png").touch()
    assert len(folder(str(root)).train_labels) == 12


@pytest.mark.parametrize("kind", ["jpg", "webp", "png", "tif"])
def test_pictures_are_upright_as_their_cameras_say(tmp_path, kind):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # turn it a quarter to the right
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels, exif = (upright, Image.Exif()) if number % 2 else (np.rot90(upright), turned)
            path = tmp_path / name / f"{number}.{kind}"
            Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif)
    made = folder(str(tmp_path))
    assert made.shape == (3, 8, 16)
    for image in (*made.train_images, *made.test_images):
        assert image[:, :3].min() > 200
        assert image[:, 5:].max() < 50


@pytest.mark.parametrize(("dtype", "factor"), [(np.uint16, 16), (np.uint16, 257), (np.int32, 1), (np.float32, 1 / 255)])
def test_pictures_of_more_than_eight_bits_keep_their_values(tmp_path, dtype, factor):
    held = np.arange(10, 52).reshape(6, 7)
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.fromarray((held * factor).astype(dtype)).save(tmp_path / name / f"{number}.tif")
    made = folder(str(tmp_path))
    assert (made.shape, made.scale) == ((1, 6, 7), None)
    np.testing.assert_allclose(made.train_images[0, 0], held * factor, rtol=1e-6)
    Image.fromarray(held.astype(np.uint8)).save(tmp_path / "a" / "bytes.png")
    if dtype == np.float32:
        told = "0.tif has pixels of float32, others are bytes: save all as one kind"
        assert error_of(folder, str(tmp_path)) == f"{tmp_path / 'a' / told}"


def test_pictures_are_resized_where_it_is_asked_for_as_pillow_does(tmp_path):
    root = write_pictures(tmp_path / "mine", each=5)
    Image.fromarray(np.full((20, 30, 3), 9, np.uint8)).save(root / "class01" / "wide.png")
    message = error_of(folder, str(root))
    wide = root / "class01" / "wide.png"
    assert message == f"{root / 'class00' / '0.png'} is 64x64, {wide} is 20x30: set image_size=[H,W] to resize all"
    made = folder(str(root), image_size=[16, 12])
    assert (made.shape, made.resized_from) == ((3, 16, 12), "20x30 to 64x64")
    expected = np.asarray(Image.open(root / "class00" / "0.png").resize((12, 16), Image.Resampling.BILINEAR))
    assert any(np.array_equal(expected.transpose(2, 0, 1), one) for one in [*made.train_images, *made.test_images])


def test_grey_where_all_are_or_where_asked_for(tmp_path):
    for name, value in (("a", 10), ("b", 200)):
        (tmp_path / name).mkdir()
        for number, mode in enumerate(["L", "1", "LA", "I;16", "L"]):
            held = np.full((6, 7), value, np.uint8)
            picture = Image.fromarray(held.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(held)
            (picture if mode == "I;16" else picture.convert(mode)).save(tmp_path / name / f"{number}.png")
    made = folder(str(tmp_path))
    assert made.shape == (1, 6, 7)
    values = {int(image.max()) for image in [*made.train_images, *made.test_images]}
    assert values <= {0, 10, 200, 255}  # 16 bits are made 8, not cut off
    assert {10, 200} <= values
    assert folder(str(tmp_path), colours="rgb").shape == (3, 6, 7)
    (tmp_path / "coloured").mkdir()
    write_pictures(tmp_path / "coloured")
    assert folder(str(tmp_path / "coloured"), colours="grey").shape == (1, 64, 64)


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    root = write_pictures(tmp_path / "mine", size=(16, 16))
    bad = root / "class01" / "3.png"
    content = bad.read_bytes()
    for broken in (b"no picture", b"", content[: len(content) // 2]):
        bad.write_bytes(broken)
        message = error_of(folder, str(root))
        assert message.startswith(f"{bad} is not a picture that can be read (")
        assert message.endswith(": replace it, or take it away")


def test_no_picture_is_left_out_without_a_word(tmp_path):
    root = write_pictures(tmp_path / "mine", each=5)
    (root / "class00" / "folder.png").mkdir()
    assert len(folder(str(root)).train_labels) == 12
    bad = root / "class00" / "9.png"
    for make in (lambda: bad.symlink_to("nowhere"), lambda: os.mkfifo(bad), lambda: bad.symlink_to(bad.name)):
        make()
        assert error_of(folder, str(root)) == f"{bad} leads to no file: mend it, or take it away"
        bad.unlink()
    (root / "class00" / "more").symlink_to(root / "class01")
    assert "more is a link to a folder, which is not entered: put its pictures there" in error_of(folder, str(root))


def test_what_is_lacking_is_said_in_a_line(tmp_path):
    assert error_of(folder) == "dataset=folder needs a folder of class folders: data_dir=DIR"
    assert error_of(folder, "nowhere") == "data_dir=nowhere: there is no such folder"
    assert f"{tmp_path} has no folders of pictures: make one a class" in error_of(folder, str(tmp_path))
    write_pictures(tmp_path / "one", classes=1)
    assert "has one class, class00: a classifier needs at least 2" in error_of(folder, str(tmp_path / "one"))
    root = write_pictures(tmp_path / "some" / "train").parent
    (root / "train" / "empty").mkdir()
    assert f"{root / 'train' / 'empty'} has no pictures (.png" in error_of(folder, str(root))
    (root / "train" / "empty").rmdir()
    write_pictures(root / "test", classes=4)
    assert "has a class class03, which the training folder has not" in error_of(folder, str(root))
    assert "dataset.colours='blue' is not one of grey, rgb, or null" in error_of(folder, str(root), colours="blue")


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    root = write_pictures(tmp_path / "mine", each=2)
    monkeypatch.setattr("annealtrain.runtime.memory.available_bytes", lambda: 1000)
    assert error_of(folder, str(root)).startswith("6 pictures of 64x64 needs 147 kB; 1 kB are available: set a sm")


def test_no_picture_calls_a_program_and_large_ones_are_not_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # 64 pixels are worth a warning, beyond 80 they are refused
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("L", (8, 8), number).save(tmp_path / name / f"{number}.png")
    assert folder(str(tmp_path)).shape == (1, 8, 8)  # warnings are errors here
    called = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *given: called.append(given))
    (tmp_path / "a" / "9.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    assert "9.png is not a picture that can be read" in error_of(folder, str(tmp_path))
    assert not called


def sixteen_bits(kind: int, samples: int, value: int) -> bytes:
    """Return a PNG of 4x4 pixels with 16 bits a sample, as Pillow writes none of colours."""
    rows = (b"\0" + struct.pack(">H", value) * (4 * samples)) * 4
    head = struct.pack(">IIBBBBB", 4, 4, 16, kind, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize(("kind", "samples"), [(2, 3), (6, 4), (4, 2)], ids=["rgb", "rgba", "grey and alpha"])
def test_colours_of_16_bits_are_not_cut_without_a_word(tmp_path, kind, samples):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(4):
            (tmp_path / name / f"{k}.png").write_bytes(sixteen_bits(kind, samples, 200 + k))
    said = error_of(folder, str(tmp_path))
    assert said.startswith(f"{tmp_path}/cat/0.png has 16 bits a colour, as all pictures here")
    assert said.endswith("save all with 8, or their numbers in a .npy (dataset=arrays)")
    (tmp_path / "dog" / "0.png").write_bytes(sixteen_bits(0, 1, 200))  # of grey ones Pillow reads all
    assert "cat/0.png has 16 bits a colour" in error_of(folder, str(tmp_path))
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "dog" / "1.png")  # beside bytes: the upper eight, as they say
    made = folder(str(tmp_path))
    assert (made.train_images.dtype, made.scale) == (np.uint8, 255.0)


def test_numbers_of_16_bits_as_ppm_are_not_cut_either(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(2):
            (tmp_path / name / f"{k}.ppm").write_bytes(b"P6 4 4 65535\n" + struct.pack(">48H", *range(48)))
    assert "has 16 bits a colour" in error_of(folder, str(tmp_path))
