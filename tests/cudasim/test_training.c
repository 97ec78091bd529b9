/* A small model trained on the cuda module's kernels, simulated, against the same training on the cpu module: losses,
 * gradients and parameters, dropout on, the sequence, or the weights, split over the ranks that there are. SEQPAR_TEST_DEVICE names another
 * module to hold against the cpu, such as cuda itself, and SEQPAR_TEST_COMM the one that passes messages. */
#include "config.h"

#include "support.h"

#include "backend/module.h"
#include "ranks/ranks.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_ranks ranks;
static struct sp_compute *device;

enum { STEPS = 3 };

struct result {
	double loss[STEPS], norm[STEPS];
	float *values, *gradients; /* host; gradients are this rank's share of the first step's */
	struct sp_parameters table;
	int64_t graphs; /* launched */
};

/* Two heads of 16, sequences that do not divide by the ranks, so there is padding; every kind of site that drops. */
static int settings(struct sp_settings *s, const char *norm, const char *activation, const char *layout)
{
	const char *const words[] = {
		"model.layers=2",          "model.hidden=32",
		"model.heads=2",           "model.vocab_size=97",
		"model.max_positions=64",  "model.sentence_order=true",
		"model.dropout=0.1",       "model.attention_dropout=0.1",
		"train.iters=3",           "train.global_batch=4",
		"train.micro_batch=2",     "train.sequence_length=41",
		"train.eval_interval=0",   "optimizer.lr=1e-3",
		"optimizer.decay_iters=4", "optimizer.clip_norm=1",
		"model.window=17",         "model.globals=3",
		"model.global_tokens=separators",
	};
	int bad = 0;
	sp_settings_default(s);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		bad = bad || sp_settings_word(s, words[i]) != 0;
	bad = bad || sp_settings_word(s, norm) != 0 || sp_settings_word(s, activation) != 0;
	bad = bad || sp_settings_word(s, layout) != 0;
	if (s->parallel.tensor == 1)
		s->parallel.sequence = ranks.size / s->parallel.pipeline;
	return bad || sp_settings_finish(s) != 0;
}

static int take_out(struct sp_compute *compute, const float *from, int64_t n, float **to)
{
	const size_t bytes = (size_t)n * sizeof(float);
	*to = malloc(bytes + 1);
	return !*to || sp_compute_copy_out(compute, *to, from, bytes) != 0;
}

static int take_steps(const struct sp_settings *s, struct sp_compute *compute, struct sp_setup *setup,
                      struct sp_optimizer *o, struct result *r)
{
	const struct sp_schedule schedule = sp_schedule_make(s->optimizer.lr, s->optimizer.min_lr, s->optimizer.warmup_fraction,
	                                                     s->optimizer.decay_iters, SP_SCHEDULE_LINEAR);
	struct sp_settings apart = *s; /* the first step's own gradients are taken out: no sum over ranks may be under way */
	int bad = 0;
	apart.parallel.overlap = 0;
	for (int i = 0; i < STEPS && !bad; i++) {
		setup->settings = i == 0 ? &apart : s;
		struct sp_outcome outcome = { .loss = NAN };
		struct sp_optimizer_result step = { .norm = NAN };
		struct sp_work work;
		bad = sp_setup_run(setup, SP_TRAIN, (uint64_t)i, 1, sp_optimizer_scale(o), &work) != 0;
		if (!bad && i + 1 < STEPS) /* the simulator ends a test that writes to what it has not waited for */
			sp_batches_draw_ahead(setup->batches, SP_TRAIN, (uint64_t)i + 1);
		bad = bad || sp_setup_outcome(setup, &work, &outcome) != 0;
		r->loss[i] = outcome.loss;
		if (i == 0 && !bad)
			bad = take_out(compute, sp_model_gradients(setup->model), r->table.elements, &r->gradients);
		for (int64_t j = 0; i == 0 && !bad && j < r->table.elements; j++)
			r->gradients[j] /= (float)sp_optimizer_scale(o);
		bad = bad || sp_optimizer_step(o, sp_model_values(setup->model), sp_model_gradients(setup->model),
		                               sp_schedule_rate(&schedule, i)) || sp_optimizer_result(o, &step);
		r->norm[i] = step.norm;
	}
	setup->settings = s;
	return bad;
}

