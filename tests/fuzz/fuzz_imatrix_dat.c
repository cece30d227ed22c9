/* The importance matrix of llama.cpp before GGUF. */
#include "source_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    return fuzz_source_file("imatrix", data, nbytes);
}
