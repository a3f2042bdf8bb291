"""Generic over the op table: the rules themselves, on NumPy arrays."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numerics import complex_step
from table import EXAMPLES, OF_THE_LIBRARY, of_each, parts
from table import differentiable as has_derivative

import autodiff
from autodiff import ops
from autodiff.backend import Backend, get_backend
from autodiff.declare import NAMES, declare
from autodiff.errors import GradientError, ShapeError
from autodiff.op import OPS, BoundOp, Example, Op
from autodiff.ops.rules import input_gradient

cases = pytest.mark.parametrize(("op", "example"), EXAMPLES)
differentiable = pytest.mark.parametrize(
    ("op", "example"), [c for c in EXAMPLES if any(c.values[0].backward)]
)


@pytest.fixture
def backend(either_backend: Backend) -> Backend:
    """What is asked here does not depend on the instruction set."""
    return either_backend


def drawn(
    op: Op, example: Example, rng: np.random.Generator
) -> tuple[BoundOp, tuple[np.ndarray, ...], Any, Any]:
    """The bound op, its inputs, its output and a gradient, the last two by the reference.

    Of several outputs they are tuples.
    """
    bound = op.bind(**example.attributes)
    inputs = example.draw(rng)
    output = get_backend("reference").forward(bound, inputs)
    return bound, inputs, output, gradient_for(output, rng)


def gradient_for(output: Any, rng: np.random.Generator) -> Any:
    return of_each(lambda z: np.asarray(rng.normal(size=z.shape)), output)


def each(op: Op, value: Any, change: Any) -> Any:
    """The output, or each of several, changed: change(name, array)."""
    if op.several:
        return tuple(change(name, z) for name, z in zip(op.outputs, value, strict=True))
    return change("z", value)


def needed_by(op: Op, inputs: Any) -> list[bool]:
    return [has_derivative(op, i) for i in range(len(inputs))]


# ---- the shape rule and the forward rule ----------------------------------------------


@cases
def test_the_shape_rule_says_the_real_shape(
    op: Op, example: Example, backend: Backend, rng: np.random.Generator
) -> None:
    bound, inputs, output, _ = drawn(op, example, rng)
    said = bound.shape(*[x.shape for x in inputs])
    found = backend.forward(bound, inputs)
    assert type(said) is tuple
    assert isinstance(found, tuple) == op.several
    shapes = said if op.several else (said,)
    for promised, value, reference in zip(shapes, parts(found), parts(output), strict=True):
        assert type(promised) is tuple
        assert all(type(n) is int for n in promised)
        assert type(value) is np.ndarray
        assert value.shape == promised == reference.shape
        assert value.dtype == np.float64
        assert value.flags.c_contiguous
        assert value.flags.aligned


@cases
def test_the_forward_rule_runs_on_complex_numbers(
    op: Op, example: Example, rng: np.random.Generator
) -> None:
    bound, inputs, output, _ = drawn(op, example, rng)
    found = bound.forward([x.astype(np.complex128) for x in inputs])
    for value, reference in zip(parts(found), parts(output), strict=True):
        np.testing.assert_allclose(np.real(value), reference, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(np.imag(value), 0.0, atol=1e-14)


# ---- the backward rules ----------------------------------------------------------------


@differentiable
def test_gradients_are_those_of_the_complex_step(
    op: Op, example: Example, backend: Backend, rng: np.random.Generator
) -> None:
    bound, inputs, _, g = drawn(op, example, rng)
    needed = needed_by(op, inputs)
    output = backend.forward(bound, inputs)
    sent = backend.backward(bound, g, output, inputs, needed)
    assert len(sent) == len(inputs)
    for position, (x, gx, wanted) in enumerate(zip(inputs, sent, needed, strict=True)):
        if not wanted:
            assert gx is None
            continue
        expected = complex_step(lambda *a: bound.forward(a), inputs, position, g)
        assert gx.shape == x.shape
        assert gx.dtype == np.float64
        scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
        np.testing.assert_allclose(gx, expected, rtol=1e-12, atol=1e-14 * scale)


@cases
def test_what_is_not_declared_as_read_is_not_read(
    op: Op, example: Example, backend: Backend, rng: np.random.Generator
) -> None:
    bound, inputs, output, g = drawn(op, example, rng)
    needed = needed_by(op, inputs)
    expected = backend.backward(bound, g, output, inputs, needed)

    def hidden(name: str, x: np.ndarray) -> np.ndarray:
        return x if name in op.reads else np.full_like(x, np.nan)

    names = op.inputs * len(inputs) if op.variadic else op.inputs
    poisoned = [hidden(name, x) for name, x in zip(names, inputs, strict=True)]
    sent = backend.backward(bound, g, each(op, output, hidden), poisoned, needed)
    for gx, e in zip(sent, expected, strict=True):
        assert (gx is None) == (e is None)
        if gx is not None:
            np.testing.assert_array_equal(gx, e)


@differentiable
def test_every_declared_read_is_read(op: Op, example: Example, rng: np.random.Generator) -> None:
    # A read too many keeps memory and blocks passes. Values that are NaN must spoil something.
    bound, inputs, output, g = drawn(op, example, rng)
    if sum(z.size for z in parts(output)) == 0 or example.attributes.get("exponent") == 0.0:
        pytest.skip("nothing to see in this example")
    reference = get_backend("reference")
    g = each(op, g, lambda _, x: np.where(x == 0.0, 1.0, x))
    expected = reference.backward(bound, g, output, inputs, needed_by(op, inputs))
    for name in op.reads - {"rows", "condition"}:  # these choose; NaN is no choice

        def spoilt(n: str, x: np.ndarray, name: str = name) -> np.ndarray:
            return np.full_like(x, np.nan) if n == name else x

        poisoned = [spoilt(n, x) for n, x in zip(op.inputs, inputs, strict=True)]
        z = each(op, output, spoilt)
        sent = reference.backward(bound, g, z, poisoned, needed_by(op, inputs))
        same = [gx is None or np.array_equal(gx, e) for gx, e in zip(sent, expected, strict=True)]
        assert not all(same), f"{op.name} declares that it reads {name}, but does not"


@cases
@pytest.mark.parametrize("writeable", [True, False])
def test_nothing_is_written_to_and_memory_is_fresh(
    op: Op, example: Example, writeable: bool, backend: Backend, rng: np.random.Generator
) -> None:
    bound, inputs, _, g = drawn(op, example, rng)
    arrays = [*inputs, *parts(g)]
    for x in arrays:
        x.flags.writeable = writeable
    before = [x.tobytes() for x in arrays]
    output = backend.forward(bound, inputs)
    made = parts(output)
    n_outputs = len(made)
    for z in made:
        assert z.flags.writeable
        z.flags.writeable = writeable
    before_output = [z.tobytes() for z in made]
    sent = backend.backward(bound, g, output, inputs, needed_by(op, inputs))
    made += [gx for gx in sent if gx is not None]
    assert [x.tobytes() for x in arrays] == before
    assert [z.tobytes() for z in parts(output)] == before_output
    for i, x in enumerate(made):
        assert i < n_outputs or x.flags.writeable
        for other in [*arrays, *made[:i]]:
            assert not np.shares_memory(x, other)


@differentiable
def test_only_what_is_needed_is_computed(
    op: Op, example: Example, backend: Backend, rng: np.random.Generator
) -> None:
    bound, inputs, output, g = drawn(op, example, rng)
    able = needed_by(op, inputs)
    full = backend.backward(bound, g, output, inputs, able)
    for mask in np.ndindex(*[2] * len(inputs)):
        needed = tuple(bool(m) and a for m, a in zip(mask, able, strict=True))
        sent = backend.backward(bound, g, output, inputs, needed)
        for gx, e, wanted in zip(sent, full, needed, strict=True):
            assert (gx is not None) == wanted
            if wanted:
                np.testing.assert_array_equal(gx, e)


@pytest.mark.parametrize(
    "op", [op for op in OPS.values() if len(op.inputs) > 1 or op.variadic], ids=lambda op: op.name
)
def test_the_same_array_for_all_inputs(op: Op, backend: Backend, rng: np.random.Generator) -> None:
    x, attributes = rng.uniform(0.5, 2.0, (3, 3)), op.examples[0].attributes
    if any(sample.kind == "integer" for sample in op.examples[0].samples):
        x, attributes = np.array([2.0, 0.0, 2.0]), dict.fromkeys(attributes, 3)
    bound = op.bind(**attributes)
    same = [x] * max(2, len(op.inputs))
    try:
        bound.shape(*[a.shape for a in same])
    except ShapeError:
        pytest.skip("its inputs have different shapes")
    apart = [x.copy() for _ in same]
    output = backend.forward(bound, same)
    for z, e in zip(parts(output), parts(backend.forward(bound, apart)), strict=True):
        np.testing.assert_array_equal(z, e)
    g, needed = gradient_for(output, rng), needed_by(op, same)
    sent = backend.backward(bound, g, output, same, needed)
    expected = backend.backward(bound, g, output, apart, needed)
    for gx, e in zip(sent, expected, strict=True):
        assert (gx is None) == (e is None)
        if e is not None:
            np.testing.assert_array_equal(gx, e)


# ---- gradients of gradients -------------------------------------------------------------


@differentiable
def test_second_derivatives_are_those_of_the_complex_step(
    op: Op, example: Example, backend: Backend, rng: np.random.Generator
) -> None:
    # The rules are polymorphic: on complex arrays they give the first gradient, and on
    # nodes a first gradient that can be differentiated.
    bound, inputs, output, g = drawn(op, example, rng)
    able = needed_by(op, inputs)
    nodes = [
        autodiff.Tensor(x, constant=not a, name=f"input {i}")
        for i, (x, a) in enumerate(zip(inputs, able, strict=True))
    ]
    outputs = parts(nodes[0].__autodiff_apply__(bound, nodes))
    seeds = [autodiff.Tensor(s) for s in parts(g)]
    xs = [x for x, a in zip(nodes, able, strict=True) if a]
    if op.several:
        firsts = autodiff.gradients(
            sum((z * s).sum() for z, s in zip(outputs, seeds, strict=True)), xs
        )
    else:
        firsts = autodiff.gradients(outputs[0], xs, seeds[0])
    reference = backend.backward(bound, g, output, inputs, able)
    weights = []
    for first, e in zip(firsts, [r for r in reference if r is not None], strict=True):
        np.testing.assert_allclose(first.forward(), e, rtol=1e-13, atol=1e-14)
        weights.append(rng.normal(size=first.shape))
    start = sum(s.sum() * 0 for s in seeds)
    total = sum(((f * w).sum() for f, w in zip(firsts, weights, strict=True)), start=start)
    try:
        seconds = autodiff.gradients(total, [*xs, *seeds])
    except GradientError as error:  # of an op that is a second derivative itself, say
        if "there is no third derivative" not in str(error):
            raise
        pytest.skip(str(error))

    def first_gradients(*values: Any) -> Any:
        values, gs = values[: len(inputs)], values[len(inputs) :]
        g_ = gs if op.several else gs[0]
        z_ = bound.forward(values)
        sums: Any = 0.0
        for w, i in zip(weights, np.flatnonzero(able), strict=True):
            sums = sums + np.sum(w * input_gradient(bound, int(i), g_, z_, values))
        return sums

    arguments = [*inputs, *parts(g)]
    where = [*np.flatnonzero(able), *range(len(inputs), len(arguments))]
    for position, second in zip(where, seconds, strict=True):
        expected = complex_step(first_gradients, arguments, int(position), 1.0)
        scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
        np.testing.assert_allclose(second.forward(), expected, rtol=1e-12, atol=1e-13 * scale)


# ---- the table --------------------------------------------------------------------------


def test_every_op_is_documented_and_has_examples() -> None:
    for name, op in OPS.items():
        assert op.name == name
        assert op.formula.startswith("z = "), name
        assert op.examples, name
        assert op.inputs, name
        assert repr(op).startswith(f"<op {name}("), name
    assert len({op.formula for op in OPS.values()}) == len(OPS)


def test_every_op_is_public_and_documented() -> None:
    for op in OF_THE_LIBRARY:
        name = op.name
        if name.startswith("_"):  # a part of rules
            continue
        if name not in autodiff.__all__:  # then by a name of NumPy's or SciPy's
            (function,) = {f for f in NAMES.values() if getattr(f, "op", None) is op}
        else:
            function = getattr(autodiff, name)
            assert function is getattr(ops, name)
        assert (function.__doc__ or "").partition("\n")[0] == op.formula
        assert function.op is op


def test_every_public_op_function_is_documented() -> None:
    for name in ops.__all__:
        assert getattr(ops, name).__doc__, name
        assert getattr(autodiff, name) is getattr(ops, name)


def test_examples_are_spread_out(rng: np.random.Generator) -> None:
    for op in OPS.values():
        for example in op.examples:
            for sample in example.samples:
                x = sample.draw(rng)
                assert x.dtype == np.float64
                assert x.shape == sample.shape
                if x.size > 2 and sample.kind != "boolean":
                    assert len(np.unique(x)) > 1, (op, sample)
                if sample.kind == "distinct" and x.size > 1:
                    assert np.min(np.diff(np.sort(np.abs(x.ravel())))) > 0.1
                    assert np.min(np.abs(x)) > 0.1


def test_ops_and_bound_ops_can_be_pickled() -> None:
    for op in OPS.values():
        assert pickle.loads(pickle.dumps(op)) is op
        for example in op.examples:
            bound = op.bind(**example.attributes)
            twin = pickle.loads(pickle.dumps(bound))
            assert twin.key() == bound.key()
            assert hash(twin.key()) == hash(bound.key())
            assert repr(twin) == repr(bound)


def test_declare_refuses_what_does_not_fit() -> None:
    def tanh(x: Any) -> Any:
        """z = x."""
        return x

    def broken(x: Any, y: Any) -> Any:
        """z = x + y."""
        return x + y

    with pytest.raises(ValueError, match="'tanh' is declared already"):
        declare(backward=None, examples=[])(tanh)
    with pytest.raises(ValueError, match="do not match"):
        declare(backward=(None,), examples=[])(broken)
    with pytest.raises(ValueError, match="do not match"):
        declare(backward=(None, None), reads="w", examples=[])(broken)
    assert "broken" not in OPS


def test_the_number_of_operands_is_checked() -> None:
    with pytest.raises(TypeError, match=r"tanh: 2 operands are given; it takes \(x\)"):
        autodiff.tanh(1.0, 2.0)
    with pytest.raises(TypeError, match=r"add: y must be given; it takes \(x, y\)"):
        autodiff.add(1.0)


@pytest.mark.parametrize("name", autodiff.available_backends())
def test_an_input_without_gradient_gets_none_even_if_one_is_asked_for(name: str) -> None:
    op, x = OPS["sign"].bind(), np.array([1.0, -2.0])
    sent = autodiff.get_backend(name).backward(op, x, x, [x], (True,))
    assert list(sent) == [None]
