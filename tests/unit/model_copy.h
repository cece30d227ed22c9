/*
 * Copies a source into a new file or folder tensor by tensor, as pack would do without changing anything. For tests of formats.
 */
#ifndef EL_TESTS_MODEL_COPY_H
#define EL_TESTS_MODEL_COPY_H

#include "tensor/source.h"
#include "test.h"

#include <stdlib.h>

/* One tensor in the sink's row order, in strips of so many rows that strips end within heads and experts. */
static enum el_status copy_tensor(struct el_source *source, size_t i, struct el_sink *sink, const struct el_tensor *to,
                                  struct el_err *err)
{
    const struct el_tensor *const t = &source->tensors[i];
    const uint64_t strip = t->n_rows > 7 ? 7 : t->n_rows;
    const uint64_t row_nbytes = t->parts[0].row_nbytes;
    uint8_t *const data = malloc(strip * row_nbytes + 1);
    uint8_t *const parts[EL_MAX_PARTS] = {data};
    enum el_status status = EL_OK;
    for (uint64_t r = 0; status == EL_OK && r < t->n_rows; r += strip) {
        const uint64_t n = t->n_rows - r < strip ? t->n_rows - r : strip;
        status = el_source_read_parts(source, t, &to->order, r, n, parts, err);
        if (status == EL_OK)
            status = sink->ops->write(sink, i, 0, r * row_nbytes, data, n * row_nbytes, err);
    }
    free(data);
    return status;
}

static enum el_status copy_model(struct el_source *source, const char *path, const struct el_sink_opts *opts, struct el_err *err)
{
    struct el_sink *sink;
    enum el_status status = el_sink_open(path, opts, &sink, err);
    if (status != EL_OK)
        return status;
    sink->source = source;
    struct el_tensor *const tensors = calloc(source->n_tensors + 1, sizeof *tensors);
    for (size_t i = 0; i < source->n_tensors; i++) {
        tensors[i] = source->tensors[i];
        tensors[i].order = (struct el_row_order){EL_ROWS_CANONICAL, 0, 0};
        tensors[i].order_elems = false;
    }
    status = sink->ops->begin(sink, source->meta, tensors, source->n_tensors, err);
    for (size_t i = 0; status == EL_OK && i < source->n_tensors; i++)
        status = copy_tensor(source, i, sink, &tensors[i], err);
    if (status == EL_OK)
        status = el_sink_commit(sink, err);
    free(tensors);
    el_sink_close(sink);
    return status;
}

#endif
