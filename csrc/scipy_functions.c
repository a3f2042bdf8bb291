/* SciPy's functions: where they are, and how to reach Python's where they are not. */
#include "special.h"

#include <stddef.h>
#include <string.h>

ad_ask ad_ask_scipy = NULL;
ad_seek ad_seek_scipy = NULL;

enum {
#define AD_SCIPY_1(name) NUMBER_OF_##name,
#define AD_SCIPY_2(name) NUMBER_OF_##name,
#define AD_SCIPY_3(name) NUMBER_OF_##name,
#include "scipy_functions.def"
#undef AD_SCIPY_1
#undef AD_SCIPY_2
#undef AD_SCIPY_3
};

#define AD_SCIPY_1(name)                                                                 \
    static double ask_##name(double x, int skip)                                         \
    {                                                                                    \
        (void)skip;                                                                      \
        return ad_ask_scipy(NUMBER_OF_##name, 1, &x);                                    \
    }                                                                                    \
    double (*ad_scipy_##name)(double, int) = ask_##name;
#define AD_SCIPY_2(name)                                                                 \
    static double ask_##name(double x, double y, int skip)                               \
    {                                                                                    \
        (void)skip;                                                                      \
        return ad_ask_scipy(NUMBER_OF_##name, 2, (const double[]){x, y});                \
    }                                                                                    \
    double (*ad_scipy_##name)(double, double, int) = ask_##name;
#define AD_SCIPY_3(name)                                                                 \
    static double ask_##name(double c, double x, double y, int skip)                     \
    {                                                                                    \
        (void)skip;                                                                      \
        return ad_ask_scipy(NUMBER_OF_##name, 3, (const double[]){c, x, y});             \
    }                                                                                    \
    double (*ad_scipy_##name)(double, double, double, int) = ask_##name;
#include "scipy_functions.def"
#undef AD_SCIPY_1
#undef AD_SCIPY_2
#undef AD_SCIPY_3

static const struct {
    const char *name;
    int arity;
    void *place; /* of the variable that holds the address */
} functions[] = {
#define AD_SCIPY_1(name) {#name, 1, &ad_scipy_##name},
#define AD_SCIPY_2(name) {#name, 2, &ad_scipy_##name},
#define AD_SCIPY_3(name) {#name, 3, &ad_scipy_##name},
#include "scipy_functions.def"
#undef AD_SCIPY_1
#undef AD_SCIPY_2
#undef AD_SCIPY_3
};

const char *ad_scipy_name(int i, int *arity)
{
    if (i >= (int)(sizeof functions / sizeof functions[0])) return NULL;
    *arity = functions[i].arity;
    return functions[i].name;
}

void ad_scipy_found(int i, void (*function)(void))
{
    memcpy(functions[i].place, &function, sizeof function);
}
