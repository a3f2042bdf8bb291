/* tan, inverse trigonometric and hyperbolic functions, lengths, sinc; as in functions.h: no
 * branches, no tables, no calls but for the machine's square root, and polynomials that are
 * minimax fits. */
#ifndef AD_TRIGONOMETRIC_H
#define AD_TRIGONOMETRIC_H

#include "functions.h"

#define AD_PI_HI 0x1.921fb54442d18p+1
#define AD_PI_LO 0x1.1a62633145c07p-53
#define AD_PIO2_HI 0x1.921fb54442d18p+0
#define AD_PIO2_LO 0x1.1a62633145c07p-54
#define AD_PIO4_HI 0x1.921fb54442d18p-1
#define AD_PIO4_LO 0x1.1a62633145c07p-55

/* ---- tan ---- */

AD_INLINE double ad_tan(double x, int far)
{
    if (far && !(fabs(x) <= AD_NEAR)) return tan(x);
    return x == 0.0 ? x : ad_sin_near(x, 0) / ad_sin_near(x, 1);
}

/* ---- arctan ---- */

/* arctan t - t for |t| <= tan(pi/8). */
AD_INLINE double ad_arctan_poly(double t)
{
    const double z = t * t, z2 = z * z, z4 = z2 * z2;
    const double a = -0x1.5555555555554p-2 + 0x1.9999999999655p-3 * z;
    const double b = -0x1.2492492475ad8p-3 + 0x1.c71c71b764b7ap-4 * z;
    const double c = -0x1.745d14bce6471p-4 + 0x1.3b136e6b7eab8p-4 * z;
    const double d = -0x1.110c75e30f6aep-4 + 0x1.e172346e98aafp-5 * z;
    const double e = -0x1.ab7ea6064dd8fp-5 + 0x1.70f15913a3f61p-5 * z;
    const double f = -0x1.124001e1a8294p-5 + 0x1.f205fd359aa93p-7 * z;
    return t * z * (((a + b * z2) + z4 * (c + d * z2)) + z4 * z4 * (e + f * z2));
}

/* arctan(a / b) for a, b >= 0, not both 0 or infinite: of a / b, (a - b) / (a + b) or -b / a,
 * whichever is at most tan(pi/8), plus 0, pi/4 or pi/2. */
AD_INLINE double ad_arctan_ratio(double a, double b)
{
    const int steep = a > 0x1.3504f333f9de6p+1 * b, middle = a > 0x1.a827999fcef32p-2 * b;
    const double up = steep ? -b : middle ? a - b : a;
    const double down = steep ? a : middle ? a + b : b;
    const double high = steep ? AD_PIO2_HI : middle ? AD_PIO4_HI : 0.0;
    const double low = steep ? AD_PIO2_LO : middle ? AD_PIO4_LO : 0.0;
    const double t = up / down;
    return high + (t + (ad_arctan_poly(t) + low));
}

AD_INLINE double ad_arctan(double x)
{
    return copysign(ad_arctan_ratio(fabs(x), 1.0), x);
}

AD_INLINE double ad_arctan2(double y, double x)
{
    const double a = fabs(y), b = fabs(x);
    const double larger = a > b ? a : b, smaller = a > b ? b : a;
    /* So that a + b is finite, and so that products with numbers about 1 are exact enough. */
    const double scale = larger > 0x1p1000 ? 0x1p-3 : larger < 0x1p-900 ? 0x1p200 : 1.0;
    const double up = smaller == AD_INF ? 1.0 : a * scale; /* both are infinite: as 1 / 1 */
    const double down = smaller == AD_INF || larger == 0.0 ? 1.0 : b * scale;
    const double z = ad_arctan_ratio(up, down);
    const double turned = AD_PI_HI - (z - AD_PI_LO);
    const double found = copysign(copysign(1.0, x) < 0.0 ? turned : z, y);
    return x != x ? x : y != y ? y : found;
}

/* ---- arcsin, arccos ---- */

/* (arcsin s - s) / s^3 in z = s^2, for |s| <= 1/2. */
AD_INLINE double ad_arcsin_poly(double z)
{
    const double z2 = z * z, z4 = z2 * z2;
    const double a = 0x1.5555555555578p-3 + 0x1.333333332dedap-4 * z;
    const double b = 0x1.6db6db722daa4p-5 + 0x1.f1c71a8ae66dep-6 * z;
    const double c = 0x1.6e8bdff7d2ce0p-6 + 0x1.1c49dcf0d95c2p-6 * z;
    const double d = 0x1.ca215b4ec8ccap-7 + 0x1.7576e02352cb5p-7 * z;
    const double e = 0x1.618e442d25261p-7 + 0x1.e128a70c0b327p-9 * z;
    const double f = 0x1.6510be81773ffp-6 - 0x1.5a0aac44982dap-6 * z;
    return ((a + b * z2) + z4 * (c + d * z2)) +
           z4 * z4 * ((e + f * z2) + z4 * 0x1.0bea89bdf9dafp-5);
}

