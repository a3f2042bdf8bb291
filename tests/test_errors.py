"""Every bad input gives one clear error: what, where, which shapes; and changes nothing."""

from __future__ import annotations

import gc
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, errors
from autodiff.errors import (
    AutodiffError,
    BackwardTwiceError,
    DTypeError,
    GradientError,
    IncompleteGradientError,
    IndexRangeError,
    ShapeError,
    StaleValueError,
    UnassignedError,
)

HERE = "test_errors.py"


@pytest.fixture(autouse=True, scope="module")
def _nobody_has_these_names() -> None:
    """Nodes of earlier tests that wait for the collector would make names unique by numbers."""
    gc.collect()


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


# ---- shapes, when the node is built ----------------------------------------------------

M = (3, 4)  # the shape of x below
SHAPE_CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "add": (lambda x: x + np.ones((2, 4)), ["add", "(2, 4)", "y"]),
    "add two nodes": (lambda x: x + Tensor(np.ones(5), name="other"), ["add", "(5,)", "other"]),
    "radd": (lambda x: np.ones(5) + x, ["add", "(5,)"]),
    "subtract": (lambda x: x - np.ones(3), ["subtract", "(3,)"]),
    "multiply": (lambda x: x * np.ones(3), ["multiply", "(3,)"]),
    "divide": (lambda x: x / np.ones(3), ["divide", "(3,)"]),
    "maximum": (lambda x: autodiff.maximum(x, np.ones(3)), ["maximum", "(3,)"]),
    "where": (lambda x: autodiff.where(x, np.ones(3), 0.0), ["where", "(3,)"]),
    "power": (lambda x: autodiff.power(x, [2.0, 3.0]), ["power", "(2,)", "exponent"]),
    "matmul": (lambda x: x @ np.ones((5, 2)), ["matmul", "(5, 2)", "inner"]),
    "matmul, column": (lambda x: x @ np.ones(3), ["matmul", "(3,)", "inner"]),
    "matmul, row": (lambda x: np.ones(2) @ x, ["matmul", "(2,)", "inner"]),
    "matmul, scalar": (lambda x: x @ 2.0, ["matmul", "()"]),
    "matmul, stacks": (
        lambda x: np.ones((2, 5, 3)) @ (x * np.ones((3, 1, 1))),
        ["matmul", "(2, 5, 3)", "(3, 3, 4)"],
    ),
    "reshape": (lambda x: x.reshape(5, 2), ["reshape", "(5, 2)"]),
    "reshape, two unknown": (lambda x: x.reshape(-1, -1), ["reshape", "(-1, -1)"]),
    "reshape, -1": (lambda x: x.reshape(-1, 5), ["reshape", "(-1, 5)"]),
    "reshape, fraction": (lambda x: x.reshape((2.5, 2)), ["reshape", "2.5"]),
    "transpose": (lambda x: x.transpose(0, 0), ["transpose", "(0, 0)"]),
    "transpose, axis": (lambda x: x.transpose(0, 2), ["transpose", "axis 2"]),
    "swapaxes": (lambda x: autodiff.swapaxes(x, 0, -3), ["swapaxes", "axis -3"]),
    "expand_dims": (lambda x: autodiff.expand_dims(x, 4), ["expand_dims", "axis 4"]),
    "squeeze": (lambda x: autodiff.squeeze(x, 0), ["squeeze", "axis 0"]),
    "broadcast_to": (lambda x: autodiff.broadcast_to(x, (3, 5)), ["broadcast_to", "(3, 5)"]),
    "broadcast_to, smaller": (lambda x: autodiff.broadcast_to(x, (4,)), ["broadcast_to", "(4,)"]),
    "concat": (lambda x: autodiff.concat([x, np.ones((2, 2))]), ["concat", "(2, 2)", "parts[1]"]),
    "concat, axes": (lambda x: autodiff.concat([x, np.ones(3)]), ["concat", "(3,)", "parts[1]"]),
    "concat, axis": (lambda x: autodiff.concat([x], axis=2), ["concat", "axis 2"]),
    "stack": (lambda x: autodiff.stack([x, np.ones((3, 1))]), ["stack", "(3, 1)", "parts[1]"]),
    "split": (lambda x: autodiff.split(x, 3), ["split", "3 equal parts"]),
    "split, none": (lambda x: autodiff.split(x, 0), ["split", "0 equal parts"]),
    "split, order": (lambda x: autodiff.split(x, [3, 2]), ["split", "[3, 2]"]),
    "split, outside": (lambda x: autodiff.split(x, [9]), ["split", "[9]"]),
    "sum": (lambda x: x.sum(axis=2), ["sum", "axis 2"]),
    "sum, twice": (lambda x: x.sum(axis=(0, -2)), ["sum", "(0, -2)"]),
    "sum, name": (lambda x: x.sum(axis="rows"), ["sum", "'rows'"]),
    "mean, fraction": (lambda x: x.mean(axis=0.5), ["mean", "0.5"]),
    "mean": (lambda x: x[:, :0].mean(axis=1), ["mean", "(3, 0)"]),
    "max": (lambda x: x[:0].max(), ["max", "(0, 4)"]),
    "softmax": (lambda x: autodiff.softmax(x[:, :0]), ["softmax", "(3, 0)"]),
    "log_softmax": (lambda x: autodiff.log_softmax(x, axis=3), ["log_softmax", "axis 3"]),
    "logsumexp": (lambda x: autodiff.logsumexp(x[:0], axis=0), ["logsumexp", "(0, 4)"]),
    "take": (lambda x: autodiff.take(x.sum(), [0]), ["take", "scalar"]),
    "scatter_rows": (lambda x: autodiff.scatter_rows(x, [0, 1], n_rows=3), ["(2,)"]),
    "np.concatenate": (lambda x: np.concatenate([x, np.ones((3, 2))]), ["concat", "(3, 2)"]),
}
INDEX_CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "row": (lambda x: x[3], ["getitem", "3", "axis 0"]),
    "negative": (lambda x: x[0, -5], ["getitem", "-5", "axis 1"]),
    "too many": (lambda x: x[0, 0, 0], ["getitem", "3 indices"]),
    "two dots": (lambda x: x[..., 0, ...], ["getitem", "..."]),
    "array": (lambda x: x[np.array([0, 3])], ["getitem", "3", "axis 0"]),
    "list": (lambda x: x[:, [0, -5]], ["getitem", "-5", "axis 1"]),
    "mask": (lambda x: x[np.ones(2) > 0.0], ["getitem", "(2,)", "(3,)", "(3, 4)"]),
    "floats": (lambda x: x[[0.0, 1.0]], ["getitem", "float64"]),
    "fraction": (lambda x: x[0.5], ["getitem", "0.5"]),
    "step": (lambda x: x[::0], ["getitem", "zero"]),
    "bounds": (lambda x: x[0.5:], ["getitem", "0.5"]),
}
DTYPE_CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "complex": (lambda x: x + np.ones(4, complex), ["add", "y", "complex128", "real part"]),
    "object": (lambda x: x * np.array([None, 1]), ["multiply", "y", "object"]),
    "string": (lambda x: "abc" + x, ["add", "x", "<U3"]),
    "ragged": (lambda x: autodiff.maximum([[1.0], [1.0, 2.0]], x), ["maximum", "x", "rect"]),
    "date": (lambda x: x / np.datetime64("2017-04-17"), ["divide", "y", "datetime64"]),
    "None": (lambda x: x - None, ["subtract", "y", "None"]),
    "power": (lambda x: x ** "2", ["power", "exponent", "<U1"]),
    "power, complex": (lambda x: x**2j, ["power", "exponent", "complex128"]),
}
CASES = [
    *(pytest.param(ShapeError, *case, id=f"shape-{k}") for k, case in SHAPE_CASES.items()),
    *(pytest.param(IndexRangeError, *case, id=f"index-{k}") for k, case in INDEX_CASES.items()),
    *(pytest.param(DTypeError, *case, id=f"dtype-{k}") for k, case in DTYPE_CASES.items()),
]


