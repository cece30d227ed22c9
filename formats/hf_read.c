/*
 * Reads a Hugging Face folder: config.json into canonical metadata, the shards' tensors under their canonical names, the
 * tokenizer. Experts, one matrix each in the files, become one tensor of several pieces.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "formats/hf.h"
#include "formats/safetensors.h"
#include "formats/store.h"
#include "model/tokenizer.h"

enum { EL_MAX_CONFIG = 16 << 20, EL_MAX_TEMPLATE = 16 << 20 };

/* One matrix that the folder must or may have: rule, layer, expert. */
struct place {
    const struct el_st_tensor *tensor; /* NULL: not found yet */
    uint32_t file;
    bool added; /* of the first expert: the tensor is in the source */
};

/* What is known while a folder is being opened. */
struct folder {
    struct el_source *s;
    struct el_store *store;
    const struct el_arch *arch;
    struct el_hparams hp;
    bool tied;
    struct el_st_header *headers; /* [n_files] */
    size_t n_files;
    struct place *places;
    size_t *base; /* [n_rules]: first place of a rule; then layers, then experts */
    struct el_problems problems;
    struct el_buf name;  /* scratch */
    char path[PATH_MAX]; /* scratch */
};

/* ---- small files ---- */

/* Path of a file of the folder, in f->path; false when it is longer than any path may be. */
static bool member_path(struct folder *f, const char *name)
{
    const int n = snprintf(f->path, sizeof f->path, "%s/%s", f->s->path, name);
    return n > 0 && (size_t)n < sizeof f->path;
}

static bool has_member(struct folder *f, const char *name)
{
    return member_path(f, name) && access(f->path, F_OK) == 0;
}

/* A whole plain file at path (never a FIFO, on which a read would wait for ever). */
static enum el_status read_path(const char *path, uint64_t max, char **text, size_t *nbytes, struct el_err *err)
{
    struct el_file file;
    *text = NULL;
    *nbytes = 0;
    EL_TRY(el_file_open(&file, path, err));
    enum el_status status = EL_OK;
    char *data = NULL;
    if (file.nbytes > max)
        status = el_fail(err, EL_E_FORMAT, "'%s': %llu bytes, at most %llu", path, (unsigned long long)file.nbytes,
                         (unsigned long long)max);
    else if (!(data = el_alloc(file.nbytes + 1)))
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for %llu bytes", path, (unsigned long long)file.nbytes);
    else
        status = el_file_read(&file, 0, data, file.nbytes, err);
    if (status == EL_OK) {
        data[file.nbytes] = '\0';
        *text = data;
        *nbytes = file.nbytes;
    } else {
        el_free(data);
    }
    el_file_close(&file);
    return status;
}

/* A file of the folder; *text stays NULL when it is not there. */
static enum el_status read_member(struct folder *f, const char *name, uint64_t max, char **text, size_t *nbytes,
                                  struct el_err *err)
{
    *text = NULL;
    *nbytes = 0;
    return has_member(f, name) ? read_path(f->path, max, text, nbytes, err) : EL_OK;
}

/* Text and JSON of a member that must be there. */
static enum el_status read_json(struct folder *f, const char *name, uint64_t max, struct el_json_doc **doc, struct el_err *err)
{
    char *text;
    size_t nbytes;
    *doc = NULL;
    EL_TRY(read_member(f, name, max, &text, &nbytes, err));
    if (!text)
        return el_fail(err, EL_E_FORMAT, "'%s': no %s in the folder", f->s->path, name);
    enum el_status status = el_json_parse(text, nbytes, name, doc, err);
    el_free(text);
    if (status == EL_OK && !el_json_is(el_json_root(*doc), EL_JSON_OBJECT)) {
        status = el_fail(err, EL_E_FORMAT, "%s: is not an object", name);
        el_json_free(*doc);
        *doc = NULL;
    }
    return status == EL_OK ? EL_OK : el_fail_prefix(err, status, "'%s'", f->s->path);
}

