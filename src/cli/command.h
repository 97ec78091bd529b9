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
int sp_cli_tokenize(int argc, char **argv);
int sp_cli_vocab(int argc, char **argv);

struct sp_comm;

/* The exit code for a status. */
int sp_cli_exit(int status);

/* Ends a command that has opened `comm` (or not: NULL) with this status, and returns the exit code. If the status is an
 * error and there are other ranks it does not return but ends the whole job, so that none waits for this one; else it
 * closes `comm`, which is collective. */
int sp_cli_end(struct sp_comm *comm, int status);

/* Ranks often meet the same error together. Rank 0 writes it at once; the others hold theirs back for a moment, in which
 * rank 0's end takes them down, so that an error is read once, and last. For main only. rank: -1 if unknown. */
void sp_cli_speak_in_turn(int rank);
int sp_cli_last_word(int code); /* releases what was held, and returns the code */

#endif
