/* The kernels for any machine, and the choice among the tables. */
#define AD_LEVEL 0
#define AD_ISA "base"
#define AD_TABLE ad_kernels_base
#include "table.inc"

#include "targets.h"

#ifdef AD_TARGETS
extern const ad_kernels ad_kernels_v3, ad_kernels_v4;
#endif

int ad_usable_kernels(const ad_kernels *usable[AD_MAX_ISAS])
{
    int n = 0;
    usable[n++] = &ad_kernels_base;
#ifdef AD_TARGETS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")) {
        usable[n++] = &ad_kernels_v3;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl"))
            usable[n++] = &ad_kernels_v4;
    }
#endif
    return n;
}
