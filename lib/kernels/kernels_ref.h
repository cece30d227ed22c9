/* The reference kernels: plain C, the definition that every variant is tested against. Formulas are in kernels.h. */
#ifndef EL_KERNELS_KERNELS_REF_H
#define EL_KERNELS_KERNELS_REF_H

#include "kernels/kernels.h"

void el_matmul_f32_ref(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,
                       uint64_t y_stride, void *scratch);
void el_matmul_f16_ref(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,
                       uint64_t y_stride, void *scratch);
void el_matmul_bf16_ref(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,
                        uint64_t y_stride, void *scratch);
void el_matmul_group_ref(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,
                         uint64_t y_stride, void *scratch);
/* Quantized weights times int8 activations: product_ref.c. */
void el_products_init_ref(struct el_kernels *k);

void el_quantize_act_ref(const float *x, uint64_t x_stride, uint64_t n, uint64_t n_in, int8_t *q8, float *scale, int16_t *sum);
void el_attn_ref(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part);
void el_rmsnorm_ref(const float *x, const float *gain, float eps, uint64_t n, uint64_t d, float *y);
void el_layernorm_ref(const float *x, const float *gain, const float *bias, float eps, uint64_t n, uint64_t d, float *y);
void el_silu_mul_ref(const float *gate, const float *up, uint64_t n, float *y);
void el_gelu_tanh_ref(const float *x, uint64_t n, float *y);
void el_add_ref(float *y, const float *x, uint64_t n);
void el_axpy_ref(float *y, float a, const float *x, uint64_t n);
void el_axpby_ref(float *y, float a, const float *x, float b, uint64_t n);
void el_divide_ref(float *y, float by, uint64_t n);
bool el_all_finite_ref(const float *x, uint64_t n);
void el_rope_ref(float *x, const float *cos, const float *sin, uint32_t n_rot);
void el_outer_ref(const float *a, const float *b, uint64_t n, double *c);
void el_f32_to_f16_ref(const float *x, uint64_t n, uint16_t *y);
void el_f16_to_f32_ref(const uint16_t *x, uint64_t n, float *y);

#endif
