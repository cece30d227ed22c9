/*
 * The unit of packing is a strip of rows, whose height depends on the shape and the method alone: so bytes and sums depend
 * neither on the number of threads nor on how much memory there is.
 */
#ifndef EL_QUANT_STRIPS_H
#define EL_QUANT_STRIPS_H

#include "quant/plan.h"

/* Rows that one opening of the method is for: the tensor's, or one expert's. */
uint64_t el_slice_rows(const struct el_tensor *t, const struct el_plan_entry *entry);
/* Rows of a strip, which one thread reads, encodes and writes; and of the pieces of it that it encodes at a time. */
uint64_t el_strip_rows(const struct el_tensor *t, const struct el_plan_entry *entry);
uint64_t el_piece_rows(const struct el_tensor *t, const struct el_plan_entry *entry);
/*
 * Points each part of an [n_rows, n_in] strip into one buffer (NULL: none); returns the bytes used. Lengths were checked when the
 * plan was made.
 */
uint64_t el_lay_parts(const struct el_part_shape *parts, uint32_t n_parts, uint64_t n_rows, uint8_t *buf,
                      uint8_t *out[EL_MAX_PARTS]);

/* Buffers of one thread, large enough for any strip of a plan. */
struct el_strip_nbytes {
    uint64_t in, out, x, row;
};
struct el_strip_nbytes el_strip_buffers(const struct el_source *source, const struct el_plan *plan);

/*
 * *n_threads (0: as many as there are CPUs) becomes what max_nbytes (0: no limit) allows. EL_E_USAGE: not even one; the message
 * says how many bytes one takes, and which tensor wants them. Counted are the buffers, what methods keep of a slice and of a
 * strip, what changing the model takes (el_fold_nbytes, and the methods that decide), the metadata and an allowance for the
 * program.
 */
enum el_status el_strip_threads(const struct el_source *source, const struct el_plan *plan, uint64_t max_nbytes,
                                unsigned *n_threads, struct el_err *err);

#endif
