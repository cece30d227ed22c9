/*
 * Writes a Hugging Face folder. Experts become one matrix each; q and k go out in Hugging Face's row order, which is the
 * canonical one.
 *
 * Order within a file: that in which the tensors were declared (so a folder that came through GGUF gets its own order back),
 * except that a declared order which is the one of the safetensors library (number type, then name) is kept up by the slices of
 * stacks too.
 *
 * The folder appears whole (base/outdir.h); where an old one must be replaced file by file, config.json goes first and comes
 * last, so that a folder in between is no model.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/outdir.h"
#include "base/strmap.h"
#include "formats/hf.h"
#include "formats/safetensors.h"
#include "text/tokenizer.h"

/* One matrix of a file: a tensor, or a slice of a stack. */
struct piece {
    size_t tensor;
    uint32_t slice;
    bool in_stack, transposed, shifted;
    char *name;
    uint64_t nbytes;
    uint32_t shard;
    uint64_t offset; /* in the shard's file */
};

struct member {
    char *name;
    struct el_outfile *f;
};

struct hf_sink {
    struct el_meta *meta;
    struct piece *pieces;
    size_t n_pieces;
    size_t *first; /* [n_tensors]: the piece of slice 0 before sorting; SIZE_MAX: the tensor has no place in a folder */
    size_t *place; /* [n_pieces]: where a piece went in sorting */
    size_t n_shards;
    uint64_t nbytes;        /* of all tensors */
    struct member *members; /* shards first, then the index, the small files, config.json */
    size_t n_members;
    const char **names; /* [n_members], of the members */
    struct el_outdir *dir;
};

static enum el_status no_memory(const struct el_sink *s, struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "'%s': out of memory", s->path);
}

/* ---- pieces ---- */

static enum el_status add_pieces(struct el_sink *s, size_t i, const struct el_tensor_rule *r, uint32_t layer, struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    struct el_tensor *const t = &s->tensors[i];
    const uint64_t n = r->flags & EL_TF_STACK ? t->dims[0] : 1;
    if (n == 0 || w->n_pieces + n > EL_MAX_TENSORS)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': tensor '%s': %llu experts", s->path, t->name, (unsigned long long)n);
    struct piece *const grown = el_realloc_array(w->pieces, w->n_pieces + n, sizeof *grown);
    if (!grown)
        return no_memory(s, err);
    w->pieces = grown;
    w->first[i] = w->n_pieces;
    for (uint64_t e = 0; e < n; e++) {
        struct el_buf name;
        el_buf_init(&name);
        el_hf_add_name(&name, r->hf, layer, (uint32_t)e);
        size_t n_name;
        char *const text = el_buf_detach(&name, &n_name);
        if (!text)
            return no_memory(s, err);
        w->pieces[w->n_pieces++] = (struct piece){.tensor = i,
                                                  .slice = (uint32_t)e,
                                                  .in_stack = r->flags & EL_TF_STACK,
                                                  .transposed = r->flags & EL_TF_TRANSPOSED,
                                                  .shifted = r->flags & EL_TF_PLUS_ONE,
                                                  .name = text,
                                                  .nbytes = el_tensor_nbytes(t) / n};
    }
    return EL_OK;
}

/* GGUF drops outermost dimensions of 1; folders have them. */
static void add_ones(struct el_tensor *t, const struct el_tensor_rule *r)
{
    uint32_t n = 0;
    while (n < 3 && r->dims[n] != EL_D_NONE)
        n++;
    while (t->n_dims < n && r->dims[n - t->n_dims - 1] == EL_D_ONE) {
        memmove(t->dims + 1, t->dims, t->n_dims * sizeof t->dims[0]);
        t->dims[0] = 1;
        t->n_dims++;
    }
}

