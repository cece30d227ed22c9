#include "base/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers' wrappers may wait for locks of threads that the fork did not copy: bare system calls pass them by. */
#if defined(__clang__)
#define EL_BARE __attribute__((no_sanitize("address", "thread", "undefined")))
#else
#define EL_BARE __attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))
#endif

EL_BARE static void close_from_to(long first, long last)
{
    if (first > last || syscall(SYS_close_range, (unsigned)first, (unsigned)last, 0u) == 0)
        return;
    /* Kernels before 5.9 have no close_range. */
    for (long fd = first; fd <= last && fd < 1024; fd++)
        (void)syscall(SYS_close, (int)fd);
}

EL_BARE static _Noreturn void guard_main(int word_fd, int dir_fd, const char *folder, const char *const *names, size_t n)
{
    (void)syscall(SYS_setsid);
    /* A reader of our standard output would wait for the guard as well if it kept that open. */
    const int low = word_fd < dir_fd ? word_fd : dir_fd, high = word_fd < dir_fd ? dir_fd : word_fd;
    close_from_to(0, (long)low - 1);
    close_from_to((long)low + 1, (long)high - 1);
    close_from_to((long)high + 1, 0x7fffffffL);
    char byte = 0;
    long got;
    int armed = folder == NULL;
    do {
        got = syscall(SYS_read, word_fd, &byte, (size_t)1);
        if (got == 1 && byte == 'a')
            armed = 1;
    } while ((got == 1 && byte == 'a') || (got < 0 && errno == EINTR));
    if (got == 0) {
        const int at = folder ? (int)syscall(SYS_openat, dir_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) : dir_fd;
        for (size_t i = 0; armed && at >= 0 && i < n; i++)
            (void)syscall(SYS_unlinkat, at, names[i], 0);
        if (folder)
            (void)syscall(SYS_unlinkat, dir_fd, folder, AT_REMOVEDIR);
    }
    for (;;)
        (void)syscall(SYS_exit_group, 0);
}

int el_guard_start(int dir_fd, const char *folder, const char *const *names, size_t n)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    /* Twice, so that init reaps the guard and our host program never sees it; _Fork, because no atfork handler may run. */
    const pid_t child = _Fork();
    if (child == 0) {
        const pid_t grandchild = _Fork();
        if (grandchild == 0)
            guard_main(ends[0], dir_fd, folder, names, n);
        _exit(grandchild < 0);
    }
    close(ends[0]);
    int status = 1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (child < 0) {
        close(ends[1]);
        return -1;
    }
    return ends[1];
}

static void tell(int guard, char byte)
{
    /* Twice: a word that is lost costs what the guard watches over. EPIPE is a guard that is gone, and raises no signal here. */
    for (int attempt = 0; attempt < 2; attempt++) {
        ssize_t put;
        do
            put = send(guard, &byte, 1, MSG_NOSIGNAL);
        while (put < 0 && errno == EINTR);
        if (put == 1)
            return;
    }
}

void el_guard_arm(int guard)
{
    if (guard >= 0)
        tell(guard, 'a');
}

void el_guard_stop(int guard)
{
    if (guard < 0)
        return;
    tell(guard, 'k');
    close(guard);
}
