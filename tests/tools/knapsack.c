/*
 * quant/allocate on a problem from standard input, so that another solver can stand in judgement over it.
 *
 *   knapsack < PROBLEM
 *
 * PROBLEM is text: the number of items and the budget; then for each item the number of its choices, and a cost and a loss for
 * each of them. Prints loss, cost, bound and whether the loss is the least there is, then the chosen index of every item.
 */
#include <stdio.h>
#include <stdlib.h>

#include "quant/allocate.h"

static void fail(const char *what)
{
    (void)fprintf(stderr, "knapsack: %s\n", what);
    exit(1);
}

static void *room(size_t n, size_t nbytes)
{
    void *const p = calloc(n ? n : 1, nbytes);
    if (!p)
        fail("out of memory");
    return p;
}

int main(void)
{
    struct el_allocation found;
    struct el_err err = {.text = ""};
    size_t n;
    double budget;
    if (scanf("%zu %lf", &n, &budget) != 2)
        fail("no problem");
    struct el_item *const items = room(n, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        unsigned n_choices;
        if (scanf("%u", &n_choices) != 1 || n_choices == 0)
            fail("an item without choices");
        struct el_choice *const choices = room(n_choices, sizeof *choices);
        items[i] = (struct el_item){choices, n_choices};
        for (unsigned c = 0; c < n_choices; c++)
            if (scanf("%lf %lf", &choices[c].cost, &choices[c].loss) != 2)
                fail("a choice without cost and loss");
    }
    uint32_t *const choice = room(n, sizeof *choice);
    if (el_allocate(items, n, budget, NULL, choice, &found, &err) != EL_OK)
        fail(err.text);
    (void)printf("%.17g %.17g %.17g %s\n", found.loss, found.cost, found.bound, found.exact ? "exact" : "bounded");
    for (size_t i = 0; i < n; i++)
        (void)printf("%u\n", (unsigned)choice[i]);
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)items[i].choices);
    free(items);
    free(choice);
    return 0;
}
