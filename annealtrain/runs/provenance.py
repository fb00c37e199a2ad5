"""Where a run comes from: versions, revision, machine and command."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import annealtrain
from annealtrain.errors import InputError
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Row
from annealtrain.runtime.blas import blas_kernel

# Whose versions a run records, where they are installed.
PACKAGES = (
    *("numpy", "scipy", "hydra-core", "dimod", "dwave-samplers", "scikit-learn"),
    *("torch", "dwave-system", "qiskit", "openjij"),
)
ROUNDING = ("numpy", "scipy", "torch")  # those that compute a score


def provenance(seed: int, command: str, digest: str, gpu: str | None = None) -> Row:
    """Return what meta.json says of a run. digest: the fingerprint of its settings. gpu: the name of one it runs on."""
    return {
        "command": command,
        "seed": seed,
        "config_hash": digest,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "annealtrain": annealtrain.__version__,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "machine": platform.platform(),
        "blas": _kernel(gpu),
        "cores": thread_pool.available_threads(),
    }


def require_same_data(folder: Path, meta: Row, about: Row) -> None:
    """Raise InputError where samples are not those that the run in a folder was made on, whatever their name.

    meta: the run's. about: what is told of the samples that are there. A run of an older version tells no fingerprint.
    """
    then, now = (told.get("fingerprint") for told in (meta.get("data") or {}, about))
    if then not in (None, now):
        raise InputError(
            f"the samples of {about['dataset']} are not those of the run in {folder} (fingerprint {now}, the run's "
            f"{str(then)[:16]}): restore them, or say where they are, --data-dir DIR"
        )


def _kernel(gpu: str | None) -> Row | None:
    """Return what does a run's sums: the BLAS kernel, and a GPU."""
    kernel = blas_kernel()
    return kernel if gpu is None else {**(kernel or {}), "gpu": gpu}


def differences(meta: Row, gpu: str | None = None) -> list[str]:
    """Return what rounds otherwise here than where a run was made, each with both values; none on the same machine.

    gpu: the name of one that is computed on.
    """
    here, made_on = kernel_text(_kernel(gpu)), kernels_of(meta)
    found = [] if made_on == [here] else [f"made on {', '.join(made_on)}, scored on {here}"]
    packages = meta.get("packages") or {}
    pairs = {name: (packages.get(name), _version(name)) for name in ROUNDING} | {
        "cores": (meta.get("cores"), thread_pool.available_threads())
    }
    return found + [f"{name} {then}, here {now}" for name, (then, now) in pairs.items() if None is not then != now]


def kernels_of(meta: Row) -> list[str]:
    """Return which BLAS kernels a run was made on, each as text; "one that is not recorded" for those of old runs."""
    return list(dict.fromkeys(kernel_text(one) for one in (meta.get("blas"), *resumed_kernels(meta))))


def resumed_kernels(meta: Row) -> list[object]:
    """Return the kernels, other than that of its start, on which a run went on."""
    held = meta.get("resumed_blas")
    return held if isinstance(held, list) else []


def kernel_text(kernel: object) -> str:
    """Return a kernel as people name it: openblas 0.3.31 SkylakeX."""
    if not isinstance(kernel, dict):
        return "one that is not recorded"
    return " ".join(str(part) for part in kernel.values() if part)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # of an extra that is not installed
        return None


def _git_revision() -> str | None:
    """Return the revision of the checkout that this package is imported from, if it is one."""
    here = Path(annealtrain.__file__).parent
    if not (here.parent / ".git").exists():
        return None
    try:
        told = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None


def peak_memory_mb() -> float | None:
    """Return the most memory that this process has held, in MB, or None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
