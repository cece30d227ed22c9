/*
 * A tokenizer alone: a source with metadata and no tensors. Hugging Face's tokenizer.json, SentencePiece's tokenizer.model, files
 * of tiktoken, Mistral's tekken.json, vocab.json with merges.txt, vocab.txt, llama2.c's tokenizer.bin. What a file is, its bytes
 * say; only vocab.json and vocab.txt have nothing in them that could, and go by name. A folder without weights stands for the
 * first of them in it.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "formats/format.h"
#include "formats/store.h"
#include "text/tokenizer.h"

extern const struct el_format el_format_tokenizer_file;

enum { EL_MAX_TOKENIZER_CONFIG = 16 << 20 };

enum kind { K_NONE, K_JSON, K_VOCAB_JSON, K_SENTENCEPIECE, K_TIKTOKEN, K_TEKKEN, K_VOCAB_TXT, K_LLAMA2C };

static const char *base_name(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), n_end = strlen(end);
    return n >= n_end && strcmp(s + n - n_end, end) == 0;
}

static bool starts_like_json(const uint8_t *head, size_t n_head)
{
    size_t i = 0;
    while (i < n_head && (head[i] == ' ' || head[i] == '\n' || head[i] == '\r' || head[i] == '\t'))
        i++;
    return i < n_head && head[i] == '{';
}

/* Path of `name` in the folder of `path`, into b. */
static bool sibling_path(const char *path, const char *name, struct el_buf *b)
{
    el_buf_reset(b);
    el_buf_add(b, path, (size_t)(base_name(path) - path));
    el_buf_add_str(b, name);
    return !b->failed;
}

static bool has_sibling(const char *path, const char *name)
{
    struct el_buf b;
    el_buf_init(&b);
    const bool has = !sibling_path(path, name, &b) || access(b.data, F_OK) == 0; /* out of memory shows when it is read */
    el_buf_release(&b);
    return has;
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

/* What the first bytes and the name allow. */
static enum kind kind_of_head(const char *path, const uint8_t *head, size_t n_head)
{
    const char *const name = base_name(path);
    if (starts_like_json(head, n_head)) {
        if (strcmp(name, "vocab.json") == 0 && has_sibling(path, "merges.txt"))
            return K_VOCAB_JSON;
        return el_is_tekken((const char *)head, n_head) ? K_TEKKEN : K_JSON;
    }
    if (el_is_sentencepiece(head, n_head))
        return K_SENTENCEPIECE;
    if (el_is_tiktoken(head, n_head))
        return K_TIKTOKEN;
    if (ends_with(name, "vocab.txt"))
        return K_VOCAB_TXT;
    return ends_with(name, ".bin") ? K_LLAMA2C : K_NONE;
}

/* Names under which a tokenizer stands in a model's folder, in the order in which they are looked for. */
static const char *const usual_names[] = {"tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
                                          "tiktoken.model", "tekken.json",     "vocab.json",   "vocab.txt"};
enum { N_USUAL = sizeof usual_names / sizeof usual_names[0] };

/* The first file *.tiktoken of a folder by name, into b (which holds the folder and a slash). */
static bool find_tiktoken(struct el_buf *b)
{
    DIR *const d = opendir(b->data);
    char *found = NULL;
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;) {
        if (!ends_with(e->d_name, ".tiktoken") || (found && strcmp(e->d_name, found) >= 0))
            continue;
        el_free(found);
        found = el_strdup(e->d_name);
        if (!found)
            break;
    }
    if (d)
        (void)closedir(d);
    if (found)
        el_buf_add_str(b, found);
    el_free(found);
    return found != NULL;
}

/* Path of the tokenizer in a folder, into b; false: there is none, or b has failed. */
static bool find_in_folder(const char *folder, struct el_buf *b)
{
    bool found = false;
    for (size_t i = 0; i < N_USUAL && !found && !b->failed; i++) {
        el_buf_reset(b);
        el_buf_addf(b, "%s/%s", folder, usual_names[i]);
        found = !b->failed && access(b->data, F_OK) == 0;
        if (found && strcmp(usual_names[i], "vocab.json") == 0)
            found = has_sibling(b->data, "merges.txt");
    }
    if (!found && !b->failed) {
        el_buf_reset(b);
        el_buf_addf(b, "%s/", folder);
        found = !b->failed && find_tiktoken(b);
    }
    return found && !b->failed;
}

