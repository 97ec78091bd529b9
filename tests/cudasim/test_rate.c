/* A rate of products on cuda is that of matrices of the dtype it was asked for: on the simulator, whose library can be told to know
 * one type alone. */
#include "config.h"

#include "support.h"

#include "backend/compute.h"
#include "base/log.h"

#include <stdlib.h>

static int opened(struct sp_compute **compute)
{
	const struct sp_compute_options options = { .threads = 1 };
	return sp_compute_open("cudasim", &options, compute);
}

/* What asking for a rate in `dtype` gives where the library knows `known` alone. */
static int asked(enum sp_dtype dtype, enum sp_dtype known)
{
	struct sp_compute *compute; /* a new one, as plans are kept */
	double rate = 0;
	assert_int_equal(opened(&compute), SP_OK);
	setenv("SEQPAR_CUDASIM_PRODUCTS", sp_dtype_name(known), 1);
	sp_log_level(SP_LOG_NONE);
	const int status = sp_compute_gemm_rate(compute, dtype, 64, 48, 32, 0.001, &rate);
	sp_log_level(SP_LOG_WARNING);
	sp_compute_close(compute);
	assert_true(status == SP_OK ? isfinite(rate) && rate > 0 : rate == 0);
	return status;
}

static void operands_and_results_are_of_the_dtype(void **state)
{
	static const enum sp_dtype dtypes[] = { SP_F32, SP_BF16, SP_F16 };
	(void)state;
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			assert_int_equal(asked(dtypes[i], dtypes[j]), i == j ? SP_OK : SP_ERR_DEVICE);
}

int main(void)
{
	struct sp_compute *compute;
	const struct CMUnitTest tests[] = { cmocka_unit_test(operands_and_results_are_of_the_dtype) };
	sp_log_level(SP_LOG_NONE);
	if (opened(&compute))
		return 77;
	sp_log_level(SP_LOG_WARNING);
	sp_compute_close(compute);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
