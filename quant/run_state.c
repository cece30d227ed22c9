#include "quant/run_state.h"

#include <stdatomic.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/workfile.h"

enum {
    MAGIC_NBYTES = 16,
    KEY_NBYTES = EL_RUN_KEY_PARTS * EL_RUN_PART_NBYTES,
    RECORD_NBYTES = 512,
    N_NUMBERS = 4,
    BODY_NBYTES = MAGIC_NBYTES + KEY_NBYTES + N_NUMBERS * 8, /* then its SHA-256 in hex */
    HEAD_NBYTES = 4096,
    PIECE_NBYTES = 1 << 20,
    WRITE_NBYTES = 24, /* in front of the bytes of a write */
};

struct el_run_state {
    struct el_workfile *file;
    const struct el_run_kind *kind;
    char key[KEY_NBYTES + 1];
    bool kept;
    uint32_t n_lanes, slot;
    uint64_t lane_nbytes, seq, committed;
    atomic_uint_least64_t log_nbytes;
};

static uint64_t log_at(const struct el_run_state *s)
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
static bool is_record(const struct el_run_state *s, const uint8_t *r)
{
    char hex[65];
    el_sha256_bytes(r, BODY_NBYTES, hex);
    return memcmp(r, s->kind->magic, MAGIC_NBYTES) == 0 && memcmp(r + BODY_NBYTES, hex, KEY_NBYTES) == 0;
}

/* done counts from 1: 0 says that nothing is finished yet. */
static enum el_status write_record(struct el_run_state *s, uint64_t done, struct el_err *err)
{
    uint8_t record[RECORD_NBYTES] = {0};
    char hex[65];
    uint8_t *const numbers = record + MAGIC_NBYTES + KEY_NBYTES;
    memcpy(record, s->kind->magic, MAGIC_NBYTES);
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

static bool is_zero(const uint8_t *p, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++)
        if (p[i])
            return false;
    return true;
}

/* Takes over the later of the whole records. */
static enum el_status read_records(struct el_run_state *s, const char *path, uint64_t nbytes, int64_t *done, struct el_err *err)
{
    uint8_t records[2 * RECORD_NBYTES];
    const uint8_t *best = NULL;
    if (nbytes == 0)
        return EL_OK;
    if (nbytes < HEAD_NBYTES)
        return el_fail(err, EL_E_USAGE, "'%s': is not the state of a %s", path, s->kind->what);
    EL_TRY(el_workfile_read(s->file, 0, records, sizeof records, err));
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *const r = records + i * RECORD_NBYTES;
        if (is_record(s, r) &&
            (!best || get_number(r + MAGIC_NBYTES + KEY_NBYTES) > get_number(best + MAGIC_NBYTES + KEY_NBYTES)))
            best = r;
    }
    /* What was killed before its first record has nothing but the space for it. */
    if (!best && nbytes == HEAD_NBYTES && is_zero(records, sizeof records))
        return write_record(s, 0, err);
    if (!best)
        return el_fail(err, EL_E_USAGE, "'%s': is not the state of a %s", path, s->kind->what);
    for (size_t k = 0; k < EL_RUN_KEY_PARTS; k++)
        if (memcmp(best + MAGIC_NBYTES + k * EL_RUN_PART_NBYTES, s->key + k * EL_RUN_PART_NBYTES, EL_RUN_PART_NBYTES) != 0)
            return el_fail(err, EL_E_USAGE, "'%s': is the state of another %s: %s", path, s->kind->what, s->kind->others[k]);
    const uint8_t *const numbers = best + MAGIC_NBYTES + KEY_NBYTES;
    s->seq = get_number(numbers);
    *done = (int64_t)get_number(numbers + 8) - 1;
    s->slot = (uint32_t)(get_number(numbers + 16) & 1);
    s->committed = get_number(numbers + 24);
    atomic_store(&s->log_nbytes, s->committed);
    return EL_OK;
}

/* ---- opening ---- */

static enum el_status open_state(struct el_run_state *s, const char *path, int64_t *done, struct el_err *err)
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

enum el_status el_run_state_open(const char *path, const char *beside, const struct el_run_kind *kind, const char key[65],
                                 uint32_t n_lanes, uint64_t lane_nbytes, struct el_run_state **state, int64_t *done,
                                 struct el_err *err)
{
    *state = NULL;
    *done = -1;
    struct el_run_state *const s = el_calloc_array(1, sizeof *s);
    if (!s)
        return el_fail(err, EL_E_MEMORY, "out of memory for the state of a %s", kind->what);
    *s = (struct el_run_state){.kind = kind, .kept = path != NULL, .n_lanes = n_lanes, .lane_nbytes = lane_nbytes};
    memcpy(s->key, key, KEY_NBYTES + 1);
    const enum el_status status = path ? open_state(s, path, done, err) : el_workfile_scratch(beside, &s->file, err);
    if (status != EL_OK) {
        el_run_state_close(s);
        return status;
    }
    *state = s;
    return EL_OK;
}

