# Who may run: a lock for programs that share buffers.

from cpython.pythread cimport (
    PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, PyThread_type_lock)

cdef extern from "lock.h":
    ctypedef struct ad_cell:
        PyThread_type_lock lock, queue
        int awaited, held_for_fork
        unsigned long long number
        ad_cell* next
        ad_cell* older
        ad_cell* newer
        PyObject* owner
    ad_cell* ad_cell_last(ad_cell*) noexcept nogil
    void ad_cell_join(ad_cell*, ad_cell*) noexcept nogil
    void ad_cell_acquire(ad_cell*) noexcept nogil
    ad_cell* ad_cell_hold(ad_cell*) noexcept nogil
    bint ad_cell_try(ad_cell*) noexcept nogil
    Py_ssize_t ad_cells_sort(ad_cell**, Py_ssize_t) noexcept nogil
    bint ad_cells_try(ad_cell**, Py_ssize_t) noexcept
    Py_ssize_t ad_cells_hold(ad_cell**, Py_ssize_t) noexcept nogil
    void ad_cells_release(ad_cell**, Py_ssize_t) noexcept nogil


cdef ad_cell* oldest = NULL  # of all locks that live
cdef ad_cell* newest = NULL
cdef bint forking = False    # a thread has all of them


cdef class Lock:
    """Programs with the same lock exclude each other: for those that share buffers.

    ``lock.join(other)`` makes two locks one, also for programs that are loaded already.
    """

    cdef ad_cell cell
    cdef Lock joined  # keeps the next cell alive

    def __cinit__(self):
        global newest, oldest
        cdef ad_cell* cell = &self.cell
        cell.lock = PyThread_allocate_lock()
        cell.queue = PyThread_allocate_lock()
        if cell.lock == NULL or cell.queue == NULL:
            raise MemoryError
        cell.owner = <PyObject*>self
        cell.older = newest
        cell.number = 0 if newest == NULL else newest.number + 1
        if newest == NULL:
            oldest = cell
        else:
            newest.newer = cell
        newest = cell
        if forking:
            cell.held_for_fork = ad_cell_try(cell)

    def __dealloc__(self):
        global newest, oldest
        cdef ad_cell* cell = &self.cell
        if cell.owner != NULL:
            if cell.older == NULL:
                oldest = cell.newer
            else:
                cell.older.newer = cell.newer
            if cell.newer == NULL:
                newest = cell.older
            else:
                cell.newer.older = cell.older
        if cell.lock != NULL:
            PyThread_free_lock(cell.lock)
        if cell.queue != NULL:
            PyThread_free_lock(cell.queue)

    def join(self, Lock other not None):
        """Be the same lock as `other` from now on; waits until both are free."""
        cdef ad_cell* held[2]
        cdef ad_cell* mine
        cdef ad_cell* theirs
        held[0], held[1] = &self.cell, &other.cell
        cdef Py_ssize_t n = hold(held, 2)
        if n == 2:
            mine, theirs = ad_cell_last(&self.cell), ad_cell_last(&other.cell)
            (<Lock>mine.owner).joined = <Lock>theirs.owner
            ad_cell_join(mine, theirs)
        ad_cells_release(held, n)

    cdef PyThread_type_lock acquire(self) noexcept nogil:
        """Wait for the lock that this one has become; it is to be released."""
        return ad_cell_hold(&self.cell).lock

    cdef void hold_for_fork(self) noexcept:
        cdef ad_cell* cell = &self.cell
        if cell.next != NULL:
            return
        if not ad_cell_try(cell):
            with nogil:
                ad_cell_acquire(cell)
        cell.held_for_fork = cell.next == NULL
        if not cell.held_for_fork:  # it joined another one meanwhile
            PyThread_release_lock(cell.lock)


cdef Py_ssize_t hold(ad_cell** cells, Py_ssize_t n) noexcept:
    """Acquire the locks that these have become; their cells, each once, replace `cells`.

    The GIL is released only to wait. Returns how many there are.
    """
    n = ad_cells_sort(cells, n)
    if not ad_cells_try(cells, n):
        with nogil:
            n = ad_cells_hold(cells, n)
    return n


# ---- fork: the child has the memory of all threads, but only one of them ----

cdef Lock forks = Lock()  # the oldest of all: only one thread at a time gets any further


def _before_fork():
    """Hold every lock, in their order: what programs write is whole in the child."""
    global forking
    cdef ad_cell* cell = oldest
    cdef Lock lock
    while cell != NULL:
        lock = <Lock>cell.owner  # and so in the list, as long as we wait
        lock.hold_for_fork()
        cell = cell.newer
    forking = True


def _after_fork_in_parent():
    """Let others run again."""
    global forking
    cdef ad_cell* cell = oldest
    forking = False
    while cell != NULL:
        if cell.held_for_fork:
            cell.held_for_fork = False
            PyThread_release_lock(cell.lock)
        cell = cell.newer


def _after_fork_in_child():
    """Renew every lock: in what state the old ones are is known to those who wait for them."""
    global forking
    cdef ad_cell* cell = oldest
    forking = False
    while cell != NULL:
        cell.lock = PyThread_allocate_lock()  # the old one stays: it may not be freed
        cell.queue = PyThread_allocate_lock()
        if cell.lock == NULL or cell.queue == NULL:
            raise MemoryError
        cell.awaited = cell.held_for_fork = False
        cell = cell.newer


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent,
                        after_in_child=_after_fork_in_child)
