#include "tests/unit/mock_model.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "test.h"

enum { MAX_TENSORS = 512 };

struct mock {
    uint8_t *parts[MAX_TENSORS][EL_MAX_PARTS];
    size_t n;
    size_t fail;
};

static void check(enum el_status status)
{
    if (status != EL_OK) {
        fprintf(stderr, "mock model: status %d\n", (int)status);
        abort();
    }
}

static enum el_status read_part(struct el_source *s, const struct el_tensor *t, uint32_t part, uint64_t offset, void *out,
                                uint64_t nbytes, struct el_err *err)
{
    struct mock *const m = s->priv;
    const size_t i = (size_t)(t - s->tensors);
    if (i == m->fail)
        return el_fail(err, EL_E_IO, "mock: tensor '%s': read failed", t->name);
    memcpy(out, m->parts[i][part] + offset, nbytes);
    return EL_OK;
}

static const uint8_t *map_part(struct el_source *s, const struct el_tensor *t, uint32_t part)
{
    struct mock *const m = s->priv;
    return m->parts[t - s->tensors][part];
}

static const char *file_name(struct el_source *s, uint32_t i)
{
    (void)s;
    return i == 0 ? "mock" : NULL;
}

static void close_source(struct el_source *s)
{
    struct mock *const m = s->priv;
    for (size_t i = 0; i < m->n; i++) {
        for (uint32_t p = 0; p < EL_MAX_PARTS; p++)
            free(m->parts[i][p]);
    }
    free(m);
}

static const struct el_source_ops source_ops = {.read = read_part, .map = map_part, .file = file_name, .close = close_source};

struct el_source *mock_source(const char *arch, uint32_t n_layers, uint32_t n_heads, uint32_t n_kv_heads, uint32_t n_experts)
{
    struct el_source *const s = el_calloc_array(1, sizeof *s);
    struct mock *const m = calloc(1, sizeof *m);
    m->fail = SIZE_MAX;
    s->ops = &source_ops;
    s->format = "mock";
    s->path = el_strdup("mock");
    s->meta = el_meta_new();
    s->tensors = el_calloc_array(MAX_TENSORS, sizeof *s->tensors);
    s->priv = m;
    check(el_meta_set_str(s->meta, "general.architecture", arch, strlen(arch), NULL));
    const struct {
        const char *key;
        uint32_t v;
    } counts[] = {{"block_count", n_layers},
                  {"attention.head_count", n_heads},
                  {"attention.head_count_kv", n_kv_heads},
                  {"expert_count", n_experts}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        char key[96];
        snprintf(key, sizeof key, "%s.%s", arch, counts[i].key);
        if (counts[i].v)
            check(el_meta_set_u32(s->meta, key, counts[i].v, NULL));
    }
    return s;
}

static void fill(const struct el_tensor *t, uint8_t *parts[EL_MAX_PARTS])
{
    uint64_t seed = 1;
    for (const char *p = t->name; *p; p++)
        seed = seed * 131 + (uint8_t)*p;
    const uint64_t n = t->n_rows * t->n_in;
    float *const x = malloc((n + 1) * sizeof *x);
    for (uint64_t i = 0; i < n; i++)
        x[i] = 0.05f * (test_randf(&seed) + test_randf(&seed) + test_randf(&seed));
    t->enc.e->encode(&t->enc, x, NULL, t->n_rows, t->n_in, EL_ENCODE_NEAREST, parts);
    free(x);
}

struct el_tensor *mock_add(struct el_source *s, const char *name, uint64_t d0, uint64_t d1, const char *encoding)
{
    struct mock *const m = s->priv;
    if (m->n == MAX_TENSORS)
        abort();
    struct el_tensor *const t = &s->tensors[m->n];
    memset(t, 0, sizeof *t);
    t->name = t->file_name = el_strdup(name);
    t->n_dims = d0 ? 2 : 1;
    t->dims[0] = d0 ? d0 : d1;
    t->dims[1] = d0 ? d1 : 0;
    check(el_enc_parse(encoding ? encoding : "F32", &t->enc, NULL));
    check(el_tensor_complete(t, NULL));
    for (uint32_t p = 0; p < t->n_parts; p++)
        m->parts[m->n][p] = malloc(t->parts[p].nbytes + 1);
    fill(t, m->parts[m->n]);
    s->n_tensors = ++m->n;
    return t;
}

