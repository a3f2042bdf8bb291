"""Linear algebra: factors of matrices, systems, spectra; all of it batched over leading axes.

The functions are public by NumPy's and SciPy's names for them (`numpy.linalg.solve`,
`scipy.linalg.cho_solve`). Wherever numbers cannot be computed (a matrix is singular), that is a
MatrixError, which numpy.linalg.LinAlgError catches, too.

matrices : shapes, stacks, triangles
triangular, cholesky, lu : systems
eigen, singular, orthogonal : spectra, orthogonal factors
functions : expm, sqrtm, the equations of Sylvester and Lyapunov
bands : matrices with few diagonals
norms, least, products : what is said with these
"""

from __future__ import annotations

from autodiff.ops.linalg import (
    bands,
    cholesky,
    eigen,
    functions,
    least,
    lu,
    norms,
    orthogonal,
    products,
    singular,
    triangular,
)

__all__ = [
    "bands",
    "cholesky",
    "eigen",
    "functions",
    "least",
    "lu",
    "norms",
    "orthogonal",
    "products",
    "singular",
    "triangular",
]
