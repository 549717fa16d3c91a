/* base/fmath.h: exp, log, sin and cos in double from +, -, *, / alone.
 *
 * libm's functions differ between C libraries and processors in the last bit; these do
 * not, because IEEE 754 fixes every operation they use. Absolute error is below 1e-15
 * times the size of the result for the arguments named. Any thread.
 */
#ifndef BASE_FMATH_H
#define BASE_FMATH_H

double fmath_exp(double x);            /* 0 below -708, +inf above 709 */
double fmath_log(double x);            /* x > 0 and normal; -inf at 0, NaN below */
double fmath_sin(double x);            /* |x| <= 1e6 */
double fmath_cos(double x);            /* |x| <= 1e6 */
double fmath_pow(double x, double y);  /* exp(y log x), x > 0 */

#endif
