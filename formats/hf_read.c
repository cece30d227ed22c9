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
#include "formats/format.h"
#include "formats/hf.h"
#include "formats/hf_habits.h"
#include "formats/hf_quant.h"
#include "formats/safetensors.h"
#include "formats/store.h"
#include "formats/torch.h"
#include "text/tokenizer.h"

enum { EL_MAX_CONFIG = 16 << 20, EL_MAX_TEMPLATE = 16 << 20 };

/* One tensor that the folder must or may have: rule, layer, slice of a stack. */
struct place {
    const struct el_st_tensor *tensor; /* NULL: not found yet */
    uint32_t file;
    bool added; /* of the first slice: the tensor is in the source */
};

/* What is known while a folder is being opened. */
struct folder {
    struct el_source *s;
    struct el_store *store;
    const struct el_arch *arch;
    struct el_hparams hp;
    struct el_json_doc *config;
    bool tied;
    struct el_st_header *headers; /* [n_files] */
    size_t n_files;
    bool is_torch; /* the files are PyTorch's */
    struct place *places;
    struct el_hf_quant quant;            /* what quantization_config says */
    struct el_hf_quant_matrix *matrices; /* [n_places], of a quantized folder; else NULL */
    size_t *base;                        /* [n_rules]: first place of a rule; then layers, then slices */
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

/* AutoGPTQ's older files have their settings in a file of its own. */
static enum el_status read_quantize_config(struct folder *f, struct el_err *err)
{
    static const char name[] = "quantize_config.json";
    struct el_json_doc *doc;
    if (!has_member(f, name))
        return EL_OK;
    EL_TRY(read_json(f, name, EL_MAX_CONFIG, &doc, err));
    struct el_err why = {0};
    const enum el_status status = el_hf_quant_config(el_json_root(doc), &f->quant, &why);
    el_json_free(doc);
    return status == EL_OK ? EL_OK : el_fail(err, status, "'%s': %s: %s", f->s->path, name, why.text);
}

static enum el_status read_config(struct folder *f, struct el_err *err)
{
    EL_TRY(read_json(f, "config.json", EL_MAX_CONFIG, &f->config, err));
    const struct el_json *const config = el_json_root(f->config);
    enum el_status status = EL_OK;
    struct el_err why = {0};
    const struct el_json *const quant = el_json_get(config, "quantization_config");
    f->arch = el_arch_of_config(config, &why);
    if (!f->arch)
        status = why.code;
    else
        status = el_arch_read_config(f->arch, config, f->s->meta, &why);
    if (status == EL_OK)
        status = el_hf_quant_config(quant, &f->quant, &why);
    if (status == EL_OK) {
        f->tied = el_arch_config_tied(f->arch, config);
        status = el_arch_hparams(f->arch, f->s->meta, &f->hp, &why);
    }
    const bool said = quant != NULL;
    if (status != EL_OK)
        return el_fail(err, status, "'%s': config.json: %s", f->s->path, why.text);
    if (!said)
        EL_TRY(read_quantize_config(f, err));
    /* Such weights were chosen for activations as they are. */
    return f->quant.method == EL_HFQ_NONE ? EL_OK : el_meta_set_str(f->s->meta, "edgellm.activations", "f32", 3, err);
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
        EL_TRY(f->is_torch ? el_torch_open(f->path, &f->store->files[i], &f->headers[i], err)
                           : el_st_open(f->path, &f->store->files[i], &f->headers[i], err));
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

static enum el_status open_index(struct folder *f, const char *index, struct el_err *err)
{
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

/* The first of these that there is: safetensors before PyTorch's own files, one file before shards. */
static enum el_status open_files(struct folder *f, struct el_err *err)
{
    static const struct {
        const char *name;
        bool is_torch, is_index;
    } kinds[] = {{"model.safetensors", false, false},
                 {"model.safetensors.index.json", false, true},
                 {"pytorch_model.bin", true, false},
                 {"pytorch_model.bin.index.json", true, true}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!has_member(f, kinds[i].name))
            continue;
        f->is_torch = kinds[i].is_torch;
        return kinds[i].is_index ? open_index(f, kinds[i].name, err) : open_shards(f, &kinds[i].name, 1, err);
    }
    if (el_hf_only_safetensors(f->s->path, &f->name)) {
        char *const only = el_strdup(f->name.data); /* f->name is for problems */
        const enum el_status status = only ? open_shards(f, (const char *const *)&only, 1, err)
                                           : el_fail(err, EL_E_MEMORY, "'%s': out of memory", f->s->path);
        el_free(only);
        return status;
    }
    static const char *const own_names[] = {"consolidated.00.pth", "consolidated.safetensors"};
    for (size_t i = 0; i < sizeof own_names / sizeof own_names[0]; i++) {
        if (has_member(f, own_names[i]))
            return el_fail(err, EL_E_UNSUPPORTED,
                           "'%s': only %s in the folder: has %s own names, convert it to a Hugging Face folder first", f->s->path,
                           own_names[i], i == 0 ? "Meta's" : "Mistral's");
    }
    return el_fail(err, EL_E_FORMAT, "'%s': neither model.safetensors nor pytorch_model.bin nor an index of either in the folder",
                   f->s->path);
}

/* ---- tensors ---- */

static uint64_t n_layers_of(const struct folder *f, const struct el_tensor_rule *r)
{
    return r->flags & EL_TF_LAYER ? f->hp.n_layers : 1;
}

/* Tensors of the folder that make one of ours: experts, or heads. */
static uint64_t n_slices_of(const struct folder *f, const struct el_tensor_rule *r)
{
    return r->flags & EL_TF_STACK ? el_dim_size(r->dims[0], &f->hp) : 1;
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
        n += n_layers_of(f, &f->arch->tensors[r]) * n_slices_of(f, &f->arch->tensors[r]);
    }
    if (n > EL_MAX_TENSORS)
        return el_fail(err, EL_E_FORMAT, "'%s': config.json: %u layers and %u experts make %llu tensors, at most %d", f->s->path,
                       f->hp.n_layers, f->hp.n_experts, (unsigned long long)n, (int)EL_MAX_TENSORS);
    f->places = el_calloc_array(n, sizeof *f->places);
    if (f->quant.method != EL_HFQ_NONE)
        f->matrices = el_calloc_array(n, sizeof *f->matrices);
    return f->places && (f->matrices || f->quant.method == EL_HFQ_NONE)
               ? EL_OK
               : el_fail(err, EL_E_MEMORY, "'%s': out of memory for %llu tensors", f->s->path, (unsigned long long)n);
}

/* Does a name of the folder follow a pattern, or what is left of it without the family's prefix? */
static bool name_fits(const struct folder *f, const char *pattern, const char *name, uint32_t numbers[2])
{
    const size_t n_prefix = f->arch->hf_prefix ? strlen(f->arch->hf_prefix) : 0;
    numbers[0] = numbers[1] = 0;
    if (el_hf_name_fits(pattern, name, numbers))
        return true;
    numbers[0] = numbers[1] = 0;
    return n_prefix && strncmp(pattern, f->arch->hf_prefix, n_prefix) == 0 && el_hf_name_fits(pattern + n_prefix, name, numbers);
}

/* The rule that a name of the folder follows, and its place; NULL: none. */
static const struct el_tensor_rule *rule_of(const struct folder *f, const char *name, uint32_t numbers[2], struct place **place)
{
    for (size_t i = 0; f->arch->tensors[i].gguf; i++) {
        const struct el_tensor_rule *const r = &f->arch->tensors[i];
        if (!r->hf || !el_arch_has(f->arch, &f->hp, r) || !name_fits(f, r->hf, name, numbers))
            continue;
        const uint64_t n_slices = n_slices_of(f, r);
        if (numbers[0] >= n_layers_of(f, r) || numbers[1] >= n_slices)
            return NULL;
        *place = &f->places[f->base[i] + numbers[0] * n_slices + numbers[1]];
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

/* Dimensions of one matrix of a rule, */
static uint32_t canonical_dims(const struct folder *f, const struct el_tensor_rule *r, uint64_t dims[3])
{
    uint32_t n = 0;
    for (unsigned i = r->flags & EL_TF_STACK ? 1 : 0; i < 3 && r->dims[i] != EL_D_NONE; i++)
        dims[n++] = el_dim_size(r->dims[i], &f->hp);
    return n;
}

/* and those that it wants in the folder. */
static uint32_t wanted_dims(const struct folder *f, const struct el_tensor_rule *r, uint64_t dims[3])
{
    const uint32_t n = canonical_dims(f, r, dims);
    if (r->flags & EL_TF_TRANSPOSED) {
        const uint64_t n_rows = dims[0];
        dims[0] = dims[1];
        dims[1] = n_rows;
    }
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

/*
 * The rule and place of a tensor of the files; *part is EL_HFQ_PARTS for a tensor that is a weight by itself, else which part of
 * a quantized matrix it is.
 */
static const struct el_tensor_rule *find_rule(struct folder *f, const char *name, uint32_t numbers[2], struct place **place,
                                              enum el_hf_quant_part *part)
{
    size_t n_stem = 0;
    *part = f->matrices ? el_hf_quant_part(name, &n_stem) : EL_HFQ_PARTS;
    if (*part == EL_HFQ_PARTS)
        return rule_of(f, name, numbers, place);
    el_buf_reset(&f->name);
    el_buf_addf(&f->name, "%.*s.weight", (int)n_stem, name);
    return rule_of(f, f->name.data, numbers, place);
}

/*
 * A bias of zeros beside a quantized matrix, where the model has none: AutoGPTQ and GPTQ-for-LLaMa have written one for every
 * matrix, whatever the model.
 */
static bool is_idle_bias(struct folder *f, const struct el_tensor_rule *r, const struct el_st_tensor *t, size_t file)
{
    static const char end[] = ".bias";
    const size_t n = strlen(t->name), n_end = sizeof end - 1;
    uint32_t numbers[2];
    struct place *place;
    if (!f->matrices || n <= n_end || strcmp(t->name + n - n_end, end) != 0)
        return false;
    if (r && !el_arch_flag_forbids(f->arch, el_json_root(f->config), r->role))
        return false;
    el_buf_reset(&f->name);
    el_buf_addf(&f->name, "%.*s.weight", (int)(n - n_end), t->name);
    return rule_of(f, f->name.data, numbers, &place) && el_hf_is_zeros(&f->store->files[file], t);
}

/* Puts every tensor of the files in its place. */
static void find_places(struct folder *f)
{
    size_t n_idle = 0;
    for (size_t i = 0; i < f->n_files; i++) {
        for (size_t k = 0; k < f->headers[i].n_tensors; k++) {
            const struct el_st_tensor *const t = &f->headers[i].tensors[k];
            uint32_t numbers[2];
            struct place *place;
            enum el_hf_quant_part part;
            const struct el_tensor_rule *const r = find_rule(f, t->name, numbers, &place, &part);
            if (is_idle_bias(f, r, t, i)) {
                n_idle++;
                continue;
            }
            if (!r) {
                if (!is_ignored(f, t->name))
                    el_problems_add(&f->problems, EL_E_UNSUPPORTED, "tensor '%s' is not one of a %s model", t->name,
                                    f->arch->name);
                continue;
            }
            if (r->role == EL_R_OUTPUT && f->tied && part != EL_HFQ_PARTS)
                continue; /* of the embedding, which nobody quantizes: keep_untied_output */
            struct el_hf_quant_matrix *const m = f->matrices ? &f->matrices[place - f->places] : NULL;
            if (part != EL_HFQ_PARTS ? m->t[part] != NULL : place->tensor != NULL) {
                el_problems_add(&f->problems, EL_E_FORMAT, "tensor '%s' is in two files", t->name);
                continue;
            }
            if (part != EL_HFQ_PARTS) {
                m->t[part] = t;
                m->file[part] = (uint32_t)i;
                continue;
            }
            place->tensor = t;
            place->file = (uint32_t)i;
            if (r->role != EL_R_OUTPUT || !f->tied)
                check_tensor(f, r, t);
        }
    }
    if (n_idle)
        el_warn("'%s': %zu biases of zeros, which config.json's model does not have, are left out", f->s->path, n_idle);
}

static struct place *place_of_role(struct folder *f, enum el_role role)
{
    size_t i = 0;
    while (f->arch->tensors[i].role != role)
        i++;
    return &f->places[f->base[i]];
}

/*
 * An output matrix that is there though config.json ties it is a copy of the embedding, which many programs write, and left out;
 * or the configuration is wrong (a class's default, when nothing is said) and it is kept, as transformers does from version 5.
 */
static void keep_untied_output(struct folder *f)
{
    if (!f->tied || !el_arch_rule_of_role(f->arch, EL_R_OUTPUT))
        return;
    const struct place *const embd = place_of_role(f, EL_R_TOKEN_EMBD);
    struct place *const output = place_of_role(f, EL_R_OUTPUT);
    if (!output->tensor)
        return;
    if (!embd->tensor ||
        el_hf_is_copy(&f->store->files[embd->file], embd->tensor, &f->store->files[output->file], output->tensor)) {
        output->tensor = NULL;
        return;
    }
    f->tied = false;
    check_tensor(f, el_arch_rule_of_role(f->arch, EL_R_OUTPUT), output->tensor);
    el_warn("'%s': '%s' is another matrix than the embedding, to which config.json ties it: it is kept", f->s->path,
            output->tensor->name);
}

/* Quantized matrices take the place of the weights that they are; their qweight stands for them. */
static void place_matrices(struct folder *f)
{
    for (size_t i = 0; f->matrices && f->arch->tensors[i].gguf; i++) {
        const struct el_tensor_rule *const r = &f->arch->tensors[i];
        const uint64_t n_slices = n_slices_of(f, r), n = n_layers_of(f, r) * n_slices;
        uint64_t dims[3];
        const uint32_t n_dims = canonical_dims(f, r, dims);
        for (uint64_t k = 0; k < n; k++) {
            struct place *const place = &f->places[f->base[i] + k];
            const struct el_hf_quant_matrix *const m = &f->matrices[f->base[i] + k];
            if (!m->t[EL_HFQ_QWEIGHT] && !m->t[EL_HFQ_QZEROS] && !m->t[EL_HFQ_SCALES] && !m->t[EL_HFQ_G_IDX])
                continue;
            el_buf_reset(&f->name);
            el_hf_add_name(&f->name, r->hf, (uint32_t)(k / n_slices), (uint32_t)(k % n_slices));
            if (place->tensor || n_dims != 2)
                el_problems_add(&f->problems, EL_E_FORMAT, "tensor '%s' is there as itself and quantized", f->name.data);
            else
                el_hf_quant_check(&f->quant, m, f->name.data, dims[0], dims[1], &f->problems);
            place->tensor = m->t[EL_HFQ_QWEIGHT];
            place->file = m->file[EL_HFQ_QWEIGHT];
        }
    }
}

/* All that the architecture needs must be there; slices of a stack must be of one type. */
static void find_missing(struct folder *f)
{
    for (size_t i = 0; f->arch->tensors[i].gguf; i++) {
        const struct el_tensor_rule *const r = &f->arch->tensors[i];
        if (!r->hf || !el_arch_has(f->arch, &f->hp, r))
            continue;
        const bool optional = r->flags & EL_TF_OPTIONAL && !(r->role == EL_R_OUTPUT && !f->tied);
        const uint64_t n_slices = n_slices_of(f, r), n_layers = n_layers_of(f, r);
        for (uint64_t n = 0; n < n_layers * n_slices; n++) {
            const struct place *const p = &f->places[f->base[i] + n], *const first = p - n % n_slices;
            el_buf_reset(&f->name);
            if (!p->tensor && !(optional && !first->tensor)) {
                el_hf_add_name(&f->name, r->hf, (uint32_t)(n / n_slices), (uint32_t)(n % n_slices));
                el_problems_add(&f->problems, EL_E_FORMAT, "tensor '%s' is missing", f->name.data);
            } else if (p->tensor && first->tensor && p->tensor->enc.e != first->tensor->enc.e) {
                el_problems_add(&f->problems, EL_E_UNSUPPORTED, "tensor '%s' is %s, '%s' is %s", p->tensor->name,
                                p->tensor->enc.e->name, first->tensor->name, first->tensor->enc.e->name);
            }
        }
    }
}

/* Do the optional tensors agree with the flags of config.json that stand for them? */
static enum el_status check_flags(const struct folder *f, struct el_err *err)
{
    struct el_err why = {0};
    const uint64_t roles = el_arch_roles(f->arch, f->s->tensors, f->s->n_tensors);
    const enum el_status status = el_arch_check_flags(f->arch, el_json_root(f->config), roles, &why);
    return status == EL_OK ? EL_OK : el_fail(err, status, "'%s': config.json: %s", f->s->path, why.text);
}

/* The bytes of the tensor that was added last: one matrix per slice. */
static enum el_status add_slices(struct folder *f, const struct place *first, uint64_t n, struct el_err *err)
{
    const struct el_st_tensor **const slices = el_alloc_array((size_t)n, sizeof *slices);
    uint32_t *const files = el_alloc_array((size_t)n, sizeof *files);
    enum el_status status;
    if (slices && files) {
        for (uint64_t i = 0; i < n; i++) {
            slices[i] = first[i].tensor;
            files[i] = first[i].file;
        }
        status = el_st_add_slices(f->s, slices, files, n, err);
    } else {
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", f->s->path);
    }
    el_free(slices);
    el_free(files);
    return status;
}

/* The same for a matrix whose transpose the file has; that one may itself be a view whose columns lie in one piece. */
static enum el_status add_transposed(struct folder *f, const struct place *place, struct el_err *err)
{
    if (!place->tensor->strided)
        return el_hf_add_transposed(f->s, place->file, place->tensor->offset, err);
    struct el_st_tensor view = *place->tensor;
    const struct el_st_tensor *const slice = &view;
    for (uint32_t d = 0; d < 2; d++) {
        view.dims[d] = place->tensor->dims[1 - d];
        view.strides[d] = place->tensor->strides[1 - d];
    }
    return el_st_add_slices(f->s, &slice, &place->file, 1, err);
}

/* Adds the tensor whose place (or the place of whose first slice) this is. */
static enum el_status add_tensor(struct folder *f, const struct el_tensor_rule *r, uint32_t layer, const struct place *first,
                                 struct el_err *err)
{
    const uint64_t n_slices = n_slices_of(f, r);
    const struct el_st_tensor *const from = first->tensor;
    const struct el_hf_quant_matrix *const m = f->matrices ? &f->matrices[first - f->places] : NULL;
    const bool quantized = m && m->t[EL_HFQ_QWEIGHT];
    const bool shifted = r->flags & EL_TF_PLUS_ONE;
    struct el_tensor t = {.enc = shifted ? el_enc_f32() : from->enc};
    uint64_t dims[3];
    const uint32_t n_dims = canonical_dims(f, r, dims);
    if (r->flags & EL_TF_STACK)
        t.dims[t.n_dims++] = n_slices;
    for (uint32_t i = 0; i < n_dims; i++)
        t.dims[t.n_dims++] = dims[i];
    t.order = el_arch_hf_order(f->arch, r, &f->hp);
    t.order_elems = t.n_dims == 1 && r->flags & (EL_TF_ROPE_Q | EL_TF_ROPE_K | EL_TF_QKV_BY_HEAD);
    el_buf_reset(&f->name);
    el_hf_add_name(&f->name, r->gguf, layer, 0);
    t.name = f->name.failed ? NULL : el_strdup(f->name.data);
    t.file_name = el_strdup(from->name);
    if (!t.name || !t.file_name) {
        el_free((void *)(uintptr_t)t.name);
        el_free((void *)(uintptr_t)t.file_name);
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", f->s->path);
    }
    if (quantized)
        return el_hf_quant_add(f->s, &f->quant, &t, m, n_slices, err);
    EL_TRY(el_store_add(f->s, &t, err));
    if (r->flags & EL_TF_TRANSPOSED)
        return add_transposed(f, first, err);
    if (shifted && !from->strided)
        return el_hf_add_shifted(f->s, first->file, &from->enc, from->offset, err);
    if (shifted)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': tensor '%s': is a view with gaps", f->s->path, from->name);
    return add_slices(f, first, n_slices, err);
}

/* Tensors in the order of the files; a stack stands where its first slice does. */
static enum el_status add_tensors(struct folder *f, struct el_err *err)
{
    for (size_t i = 0; i < f->n_files; i++) {
        for (size_t k = 0; k < f->headers[i].n_tensors; k++) {
            const struct el_st_tensor *const t = &f->headers[i].tensors[k];
            uint32_t numbers[2];
            struct place *place = NULL;
            enum el_hf_quant_part part;
            const struct el_tensor_rule *const r = find_rule(f, t->name, numbers, &place, &part);
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

/* The tensors that the metadata imply and no file of the folder holds. */
static enum el_status add_implied(struct folder *f, struct el_err *err)
{
    const uint64_t n = f->hp.n_rot / 2;
    uint64_t n_values = 0;
    for (size_t i = 0; el_arch_implied(f->arch, &f->hp, i); i++)
        n_values += n;
    if (n_values == 0)
        return EL_OK;
    float *values = el_alloc_array(n_values, sizeof *values);
    f->store->memory = (uint8_t *)values;
    f->store->memory_name = "config.json";
    if (!values)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", f->s->path);
    const struct el_tensor_rule *r;
    for (size_t i = 0; (r = el_arch_implied(f->arch, &f->hp, i)) != NULL; i++, values += n) {
        struct el_err why = {0};
        const enum el_status status = el_arch_implied_values(f->arch, f->s->meta, &f->hp, r, values, &why);
        if (status != EL_OK)
            return el_fail(err, status, "'%s': config.json: %s", f->s->path, why.text);
        char *const name = el_strdup(r->gguf);
        if (!name)
            return el_fail(err, EL_E_MEMORY, "'%s': out of memory", f->s->path);
        struct el_tensor t = {.name = name, .file_name = name, .enc = el_enc_f32(), .n_dims = 1, .dims = {n}};
        EL_TRY(el_store_add(f->s, &t, err));
        EL_TRY(el_store_add_piece(f->s, EL_STORE_MEMORY, i * n * sizeof *values, n * sizeof *values, err));
    }
    return EL_OK;
}

/* ---- tokenizer ---- */

static enum el_status read_tokenizer(struct folder *f, const char *other, struct el_err *err)
{
    char *texts[4] = {NULL};
    size_t nbytes[4] = {0};
    const bool is_file = other && !el_tokenizer_is_folder(other); /* a folder has its own configuration files */
    enum el_status status;
    if (is_file)
        EL_TRY_OUT(read_path(other, EL_MAX_JSON, &texts[0], &nbytes[0], err));
    else if (!other)
        EL_TRY_OUT(read_member(f, "tokenizer.json", EL_MAX_JSON, &texts[0], &nbytes[0], err));
    EL_TRY_OUT(read_member(f, "tokenizer_config.json", EL_MAX_CONFIG, &texts[1], &nbytes[1], err));
    EL_TRY_OUT(read_member(f, "generation_config.json", EL_MAX_CONFIG, &texts[2], &nbytes[2], err));
    EL_TRY_OUT(read_member(f, "chat_template.jinja", EL_MAX_TEMPLATE, &texts[3], &nbytes[3], err));
    if (texts[0] && el_tokenizer_file_is_hf(other ? other : "tokenizer.json", texts[0], nbytes[0])) {
        status =
            el_tokenizer_import_hf(f->s->meta, texts[0], nbytes[0], texts[1], nbytes[1], texts[2], nbytes[2], f->hp.n_vocab, err);
        if (status != EL_OK)
            status = el_fail_prefix(err, status, "'%s'", other ? other : f->s->path);
    } else if (other) {
        status = el_tokenizer_file_import(f->s->meta, other, f->hp.n_vocab, err);
    } else {
        bool found;
        status = el_tokenizer_folder_import(f->s->meta, f->s->path, f->hp.n_vocab, &found, err);
        if (status == EL_OK && !found) {
            el_warn("'%s': no tokenizer in the folder: text cannot be tokenized", f->s->path);
            goto out;
        }
    }
    if (status != EL_OK)
        goto out;
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
    if (f.is_torch)
        EL_TRY_OUT(el_hf_unwrap(f.arch, f.headers, f.n_files, s->path, err));
    EL_TRY_OUT(make_places(&f, err));
    find_places(&f);
    keep_untied_output(&f);
    place_matrices(&f);
    find_missing(&f);
    EL_TRY_OUT(el_problems_finish(&f.problems, s->path, err));
    EL_TRY_OUT(add_tensors(&f, err));
    EL_TRY_OUT(check_flags(&f, err));
    EL_TRY_OUT(add_implied(&f, err));
    status = read_tokenizer(&f, opts->tokenizer, err);
out:
    el_buf_release(&f.problems.text);
    el_buf_release(&f.name);
    for (size_t i = 0; i < f.n_files; i++)
        el_st_header_release(&f.headers[i]);
    el_json_free(f.config);
    el_free(f.headers);
    el_free(f.places);
    el_free(f.matrices);
    el_free(f.base);
    return status;
}
