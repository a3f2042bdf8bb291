"""Rules that need numbers: a compiled step calls them back."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compare import ON_AND_OFF, check
from own_rules import EXAMPLES, both, called, cube, nothing_stays  # noqa: F401

import autodiff
from autodiff import Tensor
from autodiff.declare import declare
from autodiff.errors import (
    RecordingError,
    VerificationError,
)
from autodiff.op import OPS, Example, Sample
from autodiff.program.code.flat import Code
from autodiff.program.code.kind import Operand
from autodiff.program.code.kinds.call_back import CallBack, Given
from autodiff.program.code.verify import verify_code
from autodiff.program.code.words import from_words, to_words

# ---- values and gradients ------------------------------------------------------------------


def training(f: Any, size: int = 4) -> Callable[[], Any]:
    def build() -> tuple[Callable[..., Any], list[Tensor]]:
        w = Tensor(np.linspace(-1.0, 2.0, size))

        def step(x: Any) -> Any:
            y = f(w * x)
            loss = (y * f(y + 1.0)).sum()
            loss.backward()
            w.assign(w.value - 0.001 * w.gradient)
            return loss, w.gradient

        return step, [w]

    return build


def test_both_rules_are_called(rng: np.random.Generator) -> None:
    calls = [(rng.normal(size=(5, 4)),) for _ in range(2)]
    recording = check(training(cube()), *calls)
    names = [i.op for i in recording.code.instructions if isinstance(i, CallBack)]
    assert sorted(names) == ["_own_call"] * 2 + ["_own_gradient_0"] * 2
    assert len(recording.code.functions) == 2  # one for each rule: the shapes are the same


@pytest.mark.parametrize(
    "rule",
    [
        lambda x: np.fft.fft(x).real,
        lambda x: np.asarray(x) * 2.0,
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x.clip(0.0, 1.0).cumprod(),
        lambda x: np.array([math.tanh(v) for v in x]),
        lambda x: np.frombuffer(memoryview(x.astype(float)), float) + 1.0,
    ],
)
@pytest.mark.parametrize("which", ["forward", "backward"])
def test_any_rule_that_needs_numbers(rule: Any, which: str, rng: np.random.Generator) -> None:
    def own(x: Any) -> Any:
        """z = something of x."""
        return rule(x) if which == "forward" else x * 1.0

    f = declare(backward=lambda g, z, x: rule(g) if which == "backward" else g, examples=EXAMPLES)(
        own
    )
    check(training(f, 3), (rng.normal(size=3),), variants=ON_AND_OFF)


def test_second_derivatives_through_a_composed_backward_rule(rng: np.random.Generator) -> None:
    f = called(np.sin, None)
    OPS.pop("own")
    f = declare(backward=lambda g, z, x: g * autodiff.cos(x), reads="x", examples=EXAMPLES)(
        f.op.forward
    )

    def build() -> tuple[Callable[..., Any], list[Tensor]]:
        w = Tensor(np.linspace(-1.0, 2.0, 4))

        def step(x: Any) -> Any:
            slope = autodiff.gradients(f(w * x).sum(), w)
            (slope * slope).sum().backward()
            return slope, w.gradient

        return step, [w]

    check(build, (rng.normal(size=4),))


def test_several_inputs_attributes_and_what_is_read(rng: np.random.Generator) -> None:
    """x is not read, b broadcasts: the one is NaN where it is called, the other is summed."""
    seen: list[Any] = []

    def own_gradient(g: Any, z: Any, x: Any, b: Any, *, scale: float) -> Any:
        seen.append(np.asarray(x).copy())
        return np.asarray(g) * scale * np.asarray(b)

    @declare(
        backward=(own_gradient, lambda g, z, x, b, *, scale: np.asarray(g) * z / b),
        reads="z b",
        examples=[Example((Sample((3,)), Sample((3,))), {"scale": 2.0})],
    )
    def own(x: Any, b: Any, *, scale: float) -> Any:
        """z = scale x b."""
        return scale * np.asarray(x) * np.asarray(b)

    def build() -> tuple[Callable[..., Any], list[Tensor]]:
        w, b = Tensor(np.arange(1.0, 4.0)), Tensor(0.5)

        def step(x: Any) -> Any:
            loss = own(w * x, b, scale=3.0).sum()
            loss.backward()
            return loss, w.gradient, b.gradient

        return step, [w, b]

    check(build, (rng.normal(size=(2, 3)),), variants=ON_AND_OFF)
    seen.clear()
    step, _ = build()
    autodiff.compile(step)(np.ones((2, 3)))
    assert np.isnan(seen[-1]).all()


def test_any_number_of_inputs(rng: np.random.Generator) -> None:
    @declare(
        shape=lambda *shapes: shapes[0],
        backward=lambda g, z, *xs, needed: [np.asarray(g) * 2.0 if n else None for n in needed],
        examples=[Example((Sample((3,)), Sample((3,))))],
    )
    def own(*xs: Any) -> Any:
        """z = twice the sum."""
        return 2.0 * np.sum([np.asarray(x) for x in xs], axis=0)

    def build() -> tuple[Callable[..., Any], list[Tensor]]:
        tensors = [Tensor(rng.normal(size=3)) for _ in range(3)]
        values = [t.value for t in tensors]

        def step(x: Any) -> Any:
            loss = (own(*tensors, x) ** 2).sum()
            loss.backward()
            return loss, [t.gradient for t in tensors]

        for t, v in zip(tensors, values, strict=True):
            t.assign(v)
        return step, tensors

    fixed = np.random.default_rng(3)
    rng = fixed

    def same() -> Any:
        nonlocal rng
        rng = np.random.default_rng(3)
        return build()

    check(same, (np.arange(3.0),), variants=ON_AND_OFF)


def test_several_outputs(rng: np.random.Generator) -> None:
    """All of the gradients that come, and zeros for those that do not."""

    @declare(
        shape=lambda x: (x, (x[0],)),
        outputs=("vectors", "values"),
        backward=lambda gs, zs, x: (
            np.asarray(zs[0]) @ np.diag(gs[1]) @ np.asarray(zs[0]).T + 0.0 * np.asarray(gs[0])
        ),
        reads="vectors",
        examples=[Example((Sample((3, 3)),))],
    )
    def own(x: Any) -> Any:
        """The eigenvectors and eigenvalues of a symmetric matrix."""
        values, vectors = np.linalg.eigh(np.asarray(x))
        return vectors, values

    def build() -> tuple[Callable[..., Any], list[Tensor]]:
        w = Tensor(np.diag([1.0, 2.0, 4.0]) + 0.1)

        def step(x: Any) -> Any:
            vectors, values = own(w * x)
            vectors.forward()
            (values * values).sum().backward()
            w.assign(w.value - 0.01 * w.gradient)
            return vectors, values

        return step, [w]

    recording = check(build, (1.5,), (2.0,))
    found = [i for i in recording.code.instructions if isinstance(i, CallBack)]
    assert [len(i.outputs) for i in found] == [2, 1]


def test_rules_that_give_numbers_of_other_kinds() -> None:
    """Whole numbers, strided and read-only arrays, the operand itself."""
    for rule in (
        lambda x: (x > 0).astype(int),
        lambda x: np.repeat(x, 2)[::2],
        lambda x: np.broadcast_to(np.float32(2.0), x.shape),
        lambda x: x,
    ):
        f = called(rule)
        step = autodiff.compile(lambda x, f=f: f(x * 1.0))
        x = np.array([-1.0, 0.5, 2.0])
        for run in both(step, x):
            np.testing.assert_array_equal(run(), rule(x))
        del OPS["own"]


def test_nan_infinity_and_signed_zeros_go_through() -> None:
    f = called(lambda x: -x)
    step = autodiff.compile(lambda x: f(x))
    x = np.array([np.nan, np.inf, 0.0])
    for run in both(step, x):
        np.testing.assert_array_equal(run(), -x)
        assert np.signbit(run()[2])


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), ()])
def test_nothing_and_single_numbers(shape: tuple[int, ...]) -> None:
    f = cube()
    w = Tensor(np.ones(shape))

    @autodiff.compile
    def step(x: Any) -> Any:
        loss = f(w * x).sum()
        loss.backward()
        return loss, f(w * x), w.gradient

    loss, value, gradient = step(2.0)
    assert loss == 8.0 * math.prod(shape)
    np.testing.assert_array_equal(value, np.full(shape, 8.0))
    np.testing.assert_array_equal(gradient, np.full(shape, 24.0))


def test_what_nothing_needs_is_not_called() -> None:
    calls: list[int] = []

    def rule(x: Any) -> Any:
        calls.append(1)
        return x + 0.0

    f = called(rule)
    step = autodiff.compile(lambda x: (f(x) * 0.0 + x, f(x))[0] + f(x) - f(x))
    step(np.ones(3))
    assert len(calls) == 1  # the same call of the same values
    unused = autodiff.compile(lambda x: (f(x), x * 2.0)[1])
    calls.clear()
    unused(np.ones(3))
    assert calls == []


def test_calls_on_constants_wait_for_the_run() -> None:
    calls: list[int] = []

    def rule(x: Any) -> Any:
        calls.append(1)
        return x + 1.0

    f = called(rule)
    step = autodiff.compile(lambda x: f(autodiff.reshape(Tensor(2.0, constant=True), ())) + x)
    step.recording(1.0)
    assert calls == []
    assert step(1.0) == 4.0
    assert len(calls) == 1


def test_in_a_scan(rng: np.random.Generator) -> None:
    calls = [(rng.uniform(-0.5, 0.5, 4),) for _ in range(5)]
    check(training(cube()), *calls, variants=ON_AND_OFF)


# ---- listing, words, verification ----------------------------------------------------------


def test_listing_picture_and_profile() -> None:
    f = cube()
    step = autodiff.compile(lambda x: f(x * 2.0))
    x = np.ones((2, 3))
    assert "call_back 2×3: @" in step.program(x)
    assert "= _own_call(@" in step.program(x)
    assert "call_back" in step.graph(x)
    assert len(step.profile(x, repeats=2)) == len(step.recording(x).code.instructions)


def test_words_have_the_number_of_the_function() -> None:
    f = cube()
    step = autodiff.compile(lambda x: f(x * 2.0))
    code = step.recording(np.ones(3)).code
    assert from_words(to_words(code))[2] == code.instructions


@pytest.mark.parametrize("number", [-1, 1, 2**40])
def test_a_function_that_is_not_there_is_refused(number: int) -> None:
    core = pytest.importorskip("autodiff._core")
    given = Given(Operand(1, 0), (3,))
    made = CallBack("_own_call", number, (given,), (given._replace(place=Operand(0, 0)),))
    words = to_words(Code(8, [(3,)], [np.zeros(1)], [made], [""], []))
    with pytest.raises(core.LoadError, match="no function of this number"):
        core.Executor(words, [np.zeros(1)], [list])


def test_the_loader_checks_shapes_and_overlaps() -> None:
    core = pytest.importorskip("autodiff._core")

    def load(inputs: Any, z: Operand, shape: Any, n: int = 1) -> Any:
        made = CallBack("_own_call", 0, inputs, tuple(Given(z, shape) for _ in range(n)))
        words = to_words(Code(8, [(3,)], [np.zeros(1)], [made], [""], []))
        return core.Executor(words, [np.zeros(1)], [list])

    x = Given(Operand(1, 0), (3,))
    load((x,), Operand(0, 0), (8,))
    for inputs, z, shape, why in [
        ((x,), Operand(0, 0), (9,), "leaves its space"),
        ((Given(Operand(1, 1), (3,)),), Operand(0, 0), (3,), "leaves its space"),
        ((Given(Operand(9, 0), (3,)),), Operand(0, 0), (3,), "no space"),
        ((x,), Operand(1, 0), (3,), "read-only"),
        ((x,), Operand(0, 0), (2**40, 2**40), "too large"),
        ((Given(Operand(0, 2), (3,)),), Operand(0, 0), (3,), "overlaps"),
    ]:
        with pytest.raises(core.LoadError, match=why):
            load(inputs, z, shape)
    with pytest.raises(core.LoadError, match="overlaps"):
        load((x,), Operand(0, 0), (3,), 2)


def test_faults_in_the_code_are_found() -> None:
    f, w = cube(), Tensor(np.ones(3))

    @autodiff.compile
    def step(x: Any) -> Any:
        loss = f(w * x).sum()
        loss.backward()
        return loss, w.gradient

    recording = step.recording(np.ones(3))
    code = recording.code
    for number, made in enumerate(code.instructions):
        if not isinstance(made, CallBack):
            continue
        first = made.inputs[0]
        moved = first._replace(place=first.place._replace(offset=first.place.offset + 1))
        for fields in (
            {"op": "_other_call"},
            {"function": 1 - made.function},
            {"function": -1},
            {"function": 2},
            {"outputs": (made.outputs[0]._replace(shape=(1, 3)),)},
            {"outputs": made.outputs * 2},
            {"inputs": (first._replace(shape=(1, 3)), *made.inputs[1:])},
            {"inputs": (moved, *made.inputs[1:])},
            {"inputs": made.inputs[1:]},
            {"outputs": (made.outputs[0]._replace(place=first.place),)},
        ):
            instructions = list(code.instructions)
            instructions[number] = dataclasses.replace(made, **fields)
            with pytest.raises(VerificationError, match=rf"instruction {number} \(call_back"):
                verify_code(dataclasses.replace(code, instructions=instructions),
                            recording.improved)  # fmt: skip


# ---- without the extension ------------------------------------------------------------------


def test_without_the_extension() -> None:
    script = """
