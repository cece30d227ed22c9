/* The group encoding's product at level dotprod: four products per lane and instruction. The kernel is in matmul_group_arm.h. */
#include "base/compiler.h"

#if EL_ARM64
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/matmul_group_arm.h"
#include "kernels/kernels.h"
#include "tensor/encoding.h"

void el_matmul_group_init_dotprod(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_group].fn = matmul_group;
}
#endif
