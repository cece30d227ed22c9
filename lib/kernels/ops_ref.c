/* Reference kernels for everything but matrix products and attention. Sums over a row are made in float64. */
#include <float.h>
#include <math.h>
#include <stdint.h>

#include "base/f16.h"
#include "kernels/kernels.h"
#include "kernels/kernels_ref.h"

/* *max = the largest |x|; false when one is a NaN or an infinity. */
static bool max_abs(const float *x, uint64_t n, float *max)
{
    bool finite = true;
    *max = 0;
    for (uint64_t i = 0; i < n; i++) {
        const float a = fabsf(x[i]);
        finite = finite && a <= FLT_MAX;
        *max = a > *max ? a : *max;
    }
    return finite;
}

static void quantize_block(const float *x, uint64_t n, float most, float scale, int8_t *q8, int16_t *sum)
{
    sum[0] = sum[1] = 0;
    for (uint64_t i = 0; i < EL_ACT_BLOCK; i++) {
        float q = 0;
        if (i < n && scale > 0) {
            q = rintf(x[i] / scale);
            q = q > most ? most : q < -most ? -most : q;
        }
        q8[i] = (int8_t)q;
        sum[i / 16] = (int16_t)(sum[i / 16] + q8[i]);
    }
}

void el_quantize_act_to(const float *x, uint64_t x_stride, uint64_t n, uint64_t n_in, uint32_t most, bool by_row, int8_t *q8,
                        float *scale, int16_t *sum)
{
    for (uint64_t t = 0; t < n; t++) {
        const float *const row = x + t * x_stride;
        float max = 0;
        bool finite = !by_row || max_abs(row, n_in, &max);
        for (uint64_t i = 0; i < n_in; i += EL_ACT_BLOCK) {
            const uint64_t n_block = n_in - i < EL_ACT_BLOCK ? n_in - i : EL_ACT_BLOCK;
            if (!by_row)
                finite = max_abs(row + i, n_block, &max);
            *scale = finite ? max / (float)most : (float)NAN;
            quantize_block(row + i, n_block, (float)most, *scale, q8, sum);
            q8 += EL_ACT_BLOCK;
            scale += 1;
            sum += 2;
        }
    }
}

void el_quantize_act_ref(const float *x, uint64_t x_stride, uint64_t n, uint64_t n_in, int8_t *q8, float *scale, int16_t *sum)
{
    el_quantize_act_to(x, x_stride, n, n_in, 127, false, q8, scale, sum);
}

void el_rmsnorm_ref(const float *x, const float *gain, float eps, uint64_t n, uint64_t d, float *y)
{
    for (uint64_t t = 0; t < n; t++) {
        double sum = 0;
        for (uint64_t i = 0; i < d; i++)
            sum += (double)x[t * d + i] * (double)x[t * d + i];
        const float r = (float)(1.0 / sqrt(sum / (double)d + (double)eps));
        for (uint64_t i = 0; i < d; i++)
            y[t * d + i] = x[t * d + i] * r * gain[i];
    }
}

void el_layernorm_ref(const float *x, const float *gain, const float *bias, float eps, uint64_t n, uint64_t d, float *y)
{
    for (uint64_t t = 0; t < n; t++) {
        double sum = 0, sum2 = 0;
        for (uint64_t i = 0; i < d; i++)
            sum += (double)x[t * d + i];
        const float mean = (float)(sum / (double)d);
        for (uint64_t i = 0; i < d; i++) {
            const float c = x[t * d + i] - mean;
            sum2 += (double)c * (double)c;
        }
        const float r = (float)(1.0 / sqrt(sum2 / (double)d + (double)eps));
        for (uint64_t i = 0; i < d; i++) {
            const float v = (x[t * d + i] - mean) * r * gain[i];
            y[t * d + i] = bias ? v + bias[i] : v;
        }
    }
}

void el_silu_mul_ref(const float *gate, const float *up, uint64_t n, float *y)
{
    for (uint64_t i = 0; i < n; i++)
        y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

void el_gelu_tanh_ref(const float *x, uint64_t n, float *y)
{
    /* (1 + tanh u) / 2 = 1 / (1 + exp(-2u)): the same function without the cancellation at large negative x. */
    const float c = 0.79788456080286535588f; /* sqrt(2 / pi) */
    for (uint64_t i = 0; i < n; i++) {
        const float u = c * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
        y[i] = x[i] / (1.0f + expf(-2.0f * u));
    }
}

void el_add_ref(float *y, const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        y[i] += x[i];
}

void el_axpy_ref(float *y, float a, const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

void el_axpby_ref(float *y, float a, const float *x, float b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        y[i] = a * y[i] + b * x[i];
}

void el_divide_ref(float *y, float by, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        y[i] /= by;
}

bool el_all_finite_ref(const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= FLT_MAX))
            return false;
    return true;
}

void el_rope_ref(float *x, const float *cos, const float *sin, uint32_t n_rot)
{
    const uint32_t half = n_rot / 2;
    for (uint32_t i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half];
        x[i] = a * cos[i] - b * sin[i];
        x[i + half] = b * cos[i] + a * sin[i];
    }
}

void el_f32_to_f16_ref(const float *x, uint64_t n, uint16_t *y)
{
    for (uint64_t i = 0; i < n; i++)
        y[i] = el_f32_to_f16(x[i]);
}

void el_f16_to_f32_ref(const uint16_t *x, uint64_t n, float *y)
{
    for (uint64_t i = 0; i < n; i++)
        y[i] = el_f16_to_f32(x[i]);
}

void el_outer_ref(const float *a, const float *b, uint64_t n, double *c)
{
    for (uint64_t t0 = 0; t0 < n; t0 += EL_OUTER_RUN) {
        const uint64_t t1 = n - t0 < EL_OUTER_RUN ? n : t0 + EL_OUTER_RUN;
        for (uint64_t i = 0; i < EL_OUTER; i++)
            for (uint64_t j = 0; j < EL_OUTER; j++) {
                float sum = 0;
                for (uint64_t t = t0; t < t1; t++)
                    sum = fmaf(a[t * EL_OUTER + i], b[t * EL_OUTER + j], sum);
                c[i * EL_OUTER + j] += (double)sum;
            }
    }
}
