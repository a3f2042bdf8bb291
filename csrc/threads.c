#define _POSIX_C_SOURCE 200809L

#include "threads.h"

#if !defined(__STDC_NO_ATOMICS__) && (defined(__unix__) || defined(__APPLE__))
#define AD_POSIX_THREADS
#endif

#ifdef AD_POSIX_THREADS

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* How long a worker looks for more work before it sleeps. Waking it costs the caller some 5 us
 * and comes another 10 to 50 us later; between two large instructions of a step there are
 * seldom more than this. */
#define SPIN_NANOSECONDS 20000.0

/* A part takes some 6 us, or a sixteenth of an instruction. */
#define LONG_WAIT 500000.0

/* Of a worker: the scratch of a run (program.c) and a strip of a product (matmul.inc). */
#define STACK_BYTES ((size_t)1 << 20)

/* Where workers sleep. A child process makes itself a new one: nobody knows in which state the
 * old one was at the time of the fork. */
typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} room;

static struct {
    /* Job number in the high half, parts that nobody has begun in the low half: taking a part
     * is one exchange, which fails if the job is another one meanwhile. */
    _Atomic uint64_t ticket;
    _Atomic(ad_do_parts) do_parts;
    _Atomic(void *) work;
    _Atomic ptrdiff_t parts;
    _Atomic ptrdiff_t done;
    atomic_int taken;    /* somebody has the pool */
    atomic_int sleepers;
    atomic_int stop;     /* workers shall end */
    atomic_int closed;   /* no new ones */
    atomic_int threads;  /* as set */
    /* The rest belongs to the one who has the pool. */
    int workers;         /* that run */
    double alone_until;  /* see wait_for_others */
    pthread_t worker[AD_MOST_THREADS];
    room *room;
} pool = {.threads = 1};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- parts ---- */

/* Do parts of the job on the ticket as long as there are any. */
static void help(int helps)
{
    uint64_t ticket = atomic_load_explicit(&pool.ticket, memory_order_acquire);
    while ((uint32_t)ticket != 0) {
        const ad_do_parts do_parts = atomic_load_explicit(&pool.do_parts, memory_order_relaxed);
        void *work = atomic_load_explicit(&pool.work, memory_order_relaxed);
        const ptrdiff_t parts = atomic_load_explicit(&pool.parts, memory_order_relaxed);
        /* If the ticket is still the same, what was just read belongs to it. */
        if (!atomic_compare_exchange_weak_explicit(&pool.ticket, &ticket, ticket - 1,
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        const ptrdiff_t i = parts - (ptrdiff_t)(uint32_t)ticket;
        do_parts(work, i, i + 1, helps);
        atomic_fetch_add_explicit(&pool.done, 1, memory_order_release);
        ticket = atomic_load_explicit(&pool.ticket, memory_order_acquire);
    }
}

static int has_work(void) { return (uint32_t)atomic_load(&pool.ticket) != 0; }

static int must_stop(void) { return atomic_load_explicit(&pool.stop, memory_order_relaxed); }

/* ---- workers ---- */

static void sleep_until_work(void)
{
    pthread_mutex_lock(&pool.room->mutex);
    atomic_fetch_add(&pool.sleepers, 1);
    while (!has_work() && !must_stop())
        pthread_cond_wait(&pool.room->wake, &pool.room->mutex);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.room->mutex);
}

static void wake_all(void)
{
    pthread_mutex_lock(&pool.room->mutex);
    pthread_cond_broadcast(&pool.room->wake);
    pthread_mutex_unlock(&pool.room->mutex);
}

static void *run_worker(void *unused)
{
    (void)unused;
    double idle = now();
    while (!must_stop()) {
        if (has_work()) {
            help(1);
            idle = now();
        }
        for (int i = 0; i < 32 && !has_work(); i++) relax();
        if (!has_work() && now() - idle > SPIN_NANOSECONDS) {
            sleep_until_work();
            idle = now();
        }
    }
    return NULL;
}

static int watches_forks = 0;

/* In the child of a fork: there are no other threads. */
static void forget(void)
{
    atomic_store(&pool.ticket, atomic_load(&pool.ticket) >> 32 << 32);
    atomic_store(&pool.taken, 0);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.stop, 0);
    pool.workers = 0;
    pool.room = NULL;
}