@pytest.mark.parametrize(("kind", "build", "facts"), CASES)
def test_what_cannot_be_built(
    kind: type[Exception], build: Callable[[Any], Any], facts: list[str]
) -> None:
    x = Tensor(np.ones(M), name="measurements")
    build_line = build.__code__.co_firstlineno  # the case's own line, or the line above
    with pytest.raises(kind) as raised:
        build(x)
    message = str(raised.value)
    assert isinstance(raised.value, AutodiffError)
    for fact in facts:
        assert fact in message
    found = re.search(rf"in {HERE}:(\d+)", message)
    if kind is not DTypeError or "in test_" in message:
        assert found, message
        assert 0 <= int(found[1]) - build_line <= 1
    if "x.sum()" not in inspect.getsource(build) and kind is not DTypeError:
        shaped = "(3, 4)" in message or "measurements" in message or ":0" in str(facts)
        assert shaped or "#" in message, message
    # Nothing was left behind that a pass would wait for (the traceback holds inner nodes).
    del raised
    y = x * 2.0
    y.backward(np.ones(M))
    np.testing.assert_array_equal(x.gradient, np.full(M, 2.0))


@pytest.mark.parametrize(("kind", "build", "facts"), CASES)
def test_a_mistake_within_a_step_says_the_same(
    kind: type[Exception], build: Callable[[Any], Any], facts: list[str]
) -> None:
    with pytest.raises(kind) as outside:
        build(Tensor(np.ones(M)))
    with pytest.raises(kind) as within:
        autodiff.compile(lambda x: build(x))(np.ones(M))
    assert main_part(within.value) == main_part(outside.value)


