"""The executor beside pages that may not be touched: it ends at the last number of a buffer."""

from __future__ import annotations

import ctypes
import itertools
import math
import mmap
import sys

import numpy as np
import pytest
from programs import elementwise, program_of

from autodiff.program.code.kinds.gemm import Gemm
from autodiff.program.code.kinds.reduce import Reduce
from autodiff.program.code.kinds.rows import Rows

core = pytest.importorskip("autodiff._core")


class Guarded:
    """Arrays that end where memory ends: to touch the next number is to crash."""

    def __init__(self) -> None:
        self.maps: list[mmap.mmap] = []
        self.protect = ctypes.CDLL(None).mprotect

    def array(self, *shape: int) -> np.ndarray:
        size = 8 * math.prod(shape)
        pages = -(-size // mmap.PAGESIZE)
        memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
        self.maps.append(memory)
        end = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + pages * mmap.PAGESIZE
        assert self.protect(ctypes.c_void_p(end), mmap.PAGESIZE, 0) == 0
        offset = pages * mmap.PAGESIZE - size
        array = np.frombuffer(memory, dtype=float, count=math.prod(shape), offset=offset)
        return array.reshape(shape)


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
@pytest.mark.parametrize("n", [1, 3, 7, 8, 9, 15, 33, 513])
def test_nothing_touches_what_lies_behind_a_buffer(n, isa, rng):
    guard = Guarded()
    x, y, z = guard.array(n), guard.array(n), guard.array(n)
    x[:], y[:] = rng.uniform(0.5, 1.0, (2, n))
    run_1 = [((1, 0), (1,)), ((2, 0), (1,)), ((3, 0), (1,))]
    applications = [
        ("multiply", 0, 1, -1),
        ("tanh", -1, -2),
        ("where", 0, 1, -2, -3),
        ("add", -3, 0, 2),
    ]
    backwards = [((1, n - 1), (-1,)), ((2, 0), (1,)), ((3, n - 1), (-1,))]
    program = program_of(
        n,
        [(n,)],
        [y, z],
        [
            elementwise((n,), run_1, applications),
            elementwise((n,), backwards, applications),
            Reduce("sum", 1, n, 1, (1, 0), (3, n - 1)),
            Reduce("max", 1, 1, n, (1, 0), (3, 0)),
            Rows("softmax", 1, n, 1, (1, 0), (3, 0)),
            Rows("log_softmax", n, 1, 1, (1, 0), (3, 0)),
            Rows("logsumexp", 1, n, 1, (1, 0), (3, n - 1)),
        ],
        [((3, 0), (n,))],
    )
    program.run(x)


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
@pytest.mark.parametrize(("ta", "tb"), list(itertools.product([0, 1], repeat=2)))
def test_no_product_touches_what_lies_behind_a_buffer(ta, tb, isa, rng):
    guard = Guarded()
    for m, n, k in itertools.product([1, 3, 9, 17], [1, 2, 7, 17, 50], [1, 5, 8, 20]):
        a = guard.array(k, m) if ta else guard.array(m, k)
        b = guard.array(n, k) if tb else guard.array(k, n)
        a[:], b[:] = rng.normal(size=a.shape), rng.normal(size=b.shape)
        c = guard.array(m, n)
        products = [
            Gemm(ta, tb, m, n, k, 1.0, None, (1, 0), a.shape[1], (2, 0), b.shape[1], beta,
             (3, 0), n, (), (), (), ())
            for beta in (0.0, 1.0)
        ]  # fmt: skip
        program_of(0, [a.shape, b.shape], [c], products, []).run(a, b)
        expected = 2.0 * (a.T if ta else a) @ (b.T if tb else b)
        np.testing.assert_allclose(c, expected, rtol=1e-12, atol=1e-12)
