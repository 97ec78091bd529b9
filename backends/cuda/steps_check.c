/* Is the library's attention right? A small step by it and by the own kernels, with the strides of a packed projection of keys and
 * values, and, in every second head, scores so far below zero that e^score is none: libraries have gone wrong there. */
#include "config.h"

#include "cuda/kernels.h"
#include "cuda/steps.h"

#include "base/log.h"

#include <math.h>
#include <stdlib.h>

enum { BATCH = 2, HEADS = 2, LOW_COLUMNS = 16 };

static const double low_score = 95; /* ln of the smallest normal number is -87 */

/* Both round what they multiply with to the type and sum in float32, each in its own order and from its own point on. */
static double bound_of(enum sp_dtype dtype)
{
	return dtype == SP_BF16 ? 0x1p-5 : 0x1p-8;
}

static const double stats_bound = 1e-3;

enum { DQ, DKV, GRADIENTS };

/* Of the library, or of the own kernels. */
struct results {
	struct sp_matrix o, lse, gradient[GRADIENTS]; /* E; float32 */
};

struct trial {
	struct sp_cuda *cuda;
	int64_t head_dim, width, queries, keys; /* width: of all heads; rows of queries and of keys */
	int64_t chunk, chunk_keys;              /* of a sample */
	enum sp_dtype dtype;
	struct sp_matrix q, kv, dout, acc, l, dots, floats;
	struct results own, other;
	int32_t *docs;
	float *host[2]; /* of the largest matrix */
	void *memory;
};

/* ---- memory ---- */

static void *take(struct trial *t, size_t *used, int64_t bytes)
{
	void *at = t->memory ? (char *)t->memory + *used : NULL;
	*used += ((size_t)bytes + 255) / 256 * 256;
	return at;
}

static struct sp_matrix matrix(struct trial *t, size_t *used, int64_t rows, int64_t cols, enum sp_dtype dtype)
{
	return sp_matrix_of(take(t, used, rows * cols * (int64_t)sp_dtype_size(dtype)), rows, cols, dtype);
}

static void lay_out_results(struct trial *t, size_t *used, struct results *r)
{
	r->o = matrix(t, used, t->queries, t->width, t->dtype);
	r->lse = matrix(t, used, BATCH * HEADS, t->chunk, SP_F32);
	r->gradient[DQ] = matrix(t, used, t->queries, t->width, SP_F32);
	r->gradient[DKV] = matrix(t, used, t->keys, 2 * t->width, SP_F32);
}

static int64_t most(const struct trial *t)
{
	return (t->queries > 2 * t->keys ? t->queries : 2 * t->keys) * t->width;
}

static size_t lay_out(struct trial *t)
{
	size_t used = 0;
	t->q = matrix(t, &used, t->queries, t->width, t->dtype);
	t->kv = matrix(t, &used, t->keys, 2 * t->width, t->dtype);
	t->dout = matrix(t, &used, t->queries, t->width, t->dtype);
	t->acc = matrix(t, &used, t->queries, t->width, SP_F32);
	t->l = matrix(t, &used, BATCH * HEADS, t->chunk, SP_F32);
	t->dots = matrix(t, &used, BATCH * HEADS, t->chunk, SP_F32);
	t->floats = matrix(t, &used, 1, most(t), SP_F32);
	t->docs = take(t, &used, (t->queries + t->keys) * (int64_t)sizeof *t->docs);
	lay_out_results(t, &used, &t->own);
	lay_out_results(t, &used, &t->other);
	return used;
}

static int make_room(struct trial *t)
{
	for (int i = 0; i < 2; i++)
		t->host[i] = malloc((size_t)most(t) * sizeof *t->host[i]);
	if (!t->host[0] || !t->host[1])
		return sp_fail(SP_ERR_MEMORY, "cuda: no memory for a step of attention to try out");
	const int status = sp_cuda_alloc(t->cuda, lay_out(t), &t->memory);
	if (status == SP_OK)
		(void)lay_out(t);
	return status;
}

static void give_back(struct trial *t)
{
	sp_cuda_free(t->cuda, t->memory);
	free(t->host[1]);
	free(t->host[0]);
}

/* ---- what goes in ---- */

