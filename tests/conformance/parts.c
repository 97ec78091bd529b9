/* A vocabulary in parts: lookups, and cross-entropy of columns that are shared out. */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PARTS = 5 };

static void skip_without_parts(struct sp_compute *c)
{
	if (!sp_compute_has_parts(c))
		skip();
}

/* ---- words ---- */

static void words_case(struct sp_compute *c, int64_t T, int64_t H, int64_t words, int32_t first, int strided)
{
	struct bench b;
	bench_open(&b, c, strided, "T %lld H %lld words %lld from %d strided %d", (long long)T, (long long)H, (long long)words,
	           first, strided);
	int32_t *id = malloc(sizeof *id * (size_t)(T + 1));
	assert_non_null(id);
	for (int64_t i = 0; i < T; i++)
		id[i] = (int32_t)bench_below(1, (uint32_t)i, (uint32_t)(first + words + 3));
	struct bytes *token = bench_bytes(&b, IN, id, sizeof *id * (size_t)T);
	struct tensor *word = bench_tensor(&b, IN, words, H), *y = bench_element(&b, OUT, T, H);
	struct tensor *dword = bench_tensor(&b, INOUT, words, H), *dy = bench_element(&b, IN, T, H);
	const struct sp_words forward[] = { { at(token, DEVICE), first, view(word, DEVICE), view(y, DEVICE) },
		                                { at(token, REFERENCE), first, view(word, REFERENCE), view(y, REFERENCE) } };
	const struct sp_words backward[] = { { at(token, DEVICE), first, view(dword, DEVICE), view(dy, DEVICE) },
		                                 { at(token, REFERENCE), first, view(dword, REFERENCE), view(dy, REFERENCE) } };
	while (bench_again(&b)) {
		assert_int_equal(sp_compute_words_forward(c, &forward[DEVICE]), SP_OK);
		assert_int_equal(sp_compute_words_backward(c, &backward[DEVICE]), SP_OK);
	}
	sp_reference_words_forward(&forward[REFERENCE]);
	sp_reference_words_backward(&backward[REFERENCE]);
	bench_expect(&b, y, BOUND_WORDS_FORWARD, "y");
	bench_expect_near(&b, dword, BOUND_WORDS, "dword", tensor_norm(dy));
	bench_close(&b);
	free(id);
}

void words_of_parts_equal_reference(void **state)
{
	static const int64_t shapes[][3] = { { 0, 4, 3 }, { 1, 1, 1 }, { 7, 13, 2 }, { 300, 33, 5 }, { 129, 768, 500 } };
	skip_without_parts(*state);
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		for (int strided = 0; strided < 2; strided++) {
			words_case(*state, shapes[i][0], shapes[i][1], shapes[i][2], 0, strided);
			words_case(*state, shapes[i][0], shapes[i][1], shapes[i][2], 11, strided);
		}
}

/* ---- cross-entropy ---- */

struct entropy {
	int64_t n, V, parts;
	int gradient;
	float scale;
	struct tensor *logits, *stats;
	struct bytes *label, *loss, *correct, *spare; /* spare: what the other parts add to */
};

static struct sp_entropy_part part_args(const struct entropy *e, int64_t p, enum side side)
{
	const int64_t first = p * e->V / e->parts, end = (p + 1) * e->V / e->parts;
	const struct sp_entropy_part args = { sp_matrix_columns(view(e->logits, side), first, end - first), at(e->label, side), (int32_t)first,
		                                  sp_matrix_rows(view(e->stats, side), p * e->n, e->n) };
	return args;
}

static void run_parts(struct sp_compute *c, const struct entropy *e)
{
	for (int64_t p = 0; p < e->parts; p++) {
		const struct sp_entropy_part args = part_args(e, p, DEVICE);
		assert_int_equal(sp_compute_entropy_part(c, &args), SP_OK);
	}
	for (int64_t p = 0; p < e->parts; p++) {
		const struct sp_entropy_part part = part_args(e, p, DEVICE);
		const struct bytes *loss = p ? e->spare : e->loss;
		const struct sp_entropy_whole args = {
			.logits = part.logits, .label = part.label, .first = part.first, .stats = view(e->stats, DEVICE),
			.parts = e->parts, .loss = at(loss, DEVICE), .correct = p ? NULL : at(e->correct, DEVICE),
			.scale = e->scale, .gradient = e->gradient,
		};
		assert_int_equal(sp_compute_entropy_whole(c, &args), SP_OK);
	}
}