/* Above 1/2: arcsin y = pi/2 - 2 arcsin s, with s^2 = (1 - y) / 2. */
AD_INLINE double ad_arcsin(double x)
{
    const double y = fabs(x);
    const double z = y > 0.5 ? 0.5 * (1.0 - y) : y * y;
    const double s = y > 0.5 ? sqrt(z) : y;
    const double rest = s * z * ad_arcsin_poly(z);
    const double steep = AD_PIO2_HI - (2.0 * s + (2.0 * rest - AD_PIO2_LO));
    return copysign(y > 0.5 ? steep : s + rest, x);
}

AD_INLINE double ad_arccos(double x)
{
    const double y = fabs(x);
    const double z = y > 0.5 ? 0.5 * (1.0 - y) : y * y;
    const double s = y > 0.5 ? sqrt(z) : x;
    const double rest = s * z * ad_arcsin_poly(z);
    const double near = AD_PIO2_HI - (s + (rest - AD_PIO2_LO));
    const double turned = AD_PI_HI - (2.0 * s + (2.0 * rest - AD_PI_LO));
    return y > 0.5 ? (x > 0.0 ? 2.0 * (s + rest) : turned) : near;
}

/* ---- sinh, cosh ---- */

/* e^y / 2 for y >= 0. */
AD_INLINE double ad_half_exp(double y)
{
    y = y > 711.0 ? 711.0 : y; /* NaN passes; 2^1024 is infinity */
    const double k = (y * AD_LOG2E + AD_ROUND) - AD_ROUND;
    const double r = (y - k * AD_LN2_HI) - k * AD_LN2_LO;
    return (1.0 + (r + r * r * ad_exp_poly(r))) * 2.0 * ad_pow2(k - 2.0);
}

/* e^y / 2 + e^-y / 2. */
AD_INLINE double ad_cosh(double x)
{
    const double half = ad_half_exp(fabs(x));
    return half + 0.25 / half;
}

/* e^y / 2 - e^-y / 2, and up to 1 an odd polynomial, as that cancels. */
AD_INLINE double ad_sinh(double x)
{
    const double y = fabs(x), half = ad_half_exp(y);
    const double z = y * y, z2 = z * z;
    const double s = ((0x1.5555555555556p-3 + 0x1.111111111105dp-7 * z) +
                      z2 * (0x1.a01a01a03077cp-13 + 0x1.71de3a4033bcdp-19 * z)) +
                     z2 * z2 * ((0x1.ae646bf033a78p-26 + 0x1.61187b1987b16p-33 * z) +
                                z2 * 0x1.b555448e28b2dp-41);
    return copysign(y > 1.0 ? half - 0.25 / half : y + y * z * s, x);
}

/* ---- lengths ---- */

/* Scaled by a power of two, so that the squares neither overflow nor vanish. */
AD_INLINE double ad_hypot(double x, double y)
{
    const double a = fabs(x), b = fabs(y), larger = a > b ? a : b;
    const double down = larger > 0x1p500 ? 0x1p-600 : larger < 0x1p-450 ? 0x1p600 : 1.0;
    const double up = larger > 0x1p500 ? 0x1p600 : larger < 0x1p-450 ? 0x1p-600 : 1.0;
    const double u = a * down, v = b * down;
    const double z = sqrt(u * u + v * v) * up;
    return a == AD_INF || b == AD_INF ? AD_INF : z;
}

/* g x / z, and 0 where z is 0. */
AD_INLINE double ad_hypot_share(double g, double z, double x)
{
    return (z == 0.0 ? 0.0 : g) * (x / (z == 0.0 ? 1.0 : z));
}

/* ---- inverse hyperbolic ---- */

#define AD_LN2 0x1.62e42fefa39efp-1

/* ln(1 + w), w = y + y^2 / (1 + sqrt(1 + y^2)); of large y ln 2y. */
AD_INLINE double ad_arcsinh(double x)
{
    const double y = fabs(x);
    const int large = y > 0x1p500;
    const double u = large ? 1.0 : y, square = u * u;
    const double w = u + square / (1.0 + sqrt(1.0 + square));
    return copysign(ad_log1p(large ? y : w) + (large ? AD_LN2 : 0.0), x);
}

