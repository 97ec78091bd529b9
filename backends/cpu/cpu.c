/* Compute on the processor: CBLAS for matrix products, our own kernels for the rest. */
#include "config.h"

#include "backend/module.h"
#include "base/log.h"
#include "cpu/blas.h"
#include "cpu/cpu.h"

#include <stdlib.h>

static int cpu_probe(char *text, size_t size)
{
	const float x[] = { 1, 2, 3 };
	const struct sp_cpu_kernels *kernels = sp_cpu_kernels_choose();
	if (!kernels)
		return sp_say(SP_ERR_UNUSABLE, text, size, "SEQPAR_CPU_ISA=%s is not built or does not run here; unset it",
		              getenv("SEQPAR_CPU_ISA"));
	if (cblas_sdot(3, x, 1, x, 1) != 14)
		return sp_say(SP_ERR_UNUSABLE, text, size, "%s computes wrongly", sp_blas_config());
	return sp_say(SP_OK, text, size, "%s; kernels for %s", sp_blas_config(), kernels->isa);
}

static const struct sp_compute_ops ops = {
	.open = sp_cpu_open,
	.close = sp_cpu_close,
	.describe = sp_cpu_describe,
	.supports = sp_cpu_supports,
	.chunk_multiple = sp_cpu_chunk_multiple,
	.threads = sp_cpu_threads,
	.multiplies = sp_cpu_multiplies,

	.alloc = sp_cpu_alloc,
	.free = sp_cpu_free,
	.copy_in = sp_cpu_copy_in,
	.upload = sp_cpu_copy_in,
	.copy_out = sp_cpu_copy_out,
	.zero = sp_cpu_zero,
	.copy_rows = sp_cpu_copy_rows,
	.convert = sp_cpu_convert,
	.sync = sp_cpu_sync,

	.linear_forward = sp_cpu_linear_forward,
	.linear_backward_input = sp_cpu_linear_backward_input,
	.linear_backward_weight = sp_cpu_linear_backward_weight,

	.norm_forward = sp_cpu_norm_forward,
	.norm_backward = sp_cpu_norm_backward,

	.attention_forward = sp_cpu_attention_forward,
	.attention_finish = sp_cpu_attention_finish,
	.attention_merge = sp_cpu_attention_merge,
	.attention_dots = sp_cpu_attention_dots,
	.attention_backward = sp_cpu_attention_backward,

	.scores_mask = sp_cpu_scores_mask,
	.scores_softmax = sp_cpu_scores_softmax,
	.scores_drop = sp_cpu_scores_drop,
	.scores_backward = sp_cpu_scores_backward,

	.rotate = sp_cpu_rotate,

	.embedding_forward = sp_cpu_embedding_forward,
	.embedding_backward = sp_cpu_embedding_backward,

	.gather_rows = sp_cpu_gather_rows,
	.scatter_add_rows = sp_cpu_scatter_add_rows,
	.cross_entropy = sp_cpu_cross_entropy,
	.tanh_forward = sp_cpu_tanh_forward,
	.tanh_backward = sp_cpu_tanh_backward,
	.activation_backward = sp_cpu_activation_backward,

	.words_forward = sp_cpu_words_forward,
	.words_backward = sp_cpu_words_backward,
	.entropy_part = sp_cpu_entropy_part,
	.entropy_whole = sp_cpu_entropy_whole,

	.sum_squares = sp_cpu_sum_squares,
	.decide = sp_cpu_decide,
	.adamw = sp_cpu_adamw,
	.add = sp_cpu_add,

	.gemm_rate = sp_cpu_gemm_rate,
	.memory_rate = sp_cpu_memory_rate,
};

const struct sp_module sp_module_cpu = {
	.abi = SP_MODULE_ABI,
	.name = "cpu",
	.probe = cpu_probe,
	.compute = &ops,
};
