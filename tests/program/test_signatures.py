"""What a compiled step takes for the same call, what it gives back, methods, scans, the cache."""

from __future__ import annotations

import collections
import dataclasses
import enum
import gc
import warnings
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.errors import AutodiffError, DTypeError, RecordingError, ShapeError


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Word(str, enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Parameters:
    w: Any
    kind: str = "plain"


@dataclasses.dataclass(frozen=True)
class Frozen:
    w: Any
    rest: Any = None


# ---- what is told apart ------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        (1.0, True, 1.0, False, 0.0),
        (True, 1, 1.0, np.float64(1.0)),
        ("red", Color.RED, Word.RED, Color.BLUE, "red"),
        (Number.ONE, 1.0, True, Number.ONE),
        (None, "None", False),
        (b"a", "a"),
        ({1: 2.0}, {True: 2.0}, {"1": 2.0}, {1.0: 2.0}),
        ({"a": 1.0, "b": 2.0}, {"b": 1.0, "a": 2.0}),
        ([1.0, 2.0], (1.0, 2.0), [(1.0,), 2.0]),
        (Point(1.0, 2.0), (1.0, 2.0)),
        (collections.OrderedDict(a=1.0), {"a": 1.0}, collections.defaultdict(int, a=1.0)),
        (Parameters(1.0), Parameters(1.0, "other"), Frozen(1.0)),
    ],
    ids=str,
)
def test_a_step_gets_what_the_function_would_get(values: Any) -> None:
    def kind(x: Any) -> Any:
        if isinstance(x, (enum.Enum, str, bytes, bool)) or x is None:
            return type(x).__name__, str(x)
        if isinstance(x, dict):
            return type(x).__name__, [(type(k).__name__, k, kind(v)) for k, v in x.items()]
        if isinstance(x, (tuple, list)) and not isinstance(x[0], float):
            return type(x).__name__, [kind(v) for v in x]
        if dataclasses.is_dataclass(x):
            return type(x).__name__, [kind(v) for v in vars(x).values()]
        return "array"

    seen: list[Any] = []

    @autodiff.compile(check=False)
    def step(x: Any) -> Any:
        seen.append(kind(x))
        return 0.0

    for value in values:
        before = len(seen)
        step(value)
        step(value)  # replayed
        assert len(seen) <= before + 1
        again = [kind(value)] if not isinstance(value, (tuple, list)) else []
        if again and again != ["array"] and len(seen) > before:
            assert seen[-1] == again[0]
    told = {str(kind(v)) for v in values if not isinstance(v, (tuple, list, dict))}
    assert len({str(k) for k in seen}) >= len(told)


def test_flags_after_numbers() -> None:
    step = autodiff.compile(lambda x, f: x * 10.0 if f is True else x * f)
    assert step(2.0, 3.0) == 6.0
    assert step(2.0, True) == 20.0
    assert step(2.0, 1.0) == 2.0
    assert step(2.0, False) == 0.0


def test_containers_come_back_as_what_they_were() -> None:
    @autodiff.compile
    def step(tree: Any) -> Any:
        return tree

    for tree in (
        Point(1.0, [2.0, "a"]),
        Parameters(3.0),
        Frozen(1.0, Frozen(2.0, Color.RED)),
        collections.OrderedDict(b=1.0, a=2.0),
        collections.defaultdict(list, a=1.0),
        {1: 2.0, True and "k": (3.0, None, True)},
        [1.5, (2.5,), {"a": [Point(1.0, 2.0)]}],
        (),
        {},
        False,
        0.0,
        None,
    ):
        found = step(tree)
        assert found == tree
        assert type(found) is type(tree)
    found = step(collections.defaultdict(list, a=1.0))
    assert found["new"] == []
    assert list(step(collections.OrderedDict(b=1.0, a=2.0))) == ["b", "a"]


def test_unknown_containers_are_refused() -> None:
    class Pair(tuple):
        __slots__ = ()

    class Own(dict):
        pass

    step = autodiff.compile(lambda x: x)
    for tree in (Pair([1.0, 2.0]), Own(a=1.0), collections.Counter(a=1)):
        with pytest.raises(DTypeError, match=r"arguments\[0\]\[0\].*come back"):
            step(tree)
    for thing in (object(), len, lambda x: x, {1.0, 2.0}, range(3)):
        if isinstance(thing, range):
            continue  # an array for NumPy
        with pytest.raises(DTypeError, match=r"static|real number"):
            step(thing)
    with pytest.raises(DTypeError):
        autodiff.compile(lambda x: object())(1.0)


