#include "cmd/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void on_stop(int sig)
{
    if (caught)
        _exit(128 + sig);
    caught = sig;
    el_interrupt();
}

static void on_bus(int sig)
{
    static const char text[] = "edgellm: an input file became shorter or unreadable while it was in use\n";
    (void)sig;
    const ssize_t n = write(2, text, sizeof text - 1);
    (void)n;
    _exit(EL_E_IO);
}

static void set_handler(int sig, void (*handler)(int))
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = handler;
    (void)sigemptyset(&sa.sa_mask);
    (void)sigaction(sig, &sa, NULL);
}

/* nohup and shells ignore some signals on purpose; that is kept. */
static void set_stop(int sig)
{
    struct sigaction old;
    if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
        return;
    set_handler(sig, on_stop);
}

void process_setup(void)
{
    /* open() gives the lowest free number: these land on 0, 1 and 2 exactly when those are closed. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) != fd)
            _exit(EL_E_IO);
    set_stop(SIGINT);
    set_stop(SIGTERM);
    set_stop(SIGHUP);
    set_handler(SIGPIPE, SIG_DFL);
    set_handler(SIGXFSZ, SIG_IGN);
    set_handler(SIGBUS, on_bus);
}

bool process_is_stopped(void)
{
    return caught != 0;
}

bool process_take_interrupt(void)
{
    if (caught != SIGINT)
        return false;
    caught = 0;
    el_interrupt_clear();
    return true;
}

int process_exit_code(enum el_status status, const char *name)
{
    errno = 0;
    const bool failed = fflush(stdout) != 0 || ferror(stdout);
    if (failed && status != EL_E_INTERRUPTED) {
        if (status == EL_OK)
            (void)fprintf(stderr, "edgellm%s%s: standard output: %s\n", *name ? " " : "", name,
                          errno ? strerror(errno) : "write error");
        return status == EL_OK ? EL_E_IO : (int)status;
    }
    if (status == EL_E_INTERRUPTED && caught)
        return 128 + caught;
    return (int)status;
}
