/*
 * Where calibration keeps the residual stream, and what it has finished, so that a run that was killed goes on behind the last
 * layer that was complete.
 *
 *   two records, 512 bytes each: which of two slots of every lane holds the rows behind the last layer, how long the log is
 *   lanes, two slots each (without a state file one)
 *   log: every write to the statistics, as tensor, offset, number of bytes, bytes
 *
 * A layer writes to the other slot and to the end of the log; when both are on the disk, the other record says so. So whatever
 * is stopped where, one record is whole and what it names is too.
 */
#ifndef EL_QUANT_CALIB_STATE_H
#define EL_QUANT_CALIB_STATE_H

#include "model/stream.h"

struct el_calib_state;

enum { EL_CALIB_LANES = 2 };

/*
 * path NULL: a scratch file beside `beside`, nothing is kept. key: 64 hex digits that name all that the result depends on; *done
 * layers are finished, 0 to n, or -1 when not even the embedding is. EL_E_USAGE: the file is of another run, or none.
 */
enum el_status el_calib_state_open(const char *path, const char *beside, const char key[65], uint32_t n_lanes,
                                   uint64_t lane_nbytes, struct el_calib_state **state, int64_t *done, struct el_err *err);
void el_calib_state_close(struct el_calib_state *state);

/* Lane i as the last finished layer left it, and where the next one goes (without a state file the same place). */
struct el_lane el_calib_state_from(const struct el_calib_state *state, uint32_t lane);
struct el_lane el_calib_state_to(const struct el_calib_state *state, uint32_t lane);

/* An el_stats_tee_fn; user is the state. */
enum el_status el_calib_state_tee(void *user, uint64_t tensor, uint64_t offset, const void *data, uint64_t nbytes,
                                  struct el_err *err);
/* Everything so far is on the disk, and `done` layers are finished. */
enum el_status el_calib_state_commit(struct el_calib_state *state, uint32_t done, struct el_err *err);
/* Makes the writes of the log again. EL_E_FORMAT: it is damaged. */
enum el_status el_calib_state_replay(struct el_calib_state *state, struct el_sink *sink, struct el_err *err);

#endif
