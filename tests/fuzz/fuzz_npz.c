/* An archive of numpy.savez. */
#include "source_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    return fuzz_source_file("npz", data, nbytes);
}
