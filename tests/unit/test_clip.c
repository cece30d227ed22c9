/* The clip method against a float64 reference in numpy (scripts/fixtures/make_scales.py), and what it must survive. */
#include <math.h>

#include "base/f16.h"
#include "base/threads.h"
#include "quant/method.h"
#include "tensor/grid.h"
#include "test.h"

enum { MAX_ROWS = 4, MAX_IN = 512, MAX_BYTES = 8192, SHRINKS = 11, MAX_GROUPS = 8 };

struct problem {
    struct el_enc enc;
    uint64_t n_rows, n_in, n_groups;
    double h[MAX_IN * MAX_IN], loss[MAX_ROWS * MAX_GROUPS][SHRINKS];
    uint16_t scale[MAX_ROWS * MAX_GROUPS][SHRINKS];
    float w[MAX_ROWS * MAX_IN], importance[MAX_IN];
    uint8_t bytes[MAX_BYTES];
    struct el_matrix m; /* what was made */
    bool no_hessian;
};

static bool load(const char *name, struct problem *p)
{
    struct el_err err;
    size_t nbytes;
    unsigned long long n_rows, n_in;
    int used = 0;
    char path[64], enc[16];
    (void)snprintf(path, sizeof path, "ptq/%s.txt", name);
    char *const text = test_read(test_data(path), &nbytes);
    const bool ok =
        text && sscanf(text, "%15s %llu %llu%n", enc, &n_rows, &n_in, &used) == 3 && el_enc_parse(enc, &p->enc, &err) == EL_OK;
    char *at = text + used;
    p->n_rows = ok ? n_rows : 0;
    p->n_in = ok ? n_in : 0;
    p->n_groups = ok ? n_in / p->enc.group : 0;
    for (uint64_t i = 0; i < p->n_in; i++)
        for (uint64_t j = 0; j <= i; j++)
            p->h[i * p->n_in + j] = p->h[j * p->n_in + i] = strtod(at, &at);
    for (uint64_t i = 0; i < p->n_rows * p->n_in; i++)
        p->w[i] = strtof(at, &at);
    for (uint64_t i = 0; i < p->n_rows * p->n_groups * SHRINKS; i++)
        p->loss[i / SHRINKS][i % SHRINKS] = strtod(at, &at);
    for (uint64_t i = 0; i < p->n_rows * p->n_groups * SHRINKS; i++)
        p->scale[i / SHRINKS][i % SHRINKS] = (uint16_t)strtoul(at, &at, 10);
    free(text);
    return ok;
}

static enum el_status hessian(void *user, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err)
{
    const struct problem *const p = user;
    (void)err;
    memcpy(out, p->h + row0 * p->n_in, (size_t)(n_rows * p->n_in) * sizeof *out);
    return EL_OK;
}

/* Runs a method over rows row0 .. of the problem; p->m is what it made, at its place. */
static enum el_status solve(const char *name, struct problem *p, uint64_t row0, uint64_t n_rows, struct el_err *err)
{
    const struct el_method *const method = el_method_by_name(name);
    const struct el_method_opts opts = {.order = NULL};
    struct el_quant_columns columns = {.enc = p->enc, .n_in = p->n_in, .n_tokens = 1, .user = p, .opts = &opts};
    struct el_part_shape shapes[EL_MAX_PARTS];
    uint32_t n_parts = 0;
    uint64_t at = 0;
    void *shared = NULL;
    float row[MAX_IN];
    for (uint64_t j = 0; j < p->n_in; j++)
        p->importance[j] = (float)p->h[j * p->n_in + j];
    columns.importance = p->importance;
    columns.hessian = p->no_hessian ? NULL : hessian;
    if (method->open)
        EL_TRY(method->open(&columns, &shared, err));
    struct el_quant_job job = {.x = p->w + row0 * p->n_in,
                               .n_rows = n_rows,
                               .n_in = p->n_in,
                               .enc = p->enc,
                               .scratch = row,
                               .importance = p->importance,
                               .shared = shared,
                               .opts = &opts};
    (void)p->enc.e->parts(&p->enc, p->n_rows, p->n_in, shapes, &n_parts);
    p->m = (struct el_matrix){.enc = p->enc, .n_rows = p->n_rows, .n_in = p->n_in};
    for (uint32_t k = 0; k < n_parts; k++) {
        job.parts_out[k] = p->bytes + at + row0 * shapes[k].row_nbytes;
        p->m.data[k] = p->bytes + at;
        p->m.row_nbytes[k] = shapes[k].row_nbytes;
        at += shapes[k].nbytes;
    }
    if (at > sizeof p->bytes)
        abort(); /* the problems are as large as this file makes them */
    const enum el_status status = method->quantize(&job, err);
    if (method->close)
        method->close(shared);
    return status;
}

