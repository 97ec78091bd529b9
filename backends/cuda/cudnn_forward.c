/* Forward attention: one operation, which cuDNN calls scaled dot-product attention. */
#include "config.h"

#include "cuda/cudnn_graph.h"

void sp_cudnn_build_forward(struct sp_cudnn_graph *g, const struct sp_cuda_sdpa_shape *s)
{
	const cudnnDataType_t type = sp_cudnn_type(s->dtype);
	const struct sp_cudnn_extent q = sp_cudnn_heads(s->batch, s->heads, s->chunk, s->head_dim, s->q);
	const struct sp_cudnn_extent k = sp_cudnn_heads(s->batch, s->heads, s->keys, s->head_dim, s->k);
	const struct sp_cudnn_extent v = sp_cudnn_heads(s->batch, s->heads, s->keys, s->head_dim, s->v);
	const struct sp_cudnn_extent o = sp_cudnn_heads(s->batch, s->heads, s->chunk, s->head_dim, s->o);
	const struct {
		cudnnBackendAttributeName_t of;
		cudnnBackendDescriptor_t tensor;
	} operands[] = {
		{ CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, sp_cudnn_tensor(g, SP_CUDNN_Q, type, q) },
		{ CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, sp_cudnn_tensor(g, SP_CUDNN_K, type, k) },
		{ CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, sp_cudnn_tensor(g, SP_CUDNN_V, type, v) },
		{ CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, sp_cudnn_tensor(g, SP_CUDNN_O, type, o) },
		{ CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC,
		  sp_cudnn_tensor(g, SP_CUDNN_STATS, CUDNN_DATA_FLOAT, sp_cudnn_packed(s->batch, s->heads, s->chunk, 1)) },
		{ CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, sp_cudnn_number(g, SP_CUDNN_SCALE) },
	};
	const cudnnBackendDescriptor_t operation = sp_cudnn_make(g, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
	for (size_t i = 0; i < sizeof operands / sizeof *operands; i++)
		sp_cudnn_refer(g, operation, operands[i].of, operands[i].tensor);
	sp_cudnn_finish(g, operation, "the operation of forward attention");
	g->operation[g->operations++] = operation;
}
