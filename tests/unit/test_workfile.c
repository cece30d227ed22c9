/* Scratch and state files: bytes come back, one process has a state, nothing is left over. */
#include <unistd.h>

#include "base/err.h"
#include "base/workfile.h"
#include "test.h"

TEST(workfile, scratch_has_no_name_and_keeps_bytes)
{
    struct el_err err = {.text = ""};
    struct el_workfile *f;
    char out[6] = "";
    REQUIRE_OK(el_workfile_scratch(test_tmp("beside"), &f, &err), err);
    CHECK_OK(el_workfile_write(f, 1 << 20, "hello", 6, &err), err);
    CHECK_OK(el_workfile_read(f, 1 << 20, out, 6, &err), err);
    CHECK(strcmp(out, "hello") == 0);
    CHECK(el_workfile_read(f, (1 << 20) + 3, out, 6, &err) == EL_E_FORMAT && strstr(err.text, "3 more are needed"));
    CHECK(access(test_tmp("beside"), F_OK) != 0);
    el_workfile_close(f);
    CHECK(el_workfile_scratch("/nowhere/at/all", &f, &err) == EL_E_IO && f == NULL);
}

TEST(workfile, state_stays_until_it_is_removed)
{
    char path[512];
    struct el_err err = {.text = ""};
    struct el_workfile *f, *second;
    uint64_t nbytes;
    char out[4];
    snprintf(path, sizeof path, "%s", test_tmp("a.part"));
    REQUIRE_OK(el_workfile_state(path, &f, &nbytes, &err), err);
    CHECK(nbytes == 0);
    CHECK_OK(el_workfile_write(f, 0, "abc", 4, &err), err);
    CHECK_OK(el_workfile_sync(f, &err), err);
    el_interrupt(); /* no waiting for the lock */
    CHECK(el_workfile_state(path, &second, &nbytes, &err) == EL_E_IO && strstr(err.text, "another program works with it"));
    el_interrupt_clear();
    CHECK(second == NULL);
    el_workfile_close(f);
    REQUIRE_OK(el_workfile_state(path, &f, &nbytes, &err), err);
    CHECK(nbytes == 4);
    CHECK_OK(el_workfile_read(f, 0, out, 4, &err), err);
    el_workfile_remove(f);
    CHECK(access(path, F_OK) != 0);
    el_workfile_close(f);
    CHECK(el_workfile_state("/dev/null", &f, &nbytes, &err) == EL_E_IO && strstr(err.text, "is no plain file"));
}
