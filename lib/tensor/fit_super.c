/* See fit_super.h. */
#include "tensor/fit_super.h"

#include "base/f16.h"
#include "tensor/enc_common.h"
#include "tensor/fit.h"
#include "tensor/fit_tile.h"

static float clampf(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static void affine_codes(const struct el_super_affine_kind *kind, const float *x, struct el_super_affine *out)
{
    const float d = el_f16_to_f32(out->d), dmin = el_f16_to_f32(out->dmin);
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        const uint32_t at = kind->sub_n * j;
        el_fit_affine_codes(x + at, kind->sub_n, d * (float)out->scale[j], dmin * (float)out->min[j], kind->hi, out->q + at);
    }
}

void el_super_affine_nearest(const struct el_super_affine_kind *kind, const float *x, struct el_super_affine *out)
{
    float s[EL_SUPER_MAX_SUBS], m[EL_SUPER_MAX_SUBS], s_max = 0.0f, m_max = 0.0f;
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        const struct el_fit_extent ext = el_fit_extent(x + kind->sub_n * j, kind->sub_n);
        s[j] = (ext.max - ext.min) / kind->hi;
        m[j] = -ext.min;
        s_max = s[j] > s_max ? s[j] : s_max;
        m_max = m[j] > m_max ? m[j] : m_max;
    }
    out->d = el_fit_f16(s_max / kind->top);
    out->dmin = el_fit_f16(m_max / kind->top);
    const float d_inv = el_fit_inverse(el_f16_to_f32(out->d)), m_inv = el_fit_inverse(el_f16_to_f32(out->dmin));
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        out->scale[j] = (uint8_t)el_round_even(clampf(s[j] * d_inv, 0.0f, kind->top));
        out->min[j] = (uint8_t)el_round_even(clampf(m[j] * m_inv, 0.0f, kind->top));
    }
    affine_codes(kind, x, out);
}

/* Weights of the n_subs sub-blocks of a tile, `per` to a super-block. */
static void sub_weights(const float *const *w, uint32_t per, uint32_t n_subs, const float *out[EL_TILE])
{
    for (uint32_t j = 0; w && j < n_subs; j++)
        out[j] = w[j / per] + EL_SUPER_N / per * (j % per);
}

void el_super_affine_search(const struct el_super_affine_kind *kind, const float *x, const float *const *w, uint32_t n,
                            struct el_super_affine *out)
{
    const uint32_t per_tile = EL_TILE / kind->n_subs;
    for (uint32_t b = 0; b < n; b += per_tile) {
        const uint32_t n_subs = (n - b < per_tile ? n - b : per_tile) * kind->n_subs;
        const float *w_sub[EL_TILE];
        sub_weights(w ? w + b : NULL, kind->n_subs, n_subs, w_sub);
        const struct el_tile tile = {.x = x + EL_SUPER_N * b, .w = w ? w_sub : NULL, .n_blocks = n_subs, .n = kind->sub_n};
        el_tile_fns()->super_affine(&tile, kind, out + b);
    }
}

static void scale_codes(const struct el_super_scale_kind *kind, const float *x, struct el_super_scale *out)
{
    const float d = el_f16_to_f32(out->d);
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        int16_t q[EL_SUPER_N];
        const uint32_t at = kind->sub_n * j;
        el_fit_scale_codes(x + at, kind->sub_n, d * (float)out->scale[j], kind->codes, q);
        for (uint32_t i = 0; i < kind->sub_n; i++)
            out->q[at + i] = (int8_t)q[i];
    }
}

/* d such that the scale of largest magnitude becomes `lowest`, the end that reaches farther. */
static uint16_t scale_d(const struct el_super_scale_kind *kind, const float s[EL_SUPER_MAX_SUBS], float lowest)
{
    return el_fit_f16(el_fit_extent(s, kind->n_subs).signed_max / lowest);
}

void el_super_scale_nearest(const struct el_super_scale_kind *kind, const float *x, struct el_super_scale *out)
{
    float s[EL_SUPER_MAX_SUBS];
    for (uint32_t j = 0; j < kind->n_subs; j++)
        s[j] = el_fit_extent(x + kind->sub_n * j, kind->sub_n).signed_max / kind->codes.lo;
    out->d = scale_d(kind, s, kind->scale_lo);
    const float inv = el_fit_inverse(el_f16_to_f32(out->d));
    for (uint32_t j = 0; j < kind->n_subs; j++)
        out->scale[j] = (int8_t)el_round_even(clampf(s[j] * inv, kind->scale_lo, kind->scale_hi));
    scale_codes(kind, x, out);
}

void el_super_scale_search(const struct el_super_scale_kind *kind, const float *x, const float *const *w, uint32_t n,
                           struct el_super_scale *out)
{
    const uint32_t per_tile = EL_TILE / kind->n_subs;
    for (uint32_t b = 0; b < n; b += per_tile) {
        const uint32_t n_subs = (n - b < per_tile ? n - b : per_tile) * kind->n_subs;
        const float *w_sub[EL_TILE];
        sub_weights(w ? w + b : NULL, kind->n_subs, n_subs, w_sub);
        const struct el_tile tile = {.x = x + EL_SUPER_N * b, .w = w ? w_sub : NULL, .n_blocks = n_subs, .n = kind->sub_n};
        el_tile_fns()->super_scale(&tile, kind, out + b);
    }
}
