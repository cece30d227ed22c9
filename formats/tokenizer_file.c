/* A tokenizer alone, Hugging Face's tokenizer.json or llama2.c's tokenizer.bin: a source with metadata and no tensors. */
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "formats/format.h"
#include "formats/store.h"
#include "model/tokenizer.h"

extern const struct el_format el_format_tokenizer_file;

enum { EL_MAX_TOKENIZER_CONFIG = 16 << 20 };

static bool starts_like_json(const uint8_t *head, size_t n_head)
{
    size_t i = 0;
    while (i < n_head && (head[i] == ' ' || head[i] == '\n' || head[i] == '\r' || head[i] == '\t'))
        i++;
    return i < n_head && head[i] == '{';
}

/* Whole file in memory, NULL when it cannot be had. */
static char *read_whole(const char *path, size_t *nbytes)
{
    char *data;
    return el_read_file(path, EL_MAX_JSON, &data, nbytes, NULL) == EL_OK ? data : NULL;
}

/* u32 longest piece, then until the end: f32 score, i32 length, bytes. No magic, so all of it must fit. */
static bool is_tokenizer_bin(const char *data, size_t nbytes)
{
    struct el_cursor c = el_cursor_init(data, nbytes);
    const uint32_t longest = el_cursor_u32(&c);
    size_t n_pieces = 0;
    while (!c.failed && el_cursor_left(&c) > 0) {
        (void)el_cursor_f32(&c);
        const uint32_t n = el_cursor_u32(&c);
        if (n > longest || n > EL_MAX_STRING)
            return false;
        (void)el_cursor_bytes(&c, n);
        n_pieces++;
    }
    return !c.failed && n_pieces > 0;
}

static bool probe(const char *path, bool is_folder, const uint8_t *head, size_t n_head)
{
    if (is_folder)
        return false;
    const size_t n_path = strlen(path);
    const bool json = starts_like_json(head, n_head), bin = n_path > 4 && strcmp(path + n_path - 4, ".bin") == 0;
    if (!json && !bin)
        return false;
    size_t nbytes;
    char *const data = read_whole(path, &nbytes);
    /* No config.json or index has a member of this name. */
    const bool found = data && (json ? memmem(data, nbytes, "\"vocab\"", 7) != NULL : is_tokenizer_bin(data, nbytes));
    el_free(data);
    return found;
}

/* A file beside tokenizer.json; *text stays NULL when there is none. */
static enum el_status read_sibling(const char *path, const char *name, char **text, size_t *nbytes, struct el_err *err)
{
    const char *const slash = strrchr(path, '/');
    *text = NULL;
    *nbytes = 0;
    if (strcmp(slash ? slash + 1 : path, "tokenizer.json") != 0)
        return EL_OK;
    struct el_buf b;
    el_buf_init(&b);
    el_buf_add(&b, path, slash ? (size_t)(slash - path) + 1 : 0);
    el_buf_add_str(&b, name);
    enum el_status status = b.failed ? el_fail(err, EL_E_MEMORY, "'%s': out of memory", path) : EL_OK;
    if (status == EL_OK && access(b.data, F_OK) == 0)
        status = el_read_file(b.data, EL_MAX_TOKENIZER_CONFIG, text, nbytes, err);
    el_buf_release(&b);
    return status;
}

static enum el_status import(struct el_meta *meta, const char *path, const char *data, size_t nbytes, uint32_t n_vocab,
                             struct el_err *err)
{
    if (!starts_like_json((const uint8_t *)data, nbytes))
        return el_tokenizer_import_llama2c(meta, (const uint8_t *)data, nbytes, n_vocab, err);
    char *config, *generation = NULL;
    size_t n_config, n_generation = 0;
    enum el_status status = read_sibling(path, "tokenizer_config.json", &config, &n_config, err);
    if (status == EL_OK)
        status = read_sibling(path, "generation_config.json", &generation, &n_generation, err);
    if (status == EL_OK)
        status = el_tokenizer_import_hf(meta, data, nbytes, config, n_config, generation, n_generation, n_vocab, err);
    el_free(config);
    el_free(generation);
    return status;
}

enum el_status el_tokenizer_file_import(struct el_meta *meta, const char *path, uint32_t n_vocab, struct el_err *err)
{
    char *data;
    size_t nbytes;
    EL_TRY(el_read_file(path, EL_MAX_JSON, &data, &nbytes, err));
    const enum el_status status = import(meta, path, data, nbytes, n_vocab, err);
    el_free(data);
    return status == EL_OK ? EL_OK : el_fail_prefix(err, status, "'%s'", path);
}

static enum el_status open_source(struct el_source *s, const struct el_source_opts *opts, struct el_err *err)
{
    (void)opts;
    struct el_store *store;
    EL_TRY(el_store_new(s, 1, &store, err));
    EL_TRY(el_file_open(&store->files[0], s->path, err)); /* held so that a sink knows it for its input */
    return el_tokenizer_file_import(s->meta, s->path, 0, err);
}

const struct el_format el_format_tokenizer_file = {
    .name = "tokenizer_file",
    .about = "a tokenizer alone: tokenizer.json or llama2.c's tokenizer.bin",
    .probe = probe,
    .open = open_source,
};