uint8_t *mock_part(struct el_source *s, size_t tensor, uint32_t part)
{
    struct mock *const m = s->priv;
    return m->parts[tensor][part];
}

void mock_fail_read(struct el_source *s, size_t tensor)
{
    struct mock *const m = s->priv;
    m->fail = tensor;
}

/* ---- sink ---- */

struct kept {
    struct el_meta *meta;
    uint8_t *parts[MAX_TENSORS][EL_MAX_PARTS];
    _Atomic uint64_t written[MAX_TENSORS];
    size_t fail;
    const char *want_name;
    struct el_row_order want;
};

static enum el_status begin(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                            struct el_err *err)
{
    struct kept *const k = s->priv;
    (void)err;
    k->meta = el_meta_copy(meta);
    s->tensors = el_calloc_array(n, sizeof *s->tensors);
    s->n_tensors = n;
    for (size_t i = 0; i < n; i++) {
        struct el_tensor *const t = &s->tensors[i];
        if (k->want_name && strcmp(tensors[i].name, k->want_name) == 0)
            tensors[i].order = k->want;
        *t = tensors[i];
        t->name = t->file_name = el_strdup(tensors[i].name);
        for (uint32_t p = 0; p < t->n_parts; p++)
            k->parts[i][p] = calloc(1, t->parts[p].nbytes + 1);
    }
    return EL_OK;
}

static enum el_status write_part(struct el_sink *s, size_t t, uint32_t part, uint64_t offset, const void *data, uint64_t nbytes,
                                 struct el_err *err)
{
    struct kept *const k = s->priv;
    if (t == k->fail)
        return el_fail(err, EL_E_IO, "mock: write failed");
    if (offset + nbytes > s->tensors[t].parts[part].nbytes)
        abort();
    memcpy(k->parts[t][part] + offset, data, nbytes);
    atomic_fetch_add(&k->written[t], nbytes);
    return EL_OK;
}

static const struct el_sink_ops sink_ops = {.begin = begin, .write = write_part};

struct el_sink *mock_sink(void)
{
    struct el_sink *const s = calloc(1, sizeof *s);
    struct kept *const k = calloc(1, sizeof *k);
    k->fail = SIZE_MAX;
    s->ops = &sink_ops;
    s->priv = k;
    return s;
}

void mock_sink_free(struct el_sink *sink)
{
    struct kept *const k = sink->priv;
    for (size_t i = 0; i < sink->n_tensors; i++) {
        for (uint32_t p = 0; p < EL_MAX_PARTS; p++)
            free(k->parts[i][p]);
    }
    el_tensors_free(sink->tensors, sink->n_tensors);
    el_meta_free(k->meta);
    free(k);
    free(sink);
}

void mock_sink_want(struct el_sink *sink, const char *tensor, struct el_row_order order)
{
    struct kept *const k = sink->priv;
    k->want_name = tensor;
    k->want = order;
}

void mock_sink_fail_write(struct el_sink *sink, size_t tensor)
{
    struct kept *const k = sink->priv;
    k->fail = tensor;
}

const uint8_t *mock_sink_part(const struct el_sink *sink, size_t tensor, uint32_t part)
{
    const struct kept *const k = sink->priv;
    return k->parts[tensor][part];
}

const struct el_meta *mock_sink_meta(const struct el_sink *sink)
{
    const struct kept *const k = sink->priv;
    return k->meta;
}

uint64_t mock_sink_written(const struct el_sink *sink, size_t tensor)
{
    struct kept *const k = sink->priv;
    return atomic_load(&k->written[tensor]);
}
