# Many buffers read or written at one moment, and arrays that can never be written.

from cpython.object cimport PyObject_SetAttr
from libc.stdint cimport uintptr_t
from libc.stdlib cimport qsort
from libc.string cimport memmove

cimport cython

cdef enum:
    LINE = 8  # numbers in a cache line


@cython.auto_pickle(False)
@cython.no_gc
@cython.final
cdef class Memory:
    """Keeps the array whose memory others show. Nothing can be asked of it from Python."""

    cdef object array


cdef int must_be_array(x, str what, Py_ssize_t i) except -1:
    if not ad_is_array(<PyObject*>x):
        raise TypeError(f"{what} {i} is no aligned, C-contiguous float64 array: "
                        f"{type(x).__name__}")
    return 0


cdef object show(object array, ptrdiff_t start, int axes, const ptrdiff_t* shape):
    """A sealed array over the memory of `array` from number `start` on."""
    cdef Memory memory = Memory.__new__(Memory)
    memory.array = array
    return ad_new_sealed(axes, shape, ad_data(<PyObject*>array) + start, memory)


def sealed(array):
    """A read-only array over the memory of a C-contiguous float64 array, kept alive by it.

    Neither it nor anything that its `base` leads to can be written or made writeable.
    """
    must_be_array(array, "array", 0)
    return show(array, 0, ad_axes(<PyObject*>array), ad_shape(<PyObject*>array))


