"""The compiled kernels, called one op at a time.

`forward` and `backward` have the meaning of the methods of the reference back end. The
first call for a bound op prepares a kernel, kept in its slot `kernel`: what kind of op
it is, its attributes as C numbers. Later calls check the arrays, allocate the results
and call the C functions of one table, the one of the instruction set in use.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.pystate cimport PyThreadState
from libc.string cimport memcpy, memset

import os
import re
import warnings

cimport numpy as cnp

import numpy as np

from autodiff.errors import BackendError, IndexRangeError, InstructionError

cnp.import_array()

include "arrays.pxi"
include "threads.pxi"
include "isa.pxi"
include "blas.pxi"
include "lapack.pxi"
include "special.pxi"
include "elementwise.pxi"
include "matmul.pxi"
include "cumulative.pxi"
include "reduce.pxi"
include "move.pxi"
include "rows.pxi"
include "dispatch.pxi"
include "program.pxi"
include "together.pxi"
include "pause.pxi"