static int train(const struct sp_settings *s, struct sp_compute *compute, struct result *r)
{
	struct sp_setup setup;
	const struct sp_optimizer_options options = { s->optimizer.beta1, s->optimizer.beta2, s->optimizer.eps,
		                                          s->optimizer.weight_decay, s->optimizer.clip_norm,
		                                          sp_setup_scale(s), 0, sp_setup_summed, &setup };
	struct sp_optimizer *o = NULL;
	if (sp_setup_open(s, compute, ranks.world, &setup))
		return 1;
	int bad = sp_optimizer_create(compute, ranks.world, setup.reduce, sp_model_parameters(setup.model), &options, &o) != 0;
	bad = bad || sp_parameters_create_part(&setup.config, &setup.options.part, &r->table) != 0;
	bad = bad || take_steps(s, compute, &setup, o, r);
	bad = bad || take_out(compute, sp_model_values(setup.model), r->table.elements, &r->values);
	r->graphs = sp_model_graphs_launched(setup.model);
	sp_optimizer_destroy(o);
	sp_setup_close(&setup);
	return bad;
}

static int far(const char *what, int i, double got, double want)
{
	if (fabs(got - want) <= 1e-5 * fabs(want))
		return 0;
	fprintf(stderr, "rank %d: %s of step %d is %.9g, on the cpu %.9g\n", ranks.rank, what, i + 1, got, want);
	return 1;
}

/* Some gradients, such as the key bias's, are zero but for rounding: they are judged by the size of all of them. */
static int gradients_differ(const struct result *got, const struct result *want)
{
	const double all = test_ranks_compare(got->gradients, want->gradients, want->table.elements).reference;
	int bad = 0;
	for (int i = 0; i < want->table.count; i++) {
		const struct sp_parameter *p = &want->table.entry[i];
		const struct test_norms n =
			test_ranks_compare(got->gradients + p->offset, want->gradients + p->offset, p->rows * p->cols);
		if (n.difference <= fmax(1e-5 * n.reference, 1e-6 * all))
			continue;
		fprintf(stderr, "rank %d: the gradient of %s differs by %g of %g\n", ranks.rank, p->name, n.difference, n.reference);
		bad = 1;
	}
	return bad;
}

/* The gradient of a key's bias is zero but for rounding, which Adam turns into steps of any direction. */
static int differ(const struct result *got, const struct result *want)
{
	int bad = gradients_differ(got, want);
	for (int i = 0; i < STEPS; i++)
		bad |= far("loss", i, got->loss[i], want->loss[i]) | far("gradient norm", i, got->norm[i], want->norm[i]);
	for (int i = 0; i < want->table.count; i++) {
		const struct sp_parameter *p = &want->table.entry[i];
		const struct test_norms n = test_ranks_compare(got->values + p->offset, want->values + p->offset, p->rows * p->cols);
		if (strstr(p->name, "key.bias") || n.difference <= 1e-4 * n.reference)
			continue;
		fprintf(stderr, "rank %d: %s differs by %g of %g\n", ranks.rank, p->name, n.difference, n.reference);
		bad = 1;
	}
	return bad;
}

static void free_result(struct result *r)
{
	free(r->values);
	free(r->gradients);
	sp_parameters_destroy(&r->table);
}