/* Numbers of no pattern of variance 1; the first columns of the first `shifted` ones of every second head are moved by `shift`. */
static int fill(struct trial *t, struct sp_matrix to, int64_t shifted, double shift, uint32_t state)
{
	const struct sp_matrix floats = sp_matrix(t->floats.data, to.rows, to.cols);
	const int64_t n = to.rows * to.cols;
	for (int64_t i = 0; i < n; i++) {
		const int64_t column = i % to.cols;
		const int low = column < shifted && column / t->head_dim % 2 == 1 && column % t->head_dim < LOW_COLUMNS;
		state = state * 1664525u + 1013904223u;
		t->host[0][i] = (float)((double)(int32_t)state * 0x1p-31 * sqrt(3.0) + (low ? shift : 0));
	}
	const int status = sp_cuda_copy_in(t->cuda, floats.data, t->host[0], (size_t)n * sizeof(float));
	return status ? status : sp_cuda_convert(t->cuda, floats, to);
}

static int fill_all(struct trial *t)
{
	const int64_t low = t->head_dim < LOW_COLUMNS ? t->head_dim : LOW_COLUMNS;
	const double shift = sqrt(low_score * sqrt((double)t->head_dim) / (double)low);
	int status = fill(t, t->q, t->width, shift, 1);
	if (status == SP_OK)
		status = fill(t, t->kv, t->width, -shift, 2);
	if (status == SP_OK)
		status = fill(t, t->dout, 0, 0, 3);
	return status ? status : sp_cuda_zero(t->cuda, t->docs, (size_t)(t->queries + t->keys) * sizeof *t->docs);
}

/* ---- both ways ---- */

static struct sp_attention_shape shape_of(const struct trial *t)
{
	return (struct sp_attention_shape){
		.batch = BATCH,
		.heads = HEADS,
		.head_dim = t->head_dim,
		.chunk = t->chunk,
		.keys = t->chunk_keys,
		.scale = 1.0f / sqrtf((float)t->head_dim),
		.query_doc = t->docs,
		.key_doc = t->docs + t->queries,
		.whole = 1,
		.dropout.keep = 65536,
	};
}

static struct sp_attention_forward forward_of(const struct trial *t, const struct results *r)
{
	return (struct sp_attention_forward){
		.shape = shape_of(t),
		.q = t->q,
		.k = sp_matrix_columns(t->kv, 0, t->width),
		.v = sp_matrix_columns(t->kv, t->width, t->width),
		.acc = t->acc,
		.m = r->lse,
		.l = t->l,
		.first = 1,
	};
}

static int finish(const struct trial *t, const struct results *r)
{
	const struct sp_attention_finish args = { BATCH, HEADS, t->head_dim, t->chunk, t->acc, r->lse, t->l, r->o, r->lse };
	return sp_cuda_attention_finish(t->cuda, &args);
}

/* From the own kernels' forward. */
static struct sp_attention_backward backward_of(const struct trial *t, const struct results *r)
{
	return (struct sp_attention_backward){
		.shape = shape_of(t),
		.q = t->q,
		.k = sp_matrix_columns(t->kv, 0, t->width),
		.v = sp_matrix_columns(t->kv, t->width, t->width),
		.o = t->own.o,
		.dout = t->dout,
		.lse = t->own.lse,
		.dots = t->dots,
		.dq = r->gradient[DQ],
		.dk = sp_matrix_columns(r->gradient[DKV], 0, t->width),
		.dv = sp_matrix_columns(r->gradient[DKV], t->width, t->width),
		.overwrite_dq = 1,
		.overwrite_dkv = 1,
	};
}

static int by_own_kernels(const struct trial *t)
{
	const struct sp_attention_forward forward = forward_of(t, &t->own);
	const struct sp_attention_dots dots = { BATCH, HEADS, t->head_dim, t->chunk, t->dout, t->own.o, t->dots };
	const struct sp_attention_backward backward = backward_of(t, &t->own);
	int status = sp_cuda_attention_own_forward(t->cuda, &forward);
	if (status == SP_OK)
		status = finish(t, &t->own);
	if (status == SP_OK)
		status = sp_cuda_attention_dots(t->cuda, &dots);
	return status ? status : sp_cuda_attention_own_backward(t->cuda, &backward);
}

