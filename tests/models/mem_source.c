/* Sources that live in memory. */
#include "models/mem_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/meta.h"
#include "tensor/source.h"
#include "test.h"

struct store {
    uint8_t *(*parts)[EL_MAX_PARTS]; /* [n_tensors] */
};

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "mem_source: %s\n", what);
    abort();
}

static uint8_t **parts_of(struct el_source *s, const struct el_tensor *t)
{
    const struct store *const store = s->priv;
    return store->parts[t - s->tensors];
}

static float *values_of(struct el_source *s, const struct el_tensor *t)
{
    return (float *)(void *)parts_of(s, t)[0];
}

static enum el_status read_part(struct el_source *s, const struct el_tensor *t, uint32_t part, uint64_t offset, void *out,
                                uint64_t nbytes, struct el_err *err)
{
    (void)err;
    memcpy(out, parts_of(s, t)[part] + offset, nbytes);
    return EL_OK;
}

static const uint8_t *map_part(struct el_source *s, const struct el_tensor *t, uint32_t part)
{
    return parts_of(s, t)[part];
}

static const char *file_name(struct el_source *s, uint32_t i)
{
    (void)s;
    return i == 0 ? "memory" : NULL;
}

static void close_store(struct el_source *s)
{
    struct store *const store = s->priv;
    for (size_t i = 0; i < s->n_tensors; i++)
        for (int p = 0; p < EL_MAX_PARTS; p++)
            free(store->parts[i][p]);
    free(store->parts);
    free(store);
}

static const struct el_source_ops mem_ops = {.read = read_part, .map = map_part, .file = file_name, .close = close_store};

struct el_source *mem_source_new(void)
{
    struct el_source *const s = el_calloc_array(1, sizeof *s);
    need(s, "out of memory");
    s->ops = &mem_ops;
    s->format = "memory";
    s->path = el_strdup("memory");
    s->meta = el_meta_new();
    s->priv = calloc(1, sizeof(struct store));
    need(s->path && s->meta && s->priv, "out of memory");
    return s;
}

struct el_meta *mem_source_meta(struct el_source *s)
{
    return s->meta;
}

float *mem_source_add(struct el_source *s, const char *name, uint32_t n_dims, const uint64_t *dims)
{
    struct store *const store = s->priv;
    struct el_tensor t = {.n_dims = n_dims, .enc = el_enc_f32()};
    struct el_err err;
    for (uint32_t i = 0; i < n_dims; i++)
        t.dims[i] = dims[i];
    need(el_tensor_complete(&t, &err) == EL_OK, "bad shape");
    t.name = t.file_name = el_strdup(name);
    s->tensors = el_realloc_array(s->tensors, s->n_tensors + 1, sizeof t);
    store->parts = realloc(store->parts, (s->n_tensors + 1) * sizeof *store->parts);
    need(t.name && s->tensors && store->parts, "out of memory");
    memset(store->parts[s->n_tensors], 0, sizeof *store->parts);
    uint8_t *const values = calloc(t.n_rows * t.n_in, sizeof(float));
    need(values, "out of memory");
    store->parts[s->n_tensors][0] = values;
    s->tensors[s->n_tensors++] = t;
    return (float *)(void *)values;
}

void mem_source_remove(struct el_source *s, const char *name)
{
    struct store *const store = s->priv;
    const size_t i = el_source_find(s, name);
    need(i != SIZE_MAX, "no such tensor");
    char *owned;
    memcpy(&owned, &s->tensors[i].name, sizeof owned); /* owned here, const for everyone else */
    el_free(owned);
    for (int p = 0; p < EL_MAX_PARTS; p++)
        free(store->parts[i][p]);
    s->n_tensors--;
    memmove(s->tensors + i, s->tensors + i + 1, (s->n_tensors - i) * sizeof *s->tensors);
    memmove(store->parts + i, store->parts + i + 1, (s->n_tensors - i) * sizeof *store->parts);
}

