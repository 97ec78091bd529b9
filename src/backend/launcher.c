#include "config.h"

#include "backend/launcher.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>

/* In the order in which they are believed: mpirun inside a Slurm step leaves Slurm's variables in place. Only srun sets
 * SLURM_STEP_NUM_TASKS; a batch script has SLURM_NTASKS and SLURM_PROCID as well. */
static const struct {
	const char *name, *size, *rank;
} launchers[] = {
	{ "mpirun (Open MPI)", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK" },
	{ "mpiexec (PMI)", "PMI_SIZE", "PMI_RANK" },
	{ "srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID" },
	{ "a PMIx launcher", NULL, "PMIX_RANK" },
};

/* A number from the environment, or `otherwise` if it is unset or no number. */
static int number(const char *variable, int otherwise)
{
	const char *text = variable ? getenv(variable) : NULL;
	if (!text || !*text)
		return otherwise;
	char *end;
	long value = strtol(text, &end, 10);
	return *end || value < 0 || value > INT_MAX ? otherwise : (int)value;
}

struct sp_launcher sp_launcher_find(void)
{
	for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
		int ranks = number(launchers[i].size, 0), rank = number(launchers[i].rank, -1);
		const char *variable = launchers[i].size ? launchers[i].size : launchers[i].rank;
		if (launchers[i].size ? ranks > 0 : rank >= 0)
			return (struct sp_launcher){ launchers[i].name, variable, ranks, rank };
	}
	return (struct sp_launcher){ NULL, NULL, 0, -1 };
}
