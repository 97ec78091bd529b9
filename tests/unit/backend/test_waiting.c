/* What the main thread waits for, as another thread reads it. */
#include "config.h"

#include "support.h"

#include "backend/waiting.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static void nothing_is_waited_for_outside(void **state)
{
	struct sp_waiting w;
	(void)state;
	assert_int_equal(sp_waiting_now(&w), 0);
	sp_waiting_begin(&(struct sp_waiting){ "barrier", "world", NULL, 4, -1, -1 });
	const uint64_t first = sp_waiting_now(&w);
	assert_int_not_equal(first, 0);
	assert_int_equal(sp_waiting_now(&w), first);
	assert_string_equal(w.operation, "barrier");
	sp_waiting_end();
	assert_int_equal(sp_waiting_now(&w), 0);
	sp_waiting_begin(&(struct sp_waiting){ "barrier", "world", NULL, 4, -1, -1 });
	assert_int_not_equal(sp_waiting_now(&w), first);
	sp_waiting_end();
}

static void a_text_names_operation_group_and_ranks(void **state)
{
	static const int32_t four[] = { 1, 3, 5, 7 };
	const struct {
		struct sp_waiting w;
		const char *text;
	} cases[] = {
		{ { "exchange", "sequence", four, 4, 3, 7 }, "exchange of group sequence, to rank 3, from rank 7" },
		{ { "exchange", "pipeline", four, 4, -1, 5 }, "exchange of group pipeline, from rank 5" },
		{ { "exchange", "pipeline", four, 4, 0, -1 }, "exchange of group pipeline, to rank 0" },
		{ { "all_reduce", "tensor", four, 4, -1, -1 }, "all_reduce of group tensor (ranks 1, 3, 5, 7)" },
		{ { "barrier", "world", NULL, 2, -1, -1 }, "barrier of group world (ranks 0, 1)" },
		{ { "split", "world", NULL, 9, -1, -1 }, "split of group world (ranks 0, 1, 2, 3, 4, 5, 6, 7, ... of 9)" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[128], little[20];
		sp_waiting_text(&cases[i].w, text, sizeof text);
		assert_string_equal(text, cases[i].text);
		sp_waiting_text(&cases[i].w, little, sizeof little);
		assert_memory_equal(little, cases[i].text, sizeof little - 1);
	}
}

enum { MANY = 200000 };
static atomic_int over;

/* One operation after the other, each with its own number in all three places. */
static void *work(void *unused)
{
	(void)unused;
	for (int i = 0; !atomic_load(&over); i = (i + 1) % 1000) {
		sp_waiting_begin(&(struct sp_waiting){ "exchange", "group", NULL, i, i, i });
		sp_waiting_end();
	}
	return NULL;
}

static void a_reader_never_mixes_two_operations(void **state)
{
	pthread_t thread;
	int seen = 0, mixed = 0;
	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
	uint64_t last = 0;
	const double end = sp_clock() + 2; /* on one core few of them can be seen */
	while (seen < MANY && sp_clock() < end) {
		struct sp_waiting w;
		const uint64_t number = sp_waiting_now(&w);
		if (!number || number == last)
			continue;
		last = number;
		seen++;
		mixed += w.size != w.to || w.to != w.from;
	}
	atomic_store(&over, 1);
	pthread_join(thread, NULL);
	assert_true(seen > 0);
	assert_int_equal(mixed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_waited_for_outside),
		cmocka_unit_test(a_text_names_operation_group_and_ranks),
		cmocka_unit_test(a_reader_never_mixes_two_operations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
