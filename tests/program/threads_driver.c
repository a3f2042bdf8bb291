/* Hammers csrc/threads.c from several threads, with forks and changes of the number; for
 * ThreadSanitizer. Prints "fine" and returns 0 if every part was done exactly once. */
#define _POSIX_C_SOURCE 200809L

#include "threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PARTS 40

typedef struct {
    int times[PARTS];
    double numbers[PARTS];
} job;

static void count(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    job *j = work;
    (void)helps;
    for (ptrdiff_t i = first; i < last; i++) {
        double x = (double)i;
        for (int k = 0; k < 200; k++) x = x * 0.5 + 1.0;
        j->times[i]++;
        j->numbers[i] += x;
    }
}

static int failures = 0;

static void *hammer(void *rounds)
{
    job j = {{0}, {0.0}};
    const int n = *(int *)rounds;
    for (int r = 1; r <= n; r++) {
        const ptrdiff_t parts = r % PARTS + 1;
        for (int i = 0; i < PARTS; i++) j.times[i] = 0;
        ad_parallel(count, &j, parts);
        for (int i = 0; i < PARTS; i++)
            if (j.times[i] != (i < parts)) __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
        if (r % 100 == 0) {
            const struct timespec moment = {0, 100000}; /* workers go to sleep */
            nanosleep(&moment, NULL);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 2000;
    const int forks = argc > 2 ? atoi(argv[2]) : 1;
    pthread_t callers[3];
    ad_set_threads(3);
    hammer(&rounds);
    for (int i = 0; i < 3; i++)
        if (pthread_create(&callers[i], NULL, hammer, &rounds)) return 2;
    for (int i = 0; i < 60; i++) ad_set_threads(1 + i % 4);
    for (int i = 0; i < forks; i++) {
        const pid_t child = fork();
        if (child == 0) {
            int few = 200;
            ad_set_threads(2 + i % 2);
            hammer(&few);
            ad_end_threads();
            hammer(&few);
            _exit(failures != 0);
        }
        int status = 1;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) failures++;
    }
    for (int i = 0; i < 3; i++) pthread_join(callers[i], NULL);
    ad_set_threads(4);
    hammer(&rounds);
    ad_end_threads();
    hammer(&rounds);
    puts(failures ? "parts were lost or done twice" : "fine");
    return failures != 0;
}
