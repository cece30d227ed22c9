/* Telling files of re-laid matrices (model/laid_file.h) by their first bytes, which damage further on leaves as they are. */
#include <string.h>

#include "base/file.h"
#include "model/laid_file.h"

bool el_is_laid_file(const char *path)
{
    /* The first pair of metadata: u64 length, key, u32 type 8, u64 length, value; magic, version and counts stand before. */
    static const char key[] = "general.architecture";
    enum { AT_KEY = 4 + 4 + 8 + 8 + 8, AT_VALUE = AT_KEY + sizeof key - 1 + 4 + 8, N_VALUE = sizeof EL_LAID_ARCH - 1 };
    uint8_t head[AT_VALUE + N_VALUE];
    struct el_file f;
    if (el_file_open(&f, path, NULL) != EL_OK)
        return false;
    const bool read = el_file_read(&f, 0, head, sizeof head, NULL) == EL_OK;
    el_file_close(&f);
    return read && memcmp(head, "GGUF", 4) == 0 && memcmp(head + AT_KEY, key, sizeof key - 1) == 0 &&
           memcmp(head + AT_VALUE, EL_LAID_ARCH, N_VALUE) == 0;
}
