/* A launcher is told from the environment, and a shell inside an allocation is none. */
#include "config.h"

#include "support.h"

#include "backend/comm.h"
#include "backend/launcher.h"

#include <stdlib.h>
#include <string.h>

static const char *const variables[] = {
	"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE", "PMI_RANK", "PMIX_RANK", "SLURM_NTASKS", "SLURM_PROCID",
	"SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID",
};

static int clear(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
		unsetenv(variables[i]);
	return 0;
}

static void nothing_in_the_environment_is_no_launcher(void **state)
{
	(void)state;
	struct sp_launcher by = sp_launcher_find();
	assert_null(by.name);
	assert_int_equal(by.rank, -1);
}

static void mpirun_says_how_many_and_which(void **state)
{
	(void)state;
	setenv("OMPI_COMM_WORLD_SIZE", "4", 1);
	setenv("OMPI_COMM_WORLD_RANK", "3", 1);
	struct sp_launcher by = sp_launcher_find();
	assert_non_null(by.name);
	assert_int_equal(by.ranks, 4);
	assert_int_equal(by.rank, 3);
}

static void a_batch_script_is_no_launcher(void **state)
{
	(void)state;
	setenv("SLURM_JOB_ID", "17", 1);
	setenv("SLURM_NTASKS", "8", 1);
	setenv("SLURM_PROCID", "0", 1);
	assert_null(sp_launcher_find().name);
}

static void srun_is_a_launcher(void **state)
{
	(void)state;
	setenv("SLURM_NTASKS", "8", 1);
	setenv("SLURM_STEP_NUM_TASKS", "2", 1);
	setenv("SLURM_PROCID", "1", 1);
	assert_int_equal(sp_launcher_find().ranks, 2);
	assert_int_equal(sp_launcher_find().rank, 1);
}

static void mpirun_inside_a_slurm_step_is_believed_first(void **state)
{
	(void)state;
	setenv("SLURM_STEP_NUM_TASKS", "2", 1);
	setenv("OMPI_COMM_WORLD_SIZE", "6", 1);
	assert_int_equal(sp_launcher_find().ranks, 6);
}

static void nonsense_is_no_number(void **state)
{
	(void)state;
	setenv("OMPI_COMM_WORLD_SIZE", "four", 1);
	setenv("PMI_SIZE", "-3", 1);
	setenv("PMIX_RANK", "", 1);
	assert_null(sp_launcher_find().name);
}

static void alone_auto_is_self(void **state)
{
	(void)state;
	struct sp_comm *comm = NULL;
	assert_int_equal(sp_comm_open("auto", 1, &comm), SP_OK);
	assert_string_equal(sp_comm_name(comm), "self");
	sp_comm_close(comm);
}

static void one_rank_of_a_launcher_is_self(void **state)
{
	(void)state;
	struct sp_comm *comm = NULL;
	setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
	assert_int_equal(sp_comm_open("auto", 1, &comm), SP_OK);
	assert_string_equal(sp_comm_name(comm), "self");
	sp_comm_close(comm);
}

static void alone_with_a_split_sequence_is_a_wrong_setting(void **state)
{
	(void)state;
	struct sp_comm *comm = NULL;
	assert_int_equal(sp_comm_open("auto", 2, &comm), SP_ERR_SETTING);
	assert_int_equal(sp_comm_open("self", 2, &comm), SP_ERR_SETTING);
	assert_null(comm);
}

static void self_under_a_launcher_of_several_is_refused(void **state)
{
	(void)state;
	struct sp_comm *comm = NULL;
	setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
	assert_int_equal(sp_comm_open("self", 1, &comm), SP_ERR_SETTING);
	assert_null(comm);
}

static void a_compute_module_or_an_unknown_one_is_refused(void **state)
{
	(void)state;
	struct sp_comm *comm = NULL;
	assert_int_not_equal(sp_comm_open("cpu", 1, &comm), SP_OK);
	assert_int_equal(sp_comm_open("pigeons", 1, &comm), SP_ERR_ABSENT);
	assert_null(comm);
}

#define TEST(name) cmocka_unit_test_setup(name, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_in_the_environment_is_no_launcher),
		TEST(mpirun_says_how_many_and_which),
		TEST(a_batch_script_is_no_launcher),
		TEST(srun_is_a_launcher),
		TEST(mpirun_inside_a_slurm_step_is_believed_first),
		TEST(nonsense_is_no_number),
		TEST(alone_auto_is_self),
		TEST(one_rank_of_a_launcher_is_self),
		TEST(alone_with_a_split_sequence_is_a_wrong_setting),
		TEST(self_under_a_launcher_of_several_is_refused),
		TEST(a_compute_module_or_an_unknown_one_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
