/*
 * A model's re-laid matrices as a file, from which they are mapped instead of being read and laid out again. Any sink and source
 * will do; it is meant for GGUF. What stands in it:
 *
 *   general.architecture      "edgellm-strips": no model, whatever reads it
 *   general.alignment         4096
 *   edgellm.layout            EL_LAYOUT_ID
 *   edgellm.layout.source     fingerprint of the model, 64 lower-case hex digits
 *   edgellm.layout.sha256     [n_tensors] SHA-256 of every tensor's bytes, in the order of the directory
 *   NAME.strips               per matrix NAME: of its encoding, [n_experts * ceil(n_out / 16) * 16, n_in]: the strips, which
 *                             take the bytes of that many rows, in the order of tensor/layout.h
 *
 * The fingerprint is the SHA-256 over size and time of last modification of each of the model's files, over name, encoding,
 * shape, place and row order of every tensor, and over 16 samples of the bytes: it costs less than a millisecond, and no file
 * that has been written to has the old one. The hashes of the bytes are checked by el_verify only.
 */
#ifndef EL_MODEL_LAID_FILE_H
#define EL_MODEL_LAID_FILE_H

#include "model/relay.h"
#include "model/weights.h"

#define EL_LAID_ARCH  "edgellm-strips"
#define EL_LAYOUT_KEY "edgellm.layout"
/*
 * Strips of 16 rows, version 2: version 1 had fewer encodings. Another order of fields (tensor/layout.c), or a layout for an
 * encoding that had none, has another: tests/unit/test_layout.c watches.
 */
#define EL_LAYOUT_ID "strip16.2"

/* The fingerprint of a model as it lies on the disk now; see above. EL_E_IO, EL_E_MEMORY. */
enum el_status el_source_fingerprint(struct el_source *source, char hex[65], struct el_err *err);

/* Does a source say that it is such a file? */
bool el_laid_file_is(const struct el_source *s);
/*
 * Fills laid of all items from the file, mapped, and makes the bytes present. With EL_REASON_LAID and the name of the file:
 * EL_E_UNSUPPORTED another layout, EL_E_CHECKSUM another model, EL_E_FORMAT a matrix is missing or misshapen. Else EL_E_MEMORY,
 * EL_E_INTERRUPTED, and what reading source gives.
 */
enum el_status el_laid_file_use(struct el_source *laid, struct el_source *source, const struct el_relay_item *items,
                                size_t n_items, struct el_pool *pool, struct el_err *err);
/*
 * Compares the bytes of every tensor with its hash. What differs is passed to fn, with its severity 'e'. progress may be NULL.
 * EL_E_FORMAT, EL_E_IO, EL_E_MEMORY, EL_E_INTERRUPTED when it cannot be compared.
 */
enum el_status el_laid_file_verify(struct el_source *laid, el_problem_fn *fn, void *user, el_progress_fn *progress,
                                   void *progress_user, struct el_err *err);

#endif
