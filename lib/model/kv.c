/* The store of keys and values: one slab per half, addressed [seq][layer][kv head], each head in whole tiles. */
#include "model/kv.h"

#include "base/checked.h"
#include "base/err.h"
#include "base/mem.h"

/* Positions that a head has room for: whole tiles. */
static uint64_t room(const struct el_kv_dims *d)
{
    return ((uint64_t)d->n_ctx + EL_KV_TILE - 1) / EL_KV_TILE * EL_KV_TILE;
}

static bool half_size(struct el_kv_half *half, const struct el_kv_dims *d)
{
    half->row_nbytes = el_kv_row_nbytes(half->type, d->d_head);
    uint64_t n = half->row_nbytes;
    const bool fits = el_mul_u64(n, room(d), &n) && el_mul_u64(n, d->n_kv_heads, &n) && el_mul_u64(n, d->n_layers, &n) &&
                      el_mul_u64(n, d->n_seqs, &n) && n <= SIZE_MAX / 2;
    half->nbytes = fits ? n : 0;
    return fits;
}

enum el_status el_kv_open(struct el_kv *kv, const struct el_kv_dims *dims, enum el_kv_type k_type, enum el_kv_type v_type,
                          struct el_err *err)
{
    *kv = (struct el_kv){.dims = *dims, .k = {.type = k_type, .is_key = true}, .v = {.type = v_type}};
    if ((k_type == EL_KV_Q8_0 || v_type == EL_KV_Q8_0) && dims->d_head % EL_KV_BLOCK != 0)
        return el_fail(err, EL_E_USAGE, "%s cache type 'q8_0', which needs heads of a multiple of %d; this model's have %u",
                       k_type == EL_KV_Q8_0 ? "key" : "value", EL_KV_BLOCK, dims->d_head);
    if (!half_size(&kv->k, dims) || !half_size(&kv->v, dims))
        return el_fail(err, EL_E_MEMORY, "a KV cache of %u sequences of %u positions does not fit in memory", dims->n_seqs,
                       dims->n_ctx);
    kv->n_past = el_calloc_array(dims->n_seqs, sizeof *kv->n_past);
    kv->k.data = el_alloc_aligned((size_t)kv->k.nbytes);
    kv->v.data = el_alloc_aligned((size_t)kv->v.nbytes);
    if (kv->n_past && kv->k.data && kv->v.data)
        return EL_OK;
    const double gib = (double)(kv->k.nbytes + kv->v.nbytes) / (1024.0 * 1024.0 * 1024.0);
    el_kv_close(kv);
    return el_fail(err, EL_E_MEMORY, "out of memory for a KV cache of %.2f GiB (%u sequences of %u positions)", gib, dims->n_seqs,
                   dims->n_ctx);
}

void el_kv_close(struct el_kv *kv)
{
    el_free(kv->n_past);
    el_free_aligned(kv->k.data);
    el_free_aligned(kv->v.data);
    *kv = (struct el_kv){0};
}

void *el_kv_head(const struct el_kv *kv, const struct el_kv_half *half, uint32_t seq, uint32_t layer, uint32_t head)
{
    const struct el_kv_dims *const d = &kv->dims;
    const uint64_t at = ((uint64_t)seq * d->n_layers + (layer - kv->first_layer)) * d->n_kv_heads + head;
    return half->data + at * room(d) * half->row_nbytes;
}