static room *new_room(void)
{
    room *made = malloc(sizeof *made);
    if (made == NULL) return NULL;
    if (pthread_mutex_init(&made->mutex, NULL) == 0) {
        if (pthread_cond_init(&made->wake, NULL) == 0) return made;
        pthread_mutex_destroy(&made->mutex);
    }
    free(made);
    return NULL;
}

/* As many workers as are wanted, or can be had. */
static void start_workers(int wanted)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (!watches_forks) return;
    if (pool.room == NULL) pool.room = new_room();
    if (pool.room == NULL || pthread_attr_init(&attributes) != 0) return;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    /* Signals are for the threads that Python knows. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers < wanted &&
           pthread_create(&pool.worker[pool.workers], &attributes, run_worker, NULL) == 0)
        pool.workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void stop_workers(void)
{
    if (pool.workers == 0) return;
    atomic_store(&pool.stop, 1);
    wake_all();
    while (pool.workers > 0) pthread_join(pool.worker[--pool.workers], NULL);
    atomic_store(&pool.stop, 0);
}

/* ---- the pool ---- */

static int try_take(void)
{
    return !atomic_load_explicit(&pool.taken, memory_order_relaxed) &&
           !atomic_exchange_explicit(&pool.taken, 1, memory_order_acquire);
}

static void take(void)
{
    const struct timespec moment = {0, 20000};
    while (!try_take()) nanosleep(&moment, NULL);
}

static void give_back(void) { atomic_store_explicit(&pool.taken, 0, memory_order_release); }

static int is_done(ptrdiff_t parts)
{
    return atomic_load_explicit(&pool.done, memory_order_acquire) == parts;
}

/* Others are at their last parts. A wait that is longer than any part means that one of them
 * lost its core to another process, for milliseconds: then there are no cores to spare, and
 * we go on alone for so much longer that such waits cost a tenth of the time at most. */
static void wait_for_others(ptrdiff_t parts)
{
    for (int spins = 0; spins < 1000; spins++) {
        if (is_done(parts)) return;
        relax();
    }
    const double start = now();
    while (!is_done(parts)) sched_yield();
    const double waited = now() - start;
    if (waited > LONG_WAIT) pool.alone_until = start + (waited < 1e7 ? 11.0 * waited : 1.1e8);
}

int ad_threads(void) { return atomic_load_explicit(&pool.threads, memory_order_relaxed); }

void ad_parallel(ad_do_parts do_parts, void *work, ptrdiff_t parts)
{
    const int threads = ad_threads();
    if (threads < 2 || parts < 2 || parts > UINT32_MAX || !try_take()) {
        do_parts(work, 0, parts, 0);
        return;
    }
    if (pool.workers < threads - 1 && !atomic_load(&pool.closed)) start_workers(threads - 1);
    if (pool.alone_until > 0.0 && now() > pool.alone_until) pool.alone_until = 0.0;
    if (pool.workers == 0 || pool.alone_until > 0.0) {
        give_back();
        do_parts(work, 0, parts, 0);
        return;
    }
    const uint64_t job = (atomic_load_explicit(&pool.ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&pool.do_parts, do_parts, memory_order_relaxed);
    atomic_store_explicit(&pool.work, work, memory_order_relaxed);
    atomic_store_explicit(&pool.parts, parts, memory_order_relaxed);
    atomic_store_explicit(&pool.done, 0, memory_order_relaxed);
    atomic_store(&pool.ticket, job << 32 | (uint64_t)parts);
    if (atomic_load(&pool.sleepers) > 0) wake_all();
    help(0);
    wait_for_others(parts);
    give_back();
}

void ad_set_threads(int n)
{
    /* The first call comes when the library is loaded: before anybody can fork. */
    if (!watches_forks) watches_forks = pthread_atfork(NULL, NULL, forget) == 0;
    n = n < 1 ? 1 : n > AD_MOST_THREADS ? AD_MOST_THREADS : n;
    take();
    if (n - 1 < pool.workers) stop_workers();
    atomic_store(&pool.threads, n);
    give_back();
}

void ad_end_threads(void)
{
    atomic_store(&pool.closed, 1);
    take();
    stop_workers();
    give_back();
}

#else

void ad_parallel(ad_do_parts do_parts, void *work, ptrdiff_t parts)
{
    do_parts(work, 0, parts, 0);
}

int ad_threads(void) { return 1; }
void ad_set_threads(int n) { (void)n; }
void ad_end_threads(void) {}

#endif
