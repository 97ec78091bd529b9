/* A compute module that computes nothing and counts what reaches it, to see what the wrappers let through. Its clock shows how much
 * that was. */
#include "config.h"

#include <seqpar/module.h>

#include <stdlib.h>

static int calls; /* the context: tests read it */

static int seen(void)
{
	calls++;
	return SP_OK;
}

#define SPY(name, ...) static int name(void *ctx, __VA_ARGS__) { (void)ctx; return seen(); }
#define SPY_ON(name) SPY(name, const struct sp_##name *args __attribute__((unused)))
#define UNUSED __attribute__((unused))

static int spy_open(const struct sp_compute_options *options UNUSED, void **ctx)
{
	*ctx = &calls;
	return SP_OK;
}

static void spy_close(void *ctx UNUSED)
{
}

static void describe(void *ctx UNUSED, char *text, size_t size, char *warning, size_t warning_size)
{
	if (size)
		text[0] = '\0';
	if (warning_size)
		warning[0] = '\0';
}

static int64_t chunk_multiple(void *ctx UNUSED)
{
	return 1;
}

static int threads(void *ctx UNUSED)
{
	return 1;
}

/* A test needs the counter: it gets it as memory. */
static int spy_alloc(void *ctx, size_t bytes UNUSED, void **memory)
{
	*memory = ctx;
	return SP_OK;
}

static void spy_free(void *ctx UNUSED, void *memory UNUSED)
{
}

static int sync_spy(void *ctx UNUSED)
{
	return SP_OK;
}

enum { MARKS = 1 << 17 };
static int marks[MARKS];

static int mark(void *ctx UNUSED, int64_t number)
{
	if (number < 0 || number >= MARKS)
		return SP_ERR_MEMORY;
	marks[number] = calls;
	return SP_OK;
}

static int between(void *ctx UNUSED, int64_t from, int64_t to, double *seconds)
{
	*seconds = marks[to] - marks[from];
	return SP_OK;
}

SPY(supports, const struct sp_compute_needs *needs UNUSED, char *why UNUSED, size_t size UNUSED)
SPY(copy_in, void *device UNUSED, const void *host UNUSED, size_t bytes UNUSED)
SPY(copy_out, void *host UNUSED, const void *device UNUSED, size_t bytes UNUSED)
SPY(upload, void *device UNUSED, const void *host UNUSED, size_t bytes UNUSED)
SPY(zero, void *device UNUSED, size_t bytes UNUSED)
SPY(copy_rows, struct sp_matrix from UNUSED, struct sp_matrix to UNUSED)
SPY(convert, struct sp_matrix from UNUSED, struct sp_matrix to UNUSED)
SPY_ON(linear_forward)
SPY_ON(linear_backward_input)
SPY_ON(linear_backward_weight)
SPY_ON(activation_backward)
SPY_ON(norm_forward)
SPY_ON(norm_backward)
SPY_ON(attention_forward)
SPY_ON(attention_finish)
SPY_ON(attention_merge)
SPY_ON(attention_dots)
SPY_ON(attention_backward)
SPY_ON(scores_mask)
SPY_ON(scores_softmax)
SPY_ON(scores_drop)
SPY_ON(scores_backward)
SPY_ON(rotate)
SPY_ON(embedding_forward)
SPY_ON(embedding_backward)
SPY(gather_rows, const struct sp_row_move *args UNUSED)
SPY(scatter_add_rows, const struct sp_row_move *args UNUSED)
SPY_ON(cross_entropy)
SPY(tanh_forward, struct sp_matrix x UNUSED)
SPY_ON(tanh_backward)
SPY(words_forward, const struct sp_words *args UNUSED)
SPY(words_backward, const struct sp_words *args UNUSED)
SPY_ON(entropy_part)
SPY_ON(entropy_whole)
SPY_ON(sum_squares)
SPY_ON(decide)
SPY_ON(adamw)
SPY(add, float *y UNUSED, const float *x UNUSED, int64_t n UNUSED)
SPY(memory_rate, double seconds UNUSED, double *rate UNUSED)

/* Each dtype has a rate of its own, so that a test sees which was asked for. */
static int gemm_rate(void *ctx UNUSED, enum sp_dtype dtype, int64_t m UNUSED, int64_t n UNUSED, int64_t k UNUSED,
                     double seconds UNUSED, double *rate)
{
	*rate = 1 + (double)dtype;
	return seen();
}

static const struct sp_compute_ops ops = {
	.open = spy_open, .close = spy_close, .describe = describe, .supports = supports, .chunk_multiple = chunk_multiple,
	.threads = threads, .alloc = spy_alloc, .free = spy_free, .copy_in = copy_in, .copy_out = copy_out, .upload = upload,
	.zero = zero,
	.copy_rows = copy_rows, .convert = convert, .sync = sync_spy, .mark = mark, .between = between, .linear_forward = linear_forward,
	.linear_backward_input = linear_backward_input, .linear_backward_weight = linear_backward_weight,
	.activation_backward = activation_backward, .norm_forward = norm_forward, .norm_backward = norm_backward,
	.attention_forward = attention_forward, .attention_finish = attention_finish,
	.attention_merge = attention_merge, .attention_dots = attention_dots,
	.attention_backward = attention_backward, .scores_mask = scores_mask, .scores_softmax = scores_softmax,
	.scores_drop = scores_drop, .scores_backward = scores_backward, .rotate = rotate, .embedding_forward = embedding_forward,
	.embedding_backward = embedding_backward, .gather_rows = gather_rows, .scatter_add_rows = scatter_add_rows,
	.cross_entropy = cross_entropy, .tanh_forward = tanh_forward, .tanh_backward = tanh_backward,
	.words_forward = words_forward, .words_backward = words_backward, .entropy_part = entropy_part, .entropy_whole = entropy_whole,
	.sum_squares = sum_squares, .decide = decide, .adamw = adamw, .add = add, .gemm_rate = gemm_rate,
	.memory_rate = memory_rate,
};

static int probe(char *text, size_t size)
{
	if (size)
		text[0] = '\0';
	return SP_OK;
}

extern const struct sp_module sp_module_cpu;
const struct sp_module sp_module_cpu = { .abi = SP_MODULE_ABI, .name = "cpu", .probe = probe, .compute = &ops };
