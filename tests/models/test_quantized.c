/*
 * GPTQ with act-order and AWQ (scripts/fixtures/make_quantized.py): the folders, and the GGUF that they are packed into, give the
 * logits that transformers computes from their dequantized weights; single matrices of every kind are those numbers to the bit.
 */
#include <math.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/json.h"
#include "edgellm.h"
#include "formats/hf_quant.h"
#include "formats/store.h"
#include "model/model.h"
#include "tensor/source.h"
#include "test.h"

static const char *const models[] = {"gptq-act-order", "awq"};

/* Data of an array of a safetensors file of our own; *n its elements. */
static const void *array_in(struct el_source *s, const char *name, uint64_t *n)
{
    const size_t i = el_source_find(s, name);
    if (i == SIZE_MAX)
        return NULL;
    *n = s->tensors[i].n_rows * s->tensors[i].n_in;
    return s->ops->map(s, &s->tensors[i], 0);
}

/* The largest |logit - reference| of a model in chunks of rows; NAN when it does not run. *largest: of the reference. */
static double difference(const char *path, const char *folder, const char *activations, size_t chunk, double *largest)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *source = NULL, *ref = NULL;
    struct el_model *model = NULL;
    struct el_session *session = NULL;
    char ref_path[4096];
    double diff = 0;
    uint64_t n_ids = 0, n_logits = 0;
    snprintf(ref_path, sizeof ref_path, "%s/logits.safetensors", folder);
    CHECK_OK(el_source_open(ref_path, NULL, &ref, &err), err);
    CHECK_OK(el_source_open(path, NULL, &source, &err), err);
    const int32_t *const ids = ref ? array_in(ref, "ids", &n_ids) : NULL;
    const float *const logits = ref ? array_in(ref, "logits", &n_logits) : NULL;
    if (source)
        CHECK_OK(el_model_open(source, &(struct el_model_opts){.activations = activations}, &model, &err), err);
    if (model)
        CHECK_OK(el_session_open(model,
                                 &(struct el_session_opts){.n_ctx = 64, .n_batch = 64, .kv_type_k = "f32", .kv_type_v = "f32"},
                                 &session, &err),
                 err);
    const uint64_t n_vocab = model ? el_model_info(model).n_vocab : 0;
    if (!session || !ids || !logits || n_logits != n_ids * n_vocab)
        diff = (double)NAN;
    for (uint64_t at = 0; !isnan(diff) && at < n_ids; at += chunk) {
        struct el_row rows[64];
        const uint64_t n = n_ids - at < chunk ? n_ids - at : chunk;
        for (uint64_t i = 0; i < n; i++)
            rows[i] = (struct el_row){ids[at + i], 0, (uint32_t)(at + i), true};
        CHECK_OK(el_session_decode(session, rows, n, &err), err);
        for (uint64_t i = 0; i < n * n_vocab; i++) {
            const float *const got = el_session_logits(session, i / n_vocab);
            const double want = logits[at * n_vocab + i];
            diff = got ? fmax(diff, fabs((double)got[i % n_vocab] - want)) : (double)NAN;
            *largest = fmax(*largest, fabs(want));
        }
    }
    el_session_close(session);
    el_model_close(model);
    el_source_close(source);
    el_source_close(ref);
    return diff;
}

/* Packs a source with these options into a new file. */
static void pack(const char *from, const char *to, const struct el_plan_opts *opts)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *source = NULL;
    struct el_plan *plan = NULL;
    struct el_sink *sink = NULL;
    CHECK_OK(el_source_open(from, NULL, &source, &err), err);
    if (source)
        CHECK_OK(el_plan_make(source, opts, &plan, &err), err);
    if (plan)
        CHECK_OK(el_sink_open(to, &(struct el_sink_opts){.format = "gguf", .overwrite = true}, &sink, &err), err);
    if (sink) {
        CHECK_OK(el_pack(source, plan, sink, NULL, &err), err);
        CHECK_OK(el_sink_commit(sink, &err), err);
    }
    el_sink_close(sink);
    el_plan_free(plan);
    el_source_close(source);
}

