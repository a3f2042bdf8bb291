/* The incomplete beta function's derivatives; autodiff/ops/special/beta_numbers.py has the same
 * formulas in the same order, and so the same bits. */
#include "special.h"

#include <math.h>

#define MOST 100000 /* steps of the fraction */

/* x^p y^q Gamma(p + q + 1) / (Gamma(p + 1) Gamma(q + 1)), where x + y = 1. */
static double binomial(double p, double q, double x, double y)
{
    const double n = p + q;
    const double far = ad_deviance(p, n * x) + ad_deviance(q, n * y);
    return ad_stirling(p) * ad_stirling(q) / ad_stirling(n) * exp(-far);
}

double ad_beta_density(double a, double b, double x)
{
    const double y = 1.0 - x;
    if (!(a > 0.0) || !(b > 0.0) || !(x >= 0.0) || !(x <= 1.0)) return NAN;
    if (isinf(a) || isinf(b)) return NAN;
    if (x == 0.0) return a < 1.0 ? INFINITY : a == 1.0 ? b : 0.0;
    if (x == 1.0) return b < 1.0 ? INFINITY : b == 1.0 ? a : 0.0;
    if (a < 1.0 && b < 1.0) return binomial(a, b, x, y) / x / y * (a * b / (a + b));
    if (a < 1.0) return binomial(a, b - 1.0, x, y) / x * a;
    if (b < 1.0) return binomial(a - 1.0, b, x, y) / y * b;
    return binomial(a - 1.0, b - 1.0, x, y) * (a + b - 1.0);
}

/* A number with its derivatives by a and b. */
typedef struct {
    double v, a, b, aa, ab, bb;
} jet;

static jet times(jet x, jet y)
{
    return (jet){x.v * y.v,
                 x.a * y.v + x.v * y.a,
                 x.b * y.v + x.v * y.b,
                 x.aa * y.v + 2.0 * x.a * y.a + x.v * y.aa,
                 x.ab * y.v + x.a * y.b + x.b * y.a + x.v * y.ab,
                 x.bb * y.v + 2.0 * x.b * y.b + x.v * y.bb};
}

static jet inverse(jet x)
{
    const double v = x.v == 0.0 ? 1e-300 : x.v, r = 1.0 / v, s = -(r * r), t = 2.0 * r;
    return (jet){r,
                 s * x.a,
                 s * x.b,
                 s * (x.aa - t * x.a * x.a),
                 s * (x.ab - t * x.a * x.b),
                 s * (x.bb - t * x.b * x.b)};
}

static jet one_more(jet x)
{
    x.v += 1.0;
    return x;
}

/* x + k a + l b, as a number. */
static jet linear(double v, double a, double b) { return (jet){v, a, b, 0.0, 0.0, 0.0}; }

/* Numerator number 2m (even) or 2m + 1 of the fraction, DLMF 8.17.22. */
static jet numerator(double a, double b, double x, double m, int even)
{
    const jet k = linear(a + 2.0 * m, 1.0, 0.0);
    if (even)
        return times(linear(m * (b - m) * x, 0.0, m * x),
                     inverse(times(linear(a + 2.0 * m - 1.0, 1.0, 0.0), k)));
    return times(times(linear(-(a + m) * x, -x, 0.0), linear(a + b + m, 1.0, 1.0)),
                 inverse(times(k, linear(a + 2.0 * m + 1.0, 1.0, 0.0))));
}

static double first_of(jet x) { return fabs(x.a) + fabs(x.b); }
static double second_of(jet x) { return fabs(x.aa) + fabs(x.ab) + fabs(x.bb); }

/* The fraction 1/(1 + d1/(1 + d2/(1 + ...))) by Lentz's method. */
static jet fraction(double a, double b, double x)
{
    jet c = linear(1.0, 0.0, 0.0);
    jet d = inverse(one_more(numerator(a, b, x, 0.0, 0))), f = d;
    for (int m = 1; m < MOST; m++) {
        int done = 1;
        for (int even = 1; even >= 0; even--) {
            const jet p = numerator(a, b, x, (double)m, even);
            d = inverse(one_more(times(p, d)));
            c = one_more(times(p, inverse(c)));
            const jet l = times(c, d);
            f = times(f, l);
            done &= fabs(l.v - 1.0) <= 3e-16 && first_of(l) * fabs(f.v) <= 1e-16 * first_of(f) &&
                    second_of(l) * fabs(f.v) <= 1e-16 * second_of(f);
        }
        if (done || isnan(f.v + first_of(f) + second_of(f))) return f;
    }
    return linear(NAN, NAN, NAN);
}

/* betainc(a, b, x) as x^a y^b / (a B(a, b)) times the fraction; log_x and log_y are logarithms
 * of x and y = 1 - x. R. J. Boik and J. F. Robison-Cox, Derivatives of the incomplete beta
 * function, 1998, differentiate a fraction likewise. */
static jet by_fraction(double a, double b, double x, double y, double log_x, double log_y)
{
    const double n = a + b;
    const double M = binomial(a, b, x, y) * (b / n);
    if (M == 0.0) return linear(0.0, 0.0, 0.0);
    const double A = log_x - ad_digamma_gap(a + 1.0, b - 1.0), B = log_y - ad_digamma_gap(b, a);
    const double z = ad_zeta(2.0, n);
    const double AA = z - ad_zeta(2.0, a + 1.0), BB = z - ad_zeta(2.0, b);
    const jet front = {M, M * A, M * B, M * (A * A + AA), M * (A * B + z), M * (B * B + BB)};
    return times(front, fraction(a, b, x));
}

static jet by_shapes(double a, double b, double x)
{
    if (!(a > 0.0) || !(b > 0.0) || !(x >= 0.0) || !(x <= 1.0) || isinf(a) || isinf(b)) {
        const jet nothing = {NAN, NAN, NAN, NAN, NAN, NAN};
        return nothing;
    }
    if (x == 0.0 || x == 1.0) return linear(x, 0.0, 0.0);
    const double y = 1.0 - x, log_x = log(x), log_y = log1p(-x);
    if (x <= (a + 1.0) / (a + b + 2.0)) return by_fraction(a, b, x, y, log_x, log_y);
    const jet r = by_fraction(b, a, y, x, log_y, log_x);
    return (jet){1.0 - r.v, -r.b, -r.a, -r.bb, -r.ab, -r.aa};
}

double ad_betainc_a(double a, double b, double x) { return by_shapes(a, b, x).a; }
double ad_betainc_b(double a, double b, double x) { return by_shapes(a, b, x).b; }
double ad_betainc_aa(double a, double b, double x) { return by_shapes(a, b, x).aa; }
double ad_betainc_ab(double a, double b, double x) { return by_shapes(a, b, x).ab; }
double ad_betainc_bb(double a, double b, double x) { return by_shapes(a, b, x).bb; }
