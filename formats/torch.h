/*
 * Files of torch.save: a zip archive (since PyTorch 1.6) of PREFIX/data.pkl and the storages PREFIX/data/KEY, or the older file
 * of five pickles and the storages behind them. Only tensors are accepted; see pickle.h. Hugging Face folders have such files
 * as pytorch_model.bin.
 */
#ifndef EL_FORMATS_TORCH_H
#define EL_FORMATS_TORCH_H

#include "formats/safetensors.h"

/*
 * Opens a file and lists its tensors in the order of the dictionary that it holds; those of a dictionary within it are named
 * OUTER.INNER. What is no tensor is left out. Errors name the file. On failure *f is closed and *h empty.
 */
enum el_status el_torch_open(const char *path, struct el_file *f, struct el_st_header *h, struct el_err *err);

#endif
