"""The C kernels against the rules they stand for: every op, and who computes it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from against_rules import compare, core, reference
from table import EXAMPLES, OF_THE_LIBRARY, compiles, of_each, parts, refused

import autodiff.ops
from autodiff.errors import BackendError
from autodiff.op import OPS, Example, Op


def test_every_op_has_a_kernel() -> None:
    named = set(core.kernel_names())
    assert len(named) == len(core.kernel_names())
    assert named <= {op.name for op in OF_THE_LIBRARY}
    assert [op.name for op in OF_THE_LIBRARY if not compiles(op)] == []


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_examples(op: Op, example: Example, isa: str, rng: np.random.Generator) -> None:
    compare(op.bind(**example.attributes), example.draw(rng), rng)


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_same_bits_on_every_instruction_set(
    op: Op, example: Example, rng: np.random.Generator
) -> None:
    if op.name == "matmul":
        pytest.skip("products fuse multiply and add where the machine can")
    bound, inputs = op.bind(**example.attributes), example.draw(rng)
    before, found = core.isa(), set()
    like = reference.forward(bound, inputs)
    g = of_each(lambda z: np.asarray(rng.uniform(-2.0, 2.0, z.shape)), like)
    try:
        for name in core.isas():
            core.use_isa(name)
            z = core.forward(bound, inputs)
            needed = [not refused(op, i) for i in range(len(inputs))]
            gradients = core.backward(bound, g, z, inputs, needed)
            found.add(
                (
                    *(x.tobytes() for x in parts(z)),
                    *(a is not None and a.tobytes() for a in gradients),
                )
            )
    finally:
        core.use_isa(before)
    assert len(found) == 1


# ---- instruction sets, ops without kernels --------------------------------------------


def test_instruction_sets() -> None:
    assert core.isas()[0] == "base"
    assert core.isa() in core.isas()
    with pytest.raises(BackendError, match=r"'v9'.*base"):
        core.use_isa("v9")


@pytest.mark.parametrize("name", [*core.isas(), "v9"])
def test_the_environment_picks_the_instruction_set(name: str) -> None:
    code = "from autodiff import get_backend; print(get_backend('compiled'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "AUTODIFF_ISA": name},
        capture_output=True,
        text=True,
        check=False,
    )
    if name == "v9":
        assert "BackendError: AUTODIFF_ISA: there is no instruction set 'v9'" in done.stderr
    else:
        assert done.stdout.strip() == f"<back end compiled: C kernels, instruction set {name}>"


def test_an_op_without_a_kernel_is_computed_by_its_rules(
    isa: str, rng: np.random.Generator
) -> None:
    def cube(x: Any) -> Any:
        """z = x³."""
        return x * x * x

    declare = autodiff.declare.declare
    function = declare(backward=lambda g, z, x: g * (3.0 * x * x), reads="x", examples=[])(cube)
    try:
        compare(function.op.bind(), (rng.normal(size=(3, 4)),), rng)
    finally:
        del OPS["cube"]


def test_a_prepared_kernel_is_kept_and_serves_other_shapes(rng: np.random.Generator) -> None:
    bound = OPS["sum"].bind(axis=(0,), keepdims=False)
    core.forward(bound, (np.ones(3),))
    prepared = bound.kernel
    assert prepared is not None
    x = rng.normal(size=(5, 2))
    np.testing.assert_allclose(core.forward(bound, [x]), x.sum(axis=0), rtol=1e-15)
    assert bound.kernel is prepared
    bound.kernel = "another back end's"
    np.testing.assert_allclose(core.forward(bound, [x]), x.sum(axis=0), rtol=1e-15)


def test_memory_is_returned(rng: np.random.Generator) -> None:
    """Results and errors leave no reference behind."""
    x = rng.normal(size=(3, 4))
    bound = OPS["multiply"].bind()
    before = sys.getrefcount(x)
    for _ in range(50):
        z = core.forward(bound, (x, x))
        core.backward(bound, z, z, [x, x], (True, True))
        with pytest.raises(TypeError):
            core.forward(bound, (x, 1.0))
    assert sys.getrefcount(x) == before
    assert sys.getrefcount(z) == 2
