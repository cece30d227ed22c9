/* The table: every reference kernel, then what each CPU level does better. And the product for encodings without a kernel. */
#include "kernels/kernels.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/compiler.h"
#include "base/cpu.h"
#include "kernels/kernels_ref.h"
#include "tensor/encoding.h"

#if EL_X86
#include "kernels/x86/kernels_x86.h"
#elif EL_ARM64
#include "kernels/arm/kernels_arm.h"
#endif

/* Rows that are decoded at a time when an encoding has no kernel. All tokens come from memory once for them. */
enum { DECODE_ROWS = 32 };

static void init_ref(struct el_kernels *k)
{
    k->level = EL_CPU_REF;
    k->matmul[EL_ENC_IDX_f32].fn = el_matmul_f32_ref;
    k->matmul[EL_ENC_IDX_f16].fn = el_matmul_f16_ref;
    k->matmul[EL_ENC_IDX_bf16].fn = el_matmul_bf16_ref;
    k->matmul[EL_ENC_IDX_group].fn = el_matmul_group_ref;
    k->matmul[EL_ENC_IDX_group].form = EL_ACT_Q8;
    el_products_init_ref(k);
    k->quantize_act = el_quantize_act_ref;
    k->attn = el_attn_ref;
    k->rmsnorm = el_rmsnorm_ref;
    k->layernorm = el_layernorm_ref;
    k->silu_mul = el_silu_mul_ref;
    k->gelu_tanh = el_gelu_tanh_ref;
    k->add = el_add_ref;
    k->axpy = el_axpy_ref;
    k->axpby = el_axpby_ref;
    k->divide = el_divide_ref;
    k->all_finite = el_all_finite_ref;
    k->rope = el_rope_ref;
    k->outer = el_outer_ref;
    k->f32_to_f16 = el_f32_to_f16_ref;
    k->f16_to_f32 = el_f16_to_f32_ref;
}

void el_kernels_init(struct el_kernels *k, enum el_cpu_level level)
{
    assert(el_cpu_allows(level));
    memset(k, 0, sizeof *k);
    init_ref(k);
#if EL_X86
    const unsigned has = el_cpu_features(level);
    if (has & EL_CPU_HAS_AVX2)
        el_kernels_init_avx2(k);
    if (has & EL_CPU_HAS_AVXVNNI) {
        el_laid_init_avxvnni(k);
        el_matmul_group_init_avxvnni(k);
        el_attn_init_avxvnni(k);
    }
    if (has & EL_CPU_HAS_AVX512)
        el_kernels_init_avx512(k);
    if (has & EL_CPU_HAS_AVX512VNNI) {
        el_matmul_group_init_vnni(k);
        el_attn_init_vnni(k);
        el_laid_init_avx512vnni(k);
        el_laid_low_init_avx512vnni(k);
    }
    if (has & EL_CPU_HAS_AMXINT8)
        el_laid_init_amx(k);
#elif EL_ARM64
    const unsigned has = el_cpu_features(level);
    if (has & EL_CPU_HAS_NEON)
        el_kernels_init_neon(k);
    if (has & EL_CPU_HAS_DOTPROD) {
        el_matmul_group_init_dotprod(k);
        el_laid_init_dotprod(k);
        el_laid_low_init_dotprod(k);
        el_attn_init_dotprod(k);
    }
    if (has & EL_CPU_HAS_I8MM) {
        el_matmul_group_init_i8mm(k);
        el_laid_init_i8mm(k);
        el_laid_low_init_i8mm(k);
    }
#endif
    k->level = level;
}

static struct el_kernels tables[EL_CPU_LEVELS];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (int i = 0; i < EL_CPU_LEVELS; i++)
        if (el_cpu_allows((enum el_cpu_level)i))
            el_kernels_init(&tables[i], (enum el_cpu_level)i);
}

const struct el_kernels *el_kernels(void)
{
    pthread_once(&tables_once, make_tables);
    return &tables[el_cpu()];
}

uint64_t el_matmul_scratch_nbytes(uint64_t n_in)
{
    /* Rows decoded, or strips unpacked. */
    const uint64_t decoded = DECODE_ROWS * sizeof(float) * ((n_in + 63) / 64 * 64);
    /* Fewer columns may take more panels, so it is the most that any number of them up to n_in takes. */
    const uint64_t one = el_laid_panel_nbytes(n_in), most = one > EL_LAID_PANELS_NBYTES ? one : EL_LAID_PANELS_NBYTES;
    const uint64_t panels = EL_LAID_MOST_PANELS * one < most ? EL_LAID_MOST_PANELS * one : most;
    return decoded > panels ? decoded : panels;
}

void el_act_sums(const float *scale, const int16_t *sum, uint64_t n, struct el_act_sums *sums)
{
    for (uint64_t i = 0; i < n; i++) {
        const int32_t a = sum[2 * i], b = sum[2 * i + 1];
        sums[i] = (struct el_act_sums){-128 * (a + b), {-128 * a, -128 * b}, scale[i], scale[i] * (float)(a + b)};
    }
}

/* The kernels read scales in f16 and columns as they lie: what is wide or permuted is decoded. */
static bool has_kernel(const struct el_kernels *k, const struct el_enc *enc)
{
    const size_t i = el_encoding_find(enc->e);
    return i < EL_ENC_COUNT && !enc->wide && !enc->permuted && k->matmul[i].fn;
}

enum el_act_form el_matmul_form(const struct el_kernels *k, const struct el_enc *enc)
{
    return has_kernel(k, enc) ? k->matmul[el_encoding_index(enc->e)].form : EL_ACT_F32;
}

void el_kernels_without_q8(struct el_kernels *k)
{
    for (size_t i = 0; i < EL_ENC_COUNT; i++) {
        if (k->matmul[i].form == EL_ACT_Q8) {
            k->matmul[i].fn = NULL;
            k->matmul[i].form = EL_ACT_F32;
        }
        k->laid[i] = NULL;
    }
}

void el_kernels_decode(const struct el_kernels *k, const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    const size_t i = el_encoding_find(m->enc.e);
    el_decode_fn *const fn = m->enc.permuted || i == EL_ENC_COUNT ? NULL : k->decode[i];
    if (fn)
        fn(m, row0, n_rows, out);
    else
        el_matrix_decode(m, row0, n_rows, out);
}

void el_matmul(const struct el_kernels *k, const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x,
               float *y, uint64_t y_stride, void *scratch)
{
    assert(x->n_in == w->n_in);
    if (has_kernel(k, &w->enc)) {
        k->matmul[el_encoding_index(w->enc.e)].fn(w, row0, n_rows, x, y, y_stride, scratch);
        return;
    }
    const size_t e = el_encoding_find(w->enc.e);
    el_decode_dot_fn *const dot = w->enc.permuted || e == EL_ENC_COUNT ? NULL : k->decode_dot[e];
    if (x->n == 1 && dot) {
        dot(w, row0, n_rows, x->f32, y);
        return;
    }
    struct el_matrix strip = {.enc = el_enc_f32(), .n_in = w->n_in, .data = {scratch}, .row_nbytes = {w->n_in * sizeof(float)}};
    for (uint64_t r = 0; r < n_rows; r += DECODE_ROWS) {
        strip.n_rows = n_rows - r < DECODE_ROWS ? n_rows - r : DECODE_ROWS;
        el_kernels_decode(k, w, row0 + r, strip.n_rows, scratch);
        k->matmul[EL_ENC_IDX_f32].fn(&strip, 0, strip.n_rows, x, y + r, y_stride, NULL);
    }
}