TEST(quantized, logits_are_those_of_the_dequantized_weights)
{
    for (size_t i = 0; i < 2; i++) {
        char folder[4096], gguf[4096], f32[4096], rel[64];
        snprintf(rel, sizeof rel, "quantized/%s", models[i]);
        snprintf(folder, sizeof folder, "%s", test_data(rel));
        snprintf(rel, sizeof rel, "%s.gguf", models[i]);
        snprintf(gguf, sizeof gguf, "%s", test_tmp(rel));
        snprintf(rel, sizeof rel, "%s-f32.gguf", models[i]);
        snprintf(f32, sizeof f32, "%s", test_tmp(rel));
        pack(folder, gguf, &(struct el_plan_opts){.type = "COPY", .vectors_f32 = true});
        pack(folder, f32, &(struct el_plan_opts){.type = "F32", .for_convert = true});
        const char *const level = el_cpu_level();
        for (size_t l = 0; el_cpu_level_name(l); l++) {
            if (strcmp(el_cpu_level_name(l), "native") == 0 || el_cpu_cap(el_cpu_level_name(l), NULL) != EL_OK)
                continue;
            double largest = 1;
            CHECK_NEAR(difference(folder, folder, NULL, 64, &largest), 0, 1e-4);
            CHECK_NEAR(difference(folder, folder, NULL, 7, &largest), 0, 1e-4);
            CHECK_NEAR(difference(gguf, folder, NULL, 64, &largest), 0, 1e-4);
            CHECK_NEAR(difference(gguf, folder, "f32", 1, &largest), 0, 1e-4);
            CHECK_NEAR(difference(f32, folder, NULL, 64, &largest), 0, 1e-4);
            /* Rounded activations are another matter, but the same weights in the same order: not a tenth of the logits. */
            const double rounded = difference(folder, folder, "int8", 7, &largest);
            CHECK(rounded > 1e-3 && rounded < 0.1 * largest);
            CHECK_EQ_INT((long long)(1e9 * rounded), (long long)(1e9 * difference(gguf, folder, "int8", 7, &largest)));
        }
        CHECK(el_cpu_cap(level, NULL) == EL_OK);
    }
}

TEST(quantized, encodings_and_metadata)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *s;
    REQUIRE_OK(el_source_open(test_data("quantized/gptq-act-order"), NULL, &s, &err), err);
    const struct el_tensor *const q = &s->tensors[el_source_find(s, "blk.0.attn_q.weight")];
    const struct el_tensor *const k = &s->tensors[el_source_find(s, "blk.0.attn_k.weight")];
    CHECK_EQ_STR(q->enc_name, "G4_128ZP");
    CHECK_EQ_STR(s->tensors[el_source_find(s, "blk.0.ffn_down.weight")].enc_name,
                 "G4_128Z"); /* one group: no order to speak of */
    CHECK_EQ_STR(q->file_name, "model.layers.0.self_attn.q_proj.qweight");
    CHECK_EQ_STR(el_meta_str(s->meta, el_meta_find(s->meta, "edgellm.activations"), 0, NULL), "f32");
    /* q, k and v read one permuted input. */
    struct el_model *model;
    REQUIRE_OK(el_model_open(s, NULL, &model, &err), err);
    const struct el_weight *const wq = el_weight_at(&model->weights, EL_R_ATTN_Q, 0), *const wk = el_weight_at(&model->weights,
                                                                                                               EL_R_ATTN_K, 0);
    CHECK(wq->input && wq->input == wk->input && wq->input != el_weight_at(&model->weights, EL_R_FFN_UP, 0)->input);
    CHECK(!el_weight_at(&model->weights, EL_R_FFN_DOWN, 0)->input && model->weights.any_input && model->f32_activations);
    CHECK(q->n_in == k->n_in);
    el_model_close(model);
    CHECK_EQ_INT(el_model_open(s, &(struct el_model_opts){.activations = "f16"}, &model, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "activations 'f16', known are f32, int8"));
    CHECK_OK(el_meta_set_str(s->meta, "edgellm.activations", "f16", 3, &err), err);
    CHECK_EQ_INT(el_model_open(s, NULL, &model, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "metadata 'edgellm.activations': 'f16', must be f32 or int8"));
    CHECK_OK(el_meta_set_u32(s->meta, "edgellm.activations", 1, &err), err);
    CHECK_EQ_INT(el_model_open(s, NULL, &model, &err), EL_E_FORMAT);
    el_source_close(s);
}

