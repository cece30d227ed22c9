/*
 * One text being written: its prompt, its sampler and what they have given so far. It runs nothing: whoever has the logits of the
 * last token hands them in, one text at a time or many side by side, and the text is the same.
 */
#ifndef CMD_RUN_WRITER_H
#define CMD_RUN_WRITER_H

#include "cmd/model_io.h"
#include "cmd/run_args.h"
#include "cmd/stopper.h"

/* A token and its log probability, before any sampler. */
struct writer_logprob {
    int32_t id;
    double logprob;
};

/* Prints text at once; may be NULL. EL_E_IO: nobody can read it, so writing more would be in vain. */
typedef enum el_status writer_emit_fn(void *user, const char *text, size_t nbytes, struct el_err *err);

struct writer {
    const struct run_args *a;
    const struct model_io *io;
    writer_emit_fn *emit;
    void *user;
    int32_t *prompt;
    size_t n_prompt;
    uint64_t n_max; /* tokens to write at most */
    uint64_t seed;
    struct el_grammar_run *grammar_run;
    struct el_sampler *sampler;
    struct el_detok *detok;
    struct stopper stopper;
    int32_t *ids; /* written tokens */
    size_t n_ids, cap;
    char *text; /* all that was emitted */
    size_t text_nbytes, text_cap;
    struct writer_logprob *logprobs; /* [n_ids][1 + n_logprobs]: the token, then the most likely ones */
    size_t logprobs_cap;
    double *scores; /* [n_vocab] */
    bool done;
    const char *stop_reason; /* "eog", "stop", "length", "context", "interrupted" */
    const char *stop_string;
};

/* Tokens of context that the options and the model allow. */
uint32_t writer_context(const struct run_args *a, const struct el_model_info *info);

/*
 * Reads the prompt into a writer that is zero but for a, io, emit and user; sets n_prompt and n_max. rendered: it comes from a
 * chat template, which has written all control tokens but a BOS that is missing. EL_E_USAGE: longer than n_ctx tokens.
 */
enum el_status writer_prompt(struct writer *w, const char *text, size_t nbytes, bool rendered, uint32_t n_ctx,
                             struct el_err *err);
/* Positions that the whole text needs: its last token is not run. */
uint32_t writer_n_positions(const struct writer *w);
/* Opens sampler and decoder, which have then seen the prompt. grammar is borrowed; NULL: any text. */
enum el_status writer_open(struct writer *w, const struct el_grammar *grammar, struct el_err *err);
/* Puts the prompt's own text in front. */
enum el_status writer_echo(struct writer *w, const char *text, size_t nbytes, struct el_err *err);
/* Chooses a token by the logits after the last one and emits its text. Sets done when the text ends. */
enum el_status writer_step(struct writer *w, const float *logits, struct el_err *err);
/* Ends a text that is not done, and emits what was held back. */
enum el_status writer_stop(struct writer *w, const char *reason, struct el_err *err);
void writer_close(struct writer *w);

#endif