static enum el_status read_config(struct folder *f, struct el_err *err)
{
    struct el_json_doc *doc;
    EL_TRY(read_json(f, "config.json", EL_MAX_CONFIG, &doc, err));
    const struct el_json *const config = el_json_root(doc);
    enum el_status status = EL_OK;
    struct el_err why = {0};
    f->arch = el_arch_of_config(config, &why);
    if (!f->arch)
        status = why.code;
    else
        status = el_arch_read_config(f->arch, config, f->s->meta, &why);
    if (status == EL_OK) {
        f->tied = el_arch_config_tied(f->arch, config);
        status = f->arch->hparams(f->s->meta, &f->hp, &why);
    }
    el_json_free(doc);
    return status == EL_OK ? EL_OK : el_fail(err, status, "'%s': config.json: %s", f->s->path, why.text);
}

/* ---- shards ---- */

static int by_text(const void *a, const void *b)
{
    const char *const *const x = a, *const *const y = b;
    return strcmp(*x, *y);
}

/* The different file names of a weight_map, sorted; borrowed from the JSON. */
static enum el_status shard_names(const struct el_json *map, const char ***names, size_t *n_names, struct el_err *err)
{
    enum el_status status = EL_OK;
    struct el_strmap seen;
    el_strmap_init(&seen);
    const char **list = el_alloc_array(EL_MAX_SPLITS, sizeof *list);
    size_t n = 0;
    if (!list)
        status = el_fail(err, EL_E_MEMORY, "out of memory");
    for (const struct el_json *m = el_json_first(map); m && status == EL_OK; m = el_json_next(m)) {
        const char *const name = el_json_str(m);
        bool existed = false;
        if (!name)
            status = el_fail(err, EL_E_FORMAT, "weight_map: the file of '%s' is not a string", el_json_key(m));
        else if (!el_file_name_is_safe(name))
            status = el_fail(err, EL_E_FORMAT, "weight_map: '%s' is not a plain file name", name);
        else if (!el_strmap_add(&seen, name, strlen(name), 0, &existed))
            status = el_fail(err, EL_E_MEMORY, "out of memory");
        else if (!existed && n == EL_MAX_SPLITS)
            status = el_fail(err, EL_E_FORMAT, "weight_map: more than %d files", EL_MAX_SPLITS);
        else if (!existed)
            list[n++] = name;
    }
    el_strmap_release(&seen);
    if (status == EL_OK && n == 0)
        status = el_fail(err, EL_E_FORMAT, "weight_map: names no file");
    if (status != EL_OK) {
        el_free(list);
        return status;
    }
    qsort(list, n, sizeof *list, by_text);
    *names = list;
    *n_names = n;
    return EL_OK;
}

static enum el_status open_shards(struct folder *f, const char *const *names, size_t n, struct el_err *err)
{
    EL_TRY(el_store_new(f->s, n, &f->store, err));
    f->headers = el_calloc_array(n, sizeof *f->headers);
    if (!f->headers)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for %zu files", f->s->path, n);
    f->n_files = n;
    for (size_t i = 0; i < n; i++) {
        if (!has_member(f, names[i])) {
            el_problems_add(&f->problems, EL_E_FORMAT, "file '%s' is missing", names[i]);
            continue;
        }
        EL_TRY(el_st_open(f->path, &f->store->files[i], &f->headers[i], err));
    }
    return el_problems_finish(&f->problems, f->s->path, err);
}