/* Checks the tensors against the architecture, and makes their pieces. */
static enum el_status plan_tensors(struct el_sink *s, const struct el_arch *arch, const struct el_hparams *hp,
                                   struct el_tensor *tensors, size_t n, struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    s->tensors = el_calloc_array(n, sizeof *s->tensors);
    w->first = el_calloc_array(n, sizeof *w->first);
    if (!s->tensors || !w->first)
        return no_memory(s, err);
    for (size_t i = 0; i < n; i++) {
        uint32_t layer = 0;
        struct el_tensor *const t = &tensors[i];
        const struct el_tensor_rule *const r = el_arch_rule(arch, t->name, &layer);
        if (!r || !el_arch_has(arch, hp, r))
            return el_fail(err, EL_E_UNSUPPORTED, "'%s': tensor '%s' is not one of a %s model", s->path, t->name, arch->name);
        if (el_arch_is_rope_factors(r->role) && !el_arch_implied(arch, hp, 0))
            return el_fail(err, EL_E_UNSUPPORTED, "'%s': tensor '%s' is a RoPE scaling that config.json has no words for",
                           s->path, t->name);
        if (r->hf && !(t->enc.e->flags & EL_ENC_FLOAT))
            return el_fail_why(err, EL_E_UNSUPPORTED, EL_REASON_NOT_STORED,
                               "'%s': tensor '%s': %s cannot be stored in safetensors, only F32, F16, BF16", s->path, t->name,
                               t->enc_name);
        t->order = el_arch_hf_order(arch, r, hp);
        t->order_elems = t->n_dims == 1 && r->flags & (EL_TF_ROPE_Q | EL_TF_ROPE_K | EL_TF_QKV_BY_HEAD);
        s->tensors[i] = *t;
        s->tensors[i].name = s->tensors[i].file_name = el_strdup(t->name);
        if (!s->tensors[i].name)
            return no_memory(s, err);
        s->n_tensors++;
        add_ones(&s->tensors[i], r);
        w->first[i] = SIZE_MAX;
        if (r->hf)
            EL_TRY(add_pieces(s, i, r, layer, err));
    }
    return EL_OK;
}

static enum el_status check_names(const struct el_sink *s, struct el_err *err)
{
    const struct hf_sink *const w = s->priv;
    struct el_strmap names;
    el_strmap_init(&names);
    enum el_status status = EL_OK;
    for (size_t i = 0; i < w->n_pieces && status == EL_OK; i++) {
        bool existed;
        if (!el_strmap_add(&names, w->pieces[i].name, strlen(w->pieces[i].name), 0, &existed))
            status = no_memory(s, err);
        else if (existed)
            status = el_fail(err, EL_E_FORMAT, "'%s': two tensors named '%s'", s->path, w->pieces[i].name);
    }
    el_strmap_release(&names);
    return status;
}

/* The order of the safetensors library: larger types first, then names. */
static int compare(const struct el_sink *s, const struct piece *a, const struct piece *b)
{
    const unsigned x = el_st_dtype_rank(&s->tensors[a->tensor].enc), y = el_st_dtype_rank(&s->tensors[b->tensor].enc);
    if (x != y)
        return x > y ? -1 : 1;
    return strcmp(a->name, b->name);
}

struct sort_item {
    const struct el_sink *s;
    size_t piece;
};

static int by_library(const void *a, const void *b)
{
    const struct sort_item *const x = a, *const y = b;
    const struct hf_sink *const w = x->s->priv;
    return compare(x->s, &w->pieces[x->piece], &w->pieces[y->piece]);
}

/* Chooses the order of the pieces in the files and leaves it in `order`. */
static void order_pieces(const struct el_sink *s, struct sort_item *order)
{
    const struct hf_sink *const w = s->priv;
    const struct piece *before = NULL;
    bool sorted = true;
    for (size_t i = 0; i < w->n_pieces; i++) {
        order[i] = (struct sort_item){s, i};
        if (w->pieces[i].slice != 0)
            continue;
        sorted = sorted && (!before || compare(s, before, &w->pieces[i]) < 0);
        before = &w->pieces[i];
    }
    if (sorted && w->n_pieces)
        qsort(order, w->n_pieces, sizeof *order, by_library);
}

