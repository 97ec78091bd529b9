/* Operations that are queued as one, where the backend can. */
#include "config.h"

#include "backend/graphs.h"
#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { B = 2, C = 9, T = B * C, K = 24, H = 40, STEPS = 5, ROWS = 6000, WORDS = 8, MOST = H * K };

/* A layer of sorts, in device memory. */
struct layer {
	struct sp_compute *c;
	struct sp_matrix x, w, bias, residual, gamma, beta;          /* given */
	struct sp_matrix pre, s, y, mean, rstd, dy, dx, dw;          /* made */
	struct sp_matrix dgamma, dbeta, dbias;                       /* added to */
	uint32_t *key, *sample;
};

enum { KEPT = 5 };

/* What a step leaves behind. */
struct kept {
	unsigned char bytes[KEPT][MOST * 4];
};

static struct sp_matrix take(struct sp_compute *c, int64_t rows, int64_t cols, enum sp_dtype dtype)
{
	void *memory;
	assert_int_equal(sp_compute_alloc(c, (size_t)(rows * cols) * sp_dtype_size(dtype), &memory), SP_OK);
	return sp_matrix_of(memory, rows, cols, dtype);
}

static void fill(struct sp_compute *c, struct sp_matrix m, uint32_t stream)
{
	unsigned char host[MOST * 4];
	const int64_t n = m.rows * m.cols;
	assert_true(n <= MOST);
	for (int64_t i = 0; i < n; i++)
		sp_reference_store(m.dtype, bench_normal(stream, (uint32_t)i), host, (size_t)i);
	assert_int_equal(sp_compute_copy_in(c, m.data, host, (size_t)n * sp_dtype_size(m.dtype)), SP_OK);
}

static void open_layer(struct sp_compute *c, struct layer *l)
{
	const enum sp_dtype e = bench_dtype();
	const uint32_t sample[B] = { 5, 9 };
	*l = (struct layer){
		.c = c, .x = take(c, T, K, e), .w = take(c, H, K, e), .bias = take(c, 1, H, SP_F32), .residual = take(c, T, H, e),
		.gamma = take(c, 1, H, SP_F32), .beta = take(c, 1, H, SP_F32), .pre = take(c, T, H, e), .s = take(c, T, H, e),
		.y = take(c, T, H, e), .mean = take(c, 1, T, SP_F32), .rstd = take(c, 1, T, SP_F32), .dy = take(c, T, H, e),
		.dx = take(c, T, H, e), .dw = take(c, H, K, SP_F32), .dgamma = take(c, 1, H, SP_F32), .dbeta = take(c, 1, H, SP_F32),
		.dbias = take(c, 1, H, SP_F32), .key = take(c, 1, 2, SP_F32).data, .sample = take(c, 1, B, SP_F32).data,
	};
	fill(c, l->w, 1);
	fill(c, l->bias, 2);
	fill(c, l->residual, 3);
	fill(c, l->gamma, 4);
	fill(c, l->beta, 5);
	assert_int_equal(sp_compute_copy_in(c, l->sample, sample, sizeof sample), SP_OK);
}

static void close_layer(struct layer *l)
{
	const struct sp_matrix all[] = { l->x,   l->w,  l->bias, l->residual, l->gamma, l->beta,   l->pre,   l->s,    l->y,
		                             l->mean, l->rstd, l->dy,  l->dx,       l->dw,    l->dgamma, l->dbeta, l->dbias };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		sp_compute_free(l->c, all[i].data);
	sp_compute_free(l->c, l->key);
	sp_compute_free(l->c, l->sample);
}

static int zero(const struct layer *l, struct sp_matrix m)
{
	return sp_compute_zero(l->c, m.data, (size_t)(m.rows * m.cols) * sp_dtype_size(m.dtype));
}

/* Forward and back, through two kinds of products, two of norms, a copy and zeros. */
static int queue_layer(const void *layer)
{
	const struct layer *l = layer;
	const struct sp_dropout dropout = { .keep = 40000, .key_at = l->key };
	const struct sp_rows rows = { .batch = B, .chunk = C, .sample = l->sample, .first = 4 };
	const struct sp_linear_forward product = { .x = l->x, .w = l->w, .bias = l->bias, .y = l->s, .pre = l->pre, .act = SP_ACT_GELU };
	const struct sp_norm_forward norm = { .x = l->s, .residual = l->residual, .gamma = l->gamma, .beta = l->beta, .y = l->y,
		                                  .mean = l->mean, .rstd = l->rstd, .eps = 1e-6f, .dropout = dropout, .rows = rows };
	const struct sp_norm_backward back = { .dy = l->dy, .s = l->s, .gamma = l->gamma, .mean = l->mean, .rstd = l->rstd, .dx = l->dx,
		                                   .dbias = l->dbias, .dgamma = l->dgamma, .dbeta = l->dbeta, .dropout = dropout, .rows = rows };
	const struct sp_linear_backward_weight weight = { .dy = l->dx, .x = l->x, .dw = l->dw };
	int rc = zero(l, l->dw) | zero(l, l->dgamma) | zero(l, l->dbeta) | zero(l, l->dbias);
	rc = rc ? rc : sp_compute_linear_forward(l->c, &product);
	rc = rc ? rc : sp_compute_norm_forward(l->c, &norm);
	rc = rc ? rc : sp_compute_copy_rows(l->c, l->y, l->dy);
	rc = rc ? rc : sp_compute_norm_backward(l->c, &back);
	return rc ? rc : sp_compute_linear_backward_weight(l->c, &weight);
}