def main_part(error: BaseException) -> str:
    """The message without which nodes these are, and without the line."""
    return re.sub(r" \([^()]* is .*\)$| \(in [^()]*\)$", "", str(error))


def test_both_shapes_both_nodes_and_the_lines() -> None:
    x, x_line = Tensor(np.ones((32, 10)), name="x"), line()
    w, w_line = Tensor(np.ones((12, 5)), name="hidden"), line()
    at = line() + 2
    with pytest.raises(ShapeError) as raised:
        x @ w
    assert str(raised.value) == (
        "matmul: inner sizes differ: x has shape (32, 10), y has shape (12, 5) "
        f"(x is node 'x' ({HERE}:{x_line}); y is node 'hidden' ({HERE}:{w_line}); in {HERE}:{at})"
    )


def test_wrapped_ops_say_it_in_the_same_way() -> None:
    h, h_line = Tensor(np.ones((3, 4)), name="h"), line()
    at = line() + 2
    with pytest.raises(ShapeError) as raised:
        h.reshape(5, 2)
    assert str(raised.value) == (
        "reshape: x has shape (3, 4), 12 elements; they do not fill (5, 2) "
        f"(x is node 'h' ({HERE}:{h_line}); in {HERE}:{at})"
    )


def test_on_plain_arrays_too() -> None:
    with pytest.raises(ShapeError, match=rf"reshape: x has shape \(3,\).*in {HERE}:{line() + 1}"):
        autodiff.reshape(np.ones(3), (2, 2))


def test_a_row_that_does_not_exist_names_the_node(backend: Any) -> None:
    x = Tensor(np.ones((3, 2)))
    rows = Tensor([0, 3], name="rows")
    taken, at = autodiff.take(x, rows), line()
    y = taken * 2.0
    with pytest.raises(IndexRangeError, match=rf"take: row 3.*3 rows.*'take#\d+' \({HERE}:{at}\)"):
        y.forward()
    rows.assign([0, 2])
    np.testing.assert_array_equal(y.forward(), np.full((2, 2), 2.0))
    rows.assign([0, 0.5])
    with pytest.raises(IndexRangeError, match=r"0\.5"):
        y.forward()
    rows.assign([0, np.nan])
    with pytest.raises(IndexRangeError, match="nan"):
        y.forward()
    rows.assign([0, 1e300])
    with pytest.raises(IndexRangeError, match=r"1e\+?300"):
        y.forward()


# ---- tensors ---------------------------------------------------------------------------

BAD_ARRAYS = {
    "complex": np.ones(3, complex),
    "object": np.array([1.0, None, 2.0]),
    "string": "abc",
    "strings": ["1", "2", "3"],
    "ragged": [[1.0], [1.0, 2.0]],
    "dates": np.array(["2017-04-17"] * 3, "datetime64[D]"),
    "times": np.ones(3, "timedelta64[s]"),
    "record": np.zeros(3, [("a", float)]),
    "dictionary": {"a": 1.0},
    "function": len,
}
bad_arrays = pytest.mark.parametrize("bad", BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())


@bad_arrays
def test_a_tensor_of_no_numbers_is_refused(bad: Any) -> None:
    with pytest.raises(DTypeError, match="Tensor"):
        Tensor(bad)


