/*
 * What was done to every tensor of a packing: a table on standard error while it is done, a line of JSON each in a file, and what
 * other outputs need of it.
 */
#ifndef CMD_PACK_REPORT_H
#define CMD_PACK_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "cmd/json_out.h"
#include "cmd/progress.h"
#include "edgellm.h"

struct row_result {
    struct el_pack_report told; /* its fallback is ours */
    double seconds;             /* since the tensor before; of the first since the start */
    bool done;
};

struct pack_report {
    const struct el_plan *plan;
    struct row_result *rows; /* [n_rows] */
    size_t n_rows;
    struct progress progress; /* its bar makes room for rows of the table */
    bool live;                /* rows of the table appear as tensors are done */
    size_t *width;            /* of the table's columns */
    FILE *lines;              /* NULL: none */
    const char *path;         /* of the lines */
    uint64_t last_ns;
};

void pack_report_init(struct pack_report *r, const struct el_plan *plan);
void pack_report_free(struct pack_report *r);
/*
 * Opens the file for lines. One that exists is replaced when `replace`, if it holds nothing or such lines. EL_E_IO,
 * EL_E_USAGE.
 */
enum el_status pack_report_open(struct pack_report *r, const char *path, bool replace, struct el_err *err);
/* Ends the lines. EL_E_IO when one could not be written. */
enum el_status pack_report_close(struct pack_report *r, struct el_err *err);
/* Prints the head of the table; from now on pack_report_add prints rows. */
void pack_report_live(struct pack_report *r);
/* An el_pack_report_fn; user is the report. */
void pack_report_add(void *user, const struct el_pack_report *told);

/* The whole table. */
void pack_report_print(const struct pack_report *r, FILE *f);
/* One object: tensor i, and what was done to it as far as it is. times: with "seconds". */
void pack_report_json(const struct pack_report *r, struct json_out *j, size_t i, bool times);

#endif