TEST(quantized, other_codes_forget_the_activations)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *s;
    const char *const path = test_tmp("requantized.gguf");
    pack(test_data("quantized/awq"), path, &(struct el_plan_opts){.type = "Q8_0", .allow_requantize = true});
    REQUIRE_OK(el_source_open(path, NULL, &s, &err), err);
    CHECK(el_meta_find(s->meta, "edgellm.activations") == SIZE_MAX);
    el_source_close(s);
    pack(test_data("quantized/awq"), path, &(struct el_plan_opts){.type = "COPY"});
    REQUIRE_OK(el_source_open(path, NULL, &s, &err), err);
    CHECK(el_meta_find(s->meta, "edgellm.activations") != SIZE_MAX);
    el_source_close(s);
}

/* An order of columns that is none is found before anything is multiplied, and by verify. */
TEST(quantized, damaged_order)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *s;
    struct el_model *model;
    const char *const path = test_tmp("order.gguf");
    uint32_t perm[256];
    size_t n;
    pack(test_data("quantized/gptq-act-order"), path, &(struct el_plan_opts){.type = "COPY"});
    REQUIRE_OK(el_source_open(path, NULL, &s, &err), err);
    const struct el_tensor *const t = &s->tensors[el_source_find(s, "blk.0.attn_output.weight")];
    REQUIRE(t->n_parts == 4 && t->parts[3].nbytes == sizeof perm);
    CHECK_OK(s->ops->read(s, t, 3, 0, perm, sizeof perm, &err), err);
    el_source_close(s);
    char *const file = test_read(path, &n);
    REQUIRE(file);
    char *const at = memmem(file, n, perm, sizeof perm);
    REQUIRE(at);
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t bad = i ? 256 : perm[8];
        memcpy(at + 28, &bad, 4);
        REQUIRE(test_write(path, file, n));
        REQUIRE_OK(el_source_open(path, NULL, &s, &err), err);
        CHECK_EQ_INT(el_model_open(s, NULL, &model, &err), EL_E_FORMAT);
        CHECK(strstr(err.text, "tensor 'blk.0.attn_output.weight': order of columns: entry "));
        CHECK(strstr(err.text, i ? "entry 7 is 256, at most 255" : ", which came before"));
        CHECK_EQ_INT(el_verify(s, NULL, NULL, NULL, NULL, &err), EL_E_FORMAT);
        el_source_close(s);
    }
    free(file);
}

/* What only files bring along cannot be made. */
TEST(quantized, cannot_be_made)
{
    static const char *const names[] = {"G4_128ZP", "G8_64F", "G4_32FP"};
    struct el_err err = {.code = EL_OK};
    struct el_source *s;
    REQUIRE_OK(el_source_open(test_data("quantized/awq"), NULL, &s, &err), err);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct el_plan *plan;
        CHECK_EQ_INT(el_plan_make(s, &(struct el_plan_opts){.type = names[i], .allow_requantize = true}, &plan, &err),
                     EL_E_UNSUPPORTED);
        CHECK(strstr(err.text, names[i]));
    }
    el_source_close(s);
}

/* ---- single matrices ---- */

/* A source with one matrix of cases.safetensors, as a folder would add it. */
static enum el_status open_case(const char *name, const struct el_json *config, struct el_source **out, struct el_err *err)
{
    static const char *const parts[] = {"qweight", "qzeros", "scales", "g_idx"};
    struct el_st_header h;
    struct el_store *store;
    struct el_hf_quant q;
    struct el_hf_quant_matrix m = {.t = {NULL}};
    struct el_problems problems;
    struct el_source *const s = *out = calloc(1, sizeof *s);
    el_problems_init(&problems);
    s->path = strdup("cases");
    s->meta = el_meta_new();
    if (el_store_new(s, 1, &store, err) != EL_OK ||
        el_st_open(test_data("quantized/cases/cases.safetensors"), &store->files[0], &h, err) != EL_OK)
        return EL_E_IO;
    enum el_status status = el_hf_quant_config(config, &q, err);
    struct el_tensor t = {.n_dims = 2};
    for (size_t i = 0; i < h.n_tensors; i++) {
        char full[64];
        for (unsigned p = 0; p < EL_HFQ_PARTS; p++) {
            snprintf(full, sizeof full, "%s.%s", name, parts[p]);
            if (strcmp(full, h.tensors[i].name) == 0)
                m.t[p] = &h.tensors[i];
        }
        snprintf(full, sizeof full, "%s.weight", name);
        if (strcmp(full, h.tensors[i].name) == 0)
            memcpy(t.dims, h.tensors[i].dims, sizeof t.dims);
    }
    t.name = t.file_name = strdup("w");
    if (status == EL_OK) {
        el_hf_quant_check(&q, &m, "w.weight", t.dims[0], t.dims[1], &problems);
        status = el_problems_finish(&problems, "cases", err);
    }
    if (status == EL_OK)
        status = el_hf_quant_add(s, &q, &t, &m, 1, err);
    el_st_header_release(&h);
    return status;
}

