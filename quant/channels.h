/* What fold methods that scale channels (awq.c, smoothquant.c) share: which places they take, what is known of the channels. */
#ifndef EL_QUANT_CHANNELS_H
#define EL_QUANT_CHANNELS_H

#include "quant/fold.h"

/*
 * Does place i of the fold take scales? It does where the producers can be divided by them, and with opts->input_scales where an
 * input that nothing before it can be divided by keeps them in the file. Depends on the wiring alone.
 */
bool el_channels_taken(const struct el_fold *fold, size_t i, const struct el_method_opts *opts);
/* el_fold_mark for all of them; warns of the matrices whose inputs take none, under the name of the method. */
enum el_status el_channels_mark(struct el_fold *fold, const char *method, const struct el_method_opts *opts, struct el_err *err);

/* An input of a place's consumers: a set of statistics, of one expert. */
struct el_channels_input {
    const struct el_stats_matrix *stats;
    const char *name; /* of the first consumer that reads it, for el_fold_abs and the like */
    uint32_t expert;
    double n_tokens; /* > 0 */
};
struct el_channels {
    struct el_channels_input *inputs; /* each once, in the order of the consumers; those that saw no token are left out */
    size_t n_inputs;
    float *mean, *max; /* [n_channels] of |x_j|, over the tokens of all inputs and the columns that read the channel */
    uint32_t *channel; /* [n_in] of each column */
    uint64_t n_in;
};

/*
 * The channels of group g of a place, by consumers that become quantized (task->enc). Without an input that saw a token
 * n_inputs is 0, and nothing is known. EL_E_MEMORY, and what reading the statistics returns.
 */
enum el_status el_channels_open(const struct el_fold_task *task, const struct el_fold_place *place, uint32_t group,
                                struct el_channels *channels, struct el_err *err);
void el_channels_release(struct el_channels *channels);
/* Bytes that the channels of one group take, with a scale for each and what opening wants. */
uint64_t el_channels_nbytes(const struct el_fold_place *place);

/* Is this end a matrix that will be quantized? Its experts that group g of the place is about: from *first, how many. */
bool el_channels_is_quantized(const struct el_fold_task *task, const struct el_fold_end *end);
uint32_t el_channels_experts(const struct el_fold_place *place, const struct el_fold_end *end, uint32_t group, uint32_t *first);

#endif
