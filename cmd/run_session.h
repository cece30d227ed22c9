/* What run does with a session: prompts in batches, and the file that keeps a prompt (--prompt-cache). */
#ifndef CMD_RUN_SESSION_H
#define CMD_RUN_SESSION_H

#include "cmd/model_io.h"
#include "cmd/run_args.h"
#include "cmd/run_writer.h"

/*
 * Runs ids [n_ids] from position n_past < n_ids on, in batches, as sequence 0. *row: where the logits of the last one are.
 * Interrupted, the sequence holds what whole batches have left in it.
 */
enum el_status run_prefill(struct model_io *io, const int32_t *ids, size_t n_past, size_t n_ids, size_t *row, struct el_err *err);

/* Writes token by token as sequence 0, from logits in row `row` on, until the text ends. */
enum el_status run_predict(struct model_io *io, struct writer *w, size_t row, struct el_err *err);
/* Prints text on standard output at once; visible: as a terminal may show it. */
enum el_status run_print(const char *text, size_t nbytes, bool visible, struct el_err *err);

/* Times of one text. */
struct run_times {
    size_t n_prompt, n_cached, n_text; /* n_cached: of the prompt, not run */
    uint64_t prompt_ns, predict_ns;
};
double run_per_second(size_t n, uint64_t ns);
void run_print_times(const struct run_times *t);

struct prompt_cache {
    char model[65]; /* hash of the model and of all options that change its numbers */
    size_t n_loaded;
};
/* Takes what begins like ids from the file, if there is one; the sequence then holds n_loaded < n_ids positions. */
enum el_status prompt_cache_load(struct prompt_cache *c, const struct run_args *a, struct model_io *io, const int32_t *ids,
                                 size_t n_ids, struct el_err *err);
/* Writes the file anew. */
enum el_status prompt_cache_save(const struct prompt_cache *c, const struct run_args *a, struct model_io *io, const int32_t *ids,
                                 size_t n_ids, struct el_err *err);

#endif
