/* Which variant runs here. Compiled without -m flags: it runs before anybody knows the processor. */
#include "config.h"

#include "cpu/kernels.h"

#include <stdlib.h>
#include <string.h>

#define X(isa) extern const struct sp_cpu_kernels sp_cpu_kernels_##isa;
SP_CPU_ISAS
#undef X

static const struct sp_cpu_kernels *const variants[] = {
#define X(isa) &sp_cpu_kernels_##isa,
	SP_CPU_ISAS
#undef X
	NULL,
};

const struct sp_cpu_kernels *sp_cpu_kernels_at(size_t i)
{
	return variants[i];
}

#ifdef __x86_64__
static int has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
}
#endif

int sp_cpu_kernels_runnable(const struct sp_cpu_kernels *kernels)
{
#ifdef __x86_64__
	if (strcmp(kernels->isa, "avx512bf16") == 0)
		return has_avx512() && __builtin_cpu_supports("avx512bf16");
	if (strcmp(kernels->isa, "avx512") == 0)
		return has_avx512();
	if (strcmp(kernels->isa, "avx2") == 0)
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
	return strcmp(kernels->isa, "generic") == 0;
}

const struct sp_cpu_kernels *sp_cpu_kernels_choose(void)
{
	const char *wanted = getenv("SEQPAR_CPU_ISA");
	for (size_t i = 0; variants[i]; i++)
		if (sp_cpu_kernels_runnable(variants[i]) && (!wanted || strcmp(wanted, variants[i]->isa) == 0))
			return variants[i];
	return NULL;
}
