/* A group that cannot be made leaves nothing behind: on a communication module that fails where a test says. */
#include "config.h"

#include "support.h"

#include "backend/comm_inside.h"
#include "base/log.h"

#include <stdlib.h>

static int size; /* of the new group */
static int opened, closed;
static int split_fails, place_fails, sum_fails;

static int fake_split(void *comm, int colour, int key, void **part)
{
	(void)comm, (void)colour, (void)key;
	if (split_fails)
		return SP_ERR_COMM;
	opened++;
	*part = &opened;
	return SP_OK;
}

static int fake_place(void *comm, struct sp_place *place)
{
	(void)comm;
	*place = (struct sp_place){ .size = size, .local_size = size };
	return place_fails ? SP_ERR_COMM : SP_OK;
}

static int fake_sum(void *comm, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op)
{
	(void)comm, (void)data, (void)count, (void)dtype, (void)op;
	return sum_fails ? SP_ERR_COMM : SP_OK;
}

static void fake_close(void *comm)
{
	closed += comm != NULL;
}

static const struct sp_comm_ops ops = { .split = fake_split, .place = fake_place, .all_reduce = fake_sum, .close = fake_close };

/* Splits a group of `ranks` into one of `members`. */
static int split(int ranks, int members, struct sp_comm **part)
{
	struct sp_comm world = { .name = "fake", .ops = &ops, .group = { .what = "world", .place = { .size = ranks } } };
	size = members;
	opened = closed = 0;
	sp_log_level(SP_LOG_NONE);
	const int status = sp_comm_split(&world, 0, 0, "part", part);
	sp_log_level(SP_LOG_WARNING);
	return status;
}

static int setup(void **state)
{
	(void)state;
	split_fails = place_fails = sum_fails = 0;
	return 0;
}

static void a_group_is_open_until_it_is_closed(void **state)
{
	struct sp_comm *part = NULL;
	(void)state;
	assert_int_equal(split(2, 2, &part), SP_OK);
	assert_int_equal(opened, 1);
	assert_int_equal(closed, 0);
	sp_comm_close(part);
	assert_int_equal(closed, 1);
}

static void what_was_opened_of_a_group_of_one_is_closed_after_an_error(void **state)
{
	int *const faults[] = { &split_fails, &place_fails, &sum_fails };
	struct sp_comm *part;
	for (int i = 0; i < 3; i++) {
		setup(state);
		*faults[i] = 1;
		part = NULL;
		assert_int_equal(split(1, 1, &part), SP_ERR_COMM);
		assert_null(part);
		assert_int_equal(closed, opened);
		assert_int_equal(opened, i > 0);
	}
}

/* Its rank is alone: nobody is waited for. */
static void a_group_of_one_among_others_is_closed_too(void **state)
{
	struct sp_comm *part = NULL;
	(void)state;
	sum_fails = 1;
	assert_int_equal(split(4, 1, &part), SP_ERR_COMM);
	assert_int_equal(closed, 1);
}

/* Closing is collective, and after an error the others need not come. */
static void a_group_of_several_is_left_alone_after_an_error(void **state)
{
	struct sp_comm *part = NULL;
	(void)state;
	sum_fails = 1;
	assert_int_equal(split(4, 2, &part), SP_ERR_COMM);
	assert_int_equal(opened, 1);
	assert_int_equal(closed, 0);
	setup(state);
	place_fails = 1;
	assert_int_equal(split(4, 2, &part), SP_ERR_COMM);
	assert_int_equal(closed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_group_is_open_until_it_is_closed, setup),
		cmocka_unit_test_setup(what_was_opened_of_a_group_of_one_is_closed_after_an_error, setup),
		cmocka_unit_test_setup(a_group_of_one_among_others_is_closed_too, setup),
		cmocka_unit_test_setup(a_group_of_several_is_left_alone_after_an_error, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
