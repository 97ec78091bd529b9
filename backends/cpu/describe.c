/* What the cpu backend runs on, and what holds it back. */
#include "config.h"

#include "cpu/cpu.h"

#include "cpu/blas.h"
#include "cpu/onednn.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *threading_name(enum sp_blas_threading threading)
{
	switch (threading) {
	case SP_BLAS_SEQUENTIAL: return "sequential";
	case SP_BLAS_PTHREADS: return "pthread flavour";
	case SP_BLAS_OPENMP: return "OpenMP flavour";
	case SP_BLAS_UNKNOWN: break;
	}
	return "threading unknown";
}

/* OpenBLAS core types by the vectors their sgemm uses; what is not named here is older than AVX2 or not x86. */
static const struct {
	const char *core;
	int bits;
} core_vectors[] = {
	{ "Haswell", 256 },   { "Zen", 256 },       { "Excavator", 256 },
	{ "SkylakeX", 512 },  { "Cooperlake", 512 }, { "Sapphirerapids", 512 },
};

static int core_bits(const char *core)
{
	for (size_t i = 0; i < sizeof core_vectors / sizeof *core_vectors; i++)
		if (strcasecmp(core, core_vectors[i].core) == 0)
			return core_vectors[i].bits;
	return 128;
}

static int machine_bits(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl"))
		return 512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return 256;
#endif
	return 0;
}

/* Appends one remark to a list separated by "; ". */
static void remark(char *text, size_t size, const char *format, ...)
{
	const size_t used = strlen(text);
	const int n = used ? snprintf(text + used, size - used, "; ") : 0;
	if (used + (size_t)n >= size)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(text + used + n, size - used - (size_t)n, format, args);
	va_end(args);
}

static void warn_core(char *text, size_t size)
{
	const char *core = sp_blas_core(), *forced = getenv("OPENBLAS_CORETYPE");
	if (!core[0] || core_bits(core) >= machine_bits())
		return;
	if (forced)
		remark(text, size, "OPENBLAS_CORETYPE=%s holds OpenBLAS at %d-bit vectors, this processor has %d: unset it",
		       forced, core_bits(core), machine_bits());
	else
		remark(text, size, "OpenBLAS does not know this processor and runs its %s kernels (%d-bit vectors of %d): "
		                   "install a newer OpenBLAS built with DYNAMIC_ARCH, or set OPENBLAS_CORETYPE",
		       core, core_bits(core), machine_bits());
}

static void warn_blas(const struct sp_cpu *cpu, char *text, size_t size)
{
	if (sp_blas_threading() == SP_BLAS_UNKNOWN)
		remark(text, size, "this CBLAS is not OpenBLAS and cannot be told to use one thread: make sure that it does, "
		                   "or that it notices OpenMP regions");
	if (sp_blas_threading() == SP_BLAS_PTHREADS)
		remark(text, size, "OpenBLAS is the pthread flavour, whose threads compete with ours: install "
		                   "libopenblas0-openmp and choose it (update-alternatives --config libopenblas.so.0-ARCH)");
	if (cpu->blas_threads > 1)
		remark(text, size, "OpenBLAS keeps %d threads inside each of ours though told to use one: set "
		                   "OPENBLAS_NUM_THREADS=1",
		       cpu->blas_threads);
	if (getenv("OPENBLAS_L2_SIZE"))
		remark(text, size, "OPENBLAS_L2_SIZE=%s changes OpenBLAS's blocking: unset it", getenv("OPENBLAS_L2_SIZE"));
}

static void warn_threads(const struct sp_cpu *cpu, char *text, size_t size)
{
	if (cpu->threads != cpu->asked)
		remark(text, size, "%d threads were asked for and OpenMP grants %d: look at OMP_THREAD_LIMIT and OMP_DYNAMIC, "
		                   "or build with OpenMP", cpu->asked, cpu->threads);
	if (cpu->threads > cpu->bound)
		remark(text, size, "%d threads share %d core%s: lower backend.threads or OMP_NUM_THREADS, or start the ranks "
		                   "with mpirun --bind-to none", cpu->threads, cpu->bound, cpu->bound == 1 ? "" : "s");
	else if (cpu->ranks > 1 && (int64_t)cpu->bound * cpu->ranks <= cpu->cores / 2)
		remark(text, size, "%d ranks bound to %d core%s each leave most of the %d cores idle: start them with mpirun "
		                   "--bind-to none, or bind them to more", cpu->ranks, cpu->bound, cpu->bound == 1 ? "" : "s",
		       cpu->cores);
}

static void warn_bf16(const struct sp_cpu *cpu, char *text, size_t size)
{
	const char *saved = strcmp(cpu->kernels->isa, "avx512bf16") == 0 ? "time in attention only" : "no time";
	if (cpu->bf16 && !cpu->onednn)
		remark(text, size, "bf16 halves the memory of activations but saves %s: products of layers are made in fp32, as %s; set "
		                   "train.precision = fp32 where memory suffices", saved, cpu->no_onednn);
	else if (cpu->bf16 && !sp_onednn_is_fast(SP_BF16))
		remark(text, size, "bf16 halves the memory of activations but is slow: this processor has neither AVX512_BF16 nor AMX for oneDNN to "
		                   "use; set backend.products = auto, or train.precision = fp32 where memory suffices");
}

/* What multiplies besides the BLAS: "; oneDNN 2.6.3 for bf16". */
static void name_onednn(const struct sp_cpu *cpu, char *text, size_t size)
{
	char name[64] = "";
	text[0] = 0;
	if (!cpu->onednn)
		return;
	sp_onednn_name(name, sizeof name);
	snprintf(text, size, "; %s for %s", name, cpu->products == SP_PRODUCTS_ONEDNN ? "all products" : "bf16");
}

void sp_cpu_describe(void *ctx, char *text, size_t size, char *warning, size_t warning_size)
{
	const struct sp_cpu *cpu = ctx;
	char onednn[96];
	name_onednn(cpu, onednn, sizeof onednn);
	if (size)
		snprintf(text, size, "%s, core type %s, %s%s; kernels for %s; %d thread%s", sp_blas_config(),
		         sp_blas_core()[0] ? sp_blas_core() : "unknown", threading_name(sp_blas_threading()), onednn, cpu->kernels->isa,
		         cpu->threads, cpu->threads == 1 ? "" : "s");
	if (!warning_size)
		return;
	warning[0] = 0;
	warn_core(warning, warning_size);
	warn_blas(cpu, warning, warning_size);
	warn_threads(cpu, warning, warning_size);
	warn_bf16(cpu, warning, warning_size);
}
