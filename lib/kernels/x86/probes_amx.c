/* Probe of AMX: sixteen rows of 64 bytes times sixteen columns, by instructions that were never run; see amx.h. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/probes.h"
#include "kernels/x86/probes_x86.h"

#if EL_X86
#include <string.h>

#include "kernels/x86/amx.h"
#include "kernels/x86/kernels_x86.h"

/* Four sums in tiles 0 to 3, of the products of tiles 4 and 5. */
EL_AMX static float int8_amx(uint64_t n_turns)
{
    enum { SUMS = 4 };
    struct el_amx_config config = {.palette = 1};
    int8_t bytes[EL_AMX_ROWS][EL_AMX_ROW_NBYTES];
    int32_t out[SUMS][EL_AMX_ROWS][EL_AMX_ROW_NBYTES / 4];
    for (unsigned t = 0; t < EL_AMX_TILES; t++) {
        config.n_rows[t] = EL_AMX_ROWS;
        config.row_nbytes[t] = EL_AMX_ROW_NBYTES;
    }
    memset(bytes, 1, sizeof bytes);
    el_amx_open(&config);
    el_amx_zero(0);
    el_amx_zero(1);
    el_amx_zero(2);
    el_amx_zero(3);
    el_amx_load(4, bytes, EL_AMX_ROW_NBYTES);
    el_amx_load(5, bytes, EL_AMX_ROW_NBYTES);
    for (uint64_t t = 0; t < n_turns; t++) {
        el_amx_dot(0, 4, 5);
        el_amx_dot(1, 4, 5);
        el_amx_dot(2, 4, 5);
        el_amx_dot(3, 4, 5);
    }
    el_amx_store(0, out[0], EL_AMX_ROW_NBYTES);
    el_amx_store(1, out[1], EL_AMX_ROW_NBYTES);
    el_amx_store(2, out[2], EL_AMX_ROW_NBYTES);
    el_amx_store(3, out[3], EL_AMX_ROW_NBYTES);
    el_amx_close();
    float sum = 0;
    for (unsigned k = 0; k < SUMS; k++)
        sum += (float)out[k][k][k];
    return sum;
}

void el_probes_init_amx(struct el_probes *p)
{
    p->int8 = (struct el_probe){int8_amx, 4 * EL_AMX_ROWS * EL_AMX_ROW_NBYTES / 4 * EL_AMX_ROW_NBYTES * 2};
}
#endif
