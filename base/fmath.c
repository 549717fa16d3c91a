/* base/fmath.c: see fmath.h. Argument reduction as in Cody and Waite, then plain series. */
#include "base/fmath.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static double two_to(int n) {
    uint64_t bits = (uint64_t)(n + 1023) << 52;
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* x = n ln2 + r, |r| <= ln2 / 2; Taylor to r^13. */
double fmath_exp(double x) {
    if (x != x) return x;
    if (x < -708) return 0;
    if (x > 709) return INFINITY;
    double n = x * 1.4426950408889634;
    n = (double)(int)(n + (n < 0 ? -0.5 : 0.5));
    double r = x - n * 6.93147180369123816490e-01;
    r = r - n * 1.90821492927058770002e-10;
    double p = 1;
    for (int i = 13; i > 0; i--) p = 1 + p * r / i;
    return n > 1000 ? p * two_to((int)n - 1) * 2 : p * two_to((int)n);
}

/* x = 2^n m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1) / (m + 1)). */
double fmath_log(double x) {
    if (!(x > 0)) return x == 0 ? -INFINITY : NAN;
    if (x == INFINITY) return x;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int n = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000FFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m = m / 2;
        n = n + 1;
    }
    double z = (m - 1) / (m + 1), z2 = z * z, p = 0;
    for (int i = 23; i >= 1; i -= 2) p = p * z2 + 1.0 / i;
    return n * 6.93147180369123816490e-01 + (2 * z * p + n * 1.90821492927058770002e-10);
}

/* x = q pi/2 + r, |r| <= pi/4. */
static double reduce(double x, int *q) {
    double n = x * 0.63661977236758134;
    n = (double)(int)(n + (n < 0 ? -0.5 : 0.5));
    *q = (int)n & 3;
    double r = x - n * 1.57079632673412561417e+00;
    r = r - n * 6.07710050630396597660e-11;
    return r - n * 2.02226624879595063154e-21;
}

static double sin_series(double r) {
    double p = 1, r2 = r * r;
    for (int i = 18; i > 0; i -= 2) p = 1 - p * r2 / (i * (i + 1));
    return p * r;
}

static double cos_series(double r) {
    double p = 1, r2 = r * r;
    for (int i = 17; i > 0; i -= 2) p = 1 - p * r2 / (i * (i + 1));
    return p;
}

double fmath_sin(double x) {
    int q;
    double r = reduce(x, &q), v = q & 1 ? cos_series(r) : sin_series(r);
    return q & 2 ? -v : v;
}

double fmath_cos(double x) {
    int q;
    double r = reduce(x, &q), v = q & 1 ? sin_series(r) : cos_series(r);
    return q == 1 || q == 2 ? -v : v;
}

double fmath_pow(double x, double y) { return fmath_exp(y * fmath_log(x)); }
