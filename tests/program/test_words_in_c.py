"""A program loaded and run by a C program: the loader needs no Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import nn, optim
from autodiff.program.code.flat import Code
from autodiff.program.code.kind import Operand
from autodiff.program.code.kinds.take import Take
from autodiff.program.code.words import to_words

pytest.importorskip("autodiff._core")

CSRC = Path(__file__).parents[2] / "csrc"
DRIVER = Path(__file__).with_name("words_driver.c")
pytestmark = pytest.mark.skipif(not CSRC.is_dir(), reason="no csrc next to the tests")


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    """The loader, the kernels and a main program, built by the machine's own compiler."""
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
    if compiler is None:
        pytest.skip("no compiler")
    made = tmp_path_factory.mktemp("words") / "driver"
    sources = [f for f in CSRC.glob("*.c") if f.name != "_core.c"]
    sources += CSRC.glob("instructions/*.c")
    call = [compiler, "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread",
            "-ffp-contract=off", f"-I{CSRC}", str(DRIVER), *map(str, sources), "-lm",
            "-o", str(made)]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    built = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    return made


def run(
    driver: Path, folder: Path, words: Any, buffers: Sequence[Any], arguments: Sequence[Any]
) -> tuple[int, list[str]]:
    """The exit status and the lines that are printed."""
    flat = [np.asarray(x, float).ravel() for x in arguments]
    n_numbers = sum(x.size for x in flat)
    parts = [np.array([len(words), len(buffers), n_numbers], np.int64), words]
    for buffer in buffers:
        parts += [np.array([buffer.size], np.int64), buffer.ravel()]
    file = folder / "program.words"
    file.write_bytes(b"".join(part.tobytes() for part in [*parts, *flat]))
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    ran = subprocess.run([str(driver), str(file)], env=environment, capture_output=True, text=True,
                         timeout=60, check=False)  # fmt: skip
    return ran.returncode, ran.stdout.splitlines()


def test_a_training_step_runs_without_python(driver, tmp_path, rng):
    layer = nn.FeedForward(5, 3, random=0)
    optimiser = optim.SGD([layer.W, layer.b], 0.1)

    @autodiff.compile
    def step(x, target):
        loss = autodiff.mean(autodiff.square(autodiff.tanh(layer(x)) - target))
        loss.backward()
        optimiser.step()
        return loss

    x, target = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    code = step.recording(x, target).code
    words, buffers = to_words(code), [np.array(b) for b in code.buffers]
    expected = [float(step(x, target))]
    status, lines = run(driver, tmp_path, words, buffers, [x, target])
    assert status == 0, lines
    np.testing.assert_allclose([float.fromhex(line) for line in lines], expected, rtol=1e-14)


def test_a_fault_and_a_refusal_are_told(driver, tmp_path):
    take = Take(3, 1, 2, Operand(1, 0), Operand(2, 0), Operand(0, 0))
    code = Code(2, [(3,), (2,)], [], [take], [], [(Operand(0, 0), (2,))])
    words = to_words(code)
    status, lines = run(driver, tmp_path, words, [], [[4.0, 5.0, 6.0], [2.0, -3.0]])
    assert (status, [float.fromhex(line) for line in lines]) == (0, [6.0, 4.0])
    failed = run(driver, tmp_path, words, [], [[4.0, 5.0, 6.0], [2.0, 3.0]])
    assert failed == (1, ["instruction 0 failed: 3, 3"])
    status, lines = run(driver, tmp_path, words[:-1], [], [[4.0, 5.0, 6.0], [2.0, 3.0]])
    assert status == 3
    assert lines == ["refused, word 2, instruction -1: there are more or fewer words than they say"]
