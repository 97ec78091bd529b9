/* Attention on whole rows of scores. */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

#include <stdlib.h>

static void skip_without_scores(struct sp_compute *c)
{
	if (!sp_compute_has_scores(c))
		skip();
}

struct scores_case {
	int64_t batch, heads, chunk, keys;
	uint32_t keep, first_key;
	int strided;
};

static const uint32_t sample[] = { 4, 70000, 3 };

/* Two documents, padding between them and behind them; those of the last query have no key. */
static struct bytes *documents(struct bench *b, int64_t batch, int64_t n, int key)
{
	int32_t *doc = malloc(sizeof *doc * (size_t)(batch * n + 1));
	assert_non_null(doc);
	for (int64_t i = 0; i < batch * n; i++)
		doc[i] = i % 7 == 3 ? -1 : (int32_t)(i % n * 2 / n);
	if (!key && batch * n > 1)
		doc[n - 1] = 9;
	struct bytes *a = bench_bytes(b, IN, doc, sizeof *doc * (size_t)(batch * n));
	free(doc);
	return a;
}

static struct sp_attention_shape shape_of(const struct scores_case *k, const struct bytes *query, const struct bytes *key,
                                          const struct bytes *samples, enum side side)
{
	return (struct sp_attention_shape){
		.batch = k->batch, .heads = k->heads, .head_dim = 1, .chunk = k->chunk, .keys = k->keys, .scale = 0.125f,
		.query_doc = at(query, side), .key_doc = at(key, side), .sample = at(samples, side), .first_query = 5,
		.first_key = k->first_key, .all_heads = (uint32_t)k->heads + 2, .first_head = 1, .dropout = bench_dropout(k->keep, side),
	};
}

static void scores_case(struct sp_compute *c, const struct scores_case *k)
{
	const int64_t rows = k->batch * k->heads * k->chunk;
	struct bench b;
	bench_open(&b, c, k->strided, "B %lld A %lld C %lld keys %lld keep %u strided %d", (long long)k->batch,
	           (long long)k->heads, (long long)k->chunk, (long long)k->keys, k->keep, k->strided);
	struct tensor *masked = bench_tensor(&b, INOUT, rows, k->keys), *s = bench_tensor(&b, INOUT, rows, k->keys);
	struct tensor *lse = bench_tensor(&b, OUT, 1, rows), *p = bench_tensor(&b, IN, rows, k->keys);
	struct tensor *y = bench_tensor(&b, OUT, rows, k->keys), *ds = bench_tensor(&b, INOUT, rows, k->keys);
	struct tensor *dots = bench_tensor(&b, IN, k->batch * k->heads, k->chunk);
	struct bytes *query = documents(&b, k->batch, k->chunk, 0), *key = documents(&b, k->batch, k->keys, 1);
	struct bytes *samples = bench_bytes(&b, IN, sample, sizeof sample);
	for (int64_t r = 0; r < rows; r++) /* scores as large as they come, and rows of nothing */
		for (int64_t j = 0; j < k->keys; j++)
			if (r % 5 == 2 || j % 3 == 1)
				tensor_set(s, r, j, r % 5 == 2 ? -INFINITY : 80);
	struct sp_scores_mask mask[2];
	struct sp_scores_softmax softmax[2];
	struct sp_scores_drop drop[2];
	struct sp_scores_backward backward[2];
	for (int side = DEVICE; side <= REFERENCE; side++) {
		const struct sp_attention_shape shape = shape_of(k, query, key, samples, side);
		mask[side] = (struct sp_scores_mask){ shape, view(masked, side) };
		softmax[side] = (struct sp_scores_softmax){ view(s, side), view(lse, side) };
		drop[side] = (struct sp_scores_drop){ shape, view(p, side), view(y, side) };
		backward[side] = (struct sp_scores_backward){ shape, view(p, side), view(ds, side), view(dots, side) };
	}
	while (bench_again(&b)) {
		assert_int_equal(sp_compute_scores_mask(c, &mask[DEVICE]), SP_OK);
		assert_int_equal(sp_compute_scores_softmax(c, &softmax[DEVICE]), SP_OK);
		assert_int_equal(sp_compute_scores_drop(c, &drop[DEVICE]), SP_OK);
		assert_int_equal(sp_compute_scores_backward(c, &backward[DEVICE]), SP_OK);
	}
	sp_reference_scores_mask(&mask[REFERENCE]);
	sp_reference_scores_softmax(&softmax[REFERENCE]);
	sp_reference_scores_drop(&drop[REFERENCE]);
	sp_reference_scores_backward(&backward[REFERENCE]);
	bench_expect(&b, masked, BOUND_SCORES, "masked");
	bench_expect(&b, s, BOUND_SCORES_SOFTMAX, "p");
	bench_expect(&b, lse, BOUND_SCORES_SOFTMAX, "lse");
	bench_expect(&b, y, BOUND_SCORES, "dropped");
	bench_expect_near(&b, ds, BOUND_SCORES, "ds", 0.125 * tensor_norm(y));
	bench_close(&b);
}

void scores_equal_reference(void **state)
{
	static const int64_t sizes[][4] = { { 1, 1, 1, 1 }, { 2, 3, 5, 7 }, { 3, 2, 17, 33 }, { 1, 2, 3, 5000 }, { 0, 2, 4, 4 },
		                                { 2, 2, 3, 0 } };
	static const uint32_t keeps[] = { 65536, 58982, 1 };
	skip_without_scores(*state);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int keep = 0; keep < 3; keep++)
			for (int strided = 0; strided < 2; strided++) {
				const struct scores_case k = { sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], keeps[keep],
					                           (uint32_t)keep * 3, strided };
				scores_case(*state, &k);
			}
}
