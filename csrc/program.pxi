# Programs: a step recorded once, run by a loop in C.

from cpython.bool cimport PyBool_Check
from cpython.exc cimport PyErr_CheckSignals
from cpython.float cimport PyFloat_Check
from cpython.long cimport PyLong_Check
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM

include "lock.pxi"
include "call_back.pxi"

cdef extern from "program.h":
    ctypedef struct ad_pool:
        size_t bytes
    ctypedef int (*ad_execute)(void*) noexcept nogil
    ctypedef struct ad_instruction:
        ad_execute execute
    ctypedef struct ad_argument:
        int axes
        const ptrdiff_t* shape
        ptrdiff_t size
    ctypedef struct ad_result:
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
        ptrdiff_t arena_size
        ad_pool pool
    ctypedef struct ad_fault:
        ptrdiff_t instruction
        double numbers[2]
    void ad_program_free(ad_program*) noexcept
    bint ad_program_can_fail(const ad_program*) noexcept
    void ad_program_bind(ad_program*, const double* const*) noexcept nogil
    ad_fault ad_program_run(const ad_program*) noexcept nogil
    void ad_program_copy_results(const ad_program*, double* const*) noexcept nogil
    ad_fault ad_program_scan(
        ad_program*, const ad_program*, const ad_program*, ptrdiff_t*, ptrdiff_t,
        const double* const*, ptrdiff_t, const double**, double* const*, double**) noexcept nogil
    ad_fault ad_program_profile(const ad_program*, double, double*) noexcept nogil
    double ad_clock_reading() noexcept nogil
    double ad_clock() noexcept nogil

cdef extern from "parts.h":
    int ad_execute_parts(void*) noexcept nogil

cdef extern from "load.h":
    ctypedef struct ad_buffer:
        double* data
        ptrdiff_t size
        int writable
    ctypedef struct ad_refusal:
        int code
        ptrdiff_t place, instruction
    enum:
        AD_NO_MEMORY
    const char* ad_refusal_text(int) noexcept
    int ad_program_load(
        ad_program*, const cnp.int64_t*, ptrdiff_t, const ad_buffer*, ptrdiff_t,
        const ad_call_back*, ptrdiff_t, const ad_kernels*, ad_refusal*) noexcept


class LoadError(ValueError):
    """The words of a program, or its buffers, are refused.

    code : a number, the same for all refusals for this reason. place : of the word.
    instruction : its number, or None where the words describe none.
    """

    def __init__(self, code, reason, place, instruction=None):
        where = "" if instruction is None else f"instruction {instruction} of the program, "
        super().__init__(f"{where}word {place}: {reason}")
        self.code = code
        self.place = place
        self.instruction = instruction


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


cdef int fail(ad_fault fault, step=None) except -1:
    """Raise what an instruction's fault is."""
    error = InstructionError(fault.instruction, tuple(fault.numbers), step)
    raise error from raised.pop(PyThread_get_thread_ident(), None)