static int by_library(const struct trial *t, char *why, size_t size)
{
	const struct sp_attention_forward forward = forward_of(t, &t->other);
	const struct sp_attention_backward backward = backward_of(t, &t->other);
	const struct sp_cuda_sdpa_shape there = sp_cuda_steps_forward_shape(&forward), back = sp_cuda_steps_backward_shape(&backward);
	struct sp_cuda_sdpa_plan *plan = NULL, *back_plan = NULL;
	int status = t->cuda->sdpa->make(t->cuda->sdpa, &there, &plan, why, size);
	if (status == SP_OK)
		status = t->cuda->sdpa->make(t->cuda->sdpa, &back, &back_plan, why, size);
	if (status == SP_OK)
		status = sp_cuda_steps_queue_forward(t->cuda, plan, &forward);
	if (status == SP_OK)
		status = finish(t, &t->other);
	if (status == SP_OK)
		status = sp_cuda_steps_queue_backward(t->cuda, back_plan, &backward);
	if (status == SP_OK)
		status = sp_cuda_sync(t->cuda);
	if (back_plan)
		t->cuda->sdpa->unmake(back_plan);
	if (plan)
		t->cuda->sdpa->unmake(plan);
	return status;
}

/* ---- comparing ---- */

static int bring(struct trial *t, struct sp_matrix m, float *host)
{
	const struct sp_matrix floats = sp_matrix(t->floats.data, m.rows, m.cols);
	const size_t bytes = (size_t)(m.rows * m.cols) * sizeof *host;
	const int status = m.dtype == SP_F32 ? SP_OK : sp_cuda_convert(t->cuda, m, floats);
	return status ? status : sp_cuda_copy_out(t->cuda, host, m.dtype == SP_F32 ? m.data : floats.data, bytes);
}

/* In L2, by the size of `own`, or by that of n ones. What is not a number is not near. */
static int compare(struct trial *t, const char *what, struct sp_matrix own, struct sp_matrix other, double bound, int absolute, char *why,
                   size_t size)
{
	double apart = 0, all = 0;
	int status = bring(t, own, t->host[0]);
	if (status == SP_OK)
		status = bring(t, other, t->host[1]);
	if (status)
		return status;
	for (int64_t i = 0; i < own.rows * own.cols; i++) {
		apart += pow((double)t->host[1][i] - t->host[0][i], 2);
		all += absolute ? 1 : pow(t->host[0][i], 2);
	}
	if (sqrt(apart) <= bound * sqrt(all))
		return SP_OK;
	return sp_say(SP_ERR_UNUSABLE, why, size, "its %s differ from theirs by %.2g, more than %.2g", what, sqrt(apart / all), bound);
}

static int compare_all(struct trial *t, char *why, size_t size)
{
	const struct results *own = &t->own, *other = &t->other;
	const double bound = bound_of(t->dtype);
	int status = compare(t, "results", own->o, other->o, bound, 0, why, size);
	if (status == SP_OK)
		status = compare(t, "sums of exponentials", own->lse, other->lse, stats_bound, 1, why, size);
	if (status == SP_OK)
		status = compare(t, "gradients of queries", own->gradient[DQ], other->gradient[DQ], bound, 0, why, size);
	return status ? status : compare(t, "gradients of keys and values", own->gradient[DKV], other->gradient[DKV], bound, 0, why, size);
}

int sp_cuda_steps_check(struct sp_cuda *cuda, enum sp_dtype dtype, int64_t head_dim, int ragged, char *why, size_t size)
{
	struct trial t = { .cuda = cuda, .head_dim = head_dim, .width = HEADS * head_dim, .dtype = dtype,
		               .chunk = ragged ? 192 : 128, .chunk_keys = ragged ? 72 : 256 };
	t.queries = BATCH * t.chunk;
	t.keys = BATCH * t.chunk_keys;
	why[0] = 0;
	int status = make_room(&t);
	if (status == SP_OK)
		status = fill_all(&t);
	if (status == SP_OK)
		status = by_own_kernels(&t);
	if (status == SP_OK)
		status = by_library(&t, why, size);
	if (status == SP_OK)
		status = compare_all(&t, why, size);
	give_back(&t);
	return status;
}