void mem_source_encode(struct el_source *s, const char *type)
{
    struct el_err err;
    struct el_enc enc;
    need(el_enc_parse(type, &enc, &err) == EL_OK, "no such encoding");
    for (size_t i = 0; i < s->n_tensors; i++) {
        struct el_tensor *const t = &s->tensors[i];
        struct el_tensor coded = *t;
        uint8_t *parts[EL_MAX_PARTS] = {NULL}, **const at = parts_of(s, t);
        coded.enc = enc;
        if (t->n_dims == 1 || el_tensor_complete(&coded, &err) != EL_OK)
            continue;
        for (uint32_t p = 0; p < coded.n_parts; p++)
            need((parts[p] = malloc(coded.parts[p].nbytes)) != NULL, "out of memory");
        enc.e->encode(&enc, values_of(s, t), NULL, t->n_rows, t->n_in, EL_ENCODE_NEAREST, parts);
        free(at[0]);
        memcpy(at, parts, sizeof parts);
        *t = coded;
    }
}

float *mem_source_values(struct el_source *s, const char *name)
{
    const size_t i = el_source_find(s, name);
    return i == SIZE_MAX ? NULL : values_of(s, &s->tensors[i]);
}

struct el_source *mem_source_copy(struct el_source *from)
{
    static const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
    struct el_source *const s = mem_source_new();
    struct el_err err;
    el_meta_free(s->meta);
    s->meta = el_meta_copy(from->meta);
    need(s->meta, "out of memory");
    for (size_t i = 0; i < from->n_tensors; i++) {
        const struct el_tensor *const t = &from->tensors[i];
        struct el_matrix m = {.enc = t->enc, .n_rows = t->n_rows, .n_in = t->n_in};
        uint8_t *parts[EL_MAX_PARTS] = {NULL};
        for (uint32_t p = 0; p < t->n_parts; p++) {
            parts[p] = malloc(t->parts[p].nbytes + 1);
            need(parts[p], "out of memory");
            m.data[p] = parts[p];
            m.row_nbytes[p] = t->parts[p].row_nbytes;
        }
        need(el_source_read_parts(from, t, &canonical, 0, t->n_rows, parts, &err) == EL_OK, "cannot read a tensor");
        el_matrix_decode(&m, 0, t->n_rows, mem_source_add(s, t->name, t->n_dims, t->dims));
        for (uint32_t p = 0; p < t->n_parts; p++)
            free(parts[p]);
    }
    return s;
}

const char *mem_source_name(const struct el_tensor_rule *rule, uint32_t layer)
{
    static char ring[8][128];
    static unsigned next;
    char *const name = ring[next++ % 8];
    const char *const hole = strstr(rule->gguf, "%u");
    if (hole)
        snprintf(name, sizeof ring[0], "%.*s%u%s", (int)(hole - rule->gguf), rule->gguf, layer, hole + 2);
    else
        snprintf(name, sizeof ring[0], "%s", rule->gguf);
    return name;
}

static const struct el_arch *arch_named(const char *name)
{
    for (size_t i = 0; el_arch_at(i); i++)
        if (strcmp(el_arch_at(i)->name, name) == 0)
            return el_arch_at(i);
    return NULL;
}

static void set_u32(struct el_source *s, const struct el_arch *arch, const char *fmt, uint32_t v)
{
    char key[128];
    need(el_meta_set_u32(s->meta, el_arch_key(arch, fmt, key), v, NULL) == EL_OK, "out of memory");
}

