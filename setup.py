"""The one extension module; everything else about the package is in pyproject.toml.

AUTODIFF_DEBUG=1     -O0, assertions, and Cython's bounds checks
AUTODIFF_SANITIZE=1  address and undefined-behaviour sanitizers
AUTODIFF_COVERAGE=1  gcov
"""

import os
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup


def _switch(name):
    return os.environ.get(name, "0") not in ("", "0")


DEBUG, SANITIZE, COVERAGE = (
    _switch(f"AUTODIFF_{name}") for name in ("DEBUG", "SANITIZE", "COVERAGE")
)

# -ffp-contract=off: the same bits on every instruction set. Never -ffast-math: loading
# such a library makes the whole process flush denormals to zero. No -march: the kernels are
# compiled for several instruction sets (csrc/kernels_*.c), one of which is picked at import.
compile_args = [
    "-std=c11",
    "-O3",
    "-Wall",
    "-Wextra",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-fvisibility=hidden",
]
link_args = []
if os.name == "posix":
    compile_args += ["-pthread"]
    link_args += ["-pthread"]
if SANITIZE:
    sanitizers = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
    compile_args += ["-O1", "-g", *sanitizers]
    link_args += sanitizers
elif DEBUG:
    compile_args += ["-O0", "-g", "-UNDEBUG"]
else:
    compile_args += ["-g0"]
if COVERAGE:
    compile_args += ["--coverage"]
    link_args += ["--coverage"]

core = Extension(
    "autodiff._core",
    sources=[
        "csrc/_core.pyx",
        "csrc/loops.c",
        "csrc/parts.c",
        "csrc/program.c",
        "csrc/threads.c",
        *sorted(glob("csrc/kernels_*.c")),
    ],
    depends=[f for end in ("h", "inc", "def", "pxi") for f in sorted(glob(f"csrc/*.{end}"))],
    include_dirs=["csrc", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
)

setup(
    ext_modules=cythonize(
        [core],
        include_path=["csrc"],
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "initializedcheck": DEBUG,
            "cdivision": True,
            "nonecheck": False,
            "embedsignature": True,
            "binding": True,
        },
    )
)
