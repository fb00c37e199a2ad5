"""Build the compiled kernel, and tell the version; everything else is in pyproject.toml."""

from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools_scm.version import ScmVersion

NEXT = "0.2.0"  # the release that is worked on


def version_of(found: ScmVersion) -> str:
    """Return the version of a checkout: the tag that it is at, or else a .dev of the next release."""
    return str(found.tag) if found.exact else f"{NEXT}.dev{found.distance or 0}"


# -ffp-contract=off: the same bits from AVX-512, AVX2 and SSE2 builds of one loop.
# -fno-math-errno -fno-trapping-math: lets the compiler vectorise without changing results.
# -falign-loops=32: a short loop over a row of J is up to 20 % slower where it crosses a border in the code.
kernel = Extension(
    "annealtrain._anneal",
    sources=[
        "csrc/anneal.pyx",
        "csrc/dispatch.c",
        "csrc/kernel_avx512.c",
        "csrc/kernel_avx2.c",
        "csrc/kernel_plain.c",
    ],
    depends=[*sorted(glob("csrc/*.h")), "csrc/kernel.pxd"],
    include_dirs=["csrc", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
    extra_compile_args=[
        "-O3",
        "-std=gnu11",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-falign-loops=32",
        "-Wno-psabi",
    ],
)

setup(
    use_scm_version={"version_scheme": version_of, "fallback_version": f"{NEXT}.dev0"},
    packages=[*find_packages(include=["annealtrain", "annealtrain.*"]), "annealtrain.configs"],
    ext_modules=cythonize([kernel], include_path=["csrc"], language_level=3, build_dir="build"),
)
