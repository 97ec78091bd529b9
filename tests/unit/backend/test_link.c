/* Transfers that a device's queue waits for, and the host that waits for the device: on a communication module and a device that
 * do as a test says. */
#include "config.h"

#include "support.h"

#include "backend/compute_inside.h"
#include "backend/link.h"
#include "backend/waiting.h"

#include <stdlib.h>
#include <string.h>

/* A transfer: so often it is asked after, then the device has come to it, and then it is finished. */
struct transfer {
	int until_begun, until_done, fails;
	int ordered, named, unnamed; /* what was seen of it: how often it was what is waited for, or nothing was */
	const char *operation;
};

static struct sp_link *ring;
static int closed, synced, synced_too_early;
static struct transfer transfers[3];

static int order(void *comm, void *request)
{
	(void)comm;
	((struct transfer *)request)->ordered = 1;
	return SP_OK;
}

static int begun(void *comm, void *request)
{
	(void)comm;
	return ((struct transfer *)request)->until_begun == 0;
}

static int test(void *comm, void *request, int *done)
{
	struct transfer *t = request;
	struct sp_waiting now;
	const int waits = sp_waiting_now(&now) != 0;
	(void)comm;
	t->named += waits && strcmp(now.operation, t->operation) == 0;
	t->unnamed += !waits;
	if (t->until_begun > 0)
		t->until_begun--;
	else if (t->until_done > 0)
		t->until_done--;
	*done = t->until_done == 0;
	return t->fails && *done ? SP_ERR_COMM : SP_OK;
}

static int progress(void *comm)
{
	(void)comm;
	return SP_OK;
}

static void close_comm(void *comm)
{
	(void)comm;
	closed++;
}

static const struct sp_comm_ops ops = { .order = order, .begun = begun, .test = test, .progress = progress, .close = close_comm };

static int sync_device(void *ctx)
{
	(void)ctx;
	synced++;
	for (int i = 0; i < 3; i++)
		synced_too_early += transfers[i].ordered && transfers[i].until_done > 0;
	return SP_OK;
}

static const struct sp_compute_ops device_ops = { .sync = sync_device };
static struct sp_compute device = { .name = "device", .ops = &device_ops };
static const struct sp_comm_group group = { "ring", { 0, 2, 0, 1 }, NULL };

static int open_link(void **state)
{
	(void)state;
	closed = synced = synced_too_early = 0;
	memset(transfers, 0, sizeof transfers);
	return sp_link_create("fake", &ops, NULL, &device, &group, &ring);
}

static int close_link(void **state)
{
	(void)state;
	sp_link_close(ring);
	return ring != NULL || device.links != NULL || closed != 1;
}

static void give(int i, const char *operation, int until_begun, int until_done)
{
	transfers[i] = (struct transfer){ until_begun, until_done, .operation = operation };
	assert_int_equal(sp_link_order(ring, &transfers[i], operation, 1, 1, -1), SP_OK);
	assert_true(transfers[i].ordered);
}

static void the_host_waits_for_the_device_after_all_transfers(void **state)
{
	(void)state;
	give(0, "exchange", 2, 3);
	give(1, "all_gather", 0, 40);
	assert_int_equal(sp_compute_sync(&device), SP_OK);
	assert_int_equal(synced, 1);
	assert_int_equal(synced_too_early, 0);
	assert_null(ring->first);
	struct sp_waiting now;
	assert_int_equal(sp_waiting_now(&now), 0);
}

static void a_transfer_is_waited_for_from_when_the_device_has_come_to_it(void **state)
{
	(void)state;
	give(0, "exchange", 50, 20);
	give(1, "all_gather", 0, 10);
	transfers[0].named = transfers[0].unnamed = 0;
	assert_int_equal(sp_compute_sync(&device), SP_OK);
	assert_in_range(transfers[0].unnamed, 40, 60);
	assert_in_range(transfers[0].named, 15, 25);
	assert_in_range(transfers[1].named, 5, 15);
}

static void a_failure_is_met_instead_of_the_device(void **state)
{
	(void)state;
	give(0, "exchange", 0, 5);
	transfers[0].fails = 1;
	assert_int_equal(sp_compute_sync(&device), SP_ERR_COMM);
	assert_int_equal(synced, 0);
	struct sp_waiting now;
	assert_int_equal(sp_waiting_now(&now), 0);
}

static void what_is_finished_is_forgotten_without_waiting(void **state)
{
	(void)state;
	give(0, "exchange", 0, 3);
	for (int i = 0; i < 3 && ring->first; i++)
		assert_int_equal(sp_link_progress(ring), SP_OK);
	assert_null(ring->first);
	give(1, "exchange", 0, 1000);
	assert_non_null(ring->first);
}

static void closing_the_device_closes_its_links(void **state)
{
	(void)state;
	struct sp_link *other;
	assert_int_equal(sp_link_create("fake", &ops, NULL, &device, &group, &other), SP_OK);
	give(0, "exchange", 0, 1000);
	sp_link_close_all(&device);
	assert_null(ring);
	assert_null(other);
	assert_int_equal(closed, 2);
	closed = 1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_link, close_link)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_host_waits_for_the_device_after_all_transfers),
		TEST(a_transfer_is_waited_for_from_when_the_device_has_come_to_it),
		TEST(a_failure_is_met_instead_of_the_device),
		TEST(what_is_finished_is_forgotten_without_waiting),
		TEST(closing_the_device_closes_its_links),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
