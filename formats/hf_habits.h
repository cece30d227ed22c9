/* Folders as other programs leave them; hf_read.c asks here what a folder may mean. */
#ifndef EL_FORMATS_HF_HABITS_H
#define EL_FORMATS_HF_HABITS_H

#include "base/buf.h"
#include "formats/safetensors.h"
#include "model/arch.h"

/*
 * The name of the only *.safetensors file of a folder, as AutoGPTQ names one after its settings (gptq_model-4bit-128g). Meta's
 * consolidated files and adapters do not count. false: none, or several.
 */
bool el_hf_only_safetensors(const char *folder, struct el_buf *name);

/*
 * Training programs save {"model": state dictionary, ...} or names that begin with "module.". When no tensor has the name of the
 * token embedding and exactly one has it behind a prefix, the prefix is taken off all names, and tensors that lack it (of an
 * optimizer) leave the headers; both with a warning that names path. EL_E_MEMORY.
 */
enum el_status el_hf_unwrap(const struct el_arch *arch, struct el_st_header *headers, size_t n_files, const char *path,
                            struct el_err *err);

/*
 * Is b, of file fb, a copy of a? By type, shape and 64 pieces of their bytes: enough to tell a copy from a matrix of its own, and
 * opening a folder does not read either. What cannot be read is none.
 */
bool el_hf_is_copy(const struct el_file *fa, const struct el_st_tensor *a, const struct el_file *fb,
                   const struct el_st_tensor *b);

/* Is this vector zeros to the last bit? GPTQ's writers have given such a bias to every matrix. */
bool el_hf_is_zeros(const struct el_file *f, const struct el_st_tensor *t);

#endif
