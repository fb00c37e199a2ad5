"""The kernel gives the same bits on aarch64: cross-compiled, run under qemu, and compared with this processor's."""

import ast
import platform
import shutil
from pathlib import Path

import pytest
from conftest import finished, started

ROOT = Path(__file__).resolve().parents[1]
HERE, CROSS, QEMU = shutil.which("cc"), shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")


def flags() -> list[str]:
    """The compiler's flags of setup.py."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())):
        if isinstance(node, ast.keyword) and node.arg == "extra_compile_args":
            found: list[str] = ast.literal_eval(node.value)
            return found
    raise AssertionError("setup.py names no flags")


def annealed(compiler: str | None, linked: list[str], runner: list[str], folder: Path) -> list[str]:
    """What tests/kernel_driver.c prints when built by a compiler."""
    program, sources = folder / "driver", [ROOT / "tests/kernel_driver.c", ROOT / "csrc/kernel_plain.c"]
    folder.mkdir()
    command = [str(compiler), *flags(), *linked, f"-I{ROOT / 'csrc'}", *map(str, sources), "-o", str(program)]
    for step in (command, [*runner, str(program)]):
        outcome = finished(started(step, folder))
        assert outcome.code == 0, outcome.err
    return outcome.out.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64" or not HERE, reason="it is compared with an x86-64 processor")
@pytest.mark.skipif(
    not (CROSS and QEMU), reason="needs apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
)
def test_bit_slice_and_greedy_moves_have_the_same_bits(tmp_path: Path) -> None:
    here = annealed(HERE, [], [], tmp_path / "x86_64")
    there = annealed(CROSS, ["-static"], [str(QEMU)], tmp_path / "aarch64")
    assert [line for line in here if "move" in line or "path" in line] == [
        line for line in there if "move" in line or "path" in line
    ]
    assert len(here) == 36
    assert sum("move" in line for line in here) == 9  # a chain, lanes and shared inputs for each
    assert here == there
