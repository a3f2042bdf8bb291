"""HIPS autograd's names: ``import autodiff.autograd as autograd``, or :func:`install`.

A program written for HIPS autograd runs on nodes of this library. Its functions are called with
nodes where HIPS autograd has boxes, and return NumPy's arrays and numbers. Complex numbers are
refused, and so are internals (``new_box``, ``backward_pass``).

>>> import autodiff.autograd.numpy as np
>>> from autodiff.autograd import grad
>>> float(grad(lambda x: x * np.exp(x))(0.0))
1.0
"""

from __future__ import annotations

from autodiff.autograd import util as _util
from autodiff.autograd.builtins import dict, isinstance, list, tuple, type
from autodiff.autograd.differential_operators import (
    checkpoint,
    deriv,
    elementwise_grad,
    grad,
    grad_and_aux,
    grad_named,
    hessian,
    hessian_tensor_product,
    hessian_vector_product,
    holomorphic_grad,
    jacobian,
    make_ggnvp,
    make_hvp,
    make_jvp,
    make_vjp,
    multigrad_dict,
    tensor_jacobian_product,
    value_and_grad,
    vector_jacobian_product,
)
from autodiff.autograd.installing import install, uninstall
from autodiff.autograd.primitives import primitive
from autodiff.autograd.test_util import quick_grad_check as _quick_grad_check

vars(_util)["quick_grad_check"] = _quick_grad_check  # it once was there, and imports from there

__version__ = "1.9.1"
"""The version of HIPS autograd whose names these are."""

__all__ = [
    "checkpoint",
    "deriv",
    "dict",
    "elementwise_grad",
    "grad",
    "grad_and_aux",
    "grad_named",
    "hessian",
    "hessian_tensor_product",
    "hessian_vector_product",
    "holomorphic_grad",
    "install",
    "isinstance",
    "jacobian",
    "list",
    "make_ggnvp",
    "make_hvp",
    "make_jvp",
    "make_vjp",
    "multigrad_dict",
    "primitive",
    "tensor_jacobian_product",
    "tuple",
    "type",
    "uninstall",
    "value_and_grad",
    "vector_jacobian_product",
]
