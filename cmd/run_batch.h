/* run --jsonl: many prompts in parallel sequences of one session. */
#ifndef CMD_RUN_BATCH_H
#define CMD_RUN_BATCH_H

#include "cmd/model_io.h"
#include "cmd/run_args.h"

/*
 * Continues the prompt of every line; when a sequence ends, the next line takes its place. Prints one JSON object a line. grammar
 * is for lines that bring none; NULL: any text. EL_E_PARTIAL: some lines failed, and their objects say why.
 */
enum el_status run_batch(const struct run_args *a, struct model_io *io, const struct el_grammar *grammar, struct el_err *err);

#endif
