#include "cmd/pareto_svg.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/text_out.h"
#include "cmd/util.h"

enum {
    WIDTH = 860,
    HEIGHT = 540,
    LEFT = 90,
    RIGHT = 30,
    TOP = 60,
    BOTTOM = 70,
    PLOT_W = WIDTH - LEFT - RIGHT,
    PLOT_H = HEIGHT - TOP - BOTTOM
};
static const char ink[] = "#222222", faint[] = "#dddddd", line_color[] = "#1f5fa8", mark_color[] = "#c2410c";

struct plot {
    FILE *f;
    double x0, x1, log_y0, log_y1;
};

static void write_escaped(FILE *f, const char *s)
{
    char *const line = text_line(s, strlen(s), 120);
    for (const char *p = line; *p; p++) {
        switch (*p) {
        case '&': (void)fputs("&amp;", f); break;
        case '<': (void)fputs("&lt;", f); break;
        case '>': (void)fputs("&gt;", f); break;
        case '"': (void)fputs("&quot;", f); break;
        default: (void)fputc(*p, f);
        }
    }
    free(line);
}

static double x_of(const struct plot *p, double nbytes)
{
    return LEFT + PLOT_W * (nbytes - p->x0) / (p->x1 - p->x0);
}

static double y_of(const struct plot *p, double loss)
{
    return TOP + PLOT_H * (p->log_y1 - log10(loss)) / (p->log_y1 - p->log_y0);
}

/* 1, 2 or 5 times a power of ten, so that about n steps cover the span. */
static double step_of(double span, int n)
{
    const double raw = span / n, power = pow(10, floor(log10(raw)));
    return power * (raw / power <= 1 ? 1 : raw / power <= 2 ? 2 : raw / power <= 5 ? 5 : 10);
}

static bool is_drawn(double loss)
{
    return isfinite(loss) && loss > 0;
}

/* Room for all points; a span of nothing becomes one. */
static void find_spans(struct plot *p, const struct pareto_point *points, size_t n)
{
    double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        x0 = fmin(x0, points[i].nbytes);
        x1 = fmax(x1, points[i].nbytes);
        const double ys[] = {points[i].predicted, points[i].measured};
        for (int k = 0; k < 2; k++) {
            if (!is_drawn(ys[k]))
                continue;
            y0 = fmin(y0, ys[k]);
            y1 = fmax(y1, ys[k]);
        }
    }
    if (!(x1 > x0)) {
        x0 = isfinite(x0) ? x0 : 0;
        x1 = x0 + 1;
    }
    if (!isfinite(y0))
        y0 = y1 = 1;
    const double margin = 0.04 * (x1 - x0);
    p->x0 = x0 - margin;
    p->x1 = x1 + margin;
    p->log_y0 = floor(log10(y0));
    p->log_y1 = ceil(log10(y1));
    if (p->log_y1 <= p->log_y0)
        p->log_y1 = p->log_y0 + 1;
}

/* more: further attributes, each with a blank before it. */
static void write_text(FILE *f, double x, double y, const char *more, const char *text)
{
    (void)fprintf(f, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, more);
    write_escaped(f, text);
    (void)fputs("</text>\n", f);
}

