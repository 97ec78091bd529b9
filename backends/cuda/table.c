/* The compute table over the operations of this backend. */
#include "config.h"

#include "cuda/cuda.h"

const struct sp_compute_ops sp_cuda_ops = {
	.open = sp_cuda_open,
	.close = sp_cuda_close,
	.describe = sp_cuda_describe,
	.supports = sp_cuda_supports,
	.chunk_multiple = sp_cuda_chunk_multiple,
	.threads = sp_cuda_threads,

	.alloc = sp_cuda_alloc,
	.free = sp_cuda_free,
	.copy_in = sp_cuda_copy_in,
	.upload = sp_cuda_upload,
	.copy_out = sp_cuda_copy_out,
	.zero = sp_cuda_zero,
	.copy_rows = sp_cuda_copy_rows,
	.convert = sp_cuda_convert,
	.sync = sp_cuda_sync,
	.alloc_host = sp_cuda_alloc_host,
	.free_host = sp_cuda_free_host,
	.queue = sp_cuda_queue,
	.mark = sp_cuda_mark,
	.between = sp_cuda_between,

	.graph_begin = sp_cuda_graph_begin,
	.graph_end = sp_cuda_graph_end,
	.graph_launch = sp_cuda_graph_launch,
	.graph_free = sp_cuda_graph_free,

	.linear_forward = sp_cuda_linear_forward,
	.linear_backward_input = sp_cuda_linear_backward_input,
	.linear_backward_weight = sp_cuda_linear_backward_weight,
	.activation_backward = sp_cuda_activation_backward,

	.norm_forward = sp_cuda_norm_forward,
	.norm_backward = sp_cuda_norm_backward,

	.attention_forward = sp_cuda_attention_forward,
	.attention_finish = sp_cuda_attention_finish,
	.attention_merge = sp_cuda_attention_merge,
	.attention_dots = sp_cuda_attention_dots,
	.attention_backward = sp_cuda_attention_backward,

	.scores_mask = sp_cuda_scores_mask,
	.scores_softmax = sp_cuda_scores_softmax,
	.scores_drop = sp_cuda_scores_drop,
	.scores_backward = sp_cuda_scores_backward,

	.rotate = sp_cuda_rotate,

	.embedding_forward = sp_cuda_embedding_forward,
	.embedding_backward = sp_cuda_embedding_backward,

	.gather_rows = sp_cuda_gather_rows,
	.scatter_add_rows = sp_cuda_scatter_add_rows,
	.cross_entropy = sp_cuda_cross_entropy,
	.tanh_forward = sp_cuda_tanh_forward,
	.tanh_backward = sp_cuda_tanh_backward,

	.words_forward = sp_cuda_words_forward,
	.words_backward = sp_cuda_words_backward,
	.entropy_part = sp_cuda_entropy_part,
	.entropy_whole = sp_cuda_entropy_whole,

	.sum_squares = sp_cuda_sum_squares,
	.decide = sp_cuda_decide,
	.adamw = sp_cuda_adamw,
	.add = sp_cuda_add,

	.gemm_rate = sp_cuda_gemm_rate,
	.memory_rate = sp_cuda_memory_rate,
};
