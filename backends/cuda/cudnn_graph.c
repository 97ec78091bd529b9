#include "config.h"

#include "cuda/cudnn_graph.h"

#include "base/log.h"

#include <seqpar/status.h>

#include <stdbool.h>
#include <string.h>

enum { ALIGNED = 16 };

static void fail(struct sp_cudnn_graph *g, cudnnStatus_t status, const char *what)
{
	g->status = sp_cudnn_explain(status, what, g->why, sizeof g->why);
}

cudnnBackendDescriptor_t sp_cudnn_make(struct sp_cudnn_graph *g, cudnnBackendDescriptorType_t type)
{
	cudnnBackendDescriptor_t made = NULL;
	if (g->status)
		return NULL;
	if (g->count == SP_CUDNN_MOST_DESCRIPTORS) {
		g->status = sp_say(SP_ERR_UNUSABLE, g->why, sizeof g->why, "a graph of more than %d descriptors", g->count);
		return NULL;
	}
	const cudnnStatus_t status = sp_cudnn.BackendCreateDescriptor(type, &made);
	if (status != CUDNN_STATUS_SUCCESS)
		fail(g, status, "cudnnBackendCreateDescriptor");
	else
		g->all[g->count++] = made;
	return made;
}

void sp_cudnn_set(struct sp_cudnn_graph *g, cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, int64_t count, const void *value)
{
	if (g->status)
		return;
	const cudnnStatus_t status = sp_cudnn.BackendSetAttribute(of, name, type, count, value);
	if (status != CUDNN_STATUS_SUCCESS)
		fail(g, status, "cudnnBackendSetAttribute");
}

void sp_cudnn_refer(struct sp_cudnn_graph *g, cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t to)
{
	sp_cudnn_set(g, of, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &to);
}

void sp_cudnn_finish(struct sp_cudnn_graph *g, cudnnBackendDescriptor_t it, const char *what)
{
	if (g->status)
		return;
	const cudnnStatus_t status = sp_cudnn.BackendFinalize(it);
	if (status != CUDNN_STATUS_SUCCESS)
		fail(g, status, what);
}

void sp_cudnn_graph_destroy(struct sp_cudnn_graph *g)
{
	while (g->count > 0)
		(void)sp_cudnn.BackendDestroyDescriptor(g->all[--g->count]);
	memset(g, 0, sizeof *g);
}

/* ---- tensors ---- */

struct sp_cudnn_extent sp_cudnn_heads(int64_t batch, int64_t heads, int64_t rows, int64_t cols, int64_t stride)
{
	return (struct sp_cudnn_extent){ { batch, heads, rows, cols }, { rows * stride, cols, stride, 1 } };
}

struct sp_cudnn_extent sp_cudnn_turned(struct sp_cudnn_extent e)
{
	return (struct sp_cudnn_extent){ { e.size[0], e.size[1], e.size[3], e.size[2] }, { e.stride[0], e.stride[1], e.stride[3], e.stride[2] } };
}

struct sp_cudnn_extent sp_cudnn_packed(int64_t batch, int64_t heads, int64_t rows, int64_t cols)
{
	return (struct sp_cudnn_extent){ { batch, heads, rows, cols }, { heads * rows * cols, rows * cols, cols, 1 } };
}

enum kind { GIVEN, INSIDE, NUMBER };

static cudnnBackendDescriptor_t tensor(struct sp_cudnn_graph *g, int64_t name, cudnnDataType_t type, struct sp_cudnn_extent extent, enum kind kind)
{
	const int64_t aligned = ALIGNED;
	const bool inside = kind == INSIDE, number = kind == NUMBER;
	const cudnnBackendDescriptor_t t = sp_cudnn_make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
	sp_cudnn_set(g, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &name);
	sp_cudnn_set(g, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
	sp_cudnn_set(g, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, SP_CUDNN_AXES, extent.size);
	sp_cudnn_set(g, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, SP_CUDNN_AXES, extent.stride);
	sp_cudnn_set(g, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &aligned);
	sp_cudnn_set(g, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &inside);
	sp_cudnn_set(g, t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &number);
	sp_cudnn_finish(g, t, "a tensor");
	return t;
}

cudnnBackendDescriptor_t sp_cudnn_tensor(struct sp_cudnn_graph *g, enum sp_cudnn_name name, cudnnDataType_t type, struct sp_cudnn_extent extent)
{
	return tensor(g, name, type, extent, GIVEN);
}

cudnnBackendDescriptor_t sp_cudnn_inside(struct sp_cudnn_graph *g, cudnnDataType_t type, struct sp_cudnn_extent extent)
{
	return tensor(g, SP_CUDNN_INSIDE + g->inside++, type, extent, INSIDE);
}

cudnnBackendDescriptor_t sp_cudnn_number(struct sp_cudnn_graph *g, enum sp_cudnn_name name)
{
	return tensor(g, name, CUDNN_DATA_FLOAT, sp_cudnn_packed(1, 1, 1, 1), NUMBER);
}

cudnnDataType_t sp_cudnn_type(int64_t dtype)
{
	return dtype == SP_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
}
