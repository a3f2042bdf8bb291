"""Linear algebra: factors of matrices, systems, spectra; all of it batched over leading axes.

The functions are public by NumPy's and SciPy's names for them (`numpy.linalg.solve`,
`scipy.linalg.cho_solve`). Wherever numbers cannot be computed (a matrix is singular), that is a
MatrixError, which numpy.linalg.LinAlgError catches, too.

matrices : shapes, stacks, triangles
triangular, cholesky, lu : systems
"""

from __future__ import annotations

from autodiff.ops.linalg import cholesky, lu, triangular

__all__ = ["cholesky", "lu", "triangular"]
