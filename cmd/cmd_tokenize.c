#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/json_out.h"
#include "cmd/model_io.h"
#include "cmd/text_in.h"
#include "cmd/text_out.h"
#include "cmd/token_text.h"
#include "cmd/util.h"

struct tokenize_args {
    const char *model, *tokenizer, *file;
    bool add_special, parse_special, pieces, decode, json;
};

static const struct opt tokenize_opts[] = {
    {OPT_STR, "m", "model", "FILE", "model, vocabulary-only GGUF, folder or tokenizer file (edgellm-formats(5))",
     offsetof(struct tokenize_args, model), 0, 0, NULL},
    OPT_TOKENIZER(struct tokenize_args),
    {OPT_STR, "f", "file", "FILE", "read the text from FILE (-: standard input)", offsetof(struct tokenize_args, file), 0, 0,
     NULL},
    {OPT_FLAG, NULL, "add-special", NULL, "add BOS and EOS as the model wants them", offsetof(struct tokenize_args, add_special),
     0, 0, NULL},
    {OPT_FLAG, NULL, "parse-special", NULL,
     "the text of a control token becomes that token; with --decode a control token becomes its text",
     offsetof(struct tokenize_args, parse_special), 0, 0, NULL},
    {OPT_FLAG, NULL, "pieces", NULL, "one line per token: id and text", offsetof(struct tokenize_args, pieces), 0, 0, NULL},
    {OPT_FLAG, NULL, "decode", NULL, "the input is ids, the output their text", offsetof(struct tokenize_args, decode), 0, 0,
     NULL},
    OPT_JSON(struct tokenize_args),
    OPT_END,
};

static enum el_status print_pieces(const struct el_tokenizer *tok, const int32_t *ids, size_t n, struct el_err *err)
{
    for (size_t i = 0; i < n; i++) {
        char *text = NULL;
        size_t nbytes = 0;
        CMD_TRY(token_text(tok, ids[i], &text, &nbytes, err));
        char *const line = text_line(text, nbytes, 0);
        (void)printf("%6d -> '%s'\n", ids[i], line);
        free(line);
        free(text);
    }
    return EL_OK;
}

/* id, piece as stored, text; its bytes too when they are not UTF-8. */
static enum el_status json_piece(struct json_out *j, const struct el_tokenizer *tok, int32_t id, struct el_err *err)
{
    char *text = NULL;
    size_t nbytes = 0, n_piece = 0;
    CMD_TRY(token_text(tok, id, &text, &nbytes, err));
    const char *const piece = el_tok_piece(tok, id, &n_piece);
    json_object(j);
    json_kint(j, "id", id);
    json_key(j, "piece");
    json_text(j, piece, n_piece);
    json_key(j, "text");
    json_text(j, text, nbytes);
    if (!text_is_utf8(text, nbytes)) {
        json_key(j, "bytes");
        json_array(j, true);
        for (size_t i = 0; i < nbytes; i++)
            json_uint(j, (unsigned char)text[i]);
        json_end_array(j);
    }
    if (el_tok_is_control(tok, id))
        json_kbool(j, "control", true);
    json_end_object(j);
    free(text);
    return EL_OK;
}

static enum el_status print_json(const struct el_tokenizer *tok, const int32_t *ids, size_t n, bool pieces, const char *text,
                                 size_t text_nbytes, struct el_err *err)
{
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    json_kuint(&j, "n_tokens", n);
    json_key(&j, "ids");
    json_array(&j, true);
    for (size_t i = 0; i < n; i++)
        json_int(&j, ids[i]);
    json_end_array(&j);
    if (pieces) {
        json_key(&j, "pieces");
        json_array(&j, false);
        for (size_t i = 0; i < n; i++)
            CMD_TRY(json_piece(&j, tok, ids[i], err));
        json_end_array(&j);
    }
    if (text) {
        json_key(&j, "text");
        json_text(&j, text, text_nbytes);
    }
    json_end_object(&j);
    json_finish(&j);
    return EL_OK;
}

static void print_ids(const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)printf("%s%d", i ? " " : "", ids[i]);
    (void)putchar('\n');
}

static enum el_status decode(const struct tokenize_args *a, const struct el_tokenizer *tok, const char *in, size_t in_nbytes,
                             struct el_err *err)
{
    int32_t *ids = NULL;
    size_t n = 0, nbytes = 0;
    char *text = NULL;
    enum el_status status = text_in_ids(in, in_nbytes, el_tok_n_vocab(tok), &ids, &n, err);
    if (status == EL_OK)
        status = el_decode(tok, ids, n, a->parse_special, &text, &nbytes, err);
    if (status == EL_OK) {
        const bool tty = isatty(1) == 1;
        if (a->json)
            status = print_json(tok, ids, n, a->pieces, text, nbytes, err);
        else if (a->pieces)
            status = print_pieces(tok, ids, n, err);
        else
            text_write(stdout, text, nbytes, tty);
        if (tty && !a->json && !a->pieces)
            (void)putchar('\n');
    }
    free(ids);
    el_free(text);
    return status;
}

static enum el_status encode(const struct tokenize_args *a, const struct el_tokenizer *tok, const char *in, size_t in_nbytes,
                             struct el_err *err)
{
    const unsigned flags = (a->add_special ? EL_TOK_ADD_SPECIAL : 0u) | (a->parse_special ? EL_TOK_PARSE_SPECIAL : 0u);
    int32_t *ids = NULL;
    size_t n = 0;
    CMD_TRY(el_encode(tok, in, in_nbytes, flags, &ids, &n, err));
    enum el_status status = EL_OK;
    if (a->json)
        status = print_json(tok, ids, n, a->pieces, NULL, 0, err);
    else if (a->pieces)
        status = print_pieces(tok, ids, n, err);
    else
        print_ids(ids, n);
    el_free(ids);
    return status;
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    const struct tokenize_args *const a = args;
    struct model_io io = {0};
    char *text = NULL;
    size_t nbytes = 0;
    enum el_status status = EL_OK;
    if (!a->model)
        return cmd_fail(err, EL_E_USAGE, "no model given: option '--model' is missing");
    if (a->add_special && a->decode)
        return cmd_fail(err, EL_E_USAGE, "options '--add-special' and '--decode' exclude each other");
    CMD_TRY_OUT(text_in_read(words.n ? words.v[0] : NULL, a->file, "TEXT", &text, &nbytes, err));
    CMD_TRY_OUT(model_io_source(&io, a->model, a->tokenizer, NULL, err));
    CMD_TRY_OUT(model_io_tokenizer(&io, err));
    status = a->decode ? decode(a, io.tok, text, nbytes, err) : encode(a, io.tok, text, nbytes, err);
out:
    el_free(text);
    model_io_close(&io);
    return status;
}

const struct command cmd_tokenize = {
    .name = "tokenize",
    .about = "Print the token ids of a text, or the text of ids",
    .details = "The text comes from TEXT, from a file or from standard input.",
    .usage = "[options] -m FILE [TEXT | -f FILE | -]",
    .opts = tokenize_opts,
    .args_nbytes = sizeof(struct tokenize_args),
    .min_words = 0,
    .max_words = 1,
    .run = run,
};
