#include "cmd/run_json.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/token_text.h"
#include "cmd/util.h"

/* Members of an open object: id, text, bytes when the text alone does not say them, logprob. */
static enum el_status token_members(struct json_out *j, const struct el_tokenizer *tok, const struct writer_logprob *p,
                                    struct el_err *err)
{
    char *text = NULL;
    size_t nbytes = 0;
    json_kint(j, "id", p->id);
    if ((size_t)p->id < el_tok_n_vocab(tok)) /* the model may have more tokens than the tokenizer */
        CMD_TRY(token_text(tok, p->id, &text, &nbytes, err));
    json_key(j, "text");
    json_text(j, text ? text : "", nbytes);
    json_key(j, "bytes");
    json_array(j, true);
    for (size_t i = 0; i < nbytes; i++)
        json_uint(j, (unsigned char)text[i]);
    json_end_array(j);
    json_knum(j, "logprob", p->logprob);
    free(text);
    return EL_OK;
}

static enum el_status logprobs(struct json_out *j, const struct writer *w, struct el_err *err)
{
    const size_t n_vocab = w->io->info.n_vocab, asked = (size_t)w->a->n_logprobs, n = asked < n_vocab ? asked : n_vocab;
    json_key(j, "logprobs");
    json_array(j, false);
    for (size_t i = 0; i < w->n_ids; i++) {
        const struct writer_logprob *const p = w->logprobs + i * (n + 1);
        json_object(j);
        CMD_TRY(token_members(j, w->io->tok, p, err));
        json_key(j, "top");
        json_array(j, false);
        for (size_t k = 1; k <= n; k++) {
            json_object(j);
            CMD_TRY(token_members(j, w->io->tok, &p[k], err));
            json_end_object(j);
        }
        json_end_array(j);
        json_end_object(j);
    }
    json_end_array(j);
    return EL_OK;
}

enum el_status run_json_text(struct json_out *j, const struct writer *w, struct el_err *err)
{
    json_key(j, "text");
    json_text(j, w->text ? w->text : "", w->text_nbytes);
    json_key(j, "ids");
    json_array(j, true);
    for (size_t i = 0; i < w->n_ids; i++)
        json_int(j, w->ids[i]);
    json_end_array(j);
    if (w->a->n_logprobs >= 0)
        CMD_TRY(logprobs(j, w, err));
    json_kuint(j, "n_prompt", w->n_prompt);
    json_kuint(j, "n_predict", w->n_ids);
    json_kstr(j, "stop_reason", w->stop_reason);
    json_kstr(j, "stop_string", w->stop_string);
    json_kuint(j, "seed", w->seed);
    return EL_OK;
}
