/* What a session is made of, for those that take a pass apart: session.c and stream.c. */
#ifndef EL_MODEL_SESSION_IMPL_H
#define EL_MODEL_SESSION_IMPL_H

#include "model/kv.h"
#include "model/model.h"

enum { EL_HEAD_ROWS = 64 }; /* rows of logits that a session by layer has room for */

struct el_session {
    const struct el_model *model;
    struct el_kv kv;
    struct el_run run;
    struct el_kernels kernels; /* without int8 activations, where the model is not to have them */
    uint32_t n_batch;
    bool by_layer;
    void *arena; /* everything below and in run that is not the KV store */
    uint64_t arena_nbytes;
    uint32_t *next_pos;   /* [n_seqs] while a batch is checked */
    uint32_t *out_of_row; /* [n_batch] index among the logits, UINT32_MAX for none */
    uint32_t n_rows;      /* of the last decode that succeeded */
};

/*
 * A session that one layer at a time is run in: its store of keys and values holds the layer kv.first_layer, and there is room
 * for EL_HEAD_ROWS rows of logits. The model may have no more than its global weights now.
 */
enum el_status el_session_open_by_layer(const struct el_model *model, const struct el_session_opts *opts,
                                        struct el_session **session, struct el_err *err);
/* Sets the run up for n rows, which have been checked: positions, rows that ask for logits. */
void el_session_begin_batch(struct el_session *s, const struct el_row *rows, uint32_t n);

#endif
