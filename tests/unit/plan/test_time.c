/* A step's time by a model of rates: the work is that of the metrics, and what is waited for follows from the design of each kind of
 * attention and of pipelines. */
#include "config.h"

#include "plan/stages.h"
#include "plan/time.h"
#include "train/flops.h"

#include "support.h"

static struct sp_plan_input input_of(int sequence, const char *kind)
{
	const struct sp_plan_input in = {
		.model = {
			.config = { .layers = 8, .hidden = 64, .heads = 4, .intermediate = 256, .vocab_size = 1000, .max_positions = 512 },
			.batch = 2,
			.attention = sp_attention_find(kind),
			.overlap = 1,
		},
		.data_ranks = 1,
		.sequence_ranks = sequence,
		.multiple = 1,
		.global_batch = 4,
	};
	return sp_plan_with_length(&in, 256);
}

static struct sp_plan_time time_of(const struct sp_plan_input *in, const struct sp_plan_rates *rates, double predicted)
{
	const struct sp_plan_work work = { predicted, 0 };
	struct sp_plan_time time;
	assert_int_equal(sp_plan_time_make(in, rates, &work, &time), SP_OK);
	return time;
}

static void same(double a, double b)
{
	assert_true(fabs(a - b) <= 1e-9 * fabs(b));
}

static const struct sp_plan_rates one_rate = { .gemm = 1e9, .forward = 1e9, .backward = 1e9 };

static void one_rank_takes_the_work_of_the_metrics_over_its_rate(void **state)
{
	(void)state;
	const struct sp_plan_input in = input_of(1, "ring");
	const struct sp_work work = { .samples = 4, .tokens = 4 * 256, .pairs = 4 * 256 * 256, .read_pairs = 4 * 64 * 256,
		                        .predicted = 4 * 64 };
	same(time_of(&in, &one_rate, 0.25).total, sp_flops_step(&in.model.config, &work) / 1e9);
}

static void a_projected_sequence_takes_the_work_of_the_metrics_too(void **state)
{
	(void)state;
	struct sp_plan_input in = input_of(1, "linformer");
	const struct sp_work work = { .samples = 4, .tokens = 4 * 256, .pairs = 4 * 256 * 256, .read_pairs = 4 * 64 * 256,
		                        .predicted = 4 * 64 };
	in.model.config.linformer_k = in.model.choice.linformer_k = 24;
	in.model.config.linformer_share = SP_LINFORMER_LAYER;
	same(time_of(&in, &one_rate, 0.25).total, sp_flops_step(&in.model.config, &work) / 1e9);
}

/* Neighbours are fewer at the ends of a sample: what plan counts of them is a little more. */
static void a_window_takes_about_the_work_of_the_metrics_too(void **state)
{
	(void)state;
	const int64_t window = 10, tokens = 256, near = tokens * (2 * window + 1) - window * (window + 1) + 2 * (tokens - 1 - window);
	struct sp_plan_input in = input_of(1, "window");
	const struct sp_work work = { .samples = 4, .tokens = 4 * tokens, .pairs = 4 * tokens * tokens,
		                        .read_pairs = 4 * 64 * tokens, .predicted = 4 * 64, .near = 4 * near, .read_near = near };
	in.model.config.window = in.model.choice.window = window;
	in.model.config.globals = in.model.choice.globals = 1;
	for (int every = 0; every < 3; every++) {
		in.model.config.global_every = every;
		const double planned = time_of(&in, &one_rate, 0.25).total, counted = sp_flops_step(&in.model.config, &work) / 1e9;
		assert_true(planned > 0.97 * counted && planned < 1.03 * counted);
	}
}

static void head_and_directions_of_attention_have_rates_of_their_own(void **state)
{
	(void)state;
	const struct sp_plan_input in = input_of(1, "ring");
	const struct sp_plan_rates rates = { .gemm = 1e9, .forward = 2e9, .backward = 5e9 };
	const struct sp_plan_rates with_head = { .gemm = 1e9, .head = 2e9, .forward = 2e9, .backward = 5e9 };
	same(time_of(&in, &rates, 0.25).head, 2 * time_of(&in, &with_head, 0.25).head);
	same(time_of(&in, &rates, 0.25).total - time_of(&in, &rates, 0.25).head,
	     time_of(&in, &with_head, 0.25).total - time_of(&in, &with_head, 0.25).head);
	same(time_of(&in, &rates, 0.25).attention, (8 - 0.75) * 4 * 256.0 * 256 * 64 * (4 / 2e9 + 8 / 5e9));
}

