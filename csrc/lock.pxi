# Who may run: a lock for programs that share buffers.

from cpython.pythread cimport (
    PyThread_allocate_lock, PyThread_free_lock, PyThread_get_thread_ident, PyThread_release_lock,
    PyThread_type_lock)

from autodiff.errors import CallBackError

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
    bint ad_cell_acquire_within(ad_cell*, long long) noexcept nogil
    bint ad_cell_try(ad_cell*) noexcept nogil
    void ad_pause() noexcept nogil
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

    cdef PyThread_type_lock acquire_calling_back(self) except? NULL:
        """The same, with the GIL, if this thread is calling back; else NULL."""
        cdef ad_cell* cell = &self.cell
        if not is_calling_back():
            return NULL
        hold_calling_back(&cell, 1)
        return cell.lock


cdef Py_ssize_t hold(ad_cell** cells, Py_ssize_t n) except -1:
    """Acquire the locks that these have become; their cells, each once, replace `cells`.

    The GIL is released only to wait. Returns how many there are.
    """
    if calls != NULL and is_calling_back():
        return hold_calling_back(cells, n)
    n = ad_cells_sort(cells, n)
    if not ad_cells_try(cells, n):
        with nogil:
            n = ad_cells_hold(cells, n)
    return n


# ---- threads that are calling back: they hold a lock, and run code that may ask for others ----

cdef enum:
    A_MOMENT = 20_000  # microseconds
    A_SECOND = 1_000_000

cdef struct Calling:
    unsigned long thread
    ad_cell* cell   # that it holds
    Calling* next

cdef Calling* calls = NULL  # all of them; only with the GIL
cdef double patience = 10.0


def _set_patience(double seconds):
    """How long a thread that is calling back waits for another lock; what it was. (For tests.)"""
    global patience
    before, patience = patience, seconds
    return before


cdef void begin_calling(Calling* calling, Lock lock) noexcept:
    """Note that this thread, which holds `lock`, runs Python code."""
    global calls
    calling.thread = PyThread_get_thread_ident()
    calling.cell = ad_cell_last(&lock.cell)
    calling.next = calls
    calls = calling


cdef void end_calling(Calling* calling) noexcept:
    cdef Calling** link = &calls
    while link[0] != NULL:
        if link[0] == calling:
            link[0] = calling.next
            return
        link = &link[0].next


cdef bint is_calling(ad_cell* cell) noexcept:
    """Whether a thread that is calling back holds it."""
    cdef Calling* c = calls
    while c != NULL:
        if c.cell == cell:
            return True
        c = c.next
    return False


cdef bint is_calling_back() noexcept:
    """Whether this thread is."""
    cdef Calling* c = calls
    if c == NULL:
        return False
    cdef unsigned long me = PyThread_get_thread_ident()
    while c != NULL:
        if c.thread == me:
            return True
        c = c.next
    return False


cdef bint is_mine(ad_cell* cell) noexcept:
    """Whether this thread is calling back and holds the lock."""
    cdef Calling* c = calls
    if c == NULL:
        return False
    cdef unsigned long me = PyThread_get_thread_ident()
    while c != NULL:
        if c.thread == me and c.cell == cell:
            return True
        c = c.next
    return False


cdef Py_ssize_t hold_calling_back(ad_cell** cells, Py_ssize_t n) except -1:
    """As hold(), for a thread that is calling back: it holds a lock already.

    So threads could wait for each other in a circle. What it holds itself is refused at once, and
    nothing is waited for longer than some seconds.
    """
    cdef Py_ssize_t i
    cdef double end = ad_clock() + 1e9 * patience
    cdef bint held
    while True:
        n = ad_cells_sort(cells, n)
        for i in range(n):
            if is_mine(cells[i]):
                raise CallBackError(
                    "a rule that a compiled step calls back asks for what the step holds while "
                    "the rule runs: it may not call that step, nor one that shares a tensor with "
                    "it, nor read or assign its tensors. Give the op what it needs as inputs")
        held = ad_cells_try(cells, n)
        if held:
            return n
        PyErr_CheckSignals()
        if ad_clock() > end:
            raise CallBackError(
                f"a rule that a compiled step calls back waits for another step's tensors, and has "
                f"not got them in {patience:g} s: it seems that threads wait for each other. Do not "
                "call steps in rules that threads call at the same time")
        if n > 1:
            with nogil:
                ad_pause()
            continue
        with nogil:
            held = ad_cell_acquire_within(cells[0], A_MOMENT)
        if held:
            if cells[0].next == NULL:
                return n
            PyThread_release_lock(cells[0].lock)  # it joined another one meanwhile


# ---- fork: the child has the memory of all threads, but only one of them ----

cdef Lock forks = Lock()  # the oldest of all: only one thread at a time gets any further


def _before_fork():
    """Hold every lock, in their order: what programs write is whole in the child.

    But for those that this thread holds already: it is calling back. If another thread that is
    calling back has one, it may want those that are held here: then all are given back, and that one
    is waited for first.
    """
    global forking
    cdef Lock first = None
    cdef Lock lock
    cdef list taken
    cdef long long moment = A_MOMENT
    while True:
        taken = []
        first = hold_all(first, taken, moment)
        if first is None:
            break
        for lock in taken:
            PyThread_release_lock(lock.cell.lock)
        if moment < A_SECOND:
            moment *= 2
    for lock in taken:
        lock.cell.held_for_fork = True
    forking = True


cdef Lock hold_all(Lock first, list taken, long long moment):
    """Hold `first`, and then all others; the lock that could not be had, or None."""
    cdef ad_cell* cell = oldest
    cdef Lock lock
    if first is not None:
        hold_for_fork(first, taken, A_SECOND, True)
    while cell != NULL:
        lock = <Lock>cell.owner  # and so in the list, as long as we wait
        if lock is not first and not hold_for_fork(lock, taken, moment, False, first is None):
            return lock
        cell = cell.newer
    return None


cdef bint hold_for_fork(
    Lock lock, list taken, long long moment, bint alone, bint in_order=True
) except -1:
    """Whether the lock is held, or need not be.

    alone : no other lock is held, so that this one can be waited for. in_order : those that are held
        are older; so it can be waited for, too, unless a thread that is calling back has it.
    """
    cdef ad_cell* cell = &lock.cell
    cdef bint held
    if cell.next != NULL or is_mine(cell):
        return True
    held = ad_cell_try(cell)
    while not held:
        with nogil:
            held = ad_cell_acquire_within(cell, moment)
        if not (held or alone or (in_order and not is_calling(cell))):
            return False
    if cell.next == NULL:
        taken.append(lock)
    else:  # it joined another one meanwhile
        PyThread_release_lock(cell.lock)
    return True


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
    """Renew every lock: in what state the old ones are is known to those who wait for them.

    But for those that this thread holds, and will release.
    """
    global forking
    cdef ad_cell* cell = oldest
    cdef Calling** link = &calls
    forking = False
    while link[0] != NULL:  # there are no other threads
        if link[0].thread == PyThread_get_thread_ident():
            link = &link[0].next
        else:
            link[0] = link[0].next
    while cell != NULL:
        if not is_mine(cell):
            cell.lock = PyThread_allocate_lock()  # the old one stays: it may not be freed
        cell.queue = PyThread_allocate_lock()
        if cell.lock == NULL or cell.queue == NULL:
            raise MemoryError
        cell.awaited = cell.held_for_fork = False
        cell = cell.newer


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent,
                        after_in_child=_after_fork_in_child)
