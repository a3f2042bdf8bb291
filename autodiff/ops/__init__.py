"""What can be computed: one record an op, grouped by kind.

arithmetic, powers : sums, products, powers, element by element
elementwise : functions of one variable, choices, comparisons
trigonometric, logarithms, rounding, logical, bounds : more of these
linear : matrix products
reduce : sums, means, products, maxima, the softmax family
cumulative : running sums and products
shape : reshape, transpose, broadcast
parts : joins, slices
rows : rows by number
products, einsum : NumPy's products, said with matrix products
statistics, calculus : NumPy's variances, differences, integrals and their like
alias : the same under another name
masks, gather : elements by masks and arrays of integers
choosing : elements by number, by conditions
sorting, orders : positions by size; sorted arrays, quantiles
joins, arrange, triangles : functions of NumPy's that put arrays together, cut and reorder them
as_numpy : functions of NumPy's that are said with these
creation : arrays of nodes, and nodes repeated
special : special functions, public in the namespaces only
distributions : densities and probabilities, in the namespaces only
"""

from __future__ import annotations

from autodiff.ops import arrange as _arrange  # noqa: F401
from autodiff.ops import as_numpy as _as_numpy  # noqa: F401
from autodiff.ops import bounds as _bounds  # noqa: F401
from autodiff.ops import calculus as _calculus  # noqa: F401
from autodiff.ops import choosing as _choosing  # noqa: F401
from autodiff.ops import creation as _creation  # noqa: F401
from autodiff.ops import distributions as _distributions  # noqa: F401
from autodiff.ops import joins as _joins  # noqa: F401
from autodiff.ops import linalg as _linalg  # noqa: F401
from autodiff.ops import masks as _masks  # noqa: F401
from autodiff.ops import orders as _orders  # noqa: F401
from autodiff.ops import pad as _pad  # noqa: F401
from autodiff.ops import piecewise as _piecewise  # noqa: F401
from autodiff.ops import products as _products  # noqa: F401
from autodiff.ops import special as _special  # noqa: F401
from autodiff.ops import statistics as _statistics  # noqa: F401
from autodiff.ops import triangles as _triangles  # noqa: F401
from autodiff.ops.alias import *  # noqa: F403
from autodiff.ops.alias import __all__ as _alias
from autodiff.ops.arithmetic import *  # noqa: F403
from autodiff.ops.arithmetic import __all__ as _arithmetic
from autodiff.ops.cumulative import *  # noqa: F403
from autodiff.ops.cumulative import __all__ as _cumulative
from autodiff.ops.elementwise import *  # noqa: F403
from autodiff.ops.elementwise import __all__ as _elementwise
from autodiff.ops.linear import *  # noqa: F403
from autodiff.ops.linear import __all__ as _linear
from autodiff.ops.logarithms import *  # noqa: F403
from autodiff.ops.logarithms import __all__ as _logarithms
from autodiff.ops.logical import *  # noqa: F403
from autodiff.ops.logical import __all__ as _logical
from autodiff.ops.parts import *  # noqa: F403
from autodiff.ops.parts import __all__ as _parts
from autodiff.ops.powers import *  # noqa: F403
from autodiff.ops.powers import __all__ as _powers
from autodiff.ops.reduce import *  # noqa: F403
from autodiff.ops.reduce import __all__ as _reduce
from autodiff.ops.rounding import *  # noqa: F403
from autodiff.ops.rounding import __all__ as _rounding
from autodiff.ops.rows import *  # noqa: F403
from autodiff.ops.rows import __all__ as _rows
from autodiff.ops.shape import *  # noqa: F403
from autodiff.ops.shape import __all__ as _shape
from autodiff.ops.sorting import *  # noqa: F403
from autodiff.ops.sorting import __all__ as _sorting
from autodiff.ops.trigonometric import *  # noqa: F403
from autodiff.ops.trigonometric import __all__ as _trigonometric
from autodiff.ops.updates import *  # noqa: F403
from autodiff.ops.updates import __all__ as _updates

__all__ = sorted(
    {
        *_alias,
        *_arithmetic,
        *_cumulative,
        *_elementwise,
        *_linear,
        *_parts,
        *_powers,
        *_reduce,
        *_rows,
        *_shape,
        *_sorting,
        *_updates,
        *_logarithms,
        *_logical,
        *_rounding,
        *_trigonometric,
    }
)
