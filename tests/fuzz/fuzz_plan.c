/*
 * Plan files, for a model of two tensors. Property 1: no crash. Property 2: an accepted plan, written and read again, is the same
 * text.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "property violated: %s\n", what);
    abort();
}

/* What el_plan_read asks of a source. */
static struct el_source *model(void)
{
    static char path[] = "model";
    static struct el_tensor tensors[2];
    static struct el_source source = {.path = path, .tensors = tensors, .n_tensors = 2};
    static const char *const names[] = {"a.weight", "b.weight"};
    for (size_t i = 0; i < 2 && !tensors[i].name; i++) {
        struct el_err err;
        tensors[i] = (struct el_tensor){.name = names[i], .file_name = names[i], .n_dims = 2, .dims = {4, 256}};
        require(el_enc_parse("F32", &tensors[i].enc, &err) == EL_OK, "F32 is known");
        require(el_tensor_complete(&tensors[i], &err) == EL_OK, "the tensors are good");
    }
    return &source;
}

static char *print(const struct el_plan *plan, size_t *nbytes)
{
    struct el_err err;
    char *text;
    const struct el_plan_origin origin = el_plan_origin_of(plan);
    require(el_plan_print(plan, &origin, &text, nbytes, &err) == EL_OK, "a plan can be written");
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    const struct el_plan_opts opts = {.type = ""};
    struct el_err err = {.text = ""};
    struct el_plan *plan, *again;
    const enum el_status status = el_plan_read(model(), (const char *)data, nbytes, "'plan'", &opts, &plan, &err);
    require(status != EL_OK || plan, "an accepted text gives a plan");
    require(status == EL_OK || err.text[0], "a refused text gives a reason");
    if (status != EL_OK)
        return 0;
    size_t n, n_again;
    char *const text = print(plan, &n);
    require(el_plan_read(model(), text, n, "'plan'", &opts, &again, &err) == EL_OK, "what was written can be read");
    char *const same = print(again, &n_again);
    require(n == n_again && memcmp(text, same, n) == 0, "and is the same");
    el_free(text);
    el_free(same);
    el_plan_free(plan);
    el_plan_free(again);
    return 0;
}
