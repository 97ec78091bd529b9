/* Sizes, status texts, distances of words and the clock: the small things of base. */
#include "config.h"

#include "support.h"

#include "base/clock.h"
#include "base/cut.h"
#include "base/size.h"
#include "base/words.h"

#include <seqpar/status.h>
#include <string.h>
#include <time.h>

static void products_and_sums_that_do_not_fit_are_told(void **state)
{
	size_t x = 0;
	(void)state;
	assert_int_equal(sp_size_mul(SIZE_MAX / 3, 3, &x), 0);
	assert_true(x == SIZE_MAX / 3 * 3);
	assert_int_not_equal(sp_size_mul(SIZE_MAX / 3 + 1, 3, &x), 0);
	assert_int_not_equal(sp_size_mul((size_t)1 << 32, (size_t)1 << 32, &x), 0);
	assert_int_equal(sp_size_mul(0, SIZE_MAX, &x), 0);
	assert_int_equal(x, 0);
	assert_int_equal(sp_size_add(SIZE_MAX - 5, 5, &x), 0);
	assert_true(x == SIZE_MAX);
	assert_int_not_equal(sp_size_add(SIZE_MAX - 5, 6, &x), 0);
}

static void assert_cut(int64_t batch, int64_t chunk, int64_t rows)
{
	const struct sp_cut cut = sp_cut_make(batch, chunk, rows);
	int64_t next = 0;
	assert_true(cut.samples * cut.tokens <= rows);
	for (int64_t i = 0; i < cut.pieces; i++) {
		const struct sp_piece p = sp_cut_piece(&cut, i);
		assert_int_equal(p.row, next);
		assert_int_equal(p.row, p.sample * chunk + p.token);
		assert_int_equal(p.rows, p.samples * p.tokens);
		assert_true(p.rows > 0 && p.samples <= cut.samples && p.tokens <= cut.tokens);
		assert_true(p.tokens == chunk || (p.samples == 1 && p.token + p.tokens <= chunk));
		next += p.rows;
	}
	assert_int_equal(next, batch * chunk);
	/* not more pieces than it takes */
	assert_int_equal(cut.pieces, rows >= chunk ? sp_ceil_div(batch, sp_min(rows / chunk, batch)) : batch * sp_ceil_div(chunk, rows));
}

static void pieces_of_a_cut_hold_every_row_once(void **state)
{
	(void)state;
	for (int64_t batch = 1; batch <= 4; batch++)
		for (int64_t chunk = 1; chunk <= 12; chunk++)
			for (int64_t rows = 1; rows <= batch * chunk + 2; rows++)
				assert_cut(batch, chunk, rows);
}

static void rounding_up_reaches_the_next_multiple(void **state)
{
	(void)state;
	for (int64_t multiple = 1; multiple < 20; multiple++)
		for (int64_t a = 0; a < 100; a++) {
			const int64_t up = sp_round_up(a, multiple);
			assert_int_equal(up % multiple, 0);
			assert_true(up >= a && up - a < multiple);
			assert_int_equal(sp_ceil_div(a, multiple), up / multiple);
		}
	assert_true(sp_ceil_div(INT64_C(1) << 40, 3) == 366503875926);
	assert_true(sp_min(-1, 2) == -1 && sp_min(2, -1) == -1 && sp_max(-1, 2) == 2 && sp_max(2, -1) == 2);
}

static void every_status_has_words_of_its_own(void **state)
{
	(void)state;
	for (int a = SP_OK; a >= SP_ERR_STOPPED; a--) {
		assert_true(strlen(sp_status_text(a)) > 0);
		for (int b = SP_OK; b > a; b--)
			assert_string_not_equal(sp_status_text(a), sp_status_text(b));
	}
	assert_non_null(sp_status_text(-1000));
	assert_non_null(sp_status_text(1000));
}

static void distance_counts_edits_and_swaps(void **state)
{
	static const struct {
		const char *a, *b;
		int distance;
	} pairs[] = {
		{ "", "", 0 },           { "", "abc", 3 },        { "heads", "heads", 0 }, { "heads", "haeds", 1 },
		{ "kitten", "sitting", 3 }, { "heads", "head", 1 }, { "heads", "hea", 2 },   { "lr", "min_lr", 4 },
		{ "a", "b", 1 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		assert_int_equal(sp_words_distance(pairs[i].a, pairs[i].b), pairs[i].distance);
		assert_int_equal(sp_words_distance(pairs[i].b, pairs[i].a), pairs[i].distance);
	}
	char longer[200], other[200];
	memset(longer, 'x', 199);
	longer[199] = 0;
	memcpy(other, longer, sizeof other);
	other[100] = 'y';
	assert_int_equal(sp_words_distance(longer, other), 0); /* beyond 63 bytes nothing is compared */
	other[62] = 'y';
	assert_int_equal(sp_words_distance(longer, other), 1);
}

static void the_clock_never_goes_back_and_counts_seconds(void **state)
{
	const struct timespec pause = { 0, 20000000 };
	const double begin = sp_clock();
	double last = begin;
	(void)state;
	for (int i = 0; i < 100000; i++) {
		const double now = sp_clock();
		assert_true(now >= last);
		last = now;
	}
	assert_true(last > begin);
	const double before = sp_clock();
	nanosleep(&pause, NULL);
	const double slept = sp_clock() - before;
	assert_true(slept >= 0.0199 && slept < 20); /* a busy machine may wake it late */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_and_sums_that_do_not_fit_are_told),
		cmocka_unit_test(pieces_of_a_cut_hold_every_row_once),
		cmocka_unit_test(rounding_up_reaches_the_next_multiple),
		cmocka_unit_test(every_status_has_words_of_its_own),
		cmocka_unit_test(distance_counts_edits_and_swaps),
		cmocka_unit_test(the_clock_never_goes_back_and_counts_seconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
