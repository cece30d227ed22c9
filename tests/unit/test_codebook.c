/* Encodings in which columns share a code: the nearest of all entries and signs; scales; what is stored is what decodes. */
#include <math.h>

#include "base/err.h"
#include "tensor/codebook.h"
#include "tensor/codebook_near.h"
#include "tensor/iq_grids.h"
#include "test.h"

static const char *const names[] = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"};
enum { N_NAMES = sizeof names / sizeof *names, N = 256 };

static void fill(float *x, uint64_t n, uint64_t *seed)
{
    for (uint64_t i = 0; i < n; i++)
        x[i] = 0.1f * (test_randf(seed) + test_randf(seed) + test_randf(seed));
}

static struct el_enc enc_of(const char *name)
{
    struct el_enc enc;
    if (el_enc_parse(name, &enc, NULL) != EL_OK)
        abort();
    return enc;
}

static double unit_loss(const struct el_codebook *cb, const float *x, const float *w, double inverse, const int16_t *level)
{
    double loss = 0.0;
    for (uint32_t i = 0; i < cb->unit_n; i++) {
        const double r = (double)x[i] * inverse - level[i];
        loss += (double)w[i] * r * r;
    }
    return loss;
}

/* The least loss of a part of a unit over all entries, given its signs or its delta. */
static double least(const struct el_codebook *cb, const float *x, const float *w, double inverse, uint32_t signs, int delta)
{
    double best = INFINITY;
    for (uint32_t e = 0; e < cb->n_entries; e++) {
        double loss = 0.0;
        for (uint32_t i = 0; i < cb->entry_n; i++) {
            const int v = cb->digit[el_iq_digit(cb->entries[e], i)] + delta;
            const double r = (double)x[i] * inverse - (signs >> i & 1 ? -v : v);
            loss += (double)w[i] * r * r;
        }
        best = loss < best ? loss : best;
    }
    return best;
}

static double least_of_unit(const struct el_codebook *cb, const float *x, const float *w, double inverse, bool negative)
{
    double best = INFINITY;
    if (cb->signs == EL_SIGNS_DELTA || cb->signs == EL_SIGNS_DELTA_SUB) {
        for (int delta = -1; delta <= 1; delta += 2)
            if (cb->signs == EL_SIGNS_DELTA || delta == (negative ? -1 : 1))
                best = fmin(best, least(cb, x, w, inverse, 0, delta));
        return best;
    }
    for (uint32_t signs = 0; signs < 1u << cb->unit_n; signs++) {
        double loss = 0.0;
        uint32_t n = 0;
        for (uint32_t i = 0; i < cb->unit_n; i++)
            n += signs >> i & 1;
        if (cb->signs == EL_SIGNS_EVEN && n % 2 == 1)
            continue;
        for (uint32_t p = 0; p < cb->unit_n; p += cb->entry_n)
            loss += least(cb, x + p, w + p, inverse, signs >> p, 0);
        best = fmin(best, loss);
    }
    return best;
}

TEST(codebook, nearest_is_nearest)
{
    uint64_t seed = 21;
    for (size_t k = 0; k < N_NAMES; k++) {
        const struct el_codebook *const cb = enc_of(names[k]).e->grid->codebook;
        for (int trial = 0; trial < 12; trial++) {
            float x[8], w[8];
            int16_t level[8];
            fill(x, 8, &seed);
            for (int i = 0; i < 8; i++)
                w[i] = 1.05f + test_randf(&seed);
            const float inverse = (float)cb->digit[1] * (trial % 3 == 0 ? 4.0f : 9.0f) + 20.0f;
            el_codebook_nearest(cb, x, w, inverse, trial % 2 == 1, level);
            const double got = unit_loss(cb, x, w, inverse, level), want = least_of_unit(cb, x, w, inverse, trial % 2 == 1);
            if (!(got <= want * (1.0 + 1e-5)))
                printf("%s trial %d: %g, the least is %g\n", names[k], trial, got, want);
            CHECK(got <= want * (1.0 + 1e-5));
        }
    }
}

/* The CPU's search and the plain one: the same entries, and losses to the bit, with a hint and without. */
TEST(codebook, every_level_finds_the_same)
{
    uint64_t seed = 24;
    for (size_t k = 0; k < N_NAMES; k++) {
        const struct el_codebook *const cb = enc_of(names[k]).e->grid->codebook;
        const struct el_near_fns *const fns = el_near_fns();
        el_near_fn *const fast = cb->entry_n == 8 ? fns->eight : fns->four, *const plain = cb->entry_n == 8
                                                                                               ? el_near_fns_ref.eight
                                                                                               : el_near_fns_ref.four;
        const bool turns = cb->signs == EL_SIGNS_EVEN;
        for (int trial = 0; trial < 200; trial++) {
            float y[8], w[8];
            fill(y, 8, &seed);
            for (int i = 0; i < 8; i++) {
                y[i] = (turns ? fabsf(y[i]) : y[i]) * (float)cb->digit[cb->entry_n == 8 ? 2 : 7] * 6.0f;
                w[i] = trial % 5 == 0 && i % 2 ? 0.0f : 1.05f + test_randf(&seed);
            }
            const uint16_t hint = trial % 2 ? (uint16_t)(test_rand(&seed) % cb->n_entries) : EL_NEAR_NONE;
            struct el_near a = {.ask = {true, turns}, .entry = {hint, hint}}, b = a;
            fast(cb, cb->table, y, w, &a);
            plain(cb, cb->table, y, w, &b);
            for (int t = 0; t < 1 + turns; t++)
                CHECK(a.entry[t] == b.entry[t] && a.loss[t] == b.loss[t]);
            /* A hint saves time and nothing else. */
            b.entry[0] = b.entry[1] = 0;
            plain(cb, cb->table, y, w, &b);
            for (int t = 0; t < 1 + turns; t++)
                CHECK_NEAR(a.loss[t], b.loss[t], 1e-5 * fabs((double)b.loss[t]) + 1e-6);
        }
    }
}