TEST(quantized, every_kind_is_exact)
{
    static const struct {
        const char *name, *enc;
    } cases[] = {
        {"gptq2", "G2_32Z"},
        {"gptq3", "G3_32Z"},
        {"gptq3-act-order", "G3_32ZP"},
        {"gptq4-short-group", "G4_64Z"},
        {"gptq4-short-act-order", "G4_64ZP"},
        {"gptq4-v2", "G4_32Z"},
        {"gptq4-row", "G4_ROWZ"},
        {"gptq8", "G8_32Z"},
        {"gptq8-f32-act-order", "G8_32ZFP"},
        {"awq4", "G4_32Z"},
    };
    struct el_err err = {.code = EL_OK};
    struct el_json_doc *doc;
    struct el_source *want;
    size_t n_text;
    char *const text = test_read(test_data("quantized/cases/configs.json"), &n_text);
    REQUIRE(text);
    REQUIRE_OK(el_json_parse(text, n_text, "configs.json", &doc, &err), err);
    REQUIRE_OK(el_source_open(test_data("quantized/cases/cases.safetensors"), NULL, &want, &err), err);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct el_source *s;
        char full[64];
        CHECK_OK(open_case(cases[c].name, el_json_get(el_json_root(doc), cases[c].name), &s, &err), err);
        snprintf(full, sizeof full, "%s.weight", cases[c].name);
        const size_t at = el_source_find(want, full);
        REQUIRE(s->n_tensors == 1 && at != SIZE_MAX);
        const struct el_tensor *const t = &s->tensors[0];
        CHECK_EQ_STR(t->enc_name, cases[c].enc);
        const uint64_t n = t->n_rows * t->n_in;
        float *const x = malloc(2 * n * sizeof *x);
        REQUIRE(x);
        CHECK_OK(el_source_read_rows(want, at, 0, t->n_rows, x, &err), err);
        CHECK_OK(el_source_read_rows(s, 0, 0, t->n_rows, x + n, &err), err);
        if (memcmp(x, x + n, n * sizeof *x) != 0)
            test_fail(__FILE__, __LINE__, "%s: values differ", cases[c].name);
        /* Odd strips of rows, and parts in pieces that cut rows. */
        memset(x + n, 0, n * sizeof *x);
        for (uint64_t r = 0; r < t->n_rows; r += 5)
            CHECK_OK(el_source_read_rows(s, 0, r, t->n_rows - r < 5 ? t->n_rows - r : 5, x + n + r * t->n_in, &err), err);
        if (memcmp(x, x + n, n * sizeof *x) != 0)
            test_fail(__FILE__, __LINE__, "%s: values in strips differ", cases[c].name);
        for (uint32_t p = 0; p < t->n_parts; p++) {
            uint8_t *const bytes = malloc(2 * t->parts[p].nbytes);
            REQUIRE(bytes);
            const uint64_t nb = t->parts[p].nbytes;
            CHECK_OK(s->ops->read(s, t, p, 0, bytes, nb, &err), err);
            for (uint64_t i = 0; i < nb; i += 7)
                CHECK_OK(s->ops->read(s, t, p, i, bytes + nb + i, nb - i < 7 ? nb - i : 7, &err), err);
            CHECK(memcmp(bytes, bytes + nb, nb) == 0);
            free(bytes);
        }
        free(x);
        el_source_close(s);
    }
    el_source_close(want);
    el_json_free(doc);
    free(text);
}
