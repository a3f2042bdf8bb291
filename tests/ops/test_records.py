"""Records of ops: bound ops are kept by their attributes, and an op of anybody's is a full one."""

from __future__ import annotations

import ast
import copy
import inspect
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, op
from autodiff.backend import get_backend
from autodiff.declare import NAMES, declare, numpy_name
from autodiff.op import OPS, Op

ROOT = Path(__file__).resolve().parents[2]


# ---- bound ops ------------------------------------------------------------------------


def scaling() -> Op:
    """An op that is in no table: it hands its attributes to its rule."""
    return Op(
        name="scaling",
        inputs=("x",),
        shape=lambda x, **attributes: x,
        forward=lambda x, **attributes: x,
        backward=(None,),
        reads=frozenset(),
        elementwise=True,
        variadic=False,
        examples=(),
        formula="z = x.",
    )


def test_a_bound_op_is_kept_for_those_who_bind_it_anew() -> None:
    x = Tensor(np.ones((4, 3)))
    for build in (
        lambda: x[1:],
        lambda: x.sum(axis=0),
        lambda: autodiff.concat([x, x], axis=0),
        lambda: autodiff.reshape(x, (12,)),
        lambda: x**3.0,
    ):
        assert build().op is build().op
    bound = OPS["sum"].bind(axis=(0,), keepdims=False)
    assert copy.deepcopy(bound) is bound
    assert copy.deepcopy(OPS["sum"]) is OPS["sum"]


def test_attributes_that_are_equal_but_not_the_same_are_told_apart() -> None:
    scaled = scaling()
    values: list[Any] = [
        0, 0.0, -0.0, False, 0j, -0j, 1, 1.0, True, "", "0", None, (), (0,), (0.0,), (-0.0,),
        (False,), ((1,), 1.0), ((1.0,), 1), ((True,), 1), [0], [0.0], b"", b"\0" * 8,
        np.float64(0.0), np.int64(0), np.uint64(0), np.float64(-0.0), np.bool_(False), np.int8(0),
        2**70, -(2**70), slice(0, 1), frozenset(), float("inf"),
    ]  # fmt: skip
    for _ in range(2):
        for value in values:
            kept = scaled.bind(by=value).attributes["by"]
            assert type(kept) is type(value)
            assert repr(kept) == repr(value)
    for first, second in ((0.0, -0.0), (1, True), (1, 1.0), (0.0, np.float64(0.0)), ((1,), (1.0,))):
        assert scaled.bind(by=first).key() != scaled.bind(by=second).key()
    assert np.isnan(scaled.bind(by=float("nan")).attributes["by"])


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op, "_MOST_BOUND", 10)
    scaled = scaling()
    for i in range(95):
        assert scaled.bind(by=i).attributes == {"by": i}
        assert len(scaled._bound) <= 10


