"""What can be computed: one record an op, grouped by kind.

elementwise : arithmetic, functions of one variable, choices, comparisons
linear : matrix products
reduce : sums, means, maxima, the softmax family
shape : reshape, transpose, broadcast, slices, joins, rows by number
"""

from __future__ import annotations

from autodiff.ops.elementwise import *  # noqa: F403
from autodiff.ops.elementwise import __all__ as _elementwise
from autodiff.ops.linear import *  # noqa: F403
from autodiff.ops.linear import __all__ as _linear
from autodiff.ops.reduce import *  # noqa: F403
from autodiff.ops.reduce import __all__ as _reduce
from autodiff.ops.shape import *  # noqa: F403
from autodiff.ops.shape import __all__ as _shape

__all__ = sorted({*_elementwise, *_linear, *_reduce, *_shape})
