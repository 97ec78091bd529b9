/* The directory of checkpoints: which are listed, what publishing changes, and what is never removed. */
#include "config.h"

#include "support.h"

#include "checkpoint/directory.h"
#include "unit/data/scratch.h"

#include <seqpar/status.h>
#include <sys/file.h>
#include <fcntl.h>

static char why[512];

static int make(void **state)
{
	(void)state;
	scratch_make();
	return 0;
}

static int clear(void **state)
{
	(void)state;
	scratch_remove();
	return 0;
}

static int exists(const char *name)
{
	return access(scratch_path(name), F_OK) == 0;
}

static int save(int64_t step, int64_t keep)
{
	struct sp_manifest m = { .count = 0 };
	int status = sp_checkpoint_begin(scratch, step, why, sizeof why);
	if (!status)
		status = sp_checkpoint_begin(scratch, step, why, sizeof why);
	if (!status)
		status = sp_checkpoint_put(scratch, step, SP_CHECKPOINT_MODEL, "weights", 7, &m, why, sizeof why);
	if (!status)
		status = sp_checkpoint_put(scratch, step, SP_CHECKPOINT_RECORD, "{}", 2, &m, why, sizeof why);
	return status ? status : sp_checkpoint_publish(scratch, step, &m, keep, why, sizeof why);
}

static void holds(int count, const int64_t *step)
{
	struct sp_checkpoint_list list;
	assert_int_equal(sp_checkpoint_list(scratch, &list, why, sizeof why), SP_OK);
	assert_int_equal(list.count, count);
	for (int i = 0; i < count; i++)
		assert_int_equal(list.step[i], step[i]);
	free(list.step);
}

static void names_and_steps_are_one_to_one(void **state)
{
	(void)state;
	static const int64_t steps[] = { 0, 1, 99999999, 100000000, 1000000000000 };
	static const char *const others[] = { "step-1",      "step-000000001", "step-00000001.part", "step--0000001",
		                                  "step-0000000x", "latest",         "",                   "step-00000001 " };
	char name[SP_CHECKPOINT_NAME];
	for (int i = 0; i < 5; i++) {
		sp_checkpoint_name(steps[i], name);
		assert_int_equal(sp_checkpoint_step(name), steps[i]);
	}
	sp_checkpoint_name(1000, name);
	assert_string_equal(name, "step-00001000");
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_int_equal(sp_checkpoint_step(others[i]), -1);
}

static void published_ones_are_listed_newest_first_and_the_oldest_go(void **state)
{
	(void)state;
	size_t n;
	for (int64_t step = 99999998; step < 100000003; step++)
		assert_int_equal(save(step, 3), SP_OK);
	holds(3, (const int64_t[]){ 100000002, 100000001, 100000000 });
	char *latest = (char *)scratch_read("latest", &n);
	latest[n] = 0;
	assert_string_equal(latest, "step-100000002\n");
	free(latest);
	assert_int_equal(sp_manifest_verify(scratch_path("step-100000002"), why, sizeof why), SP_OK);
	assert_false(exists("step-100000002.part"));
	assert_int_equal(save(5, 1), SP_OK); /* what has just been written stays, whatever its number */
	holds(2, (const int64_t[]){ 100000002, 5 });
}

static void damaged_and_foreign_directories_stay(void **state)
{
	(void)state;
	for (int64_t step = 1; step <= 3; step++)
		assert_int_equal(save(step, 9), SP_OK);
	scratch_write("step-00000001/model.safetensors", "weight", 6);
	scratch_write("step-00000002/notes.txt", "mine", 4);
	mkdir(scratch_path("step-00000000"), 0777);
	mkdir(scratch_path("step-7"), 0777);
	scratch_write("step-00000004", "a file", 6);
	for (int64_t step = 5; step <= 6; step++)
		assert_int_equal(save(step, 1), SP_OK);
	holds(4, (const int64_t[]){ 6, 2, 1, 0 });
	assert_true(exists("step-00000002/notes.txt") && exists("step-7") && exists("step-00000004"));
}

static void a_damaged_one_makes_way_and_a_whole_one_does_not(void **state)
{
	(void)state;
	assert_int_equal(save(7, 3), SP_OK);
	assert_int_equal(save(7, 3), SP_ERR_IO);
	assert_non_null(strstr(why, "is there already"));
	sp_checkpoint_discard(scratch, 7);
	assert_false(exists("step-00000007.part"));
	for (int i = 0; i < 2; i++) {
		scratch_write("step-00000007/trainer.json", "[]", 2);
		assert_int_equal(save(7, 3), SP_OK);
		assert_int_equal(sp_manifest_verify(scratch_path("step-00000007"), why, sizeof why), SP_OK);
	}
	assert_true(exists("step-00000007.damaged/trainer.json") && exists("step-00000007.damaged-2/trainer.json"));
}

static void claiming_makes_the_directory_and_sweeps_what_a_killed_run_left(void **state)
{
	(void)state;
	int claim;
	scratch_write("keep.part", "mine", 4);
	mkdir(scratch_path("step-00000001.part"), 0777);
	scratch_write("step-00000001.part/model.safetensors", "half", 4);
	mkdir(scratch_path("step-00000002.gone"), 0777);
	mkdir(scratch_path("step-00000003.part"), 0777);
	scratch_write("step-00000003.part/thesis.tex", "mine", 4);
	mkdir(scratch_path("step-00000004.damaged"), 0777);
	assert_int_equal(sp_checkpoint_claim(scratch, &claim, why, sizeof why), SP_OK);
	close(claim);
	assert_false(exists("step-00000001.part") || exists("step-00000002.gone"));
	assert_true(exists("keep.part") && exists("step-00000003.part/thesis.tex") && exists("step-00000004.damaged"));
	assert_int_equal(sp_checkpoint_claim(scratch_path("a/b/c/"), &claim, why, sizeof why), SP_OK);
	close(claim);
	assert_true(exists("a/b/c"));
	assert_int_equal(sp_checkpoint_claim(scratch_path("keep.part/x"), &claim, why, sizeof why), SP_ERR_IO);
	assert_non_null(strstr(why, "keep.part"));
}

static void one_claim_at_a_time(void **state)
{
	(void)state;
	int claim, other = open(scratch, O_RDONLY | O_DIRECTORY);
	assert_int_equal(sp_checkpoint_claim(scratch, &claim, why, sizeof why), SP_OK);
	assert_int_not_equal(flock(other, LOCK_EX | LOCK_NB), 0);
	close(claim);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_steps_are_one_to_one),
		cmocka_unit_test_setup_teardown(published_ones_are_listed_newest_first_and_the_oldest_go, make, clear),
		cmocka_unit_test_setup_teardown(damaged_and_foreign_directories_stay, make, clear),
		cmocka_unit_test_setup_teardown(a_damaged_one_makes_way_and_a_whole_one_does_not, make, clear),
		cmocka_unit_test_setup_teardown(claiming_makes_the_directory_and_sweeps_what_a_killed_run_left, make, clear),
		cmocka_unit_test_setup_teardown(one_claim_at_a_time, make, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
