/* From a graph of operations to something that runs: cuDNN's own choice of a kernel, its next one if that cannot be had. */
#include "config.h"

#include "cuda/cudnn_graph.h"

#include "base/log.h"
#include "base/size.h"

#include <seqpar/status.h>

#include <string.h>

enum { MOST_CHOICES = 8, TILE = 128 };

/* The device is that of the handle, or one that is described. */
struct target {
	cudnnHandle_t handle;
	cudnnBackendDescriptor_t device;
};

static struct target target_of(struct sp_cudnn_graph *g, cudnnHandle_t handle, const char *device)
{
	struct target t = { handle, NULL };
	if (handle)
		return t;
	t.device = sp_cudnn_make(g, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
	sp_cudnn_set(g, t.device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(device), device);
	sp_cudnn_finish(g, t.device, "the description of a device");
	return t;
}

static cudnnBackendDescriptor_t make_graph(struct sp_cudnn_graph *g, struct target t)
{
	const cudnnBackendDescriptor_t graph = sp_cudnn_make(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
	sp_cudnn_set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->operations, g->operation);
	if (t.handle)
		sp_cudnn_set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &t.handle);
	sp_cudnn_finish(g, graph, "a graph of these operations");
	return graph;
}

/* How many ways there are, best first. */
static int64_t choose(struct sp_cudnn_graph *g, struct target t, cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t choice[MOST_CHOICES])
{
	const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
	int64_t count = 0;
	const cudnnBackendDescriptor_t advice = sp_cudnn_make(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
	sp_cudnn_refer(g, advice, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
	sp_cudnn_set(g, advice, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
	if (t.device)
		sp_cudnn_refer(g, advice, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, t.device);
	sp_cudnn_finish(g, advice, "a choice of kernels");
	for (int i = 0; i < MOST_CHOICES; i++)
		choice[i] = sp_cudnn_make(g, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
	if (g->status)
		return 0;
	const cudnnStatus_t status = sp_cudnn.BackendGetAttribute(advice, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
	                                                          MOST_CHOICES, &count, choice);
	if (status != CUDNN_STATUS_SUCCESS)
		g->status = sp_cudnn_explain(status, "a choice of kernels", g->why, sizeof g->why);
	else if (count == 0)
		g->status = sp_say(SP_ERR_UNUSABLE, g->why, sizeof g->why, "it has no kernel for this");
	return g->status ? 0 : sp_min(count, MOST_CHOICES); /* it counts all that it knows */
}

static void plan(struct sp_cudnn_graph *g, struct target t, cudnnBackendDescriptor_t choice)
{
	const cudnnBackendDescriptor_t it = sp_cudnn_make(g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
	sp_cudnn_refer(g, it, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, choice);
	if (t.handle)
		sp_cudnn_set(g, it, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &t.handle);
	else
		sp_cudnn_refer(g, it, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, t.device);
	sp_cudnn_finish(g, it, "a plan");
	g->plan = g->status ? NULL : it;
}

static void measure(struct sp_cudnn_graph *g, size_t *workspace)
{
	int64_t count = 0, bytes = 0;
	const cudnnStatus_t status = sp_cudnn.BackendGetAttribute(g->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
	                                                          &count, &bytes);
	if (status != CUDNN_STATUS_SUCCESS)
		g->status = sp_cudnn_explain(status, "the room that a plan needs", g->why, sizeof g->why);
	*workspace = (size_t)bytes;
}

/* The first of the choices that can be had. */
static void plan_any(struct sp_cudnn_graph *g, struct target t, const cudnnBackendDescriptor_t *choice, int64_t count)
{
	for (int64_t i = 0; i < count && !g->plan; i++) {
		g->status = SP_OK;
		plan(g, t, choice[i]);
	}
}

int sp_cudnn_plan(struct sp_cudnn_graph *g, const struct sp_cuda_sdpa_shape *shape, cudnnHandle_t handle, const char *device,
                  size_t *workspace)
{
	cudnnBackendDescriptor_t choice[MOST_CHOICES];
	memset(g, 0, sizeof *g);
	if (sp_cudnn.version < SP_CUDNN_ANY_LENGTH && (shape->chunk % TILE != 0 || shape->keys % TILE != 0))
		return g->status = sp_say(SP_ERR_UNUSABLE, g->why, sizeof g->why, "before 9.16 it wants multiples of %d tokens", TILE);
	(shape->backward ? sp_cudnn_build_backward : sp_cudnn_build_forward)(g, shape);
	const struct target target = target_of(g, handle, device);
	const cudnnBackendDescriptor_t graph = make_graph(g, target);
	const int64_t count = choose(g, target, graph, choice);
	plan_any(g, target, choice, count);
	if (g->status == SP_OK)
		measure(g, workspace);
	return g->status;
}
