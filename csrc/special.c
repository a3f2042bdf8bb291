/* Gamma functions of our own, for derivatives; autodiff/ops/special/gamma_numbers.py has the same
 * formulas in the same order, and so the same bits. */
#include "special.h"

#include <math.h>

#define MOST 1000000 /* terms of a series or fraction: enough for a up to 1e10 */

/* Euler and Maclaurin's sum, as in Cephes; DLMF 25.11.43 for large q. */
double ad_zeta(double s, double q)
{
    static const double coefficient[] = {
        12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9,
        7.47242496e10, -2.950130727918164224e12, 1.1646782814350067249e14,
        -4.5979787224074726105e15, 1.8152105401943546773e17, -7.1661652561756670113e18};
    if (s == 1.0) return INFINITY;
    if (s < 1.0) return NAN;
    if (q <= 0.0) {
        if (q == floor(q)) return INFINITY;
        if (s != floor(s)) return NAN;
        if (s == 2.0 && q < -10.0) { /* reflected: else there would be so many terms */
            const double root = 3.14159265358979323846 / sin(3.14159265358979323846 * (q - floor(q)));
            return root * root - ad_zeta(2.0, 1.0 - q);
        }
        if (q < -1e5) return NAN;
    }
    if (q > 1e8) return (1.0 / (s - 1.0) + 1.0 / (2.0 * q)) * pow(q, 1.0 - s);
    double sum = pow(q, -s), w = q, b = 0.0;
    for (int i = 0; i < 9 || w <= 9.0; i++) {
        w += 1.0;
        b = pow(w, -s);
        sum += b;
        if (fabs(b / sum) < 0x1p-53) return sum;
    }
    sum += b * w / (s - 1.0);
    sum -= 0.5 * b;
    double factor = 1.0, k = 0.0;
    for (int i = 0; i < 12; i++) {
        factor *= s + k;
        b /= w;
        const double t = factor * b / coefficient[i];
        sum += t;
        if (fabs(t / sum) < 0x1p-53) break;
        k += 1.0;
        factor *= s + k;
        b /= w;
        k += 1.0;
    }
    return sum;
}

double ad_rgamma_slope(double x)
{
    if (x <= 0.0 && x == floor(x)) { /* where digamma is infinite and 1/Gamma is 0 */
        const double factorial = scipy_gamma(1.0 - x);
        return fmod(x, 2.0) == 0.0 ? factorial : -factorial;
    }
    return -(scipy_rgamma(x) * scipy_psi(x));
}

/* ln a - digamma(a) for a >= 12, by Stirling's series. */
static double log_minus_digamma(double a)
{
    const double r = 1.0 / a, u = r * r;
    double p = 1.0 / 12.0;
    p = -691.0 / 32760.0 + u * p;
    p = 1.0 / 132.0 + u * p;
    p = -1.0 / 240.0 + u * p;
    p = 1.0 / 252.0 + u * p;
    p = -1.0 / 120.0 + u * p;
    p = 1.0 / 12.0 + u * p;
    return 0.5 * r + u * p;
}

double ad_log_ratio(double a, double x)
{
    if (!(a >= 12.0) || isinf(a) || !(x > 0.0)) return log(x) - scipy_psi(a);
    const double d = (x - a) / a, ratio = x / a;
    double r;
    if (fabs(d) < 0.5)
        r = log1p(d);
    else if (ratio > 0.0 && !isinf(ratio))
        r = log(ratio);
    else
        r = log(x) - log(a);
    return r + log_minus_digamma(a);
}

double ad_digamma_gap(double x, double y)
{
    const double sum = x + y;
    if (!(x >= 12.0 && sum >= 12.0) || isinf(sum)) return scipy_psi(x) - scipy_psi(sum);
    return (log_minus_digamma(sum) - log_minus_digamma(x)) - log1p(y / x);
}

/* ---- densities: C. Loader, Fast and accurate computation of binomial probabilities, 2000 ---- */

/* a^a e^-a / Gamma(a + 1). */
double ad_stirling(double a)
{
    if (a == 0.0) return 1.0;
    if (!(a > 15.0)) return pow(a, a) * exp(-a) / scipy_gamma(a + 1.0);
    const double r = 1.0 / a, u = r * r;
    double p = -691.0 / 360360.0;
    p = 1.0 / 1188.0 + u * p;
    p = -1.0 / 1680.0 + u * p;
    p = 1.0 / 1260.0 + u * p;
    p = -1.0 / 360.0 + u * p;
    p = 1.0 / 12.0 + u * p;
    return exp(-(r * p)) / sqrt(6.283185307179586477 * a);
}

/* a ln(a / x) + x - a for a, x >= 0. */
double ad_deviance(double a, double x)
{
    if (a == 0.0) return x;
    if (x == 0.0 || isinf(a) || isinf(x)) return a != a || x != x ? NAN : INFINITY;
    const double half = 0.5 * a + 0.5 * x;
    if (fabs(a - x) < 0.2 * half) {
        const double v = 0.5 * (a - x) / half, u = v * v;
        double sum = (a - x) * v, term = 2.0 * a * v;
        for (int j = 1; j < 1000; j++) {
            term *= u;
            const double before = sum;
            sum += term / (double)(2 * j + 1);
            if (sum == before) break;
        }
        return sum;
    }
    const double ratio = a / x;
    return ratio == 0.0 ? x : a * log(ratio) + x - a;
}

double ad_poisson(double a, double x) { return ad_stirling(a) * exp(-ad_deviance(a, x)); }