static void what_is_computed_again_takes_time(void **state)
{
	(void)state;
	struct sp_plan_input in = input_of(1, "ring");
	const struct sp_plan_time none = time_of(&in, &one_rate, 1);
	in.model.recompute = SP_RECOMPUTE_ATTENTION;
	const struct sp_plan_time attention = time_of(&in, &one_rate, 1);
	in.model.recompute = SP_RECOMPUTE_LAYER;
	const struct sp_plan_time layer = time_of(&in, &one_rate, 1);
	same(attention.products, none.products * (6 + 2 * 0.25) / 6);
	same(attention.attention, none.attention);
	same(layer.products, none.products * 8 / 6);
	same(layer.attention, none.attention * 16 / 12);
}

static void ranks_whose_messages_are_free_share_the_work(void **state)
{
	(void)state;
	const struct sp_plan_input alone = input_of(1, "ring"), four = input_of(4, "ring");
	same(time_of(&four, &one_rate, 0.25).total, time_of(&alone, &one_rate, 0.25).total / 4);
	struct sp_plan_input tensor = input_of(1, "ring");
	tensor.model.part.tensors = 4;
	same(time_of(&tensor, &one_rate, 0.25).products, time_of(&alone, &one_rate, 0.25).products / 4);
	same(time_of(&tensor, &one_rate, 0.25).attention, time_of(&alone, &one_rate, 0.25).attention / 4);
}

/* Of a layer's traffic in units of B C H: ring 2 (P - 1) and 4 (P - 1), rsa 2 (P - 1) and 6 (P - 1). */
static double units(const struct sp_plan_input *in, double n, double bandwidth)
{
	return n * (in->sequence_ranks - 1) * (double)(in->model.batch * in->model.chunk * in->model.config.hidden) * 4 / bandwidth;
}

static void a_ring_waits_for_what_attention_does_not_hide(void **state)
{
	(void)state;
	struct sp_plan_input in = input_of(4, "ring");
	struct sp_plan_rates rates = one_rate;
	const double layers = 8 * 2; /* of two micro-batches */
	rates.bandwidth = 1e12;
	const struct sp_plan_time fast = time_of(&in, &rates, 0.25);
	assert_true(fast.sequence == 0);
	rates.bandwidth = 1e5;
	same(time_of(&in, &rates, 0.25).sequence, layers * units(&in, 6, 1e5) - 0.75 * fast.attention);
	in.model.overlap = 0;
	same(time_of(&in, &rates, 0.25).sequence, layers * units(&in, 6, 1e5));
	rates = one_rate;
	rates.latency = 1e-3; /* 3 messages forward, 6 backward */
	same(time_of(&in, &rates, 0.25).sequence, layers * 9e-3);
}

static void what_the_processor_copies_is_hidden_by_nothing(void **state)
{
	(void)state;
	const struct sp_plan_input in = input_of(4, "ring");
	struct sp_plan_rates rates = one_rate;
	rates.bandwidth = 1e12;
	rates.copied = 1;
	same(time_of(&in, &rates, 0.25).sequence, 8 * 2 * units(&in, 6, 1e12));
	rates.copied = 0.25;
	same(time_of(&in, &rates, 0.25).sequence, 8 * 2 * units(&in, 6, 1e12) / 4);
}

static void the_published_ring_waits_for_its_two_sums(void **state)
{
	(void)state;
	const struct sp_plan_input rsa = input_of(4, "rsa"), ulysses = input_of(4, "ulysses");
	struct sp_plan_rates rates = one_rate;
	rates.bandwidth = 1e10;
	same(time_of(&rsa, &rates, 0.25).sequence, 8 * 2 * units(&rsa, 4, 1e10));
	assert_true(time_of(&ulysses, &rates, 0.25).sequence > 0);
}

static void tensor_ranks_wait_for_every_sum(void **state)
{
	(void)state;
	struct sp_plan_input in = input_of(1, "full");
	struct sp_plan plan;
	in.model.part.tensors = 2;
	struct sp_plan_rates rates = one_rate;
	rates.bandwidth = 1e9;
	assert_int_equal(sp_plan_make(&in, &plan), SP_OK);
	same(time_of(&in, &rates, 0.25).tensor, (double)plan.tensor_bytes / 1e9);
	assert_true(plan.tensor_bytes > 0);
}