/* An operation that needs more room than any of the layer's. */
static void take_room(struct sp_compute *c)
{
	int32_t *label = calloc(ROWS, sizeof *label);
	void *labels, *loss;
	assert_non_null(label);
	struct sp_matrix logits = take(c, ROWS, WORDS, bench_dtype());
	assert_int_equal(sp_compute_alloc(c, ROWS * sizeof *label, &labels), SP_OK);
	assert_int_equal(sp_compute_alloc(c, sizeof(double), &loss), SP_OK);
	assert_int_equal(sp_compute_copy_in(c, labels, label, ROWS * sizeof *label), SP_OK);
	assert_int_equal(sp_compute_zero(c, loss, sizeof(double)), SP_OK);
	assert_int_equal(sp_compute_zero(c, logits.data, (size_t)(ROWS * WORDS) * sp_dtype_size(logits.dtype)), SP_OK);
	const struct sp_cross_entropy op = { .logits = logits, .label = labels, .loss = loss, .scale = 1 };
	assert_int_equal(sp_compute_cross_entropy(c, &op), SP_OK);
	assert_int_equal(sp_compute_sync(c), SP_OK);
	sp_compute_free(c, logits.data);
	sp_compute_free(c, labels);
	sp_compute_free(c, loss);
	free(label);
}

/* Other input, and another key, in each step. `graphs` or not. */
static void take_steps(struct layer *l, struct sp_graphs *graphs, struct kept *kept)
{
	const struct sp_matrix left[KEPT] = { l->y, l->dx, l->dw, l->dgamma, l->dbias };
	for (uint32_t step = 0; step < STEPS; step++) {
		const uint32_t key[] = { 77 + step, 78 };
		fill(l->c, l->x, 10 + step);
		assert_int_equal(sp_compute_copy_in(l->c, l->key, key, sizeof key), SP_OK);
		assert_int_equal(graphs ? sp_graphs_queue(graphs, "layer", 5, queue_layer, l) : queue_layer(l), SP_OK);
		if (step == 2)
			take_room(l->c);
		for (int i = 0; i < KEPT; i++)
			assert_int_equal(sp_compute_copy_out(l->c, kept[step].bytes[i], left[i].data,
			                                     (size_t)(left[i].rows * left[i].cols) * sp_dtype_size(left[i].dtype)), SP_OK);
	}
}

void graphs_give_the_bits_of_their_operations(void **state)
{
	struct sp_graphs *graphs = NULL;
	struct layer l;
	struct kept *got = calloc(STEPS, sizeof *got), *want = calloc(STEPS, sizeof *want);
	if (!sp_compute_has_graphs(*state)) {
		free(got);
		free(want);
		skip();
	}
	assert_true(got && want);
	assert_int_equal(sp_graphs_create(*state, 1, &graphs), SP_OK);
	open_layer(*state, &l);
	take_steps(&l, graphs, got);
	assert_int_equal(sp_graphs_launched(graphs), STEPS - 1);
	sp_graphs_destroy(graphs);
	take_steps(&l, NULL, want);
	for (int step = 0; step < STEPS; step++)
		assert_memory_equal(&got[step], &want[step], sizeof *got);
	assert_memory_not_equal(&want[0], &want[1], sizeof *want);
	close_layer(&l);
	free(got);
	free(want);
}

/* What would be done once, or at the wrong time. */
void graphs_take_nothing_of_the_host(void **state)
{
	struct sp_compute *c = *state;
	void *graph = NULL, *memory, *more = NULL;
	char host[8] = { 0 };
	if (!sp_compute_has_graphs(c))
		skip();
	assert_int_equal(sp_compute_alloc(c, sizeof host, &memory), SP_OK);
	assert_int_equal(sp_compute_graph_end(c, &graph), SP_ERR_ARGUMENT);
	assert_int_equal(sp_compute_graph_begin(c), SP_OK);
	assert_int_equal(sp_compute_graph_begin(c), SP_ERR_ARGUMENT);
	assert_int_equal(sp_compute_alloc(c, 8, &more), SP_ERR_ARGUMENT);
	assert_int_equal(sp_compute_copy_in(c, memory, host, sizeof host), SP_ERR_ARGUMENT);
	assert_int_equal(sp_compute_copy_out(c, host, memory, sizeof host), SP_ERR_ARGUMENT);
	assert_int_equal(sp_compute_upload(c, memory, host, sizeof host), SP_ERR_ARGUMENT);
	assert_int_equal(sp_compute_sync(c), SP_ERR_ARGUMENT);
	assert_int_equal(sp_compute_zero(c, memory, sizeof host), SP_OK);
	assert_int_equal(sp_compute_graph_end(c, &graph), SP_OK);
	assert_non_null(graph);
	memset(host, 7, sizeof host);
	assert_int_equal(sp_compute_copy_in(c, memory, host, sizeof host), SP_OK);
	assert_int_equal(sp_compute_copy_out(c, host, memory, sizeof host), SP_OK);
	assert_int_equal(host[3], 7); /* recorded is not done */
	assert_int_equal(sp_compute_graph_launch(c, graph), SP_OK);
	assert_int_equal(sp_compute_copy_out(c, host, memory, sizeof host), SP_OK);
	assert_int_equal(host[3], 0);
	assert_int_equal(sp_compute_sync(c), SP_OK);
	sp_compute_graph_free(c, graph);
	sp_compute_free(c, memory);
}
