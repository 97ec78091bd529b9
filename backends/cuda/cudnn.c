/* Whole steps of attention by cuDNN: plans, and running them. */
#include "config.h"

#include "cuda/cudnn_graph.h"

#include "base/log.h"

#include <seqpar/status.h>

#include <stdlib.h>

struct cudnn {
	struct sp_cuda_sdpa base; /* first: what callers see */
	cudnnHandle_t handle;     /* NULL until the first plan: it takes memory of the device */
	void *stream;
};

struct cudnn_plan {
	struct sp_cuda_sdpa_plan base; /* first */
	struct sp_cudnn_graph graph;
	int backward;
};

static int check(cudnnStatus_t status, const char *what)
{
	char why[512];
	if (status == CUDNN_STATUS_SUCCESS)
		return SP_OK;
	(void)sp_cudnn_explain(status, what, why, sizeof why);
	return sp_fail(SP_ERR_DEVICE, "cuda: %s", why);
}

#define CHECK(call) check(sp_cudnn.call, "cudnn" #call)

/* ---- plans ---- */

static int start(struct cudnn *c, char *why, size_t size)
{
	if (c->handle)
		return SP_OK;
	cudnnStatus_t status = sp_cudnn.Create(&c->handle);
	if (status == CUDNN_STATUS_SUCCESS)
		status = sp_cudnn.SetStream(c->handle, c->stream);
	if (status != CUDNN_STATUS_SUCCESS && c->handle) {
		(void)sp_cudnn.Destroy(c->handle);
		c->handle = NULL;
	}
	return status == CUDNN_STATUS_SUCCESS ? SP_OK : sp_cudnn_explain(status, "cudnnCreate", why, size);
}

static int make(struct sp_cuda_sdpa *sdpa, const struct sp_cuda_sdpa_shape *shape, struct sp_cuda_sdpa_plan **plan, char *why, size_t size)
{
	struct cudnn *c = (struct cudnn *)sdpa;
	int status = start(c, why, size);
	if (status)
		return status;
	struct cudnn_plan *p = calloc(1, sizeof *p);
	if (!p)
		return sp_say(SP_ERR_UNUSABLE, why, size, "no memory for a plan");
	p->backward = shape->backward != 0;
	status = sp_cudnn_plan(&p->graph, shape, c->handle, NULL, &p->base.workspace);
	if (status == SP_OK) {
		*plan = &p->base;
		return SP_OK;
	}
	(void)sp_say(status, why, size, "%s", p->graph.why);
	sp_cudnn_graph_destroy(&p->graph);
	free(p);
	return status;
}

static void unmake(struct sp_cuda_sdpa_plan *plan)
{
	struct cudnn_plan *p = (struct cudnn_plan *)plan;
	sp_cudnn_graph_destroy(&p->graph);
	free(p);
}

/* ---- running ---- */

/* Names of tensors, and where they are; numbers are read from host memory before the call returns. */
struct arguments {
	int64_t name[16];
	void *at[16];
	int count;
};

static void give(struct arguments *a, enum sp_cudnn_name name, const void *at)
{
	a->name[a->count] = name;
	a->at[a->count++] = (void *)(uintptr_t)at;
}

static struct arguments arguments_of(const struct sp_cuda_sdpa_data *d, int backward, const float *one)
{
	struct arguments a = { .count = 0 };
	give(&a, SP_CUDNN_Q, d->q);
	give(&a, SP_CUDNN_K, d->k);
	give(&a, SP_CUDNN_V, d->v);
	give(&a, SP_CUDNN_O, d->o);
	give(&a, SP_CUDNN_STATS, d->stats);
	give(&a, SP_CUDNN_SCALE, &d->scale);
	if (!backward)
		return a;
	give(&a, SP_CUDNN_ONE, one);
	give(&a, SP_CUDNN_DOUT, d->dout);
	give(&a, SP_CUDNN_DQ, d->dq);
	give(&a, SP_CUDNN_DK, d->dk);
	give(&a, SP_CUDNN_DV, d->dv);
	give(&a, SP_CUDNN_DOTS, d->dots);
	give(&a, SP_CUDNN_DQ_SUMS, d->dq_sums);
	return a;
}

static int execute(struct cudnn *c, struct cudnn_plan *p, cudnnBackendDescriptor_t pack, const struct arguments *a, void *workspace)
{
	int status = CHECK(BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, a->count, a->name));
	if (status == SP_OK)
		status = CHECK(BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, a->count, a->at));
	if (status == SP_OK)
		status = CHECK(BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace));
	if (status == SP_OK)
		status = CHECK(BackendFinalize(pack));
	return status ? status : CHECK(BackendExecute(c->handle, p->graph.plan, pack));
}

static int run(struct sp_cuda_sdpa *sdpa, struct sp_cuda_sdpa_plan *plan, const struct sp_cuda_sdpa_data *data)
{
	struct cudnn_plan *p = (struct cudnn_plan *)plan;
	const float one = 1.0f;
	const struct arguments a = arguments_of(data, p->backward, &one);
	cudnnBackendDescriptor_t pack;
	int status = CHECK(BackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack));
	if (status)
		return status;
	status = execute((struct cudnn *)sdpa, p, pack, &a, data->workspace);
	(void)CHECK(BackendDestroyDescriptor(pack));
	return status;
}

/* ---- open, close ---- */

static void shut(struct sp_cuda_sdpa *sdpa)
{
	struct cudnn *c = (struct cudnn *)sdpa;
	if (c->handle)
		(void)CHECK(Destroy(c->handle));
	free(c);
}

int sp_cuda_sdpa_open(struct sp_cuda *cuda, struct sp_cuda_sdpa **sdpa, char *why, size_t size)
{
	int status = sp_cudnn_load(why, size);
	if (status)
		return status;
	struct cudnn *c = calloc(1, sizeof *c);
	if (!c)
		return sp_fail(SP_ERR_MEMORY, "cuda: no memory for %zu bytes", sizeof *c);
	c->stream = cuda->stream;
	c->base = (struct sp_cuda_sdpa){ .make = make, .unmake = unmake, .run = run, .close = shut };
	sp_cudnn_version_text(sp_cudnn.version, c->base.name, sizeof c->base.name);
	*sdpa = &c->base;
	return SP_OK;
}