/* Metadata that a random model of a family, or of a variant of it, has besides what all have. */
static const struct variant {
    const char *name, *arch;
    struct {
        const char *fmt;
        enum { U32, F32, BOOL, GELU } type; /* GELU: the string "gelu" */
        double v;
    } keys[6];
    uint64_t without; /* roles: optional tensors that it lacks */
} variants[] = {
    {"mixtral", "mixtral", {{"%s.expert_count", U32, 4}, {"%s.expert_used_count", U32, 2}}, 0},
    {"mistral", "mistral", {{"%s.attention.sliding_window", U32, 5}}, 0},
    {"qwen3", "qwen3", {{"%s.attention.key_length", U32, 16}, {"%s.attention.value_length", U32, 16}}, 0},
    {"granite",
     "granite",
     {{"%s.attention.scale", F32, 0.4},
      {"%s.embedding_scale", F32, 2},
      {"%s.residual_scale", F32, 0.7},
      {"%s.logit_scale", F32, 3}},
     0},
    {"qwen3moe",
     "qwen3moe",
     {{"%s.expert_count", U32, 4},
      {"%s.expert_used_count", U32, 2},
      {"%s.expert_feed_forward_length", U32, 24},
      {"%s.attention.key_length", U32, 16},
      {"%s.attention.value_length", U32, 16}},
     0},
    {"qwen2moe",
     "qwen2moe",
     {{"%s.expert_count", U32, 4},
      {"%s.expert_used_count", U32, 2},
      {"%s.expert_feed_forward_length", U32, 24},
      {"%s.expert_shared_feed_forward_length", U32, 40}},
     0},
    {"olmoe", "olmoe", {{"%s.expert_count", U32, 5}, {"%s.expert_used_count", U32, 3}}, 0},
    {"phi3", "phi3", {{"%s.attention.sliding_window", U32, 5}, {"%s.rope.dimension_count", U32, 6}}, 0},
    {"gemma2",
     "gemma2",
     {{"%s.attention.sliding_window", U32, 5},
      {"%s.attn_logit_softcapping", F32, 3},
      {"%s.final_logit_softcapping", F32, 5},
      {"%s.attention.query_pre_attn_scalar", U32, 12}},
     0},
    {"gemma3",
     "gemma3",
     {{"%s.attention.sliding_window", U32, 5},
      {"%s.attention.sliding_window_pattern", U32, 2},
      {"%s.rope.freq_base", F32, 1e6},
      {"%s.rope.freq_base_swa", F32, 1e3},
      {"%s.rope.scaling.factor", F32, 4}},
     0},
    {"opt with post-norm", "opt", {{"%s.pre_norm", BOOL, 0}}, 0},
    {"opt with projections", "opt", {{"%s.word_embedding_length", U32, 16}}, 0},
    {"opt 350M", "opt", {{"%s.pre_norm", BOOL, 0}, {"%s.word_embedding_length", U32, 16}}, 0},
    {"opt with GELU", "opt", {{"%s.hidden_act", GELU, 0}, {"%s.linear_bias", BOOL, 0}}, 0},
    {"opt with GELU and projections", "opt", {{"%s.hidden_act", GELU, 0}, {"%s.word_embedding_length", U32, 16}}, 0},
    {"gpt2 with GELU", "gpt2", {{"%s.hidden_act", GELU, 0}}, 0},
    {"stablelm", "stablelm", {{"%s.rope.dimension_count", U32, 4}}, 0},
    {"starcoder2", "starcoder2", {{"%s.attention.sliding_window", U32, 5}}, 0},
    {"stablelm parallel", "stablelm", {{"%s.rope.dimension_count", U32, 2}}, EL_ROLE(FFN_NORM) | EL_ROLE(FFN_NORM_B)},
};
enum { N_VARIANTS = sizeof variants / sizeof variants[0] };

static const struct variant *variant_named(const char *name)
{
    for (size_t i = 0; i < N_VARIANTS; i++)
        if (strcmp(variants[i].name, name) == 0)
            return &variants[i];
    return NULL;
}

const char *mem_source_variant(size_t i)
{
    for (size_t k = 0; k < N_VARIANTS; k++)
        if (strcmp(variants[k].name, variants[k].arch) != 0 && i-- == 0)
            return variants[k].name;
    return NULL;
}

static void set_variant(struct el_source *s, const struct el_arch *arch, const struct variant *variant)
{
    char key[128];
    for (size_t i = 0; variant && i < 6 && variant->keys[i].fmt; i++) {
        const double v = variant->keys[i].v;
        el_arch_key(arch, variant->keys[i].fmt, key);
        switch (variant->keys[i].type) {
        case U32: need(el_meta_set_u32(s->meta, key, (uint32_t)v, NULL) == EL_OK, "out of memory"); break;
        case F32: need(el_meta_set_f32(s->meta, key, (float)v, NULL) == EL_OK, "out of memory"); break;
        case BOOL: need(el_meta_set_bool(s->meta, key, v != 0, NULL) == EL_OK, "out of memory"); break;
        case GELU: need(el_meta_set_str(s->meta, key, "gelu", 4, NULL) == EL_OK, "out of memory"); break;
        }
    }
}