/* Bytes that a piece takes in the header of its file, at most: its place is not known yet, but it is below the limit. */
static uint64_t header_line_nbytes(const struct el_sink *s, const struct piece *p)
{
    const struct el_tensor *const t = &s->tensors[p->tensor];
    const uint32_t skip = p->in_stack ? 1 : 0;
    const uint64_t most = s->opts.split_max_nbytes > p->nbytes ? s->opts.split_max_nbytes : p->nbytes;
    struct el_buf json;
    el_buf_init(&json);
    el_st_add_tensor(&json, p->name, el_st_dtype_of_enc(&t->enc), t->n_dims - skip, t->dims + skip, most, most);
    const uint64_t nbytes = json.nbytes;
    el_buf_release(&json);
    return nbytes;
}

/* Fills shards up to the limits, as transformers does: a tensor that does not fit opens the next one. */
static enum el_status place_pieces(struct el_sink *s, struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    struct sort_item *const order = el_alloc_array(w->n_pieces, sizeof *order);
    w->place = el_alloc_array(w->n_pieces, sizeof *w->place);
    if (!order || !w->place) {
        el_free(order);
        return no_memory(s, err);
    }
    enum el_status status;
    EL_TRY_OUT(check_names(s, err));
    order_pieces(s, order);
    uint64_t in_shard = 0, n_in_shard = 0, header = el_st_header_nbytes();
    w->n_shards = 1;
    for (size_t i = 0; i < w->n_pieces; i++) {
        struct piece *const p = &w->pieces[order[i].piece];
        const uint64_t line = header_line_nbytes(s, p);
        uint64_t sum = 0;
        const bool full = (s->opts.split_max_nbytes &&
                           (!el_add_u64(in_shard + header + line, p->nbytes, &sum) || sum > s->opts.split_max_nbytes)) ||
                          (s->opts.split_max_tensors && n_in_shard == s->opts.split_max_tensors) ||
                          n_in_shard == EL_MAX_SAFETENSORS_TENSORS;
        if (full && n_in_shard > 0) {
            w->n_shards++;
            in_shard = n_in_shard = 0;
            header = el_st_header_nbytes();
        }
        header += line;
        p->shard = (uint32_t)w->n_shards - 1;
        p->offset = in_shard;
        in_shard += p->nbytes;
        n_in_shard++;
        if (!el_add_u64(w->nbytes, p->nbytes, &w->nbytes) || w->n_shards > EL_MAX_SPLITS) {
            status = el_fail(err, EL_E_UNSUPPORTED, "'%s': more than %d files or 2^64 bytes", s->path, EL_MAX_SPLITS);
            goto out;
        }
        w->place[i] = order[i].piece;
    }
out:
    el_free(order);
    return status;
}

/* ---- files ---- */

static enum el_status add_member(struct el_sink *s, const char *name, struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    struct member *const grown = el_realloc_array(w->members, w->n_members + 1, sizeof *grown);
    if (!grown)
        return no_memory(s, err);
    w->members = grown;
    w->members[w->n_members] = (struct member){.name = el_strdup(name)};
    if (!w->members[w->n_members].name)
        return no_memory(s, err);
    w->n_members++;
    return EL_OK;
}

static enum el_status name_shards(struct el_sink *s, struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    for (size_t i = 0; i < w->n_shards; i++) {
        struct el_buf name;
        el_buf_init(&name);
        if (w->n_shards == 1)
            el_buf_add_str(&name, "model.safetensors");
        else
            el_buf_addf(&name, "model-%05zu-of-%05zu.safetensors", i + 1, w->n_shards);
        const enum el_status status = name.failed ? no_memory(s, err) : add_member(s, name.data, err);
        el_buf_release(&name);
        EL_TRY(status);
    }
    return EL_OK;
}