/* The index and the files must agree about every tensor. */
static enum el_status check_index(struct folder *f, const struct el_json *map, const char *const *names, struct el_err *err)
{
    struct el_strmap where;
    el_strmap_init(&where);
    enum el_status status = EL_OK;
    for (const struct el_json *m = el_json_first(map); m && status == EL_OK; m = el_json_next(m)) {
        const char *const name = el_json_str(m);
        const char *const *const at = bsearch(&name, names, f->n_files, sizeof *names, by_text);
        if (!el_strmap_add(&where, el_json_key(m), strlen(el_json_key(m)), at - names, NULL))
            status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for the index", f->s->path);
    }
    size_t n_agreed = 0;
    for (size_t i = 0; i < f->n_files && status == EL_OK; i++) {
        for (size_t k = 0; k < f->headers[i].n_tensors; k++) {
            const char *const name = f->headers[i].tensors[k].name;
            const int64_t at = el_strmap_get(&where, name, strlen(name), -1);
            if (at == (int64_t)i)
                n_agreed++;
            else if (at < 0)
                el_problems_add(&f->problems, EL_E_FORMAT, "tensor '%s' of file '%s' is not in the index", name, names[i]);
            else
                el_problems_add(&f->problems, EL_E_FORMAT, "tensor '%s' is in file '%s', the index says '%s'", name, names[i],
                                names[at]);
        }
    }
    /* Fewer tensors than entries: look for those that no file has. */
    for (const struct el_json *m = el_json_first(map); m && status == EL_OK && n_agreed != where.count; m = el_json_next(m)) {
        const char *const name = el_json_key(m);
        const struct el_st_header *const h = &f->headers[el_strmap_get(&where, name, strlen(name), 0)];
        size_t k = 0;
        while (k < h->n_tensors && strcmp(h->tensors[k].name, name) != 0)
            k++;
        if (k == h->n_tensors)
            el_problems_add(&f->problems, EL_E_FORMAT, "tensor '%s' is not in file '%s', where the index has it", name,
                            el_json_str(m));
        if (f->problems.n > 200)
            break; /* each one costs a search */
    }
    el_strmap_release(&where);
    return status == EL_OK ? el_problems_finish(&f->problems, f->s->path, err) : status;
}

static enum el_status open_index(struct folder *f, struct el_err *err)
{
    static const char index[] = "model.safetensors.index.json";
    struct el_json_doc *doc;
    EL_TRY(read_json(f, index, EL_MAX_SAFETENSORS_HEADER, &doc, err));
    const struct el_json *const map = el_json_get(el_json_root(doc), "weight_map");
    enum el_status status;
    const char **names = NULL;
    size_t n_names = 0;
    if (!el_json_is(map, EL_JSON_OBJECT)) {
        status = el_fail(err, EL_E_FORMAT, "'%s': %s: no weight_map, or it is not an object", f->s->path, index);
        goto out;
    }
    status = shard_names(map, &names, &n_names, err);
    if (status != EL_OK) {
        status = el_fail_prefix(err, status, "'%s': %s", f->s->path, index);
        goto out;
    }
    EL_TRY_OUT(open_shards(f, names, n_names, err));
    status = check_index(f, map, names, err);
out:
    el_free(names);
    el_json_free(doc);
    return status;
}

static enum el_status open_files(struct folder *f, struct el_err *err)
{
    static const char *const single[] = {"model.safetensors"};
    if (has_member(f, single[0]))
        return open_shards(f, single, 1, err);
    if (has_member(f, "model.safetensors.index.json"))
        return open_index(f, err);
    static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth"};
    for (size_t i = 0; i < sizeof pickles / sizeof pickles[0]; i++) {
        if (has_member(f, pickles[i]))
            return el_fail(err, EL_E_UNSUPPORTED,
                           "'%s': only %s in the folder: pickle can run code, convert it to safetensors first", f->s->path,
                           pickles[i]);
    }
    return el_fail(err, EL_E_FORMAT, "'%s': neither model.safetensors nor model.safetensors.index.json in the folder",
                   f->s->path);
}

/* ---- tensors ---- */

static uint64_t n_layers_of(const struct folder *f, const struct el_tensor_rule *r)
{
    return r->flags & EL_TF_LAYER ? f->hp.n_layers : 1;
}

static uint64_t n_experts_of(const struct folder *f, const struct el_tensor_rule *r)
{
    return r->flags & EL_TF_STACK ? f->hp.n_experts : 1;
}