static void training_equals_the_cpu(const char *norm, const char *activation, const char *layout)
{
	struct result got = { .loss = { 0 } }, want = { .loss = { 0 } };
	struct sp_settings s;
	int bad = settings(&s, norm, activation, layout);
	bad = bad || train(&s, device, &got);
	bad = bad || train(&s, ranks.compute, &want);
	bad = bad || differ(&got, &want);
	free_result(&got);
	free_result(&want);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void training_of_a_post_norm_model_equals_the_cpu(void **state)
{
	(void)state;
	training_equals_the_cpu("model.norm=post", "model.activation=gelu", "parallel.attention=ring");
}

static void training_of_a_pre_norm_model_equals_the_cpu(void **state)
{
	(void)state;
	training_equals_the_cpu("model.norm=pre", "model.activation=gelu_tanh", "parallel.attention=ring");
}

static void training_on_whole_rows_of_scores_equals_the_cpu(void **state)
{
	(void)state;
	training_equals_the_cpu("model.norm=post", "model.activation=gelu", "parallel.attention=rsa");
}

/* A halo that is less than a rank's share. */
static void training_in_a_window_equals_the_cpu(void **state)
{
	(void)state;
	training_equals_the_cpu("model.norm=post", "model.activation=gelu", "parallel.attention=window");
}

/* One head and half the vocabulary on each of two ranks. */
static void training_on_tensor_ranks_equals_the_cpu(void **state)
{
	(void)state;
	training_equals_the_cpu("model.norm=pre", "model.activation=gelu", ranks.size > 1 ? "parallel.tensor=2" : "parallel.tensor=1");
}

/* Two stages, of sequences split over the rest of the ranks. */
static void training_in_stages_equals_the_cpu(void **state)
{
	(void)state;
	if (ranks.size % 2)
		skip();
	training_equals_the_cpu("model.norm=post", "model.activation=gelu", "parallel.pipeline=2");
}

/* ---- layers as graphs ---- */

static int with_graphs(struct sp_settings *s, const char *norm, const char *more, int stages, const char *graph)
{
	int bad = settings(s, norm, "model.activation=gelu", "parallel.attention=ring");
	if (strcmp(more, "parallel.virtual_stages=2") == 0)
		bad = bad || sp_settings_word(s, "model.layers=4") != 0;
	bad = bad || sp_settings_word(s, "train.last_layer=all") != 0 || sp_settings_word(s, more) != 0;
	bad = bad || sp_settings_word(s, "train.micro_batch=1") != 0 || sp_settings_word(s, graph) != 0;
	s->parallel.pipeline = ranks.size % stages == 0 ? stages : 1;
	s->parallel.sequence = 1;
	return bad || sp_settings_finish(s) != 0;
}

static int same_bits(const struct result *got, const struct result *want)
{
	const size_t bytes = (size_t)want->table.elements * sizeof(float);
	return memcmp(got->loss, want->loss, sizeof got->loss) == 0 && memcmp(got->norm, want->norm, sizeof got->norm) == 0 &&
	       memcmp(got->gradients, want->gradients, bytes) == 0 && memcmp(got->values, want->values, bytes) == 0;
}

/* All layers, in the second micro-batch of a kind for the first time, and then in each; `refused`: none. */
static int launched_wrongly(const struct sp_settings *s, const struct result *r, int refused)
{
	const int64_t micro = STEPS * s->train.global_batch / (ranks.size / s->parallel.pipeline);
	const int64_t layers = s->model.layers / s->parallel.pipeline;
	const int64_t places = s->parallel.pipeline > 1 ? 8 : 2; /* with padding and without; of a stage slots and buffers: each is new once */
	const int64_t most = 2 * layers * (micro - 1), least = 2 * layers * (micro - places);
	if (refused ? r->graphs == 0 : r->graphs >= least && r->graphs <= most && r->graphs > 0)
		return 0;
	fprintf(stderr, "rank %d: %lld layers were graphs, not %lld to %lld\n", ranks.rank, (long long)r->graphs, (long long)least, (long long)most);
	return 1;
}

static void graphs_give_the_same_bits(const char *norm, const char *more, int stages, const char *graph, int refused)
{
	struct result got = { .loss = { 0 } }, want = { .loss = { 0 } };
	struct sp_settings s;
	int bad = with_graphs(&s, norm, more, stages, graph);
	bad = bad || train(&s, device, &got) || launched_wrongly(&s, &got, refused);
	bad = bad || sp_settings_word(&s, "backend.graph=off") != 0 || train(&s, device, &want) || want.graphs != 0;
	bad = bad || !same_bits(&got, &want);
	free_result(&got);
	free_result(&want);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void graphs_of_post_norm_layers_give_the_same_bits(void **state)
{
	(void)state;
	graphs_give_the_same_bits("model.norm=post", "train.recompute=none", 1, "backend.graph=on", 0);
}

static void graphs_of_pre_norm_layers_done_again_give_the_same_bits(void **state)
{
	(void)state;
	graphs_give_the_same_bits("model.norm=pre", "train.recompute=layer", 1, "backend.graph=auto", 0);
}

static void graphs_in_stages_give_the_same_bits(void **state)
{
	(void)state;
	if (ranks.size % 2)
		skip();
	graphs_give_the_same_bits("model.norm=pre", "train.recompute=none", 2, "backend.graph=on", 0);
}

/* Two runs of layers in each stage. */
static void graphs_in_interleaved_stages_give_the_same_bits(void **state)
{
	(void)state;
	if (ranks.size % 2)
		skip();
	graphs_give_the_same_bits("model.norm=post", "parallel.virtual_stages=2", 2, "backend.graph=on", 0);
}

static void graphs_of_attention_done_again_give_the_same_bits(void **state)
{
	(void)state;
	graphs_give_the_same_bits("model.norm=post", "train.recompute=attention", 1, "backend.graph=on", 0);
}

/* Only the simulated device can be told so. Where graphs must be the rank fails alone, and the others would wait for it. */
static void a_device_that_records_nothing_trains_without(void **state)
{
	struct result r = { .loss = { 0 } };
	struct sp_settings s;
	(void)state;
	if (strcmp(test_ranks_device_name(), "cudasim") != 0)
		skip();
	setenv("SEQPAR_CUDASIM_GRAPH", "refused", 1);
	graphs_give_the_same_bits("model.norm=post", "train.recompute=none", 1, "backend.graph=auto", 1);
	int bad = with_graphs(&s, "model.norm=post", "train.recompute=none", 1, "backend.graph=on");
	bad = bad || (ranks.size == 1 && !train(&s, device, &r));
	unsetenv("SEQPAR_CUDASIM_GRAPH");
	free_result(&r);
	assert_false(test_ranks_agree(&ranks, bad));
}

static double gradients_apart(const struct result *a, const struct result *b)
{
	const struct test_norms n = test_ranks_compare(a->gradients, b->gradients, b->table.elements);
	return n.difference / n.reference;
}

/* As far from the cpu's in fp32 as roundings take it, and not nearer. `s`: how `compute` trains. */
static int not_near_the_cpu(struct sp_compute *compute, struct sp_settings *s, double nearest, double farthest)
{
	struct result got = { .loss = { 0 } }, want = { .loss = { 0 } };
	int bad = train(s, compute, &got);
	bad = bad || sp_settings_word(s, "train.precision=fp32") != 0 || train(s, ranks.compute, &want);
	for (int i = 0; i < STEPS && !bad; i++)
		bad = !(fabs(got.loss[i] - want.loss[i]) <= farthest / 10 * want.loss[i]);
	const double apart = bad ? NAN : gradients_apart(&got, &want);
	if (!(apart > nearest && apart < farthest))
		fprintf(stderr, "rank %d: losses %g %g, gradients differ by %g\n", ranks.rank, got.loss[0], want.loss[0], apart);
	free_result(&got);
	free_result(&want);
	return !(apart > nearest && apart < farthest);
}

/* The cpu has neither tf32 nor fp16, and says so. */
static int is_the_cpu(void)
{
	return strcmp(test_ranks_device_name(), "cpu") == 0;
}

/* Roundings of 2^-11. */
static void training_in_tf32_is_near_the_cpu(void **state)
{
	const struct sp_compute_options options = { .threads = 1, .device = sp_comm_place(ranks.world).local_rank,
		                                        .precision = SP_PRECISION_TF32 };
	struct sp_compute *tf32 = NULL;
	struct sp_settings s;
	(void)state;
	if (is_the_cpu())
		skip();
	int bad = settings(&s, "model.norm=post", "model.activation=gelu", "parallel.attention=ring");
	bad = bad || sp_compute_open(test_ranks_device_name(), &options, &tf32) != 0;
	bad = bad || sp_comm_bind(ranks.world, tf32) != 0;
	bad = bad || not_near_the_cpu(tf32, &s, 1e-4, 1e-2);
	sp_compute_close(tf32);
	bad = sp_comm_bind(ranks.world, device) || bad;
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Roundings of 2^-9, of what layers hand on as well. */
static void training_in_bf16_is_near_the_cpu(void **state)
{
	struct sp_settings s;
	(void)state;
	int bad = settings(&s, "model.norm=pre", "model.activation=gelu", "parallel.attention=ring");
	bad = bad || sp_settings_word(&s, "train.precision=bf16") != 0;
	bad = bad || not_near_the_cpu(device, &s, 1e-3, 5e-2);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Of every parameter's gradient and each loss: no farther from the cpu's in fp32 than 2.5 times what the cpu is in bf16, and a little that such
 * small tensors may be off by chance. */
static int farther_than_the_cpu(const struct result *got, const struct result *cpu, const struct result *exact)
{
	const double all = test_ranks_compare(got->gradients, exact->gradients, exact->table.elements).reference;
	int bad = 0;
	for (int i = 0; i < exact->table.count; i++) {
		const struct sp_parameter *p = &exact->table.entry[i];
		const int64_t n = p->rows * p->cols;
		const struct test_norms own = test_ranks_compare(got->gradients + p->offset, exact->gradients + p->offset, n);
		const struct test_norms its = test_ranks_compare(cpu->gradients + p->offset, exact->gradients + p->offset, n);
		if (own.difference <= 2.5 * its.difference + 2e-3 * fmax(own.reference, 1e-2 * all))
			continue;
		fprintf(stderr, "rank %d: in bf16 the gradient of %s is off by %g of %g, on the cpu by %g\n", ranks.rank, p->name, own.difference,
		        own.reference, its.difference);
		bad = 1;
	}
	for (int i = 0; i < STEPS; i++)
		bad |= !(fabs(got->loss[i] - exact->loss[i]) <= 2.5 * fabs(cpu->loss[i] - exact->loss[i]) + 2e-3 * exact->loss[i]);
	return bad;
}

static void training_in_bf16_is_as_near_as_the_cpus(void **state)
{
	struct result got = { .loss = { 0 } }, cpu = { .loss = { 0 } }, exact = { .loss = { 0 } };
	struct sp_settings s;
	(void)state;
	int bad = settings(&s, "model.norm=post", "model.activation=gelu", "parallel.attention=ring");
	bad = bad || sp_settings_word(&s, "train.precision=bf16") != 0 || train(&s, device, &got) || train(&s, ranks.compute, &cpu);
	bad = bad || sp_settings_word(&s, "train.precision=fp32") != 0 || train(&s, ranks.compute, &exact);
	bad = bad || farther_than_the_cpu(&got, &cpu, &exact);
	free_result(&got);
	free_result(&cpu);
	free_result(&exact);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* As `s` says, by that kernel; sequences of 40 tokens, some of them short, nothing dropped in attention. */
static int train_by(enum sp_attention_kernel kernel, struct sp_settings *s, const char *are_short, const char *graph, struct result *r)
{
	const struct sp_compute_options options = { .threads = 1, .device = sp_comm_place(ranks.world).local_rank,
		                                        .attention_kernel = kernel };
	struct sp_compute *compute = NULL;
	int bad = settings(s, "model.norm=post", "model.activation=gelu", "parallel.attention=ring");
	bad = bad || sp_settings_word(s, "train.precision=bf16") != 0 || sp_settings_word(s, "model.attention_dropout=0") != 0;
	bad = bad || sp_settings_word(s, "train.sequence_length=40") != 0 || sp_settings_word(s, are_short) != 0;
	bad = bad || sp_settings_word(s, graph) != 0 || sp_settings_word(s, "train.last_layer=all") != 0;
	bad = bad || sp_settings_word(s, "train.seed=1") != 0; /* with short sequences one rank has padding, and one has none */
	bad = bad || sp_compute_open(test_ranks_device_name(), &options, &compute) != 0;
	bad = bad || sp_comm_bind(ranks.world, compute) != 0;
	bad = bad || train(s, compute, r);
	sp_compute_close(compute);
	return sp_comm_bind(ranks.world, device) || bad;
}

static int has_cudnn(void)
{
	const struct sp_compute_options options = { .threads = 1, .device = sp_comm_place(ranks.world).local_rank,
		                                        .attention_kernel = SP_ATTENTION_CUDNN };
	struct sp_compute *compute = NULL;
	const int status = sp_compute_open(test_ranks_device_name(), &options, &compute);
	sp_compute_close(compute);
	return !test_ranks_agree(&ranks, status == SP_ERR_UNUSABLE);
}

static double loss_apart(const struct result *a, const struct result *b)
{
	double far = 0;
	for (int i = 0; i < STEPS; i++)
		far = fmax(far, fabs(a->loss[i] - b->loss[i]) / b->loss[i]);
	return far;
}

/* Both kernels of attention round as they go, each in its own places: near each other and the cpu, and not the same. Where sequences
 * are short, hops that meet padding are the own kernels', others the library's. */
static void training_by_cudnn_is_near_the_cpu(const char *are_short)
{
	struct result cudnn = { .loss = { 0 } }, flash = { .loss = { 0 } }, cpu = { .loss = { 0 } };
	const double most = strcmp(test_ranks_device_name(), "cudasim") == 0 ? 4e-3 : 1e-2; /* the stand-in rounds less */
	struct sp_settings s;
	if (!has_cudnn())
		skip();
	int bad = train_by(SP_ATTENTION_CUDNN, &s, are_short, "backend.graph=auto", &cudnn);
	bad = train_by(SP_ATTENTION_FLASH, &s, are_short, "backend.graph=auto", &flash) || bad;
	bad = bad || sp_settings_word(&s, "train.precision=fp32") != 0 || train(&s, ranks.compute, &cpu);
	const double other = bad ? NAN : gradients_apart(&cudnn, &flash), far = bad ? NAN : gradients_apart(&cudnn, &cpu);
	bad = bad || !(far < 5e-2) || !(other > 1e-5 && other < most) || !(loss_apart(&cudnn, &cpu) < 5e-3);
	if (bad)
		fprintf(stderr, "rank %d, %s: gradients by cudnn differ by %g from the cpu's, by %g from flash's\n", ranks.rank, are_short, far, other);
	free_result(&cudnn);
	free_result(&flash);
	free_result(&cpu);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Steps of a micro-batch with padding are the own kernels', of one without the library's: their graphs are not each other's. The real
 * library's gradients differ from run to run. */
static void graphs_of_either_kernel_give_the_same_bits(void **state)
{
	struct result got = { .loss = { 0 } }, want = { .loss = { 0 } };
	struct sp_settings s;
	(void)state;
	if (!has_cudnn() || ranks.size > 1 || strcmp(test_ranks_device_name(), "cudasim") != 0)
		skip();
	int bad = train_by(SP_ATTENTION_CUDNN, &s, "data.short_seq_prob=0.4", "backend.graph=on", &got);
	bad = bad || train_by(SP_ATTENTION_CUDNN, &s, "data.short_seq_prob=0.4", "backend.graph=off", &want);
	bad = bad || got.graphs == 0 || want.graphs != 0 || !same_bits(&got, &want);
	free_result(&got);
	free_result(&want);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void training_by_cudnn_on_whole_sequences_is_near_the_cpu(void **state)
{
	(void)state;
	training_by_cudnn_is_near_the_cpu("data.short_seq_prob=0");
}

static void training_by_cudnn_beside_padding_is_near_the_cpu(void **state)
{
	(void)state;
	training_by_cudnn_is_near_the_cpu("data.short_seq_prob=0.4");
}

/* Roundings of 2^-12, of gradients of a loss that is scaled so that they stay in range. */
static void training_in_fp16_is_near_the_cpu(void **state)
{
	struct sp_settings s;
	(void)state;
	if (is_the_cpu())
		skip();
	int bad = settings(&s, "model.norm=post", "model.activation=gelu", "parallel.attention=ring");
	bad = bad || sp_settings_word(&s, "train.precision=fp16") != 0 || sp_settings_word(&s, "train.loss_scale=4096") != 0;
	bad = bad || not_near_the_cpu(device, &s, 1e-4, 1e-2);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void the_cpu_refuses_tf32(void **state)
{
	const struct sp_compute_options options = { .threads = 1, .precision = SP_PRECISION_TF32 };
	struct sp_compute *compute = NULL;
	(void)state;
	assert_int_equal(sp_compute_open("cpu", &options, &compute), SP_ERR_UNUSABLE);
	assert_null(compute);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(training_of_a_post_norm_model_equals_the_cpu),
		cmocka_unit_test(training_of_a_pre_norm_model_equals_the_cpu),
		cmocka_unit_test(training_on_whole_rows_of_scores_equals_the_cpu),
		cmocka_unit_test(training_in_a_window_equals_the_cpu),
		cmocka_unit_test(training_on_tensor_ranks_equals_the_cpu),
		cmocka_unit_test(training_in_stages_equals_the_cpu),
		cmocka_unit_test(graphs_of_post_norm_layers_give_the_same_bits),
		cmocka_unit_test(graphs_of_pre_norm_layers_done_again_give_the_same_bits),
		cmocka_unit_test(graphs_in_stages_give_the_same_bits),
		cmocka_unit_test(graphs_in_interleaved_stages_give_the_same_bits),
		cmocka_unit_test(graphs_of_attention_done_again_give_the_same_bits),
		cmocka_unit_test(a_device_that_records_nothing_trains_without),
		cmocka_unit_test(training_in_tf32_is_near_the_cpu),
		cmocka_unit_test(training_in_bf16_is_near_the_cpu),
		cmocka_unit_test(training_in_bf16_is_as_near_as_the_cpus),
		cmocka_unit_test(graphs_of_either_kernel_give_the_same_bits),
		cmocka_unit_test(training_by_cudnn_on_whole_sequences_is_near_the_cpu),
		cmocka_unit_test(training_by_cudnn_beside_padding_is_near_the_cpu),
		cmocka_unit_test(training_in_fp16_is_near_the_cpu),
		cmocka_unit_test(the_cpu_refuses_tf32),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	int failed = test_ranks_device(&ranks, &device);
	failed = failed || test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	sp_compute_close(device);
	test_ranks_close(&ranks);
	return failed;
}
