#include "cmd/calibrate_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/text_in.h"
#include "cmd/util.h"

struct reading {
    struct calibrate_text *text;
    const struct model_io *io;
    const struct calibrate_text_opts *opts;
    struct el_chat *chat; /* opened by the first conversation */
    int32_t bos;          /* -1: the model puts none in front */
};

/* ---- windows ---- */

static bool is_full(const struct reading *r)
{
    return r->opts->max_windows && r->text->n_windows >= r->opts->max_windows;
}

static void add_window(struct reading *r, const int32_t *ids, uint32_t n, bool bos)
{
    struct calibrate_text *const t = r->text;
    if (is_full(r))
        return;
    while (t->n_ids + n > t->cap_ids) {
        t->cap_ids = t->cap_ids ? 2 * t->cap_ids : 4096;
        t->ids = xrealloc(t->ids, t->cap_ids, sizeof *t->ids);
    }
    if (t->n_windows == t->cap_windows) {
        t->cap_windows = t->cap_windows ? 2 * t->cap_windows : 64;
        t->window_n = xrealloc(t->window_n, t->cap_windows, sizeof *t->window_n);
    }
    memcpy(t->ids + t->n_ids, ids, n * sizeof *ids);
    if (bos && r->bos >= 0)
        t->ids[t->n_ids] = r->bos;
    t->n_ids += n;
    t->window_n[t->n_windows++] = n;
}

/* cut: a shorter last window counts too. */
static void add_ids(struct reading *r, const int32_t *ids, size_t n, bool cut)
{
    const uint32_t n_ctx = r->opts->n_ctx;
    size_t at = 0;
    for (; n - at >= n_ctx; at += n_ctx)
        add_window(r, ids + at, n_ctx, true);
    if (at < n && (cut || at == 0))
        add_window(r, ids + at, (uint32_t)(n - at), at > 0);
}

static enum el_status add_text(struct reading *r, const char *s, size_t nbytes, unsigned flags, bool cut, struct el_err *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    CMD_TRY(el_encode(r->io->tok, s, nbytes, flags, &ids, &n, err));
    add_ids(r, ids, n, cut);
    el_free(ids);
    return EL_OK;
}

/* ---- JSON lines ---- */

static enum el_status add_chat(struct reading *r, const struct el_json *messages, struct el_err *err)
{
    char *json = NULL, *prompt = NULL;
    size_t n_json = 0, n = 0;
    int32_t *ids = NULL;
    if (!r->chat)
        CMD_TRY(el_chat_open(r->io->source, NULL, &r->chat, err));
    enum el_status status = el_json_print(messages, &json, &n_json, err);
    const struct el_chat_in in = {.messages_json = json};
    if (status == EL_OK)
        status = el_chat_render(r->chat, &in, &prompt, &n, err);
    /* Most templates write BOS themselves. */
    size_t n_ids = 0;
    if (status == EL_OK)
        status = el_encode(r->io->tok, prompt, n, EL_TOK_PARSE_SPECIAL, &ids, &n_ids, err);
    if (status == EL_OK && n_ids > 0 && r->bos >= 0 && ids[0] != r->bos)
        status = add_text(r, prompt, n, EL_TOK_PARSE_SPECIAL | EL_TOK_ADD_SPECIAL, true, err);
    else if (status == EL_OK)
        add_ids(r, ids, n_ids, true);
    el_free(ids);
    el_free(json);
    el_free(prompt);
    return status;
}

static enum el_status add_document(struct reading *r, const struct el_json *v, const char *what, struct el_err *err)
{
    const unsigned flags = EL_TOK_ADD_SPECIAL | (r->opts->parse_special ? EL_TOK_PARSE_SPECIAL : 0u);
    const char *const s = el_json_str(v) ? el_json_str(v) : el_json_str(el_json_get(v, "text"));
    const struct el_json *messages = el_json_get(v, "messages");
    messages = messages ? messages : el_json_get(v, "conversations");
    if (s)
        return add_text(r, s, strlen(s), flags, true, err);
    if (!el_json_is(messages, EL_JSON_ARRAY))
        return cmd_fail(err, EL_E_FORMAT, "%s: neither a string nor an object with \"text\" or \"messages\"", what);
    struct el_err why = {.text = ""};
    const enum el_status status = add_chat(r, messages, &why);
    return status == EL_OK ? EL_OK : cmd_fail(err, status, "%s: %s", what, why.text);
}

