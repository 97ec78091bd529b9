/* Memory that other ranks read in place: what they see, when they see it, and what happens where it cannot be had. */
#include "config.h"

#include "support.h"

#include "base/log.h"
#include "ranks/ranks.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PAGE = SP_WINDOW_PAGE };

static struct test_ranks ranks;

static unsigned char mark(int rank, uint64_t round, size_t at)
{
	return (unsigned char)((size_t)rank * 31 + (size_t)round * 7 + at % 251);
}

static void write_marks(unsigned char *memory, uint64_t round, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		memory[i] = mark(ranks.rank, round, i);
}

static int wrong_marks(const unsigned char *memory, int rank, uint64_t round, size_t bytes)
{
	int bad = 0;
	for (size_t i = 0; i < bytes; i++)
		bad += memory[i] != mark(rank, round, i);
	return bad;
}

/* Whole pages inside of a larger block whose edges belong to others. */
struct block {
	unsigned char *all, *memory;
	size_t bytes;
};

static struct block make_block(size_t pages)
{
	struct block b = { malloc((pages + 2) * PAGE), NULL, pages * PAGE };
	assert_non_null(b.all);
	memset(b.all, 0x5a, b.bytes + 2 * PAGE);
	b.memory = b.all + PAGE - (uintptr_t)b.all % PAGE;
	return b;
}

static int edges_differ(const struct block *b)
{
	int bad = 0;
	for (size_t i = 0; i < b->bytes + 2 * PAGE; i++)
		if (b->all + i < b->memory || b->all + i >= b->memory + b->bytes)
			bad += b->all[i] != 0x5a;
	return bad;
}

static int opens(const struct block *b, struct sp_window **window)
{
	return sp_comm_window_open(ranks.world, ranks.compute, b->memory, b->bytes, window) == SP_OK;
}

/* Everyone writes, says so, reads what all others have written, and says so before anyone writes again. */
static int turns(struct sp_window *w, const struct block *b, uint64_t rounds)
{
	enum { WRITTEN = 0, READ = SP_WINDOW_COUNTERS - 1 };
	int bad = 0;
	for (uint64_t n = 1; n <= rounds; n++) {
		for (int r = 0; r < ranks.size; r++)
			bad += sp_comm_window_await(w, r, READ, n - 1) != SP_OK;
		write_marks(b->memory, n, b->bytes);
		sp_comm_window_post(w, WRITTEN, n, b->bytes);
		for (int hop = 0; hop < ranks.size; hop++) {
			const int r = (ranks.rank + hop) % ranks.size;
			bad += sp_comm_window_await(w, r, WRITTEN, n) != SP_OK;
			bad += wrong_marks(sp_comm_window_of(w, r), r, n, b->bytes);
		}
		sp_comm_window_post(w, READ, n, 0);
	}
	return bad;
}

