/* Three steps of AdamW with clipping against PyTorch's: losses, gradient norms, and every parameter after them.
 *
 * Bounds. Losses 1e-6 relative for the first, 1e-5 after steps; norms 1e-5. Parameters: the change over three steps, 1e-3
 * relative L2: Adam divides by the root of the gradient's square, so elements whose gradient is close to zero move as far as
 * others, in a direction that rounding may turn. Key biases are left out: their gradient is nothing but rounding. */
#include "config.h"

#include "golden/fixture.h"

#include "parallel/reduce.h"
#include "support.h"
#include "train/optimizer.h"

#include <seqpar/status.h>

#include <stdio.h>
#include <string.h>

struct updater {
	struct sp_reduce *reduce;
	struct sp_optimizer *optimizer;
};

static void open_updater(struct updater *u, const struct fixture *f)
{
	const struct records *g = &f->golden;
	const struct sp_optimizer_options options = {
		.beta1 = records_number(g, "beta1"),
		.beta2 = records_number(g, "beta2"),
		.eps = records_number(g, "eps"),
		.weight_decay = records_number(g, "weight_decay"),
		.clip_norm = records_number(g, "clip_norm"),
	};
	const struct harness *h = &f->h;
	const struct sp_reduce_shape shape = { .elements = h->table->elements };
	assert_int_equal(sp_reduce_create(h->compute, h->comm, &shape, &u->reduce), SP_OK);
	assert_int_equal(sp_optimizer_create(h->compute, h->comm, u->reduce, h->table, &options, &u->optimizer), SP_OK);
}

static void close_updater(struct updater *u)
{
	sp_optimizer_destroy(u->optimizer);
	sp_reduce_destroy(u->reduce);
}

static void take_steps(struct fixture *f, struct updater *u)
{
	for (int step = 0; step < 3; step++) {
		struct sp_optimizer_result result;
		double loss;
		assert_int_equal(harness_run(&f->h, (uint64_t)records_int(&f->golden, "seed"), (uint64_t)step, 0, &loss), SP_OK);
		fixture_check(f, "loss", step, loss, step ? 1e-5 : 1e-6);
		assert_int_equal(sp_optimizer_step(u->optimizer, sp_model_values(f->h.model), sp_model_gradients(f->h.model),
		                                   fixture_number(f, "lr", step)), SP_OK);
		assert_int_equal(sp_optimizer_result(u->optimizer, &result), SP_OK);
		fixture_check(f, "norm", step, result.norm, 1e-5);
	}
}

static void check_values(struct fixture *f)
{
	struct harness *h = &f->h;
	int wrong = 0;
	assert_int_equal(sp_compute_copy_out(h->compute, h->values, sp_model_values(h->model),
	                                     (size_t)h->table->elements * sizeof(float)), SP_OK);
	for (int i = 0; i < h->table->count; i++) {
		const struct sp_parameter *p = &h->table->entry[i];
		double size, far = fixture_distance(h->values + p->offset, fixture_expected(f, "after", p),
		                                    fixture_expected(f, "value", p), p->rows * p->cols, &size);
		if (strstr(p->name, "key.bias") || far <= 1e-3 * size)
			continue;
		print_error("%s after three steps: off by %.3g of a change of %.3g\n", p->name, far, size);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void three_steps_equal_pytorch(void **state)
{
	struct fixture f = { 0 };
	struct updater u = { 0 };
	fixture_open(&f, *state, "full");
	open_updater(&u, &f);
	take_steps(&f, &u);
	check_values(&f);
	close_updater(&u);
	fixture_close(&f);
}

static const char *const cases[] = { "post", "post_order", "pre", "pre_order", "post_dropout", "pre_dropout" };
enum { CASES = sizeof(cases) / sizeof(*cases) };

int main(void)
{
	struct CMUnitTest tests[CASES];
	for (int i = 0; i < CASES; i++)
		tests[i] = (struct CMUnitTest){
			.name = cases[i],
			.test_func = three_steps_equal_pytorch,
			.initial_state = (void *)cases[i],
		};
	return cmocka_run_group_tests_name("three_steps_equal_pytorch", tests, NULL, NULL);
}