/* Does it hold weights? Then what it lacks is config.json, and it is no tokenizer's folder. */
static bool has_weights(const char *folder)
{
    static const char *const ends[] = {".safetensors", ".bin", ".pth", ".pt", ".gguf"};
    DIR *const d = opendir(folder);
    bool has = false;
    for (const struct dirent *e; !has && d && (e = readdir(d)) != NULL;)
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            has |= ends_with(e->d_name, ends[i]);
    if (d)
        (void)closedir(d);
    return has;
}

static bool probe_folder(const char *path)
{
    struct el_buf b;
    el_buf_init(&b);
    const bool found = find_in_folder(path, &b) && !has_weights(path);
    el_buf_release(&b);
    return found;
}

static bool probe(const char *path, bool is_folder, const uint8_t *head, size_t n_head)
{
    if (is_folder)
        return probe_folder(path);
    const enum kind kind = kind_of_head(path, head, n_head);
    if (kind != K_JSON && kind != K_LLAMA2C)
        return kind != K_NONE;
    char *data;
    size_t nbytes;
    if (el_read_file(path, EL_MAX_JSON, &data, &nbytes, NULL) != EL_OK)
        return false;
    /* No config.json or index has a member of this name. */
    const bool found = kind == K_JSON ? memmem(data, nbytes, "\"vocab\"", 7) != NULL : is_tokenizer_bin(data, nbytes);
    el_free(data);
    return found;
}

/* A file beside path; *text stays NULL when there is none. */
static enum el_status read_sibling(const char *path, const char *name, char **text, size_t *nbytes, struct el_err *err)
{
    struct el_buf b;
    el_buf_init(&b);
    enum el_status status = sibling_path(path, name, &b) ? EL_OK : el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    if (status == EL_OK && access(b.data, F_OK) == 0)
        status = el_read_file(b.data, EL_MAX_TOKENIZER_CONFIG, text, nbytes, err);
    el_buf_release(&b);
    return status;
}

/* Does a file of this name belong to the configuration files beside it? */
static bool has_usual_name(const char *path)
{
    const char *const name = base_name(path);
    for (size_t i = 0; i < N_USUAL; i++)
        if (strcmp(name, usual_names[i]) == 0)
            return true;
    return ends_with(name, ".tiktoken");
}

static enum el_status import_tiktoken(struct el_meta *meta, const char *path, const char *data, size_t nbytes,
                                      const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err)
{
    const char *const name = base_name(path), *const dot = strrchr(name, '.');
    char *const stem = el_strndup(name, dot ? (size_t)(dot - name) : strlen(name));
    if (!stem)
        return el_fail(err, EL_E_MEMORY, "out of memory");
    const enum el_status status = el_tokenizer_import_tiktoken(meta, stem, data, nbytes, texts, n_vocab, err);
    el_free(stem);
    return status;
}

static enum el_status import_vocab_json(struct el_meta *meta, const char *path, const char *data, size_t nbytes,
                                        const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err)
{
    struct el_buf b;
    char *merges = NULL;
    size_t n_merges = 0;
    el_buf_init(&b);
    enum el_status status = sibling_path(path, "merges.txt", &b) ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory");
    if (status == EL_OK)
        status = el_read_file(b.data, EL_MAX_JSON, &merges, &n_merges, err);
    if (status == EL_OK)
        status = el_tokenizer_import_vocab_json(meta, data, nbytes, merges, n_merges, texts, n_vocab, err);
    el_free(merges);
    el_buf_release(&b);
    return status;
}

