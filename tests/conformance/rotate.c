/* Rotary positions. */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

#include <stdlib.h>

static const struct shape {
	int64_t rows, heads, head_dim;
	uint32_t positions;
	double base;
} shapes[] = {
	{ 1, 1, 2, 1, 10000 },         { 1, 1, 2, 5, 10000 },     { 7, 3, 6, 100, 10000 },       { 33, 24, 64, 512, 10000 },
	{ 5, 2, 130, 131072, 500000 }, { 9, 1, 258, 7, 1.5 },     { 17, 2, 20, 1000000, 10000 }, { 0, 2, 4, 3, 10000 },
	{ 3, 0, 4, 3, 10000 },         { 301, 2, 8, 300, 10000 }, { 4, 1, 2, 1 << 30, 10000 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void skip_without_rotate(struct sp_compute *c)
{
	if (!sp_compute_has_rotate(c))
		skip();
}

static struct bytes *random_positions(struct bench *b, struct shape s)
{
	int32_t *position = malloc(sizeof *position * (size_t)(s.rows + 1));
	assert_non_null(position);
	for (int64_t i = 0; i < s.rows; i++)
		position[i] = (int32_t)bench_below(4, (uint32_t)i, s.positions);
	struct bytes *a = bench_bytes(b, IN, position, sizeof *position * (size_t)s.rows);
	free(position);
	return a;
}

static struct sp_rotate args_of(const struct shape *s, const struct bytes *position, const struct tensor *x, int inverse,
                                enum side side)
{
	return (struct sp_rotate){ at(position, side), view(x, side), s->head_dim, s->base, inverse };
}

static void rotate_case(struct sp_compute *c, const struct shape *s, int inverse, int strided)
{
	struct bench b;
	bench_open(&b, c, strided, "T %lld A %lld D %lld positions %u base %g inverse %d strided %d", (long long)s->rows,
	           (long long)s->heads, (long long)s->head_dim, s->positions, s->base, inverse, strided);
	struct tensor *x = bench_element(&b, INOUT, s->rows, s->heads * s->head_dim);
	struct bytes *position = random_positions(&b, *s);
	const struct sp_rotate on_device = args_of(s, position, x, inverse, DEVICE);
	const struct sp_rotate in_reference = args_of(s, position, x, inverse, REFERENCE);
	while (bench_again(&b))
		assert_int_equal(sp_compute_rotate(c, &on_device), SP_OK);
	sp_reference_rotate(&in_reference);
	bench_expect(&b, x, BOUND_ROTATE, "x");
	bench_close(&b);
}

void rotate_equals_reference(void **state)
{
	skip_without_rotate(*state);
	for (int i = 0; i < SHAPES; i++)
		for (int inverse = 0; inverse < 2; inverse++)
			for (int strided = 0; strided < 2; strided++)
				rotate_case(*state, &shapes[i], inverse, strided);
}

/* The reference does nothing. */
void rotate_back_gives_what_was_rotated(void **state)
{
	skip_without_rotate(*state);
	for (int i = 0; i < SHAPES; i++) {
		struct bench b;
		bench_open(&b, *state, 0, "T %lld D %lld there and back", (long long)shapes[i].rows, (long long)shapes[i].head_dim);
		struct tensor *x = bench_element(&b, INOUT, shapes[i].rows, shapes[i].heads * shapes[i].head_dim);
		struct bytes *position = random_positions(&b, shapes[i]);
		const struct sp_rotate there = args_of(&shapes[i], position, x, 0, DEVICE);
		const struct sp_rotate back = args_of(&shapes[i], position, x, 1, DEVICE);
		while (bench_again(&b)) {
			assert_int_equal(sp_compute_rotate(*state, &there), SP_OK);
			assert_int_equal(sp_compute_rotate(*state, &back), SP_OK);
		}
		bench_expect(&b, x, BOUND_ROTATE_BACK, "x");
		bench_close(&b);
	}
}