cdef object new_sealed(PyObject* like):
    """A sealed array of undefined numbers; if it is as long as a cache line, it begins on one.
    """
    cdef ptrdiff_t size = ad_size(like), start = 0
    if size >= LINE:
        size += LINE - 1
    room = ad_new(1, &size)
    if size >= LINE:
        start = (-(<uintptr_t>ad_data(<PyObject*>room) // sizeof(double))) % LINE
    return show(room, start, ad_axes(like), ad_shape(like))


# ---- the locks of one call ----

@cython.no_gc
@cython.final
cdef class Held:
    """Locks that are held until release(), or until an error throws this object away."""

    cdef tuple locks
    cdef ad_cell** cells
    cdef ad_cell* room[8]
    cdef Py_ssize_t n

    def __dealloc__(self):
        self.release()
        if self.cells != self.room:
            PyMem_Free(self.cells)

    cdef int acquire(self, tuple locks, Py_ssize_t wanted) except -1:
        cdef Py_ssize_t n = 0
        if len(locks) != wanted:
            raise ValueError(f"{len(locks)} locks for {wanted} arrays")
        self.locks = locks
        self.cells = self.room
        if wanted > 8:
            self.cells = <ad_cell**>PyMem_Malloc(wanted * sizeof(ad_cell*))
        if self.cells == NULL:
            raise MemoryError
        for i, lock in enumerate(locks):
            if isinstance(lock, Lock):
                self.cells[n] = &(<Lock>lock).cell
                n += 1
            elif lock is not None:
                raise TypeError(f"lock {i} is a {type(lock).__name__}, not a Lock or None")
        self.n = hold(self.cells, n)
        return 0

    cdef void release(self) noexcept:
        ad_cells_release(self.cells, self.n)
        self.n = 0


# ---- reading ----

def read_together(arrays, locks):
    """Copies of C-contiguous float64 arrays, all of one moment; see sealed().

    locks : for each array a Lock or None. None of the programs that have them runs meanwhile,
        nor any Python code.
    """
    cdef Held held = Held.__new__(Held)
    cdef Py_ssize_t i
    cdef PyObject* x
    cdef tuple sources = tuple(arrays)
    cdef list copies = []
    for i, array in enumerate(sources):
        must_be_array(array, "array", i)
        copies.append(new_sealed(<PyObject*>array))
    held.acquire(tuple(locks), len(sources))
    for i in range(len(sources)):
        x = <PyObject*>sources[i]
        memcpy(ad_data(<PyObject*>copies[i]), ad_data(x), ad_size(x) * sizeof(double))
    held.release()
    return copies


# ---- writing ----

cdef struct Copy:
    double* to
    const double* source
    double number     # where the source is one
    ptrdiff_t size

cdef struct Span:
    uintptr_t start, end


cdef int compare_spans(const void* a, const void* b) noexcept nogil:
    cdef uintptr_t x = (<const Span*>a).start, y = (<const Span*>b).start
    return (x > y) - (x < y)


@cython.no_gc
@cython.final
cdef class Writing:
    """The copies of one call: checked and prepared first, then done without a way to fail."""

    cdef tuple targets, values  # keeps them alive
    cdef Py_ssize_t n
    cdef Copy* copies
    cdef Span* spans            # of all targets, in order; each end is the last one so far
    cdef double* room           # for values that lie in a target
    cdef ptrdiff_t room_size

    def __dealloc__(self):
        PyMem_Free(self.copies)
        PyMem_Free(self.spans)
        PyMem_Free(self.room)

    cdef int prepare(self, tuple targets, tuple values) except -1:
        cdef Py_ssize_t i
        if len(targets) != len(values):
            raise ValueError(f"{len(values)} values for {len(targets)} buffers")
        self.n = len(targets)
        self.targets = targets
        self.values = values
        self.copies = <Copy*>PyMem_Malloc(max(self.n, 1) * sizeof(Copy))
        if self.copies == NULL:
            raise MemoryError
        for i in range(self.n):
            self.prepare_one(i, targets[i], values[i])
        if self.n > 1:
            self.note_targets()
            self.make_room()
        return 0

    cdef int prepare_one(self, Py_ssize_t i, target, value) except -1:
        cdef Copy* copy = &self.copies[i]
        cdef PyObject* x = <PyObject*>target
        cdef PyObject* y = <PyObject*>value
        must_be_array(target, "buffer", i)
        if not ad_is_writeable(x):
            raise ValueError(f"buffer {i} is read-only")
        copy.to = ad_data(x)
        copy.size = ad_size(x)
        if ad_axes(x) == 0 and (PyFloat_Check(value) or PyLong_Check(value)):
            copy.number = value
            copy.source = &copy.number
            return 0
        must_be_array(value, "value", i)
        if not ad_same_shape(ad_axes(x), ad_shape(x), ad_axes(y), ad_shape(y)):
            raise ValueError(f"value {i} has shape {value.shape}, not {target.shape}")
        copy.source = ad_data(y)
        return 0

    cdef int note_targets(self) except -1:
        cdef Py_ssize_t i
        self.spans = <Span*>PyMem_Malloc(self.n * sizeof(Span))
        if self.spans == NULL:
            raise MemoryError
        for i in range(self.n):
            self.spans[i].start = <uintptr_t>self.copies[i].to
            self.spans[i].end = <uintptr_t>(self.copies[i].to + self.copies[i].size)
        qsort(self.spans, self.n, sizeof(Span), compare_spans)
        for i in range(1, self.n):
            self.spans[i].end = max(self.spans[i].end, self.spans[i - 1].end)
        return 0

    cdef int make_room(self) except -1:
        cdef Py_ssize_t i
        for i in range(self.n):
            if self.lies_in_a_target(&self.copies[i]):
                self.room_size += self.copies[i].size
        if self.room_size:
            self.room = <double*>PyMem_Malloc(self.room_size * sizeof(double))
            if self.room == NULL:
                raise MemoryError
        return 0

    cdef bint lies_in_a_target(self, const Copy* copy) noexcept:
        cdef uintptr_t start = <uintptr_t>copy.source
        cdef uintptr_t end = <uintptr_t>(copy.source + copy.size)
        cdef Py_ssize_t low = 0, high = self.n, middle
        while low < high:  # spans before `low` start before our end
            middle = (low + high) // 2
            if self.spans[middle].start < end:
                low = middle + 1
            else:
                high = middle
        return low > 0 and self.spans[low - 1].end > start

    cdef void run(self) noexcept:
        cdef double* free = self.room
        cdef Py_ssize_t i
        cdef Copy* copy
        if self.room != NULL:
            for i in range(self.n):
                copy = &self.copies[i]
                if self.lies_in_a_target(copy):
                    memcpy(free, copy.source, copy.size * sizeof(double))
                    copy.source = free
                    free += copy.size
        for i in range(self.n):
            copy = &self.copies[i]
            memmove(copy.to, copy.source, copy.size * sizeof(double))


cdef int check_attributes(tuple attributes) except -1:
    for i, entry in enumerate(attributes):
        if type(entry) is not tuple or len(entry) != 3 or type(entry[1]) is not str:
            raise TypeError(f"attribute {i} is not (object, name, value): {entry!r}")
    return 0


def write_together(buffers, values, locks, attributes=()):
    """Copy values into C-contiguous float64 arrays, all of them or, after an error, none.

    values : for each buffer an array like it, or a number for shape (). They may lie in the
        buffers: all are read before one is written.
    locks : as for read_together().
    attributes : triples of an object, a name and a value to set afterwards, in the same moment.
        Setting them must not run Python code: slots, and variables of modules.
    """
    cdef Writing writing = Writing.__new__(Writing)
    cdef Held held = Held.__new__(Held)
    cdef tuple targets = tuple(buffers)
    cdef tuple settings = tuple(attributes)
    check_attributes(settings)
    writing.prepare(targets, tuple(values))
    held.acquire(tuple(locks), len(targets))
    writing.run()
    for thing, name, value in settings:
        PyObject_SetAttr(thing, name, value)
    held.release()