import sys
sys.modules["autodiff._core"] = None
import numpy as np, autodiff
from autodiff import Tensor
from autodiff.declare import declare
from autodiff.op import Example, Sample

@declare(backward=lambda g, z, x: np.asarray(g) * 3.0 * np.asarray(x) ** 2, reads="x",
         examples=[Example((Sample((3,)),))])
def own(x):
    "z = x cubed"
    if np.asarray(x)[0] > 9.0:
        raise TypeError("too large")
    return np.asarray(x) ** 3

w = Tensor(np.ones(3))

@autodiff.compile
def step(x):
    loss = own(w * x).sum()
    loss.backward()
    w.assign(w.value - 0.01 * w.gradient)
    return loss

assert abs(step(2.0) - 24.0) < 1e-12
assert np.allclose(w.value, 0.76)
assert "call_back" in step.program(2.0)
try:
    step(100.0)
except TypeError as error:
    assert "too large" in str(error)
else:
    raise AssertionError
assert np.allclose(w.value, 0.76)
assert np.allclose(step.scan(np.array([1.0, 1.0])).shape, (2,))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


# ---- what stays refused ----------------------------------------------------------------------


def test_a_value_of_the_recording_in_another_is_still_refused() -> None:
    escaped: list[Any] = []

    def own(x: Any) -> Any:
        """z = x."""
        escaped.append(x)
        return escaped[0] * 1.0

    f = declare(backward=lambda g, z, x: g, examples=EXAMPLES)(own)
    with pytest.raises(RecordingError, match="another recording"):
        autodiff.compile(lambda x: f(x))(np.ones(3))
