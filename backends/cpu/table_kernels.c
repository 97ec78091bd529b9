/* The table of one instruction set. */
#include "config.h"

#include "cpu/kernels.h"

#define STRING(s) #s
#define NAME(isa) STRING(isa)
#define TABLE(isa) SP_PASTE3(sp_cpu_kernels, _, isa)
#define TABLE_OF(isa) TABLE(isa)

extern const struct sp_cpu_kernels TABLE_OF(ISA);
const struct sp_cpu_kernels TABLE_OF(ISA) = {
	.isa = NAME(ISA),
#define X(name, parameters) .name = SP_KERNEL(name),
	SP_CPU_KERNELS(X)
#undef X
};
