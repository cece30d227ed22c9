/* The table of formats; opening a file of unknown kind, and saying what a wrong one is. */
#include "formats/format.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

#define FORMAT(id) extern const struct el_format el_format_##id;
#include "formats/formats.def"
#undef FORMAT

static const struct el_format *const formats[] = {
#define FORMAT(id) &el_format_##id,
#include "formats/formats.def"
#undef FORMAT
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

const struct el_format *el_format_at(size_t i)
{
    return i < N_FORMATS ? formats[i] : NULL;
}

const char *el_format_name_at(size_t i, const char **about)
{
    const struct el_format *const f = el_format_at(i);
    if (about)
        *about = f ? f->about : NULL;
    return f ? f->name : NULL;
}

const struct el_format *el_format_by_name(const char *name)
{
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (strcmp(formats[i]->name, name) == 0)
            return formats[i];
    }
    return NULL;
}

/* Appends the names of the formats that can be read, or written. */
static void list_formats(struct el_buf *b, bool to_write)
{
    const char *comma = "";
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (to_write ? formats[i]->create != NULL : formats[i]->open != NULL) {
            el_buf_addf(b, "%s%s", comma, formats[i]->name);
            comma = ", ";
        }
    }
}

static enum el_status unknown_format(const char *path, const char *name, bool to_write, struct el_err *err)
{
    struct el_buf list;
    el_buf_init(&list);
    list_formats(&list, to_write);
    const enum el_status status =
        el_fail(err, EL_E_USAGE, "'%s': format '%s' cannot be %s, only %s", path, name, to_write ? "written" : "read", list.data);
    el_buf_release(&list);
    return status;
}

/* ---- what a wrong file is ---- */

struct known_wrong {
    const char *magic;
    size_t n_magic;
    enum el_status code;
    const char *says;
};

#define WRONG(magic, code, says)                                                                                                 \
    {                                                                                                                            \
        magic, sizeof(magic) - 1, code, says                                                                                     \
    }
static const struct known_wrong known_wrong[] = {
    WRONG("version https://git-lfs", EL_E_FORMAT, "is a git-lfs pointer, not the file itself; fetch it with 'git lfs pull'"),
    WRONG("<!DOCTYPE", EL_E_FORMAT, "is an HTML page, not a model: the download went wrong"),
    WRONG("<!doctype", EL_E_FORMAT, "is an HTML page, not a model: the download went wrong"),
    WRONG("<html", EL_E_FORMAT, "is an HTML page, not a model: the download went wrong"),
    WRONG("<?xml", EL_E_FORMAT, "is XML, not a model: the download went wrong"),
    WRONG("lmgg", EL_E_UNSUPPORTED, "is an old ggml file, older than GGUF"),
    WRONG("tjgg", EL_E_UNSUPPORTED, "is an old ggjt file, older than GGUF"),
    WRONG("fmgg", EL_E_UNSUPPORTED, "is an old ggmf file, older than GGUF"),
    WRONG("algg", EL_E_UNSUPPORTED, "is a LoRA adapter of an old ggml version"),
    WRONG("\x93NUMPY", EL_E_UNSUPPORTED, "is a NumPy array, not a model"),
    WRONG("\x89HDF", EL_E_UNSUPPORTED, "is an HDF5 file"),
    WRONG("\x1f\x8b", EL_E_UNSUPPORTED, "is compressed with gzip, unpack it first"),
    WRONG("\x28\xb5\x2f\xfd", EL_E_UNSUPPORTED, "is compressed with zstd, unpack it first"),
    WRONG("\xfd"
          "7zXZ",
          EL_E_UNSUPPORTED, "is compressed with xz, unpack it first"),
    WRONG("BZh", EL_E_UNSUPPORTED, "is compressed with bzip2, unpack it first"),
    WRONG("\x7f"
          "ELF",
          EL_E_UNSUPPORTED, "is a program, not a model"),
};

static bool starts_with(const uint8_t *head, size_t n_head, const char *magic, size_t n_magic)
{
    return n_head >= n_magic && memcmp(head, magic, n_magic) == 0;
}

/* EL_OK when there is no reason to refuse the file at once. */
static enum el_status refuse_known(const char *path, const uint8_t *head, size_t n_head, struct el_err *err)
{
    if (n_head == 0)
        return el_fail(err, EL_E_FORMAT, "'%s': is empty", path);
    for (size_t i = 0; i < sizeof known_wrong / sizeof known_wrong[0]; i++) {
        const struct known_wrong *const k = &known_wrong[i];
        if (starts_with(head, n_head, k->magic, k->n_magic))
            return el_fail(err, k->code, "'%s': %s", path, k->says);
    }
    return EL_OK;
}

