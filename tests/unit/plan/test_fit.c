/* The longest sequence and the largest batch found are exactly those that fit. */
#include "config.h"

#include "plan/classes.h"
#include "plan/fit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NO_LIMIT = 1 << 30 };

static struct sp_plan_input input_of(int data, int sequence, int tensor, int64_t multiple)
{
	struct sp_plan_input in = {
		.model = {
			.config = { .layers = 3, .hidden = 24, .heads = 6, .intermediate = 50, .vocab_size = 101, .max_positions = 64,
			            .sentence_order = 1 },
			.batch = 2,
			.attention = sp_attention_find("ring"),
			.part = { .tensors = tensor },
		},
		.data_ranks = data,
		.sequence_ranks = sequence,
		.multiple = multiple,
		.global_batch = 6 * data,
	};
	return sp_plan_with_length(&in, 33);
}

static size_t need(struct sp_plan_input in)
{
	struct sp_plan_classes classes;
	assert_int_equal(sp_plan_classes_make(&in, &classes), SP_OK);
	const size_t total = sp_plan_classes_largest(&classes)->total;
	sp_plan_classes_free(&classes);
	return total;
}

static void for_every_grid(void (*check)(struct sp_plan_input in, size_t memory))
{
	for (int data = 1; data <= 2; data++)
		for (int sequence = 1; sequence <= 5; sequence++)
			for (int tensor = 1; tensor <= 3; tensor++)
				for (size_t memory = 300000; memory < 40000000; memory = memory * 8 / 5 + 1)
					check(input_of(data, sequence, tensor, sequence % 2 ? 1 : 8), memory);
}

static void check_length(struct sp_plan_input in, size_t memory)
{
	int64_t length;
	assert_int_equal(sp_plan_longest(&in, memory, NO_LIMIT, &length), SP_OK);
	if (length > 0)
		assert_true(need(sp_plan_with_length(&in, length)) <= memory);
	assert_true(need(sp_plan_with_length(&in, length + 1)) > memory);
}

static void the_longest_sequence_fits_and_one_more_token_does_not(void **state)
{
	(void)state;
	for_every_grid(check_length);
}

static void check_batch(struct sp_plan_input in, size_t memory)
{
	int64_t batch;
	assert_int_equal(sp_plan_largest_batch(&in, memory, NO_LIMIT, &batch), SP_OK);
	if (batch > 0)
		assert_true(need(sp_plan_with_batch(&in, batch)) <= memory);
	assert_true(need(sp_plan_with_batch(&in, batch + 1)) > memory);
}

static void the_largest_batch_fits_and_one_more_sequence_does_not(void **state)
{
	(void)state;
	for_every_grid(check_batch);
}

static void a_larger_batch_keeps_the_number_of_micro_batches(void **state)
{
	(void)state;
	const struct sp_plan_input in = input_of(2, 1, 1, 1), more = sp_plan_with_batch(&in, 7);
	assert_int_equal(sp_plan_micro_batches(&in), 3);
	assert_int_equal(sp_plan_micro_batches(&more), 3);
	assert_int_equal(more.global_batch, 42);
}

static void positions_grow_with_the_sequence_and_never_shrink(void **state)
{
	(void)state;
	const struct sp_plan_input in = input_of(1, 2, 1, 8);
	assert_int_equal(sp_plan_with_length(&in, 40).model.config.max_positions, 64);
	assert_int_equal(sp_plan_with_length(&in, 65).model.config.max_positions, 65);
	assert_int_equal(sp_plan_with_length(&in, 65).model.chunk, 40);
}

static void what_always_fits_is_as_much_as_is_asked_for(void **state)
{
	(void)state;
	const struct sp_plan_input in = input_of(1, 1, 1, 1);
	int64_t n;
	for (int64_t most = 1; most < 20; most++) {
		assert_int_equal(sp_plan_longest(&in, SIZE_MAX / 4, most, &n), SP_OK);
		assert_int_equal(n, most);
	}
}

static void nothing_fits_into_less_than_the_parameters(void **state)
{
	(void)state;
	const struct sp_plan_input in = input_of(1, 1, 1, 1);
	int64_t n = 1;
	assert_int_equal(sp_plan_longest(&in, 1000, NO_LIMIT, &n), SP_OK);
	assert_int_equal(n, 0);
	n = 1;
	assert_int_equal(sp_plan_largest_batch(&in, 1000, NO_LIMIT, &n), SP_OK);
	assert_int_equal(n, 0);
}

/* Rows of a micro-batch are counted in 32 bits. */
static void more_than_two_to_the_31_rows_do_not_fit(void **state)
{
	(void)state;
	struct sp_plan_input in = input_of(1, 1, 1, 1);
	int fits;
	in.model.batch = 1 << 20;
	in.global_batch = 1 << 20;
	in = sp_plan_with_length(&in, 2047);
	assert_int_equal(sp_plan_fits(&in, SIZE_MAX / 4, &fits), SP_OK);
	assert_int_equal(fits, 1);
	in = sp_plan_with_length(&in, 2048);
	assert_int_equal(sp_plan_fits(&in, SIZE_MAX / 4, &fits), SP_OK);
	assert_int_equal(fits, 0);
}

/* 50 features and 101 words over 3 ranks: 16, 17, 17 and 33, 34, 34. */
static void tensor_ranks_with_equal_shares_are_one_class(void **state)
{
	(void)state;
	const struct sp_plan_input in = input_of(1, 1, 3, 1);
	struct sp_plan_classes classes;
	struct sp_plan_input own = in;
	struct sp_plan plan;
	assert_int_equal(sp_plan_classes_make(&in, &classes), SP_OK);
	assert_int_equal(classes.parts, 3);
	assert_int_equal(classes.count, 2);
	for (int t = 0; t < 3; t++) {
		own.model.part.tensor = t;
		assert_int_equal(sp_plan_make(&own, &plan), SP_OK);
		assert_memory_equal(&plan, &classes.plan[sp_plan_class_of(&classes, 0, t)], sizeof plan);
	}
	assert_int_equal(sp_plan_class_of(&classes, 0, 0), 0);
	assert_int_equal(sp_plan_class_of(&classes, 0, 1), 1);
	assert_int_equal(sp_plan_class_of(&classes, 0, 2), 1);
	assert_ptr_equal(sp_plan_classes_largest(&classes), &classes.plan[1]);
	sp_plan_classes_free(&classes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_sequence_fits_and_one_more_token_does_not),
		cmocka_unit_test(the_largest_batch_fits_and_one_more_sequence_does_not),
		cmocka_unit_test(a_larger_batch_keeps_the_number_of_micro_batches),
		cmocka_unit_test(positions_grow_with_the_sequence_and_never_shrink),
		cmocka_unit_test(what_always_fits_is_as_much_as_is_asked_for),
		cmocka_unit_test(nothing_fits_into_less_than_the_parameters),
		cmocka_unit_test(more_than_two_to_the_31_rows_do_not_fit),
		cmocka_unit_test(tensor_ranks_with_equal_shares_are_one_class),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
