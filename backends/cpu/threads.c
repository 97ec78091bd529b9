/* How many threads a rank takes when nobody says: the cores it may run on, shared fairly with the other ranks there. */
#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"

#include <hwloc.h>
#include <stdlib.h>
#include <unistd.h>

/* Set by the launchers on each rank; Slurm's may go on as in "4(x2),3", of which the first number is close enough. */
static const char *const local_size_variables[] = { "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS",
	                                                "MV2_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE" };

static int positive_variable(const char *name)
{
	const char *text = getenv(name);
	const long value = text ? strtol(text, NULL, 10) : 0;
	return value > 0 && value < 1 << 20 ? (int)value : 0;
}

static int ranks_here(void)
{
	for (size_t i = 0; i < sizeof local_size_variables / sizeof *local_size_variables; i++) {
		const int ranks = positive_variable(local_size_variables[i]);
		if (ranks)
			return ranks;
	}
	return 1;
}

/* Cores with at least one hardware thread in `set`. */
static int cores_touching(hwloc_topology_t topology, hwloc_const_cpuset_t set)
{
	const int all = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
	int cores = 0;
	for (int i = 0; i < all; i++) {
		const struct hwloc_obj *core = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, (unsigned)i);
		cores += hwloc_bitmap_intersects(core->cpuset, set) != 0;
	}
	return cores;
}

static int count_cores(int *machine, int *bound)
{
	hwloc_topology_t topology;
	if (hwloc_topology_init(&topology))
		return -1;
	hwloc_bitmap_t binding = hwloc_bitmap_alloc();
	int failed = !binding || hwloc_topology_load(topology);
	if (!failed) {
		*machine = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
		failed = *machine < 1;
		const int unbound = hwloc_get_cpubind(topology, binding, HWLOC_CPUBIND_PROCESS);
		*bound = unbound ? *machine : cores_touching(topology, binding);
	}
	hwloc_bitmap_free(binding);
	hwloc_topology_destroy(topology);
	return failed ? -1 : 0;
}

int sp_cpu_default_threads(struct sp_cpu *cpu)
{
	if (count_cores(&cpu->cores, &cpu->bound)) {
		const long online = sysconf(_SC_NPROCESSORS_ONLN);
		cpu->cores = cpu->bound = online > 0 ? (int)online : 1;
	}
	if (cpu->bound < 1)
		cpu->bound = 1;
	cpu->ranks = ranks_here();
	const int set = positive_variable("OMP_NUM_THREADS");
	if (set)
		return set;
	/* Bindings that all fit on the machine side by side are taken to be disjoint; others overlap and are shared. */
	if ((int64_t)cpu->bound * cpu->ranks <= cpu->cores)
		return cpu->bound;
	return (int)sp_max(1, sp_min(cpu->bound, cpu->cores / cpu->ranks));
}
