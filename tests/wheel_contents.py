"""What a wheel lacks of the package, and what it holds beside: `python tests/wheel_contents.py dist/*.whl`."""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENDINGS = ("*.py", "*.pyi", "*.yaml", "*.json", "*.npz", "py.typed")


def faults(wheel: Path) -> list[str]:
    """Return a line for each file that a wheel of this checkout lacks or should not have."""
    with zipfile.ZipFile(wheel) as held:
        names = {name for name in held.namelist() if ".dist-info/" not in name}
        told = {name.rpartition("/")[2] for name in held.namelist() if ".dist-info/" in name}
    package = {path.relative_to(ROOT) for ending in ENDINGS for path in (ROOT / "annealtrain").rglob(ending)}
    configs = {path.relative_to(ROOT) for ending in ENDINGS for path in (ROOT / "configs").rglob(ending)}
    of_both = package | {"annealtrain" / path for path in configs}
    expected = {path.as_posix() for path in of_both} | {"annealtrain/_version.py"}
    kernels = {name for name in names if name.startswith("annealtrain/_anneal.") and name.endswith((".so", ".pyd"))}
    lines = [f"{wheel.name} lacks {name}" for name in sorted(expected - names)]
    lines += [f"{wheel.name} holds {name}" for name in sorted(names - expected - kernels)]
    lines += [] if len(kernels) == 1 else [f"{wheel.name} has {len(kernels)} compiled kernels"]
    return lines + [
        f"{wheel.name} lacks {name}" for name in ("LICENSE", "METADATA", "entry_points.txt") if name not in told
    ]


if __name__ == "__main__":
    found = [line for name in sys.argv[1:] for line in faults(Path(name))]
    sys.exit("\n".join(found) if found else 0)
