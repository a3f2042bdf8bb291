# Programs: a step recorded once, run by a loop in C.

from cpython.bool cimport PyBool_Check
from cpython.exc cimport PyErr_CheckSignals
from cpython.float cimport PyFloat_Check
from cpython.long cimport PyLong_Check
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM

include "assemble.pxi"
include "lock.pxi"

cdef extern from "program.h":
    ctypedef struct ad_argument:
        int axes
        const ptrdiff_t* shape
        ptrdiff_t size
        ad_patch* patches
        ptrdiff_t n_patches
        const double* bound
    ctypedef struct ad_patch:
        double** where
        ptrdiff_t offset
    ctypedef struct ad_result:
        const double* source
        int axes
        const ptrdiff_t* shape
        ptrdiff_t size
    ctypedef struct ad_program:
        ad_instruction* code
        ptrdiff_t n_code
        ad_argument* arguments
        ptrdiff_t n_arguments
        ad_result* results
        ptrdiff_t n_results
    ctypedef struct ad_fault:
        ptrdiff_t instruction, n_rows
        double row
    void ad_program_bind(ad_program*, const double* const*) noexcept nogil
    ad_fault ad_program_run(const ad_program*) noexcept nogil
    void ad_program_copy_results(const ad_program*, double* const*) noexcept nogil
    ad_fault ad_program_scan(
        ad_program*, const ad_program*, const ad_program*, ptrdiff_t*, ptrdiff_t,
        const double* const*, ptrdiff_t, const double**, double* const*, double**) noexcept nogil
    ad_fault ad_program_profile(const ad_program*, double, double*) noexcept nogil
    double ad_clock_reading() noexcept nogil
    double ad_clock() noexcept nogil


class RowNumberError(IndexError):
    """A row number is not a whole number, or there is no such row.

    instruction : number of the instruction of the program.
    row, n_rows : the row number, and how many rows there are.
    step : of a scan, else None.
    """

    def __init__(self, instruction, row, n_rows, step=None):
        where = f"instruction {instruction}" + ("" if step is None else f", step {step}")
        super().__init__(f"{where}: {row:g} is no row of {n_rows}")
        self.instruction = instruction
        self.row = row
        self.n_rows = n_rows
        self.step = step


cdef struct Call:
    # What one call needs: one entry an argument, one a result.
    const double** argument
    double* number           # of an argument that is one
    const double** now
    double** result
    double* value            # of a result that is one
    double** to

cdef enum:
    CALL_ROOM = 96  # words on the stack


