#include "cmd/command.h"

#include <string.h>

static const struct command *const commands[] = {
#define COMMAND(id) &cmd_##id,
#include "cmd/commands.def"
#undef COMMAND
};

const struct command *command_at(size_t i)
{
    return i < sizeof commands / sizeof *commands ? commands[i] : NULL;
}

/* Number of leading words that spell name, when all of name is spelled; else 0. */
static size_t n_words_of(const char *name, char *const *words, size_t n)
{
    const char *const space = strchr(name, ' ');
    if (!space)
        return n >= 1 && strcmp(name, words[0]) == 0 ? 1 : 0;
    const size_t first = (size_t)(space - name);
    if (n < 2 || strlen(words[0]) != first || strncmp(name, words[0], first) != 0)
        return 0;
    return strcmp(space + 1, words[1]) == 0 ? 2 : 0;
}

const struct command *command_find(char *const *words, size_t n, size_t *n_used)
{
    for (size_t i = 0; command_at(i); i++) {
        *n_used = n_words_of(commands[i]->name, words, n);
        if (*n_used)
            return commands[i];
    }
    *n_used = 0;
    return NULL;
}

bool command_is_group(const char *word)
{
    const size_t len = strlen(word);
    for (size_t i = 0; command_at(i); i++)
        if (len && strncmp(commands[i]->name, word, len) == 0 && commands[i]->name[len] == ' ')
            return true;
    return false;
}
