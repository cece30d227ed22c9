/*
 * config.json of a Hugging Face folder. Property 1: no crash. Property 2: a configuration that is accepted can be written from
 * its metadata, and the text that is written gives the same hyperparameters.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "model/arch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void require(int holds, const char *what, const char *detail)
{
    if (holds)
        return;
    fprintf(stderr, "property violated: %s: %s\n", what, detail);
    abort();
}

/* Some keys say nothing (a linear scaling by 1), so what counts is what the model is made of. */
static void compare(const struct el_arch *arch, const struct el_meta *a, const struct el_meta *b)
{
    struct el_hparams x, y;
    struct el_err err = {EL_OK, ""};
    memset(&x, 0, sizeof x); /* with the padding: the structs are compared as bytes */
    memset(&y, 0, sizeof y);
    require(el_arch_hparams(arch, a, &x, &err) == EL_OK && el_arch_hparams(arch, b, &y, &err) == EL_OK,
            "hyperparameters can be read", err.text);
    require(memcmp(&x, &y, sizeof x) == 0, "hyperparameters are the same", arch->name);
}

/* The roles that every model of the family has, from which the flags about biases follow. */
static uint64_t roles_of(const struct el_arch *arch)
{
    uint64_t roles = 0;
    for (const struct el_tensor_rule *r = arch->tensors; r->gguf; r++) {
        if (!(r->flags & EL_TF_OPTIONAL))
            roles |= UINT64_C(1) << r->role;
    }
    return roles;
}

static struct el_meta *read_config(const char *text, size_t nbytes, const struct el_arch **arch, struct el_err *err)
{
    struct el_json_doc *doc;
    if (el_json_parse(text, nbytes, "config.json", &doc, err) != EL_OK)
        return NULL;
    struct el_meta *meta = el_meta_new();
    require(meta != NULL, "memory", "");
    *arch = el_arch_of_config(el_json_root(doc), err);
    if (!*arch || el_arch_read_config(*arch, el_json_root(doc), meta, err) != EL_OK) {
        el_meta_free(meta);
        meta = NULL;
    }
    el_json_free(doc);
    return meta;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct el_err err = {EL_OK, ""};
    const struct el_arch *arch = NULL, *arch_again = NULL;
    struct el_meta *const meta = read_config((const char *)data, nbytes, &arch, &err);
    if (!meta) {
        require(err.code == EL_E_FORMAT || err.code == EL_E_UNSUPPORTED, "refused texts are bad input", err.text);
        return 0;
    }
    struct el_buf b;
    el_buf_init(&b);
    require(el_arch_write_config(arch, meta, roles_of(arch), "float32", &b, &err) == EL_OK, "what was read can be written",
            err.text);
    struct el_meta *const again = read_config(b.data, b.nbytes, &arch_again, &err);
    require(again != NULL, "what is written can be read", err.text);
    require(arch == arch_again, "the family is the same", arch->name);
    compare(arch, meta, again);
    el_meta_free(meta);
    el_meta_free(again);
    el_buf_release(&b);
    return 0;
}
