/* policy/kernels/peak.c: what the processor can do at best, measured from registers: the
 * ceiling that `hone bench` holds the rest against.
 *
 * Chains are independent and as many as the registers hold beside two operands, so that
 * both pipes are full (an FMA takes 4 cycles and two start a cycle; the dot takes 6).
 */
#include "policy/kernels/internal.h"
#include "policy/simd.h"

#if SIMD_W == 16
#define CHAINS 24
#elif defined(__aarch64__)
#define CHAINS 24
#else
#define CHAINS 12
#endif

#define EACH_CHAIN(i) _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; i++)

/* x = x a + b tends to b / (1 - a) and meets no denormal or infinite number on its way. */
double K(k_peak_fma)(long rounds, float *sink) {
    nf x[CHAINS], a = nf_set1(0.5f + *sink), b = nf_set1(1.0f + *sink);
    EACH_CHAIN(i) x[i] = nf_set1((float)i + *sink);
    for (long r = 0; r < rounds; r++)
        EACH_CHAIN(i) x[i] = nf_fma(x[i], a, b);
    EACH_CHAIN(i) b += x[i];
    *sink = b[0];
    return 2.0 * SIMD_W * CHAINS * (double)rounds;
}

#if SIMD_W == 16 && !defined(SIMD_PLAIN)
/* Pairs of bf16 that are 0 but for what *sink holds (0): the dot takes as long for any. */
__attribute__((target("avx512bf16"))) static double dots(long rounds, float *sink) {
    __m512 x[CHAINS];
    __m512bh a = (__m512bh)_mm512_set1_ps(*sink), b = (__m512bh)_mm512_set1_ps(*sink + 1);
    EACH_CHAIN(i) x[i] = _mm512_set1_ps((float)i + *sink);
    for (long r = 0; r < rounds; r++)
        EACH_CHAIN(i) x[i] = _mm512_dpbf16_ps(x[i], a, b);
    EACH_CHAIN(i) x[0] += x[i];
    *sink = x[0][0];
    return 4.0 * SIMD_W * CHAINS * (double)rounds;
}

double K(k_peak_dot)(long rounds, float *sink) {
    return __builtin_cpu_supports("avx512bf16") ? dots(rounds, sink)
                                                : K(k_peak_fma)(rounds, sink);
}
#else
double K(k_peak_dot)(long rounds, float *sink) { return K(k_peak_fma)(rounds, sink); }
#endif

/* Four streams at once: one alone reaches 33 GB/s where four reach 43. */
float K(k_read_all)(const float *p, size_t n) {
    struct vf sum[4];
    size_t part = n / 4;
    for (int i = 0; i < 4; i++) sum[i] = vf_zero();
    for (size_t j = 0; j + 64 <= part; j += 64)
        for (size_t s = 0; s < 4; s++)
            _Pragma("GCC unroll 4") for (size_t i = 0; i < 4; i++) sum[i] =
                vf_add(sum[i], vf_load(p + part * s + j + 16 * i));
    for (int i = 1; i < 4; i++) sum[0] = vf_add(sum[0], sum[i]);
    return vf_sum(sum[0]);
}