static enum el_status import(struct el_meta *meta, const char *path, const char *data, size_t nbytes,
                             const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err)
{
    switch (kind_of_head(path, (const uint8_t *)data, nbytes)) {
    case K_JSON:
        return el_tokenizer_import_hf(meta, data, nbytes, texts->config, texts->config_nbytes, texts->generation,
                                      texts->generation_nbytes, n_vocab, err);
    case K_VOCAB_JSON: return import_vocab_json(meta, path, data, nbytes, texts, n_vocab, err);
    case K_SENTENCEPIECE: return el_tokenizer_import_sentencepiece(meta, (const uint8_t *)data, nbytes, texts, n_vocab, err);
    case K_TIKTOKEN: return import_tiktoken(meta, path, data, nbytes, texts, n_vocab, err);
    case K_TEKKEN: return el_tokenizer_import_tekken(meta, data, nbytes, texts, n_vocab, err);
    case K_VOCAB_TXT: return el_tokenizer_import_vocab_txt(meta, data, nbytes, texts, n_vocab, err);
    case K_LLAMA2C:
    case K_NONE: break;
    }
    return el_tokenizer_import_llama2c(meta, (const uint8_t *)data, nbytes, n_vocab, err);
}

bool el_tokenizer_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool el_tokenizer_file_is_hf(const char *path, const char *data, size_t nbytes)
{
    const enum kind kind = kind_of_head(path, (const uint8_t *)data, nbytes);
    return kind == K_JSON ||
           (kind == K_NONE && strcmp(base_name(path), "tokenizer.json") == 0); /* damaged: its parser says how */
}

static enum el_status import_file(struct el_meta *meta, const char *path, uint32_t n_vocab, struct el_err *err)
{
    char *data = NULL, *config = NULL, *generation = NULL, *added = NULL;
    size_t nbytes;
    struct el_tokenizer_texts texts = {.config = NULL};
    enum el_status status = el_read_file(path, EL_MAX_JSON, &data, &nbytes, err);
    if (status != EL_OK)
        return status;
    if (has_usual_name(path)) {
        EL_TRY_OUT(read_sibling(path, "tokenizer_config.json", &config, &texts.config_nbytes, err));
        EL_TRY_OUT(read_sibling(path, "generation_config.json", &generation, &texts.generation_nbytes, err));
        EL_TRY_OUT(read_sibling(path, "added_tokens.json", &added, &texts.added_nbytes, err));
    }
    texts.config = config;
    texts.generation = generation;
    texts.added = added;
    status = import(meta, path, data, nbytes, &texts, n_vocab, err);
    if (status != EL_OK)
        status = el_fail_prefix(err, status, "'%s'", path);
out:
    el_free(data);
    el_free(config);
    el_free(generation);
    el_free(added);
    return status;
}

enum el_status el_tokenizer_folder_import(struct el_meta *meta, const char *folder, uint32_t n_vocab, bool *found,
                                          struct el_err *err)
{
    struct el_buf b;
    el_buf_init(&b);
    *found = find_in_folder(folder, &b);
    enum el_status status = EL_OK;
    if (b.failed)
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory", folder);
    else if (*found)
        status = import_file(meta, b.data, n_vocab, err);
    el_buf_release(&b);
    return status;
}

enum el_status el_tokenizer_file_import(struct el_meta *meta, const char *path, uint32_t n_vocab, struct el_err *err)
{
    bool found;
    if (!el_tokenizer_is_folder(path))
        return import_file(meta, path, n_vocab, err);
    EL_TRY(el_tokenizer_folder_import(meta, path, n_vocab, &found, err));
    return found ? EL_OK : el_fail(err, EL_E_FORMAT, "'%s': no tokenizer in the folder", path);
}

static enum el_status open_source(struct el_source *s, const struct el_source_opts *opts, struct el_err *err)
{
    (void)opts;
    struct el_store *store;
    struct el_buf b;
    EL_TRY(el_store_new(s, 1, &store, err));
    el_buf_init(&b);
    const char *const path = find_in_folder(s->path, &b) ? b.data : s->path;
    enum el_status status = el_file_open(&store->files[0], path, err); /* held so that a sink knows it for its input */
    if (status == EL_OK)
        status = import_file(s->meta, path, 0, err);
    el_buf_release(&b);
    return status;
}

const struct el_format el_format_tokenizer_file = {
    .name = "tokenizer",
    .about = "a tokenizer alone: tokenizer.json, tokenizer.model, tekken.json, *.tiktoken, vocab.json, vocab.txt, tokenizer.bin",
    .probe = probe,
    .open = open_source,
};
