#include "cmd/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/text_out.h"
#include "cmd/util.h"

enum { BAR_WIDTH = 24 };

static bool quiet_mode;

void progress_set_quiet(bool quiet)
{
    quiet_mode = quiet;
}

bool progress_is_quiet(void)
{
    return quiet_mode;
}

void progress_init(struct progress *p, const char *unit)
{
    *p = (struct progress){.f = stderr, .tty = isatty(2) == 1, .off = quiet_mode, .unit = unit, .start_ns = now_ns()};
    p->next_ns = p->start_ns + (p->tty ? 200000000u : 10000000000u);
}

static void format_rate(const struct progress *p, double per_s, char out[48])
{
    char size[32];
    if (strcmp(p->unit, "B") == 0)
        (void)snprintf(out, 48, "%s/s", text_nbytes((uint64_t)per_s, size));
    else
        (void)snprintf(out, 48, "%.1f %s/s", per_s, p->unit);
}

void progress_step(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct progress *const p = user;
    const uint64_t now = now_ns();
    if (p->off || now < p->next_ns || total == 0)
        return;
    p->next_ns = now + (p->tty ? 100000000u : 10000000000u);
    const double fraction = done < total ? (double)done / (double)total : 1.0;
    const double seconds = (double)(now - p->start_ns) * 1e-9;
    const double left = fraction > 0 ? seconds / fraction - seconds : 0;
    char rate[48];
    char *const name = text_line(what, strlen(what), 32);
    format_rate(p, seconds > 0 ? (double)done / seconds : 0, rate);
    if (p->tty) {
        const int full = (int)(fraction * BAR_WIDTH);
        (void)fprintf(p->f, "\r%-32s [%.*s%*s] %3.0f %%  %s  %d:%02d left   ", name, full, "########################",
                      BAR_WIDTH - full, "", 100 * fraction, rate, (int)(left / 60), (int)left % 60);
        (void)fflush(p->f);
        p->drawn = true;
    } else {
        (void)fprintf(p->f, "%s: %.0f %%, %s, %.0f s left\n", name, 100 * fraction, rate, left);
    }
    free(name);
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        (void)fprintf(p->f, "\r%110s\r", "");
    p->drawn = false;
}
