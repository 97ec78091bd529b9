/* One process grid against one rank, dropout on: test_grid DxPxSxT, with as many ranks as that is. Loss and all gradients
 * of a step, parameters after three, and that each rank has allocated and sent what its plan says. */
#include "config.h"

#include "support.h"

#include "plan/plan.h"
#include "ranks/training.h"
#include "train/planned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 3 };

static struct test_ranks ranks;
static struct sp_grid_point shape;

/* How attention crosses ranks; the first is what all tests take that do not walk the others. */
struct kind {
	const char *attention;
	int64_t gather_chunk;
	int ring;
	int share; /* enum sp_setting_linformer */
	int64_t window, globals, every;
	int tokens; /* enum sp_setting_global */
};
static const struct kind kinds[] = { { "ring" }, { "allgather" }, { "allgather", 5 }, { "ulysses" }, { "hybrid" },
	                                { "ring", 0, SP_RING_Q }, { "hybrid", 0, SP_RING_Q },
	                                { "rsa" },
	                                { .attention = "linformer", .share = SP_LINFORMED_LAYER },
	                                { .attention = "linformer", .share = SP_LINFORMED_HEAD },
	                                { .attention = "linformer", .share = SP_LINFORMED_MODEL },
	                                { .attention = "window", .window = 3, .globals = 1, .every = 3 },
	                                { .attention = "window", .window = 14, .globals = 5, .tokens = SP_GLOBAL_SEPARATORS } };
enum { KINDS = sizeof kinds / sizeof *kinds };
static const struct kind *kind = kinds;
static int narrow; /* activations of 16 bits */

/* Four heads, where tensor ranks do not divide them 24. Four layers, with more stages as many as these. An odd length, which most numbers of
 * sequence ranks do not divide. With the usual epsilon Adam makes steps of full length of what is but rounding. */
static struct sp_settings settings_of_grid(int pieces)
{
	struct sp_settings s = test_training_settings();
	const int tensor = shape.at[SP_AXIS_TENSOR], stages = shape.at[SP_AXIS_PIPELINE];
	strcpy(s.parallel.attention, kind->attention);
	s.parallel.gather_chunk = kind->gather_chunk;
	s.parallel.ring = kind->ring;
	s.model.linformer_k = 11;
	s.model.linformer_share = kind->share;
	s.model.window = kind->window;
	s.model.globals = kind->globals;
	s.model.global_every = kind->every;
	s.model.global_tokens = kind->tokens;
	s.parallel.sequence = shape.at[SP_AXIS_SEQUENCE];
	s.parallel.tensor = tensor;
	s.parallel.pipeline = stages;
	s.parallel.virtual_stages = pieces;
	s.model.layers = stages > 4 ? stages : 4;
	s.model.heads = 4 % tensor == 0 ? 4 : 24;
	s.model.hidden = s.model.heads == 4 ? 32 : 96;
	s.model.intermediate = 4 * s.model.hidden;
	s.model.norm = (ranks.size + tensor) % 2 ? SP_NORM_PRE : SP_NORM_POST;
	s.model.sentence_order = 1;
	s.optimizer.eps = 1e-4;
	/* each kind with another one, and with another on the next size of grid */
	s.train.recompute = kind == kinds ? SP_RECOMPUTED_NONE : (int)(kind - kinds + ranks.size) % 3;
	s.train.precision = narrow ? SP_TRAIN_BF16 : SP_TRAIN_FP32;
	s.train.sequence_length = 37;
	if ((kind - kinds) % 2 && strcmp(kind->attention, "linformer") != 0) { /* every other kind with several samples in a sequence */
		s.data.packing = 1;
		s.data.short_seq_prob = 1;
		s.model.max_positions = 11;
	} else if (kind != kinds && strcmp(kind->attention, "linformer") != 0) { /* others, but for the first, with rotary positions */
		s.model.position = SP_POSITION_ROPE;
		s.model.rope_base = 50;
		s.model.max_positions = 1;
	}
	s.train.micro_batch = narrow ? 4 : 1; /* what rounding does to a loss is less in the mean of more tokens */
	s.train.global_batch = s.train.micro_batch * (pieces > 1 ? 4 : stages > 1 ? 5 : 2) * shape.at[SP_AXIS_DATA];
	return s;
}

