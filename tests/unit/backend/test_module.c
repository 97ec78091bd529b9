/* Modules that cannot be used are refused, with the reason. */
#include "config.h"

#include "support.h"

#include "backend/module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char why[512];

/* A copy of a good module that a test may spoil. */
static struct sp_comm_ops ops;
static struct sp_module module;

static int copy_good_one(void **state)
{
	(void)state;
	const struct sp_module *good;
	unsetenv("SEQPAR_MODULE_PATH");
	if (sp_module_open("self", &good, why, sizeof why))
		return -1;
	ops = *good->comm;
	module = *good;
	module.comm = &ops;
	why[0] = '\0';
	return 0;
}

static int join(const struct sp_joining *with, void **comm, char *text, size_t size)
{
	(void)with;
	(void)comm;
	(void)text;
	(void)size;
	return SP_ERR_UNUSABLE;
}

static int order(void *comm, void *request)
{
	(void)comm;
	(void)request;
	return SP_ERR_COMM;
}

static double stalled(void *comm)
{
	(void)comm;
	return 0;
}

static int all_reduce_start(void *comm, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op, void **request)
{
	(void)comm;
	(void)data;
	(void)count;
	(void)dtype;
	(void)op;
	(void)request;
	return SP_ERR_COMM;
}

static void a_good_module_is_accepted_and_the_same_every_time(void **state)
{
	(void)state;
	const struct sp_module *first, *second;
	assert_int_equal(sp_module_check(&module, "self", why, sizeof why), SP_OK);
	assert_int_equal(sp_module_open("self", &first, why, sizeof why), SP_OK);
	assert_int_equal(sp_module_probe("self", &second, why, sizeof why), SP_OK);
	assert_ptr_equal(first, second);
}

static void every_built_module_opens(void **state)
{
	(void)state;
	int opened = 0;
	for (size_t i = 0; sp_module_name(i); i++) {
		const struct sp_module *m = NULL;
		int status = sp_module_open(sp_module_name(i), &m, why, sizeof why);
		if (status != SP_OK)
			print_message("%s: %s\n", sp_module_name(i), why);
		assert_true(status == SP_OK || status == SP_ERR_ABSENT);
		opened += status == SP_OK;
	}
	assert_true(opened >= 1);
}

static void an_unknown_module_is_absent(void **state)
{
	(void)state;
	const struct sp_module *m = &module;
	assert_int_equal(sp_module_open("pigeons", &m, why, sizeof why), SP_ERR_ABSENT);
	assert_non_null(strstr(why, "pigeons"));
	assert_ptr_equal(m, &module);
}

static void another_interface_is_refused_by_number(void **state)
{
	(void)state;
	module.abi = SP_MODULE_ABI + 1;
	assert_int_equal(sp_module_check(&module, "self", why, sizeof why), SP_ERR_OPEN);
	char number[32];
	snprintf(number, sizeof number, "interface %d", SP_MODULE_ABI + 1);
	assert_non_null(strstr(why, number));
}

static void a_missing_operation_is_refused_by_name(void **state)
{
	(void)state;
	ops.all_gather_start = NULL;
	assert_int_equal(sp_module_check(&module, "self", why, sizeof why), SP_ERR_OPEN);
	assert_non_null(strstr(why, "all_gather_start"));
}

static void a_missing_compute_operation_is_refused_by_name(void **state)
{
	(void)state;
	static const struct sp_compute_ops empty;
	module.comm = NULL;
	module.compute = &empty;
	assert_int_equal(sp_module_check(&module, "self", why, sizeof why), SP_ERR_OPEN);
	assert_non_null(strstr(why, "lacks the operation open"));
}

/* `join` tells such a module: it has no job to open, and its transfers do not stop the host. */
static void a_module_of_device_memory_needs_operations_of_its_own(void **state)
{
	(void)state;
	static struct sp_comm_ops device;
	device = ops;
	device.open = NULL;
	device.wait = NULL;
	module.comm = &device;
	assert_int_equal(sp_module_check(&module, "self", why, sizeof why), SP_ERR_OPEN);
	assert_non_null(strstr(why, "lacks the operation open"));
	device.join = join;
	assert_int_equal(sp_module_check(&module, "self", why, sizeof why), SP_ERR_OPEN);
	assert_non_null(strstr(why, "lacks the operation order"));
	device.order = order;
	device.begun = order;
	device.stalled = stalled;
	assert_int_equal(sp_module_check(&module, "self", why, sizeof why), SP_ERR_OPEN);
	assert_non_null(strstr(why, "lacks the operation all_reduce_start"));
	device.all_reduce_start = all_reduce_start;
	assert_int_equal(sp_module_check(&module, "self", why, sizeof why), SP_OK);
}

static void two_tables_or_none_or_another_name_are_refused(void **state)
{
	(void)state;
	static const struct sp_compute_ops empty;
	module.compute = &empty;
	assert_int_equal(sp_module_check(&module, "self", why, sizeof why), SP_ERR_OPEN);
	module.compute = NULL;
	module.comm = NULL;
	assert_int_equal(sp_module_check(&module, "self", why, sizeof why), SP_ERR_OPEN);
	module.comm = &ops;
	assert_int_equal(sp_module_check(&module, "mpi", why, sizeof why), SP_ERR_OPEN);
	assert_non_null(strstr(why, "calls itself self"));
}

/* Whether modules are files that SEQPAR_MODULE_PATH can replace. */
static int loaded(void)
{
	const struct sp_module *m;
	setenv("SEQPAR_MODULE_PATH", "/nonexistent", 1);
	return sp_module_open("self", &m, why, sizeof why) == SP_ERR_OPEN;
}

static void a_missing_file_is_named(void **state)
{
	(void)state;
	if (!loaded())
		skip();
	assert_non_null(strstr(why, "/nonexistent/self.so"));
}

static void a_file_of_another_version_is_refused(void **state)
{
	(void)state;
	if (!loaded())
		skip();
	const struct sp_module *m = &module;
	setenv("SEQPAR_MODULE_PATH", "tests/unit/backend/old/.libs", 1);
	assert_int_equal(sp_module_open("self", &m, why, sizeof why), SP_ERR_OPEN);
	assert_non_null(strstr(why, "interface 0"));
	assert_ptr_equal(m, &module);
}

#define TEST(name) cmocka_unit_test_setup(name, copy_good_one)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_good_module_is_accepted_and_the_same_every_time),
		TEST(every_built_module_opens),
		TEST(an_unknown_module_is_absent),
		TEST(another_interface_is_refused_by_number),
		TEST(a_missing_operation_is_refused_by_name),
		TEST(a_missing_compute_operation_is_refused_by_name),
		TEST(a_module_of_device_memory_needs_operations_of_its_own),
		TEST(two_tables_or_none_or_another_name_are_refused),
		TEST(a_missing_file_is_named),
		TEST(a_file_of_another_version_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