@bad_arrays
def test_assigning_no_numbers_changes_nothing(bad: Any) -> None:
    x = Tensor([1.0, 2.0, 3.0], name="kept")
    y = x * 2.0
    y.backward(np.ones(3))
    with pytest.raises(DTypeError, match=r"assign.*'kept'"):
        x.assign(bad)
    np.testing.assert_array_equal(x.value, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(x.gradient, np.full(3, 2.0))
    y.reset()
    y.backward(np.ones(3))  # not stale
    np.testing.assert_array_equal(x.gradient, np.full(3, 2.0))


@bad_arrays
def test_a_gradient_of_no_numbers_changes_nothing(bad: Any) -> None:
    x = Tensor([1.0, 2.0, 3.0])
    y = (x * 2.0).sum(keepdims=True).reshape(1) * np.ones(3)
    for send in (y.backward, lambda g: autodiff.backward({y: g})):
        with pytest.raises((DTypeError, ShapeError), match="backward"):
            send(bad)
    assert not x.has_gradient
    y.backward(np.ones(3))
    np.testing.assert_array_equal(x.gradient, np.full(3, 6.0))


def test_assigning_another_shape_changes_nothing() -> None:
    x, at = Tensor([[1.0, 2.0]], name="kept"), line()
    x.backward(np.ones((1, 2)))
    for wrong in ([1.0, 2.0], [[1.0], [2.0]], 1.0, [[1.0, 2.0, 3.0]], np.zeros((0, 2))):
        called = line() + 2
        with pytest.raises(ShapeError) as raised:
            x.assign(wrong)
        for fact in ("assign", "(1, 2)", str(np.shape(wrong)), "'kept'", f"{HERE}:{at}"):
            assert fact in str(raised.value)
        assert str(raised.value).endswith(f"in {HERE}:{called})")
    np.testing.assert_array_equal(x.value, [[1.0, 2.0]])
    np.testing.assert_array_equal(x.gradient, [[1.0, 1.0]])


def test_a_tensor_needs_a_value_or_a_shape() -> None:
    with pytest.raises(ShapeError, match=rf"a value or a shape.*{HERE}:{line() + 1}"):
        Tensor()
    with pytest.raises(ShapeError, match=r"value has shape \(2,\), shape says \(3,\)"):
        Tensor([1.0, 2.0], shape=3)
    with pytest.raises(ShapeError, match=r"negative.*\(2, -1\)"):
        Tensor(shape=(2, -1))
    assert Tensor(shape=np.int64(3)).shape == (3,)


def test_a_value_that_was_never_assigned() -> None:
    x, at = Tensor(shape=(2,), name="late"), line()
    y = autodiff.exp(x * 2.0)
    for read in (
        lambda: x.value,
        lambda: x.forward(),
        lambda: y.value,
        lambda: y.forward(),
        lambda: y.backward(np.ones(2)),
        lambda: x.backward(np.ones(2)),
        lambda: autodiff.backward({y: np.ones(2)}),
        lambda: np.asarray(autodiff.stop_gradient(y)),
        lambda: y.sum().item(),
    ):
        with pytest.raises(UnassignedError, match=rf"'late' \({HERE}:{at}\).*assign"):
            read()
    x.assign([0.0, 1.0])
    np.testing.assert_allclose(y.value, np.exp([0.0, 2.0]))


# ---- passes ----------------------------------------------------------------------------


def test_an_incomplete_gradient_names_who_is_waited_for() -> None:
    x = Tensor([1.0, 2.0], name="shared")
    used = x * 2.0
    unused, at = autodiff.exp(x), line()
    used.backward(np.ones(2))
    assert not x.has_gradient
    with pytest.raises(IncompleteGradientError) as raised:
        _ = x.gradient
    for fact in ("'shared'", f"'{unused.name}' ({HERE}:{at})", "autodiff.backward({"):
        assert fact in str(raised.value)
    assert used.name not in str(raised.value)


def test_no_gradient_yet_and_none_at_all() -> None:
    x, c = Tensor(1.0, name="x"), Tensor(2.0, constant=True, name="rate")
    y = x * c
    with pytest.raises(GradientError, match=r"'x'.*no backward pass has reached it"):
        _ = x.gradient
    y.backward()
    with pytest.raises(GradientError, match=r"'rate'.*it is constant"):
        _ = c.gradient
    with pytest.raises(GradientError, match=r"'rate'.*constant"):
        c.backward()
    with pytest.raises(GradientError, match="constant"):
        (c * 2.0).backward()
    with pytest.raises(GradientError, match="constant"):
        autodiff.backward({y: 1.0, c: 1.0})


@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((2, 1)), 1.0, None, np.ones((1, 2))])
def test_a_gradient_of_another_shape(wrong: Any) -> None:
    x = Tensor([1.0, 2.0])
    y = autodiff.multiply(x, 2.0)
    for send in (y.backward, lambda g: autodiff.backward({y: g})):
        with pytest.raises(ShapeError, match=r"backward.*'multiply#\d+'.*\(2,\)"):
            send(wrong)
    assert not y.has_gradient
    assert not x.has_gradient


