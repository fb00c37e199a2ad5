"""Runs whose numbers a change of the code's shape must leave alone, to the last bit.

    python tests/same_bits.py run FOLDER [NAME ...]      run them (all, or those named) into a new folder
    python tests/same_bits.py compare FOLDER OTHER       tell the first difference of each, exit code 1 if there is one
    python tests/same_bits.py machine                    print which fingerprints are this machine's
    python tests/same_bits.py digest FOLDER              print their fingerprints, as in same_bits.json

metrics.csv and solves.csv are compared, but for times. The runs on image files read them from $ANNEALTRAIN_DATA.
Another processor or BLAS kernel rounds otherwise: fingerprints are kept for each, see `machine`.
"""

import csv
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
STORE = HERE / "same_bits.json"
DATA = "data_dir=${oc.env:ANNEALTRAIN_DATA}"
LIMIT_S = 600
DYING = """
import os, signal, sys
from annealtrain.cli import main
from annealtrain.runs.recorder import RunRecorder
save, last, words = RunRecorder.save, int(sys.argv[1]), sys.argv[2:]
def dying(self, row, *rest):
    save(self, row, *rest)
    if row["epoch"] == last:
        os.kill(os.getpid(), signal.SIGKILL)
RunRecorder.save = dying
main(words)
"""

PINV = (
    "optimizer=pinv optimizer.ridge=0 half_range.first=0.2 half_range.last=0.001 pinv.gain=2.0 annealing.num_sweeps=10"
)
DIFFERENCE = "optimizer=difference half_range.first=0.1 half_range.last=0.001 annealing.num_sweeps=20"
GAUSS_NEWTON = "optimizer=gauss_newton half_range.first=0.05 annealing.num_sweeps=5"
KRONECKER = (
    "optimizer=kronecker schedule=linear half_range.first=0.003 half_range.last=0.0005 batch_size=50 averaging=0.9 "
    "augment.shift=1 augment.flip=true annealing.num_sweeps=2 annealing.move=greedy annealing.start=present"
)
LENET = "model=lenet dataset=digits samples=200 validation=100 epochs=3 bits=4 alpha=0.001 schedule=geometric solver=sa"
LINEAR = LENET.replace("lenet", "three_linear")
ON_DIGITS = {
    "lenet_pinv": f"{LENET} {PINV} annealing.order=random",
    "lenet_difference": f"{LENET} {DIFFERENCE}",
    "lenet_gauss_newton": f"{LENET} {GAUSS_NEWTON} bias=true",
    "three_linear_pinv": f"{LINEAR} {PINV}",
    "three_linear_difference": f"{LINEAR} {DIFFERENCE} annealing.move=slice",
    "three_linear_gauss_newton": f"{LINEAR} {GAUSS_NEWTON}",
    "kronecker_digits": f"{LENET} {KRONECKER}",
    "resumed": f"{LENET} {GAUSS_NEWTON} samples=600 epochs=6",
}
ON_FILES = {"kronecker": f"{LENET} {KRONECKER} dataset=mnist {DATA} samples=2000 epochs=2"}
FIGURES = ("fig1b", "fig4b", "fig7", "fig8")
NAMES = (*ON_DIGITS, *ON_FILES, *FIGURES)


def run(name: str, folder: Path) -> None:
    """Make one of the runs in folder/name."""
    if name in FIGURES:
        words = ["figure", name, DATA, "--seeds", "1", "--output", str(folder / name)]
        finish(words)
        return
    words = ["train", *(ON_DIGITS | ON_FILES)[name].split(), "threads=1", "progress=false"]
    words.append(f"hydra.run.dir={folder / name}")
    if name == "resumed":
        kill_after_epoch(2, words)
        words = ["resume", str(folder / name)]
    finish(words)


def finish(words: list[str]) -> None:
    subprocess.run(command(words), stdout=subprocess.DEVNULL, timeout=LIMIT_S, check=True)


def command(words: list[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "annealtrain", *words]


def kill_after_epoch(epoch: int, words: list[str]) -> None:
    """Start a run that is killed once the epoch's checkpoint is there."""
    ended = subprocess.run([sys.executable, "-P", "-c", DYING, str(epoch), *words], timeout=LIMIT_S, check=False)
    if ended.returncode != -signal.SIGKILL:
        raise SystemExit(f"the run ended with {ended.returncode}, not killed after epoch {epoch}: {words}")


def tables(folder: Path) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield the path below `folder` and the rows, without times, of each metrics.csv and solves.csv."""
    for path in sorted([*folder.rglob("metrics.csv"), *folder.rglob("solves.csv")]):
        with open(path, newline="") as file:
            rows = [
                {key: text for key, text in row.items() if not key.endswith(("_s", "_ns"))}
                for row in csv.DictReader(file)
            ]
        yield path.relative_to(folder).as_posix(), rows


def digest(folder: Path) -> str:
    """Return the fingerprint of all tables below a folder, whatever its jobs' folders are called."""
    held = sorted(json.dumps([path.rpartition("/")[2], rows], sort_keys=True) for path, rows in tables(folder))
    return hashlib.sha256("\n".join(held).encode()).hexdigest()[:32]


def machine() -> str:
    """Return what the last bits depend on: BLAS kernels, vector registers, NumPy's version.

    A process of its own looks: this one may have other libraries' BLAS in it.
    """
    command = [sys.executable, str(HERE / "same_bits.py"), "machine"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S).stdout.strip()


def here() -> str:
    """Return what the last bits of this process depend on."""
    import numpy as np
    import scipy.linalg  # noqa: F401 (brings its own BLAS)
    from numpy._core._multiarray_umath import __cpu_features__ as features
    from threadpoolctl import threadpool_info

    kernels = sorted({str(pool.get("architecture")) for pool in threadpool_info() if pool["user_api"] == "blas"})
    registers = next((name for name in ("AVX512_SKX", "AVX2") if features.get(name)), "other")
    return f"{'+'.join(kernels)}, {registers}, numpy {'.'.join(np.__version__.split('.')[:2])}"


def difference(one: Path, other: Path) -> str | None:
    """Return the first difference of two folders' tables, None where there is none."""
    left, right = dict(tables(one)), dict(tables(other))
    if left.keys() != right.keys() or not left:
        return f"files {sorted(left)} and {sorted(right)}"
    for path, rows in left.items():
        if len(rows) != len(right[path]):
            return f"{path}: {len(rows)} and {len(right[path])} rows"
        for number, (a, b) in enumerate(zip(rows, right[path], strict=True)):
            for key in a.keys() | b.keys():
                if a.get(key) != b.get(key):
                    return f"{path}, row {number}, {key}: {a.get(key)} and {b.get(key)}"
    return None


def main(words: list[str]) -> int:
    if words[:1] == ["run"] and len(words) > 1:
        for name in words[2:] or NAMES:
            run(name, Path(words[1]).absolute())
            print(f"{name}: {digest(Path(words[1]) / name)}", flush=True)
        return 0
    if words == ["machine"]:
        print(here())
        return 0
    if words[:1] == ["digest"] and len(words) == 2:
        found = {name: digest(Path(words[1]) / name) for name in NAMES if (Path(words[1]) / name).exists()}
        print(json.dumps({machine(): found}, indent=2))
        return 0
    if words[:1] == ["compare"] and len(words) == 3:
        told = {name: difference(Path(words[1]) / name, Path(words[2]) / name) for name in NAMES}
        print("\n".join(f"{name}: {text or 'the same'}" for name, text in told.items()))
        return 1 if any(told.values()) else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
