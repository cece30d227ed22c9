/* rtn, mse and hqq against float64 references in numpy, on random rows and rows of a model (scripts/fixtures/make_steps.py). */
#include <math.h>

#include "quant/method.h"
#include "test.h"

enum { MAX_ROWS = 4, MAX_IN = 128, MAX_BYTES = 4096 };

/* out [n_rows, n_in] = what the method makes of w. */
static void run(const char *method, const struct el_enc *enc, const float *w, uint64_t n_rows, uint64_t n_in, float *out)
{
    const struct el_method_opts opts = {0};
    uint8_t bytes[MAX_BYTES] = {0};
    float row[MAX_IN];
    struct el_part_shape shapes[EL_MAX_PARTS];
    struct el_quant_job job = {.x = w, .n_rows = n_rows, .n_in = n_in, .enc = *enc, .scratch = row, .opts = &opts};
    struct el_matrix m = {.enc = *enc, .n_rows = n_rows, .n_in = n_in};
    struct el_err err = {.text = ""};
    uint32_t n_parts = 0;
    uint64_t at = 0;
    (void)enc->e->parts(enc, n_rows, n_in, shapes, &n_parts);
    for (uint32_t k = 0; k < n_parts; k++) {
        job.parts_out[k] = bytes + at;
        m.data[k] = bytes + at;
        m.row_nbytes[k] = shapes[k].row_nbytes;
        at += (shapes[k].nbytes + 15) / 16 * 16;
    }
    REQUIRE(at <= sizeof bytes);
    CHECK_OK(el_method_by_name(method)->quantize(&job, &err), err);
    el_matrix_decode(&m, 0, n_rows, out);
}

TEST(steps, values_are_those_of_the_references)
{
    size_t nbytes;
    char *const text = test_read(test_data("ptq/steps.txt"), &nbytes), *at = text;
    unsigned n_compared = 0;
    REQUIRE(text);
    for (;;) {
        char name[32], enc_name[16], method[16];
        unsigned long long n_rows, n_in;
        float w[MAX_ROWS * MAX_IN], got[MAX_ROWS * MAX_IN], want[MAX_ROWS * MAX_IN];
        int used = 0;
        if (sscanf(at, "%31s %llu %llu%n", name, &n_rows, &n_in, &used) != 3)
            break;
        REQUIRE(n_rows <= MAX_ROWS && n_in <= MAX_IN);
        at += used;
        const size_t n = (size_t)(n_rows * n_in);
        for (size_t i = 0; i < n; i++)
            w[i] = strtof(at, &at);
        while (sscanf(at, "%15s %15s%n", enc_name, method, &used) == 2 && strcmp(method, "end") != 0) {
            struct el_err err = {.text = ""};
            struct el_enc enc;
            double loss = 0, want_loss = 0;
            size_t n_other = 0;
            at += used;
            for (size_t i = 0; i < n; i++)
                want[i] = strtof(at, &at);
            REQUIRE_OK(el_enc_parse(enc_name, &enc, &err), err);
            run(method, &enc, w, n_rows, n_in, got);
            for (size_t i = 0; i < n; i++) {
                n_other += fabs((double)got[i] - (double)want[i]) > 1e-4 * fabs((double)want[i]) + 1e-7;
                loss += ((double)w[i] - (double)got[i]) * ((double)w[i] - (double)got[i]);
                want_loss += ((double)w[i] - (double)want[i]) * ((double)w[i] - (double)want[i]);
            }
            /* Float32 may see a tie, or two scales that lose the same, otherwise: that is a block, or a weight. */
            if (n_other > n / 8 || fabs(loss - want_loss) > 0.01 * want_loss)
                test_fail(__FILE__, __LINE__, "%s, %s, %s: %zu of %zu values are others, the error is %g, %g", name, enc_name,
                          method, n_other, n, loss, want_loss);
            n_compared++;
        }
        at += used;
    }
    free(text);
    CHECK_EQ_INT(n_compared, 3 * 4 * 3);
}
