"""Functions of functions: gradients, Jacobians, Hessians, products with them, and batches.

A transform takes a function of arrays, written with ops, operators and NumPy's functions, and gives
another function. It calls the function with nodes, and so builds a graph; what it then does to the
graph names no op. Given arrays, the new function gives arrays; given nodes, nodes, which can be
differentiated again. So transforms nest, and they compile, as in ``compile(hessian(f))``.

gradient : grad, value_and_grad, elementwise_grad, vjp
tangent : jvp, products with Hessians
jacobian : jacobian, hessian
mapping : vmap
flattening : flatten, and back
lanes : values of a batch, computed as they come
batching : a graph computed for a whole batch, by the batch rules of its ops
argument : what a function is called with, and what comes back
"""

from __future__ import annotations

from autodiff.transform.flattening import flatten
from autodiff.transform.gradient import elementwise_grad, grad, make_vjp, value_and_grad, vjp
from autodiff.transform.jacobian import hessian, jacobian
from autodiff.transform.mapping import vmap
from autodiff.transform.tangent import hvp, jvp, make_hvp, make_jvp

__all__ = [
    "elementwise_grad",
    "flatten",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "make_hvp",
    "make_jvp",
    "make_vjp",
    "value_and_grad",
    "vjp",
    "vmap",
]
