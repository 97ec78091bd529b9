/* How the cpu backend sets itself up: threads, instruction set, and what it says and warns of. */
#include "config.h"

#include "backend/compute.h"
#include "base/log.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char text[1024], warning[2048];

/* Opens, keeps the description in `text` and `warning`, and returns the thread count, or the negative status. */
static int threads_of(int asked)
{
	const struct sp_compute_options options = { .threads = asked };
	struct sp_compute *c;
	int status = sp_compute_open("cpu", &options, &c);
	if (status != SP_OK)
		return status;
	status = sp_compute_threads(c);
	sp_compute_describe(c, text, sizeof text, warning, sizeof warning);
	sp_compute_close(c);
	return status;
}

static void forget_environment(void)
{
	static const char *const names[] = { "OMP_NUM_THREADS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS",
		                                 "MV2_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE", "SEQPAR_CPU_ISA",
		                                 "OPENBLAS_L2_SIZE", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unsetenv(names[i]);
}

static int setup(void **state)
{
	(void)state;
	forget_environment();
	return 0;
}

static void asked_threads_win_over_the_environment(void **state)
{
	(void)state;
	setenv("OMP_NUM_THREADS", "3", 1);
	assert_int_equal(threads_of(2), 2);
	assert_int_equal(threads_of(0), 3);
}

static void ranks_of_one_machine_share_its_cores(void **state)
{
	(void)state;
	const int alone = threads_of(0);
	assert_true(alone >= 1 && alone <= sysconf(_SC_NPROCESSORS_CONF));
	setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "100000", 1);
	assert_int_equal(threads_of(0), 1);
	unsetenv("OMPI_COMM_WORLD_LOCAL_SIZE");
	setenv("SLURM_STEP_TASKS_PER_NODE", "100000(x2),3", 1);
	assert_int_equal(threads_of(0), 1);
}

static void more_threads_than_cores_are_warned_of(void **state)
{
	(void)state;
	const int more = (int)sysconf(_SC_NPROCESSORS_CONF) + 1;
	assert_int_equal(threads_of(1), 1);
	assert_null(strstr(warning, "threads share"));
	assert_int_equal(threads_of(more), more);
	assert_non_null(strstr(warning, "threads share"));
}

static void an_instruction_set_can_be_forced(void **state)
{
	(void)state;
	setenv("SEQPAR_CPU_ISA", "generic", 1);
	assert_int_equal(threads_of(1), 1);
	assert_non_null(strstr(text, "kernels for generic"));
}

static void an_unknown_instruction_set_is_refused(void **state)
{
	(void)state;
	setenv("SEQPAR_CPU_ISA", "mmx", 1);
	assert_int_equal(threads_of(1), SP_ERR_UNUSABLE);
}

static void the_description_is_one_line_and_fits(void **state)
{
	(void)state;
	const struct sp_compute_options options = { .threads = 1 };
	struct sp_compute *c;
	char few[8] = "", none[1] = "";
	setenv("OPENBLAS_L2_SIZE", "262144", 1);
	assert_int_equal(sp_compute_open("cpu", &options, &c), SP_OK);
	sp_compute_describe(c, text, sizeof text, warning, sizeof warning);
	assert_null(strchr(text, '\n'));
	assert_null(strchr(warning, '\n'));
	assert_non_null(strstr(warning, "OPENBLAS_L2_SIZE=262144"));
	sp_compute_describe(c, few, sizeof few, none, sizeof none);
	assert_true(strlen(few) < sizeof few && none[0] == 0);
	sp_compute_close(c);
}

