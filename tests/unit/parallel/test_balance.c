/* Cuts of a sequence by work: against every way to cut it, with room, padding and more ranks than tokens. */
#include "config.h"

#include "support.h"

#include "parallel/balance.h"
#include "parallel/shard.h"

#include <stdlib.h>

enum { LENGTH = 11, RANKS = 5, ROUNDS = 400 };

/* The least that the rank with most can have, of `ranks` from token `first` on; -1 if there is no room for all. */
static int64_t least(const int64_t *before, int64_t length, int64_t first, int ranks, int64_t most)
{
	int64_t best = -1;
	if (ranks == 0)
		return first == length ? 0 : -1;
	for (int64_t end = first; end <= length && end - first <= most; end++) {
		const int64_t own = before[end] - before[first], rest = least(before, length, end, ranks - 1, most);
		const int64_t worst = own > rest ? own : rest;
		if (rest >= 0 && (best < 0 || worst < best))
			best = worst;
	}
	return best;
}

/* Some tokens cost nothing, a few cost as much as all others. */
static void draw(int64_t *before, int64_t length)
{
	before[0] = 0;
	for (int64_t t = 0; t < length; t++)
		before[t + 1] = before[t] + (rand() % 3 ? rand() % 10 * (rand() % 4 ? 1 : 20) : 0);
}

static void check(const int64_t *before, int64_t length, int ranks, int64_t most)
{
	int64_t cut[RANKS + 1];
	const int64_t work = sp_balance_cut(before, length, ranks, most, cut);
	assert_int_equal(work, least(before, length, 0, ranks, most));
	assert_int_equal(work, sp_balance_most(before, ranks, cut));
	assert_int_equal(cut[0], 0);
	assert_int_equal(cut[ranks], length);
	for (int r = 0; r < ranks; r++) {
		assert_true(cut[r] <= cut[r + 1]);
		assert_true(cut[r + 1] - cut[r] <= most);
	}
}

static void no_other_cuts_give_the_busiest_rank_less(void **state)
{
	(void)state;
	srand(1234);
	for (int i = 0; i < ROUNDS; i++) {
		int64_t before[LENGTH + 1];
		const int64_t length = rand() % (LENGTH + 1);
		const int ranks = 1 + rand() % RANKS;
		const int64_t equal = (length + ranks - 1) / ranks;
		draw(before, length);
		check(before, length, ranks, equal + rand() % 4);
	}
}

static void without_slack_parts_are_of_equal_length(void **state)
{
	(void)state;
	const int64_t before[] = { 0, 100, 101, 102, 103, 104, 105 };
	int64_t cut[4];
	assert_int_equal(sp_balance_cut(before, 6, 3, 2, cut), 101);
	for (int r = 0; r <= 3; r++)
		assert_int_equal(cut[r], 2 * r);
}

static void tokens_that_cost_nothing_have_a_place(void **state)
{
	(void)state;
	const int64_t before[LENGTH + 1] = { 0 };
	int64_t cut[RANKS + 1];
	assert_int_equal(sp_balance_cut(before, LENGTH, RANKS, 3, cut), 0);
	assert_int_equal(cut[RANKS], LENGTH);
	assert_int_equal(sp_balance_cut(before, 0, RANKS, 3, cut), 0);
	assert_int_equal(cut[RANKS], 0);
}

/* What a real micro-batch costs: no product of these fits 64 bits. */
static void large_costs_do_not_overflow(void **state)
{
	(void)state;
	const int64_t large = INT64_C(1) << 60;
	const int64_t before[] = { 0, large, 2 * large, 3 * large, 4 * large };
	int64_t cut[3];
	assert_int_equal(sp_balance_cut(before, 4, 2, 4, cut), 2 * large);
	assert_int_equal(cut[1], 2);
}

static void room_is_the_equal_share_and_what_may_come_on_top(void **state)
{
	(void)state;
	for (int64_t length = 1; length < 130; length += 9)
		for (int ranks = 1; ranks < 10; ranks++)
			for (int64_t multiple = 1; multiple < 9; multiple += 3) {
				const int64_t equal = sp_shard_of(length, ranks, 0, multiple).chunk;
				const int64_t all = sp_shard_of(length, 1, 0, multiple).chunk;
				assert_int_equal(sp_shard_room(length, ranks, multiple, 0), equal);
				assert_int_equal(sp_shard_room(length, ranks, multiple, 1e3), all);
				assert_true(sp_shard_room(length, ranks, multiple, 0.25) >= equal);
				assert_true(sp_shard_room(length, ranks, multiple, 0.25) <= all);
				assert_int_equal(sp_shard_room(length, ranks, multiple, 0.25) % multiple, 0);
			}
	assert_int_equal(sp_shard_room(4096, 2, 1, 0.25), 2560);
}

static void a_rank_without_tokens_holds_padding(void **state)
{
	(void)state;
	const int64_t cut[] = { 0, 5, 5, 7 };
	const struct sp_shard some = sp_shard_cut(7, cut, 0, 4), none = sp_shard_cut(7, cut, 1, 4), last = sp_shard_cut(7, cut, 2, 1);
	assert_int_equal(some.first, 0);
	assert_int_equal(some.real, 5);
	assert_int_equal(some.chunk, 8);
	assert_int_equal(none.first, 5);
	assert_int_equal(none.real, 0);
	assert_int_equal(none.chunk, 4);
	assert_int_equal(last.first, 5);
	assert_int_equal(last.real, 2);
	assert_int_equal(last.chunk, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_other_cuts_give_the_busiest_rank_less),
		cmocka_unit_test(without_slack_parts_are_of_equal_length),
		cmocka_unit_test(tokens_that_cost_nothing_have_a_place),
		cmocka_unit_test(large_costs_do_not_overflow),
		cmocka_unit_test(room_is_the_equal_share_and_what_may_come_on_top),
		cmocka_unit_test(a_rank_without_tokens_holds_padding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
