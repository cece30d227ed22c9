/*
 * A prompt cache read into a small store. An odd first byte asks for the right checksum at the end, so that what stands behind it
 * is reached. Property 1: no crash. Property 2: a refused file leaves the store as it was. Property 3: what is taken fits.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "model/session_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void require(int holds, const char *what, const struct el_err *err)
{
    if (holds)
        return;
    fprintf(stderr, "property violated: %s: %s\n", what, err->text);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    static const char model[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static const int32_t ids[6] = {1, 2, 3, 4, 5, 6};
    const struct el_kv_dims dims = {.n_seqs = 2, .n_layers = 2, .n_kv_heads = 1, .n_ctx = 5, .d_head = 2};
    struct el_err err = {.code = EL_OK};
    struct el_kv kv;
    size_t n = 0;
    if (nbytes == 0 || el_cpu_cap("ref", &err) != EL_OK) /* the level stands in the file */
        return 0;
    const int repair = data[0] & 1;
    uint8_t *const bytes = malloc(nbytes + 64);
    require(bytes && el_kv_open(&kv, &dims, EL_KV_F16, EL_KV_F32, &err) == EL_OK, "memory", &err);
    memcpy(bytes, data + 1, nbytes - 1);
    size_t n_bytes = nbytes - 1;
    if (repair) {
        char hex[65];
        struct el_sha256 *const sum = el_sha256_open();
        el_sha256_add(sum, bytes, n_bytes);
        el_sha256_close(sum, hex);
        memcpy(bytes + n_bytes, hex, 64);
        n_bytes += 64;
    }
    kv.n_past[1] = 3;
    const enum el_status status = el_session_file_read(&kv, 1, bytes, n_bytes, "input", model, ids, 6, &n, &err);
    require(status == EL_OK || status == EL_E_FORMAT || status == EL_E_CHECKSUM || status == EL_E_UNSUPPORTED, "its errors",
            &err);
    require(status == EL_OK ? n <= dims.n_ctx && kv.n_past[1] == n : n == 0 && kv.n_past[1] == 3, "n_past", &err);
    require(kv.n_past[0] == 0, "the other sequence", &err);
    el_kv_close(&kv);
    free(bytes);
    return 0;
}