TEST(codebook, runs_have_one_second_half)
{
    for (size_t k = 0; k < N_NAMES; k++) {
        const struct el_codebook *const cb = enc_of(names[k]).e->grid->codebook;
        const uint32_t n = cb->entry_n / 2, base = cb->entry_n == 8 ? 3 : 8, n_runs = cb->entry_n == 8 ? 81 : 64;
        CHECK(cb->runs[0] == 0 && cb->runs[n_runs] == cb->n_entries);
        for (uint32_t run = 0; run < n_runs; run++) {
            for (uint32_t e = cb->runs[run]; e < cb->runs[run + 1]; e++) {
                uint32_t half = 0;
                for (uint32_t i = cb->entry_n; i-- > n;)
                    half = half * base + el_iq_digit(cb->entries[e], i);
                CHECK(half == run);
            }
        }
    }
}

static void store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, float *out)
{
    uint8_t bytes[128] = {0};
    uint8_t *parts[EL_MAX_PARTS] = {bytes};
    const struct el_matrix m = {.enc = *enc, .n_rows = 1, .n_in = N, .data = {bytes}, .row_nbytes = {enc->e->block_nbytes}};
    enc->e->grid->store(enc, b, level, 0, 0, N, parts);
    el_matrix_decode(&m, 0, 1, out);
}

static void snap_all(const struct el_enc *enc, const struct el_grid_block *b, const float *x, const float *w, int16_t *level)
{
    const uint32_t n = el_grid_unit(enc);
    for (uint32_t i = 0; i < N; i += n)
        enc->e->grid->snap(enc, b, i / b->sub_n, x + i, w + i, level + i);
}

static double loss_of(const struct el_grid_block *b, const float *x, const float *w, const int16_t *level)
{
    double loss = 0.0;
    for (uint32_t i = 0; i < N; i++) {
        const double r = (double)x[i] - (double)el_grid_value(b, i / b->sub_n, level[i]);
        loss += (double)w[i] * r * r;
    }
    return loss;
}

static bool decodes(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level)
{
    float got[N];
    store(enc, b, level, got);
    for (uint32_t i = 0; i < N; i++)
        if (got[i] != el_grid_value(b, i / b->sub_n, level[i]))
            return false;
    return true;
}

TEST(codebook, values_are_what_decodes)
{
    uint64_t seed = 22;
    float x[N], w[N];
    int16_t level[N];
    for (size_t k = 0; k < N_NAMES; k++) {
        const struct el_enc enc = enc_of(names[k]);
        const struct el_grid *const grid = enc.e->grid;
        struct el_grid_block b, next;
        for (int effort = EL_ENCODE_NEAREST; effort <= EL_ENCODE_SEARCH; effort++) {
            fill(x, N, &seed);
            for (int i = 0; i < N; i++)
                w[i] = 1.05f + test_randf(&seed);
            grid->fit(&enc, x, w, 1, N, (enum el_effort)effort, &b);
            snap_all(&enc, &b, x, w, level);
            CHECK(decodes(&enc, &b, level));
        }
        for (int min = -1; min <= 1; min++) {
            next = b;
            if (grid->vary(&enc, 1, b.scale[1] > 0 ? -1 : 1, min, &next)) {
                snap_all(&enc, &next, x, w, level);
                CHECK(next.step[1] != b.step[1] && decodes(&enc, &next, level));
            }
        }
        next = b;
        grid->share(&enc, 1.25f, 1.0f, &next);
        snap_all(&enc, &next, x, w, level);
        CHECK(next.step[0] > b.step[0] && decodes(&enc, &next, level));
        grid->set(&enc, b.step, NULL, N, &next);
        for (uint32_t j = 0; j < N / b.sub_n; j++)
            CHECK_NEAR(next.step[j], b.step[j], 0.1 * (double)b.step[j] + 1e-3);
    }
}

TEST(codebook, refit_never_loses)
{
    uint64_t seed = 23;
    float x[N], w[N];
    int16_t level[N];
    for (size_t k = 0; k < N_NAMES; k++) {
        const struct el_enc enc = enc_of(names[k]);
        struct el_grid_block b;
        fill(x, N, &seed);
        for (int i = 0; i < N; i++)
            w[i] = 1.05f + test_randf(&seed);
        enc.e->grid->fit(&enc, x, w, 1, N, EL_ENCODE_SEARCH, &b);
        fill(x, N, &seed); /* other numbers, for which the scales were not made */
        snap_all(&enc, &b, x, w, level);
        const double before = loss_of(&b, x, w, level);
        for (uint32_t sub = 0; sub < N / b.sub_n; sub++)
            enc.e->grid->refit(&enc, x + sub * b.sub_n, w + sub * b.sub_n, sub, &b);
        snap_all(&enc, &b, x, w, level);
        CHECK(loss_of(&b, x, w, level) < before);
        CHECK(decodes(&enc, &b, level));
    }
}