static void write_grid(const struct plot *p)
{
    char label[64];
    const double span = p->x1 - p->x0, step = step_of(span, 8), unit = p->x1 >= 1e9 ? 1e9 : p->x1 >= 1e6 ? 1e6 : 1e3;
    for (double x = ceil(p->x0 / step) * step; x <= p->x1; x += step) {
        (void)fprintf(p->f, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"%s\"/>\n", x_of(p, x), TOP, x_of(p, x),
                      TOP + PLOT_H, faint);
        (void)snprintf(label, sizeof label, "%.4g", x / unit);
        write_text(p->f, x_of(p, x), TOP + PLOT_H + 20, " text-anchor=\"middle\"", label);
    }
    for (double e = p->log_y0; e <= p->log_y1; e++) {
        const double y = y_of(p, pow(10, e));
        (void)fprintf(p->f, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\"/>\n", LEFT, y, LEFT + PLOT_W, y,
                      faint);
        (void)snprintf(label, sizeof label, "%g", pow(10, e));
        write_text(p->f, LEFT - 8, y + 4, " text-anchor=\"end\"", label);
    }
    (void)fprintf(p->f, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"%s\"/>\n", LEFT, TOP, PLOT_W,
                  PLOT_H, ink);
    (void)snprintf(label, sizeof label, "size of the files (%s)", unit == 1e9 ? "GB" : unit == 1e6 ? "MB" : "kB");
    write_text(p->f, LEFT + PLOT_W / 2.0, HEIGHT - 22, " text-anchor=\"middle\"", label);
}

/* Names of points stand where the one before them left room. */
static void write_points(const struct plot *p, const struct pareto_point *points, size_t n)
{
    double last_x = -INFINITY;
    (void)fprintf(p->f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", line_color);
    for (size_t i = 0; i < n; i++)
        if (is_drawn(points[i].predicted))
            (void)fprintf(p->f, "%.1f,%.1f ", x_of(p, points[i].nbytes), y_of(p, points[i].predicted));
    (void)fputs("\"/>\n", p->f);
    for (size_t i = 0; i < n; i++) {
        const double x = x_of(p, points[i].nbytes), loss = points[i].predicted, measured = points[i].measured;
        char name[64];
        if (is_drawn(measured))
            (void)fprintf(p->f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"/>\n", x,
                          y_of(p, measured), mark_color);
        if (!is_drawn(loss))
            continue;
        (void)fprintf(p->f,
                      "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>%.0f bytes, %.4f bits per weight, "
                      "%.5g</title></circle>\n",
                      x, y_of(p, loss), line_color, points[i].nbytes, points[i].bits_per_weight, loss);
        if (x - last_x < 34)
            continue;
        last_x = x;
        (void)snprintf(name, sizeof name, "%.2f", points[i].bits_per_weight);
        write_text(p->f, x + 6, y_of(p, loss) - 8, " font-size=\"11\"", name);
    }
}

static void write_legend(const struct plot *p, bool measured)
{
    const double x = LEFT + PLOT_W - 270, y = TOP + 18;
    (void)fprintf(p->f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x, y - 4, line_color);
    write_text(p->f, x + 12, y, "", "predicted; the numbers are bits per weight");
    if (!measured)
        return;
    (void)fprintf(p->f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"/>\n", x, y + 14,
                  mark_color);
    write_text(p->f, x + 12, y + 18, "", "measured");
}

char *pareto_svg(const char *title, const char *y_label, const struct pareto_point *points, size_t n)
{
    char *text = NULL;
    size_t nbytes = 0;
    bool measured = false;
    struct plot p = {.f = open_memstream(&text, &nbytes)};
    if (!p.f)
        return xstrdup("");
    for (size_t i = 0; i < n; i++)
        measured = measured || is_drawn(points[i].measured);
    find_spans(&p, points, n);
    (void)fprintf(p.f,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
                  "font-family=\"sans-serif\" font-size=\"13\" fill=\"%s\">\n"
                  "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
                  WIDTH, HEIGHT, WIDTH, HEIGHT, ink, WIDTH, HEIGHT);
    write_text(p.f, WIDTH / 2.0, 32, " text-anchor=\"middle\" font-size=\"17\"", title);
    write_grid(&p);
    (void)fprintf(p.f, "<g transform=\"translate(24 %.1f) rotate(-90)\">", TOP + PLOT_H / 2.0);
    write_text(p.f, 0, 0, " text-anchor=\"middle\"", y_label);
    (void)fputs("</g>\n", p.f);
    write_points(&p, points, n);
    write_legend(&p, measured);
    (void)fputs("</svg>\n", p.f);
    (void)fclose(p.f);
    return text ? text : xstrdup("");
}