/* Lays out the places of all rules. */
static enum el_status make_places(struct folder *f, struct el_err *err)
{
    size_t n_rules = 0;
    uint64_t n = 0; /* cannot overflow: hparams have bounds */
    while (f->arch->tensors[n_rules].gguf)
        n_rules++;
    f->base = el_alloc_array(n_rules + 1, sizeof *f->base);
    if (!f->base)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", f->s->path);
    for (size_t r = 0; r < n_rules; r++) {
        f->base[r] = n;
        n += n_layers_of(f, &f->arch->tensors[r]) * n_experts_of(f, &f->arch->tensors[r]);
    }
    if (n > EL_MAX_TENSORS)
        return el_fail(err, EL_E_FORMAT, "'%s': config.json: %u layers and %u experts make %llu tensors, at most %d", f->s->path,
                       f->hp.n_layers, f->hp.n_experts, (unsigned long long)n, (int)EL_MAX_TENSORS);
    f->places = el_calloc_array(n, sizeof *f->places);
    return f->places ? EL_OK
                     : el_fail(err, EL_E_MEMORY, "'%s': out of memory for %llu tensors", f->s->path, (unsigned long long)n);
}

/* The rule that a name of the folder follows, and its place; NULL: none. */
static const struct el_tensor_rule *rule_of(const struct folder *f, const char *name, uint32_t numbers[2], struct place **place)
{
    for (size_t i = 0; f->arch->tensors[i].gguf; i++) {
        const struct el_tensor_rule *const r = &f->arch->tensors[i];
        numbers[0] = numbers[1] = 0;
        if (!r->hf || !el_hf_name_fits(r->hf, name, numbers))
            continue;
        const uint64_t n_experts = n_experts_of(f, r);
        if (numbers[0] >= n_layers_of(f, r) || numbers[1] >= n_experts)
            return NULL;
        *place = &f->places[f->base[i] + numbers[0] * n_experts + numbers[1]];
        return r;
    }
    return NULL;
}

static bool is_ignored(const struct folder *f, const char *name)
{
    const size_t n = strlen(name);
    for (size_t i = 0; f->arch->hf_ignored && f->arch->hf_ignored[i]; i++) {
        const size_t n_end = strlen(f->arch->hf_ignored[i]);
        if (n >= n_end && strcmp(name + n - n_end, f->arch->hf_ignored[i]) == 0)
            return true;
    }
    return false;
}

/* Dimensions that a rule wants of one matrix in the folder. */
static uint32_t wanted_dims(const struct folder *f, const struct el_tensor_rule *r, uint64_t dims[3])
{
    uint32_t n = 0;
    for (unsigned i = r->flags & EL_TF_STACK ? 1 : 0; i < 3 && r->dims[i] != EL_D_NONE; i++)
        dims[n++] = el_dim_size(r->dims[i], &f->hp);
    return n;
}

static void add_shape(struct el_buf *b, uint32_t n_dims, const uint64_t *dims)
{
    for (uint32_t i = 0; i < n_dims; i++)
        el_buf_addf(b, "%s%llu", i ? ", " : "[", (unsigned long long)dims[i]);
    el_buf_add_byte(b, ']');
}

static void check_tensor(struct folder *f, const struct el_tensor_rule *r, const struct el_st_tensor *t)
{
    uint64_t dims[3];
    const uint32_t n_dims = wanted_dims(f, r, dims);
    if (!(t->enc.e->flags & EL_ENC_FLOAT))
        el_problems_add(&f->problems, EL_E_UNSUPPORTED, "tensor '%s' is %s, weights must be F32, F16 or BF16", t->name,
                        t->enc.e->name);
    if (n_dims == t->n_dims && memcmp(dims, t->dims, n_dims * sizeof dims[0]) == 0)
        return;
    struct el_buf *const b = &f->name;
    el_buf_reset(b);
    add_shape(b, t->n_dims, t->dims);
    el_buf_add_str(b, ", config.json makes it ");
    add_shape(b, n_dims, dims);
    el_problems_add(&f->problems, EL_E_FORMAT, "tensor '%s' is %s", t->name, b->data);
}