def test_backward_twice() -> None:
    x = Tensor([1.0, 2.0])
    loss, at = autodiff.square(x).sum(), line()
    loss.backward()
    with pytest.raises(BackwardTwiceError, match=r"accumulate=True.*autodiff\.reset"):
        autodiff.backward({x * 1.0: np.ones(2)})
    for again in (
        loss.backward,
        lambda: autodiff.backward(loss),
        lambda: autodiff.backward({loss: 2.0}),
    ):
        with pytest.raises(BackwardTwiceError, match=r"reset\(\)"):
            again()
        np.testing.assert_array_equal(x.gradient, [2.0, 4.0])
    autodiff.backward({x * 1.0: np.ones(2)})
    np.testing.assert_array_equal(x.gradient, [1.0, 1.0])
    with pytest.raises(BackwardTwiceError, match=f"{HERE}:{at}"):
        loss.backward()
    loss.reset()
    loss.backward()
    np.testing.assert_array_equal(x.gradient, [2.0, 4.0])


def test_stale_values() -> None:
    x = Tensor([1.0, 2.0], name="moved")
    h, at = autodiff.square(x), line()
    loss = h.sum()
    loss.forward()
    x.assign([3.0, 4.0])
    for run in (loss.backward, lambda: autodiff.backward(loss)):
        with pytest.raises(StaleValueError) as raised:
            run()
        for fact in ("'moved'", h.name, f"{HERE}:{at}", "forward()"):
            assert fact in str(raised.value)
    loss.forward()
    loss.backward()
    np.testing.assert_array_equal(x.gradient, [6.0, 8.0])


def test_outside_senders() -> None:
    x = Tensor([1.0], name="x")
    with pytest.raises(GradientError, match=r"'x'.*'loss'.*register\('loss'\)"):
        x.backward([1.0], sender="loss")
    x.register("loss")
    x.register("penalty")
    x.backward([1.0], sender="loss")
    with pytest.raises(IncompleteGradientError, match="the outside sender 'penalty'"):
        _ = x.gradient
    with pytest.raises(GradientError, match="in the middle of a pass"):
        x.register("third")
    with pytest.raises(BackwardTwiceError, match="'loss' has sent"):
        x.backward([1.0], sender="loss")
    x.backward([2.0], sender="penalty")
    assert x.gradient == 3.0


# ---- numbers and back ends -------------------------------------------------------------


def test_a_node_of_many_elements_is_no_number() -> None:
    x = Tensor([1.0, 2.0])
    for read in (float, bool, lambda x: x.item()):
        with pytest.raises(ValueError, match="one element"):
            read(x)
    with pytest.raises(TypeError, match="no length"):
        len(Tensor(1.0))


def test_an_unknown_back_end() -> None:
    with pytest.raises(errors.BackendError, match=r"'gpu'.*compiled, reference"):
        autodiff.get_backend("gpu")
    with pytest.raises(errors.BackendError, match="'gpu'"):
        Tensor(1.0).backward(backend="gpu")
    with pytest.raises(errors.BackendError, match="'gpu'"), autodiff.use_backend("gpu"):
        pytest.fail("not reached")


def test_every_error_is_ours_and_a_built_in_one() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, AutodiffError)
        assert kind.__doc__
        if kind is not AutodiffError:
            assert any(
                base.__module__ == "builtins" and base not in (Exception, BaseException, object)
                for base in kind.__mro__
            )


def test_a_list_of_nodes_is_refused_and_not_detached_silently() -> None:
    x = autodiff.Tensor(1.0)
    with pytest.raises(autodiff.errors.DTypeError, match=r"autodiff\.stack"):
        autodiff.tanh([x, x])
    with pytest.raises(autodiff.errors.DTypeError, match=r"autodiff\.stack"):
        _ = autodiff.Tensor([1.0, 2.0]) * [x, x]