/* Of the first loss and the norm of its gradients, of losses after steps, of gradients and of parameters. What differs in the last
 * bit of float32 now and then differs by 2^-8 once it is rounded to bfloat16; sums over tensor ranks are, and so is what a stage
 * passes on before the next one norms it, which one rank norms unrounded. Adam makes of that steps of any direction where gradients
 * are small, so parameters that began at zero may be half of what they became apart. */
struct bounds {
	double loss, norm, losses, gradients, values;
};

static struct bounds bounds(void)
{
	return narrow ? (struct bounds){ 1e-4, 3e-3, 1e-3, 2e-2, 0.5 } : (struct bounds){ 1e-6, 1e-5, 1e-5, 1e-5, 1e-4 };
}

static void check_training(int pieces)
{
	const struct bounds bound = bounds();
	const struct sp_settings split = settings_of_grid(pieces), whole = test_training_unsplit(&split);
	struct test_training a = { .loss = { 0 } }, b = { .loss = { 0 } };
	int bad = test_training_run(&ranks, &split, ranks.world, STEPS, &a);
	bad = bad || test_training_run(&ranks, &whole, ranks.alone, STEPS, &b);
	bad = bad || test_training_losses_differ(&ranks, &a, &b, 1, bound.loss, bound.norm);
	bad = bad || test_training_losses_differ(&ranks, &a, &b, STEPS, bound.losses, 10 * bound.losses);
	bad = bad || test_training_gradients_differ(&ranks, &a, &b, bound.gradients);
	bad = bad || test_training_values_differ(&ranks, &a, &b, bound.values);
	bad = bad || test_training_evaluations_differ(&a, &b, bound.losses);
	test_training_free(&a);
	test_training_free(&b);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void losses_gradients_and_parameters_equal_those_of_one_rank(void **state)
{
	(void)state;
	check_training(1);
}

static void interleaved_stages_train_the_same(void **state)
{
	(void)state;
	check_training(2);
}

static int differ(const char *what, uint64_t is, uint64_t planned)
{
	if (is != planned)
		fprintf(stderr, "rank %d: %s: %llu, planned %llu\n", ranks.rank, what, (unsigned long long)is,
		        (unsigned long long)planned);
	return is != planned;
}

/* What goes back has a communicator of its own. */
static uint64_t sent_in(const struct sp_setup *setup, enum sp_group group)
{
	const uint64_t back = group == SP_GROUP_PIPELINE ? sp_comm_counters(setup->grid.back).bytes : 0;
	return sp_comm_counters(setup->grid.group[group]).bytes + back;
}

/* Of the word table that this stage shares, the part that this replica owns. */
static uint64_t tied_words(const struct sp_setup *setup)
{
	int64_t sum = 0;
	for (int i = 0; i < sp_reduce_buckets(setup->reduce); i++)
		if (sp_reduce_bucket(setup->reduce, i).offset < sp_model_parameters(setup->model)->tied)
			sum += sp_reduce_own(setup->reduce, i).count;
	return (uint64_t)sum * sizeof(float);
}

/* Up to 16 elements a bucket more than the first of the replicas owns is owned by none. */
static int memory_differs(struct sp_setup *setup, const struct sp_plan *plan)
{
	const size_t moments = 2 * (size_t)sp_reduce_owned(setup->reduce) * sizeof(float);
	int bad = differ("arena", sp_model_arena(setup->model)->high, plan->model.arena);
	bad |= differ("copies", (size_t)(narrow ? sp_model_parameters(setup->model)->factors * 2 : 0), plan->model.factors);
	bad |= differ("parameters", (size_t)sp_model_parameters(setup->model)->elements * sizeof(float), plan->model.parameters);
	bad |= differ("batches", sp_batches_bytes(setup->batches), plan->batches);
	if (sp_comm_rank(setup->grid.group[SP_GROUP_REPLICAS]) == 0)
		bad |= differ("moments", moments, plan->optimizer);
	return bad | (moments > plan->optimizer);
}

/* One step. What the heads of tensor ranks exchange depends on how many tokens are predicted, and is not planned. */
static int traffic_differs(struct sp_setup *setup, struct sp_optimizer *o, const struct sp_plan *plan)
{
	struct test_training result;
	uint64_t sent[SP_GROUPS];
	for (int g = 0; g < SP_GROUPS; g++)
		sent[g] = sent_in(setup, (enum sp_group)g);
	int bad = test_training_steps(setup, o, 1, &result);
	for (int g = 0; g < SP_GROUPS; g++)
		sent[g] = sent_in(setup, (enum sp_group)g) - sent[g];
	bad |= differ("ring", sent[SP_GROUP_SEQUENCE], plan->ring_bytes);
	bad |= differ("gradients", sent[SP_GROUP_REPLICAS], plan->gradient_bytes);
	bad |= differ("stages", sent[SP_GROUP_PIPELINE], plan->pipeline_bytes + tied_words(setup));
	if (sp_comm_rank(setup->grid.group[SP_GROUP_REPLICAS]) == 0)
		bad |= differ("tied words", tied_words(setup), plan->tied_bytes);
	if (sent[SP_GROUP_TENSOR] < plan->tensor_bytes || (double)sent[SP_GROUP_TENSOR] > 1.25 * (double)plan->tensor_bytes)
		bad |= differ("sums over tensor ranks", sent[SP_GROUP_TENSOR], plan->tensor_bytes);
	return bad;
}

static void check_plan(int pieces, int recompute)
{
	struct sp_settings s = settings_of_grid(pieces);
	struct sp_plan_input input;
	struct sp_plan plan;
	struct sp_setup setup;
	struct sp_optimizer *o = NULL;
	s.train.recompute = recompute;
	s.train.last_layer = SP_LAST_LAYER_ALL; /* what else it sends depends on how many tokens are predicted */
	int bad = sp_setup_open(&s, ranks.compute, ranks.world, &setup) || test_training_optimizer(&setup, &o);
	bad = bad || sp_planned_input(&s, ranks.size, sp_compute_chunk_multiple(ranks.compute), &input);
	if (!bad) {
		input.model.part.tensor = setup.grid.place.at[SP_AXIS_TENSOR];
		input.model.part.stage = setup.grid.place.at[SP_AXIS_PIPELINE];
		input.sequence_rank = setup.grid.place.at[SP_AXIS_SEQUENCE];
		bad = sp_plan_make(&input, &plan) != 0;
	}
	bad = bad || memory_differs(&setup, &plan);
	bad = test_ranks_agree(&ranks, bad) || traffic_differs(&setup, o, &plan);
	sp_optimizer_destroy(o);
	sp_setup_close(&setup);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void each_rank_allocates_and_sends_what_its_plan_says(void **state)
{
	(void)state;
	check_plan(1, SP_RECOMPUTED_NONE);
	check_plan(1, SP_RECOMPUTED_ATTENTION);
	check_plan(1, SP_RECOMPUTED_LAYER);
}

static void interleaved_stages_allocate_and_send_what_their_plan_says(void **state)
{
	(void)state;
	check_plan(2, SP_RECOMPUTED_NONE);
	check_plan(2, SP_RECOMPUTED_LAYER);
}

/* What this grid can have: ulysses needs a head for each rank, linformer has its weights on one. */
static int can(const struct kind *k)
{
	const int64_t heads = settings_of_grid(1).model.heads / shape.at[SP_AXIS_TENSOR];
	if (strcmp(k->attention, "ulysses") == 0)
		return heads >= shape.at[SP_AXIS_SEQUENCE];
	if (strcmp(k->attention, "linformer") == 0)
		return shape.at[SP_AXIS_TENSOR] == 1 && (shape.at[SP_AXIS_PIPELINE] == 1 || k->share != SP_LINFORMED_MODEL);
	return 1;
}

static void next_kind(void)
{
	do
		kind++;
	while (kind < kinds + KINDS && !can(kind));
}

/* With few ranks every kind, those that take them as they are and those that are given float32; else the first. */
static void activations_of_16_bits_train_the_same(void **state)
{
	(void)state;
	narrow = 1;
	do {
		check_training(1);
		check_plan(1, kind == kinds ? SP_RECOMPUTED_NONE : SP_RECOMPUTED_LAYER);
		next_kind();
	} while (ranks.size <= 3 && shape.at[SP_AXIS_SEQUENCE] > 1 && kind < kinds + KINDS);
	kind = kinds;
	narrow = 0;
}

static void every_kind_of_attention_trains_the_same(void **state)
{
	(void)state;
	for (next_kind(); kind < kinds + KINDS; next_kind())
		check_training(1);
	kind = kinds;
}

static void every_kind_of_attention_allocates_and_sends_what_its_plan_says(void **state)
{
	(void)state;
	for (next_kind(); kind < kinds + KINDS; next_kind()) {
		check_plan(1, SP_RECOMPUTED_NONE);
		check_plan(1, SP_RECOMPUTED_LAYER);
	}
	kind = kinds;
}

/* This rank's cut of the word table from the other end of the pipeline, on its first and last stage. */
static int words_differ(struct sp_setup *setup)
{
	struct sp_comm *stages = setup->grid.group[SP_GROUP_PIPELINE];
	const int last = sp_comm_size(stages) - 1, stage = sp_comm_rank(stages);
	const size_t bytes = (size_t)sp_model_parameters(setup->model)->tied * sizeof(float);
	float *own = malloc(bytes + 1), *other = malloc(bytes + 1);
	struct sp_transfer transfer = { 0 };
	const struct sp_exchange exchange = { own, bytes, last - stage, other, bytes, last - stage };
	int bad = !own || !other || sp_compute_copy_out(setup->compute, own, sp_model_values(setup->model), bytes) != 0;
	if (bytes > 0)
		bad = bad || sp_comm_exchange_start(stages, &exchange, &transfer) != 0 || sp_comm_wait(stages, &transfer) != 0 ||
		      memcmp(own, other, bytes) != 0;
	bad |= (bytes > 0) != (stage == 0 || stage == last);
	free(own);
	free(other);
	return bad;
}

static void tied_word_tables_hold_the_same_bits_after_ten_steps(void **state)
{
	(void)state;
	const struct sp_settings s = settings_of_grid(1);
	struct test_training result;
	struct sp_setup setup;
	struct sp_optimizer *o = NULL;
	int bad = sp_setup_open(&s, ranks.compute, ranks.world, &setup) || test_training_optimizer(&setup, &o);
	bad = bad || test_training_steps(&setup, o, TEST_TRAINING_STEPS, &result) || words_differ(&setup);
	sp_optimizer_destroy(o);
	sp_setup_close(&setup);
	assert_false(test_ranks_agree(&ranks, bad));
}

static int read_shape(int argc, char **argv)
{
	char end;
	if (argc != 2 || sscanf(argv[1], "%dx%dx%dx%d%c", &shape.at[SP_AXIS_DATA], &shape.at[SP_AXIS_PIPELINE],
	                        &shape.at[SP_AXIS_SEQUENCE], &shape.at[SP_AXIS_TENSOR], &end) != 4)
		return 1;
	int product = 1;
	for (int axis = 0; axis < SP_AXES; axis++)
		product *= shape.at[axis];
	return product != ranks.size;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(losses_gradients_and_parameters_equal_those_of_one_rank),
		cmocka_unit_test(each_rank_allocates_and_sends_what_its_plan_says),
		cmocka_unit_test(activations_of_16_bits_train_the_same),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	if (read_shape(argc, argv)) {
		fprintf(stderr, "test_grid wants DATAxPIPELINExSEQUENCExTENSOR, and as many ranks\n");
		return 1;
	}
	const struct CMUnitTest of_pipelines[] = {
		cmocka_unit_test(tied_word_tables_hold_the_same_bits_after_ten_steps),
	};
	const struct CMUnitTest of_pairs[] = { /* four layers divide into two runs on each of two stages */
		cmocka_unit_test(interleaved_stages_train_the_same),
		cmocka_unit_test(interleaved_stages_allocate_and_send_what_their_plan_says),
	};
	const struct CMUnitTest of_sequences[] = {
		cmocka_unit_test(every_kind_of_attention_trains_the_same),
		cmocka_unit_test(every_kind_of_attention_allocates_and_sends_what_its_plan_says),
	};
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	if (shape.at[SP_AXIS_PIPELINE] > 1)
		failed |= test_ranks_agree(&ranks, cmocka_run_group_tests(of_pipelines, NULL, NULL));
	if (shape.at[SP_AXIS_PIPELINE] == 2)
		failed |= test_ranks_agree(&ranks, cmocka_run_group_tests(of_pairs, NULL, NULL));
	if (shape.at[SP_AXIS_SEQUENCE] > 1)
		failed |= test_ranks_agree(&ranks, cmocka_run_group_tests(of_sequences, NULL, NULL));
	test_ranks_close(&ranks);
	return failed;
}