/* Puts every tensor of the files in its place. */
static void find_places(struct folder *f)
{
    for (size_t i = 0; i < f->n_files; i++) {
        for (size_t k = 0; k < f->headers[i].n_tensors; k++) {
            const struct el_st_tensor *const t = &f->headers[i].tensors[k];
            uint32_t numbers[2];
            struct place *place;
            const struct el_tensor_rule *const r = rule_of(f, t->name, numbers, &place);
            if (!r) {
                if (!is_ignored(f, t->name))
                    el_problems_add(&f->problems, EL_E_UNSUPPORTED, "tensor '%s' is not one of a %s model", t->name,
                                    f->arch->name);
                continue;
            }
            if (r->role == EL_R_OUTPUT && f->tied)
                continue; /* a copy of the embedding */
            if (place->tensor) {
                el_problems_add(&f->problems, EL_E_FORMAT, "tensor '%s' is in two files", t->name);
                continue;
            }
            place->tensor = t;
            place->file = (uint32_t)i;
            check_tensor(f, r, t);
        }
    }
}

/* All that the architecture needs must be there; slices of a stack must be of one type. */
static void find_missing(struct folder *f)
{
    for (size_t i = 0; f->arch->tensors[i].gguf; i++) {
        const struct el_tensor_rule *const r = &f->arch->tensors[i];
        if (!r->hf)
            continue;
        const bool optional = r->flags & EL_TF_OPTIONAL && !(r->role == EL_R_OUTPUT && !f->tied);
        const uint64_t n_experts = n_experts_of(f, r), n_layers = n_layers_of(f, r);
        for (uint64_t n = 0; n < n_layers * n_experts; n++) {
            const struct place *const p = &f->places[f->base[i] + n], *const first = p - n % n_experts;
            el_buf_reset(&f->name);
            if (!p->tensor && !(optional && !first->tensor)) {
                el_hf_add_name(&f->name, r->hf, (uint32_t)(n / n_experts), (uint32_t)(n % n_experts));
                el_problems_add(&f->problems, EL_E_FORMAT, "tensor '%s' is missing", f->name.data);
            } else if (p->tensor && first->tensor && p->tensor->enc.e != first->tensor->enc.e) {
                el_problems_add(&f->problems, EL_E_UNSUPPORTED, "tensor '%s' is %s, that of expert 0 is %s", p->tensor->name,
                                p->tensor->enc.e->name, first->tensor->enc.e->name);
            }
        }
    }
}

/* Adds the tensor whose place (or the place of whose first expert) this is. */
static enum el_status add_tensor(struct folder *f, const struct el_tensor_rule *r, uint32_t layer, const struct place *first,
                                 struct el_err *err)
{
    const uint64_t n_experts = n_experts_of(f, r);
    const struct el_st_tensor *const from = first->tensor;
    struct el_tensor t = {.enc = from->enc};
    if (r->flags & EL_TF_STACK)
        t.dims[t.n_dims++] = n_experts;
    for (uint32_t i = 0; i < from->n_dims; i++)
        t.dims[t.n_dims++] = from->dims[i];
    t.order = el_arch_hf_order(f->arch, r, &f->hp);
    t.order_elems = t.n_dims == 1 && r->flags & (EL_TF_ROPE_Q | EL_TF_ROPE_K | EL_TF_QKV);
    el_buf_reset(&f->name);
    el_hf_add_name(&f->name, r->gguf, layer, 0);
    t.name = f->name.failed ? NULL : el_strdup(f->name.data);
    t.file_name = el_strdup(from->name);
    if (!t.name || !t.file_name) {
        el_free((void *)(uintptr_t)t.name);
        el_free((void *)(uintptr_t)t.file_name);
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", f->s->path);
    }
    EL_TRY(el_store_add(f->s, &t, err));
    for (uint64_t i = 0; i < n_experts; i++)
        EL_TRY(el_store_add_piece(f->s, first[i].file, first[i].tensor->offset, first[i].tensor->nbytes, err));
    return EL_OK;
}

/* Tensors in the order of the files; a stack stands where its first slice does. */
static enum el_status add_tensors(struct folder *f, struct el_err *err)
{
    for (size_t i = 0; i < f->n_files; i++) {
        for (size_t k = 0; k < f->headers[i].n_tensors; k++) {
            const struct el_st_tensor *const t = &f->headers[i].tensors[k];
            uint32_t numbers[2];
            struct place *place = NULL;
            const struct el_tensor_rule *const r = rule_of(f, t->name, numbers, &place);
            if (!r || place->tensor != t)
                continue;
            struct place *const first = place - numbers[1];
            if (first->added)
                continue;
            first->added = true;
            EL_TRY(add_tensor(f, r, numbers[0], first, err));
        }
    }
    return EL_OK;
}

