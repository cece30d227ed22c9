/* The order of bytes in strips, which files of re-laid matrices hold: another order needs another EL_LAYOUT_ID. */
#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "model/laid_file.h"
#include "tensor/layout.h"
#include "test.h"

TEST(layout, strips_are_those_of_the_layout_id)
{
    static const char known[] = "d8bebed2d05e65368ee4da769540b882b8c79bfda49e75c9cd73baddb73d9f54";
    enum { N_BLOCKS = 2, CAP = EL_STRIP_ROWS * N_BLOCKS * 256 };
    static uint8_t rows[CAP], strip[CAP];
    struct el_sha256 *const sha = el_sha256_open();
    char hex[65];
    for (size_t i = 0; i < CAP; i++)
        rows[i] = (uint8_t)((i * 2654435761u) >> 13);
    for (size_t i = 0; i < EL_ENC_COUNT; i++) {
        const struct el_encoding *const e = el_encoding_at(i);
        if (!el_layout_of(e))
            continue;
        const uint64_t n_in = (uint64_t)N_BLOCKS * e->block_n, row_nbytes = (uint64_t)N_BLOCKS * e->block_nbytes;
        REQUIRE(el_strip_nbytes(e, n_in) <= CAP);
        for (uint32_t n_rows = EL_STRIP_ROWS - 1; n_rows <= EL_STRIP_ROWS; n_rows++) {
            el_lay_strip(e, rows, row_nbytes, n_rows, n_in, strip);
            el_sha256_add(sha, e->name, strlen(e->name));
            el_sha256_add(sha, strip, el_strip_nbytes(e, n_in));
        }
    }
    el_sha256_add(sha, EL_LAYOUT_ID, strlen(EL_LAYOUT_ID));
    el_sha256_close(sha, hex);
    CHECK_EQ_STR(hex, known);
}
