/* Inside the simulated NCCL: streams on which transfers are worked off one after the other, whenever somebody looks.
 * May include: libc. */
#ifndef SP_TESTS_NCCLSIM_SIMULATOR_H
#define SP_TESTS_NCCLSIM_SIMULATOR_H

/* Device memory can be touched between the two. */
void ncclsim_open_memory(void);
void ncclsim_close_memory(void);

/* Puts work on a side stream: step() is called until it returns 1. */
void ncclsim_push(void *stream, int (*step)(void *work), void *work);
/* Works off what can be. */
void ncclsim_move(void);

/* This process's number in the job, from the launcher's environment; 0 without one. */
int ncclsim_rank(void);
/* Whether SEQPAR_NCCLSIM names this: "absent", "version", "crowd", "init", "error". */
int ncclsim_told(const char *word);

#endif
