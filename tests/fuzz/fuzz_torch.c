/* A file of torch.save (zip archive or the older kind). */
#include "source_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    return fuzz_source_file("torch", data, nbytes);
}