void el_run_state_close(struct el_run_state *state)
{
    if (!state)
        return;
    el_workfile_close(state->file);
    el_free(state);
}

/* ---- lanes ---- */

static struct el_lane lane_at(const struct el_run_state *s, uint32_t lane, uint32_t slot)
{
    return (struct el_lane){s->file, HEAD_NBYTES + (s->kept ? lane * 2 + slot : lane) * s->lane_nbytes};
}

struct el_lane el_run_state_from(const struct el_run_state *state, uint32_t lane)
{
    return lane_at(state, lane, state->slot);
}

struct el_lane el_run_state_to(const struct el_run_state *state, uint32_t lane)
{
    return lane_at(state, lane, 1 - state->slot);
}

/* ---- the log ---- */

enum el_status el_run_state_tee(void *user, uint64_t tensor, uint64_t offset, const void *data, uint64_t nbytes,
                                struct el_err *err)
{
    struct el_run_state *const s = user;
    uint8_t head[WRITE_NBYTES];
    if (!s->kept)
        return EL_OK;
    put_number(head, tensor);
    put_number(head + 8, offset);
    put_number(head + 16, nbytes);
    const uint64_t at = log_at(s) + atomic_fetch_add(&s->log_nbytes, sizeof head + nbytes);
    EL_TRY(el_workfile_write(s->file, at, head, sizeof head, err));
    return el_workfile_write(s->file, at + sizeof head, data, nbytes, err);
}

enum el_status el_run_state_commit(struct el_run_state *state, uint32_t done, struct el_err *err)
{
    struct el_run_state *const s = state;
    if (!s->kept)
        return EL_OK;
    EL_TRY(el_workfile_sync(s->file, err));
    s->slot = 1 - s->slot;
    s->committed = atomic_load(&s->log_nbytes);
    s->seq++;
    return write_record(s, (uint64_t)done + 1, err);
}

/* ---- again ---- */

enum el_status el_run_state_damaged(const struct el_run_state *state, struct el_err *err)
{
    return el_fail(err, EL_E_FORMAT, "the state of the %s is damaged", state->kind->what);
}

enum el_status el_run_replay_write(const struct el_run_state *state, struct el_sink *sink, uint64_t tensor, uint32_t part,
                                   uint64_t offset, const void *data, uint64_t nbytes, struct el_err *err)
{
    if (tensor >= sink->n_tensors || part >= sink->tensors[tensor].n_parts || offset > sink->tensors[tensor].parts[part].nbytes ||
        nbytes > sink->tensors[tensor].parts[part].nbytes - offset)
        return el_run_state_damaged(state, err);
    return sink->ops->write(sink, tensor, part, offset, data, nbytes, err);
}

/* One write of the log, whose bytes begin at `at`. */
static enum el_status replay_one(struct el_run_state *s, const uint8_t head[WRITE_NBYTES], uint64_t at, uint8_t *piece,
                                 el_run_replay_fn *fn, void *user, struct el_err *err)
{
    const uint64_t tensor = get_number(head), nbytes = get_number(head + 16);
    uint64_t offset = get_number(head + 8);
    for (uint64_t done = 0, n; done < nbytes; done += n, offset += n) {
        n = nbytes - done < PIECE_NBYTES ? nbytes - done : PIECE_NBYTES;
        EL_TRY(el_workfile_read(s->file, log_at(s) + at + done, piece, n, err));
        EL_TRY(fn(user, tensor, offset, piece, n, err));
    }
    return EL_OK;
}

enum el_status el_run_state_replay(struct el_run_state *state, el_run_replay_fn *fn, void *user, struct el_err *err)
{
    uint8_t head[WRITE_NBYTES], *const piece = el_alloc(PIECE_NBYTES);
    enum el_status status = EL_OK;
    if (!piece)
        return el_fail(err, EL_E_MEMORY, "out of memory for the state of a %s", state->kind->what);
    for (uint64_t at = 0; at < state->committed && status == EL_OK; at += sizeof head + get_number(head + 16)) {
        status = el_workfile_read(state->file, log_at(state) + at, head, sizeof head, err);
        if (status == EL_OK && get_number(head + 16) > state->committed - at)
            status = el_run_state_damaged(state, err);
        if (status == EL_OK)
            status = replay_one(state, head, at + sizeof head, piece, fn, user, err);
        if (status == EL_OK && el_interrupted())
            status = el_fail(err, EL_E_INTERRUPTED, "interrupted");
    }
    el_free(piece);
    return status;
}
