/* Writing the file of quant/stats.h: everything is declared first, then comes layer by layer. Names are for the reader too. */
#ifndef EL_QUANT_STATS_FILE_H
#define EL_QUANT_STATS_FILE_H

#include "quant/collect.h"
#include "tensor/source.h"

enum { EL_STATS_VERSION = 1, EL_MASSIVE_MOST = 16, EL_MASSIVE_FIELDS = 5 };

#define EL_SUFFIX_SUM2     ".in_sum2"
#define EL_SUFFIX_COUNTS   ".counts"
#define EL_SUFFIX_SUMABS   ".in_sumabs"
#define EL_SUFFIX_MAXABS   ".in_maxabs"
#define EL_SUFFIX_HESSIAN  ".hessian"
#define EL_SUFFIX_CROSS    ".cross"
#define EL_STATS_INFLUENCE "edgellm.influence"
#define EL_STATS_MASSIVE   "edgellm.massive"

#define EL_STATS_KEY_TYPE      "general.type" /* "imatrix" */
#define EL_STATS_KEY_DATASETS  "imatrix.datasets"
#define EL_STATS_KEY_CHUNKS    "imatrix.chunk_count"
#define EL_STATS_KEY_CHUNK     "imatrix.chunk_size"
#define EL_STATS_KEY_VERSION   "edgellm.stats.version"
#define EL_STATS_KEY_MATRICES  "edgellm.stats.matrices"
#define EL_STATS_KEY_INPUTS    "edgellm.stats.inputs"
#define EL_STATS_KEY_SHA256    "edgellm.stats.data_sha256"
#define EL_STATS_KEY_TOKENS    "edgellm.stats.tokens"
#define EL_STATS_KEY_PROTOCOL  "edgellm.stats.protocol"
#define EL_STATS_KEY_QUANTIZED "edgellm.stats.quantized"

/* What stands in the metadata. Strings are borrowed. */
struct el_stats_about {
    const char *const *datasets; /* [n_datasets] names, as llama.cpp has its files' */
    const char *const *sha256;   /* [n_datasets] */
    size_t n_datasets;
    uint32_t n_chunks, chunk_size;
    uint64_t n_tokens;
    const char *protocol;
    bool quantized;
};

/* One of the tokens that stand out; see quant/stats.h. */
struct el_massive {
    uint32_t pos;
    int32_t token;
    uint32_t channel;
    float value;
    uint32_t count;
};

struct el_stats_writer;

/* Told of every write, before it is made: `data` [nbytes] at offset of the sink's tensor. NULL: nobody. */
typedef enum el_status el_stats_tee_fn(void *user, uint64_t tensor, uint64_t offset, const void *data, uint64_t nbytes,
                                       struct el_err *err);

/*
 * Declares the file to the sink. hessian, cross: are there. The sink and inputs are borrowed. Everything that is declared must
 * be written before the sink is committed.
 */
enum el_status el_stats_writer_open(struct el_sink *sink, const struct el_inputs *inputs, const struct el_stats_about *about,
                                    uint32_t n_layers, bool hessian, bool cross, el_stats_tee_fn *tee, void *user,
                                    struct el_stats_writer **writer, struct el_err *err);
void el_stats_writer_close(struct el_stats_writer *writer);
enum el_status el_stats_write_sums(struct el_stats_writer *w, size_t input, const struct el_sums *sums, struct el_err *err);
/* tiles as of el_collect_hessian and el_collect_cross. */
enum el_status el_stats_write_hessian(struct el_stats_writer *w, size_t input, uint32_t expert, const double *tiles,
                                      struct el_err *err);
enum el_status el_stats_write_cross(struct el_stats_writer *w, size_t input, const double *tiles, struct el_err *err);
enum el_status el_stats_write_layer(struct el_stats_writer *w, uint32_t layer, double influence,
                                    const struct el_massive massive[EL_MASSIVE_MOST], struct el_err *err);

/* The metadata alone: what el_stats_writer_open and merging share. matrices, inputs [n]; n 0: llama.cpp's file, without ours. */
enum el_status el_stats_describe(struct el_meta *meta, const struct el_stats_about *about, const char *const *matrices,
                                 const char *const *inputs, size_t n, struct el_err *err);

#endif
