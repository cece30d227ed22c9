/* What the attention kernels of the x86 levels share beyond attn_blocks.h. */
#ifndef EL_KERNELS_X86_ATTN_X86_H
#define EL_KERNELS_X86_ATTN_X86_H

#include "base/compiler.h"
#include "kernels/attn_blocks.h"

#if EL_X86
void el_attn_scores_q8_avx2(const struct el_attn_block *b, el_attn_score *score);
/* Attention by AVX2 or AVX-512, with the level's way to scores of keys in q8_0. */
void el_attn_avx2(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part, el_attn_q8_fn *scores_q8);
void el_attn_avx512(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part, el_attn_q8_fn *scores_q8);
#endif

#endif