# ---- static arguments ----------------------------------------------------------------------


def test_static_arguments() -> None:
    def power(x: Any, n: int, how: Any = np.add) -> Any:
        total = x
        for _ in range(n):
            total = how(total, x)
        return total

    for static in (("n", "how"), (1, 2), ("n", 2)):
        step = autodiff.compile(power, static=static)
        assert step(3.0, 2) == 9.0
        assert step(3.0, n=3) == 12.0
        assert step(3.0, 2, np.multiply) == 27.0
        assert step(2.0, 2) == 6.0
        assert "4 recordings" in repr(step) or "3 recordings" in repr(step)


def test_static_values_are_told_apart_by_type() -> None:
    step = autodiff.compile(lambda x, n: x + float(type(n) is bool), static="n")
    assert [step(1.0, n) for n in (1, True, 1.0, 1, True)] == [1.0, 2.0, 1.0, 1.0, 2.0]
    step = autodiff.compile(lambda x, n: x + np.copysign(1.0, n[0]), static=("n",))
    assert [step(1.0, n) for n in ((0.0,), (-0.0,), (0.0,))] == [2.0, 0.0, 2.0]


def test_static_arguments_of_open_signatures() -> None:
    def function(x: Any, n: int, *rest: Any, k: int = 1, **named: Any) -> Any:
        return [x * m for m in range(n + k)] + [
            *rest,
            *(v for v in named.values() if not callable(v)),
        ]

    step = autodiff.compile(function, static=("n", "k", "word"))
    assert step(2.0, 2) == [0.0, 2.0, 4.0]
    assert step(2.0, 1, 5.0, k=2, word=len, y=7.0) == [0.0, 2.0, 4.0, 5.0, 7.0]


def test_a_number_that_counts_says_what_to_do() -> None:
    step = autodiff.compile(lambda x, n: [x for _ in range(n)])
    with pytest.raises(RecordingError, match=r"range.*static=\(\"n\",\)"):
        step(1.0, 3)
    assert autodiff.compile(step.function, static=("n",))(1.0, 3) == [1.0] * 3


def test_mistaken_static_arguments() -> None:
    with pytest.raises(ValueError, match="'m'"):
        autodiff.compile(lambda x, n: x, static=("m",))
    with pytest.raises(ValueError, match="7"):
        autodiff.compile(lambda x, n: x, static=7)
    with pytest.raises(TypeError, match=r"is not hashable"):
        autodiff.compile(lambda x, n: x, static="n")(1.0, [1, 2])


# ---- methods -------------------------------------------------------------------------------


class Model:
    def __init__(self, w: float) -> None:
        self.w = Tensor(w)

    @autodiff.compile
    def step(self, x: Any) -> Any:
        """Doubles."""
        autodiff.backward(autodiff.square(self.w * x).sum())
        self.w.assign(self.w.value - 0.1 * self.w.gradient)
        return self.w.value

    @autodiff.compile(static=("n",))
    def repeat(self, x: Any, n: int) -> Any:
        for _ in range(n):
            x = x * self.w
        return x


def test_methods() -> None:
    a, b = Model(1.0), Model(2.0)
    assert a.step(1.0) == 0.8
    assert b.step(1.0) == 1.6
    assert a.step(1.0) == pytest.approx(0.64)
    assert b.step.scan([1.0, 1.0]).shape == (2,)
    assert a.step is a.step
    assert a.step.__doc__ == "Doubles."
    assert "multiply" in a.step.program(1.0)
    assert Model(2.0).repeat(3.0, 3) == Model(2.0).repeat(3.0, n=3) == 24.0
    assert a.step.function(1.0) == pytest.approx(0.512)


