/* Rows gathered and scattered, cross-entropy, tanh. */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

/* ---- rows ---- */

struct move_case {
	int64_t n, rows, cols;
};

static const struct move_case moves[] = {
	{ 1, 1, 1 }, { 0, 5, 3 }, { 3, 7, 13 }, { 5, 5, 0 }, { 64, 65, 64 }, { 77, 1000, 131 }, { 601, 601, 33 },
};
enum { MOVES = sizeof moves / sizeof *moves };

/* n distinct rows of `rows`, in no order: multiples of a prime that divides none of the sizes above. */
static struct bytes *distinct(struct bench *b, const struct move_case *k)
{
	int32_t *index = malloc(sizeof *index * (size_t)(k->n + 1));
	assert_non_null(index);
	for (int64_t i = 0; i < k->n; i++)
		index[i] = (int32_t)(i * 7919 % k->rows);
	struct bytes *a = bench_bytes(b, IN, index, sizeof *index * (size_t)k->n);
	free(index);
	return a;
}

void gather_rows_copies(void **state)
{
	for (int i = 0; i < MOVES; i++)
		for (int strided = 0; strided < 2; strided++) {
			const struct move_case *k = &moves[i];
			struct bench b;
			bench_open(&b, *state, strided, "n %lld rows %lld cols %lld strided %d", (long long)k->n, (long long)k->rows,
			           (long long)k->cols, strided);
			struct tensor *x = bench_element(&b, IN, k->rows, k->cols), *y = bench_element(&b, OUT, k->n, k->cols);
			const struct bytes *index = distinct(&b, k);
			struct sp_row_move args[2];
			for (int side = DEVICE; side <= REFERENCE; side++)
				args[side] = (struct sp_row_move){ at(index, side), k->n, view(x, side), view(y, side) };
			while (bench_again(&b))
				assert_int_equal(sp_compute_gather_rows(*state, &args[DEVICE]), SP_OK);
			sp_reference_gather_rows(&args[REFERENCE]);
			bench_expect(&b, y, BOUND_GATHER_ROWS, "y");
			bench_close(&b);
		}
}

void scatter_add_rows_equals_reference(void **state)
{
	for (int i = 0; i < MOVES; i++)
		for (int strided = 0; strided < 2; strided++) {
			const struct move_case *k = &moves[i];
			struct bench b;
			bench_open(&b, *state, strided, "n %lld rows %lld cols %lld strided %d", (long long)k->n, (long long)k->rows,
			           (long long)k->cols, strided);
			struct tensor *x = bench_element(&b, IN, k->n, k->cols), *y = bench_element(&b, INOUT, k->rows, k->cols);
			const struct bytes *index = distinct(&b, k);
			struct sp_row_move args[2];
			for (int side = DEVICE; side <= REFERENCE; side++)
				args[side] = (struct sp_row_move){ at(index, side), k->n, view(x, side), view(y, side) };
			while (bench_again(&b))
				assert_int_equal(sp_compute_scatter_add_rows(*state, &args[DEVICE]), SP_OK);
			sp_reference_scatter_add_rows(&args[REFERENCE]);
			bench_expect(&b, y, BOUND_SCATTER_ADD_ROWS, "y");
			bench_close(&b);
		}
}

/* ---- cross-entropy ---- */

struct entropy_case {
	int64_t n, V;
	int strided, gradient, count;
	float scale;
	double spread; /* of the logits */
};

struct entropy_tensors {
	struct tensor *logits;
	struct bytes *label, *loss, *correct;
};