double ad_gamma_density(double a, double x)
{
    if (!(a >= 0.0) || !(x >= 0.0)) return NAN;
    if (a == 0.0) return x == 0.0 ? INFINITY : 0.0;
    if (x == 0.0) return a < 1.0 ? INFINITY : a == 1.0 ? 1.0 : 0.0;
    if (isinf(x) || isinf(a)) return 0.0;
    return a < 1.0 ? ad_poisson(a, x) / x * a : ad_poisson(a - 1.0, x);
}

/* ---- gammainc by its shape ---- */

/* P = E S with E = x^a e^-x / Gamma(a + 1) and S the sum of x^n / ((a + 1) ... (a + n)), term by
 * term: each is multiplied with w, the logarithmic derivative of E x^n / ((a + 1) ... (a + n)).
 * R. J. Moore, Algorithm AS 187: Derivatives of the incomplete gamma integral, 1982. */
static void by_series(double a, double x, double w, double w1, double *first, double *second)
{
    double c = 1.0, s1 = w, s2 = w * w + w1;
    for (int n = 1; n < MOST; n++) {
        const double r = 1.0 / (a + (double)n);
        c *= x * r;
        w -= r;
        w1 += r * r;
        s1 += c * w;
        s2 += c * (w * w + w1);
        const double left = c * (1.0 + w * w);
        if (left <= 1e-20 || left != left) {
            *first = s1;
            *second = s2;
            return;
        }
    }
    *first = *second = NAN;
}

/* Q = a E K with K = 1/(x + 1 - a - (1 - a)/(x + 3 - a - ...)), DLMF 8.9.2, by Lentz's method,
 * each number of it with its first and second derivative by a. */
static void by_fraction(double a, double x, double L, double L1, double *first, double *second)
{
    double b = x + 1.0 - a;
    double c0 = 1e300, c1 = 0.0, c2 = 0.0;
    double d0 = 1.0 / b, d1 = d0 * d0, d2 = 2.0 * d0 * d0 * d0;
    double k0 = d0, k1 = d1, k2 = d2;
    for (int n = 1; n < MOST; n++) {
        const double i = (double)n, p = -i * (i - a);
        b += 2.0;
        const double e0 = p * d0 + b, e1 = i * d0 + p * d1 - 1.0, e2 = 2.0 * i * d1 + p * d2;
        d0 = 1.0 / e0;
        d1 = -e1 * d0 * d0;
        d2 = (2.0 * e1 * e1 * d0 - e2) * d0 * d0;
        const double q0 = 1.0 / c0, q1 = -c1 * q0 * q0, q2 = (2.0 * c1 * c1 * q0 - c2) * q0 * q0;
        c0 = b + p * q0;
        c1 = -1.0 + i * q0 + p * q1;
        c2 = 2.0 * i * q1 + p * q2;
        const double l0 = c0 * d0, l1 = c1 * d0 + c0 * d1, l2 = c2 * d0 + 2.0 * c1 * d1 + c0 * d2;
        const double more1 = k0 * l1, more2 = 2.0 * k1 * l1 + k0 * l2;
        k2 = k2 * l0 + more2;
        k1 = k1 * l0 + more1;
        k0 *= l0;
        if (isnan(k0 + k1 + k2)) break;
        if (fabs(l0 - 1.0) <= 3e-16 && fabs(more1) <= 1e-16 * fabs(k1) &&
            fabs(more2) <= 1e-16 * fabs(k2)) {
            *first = -((a * L + 1.0) * k0 + a * k1);
            *second = -(2.0 * (L * k0 + k1) + a * ((L * L + L1) * k0 + 2.0 * L * k1 + k2));
            return;
        }
    }
    *first = *second = NAN;
}

static void by_shape(double a, double x, double *first, double *second)
{
    *first = *second = NAN;
    if (!(a >= 0.0) || !(x >= 0.0) || (a == 0.0 && x == 0.0)) return;
    *first = *second = 0.0;
    if (x == 0.0 || isinf(x) || isinf(a)) return;
    const double E = ad_poisson(a, x);
    if (E == 0.0) return;
    if (a > 1e10) {
        *first = *second = NAN; /* too many terms */
        return;
    }
    const double L = ad_log_ratio(a + 1.0, x), L1 = -ad_zeta(2.0, a + 1.0);
    (x <= 1.0 || x <= a ? by_series : by_fraction)(a, x, L, L1, first, second);
    *first *= E;
    *second *= E;
}

double ad_gammainc_a(double a, double x)
{
    double first, second;
    by_shape(a, x, &first, &second);
    return first;
}

double ad_gammainc_aa(double a, double x)
{
    double first, second;
    by_shape(a, x, &first, &second);
    return second;
}

/* ---- the normal distribution ---- */

/* y - x of the slope y = phi(x)/Phi(x) for x < -5: 1/(t + 2/(t + 3/(t + ...))), t = -x. */
static double hazard_beyond(double t)
{
    double f = t;
    for (int n = 80; n >= 2; n--) f = t + (double)n / f;
    return 1.0 / f;
}

double ad_normal_hazard(double x)
{
    return 0x1.9884533d43651p-1 / scipy_erfcx(x * -0x1.6a09e667f3bcdp-1);
}

double ad_normal_hazard_slope(double x)
{
    if (x < -1e100) return -1.0;
    const double h = ad_normal_hazard(x);
    if (h == 0.0) return 0.0;
    return -(h * (x < -5.0 ? hazard_beyond(-x) : x + h));
}