static void replicas_wait_for_the_words_and_the_parameters(void **state)
{
	(void)state;
	struct sp_plan_input in = input_of(1, "ring");
	in.data_ranks = 2;
	in.global_batch = 8;
	struct sp_plan plan;
	struct sp_plan_rates rates = one_rate;
	rates.bandwidth = 1e12;
	assert_int_equal(sp_plan_make(&in, &plan), SP_OK);
	const double half = (double)plan.gradient_bytes / 2 / 1e12, words = 1000 * 64 * 4 / (double)plan.model.gradients;
	same(time_of(&in, &rates, 0.25).gradients, half + words * half);
	rates.copied = 1;
	same(time_of(&in, &rates, 0.25).gradients, 2 * half);
	rates.copied = 0.5;
	same(time_of(&in, &rates, 0.25).gradients, half + words * half + (1 - words) * half / 2);
	rates.gradients = 2e12;
	same(time_of(&in, &rates, 0.25).gradients, (half + words * half + (1 - words) * half / 2) / 2);
	rates.gradients = rates.copied = 0;
	in.model.overlap = 0;
	same(time_of(&in, &rates, 0.25).gradients, 2 * half);
}

static void stages_of_equal_work_wait_as_long_as_their_schedule_says(void **state)
{
	(void)state;
	for (int pieces = 1; pieces <= 2; pieces++) {
		struct sp_plan_input in = input_of(1, "ring");
		in.model.config.vocab_size = 1; /* heads of next to no work */
		in.global_batch = 16;
		in.model.part = (struct sp_model_part){ .stages = 4, .pieces = pieces };
		const struct sp_plan_work all = { 0, 1 };
		const struct sp_pipeline pipeline = sp_plan_pipeline(&in);
		struct sp_plan_time time;
		assert_int_equal(sp_plan_time_make(&in, &one_rate, &all, &time), SP_OK);
		same(time.pipeline / time.total, sp_pipeline_bubble(&pipeline));
	}
}

/* The last stage, of half the work, is done with the first micro-batch while the first stage is at the second. */
static void a_stage_of_little_work_is_not_waited_for(void **state)
{
	(void)state;
	const struct sp_pipeline two = { .stages = 2, .pieces = 1, .micro_batches = 2 };
	const struct sp_plan_stage uneven[] = { { 10, 20 }, { 3, 6 } }, late[] = { { 10, 20 }, { 6, 12 } };
	double seconds;
	assert_int_equal(sp_plan_stages(&two, uneven, 0, &seconds), SP_OK);
	same(seconds, 2 * 30);
	/* Messages of 2 s, and the first comes back 2 + 18 + 2 s after it was sent, while the second takes 10. */
	assert_int_equal(sp_plan_stages(&two, late, 2, &seconds), SP_OK);
	same(seconds, 2 * 30 + 12);
}

static void parts_add_up_to_the_step(void **state)
{
	(void)state;
	const struct sp_plan_input in = input_of(4, "rsa");
	const struct sp_plan_rates rates = { .gemm = 1e9, .forward = 2e9, .backward = 3e9, .memory = 4e9, .latency = 5e-6,
		                             .bandwidth = 6e6 };
	const struct sp_plan_time time = time_of(&in, &rates, 0.15);
	double sum = -time.total;
	for (const struct sp_plan_time_part *part = sp_plan_time_parts; part->name; part++) {
		const double each = *(const double *)((const char *)&time + part->at);
		assert_true(each > 0 || part->at == offsetof(struct sp_plan_time, tensor) ||
		            part->at == offsetof(struct sp_plan_time, pipeline));
		sum += each;
	}
	same(sum, time.total);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_rank_takes_the_work_of_the_metrics_over_its_rate),
		cmocka_unit_test(a_projected_sequence_takes_the_work_of_the_metrics_too),
		cmocka_unit_test(a_window_takes_about_the_work_of_the_metrics_too),
		cmocka_unit_test(head_and_directions_of_attention_have_rates_of_their_own),
		cmocka_unit_test(what_is_computed_again_takes_time),
		cmocka_unit_test(ranks_whose_messages_are_free_share_the_work),
		cmocka_unit_test(a_ring_waits_for_what_attention_does_not_hide),
		cmocka_unit_test(what_the_processor_copies_is_hidden_by_nothing),
		cmocka_unit_test(the_published_ring_waits_for_its_two_sums),
		cmocka_unit_test(tensor_ranks_wait_for_every_sum),
		cmocka_unit_test(replicas_wait_for_the_words_and_the_parameters),
		cmocka_unit_test(stages_of_equal_work_wait_as_long_as_their_schedule_says),
		cmocka_unit_test(a_stage_of_little_work_is_not_waited_for),
		cmocka_unit_test(parts_add_up_to_the_step),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
