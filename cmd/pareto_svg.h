/* A front of sizes and losses as a picture: SVG 1.1, no script, no font but the reader's. */
#ifndef CMD_PARETO_SVG_H
#define CMD_PARETO_SVG_H

#include <stddef.h>

struct pareto_point {
    double nbytes, bits_per_weight;
    double predicted; /* loss; 0 or less is not drawn: the axis is logarithmic */
    double measured;  /* NaN: not measured */
};

/* malloc'ed text. title and y_label are any text, bad UTF-8 and control characters included. Points by rising size. */
char *pareto_svg(const char *title, const char *y_label, const struct pareto_point *points, size_t n);

#endif
