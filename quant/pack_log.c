/* See pack_log.h. */
#include "quant/pack_log.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "quant/run_state.h"

/* Numbers in the place of a tensor's, of what is no write to the sink. */
#define DONE_TENSOR UINT64_MAX       /* offset: the tensor; bytes: its tally */
#define AT_PLACE    (UINT64_MAX - 1) /* a struct el_pack_place */

static const struct el_run_kind kind = {"edgellm-quant-1\n",
                                        "quantization",
                                        {"of another version of this program", "of another model, or its files have changed",
                                         "of other statistics", "with other options"}};

struct el_pack_log {
    struct el_run_state *state;
};

static void short_hash(const char *text, char out[EL_RUN_PART_NBYTES])
{
    char hex[65];
    el_sha256_bytes(text, strlen(text), hex);
    memcpy(out, hex, EL_RUN_PART_NBYTES);
}

enum el_status el_pack_log_open(const char *path, const struct el_pack_key *key, struct el_pack_log **log, bool *resumed,
                                struct el_err *err)
{
    char all[EL_RUN_KEY_PARTS * EL_RUN_PART_NBYTES + 1] = "";
    int64_t done;
    *log = NULL;
    struct el_pack_log *const l = el_calloc_array(1, sizeof *l);
    if (!l)
        return el_fail(err, EL_E_MEMORY, "pack: out of memory");
    const char *const parts[EL_RUN_KEY_PARTS] = {el_version(), key->model, key->statistics, key->output};
    for (size_t k = 0; k < EL_RUN_KEY_PARTS; k++)
        short_hash(parts[k], all + k * EL_RUN_PART_NBYTES);
    const enum el_status status = el_run_state_open(path, path, &kind, all, 0, 0, &l->state, &done, err);
    if (status != EL_OK) {
        el_free(l);
        return status;
    }
    *resumed = done >= 0;
    *log = l;
    return EL_OK;
}

void el_pack_log_close(struct el_pack_log *log)
{
    if (!log)
        return;
    el_run_state_close(log->state);
    el_free(log);
}

/* ---- again ---- */

struct replay {
    const struct el_pack_log *log;
    struct el_sink *sink;
    struct el_pack_place *place;
    el_pack_log_fn *fn;
    void *user;
};

static enum el_status write_again(void *user, uint64_t tensor, uint64_t offset, const void *data, uint64_t nbytes,
                                  struct el_err *err)
{
    const struct replay *const r = user;
    struct el_tally tally;
    if (tensor != DONE_TENSOR && tensor != AT_PLACE)
        return el_run_replay_write(r->log->state, r->sink, tensor / EL_MAX_PARTS, (uint32_t)(tensor % EL_MAX_PARTS), offset, data,
                                   nbytes, err);
    if (nbytes != (tensor == AT_PLACE ? sizeof *r->place : sizeof tally) ||
        (tensor == DONE_TENSOR && offset >= r->sink->n_tensors))
        return el_run_state_damaged(r->log->state, err);
    if (tensor == AT_PLACE) {
        memcpy(r->place, data, sizeof *r->place);
        return r->place->tensor <= r->sink->n_tensors ? EL_OK : el_run_state_damaged(r->log->state, err);
    }
    memcpy(&tally, data, sizeof tally);
    r->fn(r->user, offset, &tally);
    return EL_OK;
}

enum el_status el_pack_log_replay(struct el_pack_log *log, struct el_sink *sink, struct el_pack_place *place, el_pack_log_fn *fn,
                                  void *user, struct el_err *err)
{
    struct replay r = {log, sink, place, fn, user};
    return el_run_state_replay(log->state, write_again, &r, err);
}

/* ---- writing ---- */

enum el_status el_pack_log_write(struct el_pack_log *log, uint64_t tensor, uint32_t part, uint64_t offset, const void *data,
                                 uint64_t nbytes, struct el_err *err)
{
    return el_run_state_tee(log->state, tensor * EL_MAX_PARTS + part, offset, data, nbytes, err);
}

enum el_status el_pack_log_tensor(struct el_pack_log *log, uint64_t tensor, const struct el_tally *tally, struct el_err *err)
{
    return el_run_state_tee(log->state, DONE_TENSOR, tensor, tally, sizeof *tally, err);
}

enum el_status el_pack_log_commit(struct el_pack_log *log, const struct el_pack_place *place, struct el_err *err)
{
    EL_TRY(el_run_state_tee(log->state, AT_PLACE, 0, place, sizeof *place, err));
    return el_run_state_commit(log->state, (uint32_t)place->tensor, err);
}

/* ---- keys ---- */

static void add_value(struct el_sha256 *sha, const struct el_meta *meta, size_t i)
{
    const size_t n = el_meta_n_elems(meta, i);
    const enum el_meta_type type = el_meta_elem_type(meta, i);
    const uint64_t head[] = {(uint64_t)el_meta_type(meta, i), (uint64_t)type, n};
    el_sha256_add(sha, el_meta_key(meta, i), strlen(el_meta_key(meta, i)) + 1);
    el_sha256_add(sha, head, sizeof head);
    if (type != EL_META_STR) {
        el_sha256_add(sha, el_meta_raw(meta, i), n * el_meta_type_nbytes(type));
        return;
    }
    for (size_t j = 0; j < n; j++) {
        size_t nbytes;
        const char *const s = el_meta_str(meta, i, j, &nbytes);
        el_sha256_add(sha, s, nbytes + 1);
    }
}

static void add_tensor(struct el_sha256 *sha, const struct el_tensor *t, const struct el_plan_entry *entry)
{
    const char *const method = el_plan_method_name(entry);
    const uint64_t order[] = {(uint64_t)t->order.kind, t->order.n_heads, t->order.head_rows, t->order_elems};
    el_sha256_add(sha, t->name, strlen(t->name) + 1);
    el_sha256_add(sha, t->enc_name, strlen(t->enc_name) + 1);
    el_sha256_add(sha, method, strlen(method) + 1);
    el_sha256_add(sha, t->dims, t->n_dims * sizeof t->dims[0]);
    el_sha256_add(sha, order, sizeof order);
}

enum el_status el_pack_key_output(const struct el_meta *meta, const struct el_tensor *tensors, size_t n,
                                  const struct el_plan *plan, bool nan_to_zero, char hex[65], struct el_err *err)
{
    const struct el_method_opts *const how = &plan->how;
    struct el_sha256 *const sha = el_sha256_open();
    char text[160];
    if (!sha)
        return el_fail(err, EL_E_MEMORY, "pack: out of memory");
    for (size_t i = 0; i < el_meta_count(meta); i++)
        add_value(sha, meta, i);
    for (size_t i = 0; i < n; i++)
        add_tensor(sha, &tensors[i], &plan->entries[i]);
    const int nbytes = snprintf(text, sizeof text, "%a %s %u %d %d %a %d %d %d %d", how->damping, how->order ? how->order : "",
                                how->rounds, how->no_cross, nan_to_zero, how->alpha, how->input_scales, how->keep_tied,
                                how->online_rotation, how->no_descent);
    el_sha256_add(sha, text, (size_t)nbytes + 1);
    el_sha256_close(sha, hex);
    return EL_OK;
}
