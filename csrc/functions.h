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

/* e^x - 1 = 2^k p + (2^k - 1) with p = e^r - 1; |x| < 750 or NaN. */
AD_INLINE double ad_exp_minus_1(double x, double *k)
{
    *k = (x * AD_LOG2E + AD_ROUND) - AD_ROUND;
    const double hi = x - *k * AD_LN2_HI, lo = *k * AD_LN2_LO;
    const double r = hi - lo, rest = (hi - r) - lo; /* rest: what rounding r lost */
    return r + (r * r * ad_exp_poly(r) + rest);
}

AD_INLINE double ad_expm1(double x)
{
    double k;
    const double c = x > 710.0 ? 710.0 : x < -50.0 ? -50.0 : x;
    const double p = ad_exp_minus_1(c, &k);
    const double far = k > 1000.0 ? 0.0 : ad_pow2(-k); /* 2^-1024 has no such bits */
    const double k1 = (k * 0.5 + AD_ROUND) - AD_ROUND;
    const double y = (p + (1.0 - far)) * ad_pow2(k1) * ad_pow2(k - k1);
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

/* With u = e^(-2|x|) and t = u - 1: tanh |x| = -t / (1 + u) where that is below 1/2, and
 * 1 - 2u / (1 + u) above, where the rounding of t would count double. */
AD_INLINE double ad_tanh(double x)
{
    double k;
    const double y = fabs(x);
    const double p = ad_exp_minus_1(y > 25.0 ? -50.0 : -2.0 * y, &k);
    const double scale = ad_pow2(k);
    const double t = scale * p + (scale - 1.0), u = scale * p + scale;
    const double q = (t < -2.0 / 3.0 ? u + u : -t) / (2.0 + t);
    return copysign(t < -2.0 / 3.0 ? 1.0 - q : q, x);
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

/* ---- sine and cosine ---- */

/* x = k pi/2 + r + lo, with pi/2 in three parts of 33, 33 and 53 bits: k times the first
 * two is exact. Up to AD_NEAR what the third lacks stays below half an ulp of r, however close
 * x comes to a multiple of pi/2; beyond, and for NaN, libm is asked (`far`). */
#define AD_NEAR 32768.0
#define AD_PIO2_1 0x1.921fb544p+0
#define AD_PIO2_2 0x1.0b4611a6p-34
#define AD_PIO2_3 0x1.3198a2e037073p-69

/* sin(x + turns pi/2). */
AD_INLINE double ad_sin_near(double x, uint64_t turns)
{
    const double n = x * 0x1.45f306dc9c883p-1 + AD_ROUND, k = n - AD_ROUND;
    const uint64_t quarter = ad_bits(n) + turns;
    const double t = x - k * AD_PIO2_1, w = k * AD_PIO2_2;
    const double a = t - w, b = a - t;
    const double lost = ((t - (a - b)) - (w + b)) - k * AD_PIO2_3; /* t - w - a exactly, ... */
    const double r = a + lost, lo = (a - r) + lost;
    const double z = r * r, z2 = z * z;
    const double S = (-0x1.5555555555549p-3 + 0x1.111111110f893p-7 * z) +
                     z2 * ((-0x1.a01a019c126ddp-13 + 0x1.71de357717c1bp-19 * z) +
                           z2 * (-0x1.ae5e64f4b7b6fp-26 + 0x1.5d9274285d5cdp-33 * z));
    const double C = (0x1.555555555554ep-5 - 0x1.6c16c16c154dep-10 * z) +
                     z2 * ((0x1.a01a019cfa1afp-16 - 0x1.27e4f837cd135p-22 * z) +
                           z2 * (0x1.1eea07b773cbcp-29 - 0x1.8fbb9d20c2a7fp-37 * z));
    const double sine = r + (r * z * S + lo * (1.0 - 0.5 * z));
    const double half = 0.5 * z, one = 1.0 - half;
    const double cosine = one + (((1.0 - one) - half) + (z2 * C - r * lo));
    const uint64_t odd = UINT64_C(0) - (quarter & 1);
    return ad_double(((ad_bits(sine) & ~odd) | (ad_bits(cosine) & odd)) ^ (quarter & 2) << 62);
}

AD_INLINE double ad_sin(double x, int far)
{
    if (far && !(fabs(x) <= AD_NEAR)) return sin(x);
    return x == 0.0 ? x : ad_sin_near(x, 0); /* the sign of zero */
}

AD_INLINE double ad_cos(double x, int far)
{
    if (far && !(fabs(x) <= AD_NEAR)) return cos(x);
    return ad_sin_near(x, 1);
}

/* ---- signs, choices, powers ---- */

AD_INLINE double ad_sign(double x)
{
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x == 0.0 ? 0.0 : x;
}

/* x^p; the cases that NumPy computes in one operation are computed so here. */
AD_INLINE double ad_power(double x, double p)
{
    return p == 2.0 ? x * x : p == 1.0 ? x : p == 0.5 ? sqrt(x) : p == -1.0 ? 1.0 / x : pow(x, p);
}

/* Its gradient; x^0 is the constant 1, also at 0, where 0 x^-1 would be 0 inf. */
AD_INLINE double ad_power_gx(double g, double x, double p)
{
    return p == 0.0 ? 0.0 : g * (p * ad_power(x, p - 1.0));
}

/* The same where each number has its own p: NumPy's is pow, also of p = 1/2. */
AD_INLINE double ad_float_power(double x, double p) { return p == 2.0 ? x * x : pow(x, p); }

AD_INLINE double ad_float_power_gx(double g, double x, double p)
{
    return p == 0.0 ? 0.0 : g * (p * ad_float_power(x, p - 1.0));
}

/* g z ln x, with its limit 0 where x = 0 and p >= 0, and where z has gone to 0. */
AD_INLINE double ad_float_power_gp(double g, double z, double x)
{
    const int flat = x == 0.0 ? fabs(z) <= 1.0 : z == 0.0 && x > 0.0;
    return flat ? 0.0 : g * (z * ad_log(x));
}

/* g where x > y, half of it where x = y, 0 where x < y or either is NaN. */
AD_INLINE double ad_share(double g, double x, double y)
{
    return x > y ? g : x == y ? 0.5 * g : 0.0;
}

#endif
