#include "config.h"

#include "cpu/cpu.h"

#include "base/log.h"
#include "base/size.h"
#include "cpu/blas.h"
#include "cpu/onednn.h"

#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* What a parallel region really gets, and what the BLAS would use inside it. */
static void measure_threads(struct sp_cpu *cpu)
{
	int granted = 1, blas = 0;
#ifdef _OPENMP
	omp_set_dynamic(0);
#pragma omp parallel num_threads(cpu->threads)
#pragma omp single
	granted = omp_get_num_threads();
#endif
	blas = sp_blas_threads();
	cpu->threads = granted;
	cpu->blas_threads = blas;
}

/* Without the instructions it is not opened unless it is asked for: nothing would be gained. */
static int open_onednn(struct sp_cpu *cpu)
{
	char *why = cpu->no_onednn;
	int status = SP_OK;
	if (cpu->products == SP_PRODUCTS_BLAS)
		return sp_say(SP_OK, why, sizeof cpu->no_onednn, "the BLAS was chosen (backend.products)");
	if (cpu->products == SP_PRODUCTS_AUTO && !sp_onednn_is_fast(SP_BF16))
		return sp_say(SP_OK, why, sizeof cpu->no_onednn, "this processor has neither AVX512_BF16 nor AMX that oneDNN may use");
	status = sp_onednn_open(cpu->threads, &cpu->onednn, why, sizeof cpu->no_onednn);
	if (status == SP_ERR_MEMORY)
		return status;
	if (cpu->products == SP_PRODUCTS_ONEDNN)
		return status ? sp_fail(status, "cpu: backend.products=onednn cannot be had: %s", why) : SP_OK;
	return SP_OK;
}

int sp_cpu_open(const struct sp_compute_options *options, void **ctx)
{
	const struct sp_cpu_kernels *kernels = sp_cpu_kernels_choose();
	if (options && options->precision != SP_PRECISION_FP32)
		return sp_fail(SP_ERR_UNUSABLE, "cpu: this processor has no tf32 products: set train.precision = fp32, or backend.device to a GPU's "
		               "module");
	if (options && options->attention_kernel == SP_ATTENTION_CUDNN)
		return sp_fail(SP_ERR_UNUSABLE, "cpu: backend.attention_kernel = cudnn is for GPUs: set it to auto, or backend.device to a GPU's "
		               "module");
	if (!kernels)
		return sp_fail(SP_ERR_UNUSABLE, "cpu: kernels for SEQPAR_CPU_ISA=%s are not built or do not run here; unset it",
		               getenv("SEQPAR_CPU_ISA"));
	struct sp_cpu *cpu = calloc(1, sizeof *cpu);
	if (!cpu)
		return sp_fail(SP_ERR_MEMORY, "cpu: no memory for the context");
	cpu->kernels = kernels;
	const int own = sp_cpu_default_threads(cpu);
	cpu->asked = cpu->threads = options && options->threads > 0 ? options->threads : own;
	sp_blas_set_threads(1);
	measure_threads(cpu);
	cpu->products = options ? options->products : SP_PRODUCTS_AUTO;
	const int status = open_onednn(cpu);
	if (status)
		sp_cpu_close(cpu);
	else
		*ctx = cpu;
	return status;
}

void sp_cpu_close(void *ctx)
{
	struct sp_cpu *cpu = ctx;
	if (!cpu)
		return;
	sp_onednn_close(cpu->onednn);
	free(cpu->scratch);
	free(cpu);
}

int sp_cpu_supports(void *ctx, const struct sp_compute_needs *needs, char *why, size_t size)
{
	struct sp_cpu *cpu = ctx;
	if (needs->dtype != SP_F32 && needs->dtype != SP_BF16)
		return sp_say(SP_ERR_UNUSABLE, why, size, "the cpu backend keeps activations in fp32 or bf16, not in %s, which needs a GPU",
		              sp_dtype_name(needs->dtype));
	if (needs->dtype == SP_BF16 && cpu->products == SP_PRODUCTS_ONEDNN && !sp_onednn_knows(cpu->onednn, SP_BF16))
		return sp_say(SP_ERR_UNUSABLE, why, size, "with backend.products = onednn it makes no products in bf16: oneDNN needs a processor with "
		              "AVX-512 for them; set backend.products = auto");
	cpu->bf16 = needs->dtype == SP_BF16;
	return SP_OK;
}

int64_t sp_cpu_chunk_multiple(void *ctx)
{
	(void)ctx;
	return 1;
}

int sp_cpu_threads(void *ctx)
{
	return ((struct sp_cpu *)ctx)->threads;
}

void *sp_cpu_scratch(struct sp_cpu *cpu, size_t bytes)
{
	if (bytes <= cpu->scratch_size && cpu->scratch)
		return cpu->scratch;
	void *memory;
	if (posix_memalign(&memory, 64, bytes ? bytes : 64)) {
		sp_fail(SP_ERR_MEMORY, "cpu: no memory for %zu bytes of work space", bytes);
		return NULL;
	}
	free(cpu->scratch);
	cpu->scratch = memory;
	cpu->scratch_size = bytes;
	return memory;
}

void sp_cpu_part(int64_t n, int64_t grain, int64_t parts, int64_t part, int64_t *first, int64_t *end)
{
	const int64_t grains = sp_ceil_div(n, grain);
	*first = sp_min(n, grains * part / parts * grain);
	*end = sp_min(n, grains * (part + 1) / parts * grain);
}