cdef class Program:
    """Instructions over one arena, the arguments of a call, and fixed buffers.

    Parameters
    ----------
    arena_size : numbers in the arena (space 0). It holds zeros at first, and keeps what
        the last run left there.
    arguments : the shape of each argument (spaces 1 to n). They are only read.
    buffers : C-contiguous float64 arrays (the spaces after those), used where they lie;
        written only if they are writeable.
    instructions : tuples, see below. An operand is a pair (space, offset in numbers).
    results : pairs (operand, shape), copied out after the last instruction.
    lock : see Lock; without one the program has its own.

    Raises
    ------
    ValueError
        If an instruction is malformed, or an access leaves its space. It names the
        instruction.

    Notes
    -----
    ``("run", shape, operands, micros)`` : elementwise, up to four axes. An operand here is
        ``(operand, strides)`` or ``(operand, strides, True)``: then an output in the arena
        may be overwritten up to the next multiple of eight numbers. A micro is ``(map, a,
        b, c, z)``; a, b, c and z number the operands from 0, or the registers by -1, -2,
        ...; None where the map reads nothing. power's exponent is c.
        Operands of one run overlap only if they are the same; what was written is read
        by the same number.
    ``("copy", shape, x, x_strides, z, z_strides)`` : z = x, up to four axes; the same as a
        run of one map, faster where there are rows. z and x do not overlap.
    ``("gemm", ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc, stack, sa, sb, sc)`` :
        C = alpha op(A) op(B) + beta C, for all of a stack; alpha may be (number, operand
        or None), their product.
    ``("sum" or "max", a, r, b, x, z)`` : x[a, r, b] to z[a, b].
    ``("logsumexp", "softmax" or "log_softmax", rows, n, x, z)`` : along rows.
    ``("take", n_rows, row_size, n, x, rows, z)`` : z[i] = x[rows[i]].
    ``("scatter_rows", n_rows, row_size, n, x, rows, z)`` : z = 0; z[rows[i]] += x[i].
    """

    cdef ad_program program
    cdef ad_pool pool
    cdef tuple buffers, code
    cdef str _isa
    cdef readonly Py_ssize_t arena_size
    cdef readonly Lock lock

    def __init__(
        self, arena_size, arguments, buffers, instructions, results, Lock lock=None
    ):
        if self.program.code != NULL or self.buffers is not None:
            raise TypeError("a program is made once")
        self.lock = Lock() if lock is None else lock
        self.buffers = tuple(buffers)
        self.code = tuple(instructions)
        self._isa = isa()
        self.arena_size = read_size(arena_size)
        arguments = [tuple(shape) for shape in arguments]
        assembler = self.assembler(arguments)
        self.program.n_code = len(self.code)
        self.program.code = <ad_instruction*>assembler.take(
            self.program.n_code * sizeof(ad_instruction))
        cdef Py_ssize_t i
        for i in range(self.program.n_code):
            try:
                assembler.assemble(&self.program.code[i], self.code[i])
            except (IndexError, OverflowError, TypeError, ValueError) as error:
                raise ValueError(
                    f"instruction {i} of the program, {self.code[i]!r}: {error}") from error
        self.read_results(assembler, tuple(results))
        self.read_patches(assembler)

    def __dealloc__(self):
        ad_pool_free(&self.pool)

    # ---- loading ----

    cdef Assembler assembler(self, list arguments):
        cdef Assembler a = Assembler.__new__(Assembler)
        cdef Py_ssize_t i, n = len(arguments)
        cdef Space* space
        a.pool = &self.pool
        a.kernels = kernels
        a.registers = []
        a.patches = [[] for _ in arguments]
        a.maps = {}
        i = 0
        while kernels.elementwise[i].name != NULL:
            a.note_maps(&kernels.elementwise[i])
            i += 1
        a.n_arguments = n
        a.n_spaces = 1 + n + len(self.buffers)
        a.spaces = <Space*>a.take(a.n_spaces * sizeof(Space))
        space = &a.spaces[0]
        space.size = self.arena_size
        # 64 bytes of room after the end, for blocks of eight numbers.
        space.data = <double*>a.take(times(self.arena_size + 8, sizeof(double)))
        space.writable = True
        self.program.n_arguments = n
        self.program.arguments = <ad_argument*>a.take(n * sizeof(ad_argument))
        for i in range(n):
            self.program.arguments[i].shape = self.read_shape(
                a, arguments[i], &self.program.arguments[i].axes,
                &self.program.arguments[i].size)
            a.spaces[1 + i].size = self.program.arguments[i].size
        for i, array in enumerate(self.buffers):
            if not ad_is_array(<PyObject*>array):
                raise ValueError(
                    f"buffer {i} is no aligned, C-contiguous float64 array: {array!r}")
            space = &a.spaces[1 + n + i]
            space.data = ad_data(<PyObject*>array)
            space.size = ad_size(<PyObject*>array)
            space.writable = array.flags.writeable
        return a

    cdef const ptrdiff_t* read_shape(
        self, Assembler a, tuple shape, int* axes, ptrdiff_t* size
    ) except NULL:
        cdef ptrdiff_t* sizes = <ptrdiff_t*>a.take(len(shape) * sizeof(ptrdiff_t))
        if len(shape) >= AD_MAX_AXES:
            raise ValueError(f"{len(shape)} axes are too many")
        axes[0] = len(shape)
        size[0] = 1
        for i, n in enumerate(shape):
            sizes[i] = read_size(n)
            size[0] = times(size[0], sizes[i])
        return sizes

    cdef int read_results(self, Assembler a, tuple results) except -1:
        cdef Py_ssize_t i
        cdef ad_result* result
        self.program.n_results = len(results)
        self.program.results = <ad_result*>a.take(len(results) * sizeof(ad_result))
        for i in range(self.program.n_results):
            result = &self.program.results[i]
            operand, shape = results[i]
            result.shape = self.read_shape(a, tuple(shape), &result.axes, &result.size)
            try:
                a.bind(&result.source, operand, 0, result.size, False)
            except (TypeError, ValueError) as error:
                raise ValueError(f"result {i} of the program: {error}") from error
        return 0

    cdef int read_patches(self, Assembler a) except -1:
        cdef Py_ssize_t i, k
        cdef ad_argument* argument
        for i in range(self.program.n_arguments):
            argument = &self.program.arguments[i]
            argument.n_patches = len(a.patches[i])
            argument.patches = <ad_patch*>a.take(argument.n_patches * sizeof(ad_patch))
            for k in range(argument.n_patches):
                where, offset = a.patches[i][k]
                argument.patches[k].where = <double**><size_t>where
                argument.patches[k].offset = offset
        return 0

    # ---- running ----

    def __call__(self, *arguments):
        """The same as run()."""
        return self.call(arguments)

    def run(self, *arguments):
        """Run once; returns a tuple of fresh arrays, or floats for results of shape ().

        Arguments are aligned, C-contiguous float64 arrays of the right shape, used where
        they lie; or numbers for shape (). The GIL is released.

        Raises
        ------
        TypeError
            For an argument of another kind.
        ValueError
            For an argument of another shape.
        RowNumberError
            From "take" or "scatter_rows"; instructions before it have run.
        """
        return self.call(arguments)

    cdef tuple call(self, tuple arguments):
        cdef void* room[CALL_ROOM]
        cdef Call call
        cdef ad_fault fault
        cdef PyThread_type_lock held
        cdef void* work = self.prepare(&call, room)
        try:
            self.accept(&call, arguments)
            results = self.make_results(&call, -1)
            with nogil:
                held = self.lock.acquire()
                ad_program_bind(&self.program, call.argument)
                fault = ad_program_run(&self.program)
                ad_program_copy_results(&self.program, call.result)
                PyThread_release_lock(held)
            if fault.instruction >= 0:
                raise RowNumberError(fault.instruction, fault.row, fault.n_rows)
            self.fill_numbers(&call, results)
            return results
        finally:
            if work != <void*>room:
                PyMem_Free(work)

    def scan(
        self, Py_ssize_t n_steps, *stacked, Py_ssize_t n_fixed=0, Program before=None,
        Program after=None
    ):
        """Run `n_steps` times; arguments and results have a leading axis of steps.

        The last `n_fixed` arguments have none, and are the same for all steps.

        Ctrl-C is looked for about every millisecond, between two steps: what is then
        raised leaves the buffers as the last finished step left them. Other programs of
        the same lock may run there, too.

        before, after : programs that take and return nothing and cannot fail, for what is
            carried from step to step: `before` runs after each such place, `after` before
            the next one, also if a step has failed.
        """
        cdef void* room[CALL_ROOM]
        cdef Call call
        cdef ad_fault fault
        cdef PyThread_type_lock held
        cdef ptrdiff_t step = 0, last, chunk = 1
        cdef ptrdiff_t n_stacked = self.program.n_arguments - n_fixed
        cdef double start, took
        cdef void* work
        cdef const ad_program* first = surely(before)
        cdef const ad_program* last_of_all = surely(after)
        if n_steps < 0:
            raise ValueError(f"scan: {n_steps} steps")
        if not 0 <= n_fixed <= self.program.n_arguments:
            raise ValueError(f"scan: {n_fixed} fixed arguments")
        work = self.prepare(&call, room)
        try:
            self.accept_stacked(&call, stacked, n_steps, n_stacked)
            results = self.make_results(&call, n_steps)
            while step < n_steps:
                last = min(step + chunk, n_steps)
                with nogil:
                    held = self.lock.acquire()
                    start = ad_clock()
                    fault = ad_program_scan(
                        &self.program, first, last_of_all, &step, last, call.argument,
                        n_stacked, call.now, call.result, call.to)
                    took = ad_clock() - start
                    PyThread_release_lock(held)
                if fault.instruction >= 0:
                    raise RowNumberError(
                        fault.instruction, fault.row, fault.n_rows, step)
                if step < n_steps:
                    PyErr_CheckSignals()
                if took < 5e5:
                    chunk *= 2
                elif took > 2e6 and chunk > 1:
                    chunk //= 2
            return results
        finally:
            if work != <void*>room:
                PyMem_Free(work)

    def profile(self, Py_ssize_t repeats, *arguments):
        """Run `repeats` times; the least nanoseconds that each instruction took.

        What is executed takes one at least; an instruction that has nothing to do takes none.
        The program really runs: its buffers change.
        """
        if repeats < 1:
            raise ValueError(f"profile: the program must run at least once, not {repeats} times")
        cdef void* room[CALL_ROOM]
        cdef Call call
        cdef ad_fault fault
        cdef PyThread_type_lock held
        cdef double* nanoseconds
        cdef double reading = ad_clock_reading()
        cdef void* work = self.prepare(&call, room)
        try:
            self.accept(&call, arguments)
            least = np.full(self.program.n_code, np.inf)
            nanoseconds = ad_data(<PyObject*>least)
            for _ in range(repeats):
                with nogil:
                    held = self.lock.acquire()
                    ad_program_bind(&self.program, call.argument)
                    fault = ad_program_profile(&self.program, reading, nanoseconds)
                    PyThread_release_lock(held)
                if fault.instruction >= 0:
                    raise RowNumberError(fault.instruction, fault.row, fault.n_rows)
            return least.tolist()
        finally:
            if work != <void*>room:
                PyMem_Free(work)

    cdef void* prepare(self, Call* call, void* room) except NULL:
        """Divide `room`, or if it is too small fresh memory, which is returned."""
        cdef Py_ssize_t n = self.program.n_arguments, m = self.program.n_results
        cdef void** work = <void**>room
        if 3 * n + 3 * m > CALL_ROOM:
            work = <void**>PyMem_Malloc((3 * n + 3 * m) * sizeof(double))
            if work == NULL:
                raise MemoryError
        call.argument = <const double**>work
        call.number = <double*>(work + n)
        call.now = <const double**>(work + 2 * n)
        call.result = <double**>(work + 3 * n)
        call.value = <double*>(work + 3 * n + m)
        call.to = <double**>(work + 3 * n + 2 * m)
        return work

    cdef int accept(self, Call* call, tuple arguments) except -1:
        cdef Py_ssize_t i
        cdef const ad_argument* expected
        if len(arguments) != self.program.n_arguments:
            raise TypeError(f"the program takes {self.program.n_arguments} arguments, "
                            f"not {len(arguments)}")
        for i in range(self.program.n_arguments):
            expected = &self.program.arguments[i]
            x = arguments[i]
            if ad_is_array(<PyObject*>x):
                if not ad_same_shape(expected.axes, expected.shape, ad_axes(<PyObject*>x),
                                     ad_shape(<PyObject*>x)):
                    self.refuse(i, x, -1)
                call.argument[i] = ad_data(<PyObject*>x)
            elif expected.axes == 0 and (
                    PyFloat_Check(x) or (PyLong_Check(x) and not PyBool_Check(x))):
                call.number[i] = x
                call.argument[i] = &call.number[i]
            else:
                self.refuse(i, x, -1)
        return 0

    cdef int accept_stacked(
        self, Call* call, tuple arguments, Py_ssize_t n_steps, ptrdiff_t n_stacked
    ) except -1:
        cdef Py_ssize_t i
        cdef const ad_argument* expected
        cdef const ptrdiff_t* shape
        if len(arguments) != self.program.n_arguments:
            raise TypeError(f"the program takes {self.program.n_arguments} arguments, "
                            f"not {len(arguments)}")
        for i in range(self.program.n_arguments):
            expected = &self.program.arguments[i]
            x = arguments[i]
            if not ad_is_array(<PyObject*>x):
                self.refuse(i, x, n_steps if i < n_stacked else -1)
            shape = ad_shape(<PyObject*>x)
            if i >= n_stacked:
                if not ad_same_shape(expected.axes, expected.shape, ad_axes(<PyObject*>x), shape):
                    self.refuse(i, x, -1)
            elif (ad_axes(<PyObject*>x) != expected.axes + 1 or shape[0] != n_steps
                    or not ad_same_shape(expected.axes, expected.shape, expected.axes,
                                         shape + 1)):
                self.refuse(i, x, n_steps)
            call.argument[i] = ad_data(<PyObject*>x)
        return 0

    cdef int refuse(self, Py_ssize_t i, x, Py_ssize_t n_steps) except -1:
        cdef const ad_argument* expected = &self.program.arguments[i]
        shape = tuple([expected.shape[k] for k in range(expected.axes)])
        if n_steps >= 0:
            shape = (n_steps, *shape)
        if ad_is_array(<PyObject*>x):
            raise ValueError(f"argument {i} has shape {x.shape}, not {shape}")
        raise TypeError(f"argument {i} must be an aligned, C-contiguous float64 array of shape "
                        f"{shape}, not {type(x).__name__}")

    cdef tuple make_results(self, Call* call, Py_ssize_t n_steps):
        """A tuple of new arrays, and where the program shall write. Entries for numbers
        are filled in by fill_numbers, after the run."""
        cdef ptrdiff_t shape[AD_MAX_AXES]
        cdef Py_ssize_t i
        cdef const ad_result* result
        cdef tuple results = PyTuple_New(self.program.n_results)
        for i in range(self.program.n_results):
            result = &self.program.results[i]
            if n_steps < 0 and result.axes == 0:
                call.result[i] = &call.value[i]
                continue
            if n_steps < 0:
                z = ad_new(result.axes, result.shape)
            else:
                shape[0] = n_steps
                memcpy(&shape[1], result.shape, result.axes * sizeof(ptrdiff_t))
                z = ad_new(result.axes + 1, shape)
            call.result[i] = ad_data(<PyObject*>z)
            Py_INCREF(z)
            PyTuple_SET_ITEM(results, i, z)
        return results

    cdef int fill_numbers(self, Call* call, tuple results) except -1:
        cdef Py_ssize_t i
        cdef object value
        for i in range(self.program.n_results):
            if self.program.results[i].axes == 0:
                value = call.value[i]
                Py_INCREF(value)
                PyTuple_SET_ITEM(results, i, value)
        return 0

    # ---- what there is to see ----

    @property
    def n_instructions(self):
        """Number of instructions."""
        return self.program.n_code

    @property
    def n_in_parts(self):
        """Number of instructions that are cut into parts for several threads."""
        cdef Py_ssize_t i, n = 0
        for i in range(self.program.n_code):
            n += self.program.code[i].execute == ad_execute_parts
        return n

    @property
    def nbytes(self):
        """Bytes of the arena, the registers and the instructions."""
        return self.pool.bytes

    @property
    def isa(self):
        """The instruction set it was loaded for."""
        return self._isa

    def listing(self):
        """The instructions as text, one a line."""
        lines = [f"arena {self.arena_size}, arguments 1 to {self.program.n_arguments}, "
                 f"buffers from {self.program.n_arguments + 1}"]
        for i, (kind, *operands) in enumerate(self.code):
            lines.append(f"{i:4d}  {kind:12s} " + "  ".join(map(repr, operands)))
        return "\n".join(lines)

    def __repr__(self):
        return f"<program of {self.program.n_code} instructions, {self.nbytes} bytes>"


cdef const ad_program* surely(Program program) except? NULL:
    """A program that needs nothing, hands out nothing and cannot fail; None: NULL."""
    if program is None:
        return NULL
    if program.program.n_arguments or program.program.n_results:
        raise ValueError("a program around a scan has no arguments and no results")
    if any(kind in ("take", "scatter_rows") for kind, *_ in program.code):
        raise ValueError("a program around a scan must not look at row numbers")
    return &program.program
