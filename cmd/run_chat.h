/* run --chat: prompts written with a chat template, and the conversation at a terminal. */
#ifndef CMD_RUN_CHAT_H
#define CMD_RUN_CHAT_H

#include "cmd/model_io.h"
#include "cmd/run_args.h"

/* The template that the options or the model name. EL_E_UNSUPPORTED: there is none. Close it with el_chat_close(). */
enum el_status chat_open(const struct run_args *a, const struct model_io *io, struct el_chat **chat, struct el_err *err);
/* A conversation up to where the model's answer begins: messages [n], or when n is 0 the JSON array. el_free() the text. */
enum el_status chat_render(const struct el_chat *chat, const struct run_args *a, const struct el_chat_message *messages, size_t n,
                           const char *messages_json, char **text, size_t *nbytes, struct el_err *err);
/*
 * The same of an array of messages that somebody else has written; `what` names it in errors. Every message needs a role, and a
 * content or tool_calls. Content in parts becomes one text where the template knows no parts; parts that are no text are refused
 * (EL_E_UNSUPPORTED). EL_E_FORMAT: no such array.
 */
enum el_status chat_render_messages(const struct el_chat *chat, const struct run_args *a, const struct el_json *messages,
                                    const char *what, char **text, size_t *nbytes, struct el_err *err);
/* The prompt of one answer: of the file of --messages, or of --system-prompt and what the user says. */
enum el_status chat_render_single(const struct run_args *a, const struct model_io *io, const char *said, char **text,
                                  size_t *nbytes, struct el_err *err);

/* What a user says, with the system's words before it. */
enum el_status chat_render_user(const struct el_chat *chat, const struct run_args *a, const char *said, char **text,
                                size_t *nbytes, struct el_err *err);

/*
 * The conversation at a terminal, until /exit or the end of input. first (may be NULL) is what the user says first. Ctrl-C ends
 * the answer.
 */
enum el_status run_dialogue(const struct run_args *a, struct model_io *io, const struct el_grammar *grammar, const char *first,
                            struct el_err *err);

#endif
