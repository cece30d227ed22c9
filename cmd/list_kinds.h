/* What 'list' can list. */
#ifndef CMD_LIST_KINDS_H
#define CMD_LIST_KINDS_H

#include <stddef.h>

/* The i-th KIND of list, NULL past the end. Static. */
const char *list_kind_at(size_t i);

#endif