static enum el_status add_lines(struct reading *r, const char *path, const char *s, size_t nbytes, struct el_err *err)
{
    const char *const end = s + nbytes;
    enum el_status status = EL_OK;
    for (size_t line = 1; s < end && status == EL_OK && !is_full(r); line++) {
        const char *const newline = memchr(s, '\n', (size_t)(end - s)), *const stop = newline ? newline : end;
        const char *p = s;
        while (p < stop && (*p == ' ' || *p == '\t' || *p == '\r'))
            p++;
        if (p < stop) {
            char *const what = xasprintf("'%s', line %zu", path, line);
            struct el_json_doc *doc = NULL;
            status = el_json_parse(p, (size_t)(stop - p), what, &doc, err);
            if (status == EL_OK)
                status = add_document(r, el_json_root(doc), what, err);
            el_json_free(doc);
            free(what);
        }
        s = newline ? newline + 1 : end;
    }
    return status;
}

/* ---- files ---- */

static void add_name(struct calibrate_text *t, const char *name, const char *data, size_t nbytes)
{
    t->names = xrealloc(t->names, t->n_names + 1, sizeof *t->names);
    t->sha256 = xrealloc(t->sha256, t->n_names + 1, sizeof *t->sha256);
    t->names[t->n_names] = xstrdup(name);
    el_sha256_bytes(data, nbytes, t->sha256[t->n_names++]);
}

static enum el_status add_file(struct reading *r, const char *path, struct el_err *err)
{
    const unsigned flags = EL_TOK_ADD_SPECIAL | (r->opts->parse_special ? EL_TOK_PARSE_SPECIAL : 0u);
    char *data = NULL, name[256];
    size_t nbytes = 0;
    CMD_TRY(text_in_read(NULL, path, "text", &data, &nbytes, err));
    path_base(path, name, sizeof name);
    add_name(r->text, name, data, nbytes);
    const enum el_status status =
        ends_with(path, ".jsonl") ? add_lines(r, path, data, nbytes, err) : add_text(r, data, nbytes, flags, false, err);
    el_free(data);
    return status;
}

enum el_status calibrate_text_read(struct calibrate_text *text, const struct model_io *io, const struct calibrate_text_opts *opts,
                                   struct el_err *err)
{
    struct reading r = {.text = text, .io = io, .opts = opts, .bos = el_tok_adds_bos(io->tok) ? el_tok_bos(io->tok) : -1};
    enum el_status status = EL_OK;
    *text = (struct calibrate_text){.n_ids = 0};
    for (size_t i = 0; i < opts->n_paths && status == EL_OK; i++)
        status = add_file(&r, opts->paths[i], err);
    if (opts->n_paths == 0) {
        const size_t nbytes = (size_t)(calibration_text_end - calibration_text);
        add_name(text, CALIBRATION_TEXT_NAME, calibration_text, nbytes);
        status = add_text(&r, calibration_text, nbytes, EL_TOK_ADD_SPECIAL, false, err);
    }
    el_chat_close(r.chat);
    if (status == EL_OK && text->n_ids == 0)
        status = cmd_fail(err, EL_E_USAGE, "the text has no tokens");
    (void)snprintf(text->protocol, sizeof text->protocol, "windows of at most %u tokens, %s%s", (unsigned)opts->n_ctx,
                   r.bos >= 0 ? "BOS first" : "no BOS added", opts->parse_special ? ", special tokens parsed" : "");
    return status;
}

void calibrate_text_free(struct calibrate_text *text)
{
    for (size_t i = 0; i < text->n_names; i++)
        free(text->names[i]);
    free(text->names);
    free(text->sha256);
    free(text->ids);
    free(text->window_n);
    *text = (struct calibrate_text){.n_ids = 0};
}