/* The tensor that the metadata imply and no file of the folder holds. */
static enum el_status add_implied(struct folder *f, struct el_err *err)
{
    const struct el_tensor_rule *const r = el_arch_implied(f->arch, &f->hp);
    if (!r)
        return EL_OK;
    const uint64_t n = el_dim_size(r->dims[0], &f->hp);
    float *const values = el_alloc_array(n, sizeof *values);
    char *const name = el_strdup(r->gguf);
    f->store->memory = (uint8_t *)values;
    f->store->memory_name = "config.json";
    if (!values || !name) {
        el_free(name);
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", f->s->path);
    }
    el_arch_implied_values(f->arch, &f->hp, values);
    struct el_tensor t = {.name = name, .file_name = name, .enc = el_enc_f32(), .n_dims = 1, .dims = {n}};
    EL_TRY(el_store_add(f->s, &t, err));
    return el_store_add_piece(f->s, EL_STORE_MEMORY, 0, n * sizeof *values, err);
}

/* ---- tokenizer ---- */

static enum el_status read_tokenizer(struct folder *f, const char *other, struct el_err *err)
{
    char *texts[4] = {NULL};
    size_t nbytes[4] = {0};
    enum el_status status;
    if (other)
        EL_TRY_OUT(read_path(other, EL_MAX_JSON, &texts[0], &nbytes[0], err));
    else
        EL_TRY_OUT(read_member(f, "tokenizer.json", EL_MAX_JSON, &texts[0], &nbytes[0], err));
    EL_TRY_OUT(read_member(f, "tokenizer_config.json", EL_MAX_CONFIG, &texts[1], &nbytes[1], err));
    EL_TRY_OUT(read_member(f, "generation_config.json", EL_MAX_CONFIG, &texts[2], &nbytes[2], err));
    EL_TRY_OUT(read_member(f, "chat_template.jinja", EL_MAX_TEMPLATE, &texts[3], &nbytes[3], err));
    if (!texts[0]) {
        el_warn("'%s': no tokenizer.json in the folder: text cannot be tokenized%s", f->s->path,
                has_member(f, "tokenizer.model") ? " (tokenizer.model is not read)" : "");
        goto out;
    }
    status =
        el_tokenizer_import_hf(f->s->meta, texts[0], nbytes[0], texts[1], nbytes[1], texts[2], nbytes[2], f->hp.n_vocab, err);
    if (status != EL_OK) {
        status = el_fail_prefix(err, status, "'%s'", other ? other : f->s->path);
        goto out;
    }
    if (texts[3] && el_meta_find(f->s->meta, "tokenizer.chat_template") == SIZE_MAX)
        status = el_meta_set_str(f->s->meta, "tokenizer.chat_template", texts[3], nbytes[3], err);
out:
    for (size_t i = 0; i < 4; i++)
        el_free(texts[i]);
    return status;
}

enum el_status el_hf_open(struct el_source *s, const struct el_source_opts *opts, struct el_err *err)
{
    struct folder f = {.s = s};
    el_problems_init(&f.problems);
    el_buf_init(&f.name);
    enum el_status status;
    EL_TRY_OUT(read_config(&f, err));
    EL_TRY_OUT(open_files(&f, err));
    EL_TRY_OUT(make_places(&f, err));
    find_places(&f);
    find_missing(&f);
    EL_TRY_OUT(el_problems_finish(&f.problems, s->path, err));
    EL_TRY_OUT(add_tensors(&f, err));
    EL_TRY_OUT(add_implied(&f, err));
    status = read_tokenizer(&f, opts->tokenizer, err);
out:
    el_buf_release(&f.problems.text);
    el_buf_release(&f.name);
    for (size_t i = 0; i < f.n_files; i++)
        el_st_header_release(&f.headers[i]);
    el_free(f.headers);
    el_free(f.places);
    el_free(f.base);
    return status;
}
