/* The kernels of kernels/x86/laid_amx.c with tiles in plain C; see stand_in.h. */
#include "kernels/stand_in.h"

#define EL_AMX_EMULATED
#define el_laid_init_amx el_laid_init_amx_emulated
#include "kernels/x86/laid_amx.c"