/* Is the source a folder of this format, whose small files can be copied as they are? Not when its tokenizer is another now. */
static bool from_folder(const struct el_sink *s)
{
    return s->source && strcmp(el_source_format(s->source), "hf") == 0 && !s->source->tokenizer_changed;
}

static const char *const copied[] = {"generation_config.json",  "tokenizer.json",    "tokenizer_config.json",
                                     "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
                                     "tokenizer.model",         "vocab.json",        "merges.txt"};

static enum el_status source_path(const struct el_sink *s, const char *name, struct el_buf *path, struct el_err *err)
{
    el_buf_reset(path);
    el_buf_addf(path, "%s/%s", el_source_path(s->source), name);
    return path->failed ? no_memory(s, err) : EL_OK;
}

/* Names all files; config.json is the last. */
static enum el_status name_members(struct el_sink *s, struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    EL_TRY(name_shards(s, err));
    if (w->n_shards > 1)
        EL_TRY(add_member(s, "model.safetensors.index.json", err));
    if (from_folder(s)) {
        struct el_buf path;
        el_buf_init(&path);
        enum el_status status = EL_OK;
        for (size_t i = 0; i < sizeof copied / sizeof copied[0] && status == EL_OK; i++) {
            status = source_path(s, copied[i], &path, err);
            if (status == EL_OK && access(path.data, F_OK) == 0)
                status = add_member(s, copied[i], err);
        }
        el_buf_release(&path);
        EL_TRY(status);
    } else {
        EL_TRY(add_member(s, "generation_config.json", err));
        if (el_meta_find(w->meta, "tokenizer.ggml.tokens") != SIZE_MAX ||
            el_meta_find(w->meta, "tokenizer.huggingface.json") != SIZE_MAX) {
            EL_TRY(add_member(s, "tokenizer.json", err));
            EL_TRY(add_member(s, "tokenizer_config.json", err));
        }
    }
    return add_member(s, "config.json", err);
}

/* "model-00001-of-00002.safetensors", with any numbers. */
static bool is_shard_name(const char *name)
{
    static const char *const between[] = {"model-", "-of-", ".safetensors"};
    for (size_t i = 0; i < 3; i++) {
        const size_t n = strlen(between[i]), n_digits = strspn(name, "0123456789");
        if ((i > 0 && n_digits == 0) || (i == 0 && n_digits > 0))
            return false;
        name += n_digits;
        if (strncmp(name, between[i], n) != 0)
            return false;
        name += n;
    }
    return *name == '\0';
}

/* Would a reader take a file of this name for a part of the model? Such files of an old model must not stay beside ours. */
static bool is_model_name(const char *name)
{
    static const char *const others[] = {"config.json", "model.safetensors.index.json", "model.safetensors",
                                         "quantize_config.json"}; /* it would be read as that of the new weights */
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(others[i], name) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof copied / sizeof copied[0]; i++) {
        if (strcmp(copied[i], name) == 0)
            return true;
    }
    return is_shard_name(name);
}

/* Makes the folder in which the files come to be. */
static enum el_status make_folder(struct el_sink *s, struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    w->names = el_alloc_array(w->n_members, sizeof *w->names);
    if (!w->names)
        return no_memory(s, err);
    for (size_t i = 0; i < w->n_members; i++)
        w->names[i] = w->members[i].name;
    const struct el_outdir_opts opts = {s->opts.overwrite, w->names, w->n_members, is_model_name};
    return el_outdir_open(s->path, &opts, &w->dir, err);
}

static enum el_status open_member(struct el_sink *s, struct member *m, struct el_err *err)
{
    size_t n = strlen(s->path);
    while (n > 1 && s->path[n - 1] == '/')
        n--;
    struct el_buf path, shown;
    el_buf_init(&path);
    el_buf_init(&shown);
    el_buf_addf(&path, "%s/%s", el_outdir_place(((const struct hf_sink *)s->priv)->dir), m->name);
    el_buf_addf(&shown, "%.*s/%s", (int)n, s->path, m->name);
    const enum el_status status =
        path.failed || shown.failed ? no_memory(s, err) : el_outfile_open_as(path.data, shown.data, false, &m->f, err);
    el_buf_release(&path);
    el_buf_release(&shown);
    return status;
}

