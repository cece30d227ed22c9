/*
 * One sequence's keys and values as a file (the prompt cache). Little-endian, without padding:
 *
 *   u8[8] "EDGELLMS"   u32 version 2   u32 n_layers, n_kv_heads, d_head   u32 type of keys, of values (0 f32, 1 f16, 2 q8_0)
 *   u32 enum el_kv_way   u8[16] CPU level, padded with NULs   u8[64] hash of the model, lower-case hex
 *   u32 n_ids   i32[n_ids] tokens
 *   keys [n_layers, n_kv_heads, n_ids, d_head]   values, the same (q8_0: [d_head / 32] of an f16 scale and 32 codes)
 *   u8[64] SHA-256 of all before it, lower-case hex
 *
 * The CPU level is part of it because levels add floats in different orders: what was read back would not be what would have been
 * computed.
 */
#ifndef EL_MODEL_SESSION_FILE_H
#define EL_MODEL_SESSION_FILE_H

#include "model/kv.h"

enum { EL_SESSION_FILE_VERSION = 2, EL_MODEL_HASH_CHARS = 64 };

/*
 * Puts the positions of sequence seq whose tokens are those of ids [n_ids] into the store, and sets its n_past to their number,
 * *n_loaded. `what` names the data in errors. EL_E_FORMAT damaged, EL_E_CHECKSUM, EL_E_UNSUPPORTED another version, model, shape,
 * type, way or CPU level: then the store is as before.
 */
enum el_status el_session_file_read(struct el_kv *kv, uint32_t seq, const void *data, size_t nbytes, const char *what,
                                    const char *model_hash, const int32_t *ids, size_t n_ids, size_t *n_loaded,
                                    struct el_err *err);

#endif