cdef class Executor:
    """Instructions over one arena, the arguments of a call, and fixed buffers.

    Parameters
    ----------
    words : what autodiff/program/code/words.py makes of code; not needed afterwards.
    buffers : aligned, C-contiguous float64 arrays (the spaces after the arguments), used where
        they lie; written only if they are writeable.
    functions : what instructions call, with the GIL, while the lock is held. Each takes a list of
        arrays, which it may keep, and gives another.
    lock : see Lock; without one the program has its own.

    Raises
    ------
    LoadError
        If the words are not those of a program, or an access would leave its space.

    Notes
    -----
    The arena (space 0) holds zeros at first, and keeps what the last run left there. Arguments
    (spaces 1 to n) are only read.
    """

    cdef ad_program program
    cdef tuple buffers, functions
    cdef Function* contexts
    cdef str _isa
    cdef readonly Lock lock

    def __init__(
        self, const cnp.int64_t[::1] words not None, buffers, functions=(), Lock lock=None
    ):
        if self.buffers is not None:
            raise TypeError("a program is made once")
        self.lock = Lock() if lock is None else lock
        self.buffers = tuple(buffers)
        self.functions = tuple(functions)
        self._isa = isa()
        self.load(words)

    def __dealloc__(self):
        ad_program_free(&self.program)
        PyMem_Free(self.contexts)

    cdef int load(self, const cnp.int64_t[::1] words) except -1:
        cdef Py_ssize_t i, n = len(self.buffers), m = len(self.functions)
        cdef ad_buffer* buffers = <ad_buffer*>PyMem_Malloc((n + 1) * sizeof(ad_buffer))
        cdef ad_call_back* functions = <ad_call_back*>PyMem_Malloc((m + 1) * sizeof(ad_call_back))
        cdef ad_refusal refusal
        self.contexts = <Function*>PyMem_Malloc((m + 1) * sizeof(Function))
        try:
            if buffers == NULL or functions == NULL or self.contexts == NULL:
                raise MemoryError
            for i in range(m):
                self.contexts[i].function = <PyObject*>self.functions[i]
                self.contexts[i].program = <PyObject*>self
                functions[i].call = call_function
                functions[i].context = &self.contexts[i]
            for i, array in enumerate(self.buffers):
                if not ad_is_array(<PyObject*>array):
                    raise ValueError(
                        f"buffer {i} is no aligned, C-contiguous float64 array: {array!r}")
                buffers[i].data = ad_data(<PyObject*>array)
                buffers[i].size = ad_size(<PyObject*>array)
                buffers[i].writable = ad_is_writeable(<PyObject*>array)
            ad_program_load(&self.program, &words[0] if words.shape[0] else NULL, words.shape[0],
                            buffers, n, functions, m, kernels, &refusal)
        finally:
            PyMem_Free(buffers)
            PyMem_Free(functions)
        raise_blas_error()
        raise_scipy_error()
        if refusal.code == AD_NO_MEMORY:
            raise MemoryError
        if refusal.code:
            raise LoadError(refusal.code, ad_refusal_text(refusal.code).decode(), refusal.place,
                            None if refusal.instruction < 0 else refusal.instruction)
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
        InstructionError
            From an instruction of a kind that can fail; those before it have run. If it is a
            function that has failed, what that has raised is the cause.
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
            held = NULL if calls == NULL else self.lock.acquire_calling_back()
            with nogil:
                if held == NULL:
                    held = self.lock.acquire()
                ad_program_bind(&self.program, call.argument)
                fault = ad_program_run(&self.program)
                ad_program_copy_results(&self.program, call.result)
                PyThread_release_lock(held)
            if fault.instruction >= 0:
                fail(fault)
            self.fill_numbers(&call, results)
            return results
        finally:
            if work != <void*>room:
                PyMem_Free(work)

    def scan(
        self, Py_ssize_t n_steps, *stacked, Py_ssize_t n_fixed=0, Executor before=None,
        Executor after=None
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
                held = NULL if calls == NULL else self.lock.acquire_calling_back()
                with nogil:
                    if held == NULL:
                        held = self.lock.acquire()
                    start = ad_clock()
                    fault = ad_program_scan(
                        &self.program, first, last_of_all, &step, last, call.argument,
                        n_stacked, call.now, call.result, call.to)
                    took = ad_clock() - start
                    PyThread_release_lock(held)
                if fault.instruction >= 0:
                    fail(fault, step)
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
                held = NULL if calls == NULL else self.lock.acquire_calling_back()
                with nogil:
                    if held == NULL:
                        held = self.lock.acquire()
                    ad_program_bind(&self.program, call.argument)
                    fault = ad_program_profile(&self.program, reading, nanoseconds)
                    PyThread_release_lock(held)
                if fault.instruction >= 0:
                    fail(fault)
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
    def arena_size(self):
        """Numbers in the arena."""
        return self.program.arena_size

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
        return self.program.pool.bytes

    @property
    def isa(self):
        """The instruction set it was loaded for."""
        return self._isa

    def __repr__(self):
        return f"<program of {self.program.n_code} instructions, {self.nbytes} bytes>"


cdef const ad_program* surely(Executor program) except? NULL:
    """A program that needs nothing, hands out nothing and cannot fail; None: NULL."""
    if program is None:
        return NULL
    if program.program.n_arguments or program.program.n_results:
        raise ValueError("a program around a scan has no arguments and no results")
    if ad_program_can_fail(&program.program):
        raise ValueError("a program around a scan must not have instructions that can fail")
    return &program.program
