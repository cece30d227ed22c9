#include "quant/calib_state.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/workfile.h"

enum {
    MAGIC_NBYTES = 16,
    KEY_NBYTES = 64,
    RECORD_NBYTES = 512,
    N_NUMBERS = 4,
    BODY_NBYTES = MAGIC_NBYTES + KEY_NBYTES + N_NUMBERS * 8, /* then its SHA-256 in hex */
    HEAD_NBYTES = 4096,
    PIECE_NBYTES = 1 << 20,
};
static const char magic[MAGIC_NBYTES + 1] = "edgellm-calib-1\n";

struct el_calib_state {
    struct el_workfile *file;
    char key[KEY_NBYTES + 1];
    bool kept;
    uint32_t n_lanes, slot;
    uint64_t lane_nbytes, seq, log_nbytes, committed;
};

static uint64_t log_at(const struct el_calib_state *s)
{
    return HEAD_NBYTES + s->lane_nbytes * s->n_lanes * (s->kept ? 2 : 1);
}

static void put_number(uint8_t *p, uint64_t v)
{
    for (size_t i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_number(const uint8_t *p)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* ---- records ---- */

/* Is this a whole record? Its key need not be ours. */
static bool is_record(const uint8_t *r)
{
    char hex[65];
    el_sha256_bytes(r, BODY_NBYTES, hex);
    return memcmp(r, magic, MAGIC_NBYTES) == 0 && memcmp(r + BODY_NBYTES, hex, KEY_NBYTES) == 0;
}

/* Takes over the later of the whole records. */
static enum el_status read_records(struct el_calib_state *s, const char *path, uint64_t nbytes, int64_t *done, struct el_err *err)
{
    uint8_t records[2 * RECORD_NBYTES];
    const uint8_t *best = NULL;
    if (nbytes == 0)
        return EL_OK;
    /* What was killed before its first record has nothing but its rows. */
    if (nbytes < HEAD_NBYTES)
        return el_fail(err, EL_E_USAGE, "'%s': is not the state of a calibration", path);
    EL_TRY(el_workfile_read(s->file, 0, records, sizeof records, err));
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *const r = records + i * RECORD_NBYTES;
        if (is_record(r) && (!best || get_number(r + MAGIC_NBYTES + KEY_NBYTES) > get_number(best + MAGIC_NBYTES + KEY_NBYTES)))
            best = r;
    }
    if (!best)
        return el_fail(err, EL_E_USAGE, "'%s': is not the state of a calibration", path);
    if (memcmp(best + MAGIC_NBYTES, s->key, KEY_NBYTES) != 0)
        return el_fail(err, EL_E_USAGE, "'%s': is the state of another calibration: of another model, text, option or CPU level",
                       path);
    const uint8_t *const numbers = best + MAGIC_NBYTES + KEY_NBYTES;
    s->seq = get_number(numbers);
    *done = (int64_t)get_number(numbers + 8) - 1;
    s->slot = (uint32_t)(get_number(numbers + 16) & 1);
    s->log_nbytes = s->committed = get_number(numbers + 24);
    return EL_OK;
}

/* done counts from 1: 0 says that nothing is finished yet. */
static enum el_status write_record(struct el_calib_state *s, uint64_t done, struct el_err *err)
{
    uint8_t record[RECORD_NBYTES] = {0};
    char hex[65];
    uint8_t *const numbers = record + MAGIC_NBYTES + KEY_NBYTES;
    memcpy(record, magic, MAGIC_NBYTES);
    memcpy(record + MAGIC_NBYTES, s->key, KEY_NBYTES);
    put_number(numbers, s->seq);
    put_number(numbers + 8, done);
    put_number(numbers + 16, s->slot);
    put_number(numbers + 24, s->committed);
    el_sha256_bytes(record, BODY_NBYTES, hex);
    memcpy(record + BODY_NBYTES, hex, KEY_NBYTES);
    EL_TRY(el_workfile_write(s->file, (s->seq & 1) * RECORD_NBYTES, record, sizeof record, err));
    return el_workfile_sync(s->file, err);
}

/* ---- opening ---- */

static enum el_status open_state(struct el_calib_state *s, const char *path, int64_t *done, struct el_err *err)
{
    uint64_t nbytes;
    EL_TRY(el_workfile_state(path, &s->file, &nbytes, err));
    EL_TRY(read_records(s, path, nbytes, done, err));
    if (nbytes > 0)
        return EL_OK;
    /* The first thing in the file says what it is. */
    static const uint8_t zeros[HEAD_NBYTES];
    EL_TRY(el_workfile_write(s->file, 0, zeros, sizeof zeros, err));
    return write_record(s, 0, err);
}

enum el_status el_calib_state_open(const char *path, const char *beside, const char key[65], uint32_t n_lanes,
                                   uint64_t lane_nbytes, struct el_calib_state **state, int64_t *done, struct el_err *err)
{
    *state = NULL;
    *done = -1;
    struct el_calib_state *const s = el_calloc_array(1, sizeof *s);
    if (!s)
        return el_fail(err, EL_E_MEMORY, "out of memory for the state of a calibration");
    *s = (struct el_calib_state){.kept = path != NULL, .n_lanes = n_lanes, .lane_nbytes = lane_nbytes};
    memcpy(s->key, key, KEY_NBYTES + 1);
    const enum el_status status = path ? open_state(s, path, done, err) : el_workfile_scratch(beside, &s->file, err);
    if (status != EL_OK) {
        el_calib_state_close(s);
        return status;
    }
    *state = s;
    return EL_OK;
}

void el_calib_state_close(struct el_calib_state *state)
{
    if (!state)
        return;
    el_workfile_close(state->file);
    el_free(state);
}

/* ---- lanes ---- */

static struct el_lane lane_at(const struct el_calib_state *s, uint32_t lane, uint32_t slot)
{
    return (struct el_lane){s->file, HEAD_NBYTES + (s->kept ? lane * 2 + slot : lane) * s->lane_nbytes};
}

struct el_lane el_calib_state_from(const struct el_calib_state *state, uint32_t lane)
{
    return lane_at(state, lane, state->slot);
}

struct el_lane el_calib_state_to(const struct el_calib_state *state, uint32_t lane)
{
    return lane_at(state, lane, 1 - state->slot);
}

/* ---- the log ---- */

enum el_status el_calib_state_tee(void *user, uint64_t tensor, uint64_t offset, const void *data, uint64_t nbytes,
                                  struct el_err *err)
{
    struct el_calib_state *const s = user;
    uint8_t head[24];
    if (!s->kept)
        return EL_OK;
    put_number(head, tensor);
    put_number(head + 8, offset);
    put_number(head + 16, nbytes);
    EL_TRY(el_workfile_write(s->file, log_at(s) + s->log_nbytes, head, sizeof head, err));
    EL_TRY(el_workfile_write(s->file, log_at(s) + s->log_nbytes + sizeof head, data, nbytes, err));
    s->log_nbytes += sizeof head + nbytes;
    return EL_OK;
}

enum el_status el_calib_state_commit(struct el_calib_state *state, uint32_t done, struct el_err *err)
{
    struct el_calib_state *const s = state;
    if (!s->kept)
        return EL_OK;
    EL_TRY(el_workfile_sync(s->file, err));
    s->slot = 1 - s->slot;
    s->committed = s->log_nbytes;
    s->seq++;
    return write_record(s, (uint64_t)done + 1, err);
}

static enum el_status damaged(struct el_err *err)
{
    return el_fail(err, EL_E_FORMAT, "the state of the calibration is damaged");
}

enum el_status el_calib_state_replay(struct el_calib_state *state, struct el_sink *sink, struct el_err *err)
{
    uint8_t head[24], *const piece = el_alloc(PIECE_NBYTES);
    enum el_status status = piece ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for the state of a calibration");
    for (uint64_t at = 0; at < state->committed && status == EL_OK;) {
        status = el_workfile_read(state->file, log_at(state) + at, head, sizeof head, err);
        if (status != EL_OK)
            break;
        const uint64_t tensor = get_number(head), nbytes = get_number(head + 16);
        uint64_t offset = get_number(head + 8), left = nbytes;
        at += sizeof head;
        if (nbytes > state->committed - at || tensor >= sink->n_tensors || offset > sink->tensors[tensor].parts[0].nbytes ||
            nbytes > sink->tensors[tensor].parts[0].nbytes - offset) {
            status = damaged(err);
            break;
        }
        while (left > 0 && status == EL_OK) {
            const uint64_t n = left < PIECE_NBYTES ? left : PIECE_NBYTES;
            status = el_workfile_read(state->file, log_at(state) + at, piece, n, err);
            if (status == EL_OK)
                status = sink->ops->write(sink, tensor, 0, offset, piece, n, err);
            at += n;
            offset += n;
            left -= n;
        }
    }
    el_free(piece);
    return status;
}