/* The error of columns first .. first + n of a row. */
static double loss_of(const struct problem *p, uint64_t r, uint64_t first, uint64_t n)
{
    float q[MAX_IN];
    double loss = 0;
    el_matrix_decode(&p->m, r, 1, q);
    for (uint64_t i = first; i < first + n; i++)
        for (uint64_t j = first; j < first + n; j++)
            loss += ((double)p->w[r * p->n_in + i] - (double)q[i]) * p->h[i * p->n_in + j] *
                    ((double)p->w[r * p->n_in + j] - (double)q[j]);
    return loss;
}

/* Of the ranges that the paper tries the best one is taken, or the scales of the encoding's search where they are better. */
TEST(clip, parts_are_those_of_the_reference)
{
    static const char *const names[] = {"clip", "clip_zeros"};
    static struct problem p;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct el_err err;
        unsigned n_equal = 0, n_smaller = 0;
        REQUIRE(load(names[k], &p));
        REQUIRE_OK(solve("clip", &p, 0, p.n_rows, &err), err);
        for (uint64_t i = 0; i < p.n_rows * p.n_groups; i++) {
            const uint64_t r = i / p.n_groups, g = i % p.n_groups;
            const uint8_t *const at = p.m.data[1] + r * p.m.row_nbytes[1] + 2 * g;
            const uint16_t scale = (uint16_t)(at[0] | at[1] << 8);
            const double loss = loss_of(&p, r, g * p.enc.group, p.enc.group);
            int best = 0;
            for (int t = 1; t < SHRINKS; t++)
                best = p.loss[i][t] < p.loss[i][best] ? t : best;
            CHECK(loss <= p.loss[i][best] * (1 + 1e-6));
            for (int t = 0; t < SHRINKS; t++)
                if (scale == p.scale[i][t] && loss >= p.loss[i][best] * (1 - 1e-6))
                    CHECK_EQ_INT(t, best);
            n_equal += scale == p.scale[i][best];
            n_smaller += loss < p.loss[i][best] * (1 - 1e-6);
        }
        CHECK(n_equal > 0 && n_equal + n_smaller == p.n_rows * p.n_groups);
    }
}

/* Every grid: no worse than the nearest values of the whole range, better in all rows together; the same bytes row by row. */
TEST(clip, every_grid)
{
    static const char *const names[] = {"Q2_K",   "Q3_K",  "Q4_K",  "Q5_K",   "Q6_K",   "Q4_0",   "Q4_1",    "Q5_0",  "Q8_0",
                                        "IQ4_NL", "MXFP4", "TQ1_0", "G3_128", "G4_64Z", "G2_ROW", "G4_ROWZ", "G3_512"};
    static struct problem p;
    uint64_t seed = 5;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        for (int known = 0; known < 2; known++) {
            struct el_err err;
            static uint8_t whole[MAX_BYTES];
            double clipped = 0, nearest = 0;
            p = (struct problem){.n_rows = 3, .n_in = 512, .no_hessian = !known};
            REQUIRE_OK(el_enc_parse(names[k], &p.enc, &err), err);
            for (int t = 0; t < 40; t++) {
                double x[MAX_IN];
                for (uint64_t i = 0; i < p.n_in; i++)
                    x[i] = i % 7 == 3 ? 0 : (double)test_randf(&seed) + (i ? 0.5 * x[i - 1] : 0);
                for (uint64_t i = 0; i < p.n_in; i++)
                    for (uint64_t j = 0; j < p.n_in; j++)
                        p.h[i * p.n_in + j] += !known && i != j ? 0 : x[i] * x[j];
            }
            for (uint64_t i = 0; i < p.n_rows * p.n_in; i++)
                p.w[i] = powf(test_randf(&seed), 3);
            const uint64_t width = el_grid_width(&p.enc, p.n_in);
            REQUIRE_OK(solve("clip", &p, 0, p.n_rows, &err), err);
            memcpy(whole, p.bytes, sizeof whole);
            double of_blocks[MAX_ROWS][MAX_IN];
            for (uint64_t r = 0; r < p.n_rows; r++)
                for (uint64_t b = 0; b < p.n_in; b += width)
                    clipped += of_blocks[r][b] = loss_of(&p, r, b, width);
            for (uint64_t r = 0; r < p.n_rows; r++)
                CHECK_OK(solve("clip", &p, r, 1, &err), err);
            CHECK(memcmp(whole, p.bytes, sizeof whole) == 0);
            REQUIRE_OK(solve("rtn", &p, 0, p.n_rows, &err), err);
            for (uint64_t r = 0; r < p.n_rows; r++) {
                for (uint64_t b = 0; b < p.n_in; b += width) {
                    const double loss = loss_of(&p, r, b, width);
                    nearest += loss;
                    if (of_blocks[r][b] > loss * 1.02) /* rtn's codes of some types are not the nearest to its own scales */
                        test_fail(__FILE__, __LINE__, "%s: %g, nearest %g", names[k], of_blocks[r][b], loss);
                }
            }
            if (!(clipped < (k == 8 ? 1.0 : 0.999) * nearest))
                test_fail(__FILE__, __LINE__, "%s: %g, nearest %g", names[k], clipped, nearest);
        }
    }
}
