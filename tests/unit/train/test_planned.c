/* What is planned from settings is what set-up allocates, and what a step sends. */
#include "config.h"

#include "backend/module.h"
#include "train/planned.h"
#include "train/setup.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static struct sp_settings settings_of(const char *const *words)
{
	struct sp_settings s;
	sp_settings_default(&s);
	for (; *words; words++)
		assert_int_equal(sp_settings_word(&s, *words), SP_OK);
	assert_int_equal(sp_settings_finish(&s), SP_OK);
	return s;
}

static const char *const small[] = {
	"model.layers=2", "model.hidden=32", "model.heads=4", "model.vocab_size=101", "model.max_positions=64",
	"model.sentence_order=true", "train.sequence_length=37", "train.global_batch=6", "train.micro_batch=2", NULL,
};

static void plan_of_one_rank_equals_what_set_up_allocates(void **state)
{
	(void)state;
	const struct sp_settings settings = settings_of(small);
	const struct sp_compute_options options = { .threads = 1 };
	struct sp_compute *compute;
	struct sp_comm *world;
	struct sp_setup setup;
	struct sp_plan plan;
	assert_int_equal(sp_planned(&settings, 1, 1, &plan), SP_OK);
	assert_int_equal(sp_comm_open("self", 1, &world), SP_OK);
	assert_int_equal(sp_compute_open("cpu", &options, &compute), SP_OK);
	assert_int_equal(sp_setup_open(&settings, compute, world, &setup), SP_OK);
	assert_int_equal(sp_model_arena(setup.model)->high, plan.model.arena);
	assert_int_equal(sp_model_arena(setup.model)->size, plan.model.arena);
	assert_int_equal((size_t)sp_model_parameters(setup.model)->elements * sizeof(float), plan.model.parameters);
	assert_int_equal(2 * (size_t)sp_reduce_owned(setup.reduce) * sizeof(float), plan.optimizer);
	assert_int_equal(2 * (size_t)sp_reduce_kept_elements(setup.reduce) * sizeof(float), plan.optimizer);
	assert_int_equal(sp_batches_bytes(setup.batches), plan.batches);
	assert_int_equal(plan.ring_bytes, 0);
	assert_int_equal(plan.gradient_bytes, 0);
	sp_setup_close(&setup);
	sp_compute_close(compute);
	sp_comm_close(world);
}

static void replicas_share_out_the_moments_unless_told_not_to(void **state)
{
	(void)state;
	struct sp_settings settings = settings_of(small);
	struct sp_plan shares, all;
	assert_int_equal(sp_planned(&settings, 3, 1, &shares), SP_OK);
	settings.parallel.optimizer_shard = 0;
	assert_int_equal(sp_planned(&settings, 3, 1, &all), SP_OK);
	assert_int_equal(all.optimizer, 2 * all.model.parameters);
	assert_true(shares.optimizer < all.optimizer / 3 + 3 * 64 * sizeof(float));
	assert_int_equal(all.total - shares.total, all.optimizer - shares.optimizer);
	assert_int_equal(all.sent, shares.sent);
}

/* 2 layers, 3 micro-batches of 2 samples, 19 tokens a rank, hidden 32: 2 + 4 blocks a layer. */
static void ring_traffic_follows_the_formula(void **state)
{
	(void)state;
	struct sp_settings settings = settings_of(small);
	struct sp_plan plan;
	settings.parallel.sequence = 2;
	assert_int_equal(sp_planned(&settings, 2, 1, &plan), SP_OK);
	assert_int_equal(plan.ring_bytes, 2 * 3 * (2 + 4) * (2 * 19 * 32) * sizeof(float));
	settings.train.recompute = SP_RECOMPUTED_ATTENTION;
	assert_int_equal(sp_planned(&settings, 2, 1, &plan), SP_OK);
	assert_int_equal(plan.ring_bytes, 2 * 3 * (2 + 4) * (2 * 19 * 32) * sizeof(float));
	settings.train.recompute = SP_RECOMPUTED_LAYER;
	assert_int_equal(sp_planned(&settings, 2, 1, &plan), SP_OK);
	assert_int_equal(plan.ring_bytes, 2 * 3 * (2 * 2 + 4) * (2 * 19 * 32) * sizeof(float));
}