struct el_source *mem_source_random(const char *name, bool tied, uint64_t seed)
{
    const struct variant *const variant = variant_named(name);
    const struct el_arch *const arch = arch_named(variant ? variant->arch : name);
    struct el_source *const s = mem_source_new();
    struct el_hparams hp = {0};
    struct el_err err;
    need(arch, "no such architecture");
    need(el_meta_set_str(s->meta, "general.architecture", arch->gguf_arch, strlen(arch->gguf_arch), NULL) == EL_OK,
         "out of memory");
    set_u32(s, arch, "%s.block_count", 2);
    set_u32(s, arch, "%s.embedding_length", 32);
    set_u32(s, arch, "%s.feed_forward_length", 48);
    set_u32(s, arch, "%s.context_length", 64);
    set_u32(s, arch, "%s.vocab_size", 40);
    set_u32(s, arch, "%s.attention.head_count", 4);
    set_u32(s, arch, "%s.attention.head_count_kv", 2);
    set_variant(s, arch, variant);
    char key[128];
    need(el_meta_set_f32(s->meta, el_arch_key(arch, "%s.attention.layer_norm_rms_epsilon", key), 1e-5f, NULL) == EL_OK &&
             el_meta_set_f32(s->meta, el_arch_key(arch, "%s.attention.layer_norm_epsilon", key), 1e-5f, NULL) == EL_OK,
         "out of memory");
    const enum el_status status = el_arch_hparams(arch, s->meta, &hp, &err);
    need(status == EL_OK, err.text);
    for (const struct el_tensor_rule *r = arch->tensors; r->gguf; r++) {
        if (el_arch_is_rope_factors(r->role) || (tied && r->role == EL_R_OUTPUT) || !el_arch_has(arch, &hp, r) ||
            (variant && variant->without & UINT64_C(1) << r->role))
            continue;
        for (uint32_t l = 0; l < ((r->flags & EL_TF_LAYER) ? hp.n_layers : 1); l++) {
            uint64_t dims[3], n = 1;
            uint32_t n_dims = 0;
            for (; n_dims < 3 && r->dims[n_dims] != EL_D_NONE; n_dims++)
                n *= dims[n_dims] = el_dim_size(r->dims[n_dims], &hp);
            float *const v = mem_source_add(s, mem_source_name(r, l), n_dims, dims);
            const bool vector = n_dims == 1 || r->flags & EL_TF_VECTORS, norm = vector && strstr(r->gguf, "norm.weight");
            const float size = vector ? 0.4f : (float)(2.0 * sqrt(3.0 / (double)dims[n_dims - 1]));
            for (uint64_t i = 0; i < n; i++)
                v[i] = (norm ? 1.0f : 0.0f) + size * test_randf(&seed);
        }
    }
    return s;
}

uint64_t mem_source_roles(struct el_source *s, const struct el_arch *arch)
{
    return el_arch_roles(arch, s->tensors, s->n_tensors);
}

bool mem_source_logits(struct el_source *source, float *logits, size_t n_vocab)
{
    struct el_err err;
    struct el_model *model = NULL;
    struct el_session *session = NULL;
    struct el_row rows[MEM_SOURCE_IDS];
    const struct el_session_opts opts = {.n_ctx = MEM_SOURCE_IDS, .kv_type_k = "f32", .kv_type_v = "f32", .n_threads = 1};
    for (uint32_t i = 0; i < MEM_SOURCE_IDS; i++)
        rows[i] = (struct el_row){(int32_t)(5 * i * i + i + 3) % (int32_t)n_vocab, 0, i, true};
    CHECK_OK(el_model_open(source, NULL, &model, &err), err);
    if (model)
        CHECK_OK(el_session_open(model, &opts, &session, &err), err);
    bool ok = session != NULL;
    if (ok)
        CHECK_OK(el_session_decode(session, rows, MEM_SOURCE_IDS, &err), err);
    for (size_t i = 0; ok && i < MEM_SOURCE_IDS; i++) {
        const float *const row = el_session_logits(session, i);
        ok = row != NULL;
        if (ok)
            memcpy(logits + i * n_vocab, row, n_vocab * sizeof *logits);
    }
    el_session_close(session);
    el_model_close(model);
    return ok;
}

double mem_source_moved(const float *a, const float *b, size_t n)
{
    double diff = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        diff = fmax(diff, fabs((double)a[i] - (double)b[i]));
        largest = fmax(largest, fabs((double)a[i]));
    }
    return diff / largest;
}
