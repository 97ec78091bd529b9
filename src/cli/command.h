/* The commands of the program. May include: all rooms. */
#ifndef SP_CLI_COMMAND_H
#define SP_CLI_COMMAND_H

/* How the program ends. */
enum sp_exit {
	SP_EXIT_DONE = 0,
	SP_EXIT_FAILED = 1,
	SP_EXIT_USAGE = 2,   /* wrong usage or settings */
	SP_EXIT_STOPPED = 3, /* by a signal */
};

/* A command is one file with one function; argv[0] is its name. It returns an enum sp_exit, has logged its errors, and
 * prints its help to standard output when given --help. It is entered in the table of main.c. */
int sp_cli_info(int argc, char **argv);
int sp_cli_launch(int argc, char **argv);
int sp_cli_tokenize(int argc, char **argv);
int sp_cli_vocab(int argc, char **argv);
int sp_cli_convert(int argc, char **argv);
int sp_cli_train(int argc, char **argv);
int sp_cli_check(int argc, char **argv);
int sp_cli_plan(int argc, char **argv);
int sp_cli_eval(int argc, char **argv);
int sp_cli_fill_mask(int argc, char **argv);
int sp_cli_embed(int argc, char **argv);
int sp_cli_bench(int argc, char **argv);

struct sp_comm;

/* The exit code for a status. */
int sp_cli_exit(int status);

/* Ends a command that has opened `comm` (or not: NULL) with this status, and returns the exit code. After an error or a
 * stop with other ranks in `comm` it does not return but ends the whole job, so that none waits for this one; a stop is
 * collective then. Else it closes `comm`, which is collective. */
int sp_cli_end(struct sp_comm *comm, int status);

/* For main only. Ranks often meet the same error together. Rank 0 writes it at once; the others hold theirs back for a
 * moment, in which rank 0's end takes them down, so that an error is read once, and last. Only rank 0 has a standard
 * output. */
void sp_cli_begin(void);
int sp_cli_finish(int code); /* returns the code, or ends the job if this is one of several ranks */

#endif
