"""The one extension module; everything else about the package is in pyproject.toml.

AUTODIFF_DEBUG=1     -O0, assertions, and Cython's bounds checks
AUTODIFF_SANITIZE=1  address and undefined-behaviour sanitizers
AUTODIFF_COVERAGE=1  gcov
"""

import os
import subprocess
import sysconfig
import tempfile
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, PlatformError


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
        *sorted(f for f in glob("csrc/*.c") if f != os.path.join("csrc", "_core.c")),
        *sorted(glob("csrc/instructions/*.c")),  # one file a kind, which enters itself
    ],
    depends=[
        f
        for end in ("h", "inc", "def", "pxi")
        for f in sorted([*glob(f"csrc/*.{end}"), *glob(f"csrc/instructions/*.{end}")])
    ],
    include_dirs=["csrc", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
)

NOTHING_COMPILES = """autodiff needs a C compiler and Python's headers to be built, and here {}.
Install them:
  Debian, Ubuntu   apt install build-essential python3-dev
  Fedora           dnf install gcc python3-devel
  macOS            xcode-select --install
or name a compiler that is there: CC=clang pip install ."""


class BuildOrExplain(build_ext):
    """Where not even a file without content can be compiled, say what to install."""

    def build_extensions(self):
        """Build; if that fails, find out whether the machine can build at all."""
        try:
            super().build_extensions()
        except (BaseError, CCompilerError):
            missing = self._missing()
            if missing is None:
                raise
            raise PlatformError(NOTHING_COMPILES.format(missing)) from None

    def _missing(self):
        """What the machine lacks, if anything, to compile an extension that does nothing."""
        command = getattr(self.compiler, "compiler_so", None)
        if command is None:  # not a Unix compiler: setuptools itself looks for it, and says so
            return None
        if not command or command[0].startswith("-"):
            return "CC is empty"
        compiler = repr(command[0])
        try:
            if not self._compiles(""):
                return f"{compiler} compiles nothing"
            if not self._compiles("#include <stdlib.h>\n#include <math.h>\n"):
                return f"{compiler} does not find the headers of C"
            if not self._compiles("#include <Python.h>\n"):
                return f"{compiler} does not find Python.h in {sysconfig.get_path('include')}"
        except OSError as error:
            return f"{compiler} cannot be started ({error.strerror})"
        return None

    def _compiles(self, code):
        """Whether the compiler makes an object file of the code."""
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "nothing.c")
            with open(source, "w") as file:
                file.write(f"{code}int nothing(void);\n")
            flags = [f"-I{directory}" for directory in self.compiler.include_dirs]
            call = [*self.compiler.compiler_so, *flags, "-c", source, "-o", f"{source}.o"]
            return subprocess.run(call, capture_output=True, check=False).returncode == 0


setup(
    cmdclass={"build_ext": BuildOrExplain},
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
    ),
)
