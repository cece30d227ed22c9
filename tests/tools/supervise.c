/*
 * Runs a command for the fault tests.
 *
 *   supervise peak FILE -- CMD ...      peak resident set (VmHWM, mapped pages included) in KiB to FILE; exits with CMD's code
 *   supervise kill USEC FILE -- CMD ... SIGKILL after USEC microseconds; to FILE: "killed|ended BYTES", the bytes CMD wrote
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* wchar of /proc/PID/io: bytes passed to write calls so far; 0 when it cannot be read. */
static unsigned long long bytes_written(pid_t pid)
{
    char path[64], line[128];
    unsigned long long n = 0;
    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "wchar: %llu", &n) == 1)
            break;
    if (f)
        fclose(f);
    return n;
}

int main(int argc, char **argv)
{
    int at = 1;
    while (at < argc && strcmp(argv[at], "--") != 0)
        at++;
    const int is_kill = argc > 1 && strcmp(argv[1], "kill") == 0;
    if (at + 1 >= argc || at != (is_kill ? 4 : 3))
        return fprintf(stderr, "usage: supervise peak FILE -- CMD ... | supervise kill USEC FILE -- CMD ...\n"), 2;
    const pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[at + 1], argv + at + 1);
        _exit(127);
    }
    unsigned long long n = 0;
    if (is_kill) {
        const long us = strtol(argv[2], NULL, 10);
        const struct timespec ts = {us / 1000000, us % 1000000 * 1000};
        nanosleep(&ts, NULL);
        kill(pid, SIGSTOP);
        n = bytes_written(pid);
        kill(pid, SIGKILL);
    }
    int status = 0;
    struct rusage ru;
    if (wait4(pid, &status, 0, &ru) < 0)
        return perror("wait4"), 1;
    FILE *f = fopen(argv[at - 1], "w");
    if (!f)
        return perror(argv[at - 1]), 1;
    if (is_kill)
        fprintf(f, "%s %llu\n", WIFSIGNALED(status) ? "killed" : "ended", n);
    else
        fprintf(f, "%ld\n", ru.ru_maxrss);
    fclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : is_kill ? 0 : 128 + WTERMSIG(status);
}