static struct entropy_tensors entropy_tensors(struct bench *b, const struct entropy_case *k)
{
	static const double already = 3.5;
	static const int64_t before = 17;
	int32_t *label = malloc(sizeof *label * (size_t)(k->n + 1));
	struct entropy_tensors t;
	assert_non_null(label);
	/* Both ends of the vocabulary, and anything between. */
	for (int64_t i = 0; i < k->n; i++)
		label[i] = (int32_t)(i % 3 == 0   ? 0
		                     : i % 3 == 1 ? k->V - 1
		                                  : bench_below(3, (uint32_t)i, (uint32_t)k->V));
	t.logits = bench_element(b, k->gradient ? INOUT : SCRATCH, k->n, k->V);
	tensor_scale(t.logits, k->spread, 0);
	t.label = bench_bytes(b, IN, label, sizeof *label * (size_t)k->n);
	t.loss = bench_bytes(b, INOUT, &already, sizeof already);
	t.correct = bench_bytes(b, INOUT, &before, sizeof before);
	for (int64_t i = 0; i < k->n; i += 2) /* half of the rows are predicted right */
		tensor_set(t.logits, i, label[i], 4.5 * k->spread);
	free(label);
	return t;
}

static struct sp_cross_entropy entropy_args(const struct entropy_case *k, const struct entropy_tensors *t, enum side side)
{
	const struct sp_cross_entropy args = { view(t->logits, side), at(t->label, side), at(t->loss, side),
		                               k->count ? at(t->correct, side) : NULL, k->scale, k->gradient };
	return args;
}

static void entropy_case(struct sp_compute *c, const struct entropy_case *k)
{
	struct bench b;
	bench_open(&b, c, k->strided, "n %lld V %lld gradient %d count %d spread %g strided %d", (long long)k->n, (long long)k->V,
	           k->gradient, k->count, k->spread, k->strided);
	const struct entropy_tensors t = entropy_tensors(&b, k);
	const struct sp_cross_entropy args[] = { entropy_args(k, &t, DEVICE), entropy_args(k, &t, REFERENCE) };
	while (bench_again(&b))
		assert_int_equal(sp_compute_cross_entropy(c, &args[DEVICE]), SP_OK);
	sp_reference_cross_entropy(&args[REFERENCE]);
	double loss;
	int64_t correct;
	memcpy(&loss, t.loss->after, sizeof loss);
	memcpy(&correct, t.correct->after, sizeof correct);
	/* A confident row has a loss near 0 that is a difference of numbers of the size of its logits. */
	bench_expect_number(&b, loss, *args[REFERENCE].loss, BOUND_CROSS_ENTROPY_LOSS, "loss", k->spread * (double)k->n);
	assert_int_equal(correct, *(int64_t *)t.correct->reference);
	/* softmax - onehot: each row is the difference of two vectors of length at most 1. */
	if (k->gradient)
		bench_expect_near(&b, t.logits, BOUND_CROSS_ENTROPY_GRADIENT, "dlogits", k->scale * sqrt((double)k->n));
	bench_close(&b);
}

void cross_entropy_equals_reference(void **state)
{
	static const int64_t sizes[][2] = { { 0, 5 },  { 1, 1 },   { 1, 2 },    { 4, 1 },     { 3, 7 },
		                            { 64, 2 }, { 31, 127 }, { 17, 1000 }, { 301, 33 }, { 5, 30522 } };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int flags = 0; flags < 8; flags++) {
			const struct entropy_case k = { sizes[i][0],    sizes[i][1], flags & 1, flags >> 1 & 1,
				                        flags >> 2 & 1, 0.125f,      1 };
			entropy_case(*state, &k);
		}
}

void cross_entropy_with_huge_logits_stays_finite(void **state)
{
	static const double spreads[] = { 100, 1e4, 1e30 };
	for (int i = 0; i < 3; i++)
		for (int gradient = 0; gradient < 2 && 5 * spreads[i] < bench_largest(); gradient++) {
			const struct entropy_case wide = { 13, 257, 0, gradient, 1, 1, spreads[i] };
			const struct entropy_case narrow = { 13, 3, 1, gradient, 1, 1, spreads[i] };
			entropy_case(*state, &wide);
			entropy_case(*state, &narrow);
		}
}

