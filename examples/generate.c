/*
 * A program of its own on libedgellm: loads a model and lets it go on with a text.
 *
 *   cc generate.c $(pkg-config --cflags --libs edgellm) -o generate
 *   ./generate MODEL "Once upon a time" 40
 */
#include <edgellm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int generate(struct el_session *session, const struct el_tokenizer *tok, struct el_sampler *sampler, const char *prompt,
                    long n_max, struct el_err *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    struct el_detok *detok = NULL;
    int status = (int)el_encode(tok, prompt, strlen(prompt), EL_TOK_ADD_SPECIAL, &ids, &n_ids, err);
    if (status == EL_OK)
        status = (int)el_detok_open(tok, &detok, err);
    int32_t id = -1;
    for (size_t i = 0; status == EL_OK && i < n_ids + (size_t)n_max; i++) {
        const bool in_prompt = i < n_ids;
        if (in_prompt) {
            id = ids[i];
        } else {
            id = el_sampler_pick(sampler, el_session_logits(session, 0));
            el_sampler_accept(sampler, id);
            if (el_tok_is_eog(tok, id))
                break;
        }
        const char *text = NULL;
        size_t nbytes = 0;
        status = (int)el_detok_push(detok, id, &text, &nbytes, err); /* the prompt too: the text goes on where it ends */
        if (status != EL_OK)
            break;
        if (!in_prompt) {
            fwrite(text, 1, nbytes, stdout);
            fflush(stdout);
        }
        const struct el_row row = {.token = id, .pos = (uint32_t)i, .want_logits = i + 1 >= n_ids};
        status = (int)el_session_decode(session, &row, 1, err);
    }
    putchar('\n');
    el_detok_close(detok);
    el_free(ids);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: generate MODEL PROMPT N_TOKENS\n");
        return EL_E_USAGE;
    }
    struct el_err err = {0};
    struct el_source *source = NULL;
    struct el_model *model = NULL;
    struct el_tokenizer *tok = NULL;
    struct el_session *session = NULL;
    struct el_sampler *sampler = NULL;
    struct el_sampler_opts sampling = el_sampler_defaults();
    sampling.temp = 0;
    int status = (int)el_source_open(argv[1], NULL, &source, &err);
    if (status == EL_OK)
        status = (int)el_model_open(source, NULL, &model, &err);
    if (status == EL_OK)
        status = (int)el_tokenizer_open(source, &tok, &err);
    if (status == EL_OK)
        status = (int)el_session_open(model, NULL, &session, &err);
    if (status == EL_OK)
        status = (int)el_sampler_open(&sampling, el_model_info(model).n_vocab, &sampler, &err);
    if (status == EL_OK)
        status = generate(session, tok, sampler, argv[2], strtol(argv[3], NULL, 10), &err);
    if (status != EL_OK)
        fprintf(stderr, "generate: %s\n", err.text);
    el_sampler_close(sampler);
    el_session_close(session);
    el_tokenizer_close(tok);
    el_model_close(model);
    el_source_close(source);
    return status;
}
