/* A program that this one starts, waits for, and hands signals to. May include: libc. */
#ifndef SP_CLI_ATTEND_H
#define SP_CLI_ATTEND_H

/* Starts words[0] with these arguments (PATH is searched; the last is NULL) and waits until it ends. Of SIGINT, SIGTERM,
 * SIGHUP and SIGUSR1 each is handed on as `stop`, a second SIGINT as SIGTERM; a terminal's signals reach it in no other way,
 * and it does not outlive this process. *code: its exit status, 128 + N after signal N. Returns 0, or errno if it could
 * not be started. */
int sp_cli_attend(char **words, int stop, int *code);

#endif
