/* A pool of threads for large pieces of work.
 *
 * Work is cut into parts by its size alone, so that results do not depend on the number of
 * threads; who does which part is decided as they go. One caller at a time has the pool; for
 * another one that comes meanwhile, for one thread, and where there are no threads,
 * ad_parallel is a plain call.
 *
 * Workers are started at first need. After their last part they look for more by spinning
 * for some microseconds, then they sleep. In a child process after fork() there are none,
 * until it needs some. */
#ifndef AD_THREADS_H
#define AD_THREADS_H

#include <stddef.h>

#define AD_MOST_THREADS 64

/* Does parts first <= i < last. `helps`: in a worker, which has its own stack and nothing
 * else of its own. */
typedef void (*ad_do_parts)(void *work, ptrdiff_t first, ptrdiff_t last, int helps);

/* All parts 0 <= i < parts, on several threads; returns when all are done. */
void ad_parallel(ad_do_parts do_parts, void *work, ptrdiff_t parts);

/* The number of threads, with the caller's; at first one. */
int ad_threads(void);

/* Waits until nobody has the pool. */
void ad_set_threads(int n);

/* End all workers for good; programs that run go on alone. */
void ad_end_threads(void);

#endif