def test_threads_find_one_bound_op() -> None:
    for _ in range(20):
        scaled, found = scaling(), []
        barrier = threading.Barrier(4)

        def bind(scaled: Op = scaled, found: Any = found, barrier: Any = barrier) -> None:
            barrier.wait()
            found.append([scaled.bind(by=i) for i in range(50)])

        threads = [threading.Thread(target=bind) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for other in found[1:]:
            assert all(a is b for a, b in zip(found[0], other, strict=True))


# ---- public functions -----------------------------------------------------------------


def test_a_public_function_has_the_signature_of_its_arguments() -> None:
    def parameters(function: Any) -> str:
        kinds = {p.KEYWORD_ONLY: "*" for p in inspect.signature(function).parameters.values()}
        return ", ".join(
            kinds.get(p.kind, "") + p.name + ("" if p.default is p.empty else f"={p.default}")
            for p in inspect.signature(function).parameters.values()
        )

    expected = {
        "sum": "x, axis=None, keepdims=False", "softmax": "x, axis=-1", "power": "x, exponent",
        "matmul": "x, y", "reshape": "x, shape", "transpose": "x, axes=None", "tanh": "x",
        "getitem": "x, index", "concat": "parts, axis=-1", "where": "condition, x, y",
        "scatter_slice": "x, *index, *shape", "scatter_rows": "x, rows, *n_rows, *axis=0",
    }  # fmt: skip
    assert {name: parameters(getattr(autodiff, name)) for name in expected} == expected


def test_arguments_are_taken_by_position_and_by_name() -> None:
    x = np.arange(6.0).reshape(2, 3)
    for a in (x, Tensor(x)):
        total = autodiff.sum(x=a, keepdims=True, axis=0)
        np.testing.assert_array_equal(np.asarray(getattr(total, "value", total)), x.sum(0)[None])
        assert autodiff.power(exponent=3.0, x=a).shape == (2, 3)
        assert autodiff.concat(axis=0, parts=[a, a]).shape == (4, 3)
    with pytest.raises(TypeError, match=r"sum\(\) .*'x'; it takes \(x, axis, keepdims\)"):
        autodiff.sum()


def test_what_looks_like_a_misfit_within_an_op_is_not_called_one() -> None:
    class Odd:
        def __index__(self) -> int:
            raise TypeError("no index today")

    with pytest.raises(TypeError, match=r"^no index today$"):
        autodiff.getitem(OddShape(), 0)
    with pytest.raises(autodiff.errors.ShapeError):
        autodiff.sum(np.ones(2), Odd())


class OddShape:
    """An operand whose shape is a mistake of its own."""

    __array_priority__ = 1.0

    @property
    def shape(self) -> Any:
        raise TypeError("no index today")

    def __autodiff_apply__(self, bound: Any, inputs: Any) -> Any:
        raise AssertionError


def test_a_name_of_numpys_is_served_once() -> None:
    with pytest.raises(ValueError, match=r"numpy\.exp is served already"):
        numpy_name("numpy.exp")(lambda x: x)
    taken = set(OPS)
    with pytest.raises(ValueError, match=r"numpy\.exp is served already"):

        @declare(backward=None, examples=[], numpy=("numpy.exp",))
        def exp_again(x: Any) -> Any:
            """z = x."""
            return x

    assert set(OPS) == taken
    assert NAMES["numpy.exp"] is autodiff.exp


def compared_names(path: Path) -> list[str]:
    """Names of ops that the file compares something with."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        for side in [node.left, *node.comparators] if isinstance(node, ast.Compare) else []:
            items = side.elts if isinstance(side, (ast.Tuple, ast.Set, ast.List)) else [side]
            found += [x.value for x in items if isinstance(x, ast.Constant) and x.value in OPS]
    return found


def test_nobody_asks_for_an_op_by_its_name() -> None:
    """Outside of ops/ and of what programs are made by; nn/ has "sum" and "mean" as arguments."""
    package = Path(autodiff.__file__).parent
    rooms = ("ops", "program", "nn")
    found = {
        path.name: compared_names(path)
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] not in rooms and compared_names(path)
    }
    assert found == {"check.py": ["log_softmax"]}  # whose gradient cancels


# ---- ops of anybody's -----------------------------------------------------------------

OPS_OF_A_USER = '''
"""Three ops that the library does not have, and no kernels for them."""

import numpy as np

import autodiff
from autodiff.declare import declare
from autodiff.op import Example, Sample, example
from autodiff.ops.arguments import over_axes


softsign_of_arrays = np.frompyfunc(lambda x: x / (1.0 + abs(x)), 1, 1)


def softsign_backward(g, z, x):
    return g / autodiff.square(1.0 + autodiff.abs(x))


@declare(
    backward=softsign_backward,
    reads="x",
    examples=[Example((Sample(shape, kind="distinct"),)) for shape in [(3, 4), (5,), ()]],
    numpy=("ops_of_a_user.softsign_of_arrays",),
    cost=5.0,
)
def softsign(x):
    """z = x / (1 + |x|)."""
    return x / (1.0 + (np.where(x.real < 0.0, -x, x) if np.iscomplexobj(x) else np.abs(x)))


def reduced(x, *, axis, keepdims):
    return tuple(1 if i in axis else n for i, n in enumerate(x) if keepdims or i not in axis)


def sum_of_squares_backward(g, z, x, *, axis, keepdims):
    return 2.0 * autodiff.reshape(g, reduced(x.shape, axis=axis, keepdims=True)) * x


@declare(
    shape=reduced,
    arguments=over_axes,
    backward=sum_of_squares_backward,
    reads="x",
    examples=[
        Example((Sample((3, 4)),), {"axis": (0,), "keepdims": False}),
        Example((Sample((2, 3, 4)),), {"axis": (0, 2), "keepdims": True}),
        Example((Sample(()),), {"axis": (), "keepdims": False}),
    ],
    empty=(example((0, 3), axis=(0,), keepdims=True), example((3, 0), axis=(0,), keepdims=False)),
)
def sum_of_squares(x, *, axis, keepdims):
    """z = Σ x² over `axis`."""
    return np.sum(x * x, axis=axis, keepdims=keepdims)


@declare(
    outputs=("across", "along"),
    backward=(
        lambda gs, zs, r, t: gs[0] * autodiff.cos(t) + gs[1] * autodiff.sin(t),
        lambda gs, zs, r, t: gs[1] * zs[0] - gs[0] * zs[1],
    ),
    reads="across along t",
    examples=[example((3, 4), (3, 4)), example((3, 4), ()), example((), ())],
    empty=(example((0, 3), (3,)),),
)
def turned_by_angle(r, t):
    """z = r cos t, and r sin t."""
    return r * np.cos(t), r * np.sin(t)
'''


@pytest.fixture
def ops_of_a_user(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that can import them as `ops_of_a_user`."""
    (tmp_path / "ops_of_a_user.py").write_text(OPS_OF_A_USER)
    paths = [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}


def test_the_whole_generic_suite_runs_on_ops_of_a_user(ops_of_a_user: dict[str, str]) -> None:
    """Whoever declares an op has its tests: they take their cases from the table."""
    suites = ["tests/ops", "tests/backend", "tests/program/test_ops.py"]
    suites += ["tests/program/test_empty.py", "tests/test_protocols.py"]
    names = ("softsign", "sum_of_squares", "turned_by_angle")
    command = [sys.executable, "-m", "pytest", "-v", "-p", "ops_of_a_user"]
    done = subprocess.run(
        [*command, *suites, "-k", " or ".join(names)],
        cwd=ROOT, env=ops_of_a_user, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert " failed" not in done.stdout
    for name in names:
        ran = {
            line.split("::")[1].partition("[")[0]
            for line in done.stdout.splitlines()
            if name in line and "PASSED" in line
        }
        assert len(ran) >= 14, (name, sorted(ran))


def test_an_op_of_a_user_works_as_any(ops_of_a_user: dict[str, str]) -> None:
    script = """
import pickle, numpy as np, autodiff
from autodiff import Tensor
from ops_of_a_user import softsign, softsign_of_arrays, sum_of_squares
x = Tensor([[0.5, -2.0]], name="x")
for backend in autodiff.available_backends():
    with autodiff.use_backend(backend):
        loss = sum_of_squares(softsign(x), axis=1)
        autodiff.backward(loss.sum(), accumulate=True)
        (second,) = autodiff.gradients(autodiff.gradients(loss.sum(), [x])[0].sum(), [x])
        assert second.forward().shape == (1, 2)
assert loss.shape == (1,)
assert autodiff.check_gradients(lambda x: sum_of_squares(softsign(x)), [x])
assert pickle.loads(pickle.dumps(loss)).op is loss.op
assert sum_of_squares.op.bind(axis=(1,), keepdims=False) is loss.op
np.testing.assert_allclose(softsign([1.0, -3.0]), [0.5, -0.75])
assert softsign_of_arrays(x).typename == "softsign"
np.testing.assert_allclose(autodiff.compile(softsign)(np.ones(2)), 0.5)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=ops_of_a_user, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_fused_slope_follows_from_the_record() -> None:
    from autodiff.program.fused import slope

    found = {name: slope(op) for name, op in OPS.items()}
    slopes = {name: operands for name, made in found.items() if made for _, operands in [made]}
    assert slopes.items() >= {"tanh": "gz", "sin": "gx", "sigmoid": "gz", "abs": "gx"}.items()
    # One op is its own slope; what reads several values, or an attribute, has none.
    assert not slopes.keys() & {"exp", "log", "negative", "multiply", "power", "softmax", "sign"}
    rng, reference = np.random.default_rng(1), get_backend("reference")
    for name, operands in slopes.items():
        fused, _ = slope(OPS[name]) or (None, "")
        assert fused is not None
        (x,) = OPS[name].examples[0].draw(rng)
        z = reference.forward(OPS[name].bind(), [x])
        g = rng.normal(size=z.shape)
        (expected,) = reference.backward(OPS[name].bind(), g, z, [x], [True])
        made = fused.forward(g, z if operands == "gz" else x)
        np.testing.assert_array_equal(made, expected)
