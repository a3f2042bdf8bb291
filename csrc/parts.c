/* What is common to cutting large instructions into parts that several threads can do.
 *
 * A part is computed by the kernels that would compute the whole, on blocks that the whole would
 * have, too: so the results have the same bits for any number of threads. */
#include "parts.h"

/* Work is counted in steps of a map or of a product whose operands are in the cache. Measured
 * (docs/numerics.md): a worker that is looking for work begins 0.4 us after the call, so that 10 us
 * become 6; one that sleeps costs the caller 8 us and begins after 5 to 17 us, so that 20 us become
 * 23 and 50 become 40. So instructions of some 25 us or more are cut, into parts of 6 us or more,
 * or a late worker would find nothing left; more than MOST parts leave nothing to gain. */
#define MOST_PARTS 16
#define LEAST_PARTS 4

ptrdiff_t ad_parts_of(double units, double cost, double from)
{
    const double parts = units * cost / from * LEAST_PARTS;
    if (!(parts >= LEAST_PARTS) || units < 2.0) return 1;
    const ptrdiff_t most = parts < MOST_PARTS ? (ptrdiff_t)parts : MOST_PARTS;
    return units < (double)most ? (ptrdiff_t)units : most;
}

int ad_execute_parts(void *parameters)
{
    const ad_parts *parts = parameters; /* what each of these structures begins with */
    ad_parallel(parts->run, parameters, parts->n);
    return 0;
}
