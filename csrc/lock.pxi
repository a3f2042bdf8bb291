# Who may run: a lock for programs that share buffers.

from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_release_lock, PyThread_type_lock, WAIT_LOCK)


cdef struct Cell:
    PyThread_type_lock lock
    Cell* next  # of a lock that has joined another one


cdef class Lock:
    """Programs with the same lock exclude each other: for those that share buffers.

    ``lock.join(other)`` makes two locks one, also for programs that are loaded already.
    """

    cdef Cell cell
    cdef Lock joined  # keeps the next cell alive

    def __cinit__(self):
        self.cell.lock = PyThread_allocate_lock()
        if self.cell.lock == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.cell.lock != NULL:
            PyThread_free_lock(self.cell.lock)

    def join(self, Lock other not None):
        """Be the same lock as `other` from now on; waits until both are free.

        Two threads may not join locks at the same time.
        """
        cdef PyThread_type_lock held, theirs
        cdef Lock last = self, target = other
        while last.joined is not None:
            last = last.joined
        while target.joined is not None:
            target = target.joined
        if last is target:
            return
        with nogil:
            held = last.acquire()
            theirs = target.acquire()
        last.joined = target
        last.cell.next = &target.cell
        PyThread_release_lock(theirs)
        PyThread_release_lock(held)

    cdef PyThread_type_lock acquire(self) noexcept nogil:
        """Wait for the lock at the end of the chain; it is to be released."""
        cdef Cell* cell = &self.cell
        while True:
            while cell.next != NULL:
                cell = cell.next
            PyThread_acquire_lock(cell.lock, WAIT_LOCK)
            if cell.next == NULL:
                return cell.lock
            PyThread_release_lock(cell.lock)  # it joined another one meanwhile