/* bf16 is kept but not computed with, which is said where it was asked for. */
static void activations_are_kept_in_fp32_or_bf16(void **state)
{
	(void)state;
	static const enum sp_dtype others[] = { SP_F16, SP_F64, SP_I32 };
	const struct sp_compute_options options = { .threads = 1 };
	struct sp_compute_needs needs = { .dtype = SP_F32, .head_dim = 64 };
	struct sp_compute *c;
	assert_int_equal(sp_compute_open("cpu", &options, &c), SP_OK);
	assert_true(sp_compute_has_convert(c));
	assert_int_equal(sp_compute_supports(c, &needs), SP_OK);
	sp_compute_describe(c, text, sizeof text, warning, sizeof warning);
	assert_null(strstr(warning, "bf16"));
	needs.dtype = SP_BF16;
	assert_int_equal(sp_compute_supports(c, &needs), SP_OK);
	sp_compute_describe(c, text, sizeof text, warning, sizeof warning);
	assert_true(!strstr(text, "oneDNN") == !!strstr(warning, "bf16 halves the memory")); /* unless oneDNN has fast ones */
	for (int i = 0; i < 3; i++) {
		needs.dtype = others[i];
		assert_int_equal(sp_compute_supports(c, &needs), SP_ERR_UNUSABLE);
	}
	sp_compute_close(c);
}

/* A product in bf16: SP_OK, or what it is refused with. */
static int multiply_in_bf16(struct sp_compute *c)
{
	enum { SIZE = 64 };
	static uint16_t x[SIZE * SIZE], w[SIZE * SIZE], y[SIZE * SIZE];
	const struct sp_linear_forward args = { .x = sp_matrix_of(x, SIZE, SIZE, SP_BF16), .w = sp_matrix_of(w, SIZE, SIZE, SP_BF16),
		                                .y = sp_matrix_of(y, SIZE, SIZE, SP_BF16) };
	return sp_compute_linear_forward(c, &args);
}

/* With these oneDNN has products in bf16, whatever its version. */
static int has_avx512(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
#else
	return 0;
#endif
}

/* Asked for by name: it is had, or the build has none. bf16 then is refused where its processor has not enough: where products in bf16
 * are refused. */
static void products_by_onednn_are_had_or_refused(void **state)
{
	(void)state;
	const struct sp_compute_options options = { .threads = 1, .products = SP_PRODUCTS_ONEDNN };
	const struct sp_compute_needs bf16 = { .dtype = SP_BF16, .head_dim = 64 };
	struct sp_compute *c;
	sp_log_level(SP_LOG_NONE);
	int status = sp_compute_open("cpu", &options, &c);
	if (status == SP_OK) {
		sp_compute_describe(c, text, sizeof text, warning, sizeof warning);
		assert_non_null(strstr(text, "oneDNN"));
		assert_non_null(strstr(text, "for all products"));
		status = sp_compute_supports(c, &bf16);
		const int product = multiply_in_bf16(c);
		assert_int_equal(status, product == SP_OK ? SP_OK : SP_ERR_UNUSABLE);
		assert_int_equal(product, status == SP_OK ? SP_OK : SP_ERR_DEVICE);
		assert_true(status == SP_OK || !has_avx512());
		sp_compute_close(c);
	} else {
		assert_int_equal(status, SP_ERR_ABSENT);
	}
	sp_log_level(SP_LOG_WARNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(asked_threads_win_over_the_environment, setup),
		cmocka_unit_test_setup(ranks_of_one_machine_share_its_cores, setup),
		cmocka_unit_test_setup(more_threads_than_cores_are_warned_of, setup),
		cmocka_unit_test_setup(an_instruction_set_can_be_forced, setup),
		cmocka_unit_test_setup(an_unknown_instruction_set_is_refused, setup),
		cmocka_unit_test_setup(the_description_is_one_line_and_fits, setup),
		cmocka_unit_test_setup(activations_are_kept_in_fp32_or_bf16, setup),
		cmocka_unit_test_setup(products_by_onednn_are_had_or_refused, setup),
	};
	struct sp_compute *c = NULL;
	forget_environment();
	if (sp_compute_open("cpu", NULL, &c) == SP_ERR_ABSENT)
		return 77;
	sp_compute_close(c);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