def test_an_object_with_steps_is_freed() -> None:
    model = Model(1.0)
    model.step(1.0)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_attributes_of_the_function_do_not_replace_those_of_the_step() -> None:
    def f(x: Any) -> Any:
        return x * 2

    f.scan = f.program = f.profile = f.function = "mine"  # type: ignore[attr-defined]
    step = autodiff.compile(f)
    assert step.__name__ == "f"
    assert step.scan([1.0, 2.0]).tolist() == [2.0, 4.0]
    assert step.function is f
    assert "multiply" in step.program(1.0)


# ---- scans ----------------------------------------------------------------------------------


def test_scans_without_arguments() -> None:
    w = Tensor(1.0)
    step = autodiff.compile(lambda: w.assign(w.value * 2.0) or w.value)
    assert step.scan(length=4).tolist() == [2.0, 4.0, 8.0, 16.0]
    assert step.scan(length=0).tolist() == []
    assert w.value == 16.0
    with pytest.raises(ShapeError, match="length"):
        step.scan()
    for bad in (-1, 2.5, "a", True):
        with pytest.raises(ValueError, match="length"):
            step.scan(length=bad)


def test_scans_with_fixed_arguments() -> None:
    @autodiff.compile
    def step(x: Any, scale: Any, shift: Any = 0.0) -> Any:
        return x * scale + shift

    xs = np.arange(6.0).reshape(3, 2)
    assert step.scan(xs, fixed={"scale": 3.0}).tolist() == (3 * xs).tolist()
    row = np.array([1.0, 10.0])
    assert step.scan(xs, fixed={"scale": row}).tolist() == (xs * row).tolist()
    found = step.scan(xs, shift=[1.0, 2.0, 3.0], fixed={"scale": row})
    assert found.tolist() == (xs * row + [[1.0], [2.0], [3.0]]).tolist()
    assert (
        step.scan(xs, [1.0, 2.0, 3.0], length=3).tolist() == (xs * [[1.0], [2.0], [3.0]]).tolist()
    )
    with pytest.raises(ShapeError, match="fixed"):
        step.scan(xs, 3.0)
    with pytest.raises(ShapeError, match="length is 4"):
        step.scan(xs, length=4, fixed={"scale": 3.0})
    with pytest.raises(TypeError, match="scale"):
        step.scan(xs, scale=xs, fixed={"scale": 3.0})


def test_fixed_arguments_in_a_carried_scan() -> None:
    random = np.random.default_rng(0)
    xs = random.normal(size=(20, 4, 3))

    def make() -> Any:
        w, v = Tensor(np.ones((3, 3)) * 0.1), Tensor(np.eye(3))

        def step(x: Any, rate: Any) -> Any:
            loss = autodiff.square(autodiff.tanh(x @ w) + autodiff.tanh(x @ v)).sum()
            autodiff.backward(loss)
            for t in (w, v):
                t.assign(t.value - rate * t.gradient)
            return loss

        return step, w, v

    step, w, v = make()
    losses = [step(x, 0.01).item() for x in xs]
    other, w2, v2 = make()
    np.testing.assert_allclose(
        autodiff.compile(other).scan(xs, fixed={"rate": 0.01}), losses, rtol=1e-12
    )
    np.testing.assert_allclose(w2.value, w.value, rtol=1e-12)
    np.testing.assert_allclose(v2.value, v.value, rtol=1e-12)


# ---- the cache ------------------------------------------------------------------------------


def test_a_cache_that_thrashes_says_so_once() -> None:
    step = autodiff.compile(lambda x: autodiff.sum(x), cache_size=4)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            for n in range(1, 8):
                step(np.ones(n))
    (warning,) = seen
    assert "array[" in str(warning.message)
    assert "cache_size" in str(warning.message)
    assert warning.filename == __file__


def test_a_number_that_is_static_and_always_another_says_so() -> None:
    step = autodiff.compile(lambda x, n: x * n, static=("n",))
    numbers = range(60)
    with pytest.warns(RuntimeWarning, match="recorded again and again"):
        assert [step(1.0, n) for n in numbers] == list(numbers)


@pytest.mark.parametrize("size", [0, -1, 1.5, "a", None, True])
def test_cache_sizes_are_checked(size: Any) -> None:
    with pytest.raises((ValueError, AutodiffError), match="cache_size"):
        autodiff.compile(lambda x: x, cache_size=size)


def test_what_cannot_be_compiled() -> None:
    with pytest.raises(TypeError, match="no function"):
        autodiff.compile(3.0)
