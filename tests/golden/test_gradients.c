/* The model against values made by an independent one in PyTorch and float64 (make_golden.py): the loss and every
 * gradient.
 *
 * Bounds. Loss: 1e-6 relative. Gradients: 2e-5 relative L2 per tensor, or 1e-6 of the norm of all gradients, since some
 * (the key bias's) are zero in exact arithmetic. With activations in bfloat16 each is rounded to one part in 2^9 about as often as a
 * layer writes one: 5e-3 of the loss of few tokens, and of all gradients together 4 %, but more than float32 could be wrong by. */
#include "config.h"

#include "golden/fixture.h"

#include "support.h"

#include <seqpar/status.h>

#include <math.h>
#include <stdio.h>

static void check_gradients(const struct fixture *f)
{
	const double all = fixture_number(f, "norm", 0);
	int wrong = 0;
	for (int i = 0; i < f->h.table->count; i++) {
		const struct sp_parameter *p = &f->h.table->entry[i];
		const float *found = f->h.gradients + p->offset, *wanted = fixture_expected(f, "grad", p);
		double size, far = fixture_distance(found, wanted, NULL, p->rows * p->cols, &size);
		if (!(far <= fmax(2e-5 * size, 1e-6 * all))) {
			print_error("gradient of %s: off by %.3g of %.3g\n", p->name, far, size);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

static void check_case(const char *name, const char *attention)
{
	struct fixture f = { 0 };
	double loss;
	fixture_open(&f, name, attention);
	assert_int_equal(harness_run(&f.h, (uint64_t)records_int(&f.golden, "seed"), 0, 1, &loss), SP_OK);
	fixture_check(&f, "loss", 0, loss, 1e-6);
	check_gradients(&f);
	fixture_close(&f);
}

static void check_bf16(const char *name, const char *attention)
{
	struct fixture f = { .h = { .element = SP_BF16 } };
	double loss, far = 0, all = 0;
	fixture_open(&f, name, attention);
	assert_int_equal(harness_run(&f.h, (uint64_t)records_int(&f.golden, "seed"), 0, 1, &loss), SP_OK);
	fixture_check(&f, "loss", 0, loss, 5e-3);
	for (int i = 0; i < f.h.table->count; i++) {
		const struct sp_parameter *p = &f.h.table->entry[i];
		double size;
		const double one = fixture_distance(f.h.gradients + p->offset, fixture_expected(&f, "grad", p), NULL, p->rows * p->cols, &size);
		far += one * one;
		all += size * size;
	}
	print_message("%s, %s: gradients off by %.2g of their norm\n", name, attention, sqrt(far / all));
	assert_true(sqrt(far / all) < 4e-2 && sqrt(far / all) > 2e-4);
	fixture_close(&f);
}

static const char *const cases[] = { "post", "post_order", "pre", "pre_order", "post_dropout", "pre_dropout" };
enum { CASES = sizeof(cases) / sizeof(*cases) };

static void loss_and_gradients_equal_pytorch(void **state)
{
	check_case(*state, "full");
}

static void ring_on_one_rank_equals_pytorch(void **state)
{
	check_case(*state, "ring");
}

static void activations_in_bf16_come_near_pytorch(void **state)
{
	(void)state;
	for (int i = 0; i < CASES; i++) {
		check_bf16(cases[i], "full");
		check_bf16(cases[i], "ring");
		check_bf16(cases[i], "allgather"); /* is given float32 */
	}
}

int main(void)
{
	struct CMUnitTest tests[2 * CASES + 1];
	char name[2 * CASES][64];
	for (int i = 0; i < CASES; i++) {
		snprintf(name[i], sizeof(name[i]), "loss_and_gradients_equal_pytorch: %s", cases[i]);
		snprintf(name[CASES + i], sizeof(name[i]), "ring_on_one_rank_equals_pytorch: %s", cases[i]);
		tests[i] = (struct CMUnitTest){ .name = name[i], .test_func = loss_and_gradients_equal_pytorch };
		tests[CASES + i] = (struct CMUnitTest){ .name = name[CASES + i], .test_func = ring_on_one_rank_equals_pytorch };
		tests[i].initial_state = tests[CASES + i].initial_state = (void *)cases[i];
	}
	tests[2 * CASES] = (struct CMUnitTest)cmocka_unit_test(activations_in_bf16_come_near_pytorch);
	return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