/* All logits equal: only label 0 is right. Two largest: only the first of them is. */
void cross_entropy_takes_the_first_of_equals(void **state)
{
	enum { V = 67 };
	static const int32_t label[] = { 0, 1, V - 1, 9, 50, 50 };
	static const double zero = 0;
	static const int64_t none = 0;
	struct bench b;
	bench_open(&b, *state, 0, "ties");
	struct tensor *logits = bench_element(&b, INOUT, 6, V);
	tensor_scale(logits, 0, -2);
	for (int row = 3; row < 6; row++) {
		tensor_set(logits, row, 9, 3);
		tensor_set(logits, row, 50, 3);
	}
	tensor_set(logits, 5, 9, -3);
	const struct bytes *labels = bench_bytes(&b, IN, label, sizeof label);
	const struct bytes *loss = bench_bytes(&b, INOUT, &zero, sizeof zero);
	const struct bytes *correct = bench_bytes(&b, INOUT, &none, sizeof none);
	struct sp_cross_entropy args[2];
	for (int side = DEVICE; side <= REFERENCE; side++)
		args[side] = (struct sp_cross_entropy){ view(logits, side), at(labels, side), at(loss, side), at(correct, side), 1, 1 };
	while (bench_again(&b))
		assert_int_equal(sp_compute_cross_entropy(*state, &args[DEVICE]), SP_OK);
	sp_reference_cross_entropy(&args[REFERENCE]);
	int64_t right;
	memcpy(&right, correct->after, sizeof right);
	assert_int_equal(right, 3);
	bench_expect(&b, logits, BOUND_CROSS_ENTROPY_GRADIENT, "dlogits");
	bench_close(&b);
}

/* ---- tanh ---- */

static const int64_t tanh_sizes[][2] = { { 1, 1 }, { 0, 5 }, { 5, 0 }, { 3, 7 }, { 2, 768 }, { 131, 65 } };
enum { TANH_SIZES = sizeof tanh_sizes / sizeof *tanh_sizes };

void tanh_equals_reference(void **state)
{
	static const double scales[] = { 1e-4, 1, 30, 1e10 };
	for (int i = 0; i < TANH_SIZES; i++)
		for (int scale = 0; scale < 4; scale++)
			for (int strided = 0; strided < 2; strided++) {
				struct bench b;
				bench_open(&b, *state, strided, "rows %lld cols %lld scale %g strided %d", (long long)tanh_sizes[i][0],
				           (long long)tanh_sizes[i][1], scales[scale], strided);
				struct tensor *x = bench_element(&b, INOUT, tanh_sizes[i][0], tanh_sizes[i][1]);
				tensor_scale(x, scales[scale], 0);
				while (bench_again(&b))
					assert_int_equal(sp_compute_tanh_forward(*state, view(x, DEVICE)), SP_OK);
				sp_reference_tanh_forward(view(x, REFERENCE));
				bench_expect(&b, x, BOUND_TANH, "x");
				bench_close(&b);
			}
}

void tanh_backward_equals_reference(void **state)
{
	for (int i = 0; i < TANH_SIZES; i++)
		for (int strided = 0; strided < 2; strided++) {
			struct bench b;
			bench_open(&b, *state, strided, "rows %lld cols %lld strided %d", (long long)tanh_sizes[i][0],
			           (long long)tanh_sizes[i][1], strided);
			struct tensor *y = bench_element(&b, IN, tanh_sizes[i][0], tanh_sizes[i][1]);
			struct tensor *dx = bench_element(&b, INOUT, tanh_sizes[i][0], tanh_sizes[i][1]);
			for (int64_t r = 0; r < y->rows; r++)
				for (int64_t j = 0; j < y->cols; j++)
					tensor_set(y, r, j, tanh(y->value[r * y->cols + j]));
			const struct sp_tanh_backward args[] = { { view(y, DEVICE), view(dx, DEVICE) },
				                                 { view(y, REFERENCE), view(dx, REFERENCE) } };
			while (bench_again(&b))
				assert_int_equal(sp_compute_tanh_backward(*state, &args[DEVICE]), SP_OK);
			sp_reference_tanh_backward(&args[REFERENCE]);
			bench_expect(&b, dx, BOUND_TANH_BACKWARD, "dx");
			bench_close(&b);
		}
}
