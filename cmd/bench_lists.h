/* Lists of numbers on the command line of bench: "1,2,4", ranges "1-8", "1-8+2", "1-16*2", as llama-bench has them. */
#ifndef CMD_BENCH_LISTS_H
#define CMD_BENCH_LISTS_H

#include "cmd/options.h"
#include "edgellm.h"

struct bench_list {
    uint64_t *v;
    size_t n;
};

/* All texts of an option together; `missing` alone when the option was not given. EL_E_USAGE names option and text. */
enum el_status bench_list_read(struct bench_list *list, const char *option, const struct opt_list *texts, uint64_t missing,
                               uint64_t max, struct el_err *err);
/* The same for words of choices ("f16|f32|q8_0"): indices. */
enum el_status bench_list_choices(struct bench_list *list, const char *option, const struct opt_list *texts, const char *choices,
                                  struct el_err *err);
void bench_list_free(struct bench_list *list);

#endif
