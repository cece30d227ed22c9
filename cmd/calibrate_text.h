/* The texts of calibrate as windows of token ids: plain text, JSON lines with documents or conversations. */
#ifndef CMD_CALIBRATE_TEXT_H
#define CMD_CALIBRATE_TEXT_H

#include "cmd/model_io.h"

struct calibrate_text {
    int32_t *ids; /* [n_ids]; all malloc'ed */
    uint32_t *window_n;
    size_t n_ids, n_windows, cap_ids, cap_windows;
    char **names, (*sha256)[65];
    size_t n_names;
    char protocol[256];
};

struct calibrate_text_opts {
    const char *const *paths; /* [n_paths]; none: the text that comes with the program */
    size_t n_paths;
    uint32_t n_ctx;
    uint64_t max_windows; /* 0: all */
    bool parse_special;   /* in plain text; conversations always */
};

/*
 * Reads and encodes. Plain text becomes windows of n_ctx ids, the first id of each replaced by BOS where the model puts that in
 * front (as llama.cpp does), a shorter last one left out unless it is the only one. A file NAME.jsonl has one document a line: a
 * string, or an object with "text", or with "messages" (or "conversations"), which the model's chat template writes out; a
 * document is cut into windows, of which the last may be short. EL_E_FORMAT names the line.
 */
enum el_status calibrate_text_read(struct calibrate_text *text, const struct model_io *io, const struct calibrate_text_opts *opts,
                                   struct el_err *err);
void calibrate_text_free(struct calibrate_text *text);

/* The text that comes with the program. */
extern const char calibration_text[], calibration_text_end[];
#define CALIBRATION_TEXT_NAME "edgellm calibration text 1"

#endif
