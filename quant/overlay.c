/* See overlay.h. */
#include "quant/overlay.h"

#include <string.h>

#include "base/mem.h"

struct overlay {
    struct el_source *base;
    const struct el_made **made; /* [n_tensors]; NULL: as in the base */
};

static const struct el_made *made_of(const struct el_source *s, const struct el_tensor *t)
{
    const struct overlay *const o = s->priv;
    return o->made[t - s->tensors];
}

static enum el_status overlay_read(struct el_source *s, const struct el_tensor *t, uint32_t part, uint64_t offset, void *out,
                                   uint64_t nbytes, struct el_err *err)
{
    const struct overlay *const o = s->priv;
    const struct el_made *const made = made_of(s, t);
    if (!made)
        return o->base->ops->read(o->base, &o->base->tensors[t - s->tensors], part, offset, out, nbytes, err);
    memcpy(out, made->data[part] + offset, (size_t)nbytes);
    return EL_OK;
}

static const uint8_t *overlay_map(struct el_source *s, const struct el_tensor *t, uint32_t part)
{
    const struct overlay *const o = s->priv;
    const struct el_made *const made = made_of(s, t);
    return made ? made->data[part] : o->base->ops->map(o->base, &o->base->tensors[t - s->tensors], part);
}

static const char *overlay_file(struct el_source *s, uint32_t i)
{
    const struct overlay *const o = s->priv;
    return o->base->ops->file(o->base, i);
}

static void overlay_close(struct el_source *s)
{
    struct overlay *const o = s->priv;
    if (o)
        el_free(o->made);
    el_free(o);
}

static const struct el_source_ops ops = {
    .read = overlay_read,
    .map = overlay_map,
    .file = overlay_file,
    .close = overlay_close,
};

enum el_status el_overlay_open(struct el_source *base, struct el_source **overlay, struct el_err *err)
{
    *overlay = NULL;
    struct el_source *const s = el_calloc_array(1, sizeof *s);
    struct overlay *const o = el_calloc_array(1, sizeof *o);
    const bool room = s && o;
    if (room) {
        *s = (struct el_source){.ops = &ops, .format = base->format, .path = el_strdup(base->path), .priv = o};
        o->base = base;
        o->made = el_calloc_array(base->n_tensors, sizeof *o->made);
        s->meta = el_meta_copy(base->meta);
        s->tensors = el_calloc_array(base->n_tensors, sizeof *s->tensors);
    } else {
        el_free(s);
        el_free(o);
    }
    bool whole = room && s->path && o->made && s->meta && s->tensors;
    for (size_t i = 0; whole && i < base->n_tensors; i++) {
        struct el_tensor *const t = &s->tensors[i];
        *t = base->tensors[i];
        t->name = t->file_name = el_strdup(base->tensors[i].name);
        s->n_tensors = i + 1;
        whole = t->name != NULL;
    }
    if (whole) {
        *overlay = s;
        return EL_OK;
    }
    if (room)
        el_source_close(s);
    return el_fail(err, EL_E_MEMORY, "out of memory for a changed model");
}

void el_overlay_set(struct el_source *overlay, size_t tensor, const struct el_made *made)
{
    struct overlay *const o = overlay->priv;
    const struct el_tensor *const from = &o->base->tensors[tensor];
    struct el_tensor *const t = &overlay->tensors[tensor];
    o->made[tensor] = made;
    t->enc = made ? made->enc : from->enc;
    t->n_parts = made ? made->n_parts : from->n_parts;
    memcpy(t->parts, made ? made->parts : from->parts, sizeof t->parts);
    memcpy(t->enc_name, from->enc_name, sizeof t->enc_name);
    if (made)
        el_enc_name(&made->enc, t->enc_name);
}