static void take(struct bench *b, struct entropy *e, const int32_t *label)
{
	static const double zero = 2.5, nothing[1] = { 0 };
	static const int64_t none = 3;
	e->label = bench_bytes(b, IN, label, sizeof *label * (size_t)e->n);
	e->loss = bench_bytes(b, INOUT, &zero, sizeof zero);
	e->correct = bench_bytes(b, INOUT, &none, sizeof none);
	e->spare = bench_bytes(b, INOUT, nothing, sizeof nothing);
	e->logits = bench_element(b, e->gradient ? INOUT : SCRATCH, e->n, e->V);
	e->stats = bench_tensor(b, OUT, e->parts * e->n, 4);
}

static void check(struct bench *b, const struct entropy *e)
{
	double loss;
	int64_t correct;
	for (int64_t p = 0; p < e->parts; p++) {
		const struct sp_entropy_part args = part_args(e, p, REFERENCE);
		sp_reference_entropy_part(&args);
	}
	const struct sp_cross_entropy whole = { view(e->logits, REFERENCE), at(e->label, REFERENCE), at(e->loss, REFERENCE),
		                                    at(e->correct, REFERENCE), e->scale, e->gradient };
	sp_reference_cross_entropy(&whole);
	memcpy(&loss, e->loss->after, sizeof loss);
	memcpy(&correct, e->correct->after, sizeof correct);
	bench_expect(b, e->stats, BOUND_ENTROPY_PART, "stats");
	bench_expect_number(b, loss, *whole.loss, BOUND_CROSS_ENTROPY_LOSS, "loss", (double)e->n);
	assert_int_equal(correct, *whole.correct);
	if (e->gradient)
		bench_expect_near(b, e->logits, BOUND_CROSS_ENTROPY_GRADIENT, "dlogits", e->scale * sqrt((double)e->n));
}

void cross_entropy_of_parts_equals_reference(void **state)
{
	static const int64_t sizes[][2] = { { 0, 5 }, { 1, 5 }, { 3, 7 }, { 31, 127 }, { 17, 1000 }, { 5, 30522 } };
	skip_without_parts(*state);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int64_t parts = 1; parts <= MOST_PARTS; parts += 1)
			for (int flags = 0; flags < 4; flags++) {
				struct entropy e = { .n = sizes[i][0], .V = sizes[i][1], .parts = parts, .gradient = flags & 1,
					                 .scale = 0.25f };
				int32_t *label = malloc(sizeof *label * (size_t)(e.n + 1));
				struct bench b;
				assert_non_null(label);
				bench_open(&b, *state, flags >> 1, "n %lld V %lld parts %lld gradient %d strided %d", (long long)e.n,
				           (long long)e.V, (long long)parts, e.gradient, flags >> 1);
				for (int64_t r = 0; r < e.n; r++)
					label[r] = (int32_t)bench_below(3, (uint32_t)r, (uint32_t)e.V);
				take(&b, &e, label);
				for (int64_t r = 0; r < e.n; r += 2) /* half of the rows are predicted right */
					tensor_set(e.logits, r, label[r], 4.5);
				while (bench_again(&b))
					run_parts(*state, &e);
				check(&b, &e);
				bench_close(&b);
				free(label);
			}
}

/* Columns 2 and 7 are the largest, in parts of 4: only the first of them counts as right, be it in the label's part or not. */
void cross_entropy_of_parts_takes_the_first_of_equals(void **state)
{
	static const int32_t label[] = { 2, 7, 0, 11 };
	struct entropy e = { .n = 4, .V = 12, .parts = 3, .scale = 1 };
	struct bench b;
	skip_without_parts(*state);
	bench_open(&b, *state, 0, "ties between parts");
	take(&b, &e, label);
	for (int64_t r = 0; r < 2; r++) {
		tensor_set(e.logits, r, 2, 9);
		tensor_set(e.logits, r, 7, 9);
	}
	for (int64_t v = 0; v < e.V; v++) {
		tensor_set(e.logits, 2, v, 1);
		tensor_set(e.logits, 3, v, 1);
	}
	while (bench_again(&b))
		run_parts(*state, &e);
	check(&b, &e);
	bench_close(&b);
}
