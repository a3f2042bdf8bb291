/* The kernels for x86-64-v3: AVX2 and FMA. */
#include "targets.h"

#ifdef AD_TARGETS
#pragma GCC target("arch=x86-64-v3")
#define AD_LEVEL 3
#define AD_ISA "v3"
#define AD_TABLE ad_kernels_v3
#include "table.inc"
#else
typedef int ad_nothing_here; /* ISO C wants one declaration */
#endif
