/* Whole quotients and remainders with NumPy's bits: fmod is exact, and libm's. */
#ifndef AD_ROUNDING_H
#define AD_ROUNDING_H

#include "functions.h"

AD_INLINE double ad_remainder(double x, double y)
{
    const double rest = fmod(x, y);
    if (y == 0.0) return rest;
    if (rest == 0.0) return copysign(0.0, y);
    return (y < 0.0) != (rest < 0.0) ? rest + y : rest;
}

AD_INLINE double ad_floor_divide(double x, double y)
{
    if (y == 0.0) return x / y;
    const double rest = fmod(x, y);
    double quotient = (x - rest) / y;
    if (rest != 0.0 && (y < 0.0) != (rest < 0.0)) quotient -= 1.0;
    if (quotient == 0.0) return copysign(0.0, x / y);
    const double whole = floor(quotient);
    return quotient - whole > 0.5 ? whole + 1.0 : whole;
}

/* x / y without its fraction, as fmod has it. */
AD_INLINE double ad_fmod_quotient(double x, double y) { return rint((x - fmod(x, y)) / y); }

#endif
