/* Sum of three table rows, LayerNorm and dropout, and back into the tables. */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

#include <stdlib.h>

/* words small: many rows share an id, so that their order and any race would show. */
static const struct shape {
	int64_t batch, chunk, H, words;
} shapes[] = {
	{ 1, 1, 1, 1 },  { 1, 1, 8, 5 },    { 3, 1, 7, 2 },   { 2, 13, 64, 1000 }, { 3, 11, 768, 20 },
	{ 0, 4, 8, 5 },  { 2, 0, 8, 5 },    { 2, 347, 33, 3 }, { 1, 701, 129, 701 },
	{ 1, 3, 1032, 5 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes, KINDS = 2 };

static const uint32_t sample[] = { 5, 4000000000u, 0 }, keeps[] = { 65536, 58982 };

struct embedding_case {
	struct shape shape;
	int normed, same, strided;
	uint32_t keep;
	int unplaced; /* no table of positions */
};

struct ids {
	struct bytes *token, *pos, *kind, *sample;
};

static struct bytes *random_ids(struct bench *b, uint32_t stream, int64_t n, int64_t below)
{
	int32_t *id = malloc(sizeof *id * (size_t)(n + 1));
	assert_non_null(id);
	for (int64_t i = 0; i < n; i++)
		id[i] = (int32_t)bench_below(stream, (uint32_t)i, (uint32_t)below);
	struct bytes *a = bench_bytes(b, IN, id, sizeof *id * (size_t)n);
	free(id);
	return a;
}

static int64_t positions_of(struct shape s)
{
	return s.chunk + 2;
}

static struct ids take_ids(struct bench *b, struct shape s)
{
	const int64_t T = s.batch * s.chunk;
	const struct ids ids = { random_ids(b, 1, T, s.words), random_ids(b, 2, T, positions_of(s)), random_ids(b, 3, T, KINDS),
		                 bench_bytes(b, IN, sample, sizeof sample) };
	return ids;
}

static struct sp_rows rows_of(const struct embedding_case *k, const struct ids *ids, enum side side)
{
	const struct sp_rows on = { k->shape.batch, k->shape.chunk, at(ids->sample, side), 99 }, off = { 0 };
	return k->keep == 65536 ? off : on;
}

static void open_case(struct bench *b, struct sp_compute *c, const struct embedding_case *k)
{
	bench_open(b, c, k->strided, "B %lld C %lld H %lld words %lld normed %d same %d keep %u strided %d unplaced %d",
	           (long long)k->shape.batch, (long long)k->shape.chunk, (long long)k->shape.H, (long long)k->shape.words,
	           k->normed, k->same, k->keep, k->strided, k->unplaced);
}

static void forward_case(struct sp_compute *c, const struct embedding_case *k)
{
	const struct shape s = k->shape;
	const int64_t T = s.batch * s.chunk;
	struct bench b;
	open_case(&b, c, k);
	const struct ids ids = take_ids(&b, s);
	struct tensor *word = bench_tensor(&b, IN, s.words, s.H), *position = bench_optional(&b, !k->unplaced, IN, positions_of(s), s.H);
	struct tensor *type = bench_tensor(&b, IN, KINDS, s.H), *sum = bench_element(&b, OUT, T, s.H);
	struct tensor *y = k->same ? sum : bench_element(&b, OUT, T, s.H);
	struct tensor *gamma = bench_optional(&b, k->normed, IN, 1, s.H), *beta = bench_optional(&b, k->normed, IN, 1, s.H);
	struct tensor *mean = bench_optional(&b, k->normed, OUT, 1, T), *rstd = bench_optional(&b, k->normed, OUT, 1, T);
	struct sp_embedding_forward args[2];
	for (int side = DEVICE; side <= REFERENCE; side++)
		args[side] = (struct sp_embedding_forward){ .token = at(ids.token, side),
			                                    .pos = at(ids.pos, side),
			                                    .kind = at(ids.kind, side),
			                                    .word = view(word, side),
			                                    .position = view(position, side),
			                                    .type = view(type, side),
			                                    .gamma = view(gamma, side),
			                                    .beta = view(beta, side),
			                                    .s = view(sum, side),
			                                    .y = view(y, side),
			                                    .mean = view(mean, side),
			                                    .rstd = view(rstd, side),
			                                    .eps = 1e-12f,
			                                    .dropout = bench_dropout(k->keep, side),
			                                    .rows = rows_of(k, &ids, side) };
	while (bench_again(&b))
		assert_int_equal(sp_compute_embedding_forward(c, &args[DEVICE]), SP_OK);
	sp_reference_embedding_forward(&args[REFERENCE]);
	bench_expect(&b, sum, BOUND_EMBEDDING_FORWARD, "s");
	bench_expect(&b, y, BOUND_EMBEDDING_FORWARD, "y");
	bench_expect_near(&b, mean, BOUND_EMBEDDING_FORWARD, "mean", sqrt((double)T));
	bench_expect(&b, rstd, BOUND_EMBEDDING_FORWARD, "rstd");
	bench_close(&b);
}

void embedding_forward_equals_reference(void **state)
{
	for (int i = 0; i < SHAPES; i++)
		for (int keep = 0; keep < 2; keep++)
			for (int strided = 0; strided < 2; strided++) {
				const struct embedding_case normed = { shapes[i], 1, 0, strided, keeps[keep], 0 };
				const struct embedding_case plain = { shapes[i], 0, 0, strided, keeps[keep], 0 };
				const struct embedding_case in_place = { shapes[i], 0, 1, strided, keeps[keep], 0 };
				forward_case(*state, &normed);
				forward_case(*state, &plain);
				forward_case(*state, &in_place);
				const struct embedding_case unplaced = { shapes[i], 1, 0, strided, keeps[keep], 1 };
				forward_case(*state, &unplaced);
			}
}

static void backward_case(struct sp_compute *c, const struct embedding_case *k)
{
	const struct shape s = k->shape;
	const int64_t T = s.batch * s.chunk;
	struct bench b;
	open_case(&b, c, k);
	const struct ids ids = take_ids(&b, s);
	struct tensor *dy = bench_element(&b, INOUT, T, s.H), *dword = bench_tensor(&b, INOUT, s.words, s.H);
	struct tensor *dposition = bench_optional(&b, !k->unplaced, INOUT, positions_of(s), s.H), *dtype = bench_tensor(&b, INOUT, KINDS, s.H);
	struct tensor *sum = bench_optional_element(&b, k->normed, IN, T, s.H), *gamma = bench_optional(&b, k->normed, IN, 1, s.H);
	struct tensor *mean = bench_optional(&b, k->normed, IN, 1, T), *rstd = bench_optional(&b, k->normed, IN, 1, T);
	struct tensor *dgamma = bench_optional(&b, k->normed, INOUT, 1, s.H);
	struct tensor *dbeta = bench_optional(&b, k->normed, INOUT, 1, s.H);
	if (k->normed)
		tensor_statistics(sum, mean, rstd);
	struct sp_embedding_backward args[2];
	for (int side = DEVICE; side <= REFERENCE; side++)
		args[side] = (struct sp_embedding_backward){ .token = at(ids.token, side),
			                                     .pos = at(ids.pos, side),
			                                     .kind = at(ids.kind, side),
			                                     .dy = view(dy, side),
			                                     .s = view(sum, side),
			                                     .gamma = view(gamma, side),
			                                     .mean = view(mean, side),
			                                     .rstd = view(rstd, side),
			                                     .dword = view(dword, side),
			                                     .dposition = view(dposition, side),
			                                     .dtype = view(dtype, side),
			                                     .dgamma = view(dgamma, side),
			                                     .dbeta = view(dbeta, side),
			                                     .dropout = bench_dropout(k->keep, side),
			                                     .rows = rows_of(k, &ids, side) };
	/* Means are taken off rows of dy, and what is left of few rows with the same id may cancel. */
	const double size = tensor_norm(dy);
	while (bench_again(&b))
		assert_int_equal(sp_compute_embedding_backward(c, &args[DEVICE]), SP_OK);
	sp_reference_embedding_backward(&args[REFERENCE]);
	bench_expect_near(&b, dy, BOUND_EMBEDDING_BACKWARD, "ds", size);
	const double terms = fmax(size, tensor_norm(dy)); /* dy is ds now */
	bench_expect_sums(&b, dword, BOUND_EMBEDDING_BACKWARD, "dword", terms);
	if (dposition)
		bench_expect_sums(&b, dposition, BOUND_EMBEDDING_BACKWARD, "dposition", terms);
	bench_expect_sums(&b, dtype, BOUND_EMBEDDING_BACKWARD, "dtype", terms);
	bench_expect(&b, dgamma, BOUND_EMBEDDING_BACKWARD, "dgamma");
	bench_expect(&b, dbeta, BOUND_EMBEDDING_BACKWARD, "dbeta");
	bench_close(&b);
}

void embedding_backward_equals_reference(void **state)
{
	for (int i = 0; i < SHAPES; i++)
		for (int keep = 0; keep < 2; keep++)
			for (int normed = 0; normed < 2; normed++)
				for (int strided = 0; strided < 2; strided++) {
					const struct embedding_case k = { shapes[i], normed, 0, strided, keeps[keep], keep == normed };
					backward_case(*state, &k);
				}
}
