/* Special functions: SciPy's, called by address, and those of our own that derivatives need.
 *
 * SciPy's are looked up when a kernel that calls one is first prepared (special.pxi); until then,
 * and where one is not to be found, an address leads back to Python's function of that name. */
#ifndef AD_SPECIAL_H
#define AD_SPECIAL_H

/* `skip` is an argument of Cython's, and means nothing. */
#define AD_SCIPY_1(name)                                                                 \
    extern double (*ad_scipy_##name)(double x, int skip);                                \
    static inline double scipy_##name(double x) { return ad_scipy_##name(x, 0); }
#define AD_SCIPY_2(name)                                                                 \
    extern double (*ad_scipy_##name)(double x, double y, int skip);                      \
    static inline double scipy_##name(double x, double y) { return ad_scipy_##name(x, y, 0); }
#define AD_SCIPY_3(name)                                                                 \
    extern double (*ad_scipy_##name)(double c, double x, double y, int skip);            \
    static inline double scipy_##name(double c, double x, double y)                      \
    {                                                                                    \
        return ad_scipy_##name(c, x, y, 0);                                              \
    }
#include "scipy_functions.def"
#undef AD_SCIPY_1
#undef AD_SCIPY_2
#undef AD_SCIPY_3

/* Function number `i`: its name, and how many numbers it takes; NULL after the last. */
const char *ad_scipy_name(int i, int *arity);

/* Let the kernels call a function of SciPy's by its address. */
void ad_scipy_found(int i, void (*function)(void));

/* Calls Python's function number `i` of n numbers; set by whoever has Python. */
typedef double (*ad_ask)(int i, int n, const double *x);
extern ad_ask ad_ask_scipy;

/* Asked whenever a program is about to have a kernel that calls SciPy: looks the functions up. */
typedef void (*ad_seek)(void);
extern ad_seek ad_seek_scipy;

/* ---- our own ---- */

/* Hurwitz' zeta, the sum of 1/(q + k)^s over k >= 0. */
double ad_zeta(double s, double q);

/* The slope of 1/Gamma. */
double ad_rgamma_slope(double x);

/* ln x - digamma(a), and digamma(x) - digamma(x + y), also where the two are nearly equal. */
double ad_log_ratio(double a, double x);
double ad_digamma_gap(double x, double y);

/* a^a e^-a / Gamma(a + 1), and a ln(a / x) + x - a, of which densities are made. */
double ad_stirling(double a);
double ad_deviance(double a, double x);

/* x^a e^-x / Gamma(a + 1), and x^(a - 1) e^-x / Gamma(a); the relative error is a few times 1e-16
 * times the logarithm. */
double ad_poisson(double a, double x);
double ad_gamma_density(double a, double x);

/* The first and second derivative of gammainc(a, x) by a. */
double ad_gammainc_a(double a, double x);
double ad_gammainc_aa(double a, double x);

/* x^(a - 1) (1 - x)^(b - 1) / B(a, b), and betainc's derivatives by a and b. */
double ad_beta_density(double a, double b, double x);
double ad_betainc_a(double a, double b, double x);
double ad_betainc_b(double a, double b, double x);
double ad_betainc_aa(double a, double b, double x);
double ad_betainc_ab(double a, double b, double x);
double ad_betainc_bb(double a, double b, double x);

/* phi(x) / Phi(x), the slope of log_ndtr, and the slope of that. */
double ad_normal_hazard(double x);
double ad_normal_hazard_slope(double x);

/* x / y, and 0 for 0 / 0. */
static inline double ad_ratio(double x, double y) { return x == 0.0 && y == 0.0 ? 0.0 : x / y; }

#define AD_TWO_OVER_ROOT_PI 0x1.20dd750429b6dp+0
#define AD_HALF_ROOT_PI 0x1.c5bf891b4ef6bp-1
#define AD_NORMAL_PEAK 0x1.9884533d43651p-2
#define AD_ROOT_TWO_PI 0x1.40d931ff62706p+1

#endif
