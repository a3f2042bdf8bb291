/* Scalar functions that a compiler can vectorise: no branches, no tables, no calls.
 *
 * Each is range reduction and a polynomial. The polynomials are minimax fits (Remez) and
 * are evaluated by Estrin's scheme, whose short chains keep a few elements as fast as
 * many. Nothing is fused, so every instruction set gives the same bits.
 *
 * Selections (`a ? b : c`) are compiled to blends: both sides are computed. Comparisons
 * are between doubles, since SSE2 has none for 64-bit integers. docs/numerics.md has the
 * error bounds; tests/backend/test_ulp.py measures them.
 */
#ifndef AD_FUNCTIONS_H
#define AD_FUNCTIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define AD_INLINE static inline __attribute__((always_inline))

AD_INLINE uint64_t ad_bits(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

AD_INLINE double ad_double(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Adding 1.5 2^52 rounds to an integer and leaves it in the low bits of the sum. */
#define AD_ROUND 0x1.8p52
#define AD_LOG2E 0x1.71547652b82fep+0
#define AD_LN2_HI 0x1.62e42fefa3p-1 /* 41 bits: k AD_LN2_HI is exact for |k| < 2^12 */
#define AD_LN2_LO 0x1.3de6af278ece6p-42
#define AD_INF ((double)INFINITY)
#define AD_NAN ((double)NAN)

/* 2^k for an integer -1022 <= k <= 1023 held in a double. */
AD_INLINE double ad_pow2(double k)
{
    return ad_double(ad_bits(k + (AD_ROUND + 1023.0)) << 52);
}

/* q with e^r = 1 + r + r^2 q, for |r| <= ln 2 / 2. */
AD_INLINE double ad_exp_poly(double r)
{
    const double r2 = r * r, r4 = r2 * r2;
    const double a = 0x1.0p-1 + 0x1.5555555555559p-3 * r;
    const double b = 0x1.555555555555ap-5 + 0x1.111111110f7c8p-7 * r;
    const double c = 0x1.6c16c16c145eap-10 + 0x1.a01a01af84b2ap-13 * r;
    const double d = 0x1.a01a01b0559cdp-16 + 0x1.71ddf92978871p-19 * r;
    const double e = 0x1.27e4c64812cadp-22 + 0x1.af5d73730a134p-26 * r;
    const double f = e + 0x1.1f948e6e76d02p-29 * r2;
    return (a + b * r2) + r4 * ((c + d * r2) + r4 * f);
}

/* e^x: x = k ln 2 + r, and 2^k in two factors, so that denormal results round once. */
AD_INLINE double ad_exp(double x)
{
    x = x > 710.0 ? 710.0 : x;
    x = x < -746.0 ? -746.0 : x; /* NaN passes both */
    const double k = (x * AD_LOG2E + AD_ROUND) - AD_ROUND;
    const double r = (x - k * AD_LN2_HI) - k * AD_LN2_LO;
    const double y = 1.0 + (r + r * r * ad_exp_poly(r));
    const double k1 = (k * 0.5 + AD_ROUND) - AD_ROUND;
    return y * ad_pow2(k1) * ad_pow2(k - k1);
}

/* e^x - 1 = 2^k (p + (1 - 2^-k)) with p = e^r - 1; -60 < x < 710 or NaN. */
AD_INLINE double ad_expm1_core(double x)
{
    const double k = (x * AD_LOG2E + AD_ROUND) - AD_ROUND;
    const double hi = x - k * AD_LN2_HI, lo = k * AD_LN2_LO;
    const double r = hi - lo, rest = (hi - r) - lo; /* rest: what rounding r lost */
    const double p = r + (r * r * ad_exp_poly(r) + rest);
    const double far = k > 1000.0 ? 0.0 : ad_pow2(-k); /* 2^-1024 has no such bits */
    const double y = p + (1.0 - far); /* p + 0 where k = 0 */
    const double k1 = (k * 0.5 + AD_ROUND) - AD_ROUND;
    return y * ad_pow2(k1) * ad_pow2(k - k1);
}

AD_INLINE double ad_expm1(double x)
{
    const double c = x > 710.0 ? 710.0 : x;
    const double y = ad_expm1_core(c < -50.0 ? -50.0 : c);
    return x == 0.0 ? x : y; /* the sign of zero */
}

/* ln x and ln(1 + x) from x 2^-k = 1 + f, sqrt(1/2) <= 1 + f < sqrt(2):
 * s = f / (2 + f), ln(1 + f) = 2 atanh s = f - (f^2/2 - s (f^2/2 + z R(z))), z = s^2;
 * `rest` is a small correction to ln 2^k. */
AD_INLINE double ad_log_core(double k, double f, double rest)
{
    const double s = f / (2.0 + f), z = s * s, z2 = z * z;
    const double a = 0x1.5555555555573p-1 + 0x1.99999999886b5p-2 * z;
    const double b = 0x1.2492493b7228dp-2 + 0x1.c71c56b560289p-3 * z;
    const double c = 0x1.7465614320318p-3 + 0x1.39b632d9feef7p-3 * z;
    const double R = (a + b * z2) + z2 * z2 * (c + 0x1.2e466ae7214b2p-3 * z2);
    const double half = 0.5 * f * f;
    const double low = s * (half + z * R) + (k * AD_LN2_LO + rest);
    return k * AD_LN2_HI - ((half - low) - f);
}

#define AD_SQRT_HALF UINT64_C(0x3fe6a09e667f3bcd)
#define AD_ONE UINT64_C(0x3ff0000000000000)

/* The k of above for a normal x > 0, as a double, and x 2^-k in *m. */
AD_INLINE double ad_split(double x, double *m)
{
    /* Bias by 1024 so that the shift need not keep a sign. */
    const uint64_t u = ad_bits(x) - AD_SQRT_HALF + (UINT64_C(1024) << 52);
    const uint64_t k = u >> 52;
    *m = ad_double(ad_bits(x) - (k << 52) + (UINT64_C(1024) << 52));
    return ad_double(k | UINT64_C(0x4330000000000000)) - (0x1p52 + 1024.0);
}

AD_INLINE double ad_log(double x)
{
    double m;
    const double normal = x < 0x1p-1022 ? x * 0x1p54 : x;
    double k = ad_split(normal, &m);
    k = x < 0x1p-1022 ? k - 54.0 : k;
    double z = ad_log_core(k, m - 1.0, 0.0);
    z = x == 0.0 ? -AD_INF : z;
    z = x < 0.0 ? AD_NAN : z;
    z = x == AD_INF ? AD_INF : z;
    return x != x ? x : z;
}

/* u = 1 + x rounded; what was lost enters as (x - (u - 1)) / u. */
AD_INLINE double ad_log1p(double x)
{
    double m;
    const double u = 1.0 + x;
    const double lost = x > 1.0 ? 1.0 - (u - x) : x - (u - 1.0);
    const double k = ad_split(u, &m);
    const double f = k == 0.0 ? x : m - 1.0;
    double z = ad_log_core(k, f, k == 0.0 ? 0.0 : lost / u);
    z = x == 0.0 ? x : z;
    z = x == -1.0 ? -AD_INF : z;
    z = x < -1.0 ? AD_NAN : z;
    z = x == AD_INF ? AD_INF : z;
    return x != x ? x : z;
}

/* tanh |x| = -t / (2 + t) with t = e^(-2|x|) - 1: no cancellation, no overflow. */
AD_INLINE double ad_tanh(double x)
{
    const double y = fabs(x);
    const double t = ad_expm1_core(y > 25.0 ? -50.0 : -2.0 * y);
    return copysign(-t / (2.0 + t), x);
}

/* 1 / (1 + e^-x) = e^x / (1 + e^x), whichever exponential is at most 1. */
AD_INLINE double ad_sigmoid(double x)
{
    const double e = ad_exp(-fabs(x));
    return (x >= 0.0 ? 1.0 : e) / (1.0 + e);
}

AD_INLINE double ad_softplus(double x)
{
    return (x > 0.0 ? x : 0.0) + ad_log1p(ad_exp(-fabs(x)));
}

AD_INLINE double ad_sign(double x)
{
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x == 0.0 ? 0.0 : x;
}

/* x^p; the cases that NumPy computes in one operation are computed so here. */
AD_INLINE double ad_power(double x, double p)
{
    return p == 2.0 ? x * x : p == 1.0 ? x : p == 0.5 ? sqrt(x) : p == -1.0 ? 1.0 / x : pow(x, p);
}

/* Its derivative; x^0 is the constant 1, also at 0, where 0 x^-1 would be 0 inf. */
AD_INLINE double ad_power_slope(double x, double p)
{
    return p == 0.0 ? 0.0 : p * ad_power(x, p - 1.0);
}

/* 1 where x > y, 1/2 where x = y, 0 where x < y or either is NaN. */
AD_INLINE double ad_share(double x, double y)
{
    return 0.5 * ((x > y ? 1.0 : 0.0) + (x >= y ? 1.0 : 0.0));
}

#endif