/* Opens a shard, writes its header and reserves its size. */
static enum el_status begin_shard(struct el_sink *s, uint32_t shard, size_t *at, struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    struct member *const m = &w->members[shard];
    EL_TRY(open_member(s, m, err));
    struct el_buf json;
    el_buf_init(&json);
    el_st_begin_header(&json);
    const size_t from = *at;
    uint64_t end = 0, data_offset;
    for (; *at < w->n_pieces && w->pieces[w->place[*at]].shard == shard; ++*at) {
        const struct piece *const p = &w->pieces[w->place[*at]];
        const struct el_tensor *const t = &s->tensors[p->tensor];
        const uint32_t skip = p->in_stack ? 1 : 0;
        const uint64_t transposed[2] = {t->n_in, t->n_rows};
        end = p->offset + p->nbytes;
        el_st_add_tensor(&json, p->name, el_st_dtype_of_enc(&t->enc), t->n_dims - skip,
                         p->transposed ? transposed : t->dims + skip, p->offset, end);
    }
    enum el_status status = el_st_write_header(&json, m->f, &data_offset, err);
    el_buf_release(&json);
    for (size_t i = from; i < *at; i++)
        w->pieces[w->place[i]].offset += data_offset;
    return status == EL_OK ? el_outfile_reserve(m->f, data_offset + end, err) : status;
}

/* A file of the old model that will be replaced must not be one that the source reads, and not a folder. */
static enum el_status check_old_file(const struct el_sink *s, const char *path, struct el_err *err)
{
    struct stat st;
    struct el_source *source;
    memcpy(&source, &s->source, sizeof source); /* the operation takes a mutable source for its other uses */
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return el_fail(err, EL_E_IO, "'%s': output is a folder, not a file", path);
    if (source && source->ops->is_file && stat(path, &st) == 0 &&
        source->ops->is_file(source, (uint64_t)st.st_dev, (uint64_t)st.st_ino))
        return el_fail(err, EL_E_USAGE, "'%s': input and output are the same file", path);
    return EL_OK;
}

/* Checks the files of the output folder that are parts of a model. */
static enum el_status check_old(const struct el_sink *s, struct el_err *err)
{
    DIR *const dir = opendir(s->path);
    if (!dir)
        return errno == ENOENT ? EL_OK : el_fail(err, EL_E_IO, "'%s': cannot list the output: %s", s->path, el_errno_text(errno));
    struct el_buf path;
    el_buf_init(&path);
    enum el_status status = EL_OK;
    for (struct dirent *e; status == EL_OK && (e = readdir(dir));) {
        if (!is_model_name(e->d_name))
            continue;
        el_buf_reset(&path);
        el_buf_addf(&path, "%s/%s", s->path, e->d_name);
        status = path.failed ? no_memory(s, err) : check_old_file(s, path.data, err);
    }
    el_buf_release(&path);
    closedir(dir);
    return status;
}

static enum el_status refuse_same_folder(const struct el_sink *s, struct el_err *err)
{
    struct stat in, out;
    if (s->source && stat(el_source_path(s->source), &in) == 0 && stat(s->path, &out) == 0 && in.st_dev == out.st_dev &&
        in.st_ino == out.st_ino)
        return el_fail(err, EL_E_USAGE, "'%s': input and output are the same folder", s->path);
    return EL_OK;
}

/*
 * Files of llama.cpp have RoPE scaling by pairs only as factors in a tensor. config.json wants them, or the parameters of
 * llama3's scaling, which are found again from the factors: both are added to our copy of the metadata.
 */
