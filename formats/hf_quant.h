/*
 * Quantized Hugging Face checkpoints, GPTQ and AWQ: integer codes with a scale and a zero point per group of columns, w = scale
 * (q - zero), which is the group encoding (tensor/enc_group.c) with another order of bits. Read exactly: the same codes, zero
 * points and scales. A matrix NAME.weight of [n_out, n_in] lies in the folder as
 *
 *   GPTQ  NAME.qweight I32 [n_in bits / 32, n_out]   code i of an output in bits i bits .. of its column of words, lowest first
 *         NAME.qzeros  I32 [n_groups, n_out bits / 32]  the same along the outputs; zero point, in version 1 less 1 (modulo
 *                                                    2^bits, as AutoGPTQ computes it)
 *         NAME.scales  F16 [n_groups, n_out]         F32 and BF16 occur; then the encoding is the wide one
 *         NAME.g_idx   I32 [n_in]                    group of each column; may be missing: i / group. With act-order groups do
 *                                                    not lie together, then the encoding is the permuted one
 *   AWQ   NAME.qweight I32 [n_in, n_out / 8]         4 bits; the nibbles of a word are outputs 0 2 4 6 1 3 5 7 of eight
 *   gemm  NAME.qzeros  I32 [n_groups, n_out / 8]     in the same order, as they are
 *         NAME.scales  F16 [n_groups, n_out]
 *
 * From the writers of the formats: AutoGPTQ 0.7.1 (qlinear_cuda_old.py), GPTQModel 7.7.0, AutoAWQ 0.2.9 (packing_utils.py).
 */
#ifndef EL_FORMATS_HF_QUANT_H
#define EL_FORMATS_HF_QUANT_H

#include "base/json.h"
#include "formats/hf.h"
#include "formats/safetensors.h"
#include "tensor/source.h"

/* What the folder says of its quantization. */
struct el_hf_quant {
    enum { EL_HFQ_NONE, EL_HFQ_GPTQ, EL_HFQ_AWQ } method;
    uint32_t bits;     /* 2, 3, 4, 8 */
    uint32_t group;    /* columns per scale; 0: the whole row */
    uint32_t zero_add; /* 1 in version 1 of GPTQ */
};

/*
 * Reads quantization_config (the object, or NULL: none). EL_E_UNSUPPORTED names a method, version or width that is not read;
 * EL_E_FORMAT a member that is missing or wrong.
 */
enum el_status el_hf_quant_config(const struct el_json *config, struct el_hf_quant *q, struct el_err *err);

/* The four tensors of a matrix. */
enum el_hf_quant_part { EL_HFQ_QWEIGHT, EL_HFQ_QZEROS, EL_HFQ_SCALES, EL_HFQ_G_IDX, EL_HFQ_PARTS };
struct el_hf_quant_matrix {
    const struct el_st_tensor *t[EL_HFQ_PARTS]; /* NULL: not there; g_idx may miss */
    uint32_t file[EL_HFQ_PARTS];
};
/* Which part a name is, and the length of NAME; EL_HFQ_PARTS: none. */
enum el_hf_quant_part el_hf_quant_part(const char *name, size_t *n_stem);

/* Checks types and shapes of the parts of a matrix [n_out, n_in]; name is that of its qweight. */
void el_hf_quant_check(const struct el_hf_quant *q, const struct el_hf_quant_matrix *m, const char *name, uint64_t n_out,
                       uint64_t n_in, struct el_problems *problems);

/*
 * Adds *t (names, dims, order set; the names move into the source) to a source with an el_store; m: one matrix that
 * el_hf_quant_check has seen per slice, n_slices of them. Reads g_idx. Errors name the file and the tensor.
 */
enum el_status el_hf_quant_add(struct el_source *s, const struct el_hf_quant *q, struct el_tensor *t,
                               const struct el_hf_quant_matrix *m, uint64_t n_slices, struct el_err *err);

#endif
