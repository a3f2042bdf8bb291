"""Several threads for one program: the same bits, whatever their number, whoever else runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import elementwise, program_of

import autodiff
from autodiff import Tensor, nn, optim
from autodiff import threads as public
from autodiff.program.code.kinds.copy import Copy
from autodiff.program.code.kinds.gemm import Gemm
from autodiff.program.code.kinds.reduce import Reduce
from autodiff.program.code.kinds.rows import Rows

core = pytest.importorskip("autodiff._core")

CSRC = Path(__file__).parents[2] / "csrc"
DRIVER = Path(__file__).parent / "threads_driver.c"
POSIX = hasattr(os, "fork")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before, blas_from = core.threads(), core._blas_from(1e18)  # BLAS has bits of its own
    yield
    core.set_threads(before)
    core._blas_from(blas_from)


def n_threads(wanted: int = -1) -> int:
    """Of this process, as soon as they are as many as wanted (those that have ended linger)."""
    for _ in range(200):
        n = len(os.listdir("/proc/self/task"))
        if n == wanted:
            break
        time.sleep(0.01 if wanted >= 0 else 0.0005)
    return n


def same_bits(make: Any, watched: Any = (), n_in_parts: int = 1) -> None:
    """A program gives the same buffers with any number of threads; so many are in parts."""
    core._blas_from(1e18)
    core.set_threads(1)
    starts = [w.copy() for w in watched]
    program = make()
    assert program.n_in_parts == n_in_parts
    wanted = [*program.run(), *(w.copy() for w in watched)]
    for n in (2, 3, 5):
        core.set_threads(n)
        for _ in range(2):
            for w, start in zip(watched, starts, strict=True):
                w[...] = start
            for f, w in zip([*program.run(), *watched], wanted, strict=True):
                np.testing.assert_array_equal(f, w)


# ---- the same bits --------------------------------------------------------------------

SIZES = [
    (128, 784, 512), (784, 128, 512), (128, 400, 784), (32, 160, 512), (160, 1600, 128),
    (300, 300, 300), (129, 300, 131),
    (1001, 200, 9), (2001, 40, 20), (5, 400, 1003),  # one way only
    (503, 1, 1001), (803, 5, 300), (3, 500, 600), (1, 601, 1003), (1, 1003, 601),
    (1003, 300, 2), (1003, 300, 3), (1001, 803, 1), (2, 900, 500),  # thin
]  # fmt: skip
# What is not cut: there are no parts of the same bits, or nobody has needed them.
WHOLE = {"3x500x600": [(0, 1), (1, 1)], "2x900x500": [(0, 0), (1, 0), (0, 1), (1, 1)]}


@pytest.mark.parametrize("size", SIZES, ids=lambda s: "x".join(map(str, s)))
def test_products(size, isa, rng):
    m, k, n = size
    whole = WHOLE.get(f"{m}x{k}x{n}", [])
    for ta, tb, beta in ((0, 0, 0.0), (1, 0, 1.0), (0, 1, 1.0), (1, 1, 0.0)):
        a = rng.normal(size=(k, m) if ta else (m, k))
        b = rng.normal(size=(n, k) if tb else (k, n))
        c = rng.normal(size=(m, n))
        before = c.copy()
        gemm = Gemm(ta, tb, m, n, k, 0.5, None, (1, 0), a.shape[1], (2, 0), b.shape[1], beta,
                (3, 0), n, (), (), (), ())  # fmt: skip
        same_bits(lambda a=a, b=b, c=c, g=gemm: program_of(0, [], [a, b, c], [g], []),
                  [c], n_in_parts=int((ta, tb) not in whole))  # fmt: skip
        exact = 0.5 * (a.T if ta else a) @ (b.T if tb else b) + beta * before
        np.testing.assert_allclose(c, exact, rtol=1e-11, atol=1e-11)


def test_products_into_a_part_of_a_matrix_scaled_by_a_cell(isa, rng):
    a, b, c = rng.normal(size=(200, 128)), rng.normal(size=(128, 300)), np.zeros((200, 411))
    gemm = Gemm(0, 0, 200, 300, 128, -1.0, (3, 411), (1, 0), 128, (2, 0), 300, 1.0, (3, 5),
            411, (), (), (), ())  # fmt: skip
    c[1, 0] = 0.25
    same_bits(lambda: program_of(0, [], [a, b, c], [gemm], []), [c])
    np.testing.assert_allclose(c[:, 5:305], -0.25 * a @ b, rtol=1e-11, atol=1e-11)
    c[1, 0] = 0.0
    c[:, 5:305] = 0.0
    assert not c.any()


@pytest.mark.parametrize("summed", [False, True])
def test_stacks_of_products(summed, isa, rng):
    a, b = rng.normal(size=(3, 5, 60, 70)), rng.normal(size=(5, 70, 80))
    c = np.zeros((60, 80) if summed else (3, 5, 60, 80))
    steps = (0, 0) if summed else (5 * 4800, 4800)
    gemm = Gemm(0, 0, 60, 80, 70, 1.0, None, (1, 0), 70, (2, 0), 80, float(summed), (3, 0), 80,
            (3, 5), (5 * 4200, 4200), (0, 5600), steps)  # fmt: skip
    same_bits(lambda: program_of(0, [], [a, b, c], [gemm], []), [c], int(not summed))
    exact = (a @ b).sum((0, 1)) if summed else a @ b
    np.testing.assert_allclose(c, exact, rtol=1e-11, atol=1e-11)


ADAM = [
    ("multiply", 2, 4, -1), ("multiply", 1, 5, -2), ("add", -1, -2, 2),
    ("square", 1, -1), ("multiply", -1, 5, -1), ("multiply", 3, 4, -2),
    ("add", -1, -2, 3), ("sqrt", 3, -1), ("add", -1, 5, -1),
    ("divide", 2, -1, -1), ("multiply", -1, 5, -1), ("subtract", 0, -1, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((313_600,), (1,)),
        ((400, 784), (784, 1)),
        ((400, 784), (790, 1)),
        ((5003, 7), (9, 1)),  # short rows share blocks
        ((7, 30, 200), (6600, 220, 1)),
        ((3, 5, 30, 200), (33_100, 6620, 220, 1)),
        ((300, 301), (1, 300)),
        ((9, 9001), (1, 9)),
    ],
)
def test_elementwise_runs(shape, strides, isa, rng):
    size = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    tensors = [rng.uniform(0.5, 1.0, size) for _ in range(4)]
    numbers = np.array([0.9, 0.1])
    operands = [((i + 1, 0), strides) for i in range(4)]
    operands += [((5, i), (0,) * len(shape)) for i in range(2)]
    run = elementwise(shape, operands, ADAM)
    same_bits(lambda: program_of(0, [], [*tensors, numbers], [run], []), tensors)


@pytest.mark.parametrize(("rows", "cols"), [(700, 301), (3001, 40)])  # each alone, and in blocks
def test_runs_with_broadcast_rows_in_the_arena(rows, cols, isa, rng):
    x, bias, z = rng.normal(size=(rows, cols)), rng.normal(size=cols), np.zeros((rows, cols))
    n = x.size
    load = elementwise((n,), [((1, 0), (1,)), ((0, 0), (1,))], [("exp", 0, 1)])
    operands = [((0, 0), (cols, 1)), ((2, 0), (0, 1)), ((0, n + 3), (cols, 1), True),
                ((3, 0), (cols, 1))]  # fmt: skip
    maps = [("add", 0, 1, -1), ("tanh", -1, 2), ("sin", 2, 3)]
    code = [load, elementwise((rows, cols), operands, maps)]
    same_bits(lambda: program_of(2 * n + 11, [], [x, bias, z], code, []), [z], 2)
    np.testing.assert_allclose(z, np.sin(np.tanh(np.exp(x) + bias)), rtol=1e-12, atol=1e-14)


def test_reductions_rows_and_copies(isa, rng):
    x, z = rng.normal(size=(1003, 701)), np.zeros((1003, 701))
    rows, cols = x.shape
    sums, maxima = np.zeros(rows), np.zeros((17, cols))
    for name in ("softmax", "log_softmax", "logsumexp"):
        code = [Rows(name, rows, cols, 1, (1, 0), (2, 0))]
        same_bits(lambda code=code: program_of(0, [], [x, z], code, []), [z])
    code = [Reduce("sum", rows, cols, 1, (1, 0), (2, 0)),
            Reduce("max", 17, 59, cols, (1, 0), (3, 0)),
            Copy((rows, cols), (1, 0), (cols, 1), (4, 0), (1, rows))]  # fmt: skip
    same_bits(lambda: program_of(0, [], [x, sums, maxima, z], code, []), [sums, maxima, z], 3)
    np.testing.assert_array_equal(z.reshape(cols, rows), x.T)
    np.testing.assert_array_equal(maxima, x.reshape(17, 59, cols).max(1))


def test_eager_products(isa, rng):
    x, y = rng.normal(size=(301, 200)), rng.normal(size=(200, 403))
    matmul = autodiff.op.OPS["matmul"].bind()
    found = []
    for n in (1, 2, 3):
        core.set_threads(n)
        found.append(core.forward(matmul, (x, y)))
        found[-1] = found[-1], *core.backward(matmul, found[-1], found[-1], (x, y), (True, True))
    for other in found[1:]:
        for f, w in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(f, w)
    np.testing.assert_allclose(found[0][0], x @ y, rtol=1e-11, atol=1e-11)


def training(n_steps: int = 3) -> list[np.ndarray]:
    """A few steps of a network that is large enough for all of it to be cut into parts."""
    random = np.random.default_rng(5)
    layers = [nn.FeedForward(300, 400, autodiff.tanh, random=1), nn.FeedForward(400, 200, random=2)]
    optimiser = optim.Adam([p for layer in layers for p in (layer.W, layer.b)], 0.01)

    @autodiff.compile
    def step(x, target):
        for layer in layers:
            x = layer(x)
        loss = nn.softmax_cross_entropy(x, target)
        loss.backward()
        optimiser.step()
        return loss

    target = np.eye(200)[random.integers(0, 200, 150)]
    losses = [step(random.normal(size=(150, 300)), target) for _ in range(n_steps)]
    return [np.array(losses), *(np.array(p.value) for layer in layers for p in (layer.W, layer.b))]


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for f, w in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(f, w)


def test_a_training_step(isa):
    core.set_threads(1)
    wanted = training()
    for n in (2, 3):
        core.set_threads(n)
        assert_same(training(), wanted)


# ---- who has the threads ----------------------------------------------------------------


def hammer(work: Any, n: int) -> None:
    errors: list[BaseException] = []

    def run(i: int) -> None:
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not errors, errors


def busy_program(seed: int = 0) -> tuple[Any, np.ndarray]:
    """A product and a run in parts; returns it with the buffer that it fills."""
    random = np.random.default_rng(seed)
    a, b, c = random.normal(size=(96, 200)), random.normal(size=(200, 256)), np.zeros((96, 256))
    n = c.size
    code = [
        Gemm(0, 0, 96, 256, 200, 1.0, None, (1, 0), 200, (2, 0), 256, 0.0, (3, 0), 256,
         (), (), (), ()),
        elementwise((n,), [((3, 0), (1,))] * 2,
         [("tanh", 0, -1), ("exp", -1, -1), ("sin", -1, 1)]),
    ]  # fmt: skip
    return program_of(0, [], [a, b, c], code, []), c


def test_several_python_threads_at_once():
    core.set_threads(1)
    wanted = []
    for i in range(4):
        program, c = busy_program(i)
        program.run()
        wanted.append(c.copy())
    core.set_threads(3)

    def work(i: int) -> None:
        program, c = busy_program(i)
        for _ in range(200):
            program.run()
            np.testing.assert_array_equal(c, wanted[i])

    hammer(work, 4)


def test_set_threads_while_others_run():
    core.set_threads(1)
    program, c = busy_program()
    program.run()
    wanted = c.copy()
    done = threading.Event()

    def work(i: int) -> None:
        if i == 0:
            for k in range(300):
                core.set_threads(1 + k % 4)
            done.set()
            return
        program, c = busy_program()
        while not done.is_set():
            program.run()
            np.testing.assert_array_equal(c, wanted)

    hammer(work, 3)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_workers_are_started_at_need_and_stopped():
    core.set_threads(1)
    before = n_threads()
    core.set_threads(3)
    assert n_threads(before) == before
    program, _ = busy_program()
    program.run()
    assert n_threads(before + 2) == before + 2
    program.run()
    assert n_threads(before + 2) == before + 2
    core.set_threads(2)
    program.run()
    assert n_threads(before + 1) == before + 1
    core.set_threads(1)
    program.run()
    assert n_threads(before) == before


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_small_programs_start_no_worker(rng):
    core.set_threads(1)
    before = n_threads()
    core.set_threads(4)
    w = Tensor(rng.normal(size=(20, 30)))
    step = autodiff.compile(lambda x: autodiff.tanh(x @ w).sum())
    step(np.ones((4, 20)))
    assert n_threads(before) == before


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_idle_workers_sleep():
    core.set_threads(3)
    program, _ = busy_program()
    program.run()
    time.sleep(0.05)
    start = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - start < 0.1


@pytest.mark.skipif(not POSIX, reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_has_workers_of_its_own():
    core.set_threads(3)
    program, c = busy_program()
    program.run()
    wanted = c.copy()
    stop = threading.Event()

    def keep_busy() -> None:
        other, _ = busy_program(1)
        while not stop.is_set():
            other.run()

    thread = threading.Thread(target=keep_busy)
    thread.start()
    try:
        for k in range(10):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    c[...] = 0.0
                    program.run()
                    core.set_threads(2 + k % 2)
                    program.run()
                    code = 0 if (c == wanted).all() else 2
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            assert status == 0
            program.run()
            np.testing.assert_array_equal(c, wanted)
    finally:
        stop.set()
        thread.join()


def test_the_number_is_checked():
    for wrong in (0, -1, 65, 2**70):
        with pytest.raises(ValueError, match="between 1 and 64"):
            core.set_threads(wrong)
    for wrong in (1.5, "2", None, True):
        with pytest.raises(TypeError):
            core.set_threads(wrong)
    public.set_threads(3)
    assert public.get_threads() == core.threads() == 3


# ---- the pool alone ---------------------------------------------------------------------


@pytest.mark.skipif(not CSRC.is_dir(), reason="no csrc next to the tests")
@pytest.mark.parametrize("flags", [["-O2"], ["-O1", "-fsanitize=thread"],
                                   ["-O1", "-fsanitize=address,undefined"]])  # fmt: skip
def test_the_pool(flags, tmp_path):
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
    if not POSIX or compiler is None:
        pytest.skip("no compiler, or no fork")
    program = tmp_path / "driver"
    files = [str(DRIVER), str(CSRC / "threads.c")]
    build = [
        compiler,
        *flags,
        "-g",
        "-std=c11",
        "-pthread",
        f"-I{CSRC}",
        *files,
        "-o",
        str(program),
    ]
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    made = subprocess.run(build, env=environment, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"cannot be built here: {made.stderr[-300:]}")
    # A child forked while another thread holds a lock of a sanitizer's runtime waits for ever.
    forks = "10" if flags == ["-O2"] else "0"
    ran = subprocess.run([str(program), "2000", forks], env=environment, capture_output=True,
                         text=True, timeout=120, check=False)  # fmt: skip
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("the sanitizer cannot run on this kernel")
    assert (ran.returncode, ran.stdout) == (0, "fine\n"), ran.stderr
