"""SciPy's solvers with exact derivatives: minimize, least_squares, root.

A function is written with the functions of this package or of NumPy, on parameters in any nesting
of tuples, lists, dictionaries and data classes. What SciPy sees is one vector of float64, and
gradient, Jacobian, Hessian or its products, as compiled steps. A function that branches on values
cannot be recorded, and is differentiated eagerly instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import optimize

from autodiff.array import Array, as_float64
from autodiff.errors import DTypeError, RecordingError
from autodiff.ops.parts import concat, getitem
from autodiff.ops.shape import reshape
from autodiff.program import compile
from autodiff.program.structure import Structure, flatten, rebuild, shapes_of
from autodiff.transform import hessian, hvp, jacobian, value_and_grad

__all__ = ["Result", "least_squares", "minimize", "root"]

Function = Callable[..., Any]

_WITHOUT_GRADIENT = ("nelder-mead", "powell", "cobyla", "cobyqa")
_WITH_HESSIAN = ("dogleg", "trust-exact")
_WITH_PRODUCTS = ("newton-cg", "trust-ncg", "trust-krylov")
_DENSE = 100  # parameters up to which a Hessian is cheaper than its products


class Parameters:
    """Parameters as the user has them, and as one vector."""

    def __init__(self, what: str, tree: Any) -> None:
        leaves: list[Array] = []
        self.structure: Structure = flatten(tree, what, as_float64, leaves)
        if not leaves:
            raise DTypeError(f"{what} has no numbers to solve for")
        self.shapes = list(shapes_of(self.structure))
        self.vector: Array = np.concatenate([x.ravel() for x in leaves])

    def tree(self, vector: Any) -> Any:
        """The vector's numbers, a node's or an array's, in the user's structure."""
        parts, start = [], 0
        for shape in self.shapes:
            size = math.prod(shape)
            whole = size == vector.shape[0]
            part = vector if whole else getitem(vector, slice(start, start + size))
            parts.append(part if part.shape == shape else reshape(part, shape))
            start += size
        return rebuild(self.structure, iter(parts))


def _compiled(function: Function, *examples: Array) -> Function:
    """A step of the function, or the function itself where it branches on its values."""
    step: Function = compile(function)
    try:
        step(*examples)
    except RecordingError:
        return function
    return step


class Result(optimize.OptimizeResult):  # type: ignore[misc]
    """What SciPy's solver returns, with `x` in the structure of the start.

    vector : x as one vector. The start is known by `parameters`; `information` computes the matrix
        whose inverse, times `scale`, is the covariance.
    """

    _parameters: Parameters
    _information: Callable[[], Array]
    _scale: float

    def __init__(
        self,
        found: optimize.OptimizeResult,
        parameters: Parameters,
        information: Callable[[], Array],
        scale: float = 1.0,
    ) -> None:
        super().__init__(found)
        self["vector"] = np.asarray(found.x, dtype=np.float64)
        self["x"] = parameters.tree(self["vector"])
        # Not as items, which attributes of the base class are.
        object.__setattr__(self, "_parameters", parameters)
        object.__setattr__(self, "_information", information)
        object.__setattr__(self, "_scale", scale)

    @property
    def hessian(self) -> Array:
        """The exact second derivatives at x, by the vector; of least squares JᵀJ."""
        return np.asarray(self._information())

    @property
    def covariance(self) -> Array:
        """The inverse of the Hessian; of least squares s² (JᵀJ)⁻¹, s² = Σ r² / (m - n).

        If f is minus a log-likelihood, this is the asymptotic covariance of the estimates.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the Hessian is not positive definite: x is no isolated minimum.
        """
        factor = np.linalg.inv(np.linalg.cholesky(self.hessian))
        return np.asarray(self._scale * (factor.T @ factor))

    @property
    def standard_errors(self) -> Any:
        """The square roots of the diagonal of the covariance, in the structure of the start."""
        return self._parameters.tree(np.sqrt(np.diag(self.covariance)))


def minimize(
    f: Function,
    x0: Any,
    args: Sequence[Any] = (),
    method: Any = None,
    *,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[[Any], Any] | None = None,
    options: dict[str, Any] | None = None,
    progress: bool = False,
) -> Result:
    """The x that makes f(x, *args) least: :func:`scipy.optimize.minimize`, exact derivatives.

    Parameters
    ----------
    f : returns one number; written with functions of this package or of NumPy.
    x0 : the start: an array, or arrays in any nesting of tuples, lists, dictionaries and data
        classes. f, the callback and constraints are given x in that structure.
    method : as SciPy has it. Gradients are given to all that take them, products with the Hessian
        to Newton-CG, trust-ncg, trust-krylov, the Hessian to dogleg and trust-exact, and to
        trust-constr up to 100 parameters, beyond them its products.
    bounds : as SciPy has it, by the vector: all numbers of x0 in order.
    constraints : as SciPy has it; Jacobians and Hessians of their functions, of x in its structure,
        are exact unless they are given.
    callback : called with x after each iteration; StopIteration ends the search.
    progress : show a bar, with the value (needs tqdm).

    Returns
    -------
    Result
        SciPy's, with x in the structure of x0, `vector`, and computed when asked for: `hessian`,
        `covariance`, `standard_errors` (of a likelihood).

    Raises
    ------
    DTypeError
        If x0 holds no numbers.
    ShapeError
        If f returns more than one number.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> def rosenbrock(p):
    ...     return (1.0 - p["x"]) ** 2 + 100.0 * (p["y"] - p["x"] ** 2) ** 2
    >>> found = autodiff.minimize(rosenbrock, {"x": -1.0, "y": 2.0}, method="trust-exact")
    >>> found.success, round(float(found.x["x"]), 4), round(float(found.x["y"]), 4)
    (True, 1.0, 1.0)
    """
    parameters = Parameters("minimize: x0", x0)
    start = parameters.vector

    def objective(vector: Any) -> Any:
        return f(parameters.tree(vector), *args)

    second = _Second(objective, start)
    given: dict[str, Any] = {"jac": True}
    name = method.lower() if isinstance(method, str) else method
    if name in _WITHOUT_GRADIENT:
        fun, given = _compiled(objective, start), {}
    else:
        fun = _compiled(value_and_grad(objective), start)
    if name in _WITH_HESSIAN or (name == "trust-constr" and start.size <= _DENSE):
        given["hess"] = second.hessian
    elif name in _WITH_PRODUCTS or name == "trust-constr" or callable(name):
        given["hessp"] = second.product
    with _Progress(progress, parameters, callback) as watch:
        found = optimize.minimize(
            watch.watched(fun),
            start,
            method=method,
            bounds=bounds,
            constraints=_constraints(constraints, parameters, name == "trust-constr"),
            tol=tol,
            callback=watch.callback,
            options=options,
            **given,
        )
    return Result(found, parameters, lambda: second.hessian(found.x))


class _Second:
    """Second derivatives of a function of a vector, compiled when first asked for."""

    def __init__(self, function: Function, example: Array) -> None:
        self._function = function
        self._example = example
        self._hessian: Function | None = None
        self._product: Function | None = None

    def hessian(self, x: Array) -> Array:
        """All of them, symmetric to the bit."""
        if self._hessian is None:
            self._hessian = _compiled(hessian(self._function), self._example)
        found = np.asarray(self._hessian(x))
        return np.asarray(0.5 * (found + found.T))

    def product(self, x: Array, v: Array) -> Array:
        """The Hessian times v."""
        if self._product is None:
            both = hvp(self._function)
            self._product = _compiled(both, self._example, self._example)
        return np.asarray(self._product(x, v))


def _constraints(constraints: Any, parameters: Parameters, second: bool) -> Any:
    """The same for SciPy's vector, with exact derivatives where none are given.

    second : the method takes Hessians; the others warn of them.
    """
    if isinstance(constraints, (list, tuple)):
        return [_constraint(c, parameters, second) for c in constraints]
    return _constraint(constraints, parameters, second)


def _constraint(constraint: Any, parameters: Parameters, second: bool) -> Any:
    start = parameters.vector
    if isinstance(constraint, dict):
        rest = constraint.get("args", ())

        def of_vector(vector: Any) -> Any:
            return _as_vector(constraint["fun"](parameters.tree(vector), *rest))

        kept = {k: v for k, v in constraint.items() if k not in ("fun", "args")}
        exact = {"jac": _compiled(jacobian(of_vector), start)}
        return {**exact, **kept, "fun": _compiled(of_vector, start)}
    if not isinstance(constraint, optimize.NonlinearConstraint):
        return constraint

    def function(vector: Any) -> Any:
        return _as_vector(constraint.fun(parameters.tree(vector)))

    def weighted(vector: Any, v: Any) -> Any:
        return (function(vector) * v).sum()

    fun = _compiled(function, start)
    multipliers = np.zeros(np.size(fun(start)))
    jac, hess = constraint.jac, constraint.hess
    if not callable(jac):
        jac = _compiled(jacobian(function), start)
    if second and not callable(hess):
        hess = _compiled(hessian(weighted), start, multipliers)
    return optimize.NonlinearConstraint(
        fun, constraint.lb, constraint.ub, jac, hess, constraint.keep_feasible
    )


def _as_vector(found: Any) -> Any:
    """One vector of what a function returned: an array, or a list of numbers."""
    if isinstance(found, (list, tuple)):
        return concat([reshape(x, -1) for x in found], 0)
    return reshape(found, -1)


def least_squares(
    residuals: Function,
    x0: Any,
    args: Sequence[Any] = (),
    *,
    progress: bool = False,
    **options: Any,
) -> Result:
    """The x that makes ½ Σ r(x)² least: :func:`scipy.optimize.least_squares`, exact Jacobian.

    Parameters
    ----------
    residuals : ``residuals(x, *args)`` returns r, an array of any shape, or a list of arrays.
    x0 : the start, in any structure; see :func:`minimize`.
    progress : show a bar (needs tqdm).
    options : SciPy's: bounds, method, loss, f_scale, x_scale, ftol, xtol, gtol, max_nfev, ...

    Returns
    -------
    Result
        SciPy's, with x in the structure of x0, `vector`, and `covariance` and `standard_errors` of
        the estimates: s² (JᵀJ)⁻¹ with s² = Σ r² / (m - n).

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> t = np.linspace(0.0, 1.0, 5)
    >>> def residuals(p):
    ...     return p[0] * np.exp(-p[1] * t) - 2.0 * np.exp(-0.5 * t)
    >>> autodiff.least_squares(residuals, [1.0, 1.0]).x.round(6)
    array([2. , 0.5])
    """
    parameters = Parameters("least_squares: x0", x0)
    start = parameters.vector

    def function(vector: Any) -> Any:
        return _as_vector(residuals(parameters.tree(vector), *args))

    with _Progress(progress, parameters, None) as watch:
        found = optimize.least_squares(
            watch.watched(_compiled(function, start)),
            start,
            jac=_compiled(jacobian(function), start),
            **options,
        )
    J = np.asarray(found.jac if isinstance(found.jac, np.ndarray) else found.jac.todense())
    free = found.fun.size - start.size
    scale = float(found.fun @ found.fun) / free if free > 0 else math.nan
    return Result(found, parameters, lambda: np.asarray(J.T @ J), scale)


def root(
    f: Function,
    x0: Any,
    args: Sequence[Any] = (),
    method: str = "hybr",
    *,
    tol: float | None = None,
    options: dict[str, Any] | None = None,
) -> Result:
    """The x at which f(x, *args) = 0: :func:`scipy.optimize.root`, with the exact Jacobian.

    Parameters
    ----------
    f : returns as many numbers as x has: an array, or a list of arrays.
    x0 : the start, in any structure; see :func:`minimize`.
    method : as SciPy has it; hybr and lm use the Jacobian.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.root(lambda x: x**2 - 2.0, [1.0]).x.round(6)
    array([1.414214])
    """
    parameters = Parameters("root: x0", x0)
    start = parameters.vector

    def function(vector: Any) -> Any:
        return _as_vector(f(parameters.tree(vector), *args))

    derivative = _compiled(jacobian(function), start)
    found = optimize.root(
        _compiled(function, start),
        start,
        method=method,
        jac=derivative if method in ("hybr", "lm") else None,
        tol=tol,
        options=options,
    )

    def information() -> Array:
        J = np.asarray(derivative(found.x))
        return np.asarray(J.T @ J)

    return Result(found, parameters, information)


class _Progress:
    """A bar that counts iterations, and SciPy's callback."""

    def __init__(
        self, shown: bool, parameters: Parameters, callback: Callable[[Any], Any] | None
    ) -> None:
        self._shown = shown
        self._parameters = parameters
        self._callback = callback
        self._bar: Any = None

    def __enter__(self) -> _Progress:
        if self._shown:
            from tqdm.auto import tqdm

            self._bar = tqdm(unit=" evaluations")
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def watched(self, function: Function) -> Function:
        """The same, counted if there is a bar."""
        if self._bar is None:
            return function

        def counted(x: Array) -> Any:
            found = function(x)
            value = found[0] if isinstance(found, tuple) else found
            if np.size(value) == 1:
                self._bar.set_postfix_str(f"{float(np.asarray(value).reshape(())):.6g}", False)
            self._bar.update()
            return found

        return counted

    @property
    def callback(self) -> Callable[..., Any] | None:
        """What SciPy calls after each iteration."""
        user = self._callback
        if user is None:
            return None
        return lambda x, *_: user(self._parameters.tree(np.array(x)))
