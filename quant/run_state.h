/*
 * What a run that was killed has finished, so that the next one goes on from there: a file beside the output. Calibration also
 * keeps the residual stream in it, and both keep what they wrote to their output, which has no name before it is complete.
 *
 *   two records, 512 bytes each: which of two slots of every lane holds the rows behind the last layer, how long the log is
 *   lanes, two slots each (without a state file one)
 *   log: every write to the output, as tensor, offset, number of bytes, bytes
 *
 * A step writes to the other slot and to the end of the log; when both are on the disk, the other record says so. So whatever
 * is stopped where, one record is whole and what it names is too.
 */
#ifndef EL_QUANT_RUN_STATE_H
#define EL_QUANT_RUN_STATE_H

#include "model/stream.h"

struct el_run_state;

enum { EL_RUN_LANES = 2, EL_RUN_KEY_PARTS = 4, EL_RUN_PART_NBYTES = 16 };

/* Whose state it is. */
struct el_run_kind {
    char magic[17];   /* 16 characters, the first thing in the file */
    const char *what; /* "calibration" */
    /* What is another one where part k of the key is (EL_RUN_PART_NBYTES hex digits each): "of another model". */
    const char *others[EL_RUN_KEY_PARTS];
};

/*
 * path NULL: a scratch file beside `beside`, nothing is kept. key: 64 hex digits that name all that the result depends on; *done
 * steps are finished, 0 to n, or -1 when not even the beginning is. EL_E_USAGE: the file is of another run, or none.
 */
enum el_status el_run_state_open(const char *path, const char *beside, const struct el_run_kind *kind, const char key[65],
                                 uint32_t n_lanes, uint64_t lane_nbytes, struct el_run_state **state, int64_t *done,
                                 struct el_err *err);
void el_run_state_close(struct el_run_state *state);

/* Lane i as the last finished step left it, and where the next one goes (without a state file the same place). */
struct el_lane el_run_state_from(const struct el_run_state *state, uint32_t lane);
struct el_lane el_run_state_to(const struct el_run_state *state, uint32_t lane);

/* An el_stats_tee_fn; user is the state. Any thread; the log has the writes of several in any order. */
enum el_status el_run_state_tee(void *user, uint64_t tensor, uint64_t offset, const void *data, uint64_t nbytes,
                                struct el_err *err);
/* Everything so far is on the disk, and `done` steps are finished. Not while others write. */
enum el_status el_run_state_commit(struct el_run_state *state, uint32_t done, struct el_err *err);

/* One write of the log again, or a piece of it. EL_E_FORMAT: el_run_state_damaged. */
typedef enum el_status el_run_replay_fn(void *user, uint64_t tensor, uint64_t offset, const void *data, uint64_t nbytes,
                                        struct el_err *err);
/* Makes the writes of the log again, in pieces of at most 1 MiB. */
enum el_status el_run_state_replay(struct el_run_state *state, el_run_replay_fn *fn, void *user, struct el_err *err);
/* For writes that cannot be. */
enum el_status el_run_state_damaged(const struct el_run_state *state, struct el_err *err);
/* A write to part `part` of a tensor of the sink, checked. */
enum el_status el_run_replay_write(const struct el_run_state *state, struct el_sink *sink, uint64_t tensor, uint32_t part,
                                   uint64_t offset, const void *data, uint64_t nbytes, struct el_err *err);

#endif
