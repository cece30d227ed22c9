/*
 * The state of a packing, for --resume (quant/run_state.h): its log has every write to the sink, the tally of every tensor that
 * is done, and where the sequence of strips stood. A run that goes on makes the writes again and continues behind them.
 */
#ifndef EL_QUANT_PACK_LOG_H
#define EL_QUANT_PACK_LOG_H

#include "quant/tally.h"

struct el_pack_log;

/* Where the sequence of strips stands, and the sums of the tensor that is being accounted for. */
struct el_pack_place {
    uint64_t tensor, row;
    struct el_tally tally;
};

/* All that the bytes of the output depend on; strings of 64 hex digits. */
struct el_pack_key {
    char model[65];      /* el_source_fingerprint of the source */
    char statistics[65]; /* and of the statistics; "" without */
    char output[65];     /* metadata, tensors and their encodings: the plan is among them; and the options of the methods */
};

/*
 * path: of the state, made when it is not there. EL_E_USAGE: it is of another packing, and the message says what is another.
 * *resumed: it is of this one, and el_pack_log_replay is wanted.
 */
enum el_status el_pack_log_open(const char *path, const struct el_pack_key *key, struct el_pack_log **log, bool *resumed,
                                struct el_err *err);
void el_pack_log_close(struct el_pack_log *log);

/* Of a tensor that is done already. */
typedef void el_pack_log_fn(void *user, uint64_t tensor, const struct el_tally *tally);
/* Writes to the sink what was written, tells of tensors in their order, and sets *place to go on from. */
enum el_status el_pack_log_replay(struct el_pack_log *log, struct el_sink *sink, struct el_pack_place *place, el_pack_log_fn *fn,
                                  void *user, struct el_err *err);

/* Bytes that go to the sink. Any thread. */
enum el_status el_pack_log_write(struct el_pack_log *log, uint64_t tensor, uint32_t part, uint64_t offset, const void *data,
                                 uint64_t nbytes, struct el_err *err);
enum el_status el_pack_log_tensor(struct el_pack_log *log, uint64_t tensor, const struct el_tally *tally, struct el_err *err);
/* Everything so far is on the disk, and a later run goes on from this place. */
enum el_status el_pack_log_commit(struct el_pack_log *log, const struct el_pack_place *place, struct el_err *err);

/* The third part of a key. */
enum el_status el_pack_key_output(const struct el_meta *meta, const struct el_tensor *tensors, size_t n,
                                  const struct el_plan *plan, bool nan_to_zero, char hex[65], struct el_err *err);

#endif
