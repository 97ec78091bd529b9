/* Attention as graphs of cuDNN's operations, and execution plans for them. May include: cuda/{cudnn_library,sdpa}.h.
 *
 * A graph is built by functions that do nothing once one has failed, so only its end is checked. */
#ifndef SP_CUDNN_GRAPH_H
#define SP_CUDNN_GRAPH_H

#include "cuda/cudnn_library.h"
#include "cuda/sdpa.h"

enum { SP_CUDNN_MOST_DESCRIPTORS = 160, SP_CUDNN_MOST_OPERATIONS = 24, SP_CUDNN_AXES = 4 };

/* What tensors that a caller gives memory for are called. */
enum sp_cudnn_name {
	SP_CUDNN_Q = 1,
	SP_CUDNN_K,
	SP_CUDNN_V,
	SP_CUDNN_O,
	SP_CUDNN_STATS,
	SP_CUDNN_SCALE, /* numbers in host memory, this one and the next */
	SP_CUDNN_ONE,
	SP_CUDNN_DOUT,
	SP_CUDNN_DQ,
	SP_CUDNN_DK,
	SP_CUDNN_DV,
	SP_CUDNN_DOTS,
	SP_CUDNN_DQ_SUMS,
	SP_CUDNN_INSIDE = 1000 /* and up: of no memory */
};

struct sp_cudnn_graph {
	cudnnBackendDescriptor_t all[SP_CUDNN_MOST_DESCRIPTORS], operation[SP_CUDNN_MOST_OPERATIONS];
	int count, operations;
	int64_t inside; /* tensors of no memory so far */
	cudnnBackendDescriptor_t plan;
	int status; /* SP_OK so far */
	char why[512];
};

/* ---- cudnn_graph.c ---- */

void sp_cudnn_graph_destroy(struct sp_cudnn_graph *g);
/* A descriptor of the graph's, to be set and finished. */
cudnnBackendDescriptor_t sp_cudnn_make(struct sp_cudnn_graph *g, cudnnBackendDescriptorType_t type);
void sp_cudnn_set(struct sp_cudnn_graph *g, cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, int64_t count, const void *value);
void sp_cudnn_refer(struct sp_cudnn_graph *g, cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t to);
void sp_cudnn_finish(struct sp_cudnn_graph *g, cudnnBackendDescriptor_t it, const char *what);

/* Batch, heads, rows, columns. */
struct sp_cudnn_extent {
	int64_t size[SP_CUDNN_AXES], stride[SP_CUDNN_AXES];
};
/* Heads side by side in rows, `stride` elements apart; their rows and columns exchanged; numbers of rows; one number. */
struct sp_cudnn_extent sp_cudnn_heads(int64_t batch, int64_t heads, int64_t rows, int64_t cols, int64_t stride);
struct sp_cudnn_extent sp_cudnn_turned(struct sp_cudnn_extent e);
struct sp_cudnn_extent sp_cudnn_packed(int64_t batch, int64_t heads, int64_t rows, int64_t cols);

cudnnBackendDescriptor_t sp_cudnn_tensor(struct sp_cudnn_graph *g, enum sp_cudnn_name name, cudnnDataType_t type, struct sp_cudnn_extent extent);
/* Of no memory; of one number in host memory. */
cudnnBackendDescriptor_t sp_cudnn_inside(struct sp_cudnn_graph *g, cudnnDataType_t type, struct sp_cudnn_extent extent);
cudnnBackendDescriptor_t sp_cudnn_number(struct sp_cudnn_graph *g, enum sp_cudnn_name name);

cudnnDataType_t sp_cudnn_type(int64_t dtype); /* of an enum sp_dtype of 16 bits */

/* ---- cudnn_forward.c, cudnn_backward.c: adds the operations to an empty graph ---- */

void sp_cudnn_build_forward(struct sp_cudnn_graph *g, const struct sp_cuda_sdpa_shape *shape);
void sp_cudnn_build_backward(struct sp_cudnn_graph *g, const struct sp_cuda_sdpa_shape *shape);

/* ---- cudnn_plan.c ---- */

/* Builds the graph of a shape and plans it: for the device of `handle`, or, if that is NULL, for one that is described in JSON. SP_OK,
 * g->plan and its workspace; or SP_ERR_UNUSABLE, g->why. Destroyed by the caller either way. */
int sp_cudnn_plan(struct sp_cudnn_graph *g, const struct sp_cuda_sdpa_shape *shape, cudnnHandle_t handle, const char *device,
                  size_t *workspace);

#endif
