#include "config.h"

#include "cli/machine.h"

#include <hwloc.h>
#include <stdio.h>
#include <string.h>

/* Bytes of one cache of this kind; 0 if there is none. */
static unsigned long long cache_size(hwloc_topology_t t, hwloc_obj_type_t type)
{
	hwloc_obj_t cache = hwloc_get_obj_by_type(t, type, 0);
	return cache && cache->attr ? cache->attr->cache.size : 0;
}

static int count(hwloc_topology_t t, hwloc_obj_type_t type)
{
	return hwloc_get_nbobjs_by_type(t, type);
}

static int usable_threads(hwloc_topology_t t)
{
	hwloc_bitmap_t set = hwloc_bitmap_alloc();
	int n = count(t, HWLOC_OBJ_PU);
	if (set && hwloc_get_cpubind(t, set, HWLOC_CPUBIND_PROCESS) == 0)
		n = hwloc_bitmap_weight(set);
	hwloc_bitmap_free(set);
	return n;
}

static void print_topology(hwloc_topology_t t)
{
	hwloc_obj_t package = hwloc_get_obj_by_type(t, HWLOC_OBJ_PACKAGE, 0);
	const char *model = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
	printf("machine    %s: %d cores, %d threads of which %d may be used here; %d NUMA node(s), %.1f GiB\n",
	       model ? model : "unknown processor", count(t, HWLOC_OBJ_CORE), count(t, HWLOC_OBJ_PU), usable_threads(t),
	       count(t, HWLOC_OBJ_NUMANODE), (double)hwloc_get_root_obj(t)->total_memory / (1 << 30));
	printf("caches     L1d %llu KiB, L2 %llu KiB, L3 %llu KiB\n", cache_size(t, HWLOC_OBJ_L1CACHE) >> 10,
	       cache_size(t, HWLOC_OBJ_L2CACHE) >> 10, cache_size(t, HWLOC_OBJ_L3CACHE) >> 10);
}

static void print_features(void)
{
	printf("vectors   ");
#ifdef __x86_64__
#define FEATURE(name) { name, __builtin_cpu_supports(name) }
	const struct {
		const char *name;
		int there;
	} features[] = {
		FEATURE("avx2"), FEATURE("fma"), FEATURE("avx512f"), FEATURE("avx512bw"), FEATURE("avx512dq"), FEATURE("avx512vl"),
		FEATURE("avx512bf16"),
	};
	int any = 0;
	for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
		if (features[i].there)
			printf(" %s", features[i].name);
		any |= features[i].there;
	}
	if (any) {
		putchar('\n');
		return;
	}
#endif
	printf(" none that seqpar has kernels for\n");
}

void sp_cli_print_machine(void)
{
	hwloc_topology_t topology;
	if (hwloc_topology_init(&topology) == 0) {
		if (hwloc_topology_load(topology) == 0)
			print_topology(topology);
		hwloc_topology_destroy(topology);
	}
	print_features();
}