static enum el_status adopt_rope_factors(struct el_sink *s, const struct el_arch *arch, enum el_role role,
                                         const struct el_hparams *hp, struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    const struct el_tensor_rule *const rule = el_arch_rule_of_role(arch, role);
    const size_t i = s->source && rule ? el_source_find(s->source, rule->gguf) : SIZE_MAX;
    if (i == SIZE_MAX || el_arch_implied(arch, hp, 0))
        return EL_OK;
    struct el_source *source;
    memcpy(&source, &s->source, sizeof source); /* reading wants a mutable source and changes nothing that is seen */
    const uint64_t n = source->tensors[i].n_in;
    if (source->tensors[i].n_rows != 1 || n != hp->n_rot / 2)
        return EL_OK; /* misshapen: planning the tensors says so */
    float *const factors = el_alloc_array(n, sizeof *factors);
    if (!factors)
        return no_memory(s, err);
    enum el_status status = el_source_read_rows(source, i, 0, 1, factors, err);
    if (status == EL_OK)
        status = el_arch_adopt_rope_freqs(arch, role, w->meta, factors, n, err);
    el_free(factors);
    return status;
}

static enum el_status begin(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                            struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    struct el_err why = {0};
    struct el_hparams hp = {0};
    EL_TRY(refuse_same_folder(s, err));
    EL_TRY(check_old(s, err));
    const struct el_arch *const arch = el_arch_of_meta(meta, &why);
    const enum el_status status = arch ? el_arch_hparams(arch, meta, &hp, &why) : why.code;
    if (status != EL_OK)
        return el_fail(err, status, "'%s': metadata: %s", s->path, why.text);
    w->meta = el_meta_copy(meta);
    if (!w->meta)
        return no_memory(s, err);
    for (size_t i = 0; el_arch_rope_role(i) != EL_R_COUNT; i++)
        EL_TRY(adopt_rope_factors(s, arch, el_arch_rope_role(i), &hp, err));
    EL_TRY(el_arch_hparams(arch, w->meta, &hp, err));
    EL_TRY(plan_tensors(s, arch, &hp, tensors, n, err));
    EL_TRY(place_pieces(s, err));
    EL_TRY(name_members(s, err));
    EL_TRY(make_folder(s, err));
    size_t at = 0;
    for (uint32_t i = 0; i < w->n_shards; i++)
        EL_TRY(begin_shard(s, i, &at, err));
    return EL_OK;
}

static enum el_status write_part(struct el_sink *s, size_t t, uint32_t part, uint64_t offset, const void *data, uint64_t nbytes,
                                 struct el_err *err)
{
    (void)part;
    const struct hf_sink *const w = s->priv;
    const uint8_t *p = data;
    if (w->first[t] == SIZE_MAX)
        return EL_OK; /* implied by config.json */
    const struct piece *const whole = &w->pieces[w->first[t]];
    if (whole->transposed)
        return el_hf_write_transposed(w->members[whole->shard].f, &s->tensors[t], whole->offset, offset, data, nbytes, err);
    if (whole->shifted)
        return el_hf_write_shifted(w->members[whole->shard].f, &s->tensors[t], whole->offset, offset, data, nbytes, err);
    while (nbytes > 0) {
        const uint64_t each = w->pieces[w->first[t]].nbytes, in = offset % each;
        const struct piece *const piece = &w->pieces[w->first[t] + offset / each];
        const uint64_t n = each - in < nbytes ? each - in : nbytes;
        EL_TRY(el_outfile_write(w->members[piece->shard].f, piece->offset + in, p, n, err));
        p += n;
        offset += n;
        nbytes -= n;
    }
    return EL_OK;
}

/* ---- the small files ---- */

static int by_name(const void *a, const void *b)
{
    const struct sort_item *const x = a, *const y = b;
    const struct hf_sink *const w = x->s->priv;
    return strcmp(w->pieces[x->piece].name, w->pieces[y->piece].name);
}

