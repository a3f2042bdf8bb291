/* One lock as the loops see it. Locks that were joined are one lock, the last of their chain;
 * several are always acquired in the order of their numbers, so nobody waits in a circle.
 * Included once, by _core.c. */
#ifndef AD_LOCK_H
#define AD_LOCK_H

#include <Python.h>
#include <pythread.h>

#include <string.h>
#include <time.h>

typedef struct ad_cell ad_cell;
struct ad_cell {
    PyThread_type_lock lock;
    PyThread_type_lock queue; /* of the one who waits for `lock`; the others wait for this */
    int awaited;              /* somebody has the queue; else the lock may be taken at once */
    int held_for_fork;
    unsigned long long number; /* of all locks, in the order in which they were made */
    ad_cell *next;             /* of a lock that has joined another one */
    ad_cell *older, *newer;    /* all that live; only with the GIL */
    PyObject *owner;
};

static inline ad_cell *ad_cell_next(const ad_cell *cell)
{
    return __atomic_load_n(&cell->next, __ATOMIC_ACQUIRE);
}

static inline ad_cell *ad_cell_last(ad_cell *cell)
{
    ad_cell *next;
    while ((next = ad_cell_next(cell)) != NULL) cell = next;
    return cell;
}

/* Of two last cells, both acquired: the first becomes the second. */
static inline void ad_cell_join(ad_cell *cell, ad_cell *other)
{
    __atomic_store_n(&cell->next, other, __ATOMIC_RELEASE);
}

static inline void ad_cell_release(ad_cell *cell) { PyThread_release_lock(cell->lock); }

/* Whether the lock, if it is the last of its chain, could be had without waiting. */
static inline int ad_cell_try(ad_cell *cell)
{
    return !__atomic_load_n(&cell->awaited, __ATOMIC_RELAXED) &&
           PyThread_acquire_lock(cell->lock, NOWAIT_LOCK) == PY_LOCK_ACQUIRED;
}

/* One who comes back at once (a loop of calls) must not overtake one who waits: waking up
 * takes longer than coming back. */
static inline void ad_cell_acquire(ad_cell *cell)
{
    if (ad_cell_try(cell)) return;
    PyThread_acquire_lock(cell->queue, WAIT_LOCK);
    __atomic_store_n(&cell->awaited, 1, __ATOMIC_RELAXED);
    PyThread_acquire_lock(cell->lock, WAIT_LOCK);
    __atomic_store_n(&cell->awaited, 0, __ATOMIC_RELAXED);
    PyThread_release_lock(cell->queue);
}

/* The same, but not for longer than some microseconds: whether it was acquired. */
static inline int ad_cell_acquire_within(ad_cell *cell, long long microseconds)
{
    if (ad_cell_try(cell)) return 1;
    if (PyThread_acquire_lock_timed(cell->queue, microseconds, 0) != PY_LOCK_ACQUIRED) return 0;
    __atomic_store_n(&cell->awaited, 1, __ATOMIC_RELAXED);
    const int had =
        PyThread_acquire_lock_timed(cell->lock, microseconds, 0) == PY_LOCK_ACQUIRED;
    __atomic_store_n(&cell->awaited, 0, __ATOMIC_RELAXED);
    PyThread_release_lock(cell->queue);
    return had;
}

/* The last cell of the chain, acquired. */
static inline ad_cell *ad_cell_hold(ad_cell *cell)
{
    for (;;) {
        cell = ad_cell_last(cell);
        ad_cell_acquire(cell);
        if (ad_cell_next(cell) == NULL) return cell;
        ad_cell_release(cell); /* it joined another one meanwhile */
    }
}

/* A millisecond, for those who cannot wait for one lock. */
static inline void ad_pause(void)
{
    const struct timespec moment = {0, 1000000};
    nanosleep(&moment, NULL);
}

/* ---- several at once ---- */

static inline void ad_cells_release(ad_cell *const *cells, Py_ssize_t n)
{
    while (n > 0) ad_cell_release(cells[--n]);
}

/* Replace the cells by the last ones of their chains, each once, in order; how many. */
static inline Py_ssize_t ad_cells_sort(ad_cell **cells, Py_ssize_t n)
{
    Py_ssize_t found = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        ad_cell *last = ad_cell_last(cells[i]);
        Py_ssize_t k = found;
        while (k > 0 && cells[k - 1]->number > last->number) k--;
        if (k > 0 && cells[k - 1] == last) continue;
        memmove(cells + k + 1, cells + k, (size_t)(found - k) * sizeof *cells);
        cells[k] = last;
        found++;
    }
    return found;
}

/* Of sorted cells: all or none, without waiting. Only with the GIL: nobody joins meanwhile. */
static inline int ad_cells_try(ad_cell *const *cells, Py_ssize_t n)
{
    for (Py_ssize_t i = 0; i < n; i++)
        if (!ad_cell_try(cells[i])) {
            ad_cells_release(cells, i);
            return 0;
        }
    return 1;
}

/* The last cells of the chains, each once and acquired, take the place of `cells`; how many. */
static inline Py_ssize_t ad_cells_hold(ad_cell **cells, Py_ssize_t n)
{
    for (;;) {
        Py_ssize_t held = 0;
        n = ad_cells_sort(cells, n);
        while (held < n) {
            ad_cell_acquire(cells[held]);
            if (ad_cell_next(cells[held++]) != NULL) break;
        }
        if (held == 0 || ad_cell_next(cells[held - 1]) == NULL) return n;
        ad_cells_release(cells, held);
    }
}

#endif
