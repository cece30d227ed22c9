/* JSON members that the forms of run's output share. */
#ifndef CMD_RUN_JSON_H
#define CMD_RUN_JSON_H

#include "cmd/json_out.h"
#include "cmd/run_writer.h"

/* text, ids, logprobs when asked for, n_prompt, n_predict, stop_reason, stop_string, seed. */
enum el_status run_json_text(struct json_out *j, const struct writer *w, struct el_err *err);

#endif