/* ln(1 + w), w = t + sqrt(t (t + 2)), t = x - 1; of large x ln 2x. */
AD_INLINE double ad_arccosh(double x)
{
    const int large = x > 0x1p500;
    const double t = large ? 1.0 : x - 1.0;
    const double w = t + sqrt(t * (t + 2.0));
    const double z = ad_log1p(large ? x : w) + (large ? AD_LN2 : 0.0);
    return x < 1.0 ? AD_NAN : z;
}

AD_INLINE double ad_arctanh(double x)
{
    const double y = fabs(x);
    return copysign(0.5 * ad_log1p((y + y) / (1.0 - y)), x);
}

/* ---- sinc and its derivatives; the rules are in autodiff/ops/spherical.py ---- */

/* sin(pi x) and cos(pi x), of x reduced exactly. */
AD_INLINE double ad_sine_of_turns(double x, double *cosine)
{
    const double half = 0.5 * x;
    const double whole = fabs(half) < 0x1p51 ? copysign((fabs(half) + 0x1p52) - 0x1p52, x) : half;
    const double rest = x - 2.0 * whole;
    const int far = fabs(rest) > 0.5;
    const double folded = far ? copysign(1.0, rest) - rest : rest;
    const double c = ad_sin_near(AD_PI_HI * (0.5 - fabs(folded)), 0);
    *cosine = far ? -c : c;
    return ad_sin_near(AD_PI_HI * folded, 0);
}

AD_INLINE double ad_sinc(double x)
{
    double cosine;
    const double sine = ad_sine_of_turns(x, &cosine), t = AD_PI_HI * x;
    return t == 0.0 ? 1.0 : sine / t;
}

/* j_1(pi x), up to |pi x| = 2 by t (1/3 - t^2/30 + ...). */
AD_INLINE double ad_sinc_part_1(double x)
{
    double cosine;
    const double sine = ad_sine_of_turns(x, &cosine), t = AD_PI_HI * x;
    const double z = t * t, z2 = z * z, z4 = z2 * z2;
    const double a = 0x1.5555555555555p-2 - 0x1.111111111110dp-5 * z;
    const double b = 0x1.381381381346bp-10 - 0x1.71de3a5546d8cp-16 * z;
    const double c = 0x1.0cfeb6037b0e5p-22 - 0x1.08db448b9fd30p-29 * z;
    const double d = 0x1.78ad7a4fbf898p-37 - 0x1.94b63f50820ddp-45 * z;
    const double near = t * (((a + b * z2) + z4 * (c + d * z2)) + z4 * z4 * 0x1.4551155afd342p-53);
    return fabs(t) <= 2.0 ? near : (sine / t - cosine) / t;
}

#define AD_MOST_BESSEL 20

/* t^n / (2n + 1)!! times 1 - t^2/2 / (2n + 3) + ... */
static inline double ad_bessel_series(int n, double t)
{
    const double half = -0.5 * t * t;
    double term = 1.0, total = 1.0;
    for (int k = 1; k < 40; k++) {
        term = term * half / (k * (2.0 * n + 2.0 * k + 1.0));
        total += term;
    }
    for (int k = 0; k < n; k++) total *= t / (2.0 * k + 3.0);
    return total;
}

/* j_n(pi x), from j_0 and j_1 upwards where that is stable. */
static inline double ad_sinc_part(double order, double x)
{
    if (!(order >= 0.0 && order <= AD_MOST_BESSEL && order == rint(order))) return AD_NAN;
    const int n = (int)order;
    const double t = AD_PI_HI * x;
    double cosine;
    const double sine = ad_sine_of_turns(x, &cosine);
    if (t == 0.0) return n == 0 ? 1.0 : ad_bessel_series(n, t);
    if (n > 0 && fabs(t) <= n + 1.0) return ad_bessel_series(n, t);
    double before = cosine / t, z = sine / t;
    for (int k = 0; k < n; k++) {
        const double next = (2.0 * k + 1.0) / t * z - before;
        before = z;
        z = next;
    }
    return z;
}

AD_INLINE double ad_sinc_part_gx(double g, double order, double x)
{
    const double below = ad_sinc_part(fabs(order - 1.0), x), above = ad_sinc_part(order + 1.0, x);
    return g * (AD_PI_HI / (2.0 * order + 1.0) * (order * below - (order + 1.0) * above));
}

#endif