static enum el_status unrecognised(const char *path, bool is_folder, const uint8_t *head, size_t n_head, struct el_err *err)
{
    if (is_folder)
        return el_fail(err, EL_E_FORMAT, "'%s': is a folder without config.json, so no Hugging Face model", path);
    size_t i = 0;
    while (i < n_head && (head[i] == ' ' || head[i] == '\n' || head[i] == '\r' || head[i] == '\t'))
        i++;
    if (i < n_head && head[i] == '{')
        return el_fail(err, EL_E_FORMAT, "'%s': is JSON, but no tokenizer.json; name a Hugging Face model by its folder", path);
    struct el_buf list;
    el_buf_init(&list);
    list_formats(&list, false);
    const enum el_status status = el_fail(err, EL_E_FORMAT, "'%s': not recognised, known formats are %s", path, list.data);
    el_buf_release(&list);
    return status;
}

/* ---- sources ---- */

static enum el_status find_format(const char *path, const struct el_format **found, struct el_err *err)
{
    struct stat st;
    uint8_t head[64];
    size_t n_head = 0;
    if (stat(path, &st) != 0)
        return el_fail(err, EL_E_IO, "'%s': cannot open: %s", path, el_errno_text(errno));
    const bool is_folder = S_ISDIR(st.st_mode);
    if (!is_folder) {
        struct el_file f;
        EL_TRY(el_file_open(&f, path, err));
        n_head = f.nbytes < sizeof head ? (size_t)f.nbytes : sizeof head;
        const enum el_status status = el_file_read(&f, 0, head, n_head, err);
        el_file_close(&f);
        if (status != EL_OK)
            return status;
        EL_TRY(refuse_known(path, head, n_head, err));
    }
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (formats[i]->open && formats[i]->probe(path, is_folder, head, n_head)) {
            *found = formats[i];
            return EL_OK;
        }
    }
    return unrecognised(path, is_folder, head, n_head, err);
}

/* Puts a tokenizer file in the place of the tokenizer that the model has, if any. */
static enum el_status replace_tokenizer(struct el_source *s, const char *tokenizer, struct el_err *err)
{
    static const char prefix[] = "tokenizer.";
    for (size_t i = el_meta_count(s->meta); i-- > 0;) {
        if (strncmp(el_meta_key(s->meta, i), prefix, sizeof prefix - 1) == 0)
            el_meta_remove(s->meta, el_meta_key(s->meta, i));
    }
    const size_t embd = el_source_find(s, "token_embd.weight");
    const uint64_t n_vocab = embd == SIZE_MAX ? 0 : s->tensors[embd].n_rows;
    return el_tokenizer_file_import(s->meta, tokenizer, n_vocab <= EL_MAX_VOCAB ? (uint32_t)n_vocab : 0, err);
}

enum el_status el_source_open(const char *path, const struct el_source_opts *opts, struct el_source **source, struct el_err *err)
{
    static const struct el_source_opts no_opts;
    *source = NULL;
    if (!opts)
        opts = &no_opts;
    const struct el_format *format = NULL;
    if (opts->format) {
        format = el_format_by_name(opts->format);
        if (!format || !format->open)
            return unknown_format(path, opts->format, false, err);
    } else {
        EL_TRY(find_format(path, &format, err));
    }
    struct el_source *const s = el_calloc_array(1, sizeof *s);
    if (!s)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    s->format = format->name;
    s->path = el_strdup(path);
    s->meta = el_meta_new();
    enum el_status status = EL_OK;
    if (!s->path || !s->meta)
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    if (status == EL_OK)
        status = format->open(s, opts, err);
    if (status == EL_OK && opts->tokenizer && !format->reads_tokenizer)
        status = replace_tokenizer(s, opts->tokenizer, err);
    s->tokenizer_changed = opts->tokenizer != NULL;
    if (status != EL_OK) {
        el_source_close(s);
        return status;
    }
    *source = s;
    return EL_OK;
}

/* ---- sinks ---- */

enum el_status el_sink_open(const char *path, const struct el_sink_opts *opts, struct el_sink **sink, struct el_err *err)
{
    *sink = NULL;
    const char *const name = opts->format ? opts->format : "gguf";
    const struct el_format *const format = el_format_by_name(name);
    if (!format || !format->create)
        return unknown_format(path, name, true, err);
    struct el_sink *const s = el_calloc_array(1, sizeof *s);
    if (!s)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    s->opts = *opts;
    s->opts.format = format->name;
    s->path = el_strdup(path);
    const enum el_status status = s->path ? format->create(s, err) : el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    if (status != EL_OK) {
        el_sink_close(s);
        return status;
    }
    *sink = s;
    return EL_OK;
}

const char *el_sink_file(const struct el_sink *sink, size_t i)
{
    return sink->ops->file ? sink->ops->file(sink, i) : i == 0 ? sink->path : NULL;
}

enum el_status el_sink_commit(struct el_sink *sink, struct el_err *err)
{
    if (el_interrupted())
        return el_fail(err, EL_E_INTERRUPTED, "'%s': interrupted before the output was complete", sink->path);
    return sink->ops->commit(sink, err);
}

void el_sink_close(struct el_sink *sink)
{
    if (!sink)
        return;
    if (sink->ops && sink->ops->close)
        sink->ops->close(sink);
    el_tensors_free(sink->tensors, sink->n_tensors);
    el_free(sink->path);
    el_free(sink);
}
