/* policy/kernels/table.c: this instruction set's table. */
#include "policy/kernels/internal.h"
#include "policy/simd.h"

extern const struct kernels K(kernels);

const struct kernels K(kernels) = {
#define NAME2(x) #x
#define NAME(x) NAME2(x)
    .name = NAME(SIMD_ISA),
    .bf16_dot = SIMD_BF16_DOT,
    .matmul = K(k_matmul),
    .matmul_bf16 = K(k_matmul_bf16),
    .bf16_rows = K(k_bf16_rows),
    .bf16_seconds = K(k_bf16_seconds),
    .pack_rows = K(k_pack_rows),
    .pack_columns = K(k_pack_columns),
    .rmsnorm = K(k_rmsnorm),
    .norm_again = K(k_norm_again),
    .rope = K(k_rope),
    .rmsnorm_backward = K(k_rmsnorm_backward),
    .rmsnorm_dw = K(k_rmsnorm_dw),
    .swiglu = K(k_swiglu),
    .swiglu_backward = K(k_swiglu_backward),
    .softmax = K(k_softmax),
    .softmax_backward = K(k_softmax_backward),
    .exp_row = K(k_exp_row),
    .weighted_sum = K(k_weighted_sum),
    .sigmoid = K(k_sigmoid),
    .add = K(k_add),
    .axpy = K(k_axpy),
    .scale = K(k_scale),
    .scale_to = K(k_scale_to),
    .sum_squares = K(k_sum_squares),
    .adamw = K(k_adamw),
    .peak_fma = K(k_peak_fma),
    .peak_dot = K(k_peak_dot),
    .read_all = K(k_read_all),
};
