"""Which image sets are at hand, and how to get the others."""

from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from annealtrain.data import file_readers
from annealtrain.data.datasets import SETS, StrPath, data_root, set_files
from annealtrain.errors import InputError, nearest


@dataclass(frozen=True)
class Availability:
    """One row of `annealtrain data`: where a set is looked for, and its size or how to get it."""

    name: str
    folder: str
    present: bool
    detail: str


def available(data_dir: StrPath | None = None) -> list[Availability]:
    """Return one row for each dataset; file sets are judged by their headers and sizes, not read."""
    rows = [Availability("digits", "(inside scikit-learn)", True, "1397 training and 400 test images")]
    for name in SETS:
        count = file_readers.cifar_counts if name.startswith("cifar") else file_readers.idx_counts
        try:
            train, test = count(set_files(name, data_dir))
            present, detail = True, f"{train} training and {test} test images"
        except InputError as error:
            present, detail = False, str(error)
        rows.append(Availability(name, str(data_root(data_dir) / SETS[name][1]), present, detail))
    return rows


def download(name: str, data_dir: StrPath | None = None) -> Path:
    """Fetch a file set through torchvision and return its folder; InputError with a remedy if that fails."""
    if name == "digits":
        raise InputError("dataset digits needs no download: it is inside scikit-learn, use dataset=digits")
    if name not in SETS:
        raise InputError(f"no dataset {name!r} to download{nearest(name, SETS)}: choose {', '.join(SETS)}")
    folder = data_root(data_dir) / SETS[name][1]
    try:
        from torchvision import datasets
    # Built for another torch, it fails at its own operators, and in another way when imported again.
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        pip = "pip install torchvision"
        if not isinstance(error, ImportError):
            pip += " in the build made for your torch"
        why = f"downloading {name} needs torchvision ({file_readers.one_line(error)})"
        raise InputError(f"{why}: {pip}, or copy the files to {folder}") from error
    try:
        getattr(datasets, SETS[name][0])(root=str(data_root(data_dir)), train=True, download=True)
    except (OSError, RuntimeError, HTTPException, ValueError, AssertionError) as error:
        why = f"downloading {name} failed ({file_readers.one_line(error)})"
        raise InputError(f"{why}: empty {folder} and try again, or copy the files there") from error
    return folder