static void what_a_rank_has_written_is_read_by_all(void **state)
{
	(void)state;
	const size_t pages[] = { 1, 2, 37, 600 };
	int bad = 0;
	for (int i = 0; i < 4; i++) {
		struct block b = make_block(pages[i]);
		struct sp_window *w = NULL;
		bad += !opens(&b, &w) || !w || turns(w, &b, i == 0 ? 2000 : 20);
		sp_comm_window_close(w);
		bad += edges_differ(&b);
		free(b.all);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static void several_windows_may_be_open_together(void **state)
{
	(void)state;
	enum { MANY = 5 };
	struct block b[MANY];
	struct sp_window *w[MANY] = { 0 };
	int bad = 0;
	for (int i = 0; i < MANY; i++) {
		b[i] = make_block((size_t)i + 1);
		bad += !opens(&b[i], &w[i]) || !w[i];
	}
	for (int i = MANY - 1; i >= 0 && !bad; i--)
		bad += turns(w[i], &b[i], 50);
	for (int i = 0; i < MANY; i++) {
		sp_comm_window_close(w[i]);
		free(b[i].all);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Pages of this process that are files or shared. */
static long shared_pages(void)
{
	long all = 0, resident = 0, shared = -1;
	FILE *file = fopen("/proc/self/statm", "r");
	if (file && fscanf(file, "%ld %ld %ld", &all, &resident, &shared) != 3)
		shared = -1;
	if (file)
		fclose(file);
	return shared;
}

static void what_was_left_is_not_resident_and_can_be_read_again(void **state)
{
	(void)state;
	enum { PAGES = 2000 };
	struct block b = make_block(PAGES);
	struct sp_window *w = NULL;
	const int next = (ranks.rank + 1) % ranks.size;
	int bad = !opens(&b, &w) || !w;
	write_marks(b.memory, 1, b.bytes);
	bad += sp_comm_barrier(ranks.world) != SP_OK;
	bad += wrong_marks(sp_comm_window_of(w, next), next, 1, b.bytes);
	const long before = shared_pages();
	sp_comm_window_leave(w, next);
	bad += ranks.size > 1 && before - shared_pages() < PAGES / 2;
	bad += wrong_marks(sp_comm_window_of(w, next), next, 1, b.bytes);
	sp_comm_window_close(w);
	free(b.all);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Where a rank has gone on, others still read what it left. */
static void closing_takes_nothing_from_who_still_reads(void **state)
{
	(void)state;
	struct block b = make_block(3);
	struct sp_window *w = NULL;
	int bad = !opens(&b, &w) || !w;
	write_marks(b.memory, 1, b.bytes);
	bad += sp_comm_barrier(ranks.world) != SP_OK;
	if (ranks.rank == 0) {
		sp_comm_window_close(w);
		memset(b.memory, 0xee, b.bytes);
	}
	bad += sp_comm_barrier(ranks.world) != SP_OK;
	if (ranks.rank > 0) {
		bad += wrong_marks(sp_comm_window_of(w, 0), 0, 1, b.bytes);
		sp_comm_window_close(w);
	}
	bad += edges_differ(&b);
	free(b.all);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void who_waits_for_a_late_rank_counts_it_as_exposed(void **state)
{
	(void)state;
	struct block b = make_block(1);
	struct sp_window *w = NULL;
	const struct sp_comm_counters before = sp_comm_counters(ranks.world);
	int bad = !opens(&b, &w) || !w;
	bad += sp_comm_barrier(ranks.world) != SP_OK;
	const double exposed = sp_comm_counters(ranks.world).exposed;
	if (ranks.rank == 0)
		usleep(50000);
	if (w)
		sp_comm_window_post(w, 3, 7, 100);
	bad += w && sp_comm_window_await(w, 0, 3, 5) != SP_OK; /* more than was asked for will do */
	const struct sp_comm_counters after = sp_comm_counters(ranks.world);
	bad += ranks.rank > 0 && after.exposed - exposed < 0.02;
	bad += after.bytes != before.bytes + 100;
	sp_comm_window_close(w);
	free(b.all);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Nothing has changed for who asked. */
static int no_window(void)
{
	struct block b = make_block(2);
	struct sp_window *w = NULL;
	write_marks(b.memory, 9, b.bytes);
	int bad = !opens(&b, &w) || w != NULL;
	sp_comm_window_close(w);
	b.memory[0] = 1; /* can be written */
	bad += edges_differ(&b);
	free(b.all);
	return bad;
}

static void ranks_on_two_machines_get_no_window(void **state)
{
	(void)state;
	setenv("SEQPAR_MPI_NODES", "2", 1);
	const int bad = ranks.size > 1 && no_window();
	unsetenv("SEQPAR_MPI_NODES");
	assert_false(test_ranks_agree(&ranks, bad));
}

static void one_rank_that_wants_none_leaves_none_to_all(void **state)
{
	(void)state;
	if (ranks.rank == ranks.size - 1)
		setenv("SEQPAR_MPI_WINDOWS", "no", 1);
	const int bad = no_window();
	unsetenv("SEQPAR_MPI_WINDOWS");
	assert_false(test_ranks_agree(&ranks, bad));
}

/* A limit stands for a machine that has none left. */
static void memory_that_cannot_be_had_leaves_messages(void **state)
{
	(void)state;
	struct rlimit before, none;
	getrlimit(RLIMIT_FSIZE, &before);
	none = before;
	none.rlim_cur = PAGE;
	signal(SIGXFSZ, SIG_IGN);
	sp_log_level(SP_LOG_ERROR);
	if (ranks.rank == 0)
		setrlimit(RLIMIT_FSIZE, &none);
	const int bad = no_window();
	setrlimit(RLIMIT_FSIZE, &before);
	sp_log_level(SP_LOG_WARNING);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void pieces_of_pages_are_refused(void **state)
{
	(void)state;
	struct block b = make_block(2);
	struct sp_window *w = NULL;
	int bad = sp_comm_window_open(ranks.world, ranks.compute, b.memory + 64, PAGE, &w) != SP_ERR_ARGUMENT || w;
	bad += sp_comm_window_open(ranks.world, ranks.compute, b.memory, PAGE + 8, &w) != SP_ERR_ARGUMENT || w;
	bad += sp_comm_window_open(ranks.world, ranks.compute, b.memory, 0, &w) != SP_ERR_ARGUMENT || w;
	sp_comm_window_close(NULL);
	free(b.all);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void how_messages_travel_is_said(void **state)
{
	(void)state;
	char text[256] = "", elsewhere[256] = "";
	int bad = sp_comm_describe(ranks.world, text, sizeof text) != SP_OK;
	setenv("SEQPAR_MPI_NODES", "2", 1);
	bad += sp_comm_describe(ranks.world, elsewhere, sizeof elsewhere) != SP_OK;
	unsetenv("SEQPAR_MPI_NODES");
	if (ranks.size == 1)
		bad += text[0] != '\0';
	else
		bad += !strstr(text, "in place") || !strstr(text, "background") == !strstr(text, "when it is called") ||
		       !strstr(elsewhere, "sent by messages");
	assert_false(test_ranks_agree(&ranks, bad));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_rank_has_written_is_read_by_all),
		cmocka_unit_test(several_windows_may_be_open_together),
		cmocka_unit_test(what_was_left_is_not_resident_and_can_be_read_again),
		cmocka_unit_test(closing_takes_nothing_from_who_still_reads),
		cmocka_unit_test(who_waits_for_a_late_rank_counts_it_as_exposed),
		cmocka_unit_test(ranks_on_two_machines_get_no_window),
		cmocka_unit_test(one_rank_that_wants_none_leaves_none_to_all),
		cmocka_unit_test(memory_that_cannot_be_had_leaves_messages),
		cmocka_unit_test(pieces_of_pages_are_refused),
		cmocka_unit_test(how_messages_travel_is_said),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	test_ranks_close(&ranks);
	return failed;
}
