#include "config.h"

#include "cuda/steps.h"

#include "base/log.h"
#include "cuda/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MOST_PLANS = 32, /* each takes the library part of a second to make: shapes that never come again are not worth it */
	MOST_KINDS = 32,
	ALIGNED = 16,    /* bytes */
	TILE = 128,      /* rows of the library's largest tiles */
};

struct known_plan {
	struct sp_cuda_sdpa_shape shape;
	struct sp_cuda_sdpa_plan *plan; /* NULL: there is none */
};

/* What a check is for. */
struct kind {
	enum sp_dtype dtype;
	int64_t head_dim;
	int ragged, good;
};

struct sp_cuda_steps {
	char why_not[256];
	struct known_plan plans[MOST_PLANS];
	struct kind kinds[MOST_KINDS];
	int plan_count, kind_count;
};

/* ---- open, close ---- */

static int open_library(struct sp_cuda *cuda, struct sp_cuda_steps *steps)
{
	const int forced = cuda->attention_kernel == SP_ATTENTION_CUDNN, capability = sp_cuda_capability(cuda);
	if (cuda->attention_kernel == SP_ATTENTION_FLASH)
		return SP_OK;
	if (!forced && capability < SP_CUDA_SDPA_CAPABILITY)
		return SP_OK;
	const int status = sp_cuda_sdpa_open(cuda, &cuda->sdpa, steps->why_not, sizeof steps->why_not);
	if (status != SP_ERR_UNUSABLE)
		return status;
	return forced ? sp_fail(status, "backend.attention_kernel = cudnn: %s; choose auto or flash", steps->why_not) : SP_OK;
}

int sp_cuda_steps_open(struct sp_cuda *cuda)
{
	cuda->steps = calloc(1, sizeof *cuda->steps);
	if (!cuda->steps)
		return sp_fail(SP_ERR_MEMORY, "cuda: no memory for %zu bytes", sizeof *cuda->steps);
	return open_library(cuda, cuda->steps);
}

void sp_cuda_steps_close(struct sp_cuda *cuda)
{
	struct sp_cuda_steps *s = cuda->steps;
	if (!s)
		return;
	for (int i = 0; i < s->plan_count; i++)
		if (s->plans[i].plan)
			cuda->sdpa->unmake(s->plans[i].plan);
	if (cuda->sdpa)
		cuda->sdpa->close(cuda->sdpa);
	free(s);
	cuda->steps = NULL;
	cuda->sdpa = NULL;
}

void sp_cuda_steps_describe(const struct sp_cuda *cuda, char *text, size_t size)
{
	const struct sp_cuda_steps *s = cuda->steps;
	if (cuda->sdpa)
		snprintf(text, size, "; attention also by %s", cuda->sdpa->name);
	else
		snprintf(text, size, "%s%s", s->why_not[0] ? "; attention by own kernels alone: " : "", s->why_not);
}

/* ---- plans and kinds ---- */

/* NULL: there is none; why, if that is new. */
static struct sp_cuda_sdpa_plan *find_plan(struct sp_cuda *cuda, const struct sp_cuda_sdpa_shape *shape, char *why, size_t size)
{
	struct sp_cuda_steps *s = cuda->steps;
	why[0] = 0;
	for (int i = 0; i < s->plan_count; i++)
		if (memcmp(&s->plans[i].shape, shape, sizeof *shape) == 0)
			return s->plans[i].plan;
	if (s->plan_count == MOST_PLANS)
		return NULL;
	struct known_plan *new = &s->plans[s->plan_count++];
	new->shape = *shape;
	if (cuda->sdpa->make(cuda->sdpa, shape, &new->plan, why, size) != SP_OK)
		new->plan = NULL;
	return new->plan;
}

/* Whether the library's steps of this kind are right, found out if that is new. */
static int find_kind(struct sp_cuda *cuda, enum sp_dtype dtype, int64_t head_dim, int ragged, char *why, size_t size, int *good)
{
	struct sp_cuda_steps *s = cuda->steps;
	why[0] = 0;
	for (int i = 0; i < s->kind_count; i++) {
		const struct kind *k = &s->kinds[i];
		if (k->dtype == dtype && k->head_dim == head_dim && k->ragged == ragged) {
			*good = k->good;
			return SP_OK;
		}
	}
	*good = 0;
	if (s->kind_count == MOST_KINDS)
		return SP_OK;
	const int status = sp_cuda_steps_check(cuda, dtype, head_dim, ragged, why, size);
	if (status != SP_OK && status != SP_ERR_UNUSABLE)
		return status;
	*good = status == SP_OK;
	s->kinds[s->kind_count++] = (struct kind){ dtype, head_dim, ragged, *good };
	return SP_OK;
}

