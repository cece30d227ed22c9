/*
 * A guard removes what we would leave behind if we were killed. It is a process of its own that holds one end of a socket:
 * end of file without a word from us means that we are gone. It lives in its own session, so that a signal to our group misses
 * it, and it holds no other open file of ours. Where processes cannot be made there is no guard, and guard functions do nothing.
 */
#ifndef EL_BASE_GUARD_H
#define EL_BASE_GUARD_H

#include <stddef.h>

/*
 * On our death: unlink names[0..n) below dir_fd. With a folder: remove that folder of dir_fd if it is empty; once armed, unlink
 * the names in it before. (The guard starts before the folder is made, when the names might be somebody else's.) Returns a
 * handle for the other functions, or -1. The names are copied by the fork.
 */
int el_guard_start(int dir_fd, const char *folder, const char *const *names, size_t n);
/* The folder is ours. -1 is ignored. */
void el_guard_arm(int guard);
/* Tells the guard that all is well. -1 is ignored. */
void el_guard_stop(int guard);

#endif
