/* Whether something started this process as one of several ranks, told from the environment. May include: libc. */
#ifndef SP_BACKEND_LAUNCHER_H
#define SP_BACKEND_LAUNCHER_H

struct sp_launcher {
	const char *name;     /* "mpirun", "srun", ...; NULL: none */
	const char *variable; /* the variable of the environment that says so */
	int ranks;            /* how many it started; 0: it does not say */
	int rank;             /* which one this is; -1: it does not say */
};

/* A shell inside an allocation (salloc, sbatch) is not a launcher: its SLURM_NTASKS says what srun would start. */
struct sp_launcher sp_launcher_find(void);

#endif