/* Said once of a kind or plan: `why` is empty where it was known before. */
static int without(const struct sp_cuda *cuda, const struct sp_cuda_sdpa_shape *shape, const char *why)
{
	if (why[0])
		sp_log(SP_LOG_WARNING, "cuda: attention of heads of %lld in %s is left to own kernels: %s: %s", (long long)shape->head_dim,
		       sp_dtype_name((enum sp_dtype)shape->dtype), cuda->sdpa->name, why);
	return SP_OK;
}

/* ---- which steps ---- */

static int is_aligned(struct sp_matrix m)
{
	return m.data && (uintptr_t)m.data % ALIGNED == 0 && m.stride * (int64_t)sp_dtype_size(m.dtype) % ALIGNED == 0;
}

static int are_aligned(const struct sp_matrix *m, int n)
{
	for (int i = 0; i < n; i++)
		if (!is_aligned(m[i]))
			return 0;
	return 1;
}

static int can_be(const struct sp_cuda *cuda, const struct sp_attention_shape *s, enum sp_dtype dtype)
{
	return cuda->sdpa && s->whole && dtype != SP_F32 && s->dropout.keep == 65536 && s->window == 0 && s->head_dim % 8 == 0 &&
	       s->batch > 0 && s->chunk > 0 && s->keys > 0;
}

static int is_ragged(const struct sp_cuda_sdpa_shape *shape)
{
	return shape->chunk % TILE != 0 || shape->keys % TILE != 0;
}

/* The plan for this shape; NULL if the own kernels are to do it. */
static int plan_of(struct sp_cuda *cuda, const struct sp_cuda_sdpa_shape *shape, struct sp_cuda_sdpa_plan **plan)
{
	char why[512];
	int good;
	*plan = NULL;
	int status = find_kind(cuda, (enum sp_dtype)shape->dtype, shape->head_dim, is_ragged(shape), why, sizeof why, &good);
	if (status)
		return status;
	if (good)
		*plan = find_plan(cuda, shape, why, sizeof why);
	return *plan ? SP_OK : without(cuda, shape, why);
}

int sp_cuda_steps_forward(struct sp_cuda *cuda, const struct sp_attention_forward *args, int *taken)
{
	const struct sp_matrix read[] = { args->q, args->k, args->v };
	struct sp_cuda_sdpa_plan *plan;
	*taken = 0;
	if (!can_be(cuda, &args->shape, args->q.dtype) || !are_aligned(read, 3))
		return SP_OK;
	const struct sp_cuda_sdpa_shape shape = sp_cuda_steps_forward_shape(args);
	const int status = plan_of(cuda, &shape, &plan);
	*taken = plan != NULL;
	return status || !plan ? status : sp_cuda_steps_queue_forward(cuda, plan, args);
}

int sp_cuda_steps_backward(struct sp_cuda *cuda, const struct sp_attention_backward *args, int *taken)
{
	const struct sp_matrix read[] = { args->q, args->k, args->v, args->o, args->dout };
	struct sp_cuda_sdpa_plan *plan;
	*taken = 0;
	if (!can_be(cuda, &args->shape, args->q.dtype) || !are_aligned(read, 5))
		return SP_OK;
	const struct sp_cuda_sdpa_shape shape = sp_cuda_steps_backward_shape(args);
	const int status = plan_of(cuda, &shape, &plan);
	*taken = plan != NULL;
	return status || !plan ? status : sp_cuda_steps_queue_backward(cuda, plan, args);
}

int sp_cuda_steps_supports(struct sp_cuda *cuda, const struct sp_compute_needs *needs, char *why, size_t size)
{
	const struct {
		int wrong;
		const char *remedy;
	} rules[] = {
		{ needs->attention_dtype == SP_F32, "computes with 16 bits: set train.precision = bf16 or fp16, and parallel.attention = full, or ring with parallel.ring = kv" },
		{ needs->attention_dropout > 0, "drops nothing here: set model.attention_dropout = 0" },
		{ needs->never_whole, "does not look where a document ends: set data.packing = false and parallel.balance = tokens" },
		{ needs->head_dim % 8 != 0, "takes heads of a multiple of 8 columns: change model.heads" },
	};
	char reason[512];
	int good;
	if (cuda->attention_kernel != SP_ATTENTION_CUDNN)
		return SP_OK;
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (rules[i].wrong)
			return sp_say(SP_ERR_UNUSABLE, why, size, "backend.attention_kernel = cudnn %s", rules[i].remedy);
	const int status = find_kind(cuda, needs->attention_dtype, needs->head_dim, 0, reason, sizeof reason, &good);
	if (status)
		return sp_say(status, why, size, "attention by cuDNN could not be tried out");
	return good ? SP_OK : sp_say(SP_ERR_UNUSABLE, why, size, "backend.attention_kernel = cudnn: %s",
	                             reason[0] ? reason : "its results were found to be wrong");
}
