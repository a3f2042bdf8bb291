/* The kernels for x86-64-v4: AVX-512. */
#include "targets.h"

#ifdef AD_TARGETS
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define AD_LEVEL 4
#define AD_ISA "v4"
#define AD_TABLE ad_kernels_v4
#include "table.inc"
#else
typedef int ad_nothing_here; /* ISO C wants one declaration */
#endif
