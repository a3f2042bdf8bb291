"""What the environment says about threads, and the end of the interpreter while they run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

core = pytest.importorskip("autodiff._core")

SCRIPT = """
import threading
import numpy as np
import autodiff._core as core
from autodiff.program.code.flat import Code
from autodiff.program.code.kinds.map import Apply, Map, Window
from autodiff.program.code.load import program_of
n = 400_000
x = np.ones(n)
maps = Apply("tanh", (0,), -1), Apply("sin", (-1,), 1)
code = [Map((n,), (Window((1, 0), (1,)),) * 2, maps, 17.0)]
program = program_of(Code(0, [], [x], code))
print(core.threads())
{}
"""


def run_script(more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(more)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "more",
    [
        "program.run()",
        "work = lambda: [program.run() for _ in iter(int, 1)]\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "import time\n"
        "while x[0] == 1.0: time.sleep(0.001)",  # it has begun
        "import atexit; atexit.register(program.run); program.run()",
    ],
)
def test_the_interpreter_ends(more):
    found = run_script(more, AUTODIFF_THREADS="3")
    assert (found.returncode, found.stdout, found.stderr) == (0, "3\n", "")


def usable() -> int:
    """The number of threads where nothing else is said."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, core._quota() or 64, 64)


def test_the_environment_says_how_many():
    cores = usable()
    found = run_script("", AUTODIFF_THREADS="", OMP_NUM_THREADS="")
    assert found.stdout == f"{cores}\n"
    assert run_script("", AUTODIFF_THREADS="1").stdout == "1\n"
    for wrong in ("0", "65", "many", "1.5"):
        found = run_script("", AUTODIFF_THREADS=wrong)
        assert found.returncode != 0
        assert "AUTODIFF_THREADS" in found.stderr


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("1", 1), ("3", 3), ("4,2", 4), (" 5 , 2,1 ", 5), ("+2", 2), ("007", 7), ("65", 64)],
)  # fmt: skip
def test_the_environment_of_openmp(text, wanted):
    found = run_script("", AUTODIFF_THREADS="", OMP_NUM_THREADS=text)
    assert (found.stdout, found.stderr) == (f"{wanted}\n", "")
    assert run_script("", AUTODIFF_THREADS="2", OMP_NUM_THREADS=text).stdout == "2\n"


@pytest.mark.parametrize(
    "text", ["0", "-1", "many", "1.5", "4,,2", "4,", "4,0", "2 3", "1_0", "²", "9" * 5000]
)
def test_what_openmp_ignores(text):
    cores = usable()
    found = run_script("", AUTODIFF_THREADS="", OMP_NUM_THREADS=text)
    assert found.stdout == f"{cores}\n"
    assert "OMP_NUM_THREADS" in found.stderr
    assert run_script("", AUTODIFF_THREADS="", OMP_NUM_THREADS=" ").stderr == ""
    assert run_script("", AUTODIFF_THREADS="2", OMP_NUM_THREADS=text).stderr == ""


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "1000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "0 0\n"}, None),
        ({"cpu.max": ""}, None),
        ({"cpu/cpu.cfs_quota_us": "350000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_container(files, wanted, tmp_path):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert core._quota(str(tmp_path)) == wanted
