/* Logarithms and powers of base 2 and 10, ln(e^x + e^y); as in functions.h. */
#ifndef AD_LOGARITHMS_H
#define AD_LOGARITHMS_H

#include "functions.h"
#include "trigonometric.h"

#define AD_LN10 0x1.26bb1bbb55516p+1

/* 2^x = 2^k e^(r ln 2), x = k + r exactly. */
AD_INLINE double ad_exp2(double x)
{
    x = x > 1025.0 ? 1025.0 : x;
    x = x < -1080.0 ? -1080.0 : x; /* NaN passes both */
    const double k = (x + AD_ROUND) - AD_ROUND;
    const double r = (x - k) * AD_LN2;
    const double y = 1.0 + (r + r * r * ad_exp_poly(r));
    const double k1 = (k * 0.5 + AD_ROUND) - AD_ROUND;
    return y * ad_pow2(k1) * ad_pow2(k - k1);
}

/* ln(1 + f) in two parts, the first of 32 bits; see ad_log_core. */
AD_INLINE double ad_log_parts(double f, double *low)
{
    const double s = f / (2.0 + f), z = s * s, z2 = z * z;
    const double a = 0x1.5555555555573p-1 + 0x1.99999999886b5p-2 * z;
    const double b = 0x1.2492493b7228dp-2 + 0x1.c71c56b560289p-3 * z;
    const double c = 0x1.7465614320318p-3 + 0x1.39b632d9feef7p-3 * z;
    const double R = (a + b * z2) + z2 * z2 * (c + 0x1.2e466ae7214b2p-3 * z2);
    const double half = 0.5 * f * f;
    const double high = ad_double(ad_bits(f - half) & UINT64_C(0xffffffff00000000));
    *low = ((f - high) - half) + s * (half + z * R);
    return high;
}

/* The logarithm to a base, k log 2 + ln(1 + f) times a constant, both constants in two parts. */
AD_INLINE double ad_log_scaled(double x, double scale_high, double scale_low, double two_high,
                               double two_low)
{
    double m, low;
    const double normal = x < 0x1p-1022 ? x * 0x1p54 : x;
    double k = ad_split(normal, &m);
    k = x < 0x1p-1022 ? k - 54.0 : k;
    const double high = ad_log_parts(m - 1.0, &low);
    const double product = high * scale_high, base = k * two_high, sum = base + product;
    const double fine = (low + high) * scale_low + low * scale_high;
    const double rest = two_low == 0.0 ? fine : k * two_low + fine;
    double z = (rest + ((base - sum) + product)) + sum;
    z = x == 0.0 ? -AD_INF : z;
    z = x < 0.0 ? AD_NAN : z;
    return !(x < AD_INF) ? x : z;
}

AD_INLINE double ad_log2(double x)
{
    return ad_log_scaled(x, 0x1.71547652p+0, 0x1.705fc2eefa2p-33, 1.0, 0.0);
}

AD_INLINE double ad_log10(double x)
{
    return ad_log_scaled(x, 0x1.bcb7b152p-2, 0x1.b9438ca9aadd5p-36, 0x1.34413509f6p-2,
                         0x1.9fef311f12b36p-42);
}

/* ---- cube roots ---- */

/* x = m 8^e, m from 1 / (2 sqrt 2) to 2 sqrt 2. The polynomial is good to 22 bits; of a t of 26 bits t^2 is
 * exact, and t + t (m/t^2 - t) / (2t + m/t^2) trebles the bits. */
AD_INLINE double ad_cbrt(double x)
{
    double m;
    const double y = fabs(x), normal = y < 0x1p-1022 ? y * 0x1p54 : y;
    const double k = ad_split(normal, &m);
    const double e = (k * (1.0 / 3.0) + AD_ROUND) - AD_ROUND, rest = k - 3.0 * e;
    const double m2 = m * m, m4 = m2 * m2;
    const double p = ((0x1.97e9e6993dfc1p-2 + 0x1.32739cc467484p+0 * m) +
                      m2 * (-0x1.2fe31a7c0fa3dp+0 + 0x1.f1394d706f57dp-1 * m)) +
                     m4 * ((-0x1.07a0913da96cdp-1 + 0x1.3f04a09d31df1p-3 * m) -
                           m2 * 0x1.4dfc0bc7dced9p-6);
    const double guess = p * (rest > 0.0   ? 0x1.428a2f98d728bp+0
                              : rest < 0.0 ? 0x1.965fea53d6e3dp-1
                                           : 1.0);
    const double t = ad_double(ad_bits(guess) & UINT64_C(0xfffffffff8000000));
    const double r = m * (rest > 0.0 ? 2.0 : rest < 0.0 ? 0.5 : 1.0) / (t * t);
    const double root = t + t * ((r - t) / (t + t + r));
    const double z = root * ad_pow2(y < 0x1p-1022 ? e - 18.0 : e);
    return x == 0.0 || !(y < AD_INF) ? x : copysign(z, x);
}

/* ---- ln(e^x + e^y) ---- */

/* |x - y|, and 0 of equal infinities. */
AD_INLINE double ad_apart(double x, double y) { return x == y ? 0.0 : fabs(x - y); }

AD_INLINE double ad_greater(double x, double y) { return x >= y || x != x ? x : y; }

AD_INLINE double ad_logaddexp(double x, double y)
{
    return ad_greater(x, y) + ad_log1p(ad_exp(-ad_apart(x, y)));
}

AD_INLINE double ad_logaddexp2(double x, double y)
{
    return ad_greater(x, y) + ad_log1p(ad_exp2(-ad_apart(x, y))) * (1.0 / AD_LN2);
}

/* e^x / (e^x + e^y). */
AD_INLINE double ad_share_of_sum(double x, double y)
{
    const double e = ad_exp(-ad_apart(x, y));
    return (x >= y ? 1.0 : e) / (1.0 + e);
}

/* Its slope: the product of both shares. */
AD_INLINE double ad_shares(double x, double y)
{
    const double e = ad_exp(-ad_apart(x, y)), sum = 1.0 + e;
    return 1.0 / sum * (e / sum);
}

#endif
