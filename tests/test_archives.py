"""Arrays of files that may be of others: read as they were written, or told in words."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from annealtrain.runtime.archives import arrays

KEPT = {
    "rows": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
    "text": np.array(["a", "bc"]),
    "one": np.array(7),
    "none": np.zeros((0, 3), np.float32),
}


def packed(**held: object) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **held)
    return file.getvalue()


def promised(shape: tuple[int, ...], size: int) -> bytes:
    """Return an .npz whose array has `size` bytes of zeros behind a header of another shape."""
    head, file = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<i8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", head.getvalue() + bytes(size))
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_as_they_were_saved(save, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    save(tmp_path / "kept.npz", **KEPT)
    with open(tmp_path / "kept.npz", "rb") as file:
        found = arrays(file, 10_000)
    for name, array in KEPT.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tolist() == array.tolist()
        assert found[name].flags.writeable
    assert list(arrays((tmp_path / "kept.npz").read_bytes(), 10_000, ["one"])) == ["one"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is no .npz file"),
        (b"PK\x03\x04", "it is no .npz file"),
        (packed(x=np.zeros(100_000)), r"its arrays take more than 0.1 MB"),
        (packed(x=np.array([{}])), "it does not hold arrays of numbers alone"),
        (packed(y=np.zeros(1)), "it has no x"),
        (promised((10**15,), 8), r"promises an array \(1000000000000000,\) of int64, and holds 8 bytes"),
        (promised((0,), 8), "promises an array"),
        (promised((-1,), 8), "promises an array"),
        (promised((1,), 0), "promises an array"),
    ],
)
def test_what_is_no_such_file_is_told_in_words(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        arrays(content, 100_000, ["x"])


def test_a_wrong_byte_is_never_another_array() -> None:
    whole = packed(x=np.arange(50))
    for position in range(0, len(whole), 3):
        wrong = bytearray(whole)
        wrong[position] ^= 0x55
        with suppress(ValueError):
            found = arrays(bytes(wrong), 10_000, ["x"])
            assert found["x"].tolist() == list(range(50))  # a byte that no reader looks at


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [None, ["x"]])
def test_two_arrays_of_one_name_are_told(names: list[str] | None) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for value in (0.0, 1.0):
            held = io.BytesIO()
            np.save(held, np.full(3, value))
            archive.writestr("x.npy", held.getvalue())
    with pytest.raises(ValueError, match=r"^two of its parts have one name$"):
        arrays(file.getvalue(), 10_000, names)


@pytest.mark.parametrize("kind", ["|S0", "|V0", "<U0"])
def test_no_room_is_made_for_arrays_without_bytes(kind: str) -> None:
    head, file = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": kind, "fortran_order": False, "shape": (2**30,)})
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", head.getvalue())
    with pytest.raises(ValueError, match=r"^its type .* has no bytes$"):
        arrays(file.getvalue(), 10_000)