/* Sorted by name, as transformers writes it. */
static enum el_status index_text(struct el_sink *s, struct el_buf *b, struct el_err *err)
{
    const struct hf_sink *const w = s->priv;
    struct sort_item *const order = el_alloc_array(w->n_pieces, sizeof *order);
    if (!order)
        return no_memory(s, err);
    for (size_t i = 0; i < w->n_pieces; i++)
        order[i] = (struct sort_item){s, i};
    qsort(order, w->n_pieces, sizeof *order, by_name);
    el_buf_addf(b, "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": {", (unsigned long long)w->nbytes);
    for (size_t i = 0; i < w->n_pieces; i++) {
        const struct piece *const p = &w->pieces[order[i].piece];
        el_buf_add_str(b, i ? ",\n    " : "\n    ");
        el_buf_add_json_str(b, p->name, strlen(p->name));
        el_buf_addf(b, ": \"%s\"", w->members[p->shard].name);
    }
    el_buf_add_str(b, "\n  }\n}\n");
    el_free(order);
    return EL_OK;
}

/* torch's name of the type that most bytes of the matrices have. */
static const char *torch_dtype(const struct el_sink *s)
{
    uint64_t nbytes[3] = {0};
    static const char *const names[3] = {"F32", "F16", "BF16"}, *const torch[3] = {"float32", "float16", "bfloat16"};
    for (size_t i = 0; i < s->n_tensors; i++) {
        for (size_t k = 0; k < 3 && s->tensors[i].n_dims > 1; k++) {
            if (strcmp(s->tensors[i].enc.e->name, names[k]) == 0)
                nbytes[k] += el_tensor_nbytes(&s->tensors[i]);
        }
    }
    const size_t most = nbytes[1] > nbytes[0] ? 1 : 0;
    return torch[nbytes[2] > nbytes[most] ? 2 : most];
}

static enum el_status config_text(struct el_sink *s, struct el_buf *b, struct el_err *err)
{
    const struct hf_sink *const w = s->priv;
    const struct el_arch *const arch = el_arch_of_meta(w->meta, err);
    if (!arch)
        return EL_E_UNSUPPORTED;
    return el_arch_write_config(arch, w->meta, el_arch_roles(arch, s->tensors, s->n_tensors), torch_dtype(s), b, err);
}

static enum el_status generation_text(struct el_sink *s, struct el_buf *b, struct el_err *err)
{
    static const char *const keys[][2] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"},
                                          {"tokenizer.ggml.eos_token_id", "eos_token_id"},
                                          {"tokenizer.ggml.padding_token_id", "pad_token_id"}};
    const struct hf_sink *const w = s->priv;
    el_buf_add_str(b, "{\n  \"_from_model_config\": true");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        uint32_t id;
        EL_TRY(el_meta_get_u32_or(w->meta, keys[i][0], 0, UINT32_MAX, UINT32_MAX, &id, err));
        if (id <= INT32_MAX) /* some files say 4294967295 for "none" */
            el_buf_addf(b, ",\n  \"%s\": %u", keys[i][1], (unsigned)id);
    }
    el_buf_add_str(b, "\n}\n");
    return EL_OK;
}

static enum el_status copy_text(struct el_sink *s, const char *name, struct el_buf *b, struct el_err *err)
{
    struct el_buf path;
    el_buf_init(&path);
    char *data = NULL;
    size_t nbytes = 0;
    enum el_status status = source_path(s, name, &path, err);
    if (status == EL_OK)
        status = el_read_file(path.data, EL_MAX_JSON, &data, &nbytes, err);
    if (status == EL_OK)
        el_buf_add(b, data, nbytes);
    el_free(data);
    el_buf_release(&path);
    return status;
}

static enum el_status tokenizer_text(struct el_sink *s, bool config, struct el_buf *b, struct el_err *err)
{
    const struct hf_sink *const w = s->priv;
    struct el_buf other;
    el_buf_init(&other);
    const enum el_status status = el_tokenizer_export_hf(w->meta, config ? &other : b, config ? b : &other, err);
    el_buf_release(&other);
    return status;
}

