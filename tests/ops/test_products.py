"""NumPy's products of arrays, einsum and traces on nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from smooth import assert_alike, check

import autodiff
from autodiff import Tensor
from autodiff.declare import NAMES
from autodiff.errors import AutodiffError, ShapeError

Shape = tuple[int, ...]


def drawn(*shapes: Shape) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [
        np.asarray(rng.uniform(0.3, 2.0, shape) * rng.choice([-1.0, 1.0], shape))
        for shape in shapes
    ]


PAIRS: list[tuple[str, list[tuple[Shape, Shape]]]] = [
    ("numpy.dot", [((), ()), ((3,), ()), ((), (2, 3)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)),
                   ((2, 3), (3, 4)), ((2, 5, 3), (4, 3, 2)), ((2, 5, 3), (3,)), ((3,), (4, 3, 2)),
                   ((2, 3), (4, 3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 3))]),
    ("numpy.inner", [((), ()), ((2, 3), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)),
                     ((2, 5, 3), (4, 3)), ((2, 0), (3, 0))]),
    ("numpy.outer", [((), ()), ((2,), (3,)), ((2, 3), (4,)), ((0,), (3,))]),
    ("numpy.linalg.outer", [((2,), (3,))]),
    ("numpy.kron", [((), ()), ((2,), ()), ((2, 3), (4,)), ((2, 3), (2, 2)), ((2,), (3, 4, 5)),
                    ((2, 3, 1), (2,)), ((2, 0), (3, 2))]),
    ("numpy.vdot", [((), ()), ((3,), (3,)), ((2, 3), (3, 2))]),
    ("numpy.linalg.vecdot", [((3,), (3,)), ((2, 3), (3,)), ((4, 1, 3), (2, 3))]),
    ("numpy.tensordot", [((2, 3, 4), (3, 4, 5)), ((3, 4), (3, 4))]),
    ("numpy.cross", [((3,), (3,)), ((4, 3), (3,)), ((4, 3), (4, 3))]),
    ("numpy.linalg.cross", [((3,), (3,)), ((4, 3), (4, 3))]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shapes"), [(name, shapes) for name, cases in PAIRS for shapes in cases]
)
def test_products_of_two(name: str, shapes: tuple[Shape, Shape]) -> None:
    check(name, lambda f, a, b: f(a, b), drawn(*shapes))


@pytest.mark.parametrize(
    ("shapes", "axes"),
    [
        (((2,), (3,)), 0), (((2, 3), (3, 2)), 1), (((2, 3), (2, 3)), 2),
        (((2, 3), (3, 2)), (-1, 0)), (((2, 3, 4), (4, 3, 5)), ([1, 2], [1, 0])),
        (((2, 3, 4), (5, 2)), ([0], [1])),
        (((2, 3), (4,)), ([], [])),
    ],
)  # fmt: skip
def test_tensordot(shapes: tuple[Shape, Shape], axes: Any) -> None:
    check("numpy.tensordot", lambda f, a, b: f(a, b, axes=axes), drawn(*shapes))


@pytest.mark.parametrize("axes", [{"axis": 0}, {"axisa": 0, "axisc": 0}, {"axisa": 0, "axisc": -2}])
def test_cross_along_axes(axes: dict[str, int]) -> None:
    shapes = ((3, 4), (3, 4)) if "axis" in axes else ((3, 4), (4, 3))
    check("numpy.cross", lambda f, a, b: f(a, b, **axes), drawn(*shapes))


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 3), (3, 2)])
def test_cross_of_two_components(n: int, m: int) -> None:
    a, b = drawn((4, n), (4, m))
    x, y = np.zeros((4, 3)), np.zeros((4, 3))
    x[:, :n], y[:, :m] = a, b
    expected = np.cross(x, y)
    z = NAMES["numpy.cross"](Tensor(a), Tensor(b)).value
    np.testing.assert_allclose(z, expected[:, 2] if n == m == 2 else expected, rtol=1e-15)


@pytest.mark.parametrize("offset", [0, 1, -1, 2, -2, 3, 4, -5])
def test_traces(offset: int) -> None:
    check("numpy.trace", lambda f, a: f(a, offset), drawn((3, 4)))
    check("numpy.trace", lambda f, a: f(a, offset, axis1=-1, axis2=1), drawn((2, 4, 3)))
    check("numpy.linalg.trace", lambda f, a: f(a, offset=offset), drawn((2, 4, 3)))


# ---- einsum ---------------------------------------------------------------------------

EINSUMS: list[tuple[str, tuple[Shape, ...]]] = [
    ("ij,jk->ik", ((2, 3), (3, 4))), ("ij,jk", ((2, 3), (3, 4))), ("ij,jk->ki", ((2, 3), (3, 4))),
    ("ji,jk->ik", ((3, 2), (3, 4))), ("ij,kj->ik", ((2, 3), (4, 3))), ("i,i", ((3,), (3,))),
    ("i,j", ((2,), (3,))), ("i,j->ji", ((2,), (3,))), ("ii", ((3, 3),)), ("ii->i", ((3, 3),)),
    ("iii->i", ((3, 3, 3),)), ("ijij->ij", ((2, 3, 2, 3),)), ("ijij->ji", ((2, 3, 2, 3),)),
    ("ij->", ((2, 3),)), ("ij->j", ((2, 3),)), ("ba", ((2, 3),)), ("ij->ji", ((2, 3),)),
    ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5))), ("bij,bkj->kbi", ((2, 3, 4), (2, 5, 4))),
    ("...ij,...jk->...ik", ((2, 3, 4), (4, 5))), ("...ij,...jk", ((2, 1, 3, 4), (5, 4, 2))),
    ("...i,i", ((2, 3), (3,))), ("i...->...", ((2, 3, 4),)), ("...,...", ((2, 1, 3), (4, 1))),
    ("b...a->ab...", ((2, 3, 4, 5),)), ("i...,i...->...", ((3, 2), (3,))),
    ("i,i,i->i", ((3,), (3,), (3,))), ("iij,jk->ki", ((2, 2, 3), (3, 2))),
    ("ij,ji", ((2, 3), (3, 2))),
    ("ij,k->", ((2, 3), (4,))), ("i,i", ((1,), (3,))), ("ij,ij->j", ((1, 3), (2, 3))),
    ("ij,ij->i", ((1, 3), (2, 3))), (",", ((), ())), ("i,->i", ((3,), ())), ("->", ((),)),
    ("bhqd,bhkd->bhqk", ((2, 2, 3, 4), (2, 2, 5, 4))), ("ij,jk->ik", ((0, 3), (3, 4))),
    ("ij,jk->ik", ((2, 0), (0, 4))), ("ii->i", ((0, 0),)), ("i , j -> i j", ((2,), (3,))),
    ("Ab,bA", ((2, 3), (3, 2))), ("aB", ((2, 3),)),
]  # fmt: skip
CHAINS: list[tuple[str, tuple[Shape, ...]]] = [
    ("ij,jk,kl,lm->im", ((2, 3), (3, 4), (4, 2), (2, 3))),
    ("abc,cd,bd->a", ((2, 3, 4), (4, 5), (3, 5))),
    ("i,i,i", ((3,), (3,), (3,))), ("ij,i,j", ((2, 3), (2,), (3,))),
    ("i,ij,jk,k->", ((2,), (2, 3), (3, 2), (2,))),
    ("a,b,c", ((2,), (3,), (4,))), ("...i,...i,i->...", ((2, 3), (1, 3), (3,))),
]  # fmt: skip


@pytest.mark.parametrize(("subscripts", "shapes"), [*EINSUMS, *CHAINS])
def test_einsum(subscripts: str, shapes: tuple[Shape, ...]) -> None:
    check("numpy.einsum", lambda f, *x: f(subscripts, *x), drawn(*shapes))


@pytest.mark.parametrize("optimize", [False, True, "greedy", "optimal", "path"])
@pytest.mark.parametrize(("subscripts", "shapes"), CHAINS)
def test_einsum_in_any_order(subscripts: str, shapes: tuple[Shape, ...], optimize: Any) -> None:
    arrays = drawn(*shapes)
    how = (
        np.einsum_path(subscripts, *arrays, optimize="optimal")[0]
        if optimize == "path"
        else optimize
    )
    assert_alike("numpy.einsum", lambda f, *x: f(subscripts, *x, optimize=how), arrays)


def test_einsum_with_lists_of_subscripts() -> None:
    x, y = drawn((2, 3), (3, 4))
    for lists in (
        lambda f, x, y: f(x, [0, 1], y, [1, 2], [0, 2]), lambda f, x, y: f(x, [0, 1], y, [1, 2]),
        lambda f, x, y: f(x, [5, 1], y, [1, 2]),
        lambda f, x, y: f(x, [..., 1], y, [1, 2], [2, ...]),
        lambda f, x, y: f(x, [30, 1], y, [1, 2]),
    ):  # fmt: skip
        check("numpy.einsum", lists, [x, y])


def test_numpys_function_builds_the_node() -> None:
    x, y = drawn((2, 3), (3, 4))
    expected = np.einsum("ij,jk->ki", x, y)
    for operands in ((Tensor(x), y), (x, Tensor(y)), (Tensor(x), Tensor(y))):
        np.testing.assert_allclose(np.einsum("ij,jk->ki", *operands).value, expected, rtol=1e-14)
        np.testing.assert_allclose(np.dot(*operands).value, x @ y, rtol=1e-14)
    with pytest.raises(TypeError, match="out="):
        np.einsum("ij,jk->ki", Tensor(x), y, out=np.zeros((4, 2)))


def test_contractions_are_matrix_products_in_a_step() -> None:
    x, y, z = map(Tensor, drawn((5, 2, 3), (5, 3, 4), (4, 6)))

    @autodiff.compile
    def step() -> Any:
        return np.einsum("bij,bjk,kl->bil", x, y, z)

    np.testing.assert_allclose(step(), x.value @ y.value @ z.value, rtol=1e-13)
    lines = [line for _, line in step.profile()]
    assert sum(line.startswith("gemm") for line in lines) == 2
    assert not any(line.startswith(("sum", "call_back")) for line in lines)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.einsum("ij,jk->ik", x), "subscripts of 2 operands; 1 are given"),
        (lambda x: np.einsum("ijk", x), r"operand 0 has shape \(2, 3\); its subscripts ijk"),
        (lambda x: np.einsum("ij,ij", x, x.T), "subscript 'i' has sizes 2 and 3"),
        (lambda x: np.einsum("ii", x), "twice in one operand, of sizes 2 and 3|sizes 2 and 3"),
        (lambda x: np.einsum("ij->ik", x), "the output's subscript 'k' is in no operand"),
        (lambda x: np.einsum("ij->ii", x), "the output has the subscript 'i' twice"),
        (lambda x: np.einsum("i...->i", x), "the output has no '...'"),
        (lambda x: np.einsum("i1->i", x), "subscripts are letters"),
        (lambda x: np.einsum(x, [0, -1]), "subscripts are whole numbers"),
        (lambda x: np.einsum("ij,ij", x, x, optimize=["einsum_path", (0, 3)]), "is no path for 2"),
        (lambda x: np.tensordot(x, x, 1), "tensordot: axes .* do not fit"),
        (lambda x: np.tensordot(x, x, 3), "tensordot: axes=3"),
        (lambda x: np.tensordot(x, x, ([0, 0], [0, 0])), "tensordot: axes .* do not fit"),
        (lambda x: np.dot(x, x), "inner sizes differ"),
        (lambda x: np.inner(x, x.T), "inner: axes"),
        (lambda x: np.trace(x, 0.5), r"trace: offset 0\.5"),
        (lambda x: np.trace(x, 0, 1, 1), "trace: axis1 and axis2 are the same axis 1"),
        (lambda x: np.trace(x[0]), "trace"),
        (lambda x: np.cross(x.T, np.ones((2, 2)).T @ np.ones((2, 4))), "2 or 3 components"),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message) as caught:
        call(Tensor(np.ones((2, 3))))
    assert isinstance(caught.value, AutodiffError)
    assert "test_products.py" in str(caught.value)
