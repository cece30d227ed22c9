/* What el_plan_make made, as el_pack reads it. */
#ifndef EL_QUANT_PLAN_H
#define EL_QUANT_PLAN_H

#include "quant/method.h"
#include "quant/stats.h"
#include "tensor/source.h"

struct el_plan_entry {
    struct el_enc to;
    char to_name[32];
    bool copy;                      /* bytes stay as they are */
    const struct el_method *method; /* NULL: copy, or conversion to a float type */
    uint64_t nbytes;
    char *fallback; /* owned; NULL: none */
    const struct el_stats_matrix *stats; /* what is known of the inputs, where the method wants to know; borrowed */
};

/* Entry i is about tensor i of the source. */
struct el_plan {
    const struct el_source *source; /* borrowed */
    struct el_plan_entry *entries;
    size_t n;
    struct el_stats *stats; /* owned; NULL: none */
    struct el_source *stats_source; /* their file; borrowed */
    char order[8];          /* how.order points here */
    struct el_method_opts how;
    int32_t ftype;  /* general.file_type to write; -1: remove it */
    bool keep_meta; /* COPY: metadata stays as it is */
    bool store;     /* write the plan into the metadata (a conversion does not) */
};

/* "copy", "convert" or the method's name. */
const char *el_plan_method_name(const struct el_plan_entry *entry);
/* Sets general.file_type, general.quantization_version and edgellm.plan (array of "NAME ENCODING METHOD[ fallback: WHY]"). */
enum el_status el_plan_store(const struct el_plan *plan, struct el_meta *meta, struct el_err *err);

/* What may be given as type besides encodings and "COPY": the i-th name, NULL past the end. *about may be NULL's address. */
const char *el_plan_mix_name(size_t i, const char **about);

#endif
