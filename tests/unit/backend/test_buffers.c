/* Host buffers for device memory are made once and used again, the smallest that fits first. */
#include "config.h"

#include "support.h"

#include "backend/buffers.h"
#include "base/log.h"

#include <seqpar/status.h>
#include <stdlib.h>
#include <string.h>

static int made, freed, refuse;

static int alloc_host(void *ctx, size_t bytes, void **memory)
{
	(void)ctx;
	if (refuse)
		return SP_ERR_MEMORY;
	*memory = malloc(bytes ? bytes : 1);
	made++;
	return *memory ? SP_OK : SP_ERR_MEMORY;
}

static void free_host(void *ctx, void *memory)
{
	(void)ctx;
	freed += memory != NULL;
	free(memory);
}

static const struct sp_compute_ops ops = { .alloc_host = alloc_host, .free_host = free_host };
static struct sp_buffers buffers;

static int start(void **state)
{
	(void)state;
	memset(&buffers, 0, sizeof buffers);
	made = freed = refuse = 0;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	sp_buffers_free(&buffers, &ops, NULL);
	return made != freed;
}

static void *take(size_t bytes)
{
	void *memory = NULL;
	assert_int_equal(sp_buffers_take(&buffers, &ops, NULL, bytes, &memory), SP_OK);
	assert_non_null(memory);
	memset(memory, 1, bytes);
	return memory;
}

static void a_buffer_that_was_given_back_is_used_again(void **state)
{
	(void)state;
	void *first = take(1000);
	sp_buffers_give(&buffers, first);
	assert_ptr_equal(take(900), first);
	assert_int_equal(made, 1);
}

static void buffers_that_are_taken_are_left_alone(void **state)
{
	(void)state;
	void *a = take(100), *b = take(100);
	assert_ptr_not_equal(a, b);
	sp_buffers_give(&buffers, a);
	assert_ptr_equal(take(100), a);
	assert_int_equal(made, 2);
}

static void the_smallest_that_fits_is_taken(void **state)
{
	(void)state;
	void *large = take(1000), *small = take(10);
	sp_buffers_give(&buffers, large);
	sp_buffers_give(&buffers, small);
	assert_ptr_equal(take(10), small);
	assert_ptr_equal(take(11), large);
}

static void one_that_is_too_small_is_replaced(void **state)
{
	(void)state;
	sp_buffers_give(&buffers, take(10));
	take(20);
	assert_int_equal(made - freed, 1);
}

static void a_failed_replacement_keeps_the_old_one(void **state)
{
	(void)state;
	void *memory = NULL, *old = take(10);
	sp_buffers_give(&buffers, old);
	refuse = 1;
	assert_int_equal(sp_buffers_take(&buffers, &ops, NULL, 20, &memory), SP_ERR_MEMORY);
	assert_ptr_equal(take(10), old);
}

static void more_transfers_than_there_are_places_is_an_error(void **state)
{
	(void)state;
	void *memory = NULL;
	for (int i = 0; i < SP_BUFFERS; i++)
		take(1);
	sp_log_hold();
	assert_int_equal(sp_buffers_take(&buffers, &ops, NULL, 1, &memory), SP_ERR_MEMORY);
	assert_null(memory);
	sp_log_release();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_buffer_that_was_given_back_is_used_again, start, stop),
		cmocka_unit_test_setup_teardown(buffers_that_are_taken_are_left_alone, start, stop),
		cmocka_unit_test_setup_teardown(the_smallest_that_fits_is_taken, start, stop),
		cmocka_unit_test_setup_teardown(one_that_is_too_small_is_replaced, start, stop),
		cmocka_unit_test_setup_teardown(a_failed_replacement_keeps_the_old_one, start, stop),
		cmocka_unit_test_setup_teardown(more_transfers_than_there_are_places_is_an_error, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
