/* A source over another one in which some matrices are what a method made of them: a quantized model that is written nowhere. */
#ifndef EL_QUANT_OVERLAY_H
#define EL_QUANT_OVERLAY_H

#include "quant/make.h"

/* The base stays open as long as it. Close it with el_source_close. EL_E_MEMORY. */
enum el_status el_overlay_open(struct el_source *base, struct el_source **overlay, struct el_err *err);
/*
 * Tensor `tensor` is what made holds (borrowed, rows in the order of the base), or with NULL what the base has. Not while the
 * source is read.
 */
void el_overlay_set(struct el_source *overlay, size_t tensor, const struct el_made *made);

#endif