static enum el_status member_text(struct el_sink *s, const char *name, struct el_buf *b, struct el_err *err)
{
    if (strcmp(name, "model.safetensors.index.json") == 0)
        return index_text(s, b, err);
    if (strcmp(name, "config.json") == 0)
        return config_text(s, b, err);
    if (from_folder(s))
        return copy_text(s, name, b, err);
    if (strcmp(name, "generation_config.json") == 0)
        return generation_text(s, b, err);
    return tokenizer_text(s, strcmp(name, "tokenizer_config.json") == 0, b, err);
}

/* Writes a small file, without giving it its name. */
static enum el_status fill_member(struct el_sink *s, struct member *m, struct el_err *err)
{
    struct el_buf b;
    el_buf_init(&b);
    enum el_status status = member_text(s, m->name, &b, err);
    if (status == EL_OK && b.failed)
        status = no_memory(s, err);
    if (status == EL_OK)
        status = open_member(s, m, err);
    if (status == EL_OK)
        status = el_outfile_write(m->f, 0, b.data, b.nbytes, err);
    el_buf_release(&b);
    return status;
}

static enum el_status commit(struct el_sink *s, struct el_err *err)
{
    struct hf_sink *const w = s->priv;
    for (size_t i = w->n_shards; i < w->n_members; i++)
        EL_TRY(fill_member(s, &w->members[i], err));
    for (size_t i = 0; i < w->n_members; i++)
        EL_TRY(el_outfile_commit(w->members[i].f, err));
    return el_outdir_commit(w->dir, err);
}

static void close_sink(struct el_sink *s)
{
    struct hf_sink *const w = s->priv;
    if (!w)
        return;
    for (size_t i = 0; i < w->n_members; i++)
        el_outfile_close(w->members[i].f);
    el_outdir_close(w->dir);
    el_free(w->names);
    for (size_t i = 0; i < w->n_members; i++)
        el_free(w->members[i].name);
    for (size_t i = 0; i < w->n_pieces; i++)
        el_free(w->pieces[i].name);
    el_meta_free(w->meta);
    el_free(w->members);
    el_free(w->pieces);
    el_free(w->first);
    el_free(w->place);
    el_free(w);
    s->priv = NULL;
}

static const char *file_of_sink(const struct el_sink *s, size_t i)
{
    const struct hf_sink *const w = s->priv;
    return i < w->n_shards && i < w->n_members ? w->members[i].name : NULL;
}

static const struct el_sink_ops sink_ops = {
    .begin = begin, .write = write_part, .commit = commit, .close = close_sink, .file = file_of_sink};

/* A place that exists must be a folder, and empty unless overwriting was asked for. */
static enum el_status check_place(const struct el_sink *s, struct el_err *err)
{
    struct stat st;
    if (stat(s->path, &st) != 0) {
        if (errno == ENOENT)
            return EL_OK;
        return el_fail(err, EL_E_IO, "'%s': cannot look at the output: %s", s->path, el_errno_text(errno));
    }
    if (!S_ISDIR(st.st_mode))
        return el_fail(err, EL_E_IO, "'%s': output is a %s, not a folder", s->path, el_file_kind(st.st_mode));
    DIR *const dir = opendir(s->path);
    if (!dir)
        return el_fail(err, EL_E_IO, "'%s': cannot list the output: %s", s->path, el_errno_text(errno));
    bool empty = true;
    for (struct dirent *e; empty && (e = readdir(dir));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(dir);
    if (!empty && !s->opts.overwrite)
        return el_fail_why(err, EL_E_IO, EL_REASON_EXISTS, "'%s': output folder is not empty and overwriting was not asked for",
                           s->path);
    return EL_OK;
}

enum el_status el_hf_create(struct el_sink *s, struct el_err *err)
{
    EL_TRY(check_place(s, err));
    struct hf_sink *const w = el_calloc_array(1, sizeof *w);
    if (!w)
        return no_memory(s, err);
    s->priv = w;
    s->ops = &sink_ops;
    return EL_OK;
}