/* Without a layer's 7 H + 2 I and three row vectors a token (lse has one a head), what is left grows as documented. */
static size_t bytes_of_a_layer(struct sp_settings settings, enum sp_setting_recompute recompute)
{
	struct sp_plan few, more;
	settings.train.recompute = recompute;
	settings.model.layers = 2;
	assert_int_equal(sp_planned(&settings, 1, 1, &few), SP_OK);
	settings.model.layers = 5;
	assert_int_equal(sp_planned(&settings, 1, 1, &more), SP_OK);
	return (more.model.arena - few.model.arena) / 3;
}

static void a_layer_keeps_what_is_documented(void **state)
{
	(void)state;
	for (int norm = SP_NORM_POST; norm <= SP_NORM_PRE; norm++) {
		struct sp_settings s = settings_of(small);
		const size_t tokens = (size_t)(s.train.micro_batch * 48), h = 64, i = 256, heads = 4;
		s.model.norm = norm;
		s.model.hidden = (int64_t)h;
		s.model.intermediate = (int64_t)i;
		s.model.heads = (int64_t)heads;
		s.train.sequence_length = 48;
		assert_int_equal(bytes_of_a_layer(s, SP_RECOMPUTED_NONE), tokens * (8 * h + 2 * i + heads + 4) * sizeof(float));
		assert_int_equal(bytes_of_a_layer(s, SP_RECOMPUTED_ATTENTION), tokens * (5 * h + 2 * i + heads + 4) * sizeof(float));
		assert_int_equal(bytes_of_a_layer(s, SP_RECOMPUTED_LAYER), tokens * h * sizeof(float));
	}
}

static void activations_fall_as_ranks_are_added(void **state)
{
	(void)state;
	static const char *const words[] = { "model.preset=base", "model.max_positions=4096", "train.sequence_length=4096",
		                                 "train.global_batch=1", "train.micro_batch=1", NULL };
	struct sp_settings settings = settings_of(words);
	struct sp_plan one, two;
	assert_int_equal(sp_planned(&settings, 1, 1, &one), SP_OK);
	settings.parallel.sequence = 2;
	assert_int_equal(sp_planned(&settings, 2, 1, &two), SP_OK);
	assert_true((double)two.model.arena <= 0.55 * (double)one.model.arena);
	assert_true((double)two.optimizer <= 0.51 * (double)one.optimizer);
}

/* Values and both moments of the own share. */
static void checkpoints_cost_a_copy_of_the_own_share(void **state)
{
	(void)state;
	struct sp_settings settings = settings_of(small);
	struct sp_plan without, with;
	settings.train.micro_batch = 1;
	assert_int_equal(sp_planned(&settings, 3, 1, &without), SP_OK);
	strcpy(settings.checkpoint.dir, "somewhere");
	assert_int_equal(sp_planned(&settings, 3, 1, &with), SP_OK);
	assert_int_equal(without.snapshot, 0);
	assert_int_equal(2 * with.snapshot, 3 * with.optimizer);
	assert_int_equal(with.total, without.total + with.snapshot);
}

static void ranks_that_do_not_divide_are_refused(void **state)
{
	(void)state;
	struct sp_settings settings = settings_of(small);
	struct sp_plan plan;
	settings.parallel.sequence = 2;
	assert_int_equal(sp_planned(&settings, 3, 1, &plan), SP_ERR_SETTING);
	settings.parallel.sequence = 1;
	assert_int_equal(sp_planned(&settings, 4, 1, &plan), SP_ERR_SETTING);
}

int main(void)
{
	const struct sp_module *module;
	char why[256];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan_of_one_rank_equals_what_set_up_allocates),
		cmocka_unit_test(replicas_share_out_the_moments_unless_told_not_to),
		cmocka_unit_test(ring_traffic_follows_the_formula),
		cmocka_unit_test(a_layer_keeps_what_is_documented),
		cmocka_unit_test(activations_fall_as_ranks_are_added),
		cmocka_unit_test(checkpoints_cost_a_copy_of_the_own_share),
		cmocka_unit_test(ranks_that_do_not_divide_are_refused),
	};
	if (sp_module_open("cpu", &module, why, sizeof why) == SP_ERR_ABSENT)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
