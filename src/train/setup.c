#include "config.h"

#include "train/setup.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"
#include "train/adopt.h"
#include "train/planned.h"

#include <stdlib.h>
#include <string.h>

static int open_dataset(struct sp_setup *setup)
{
	const struct sp_settings *s = setup->settings;
	if (s->model.vocab_size == 0 && strcmp(s->data.source, "synthetic") == 0)
		setup->config.vocab_size = sp_planned_synthetic_vocab_size();
	struct sp_dataset_options options = {
		.source = s->data.source,
		.vocab = s->data.vocab,
		.split = s->data.split,
		.vocab_size = setup->config.vocab_size,
		.length = s->train.sequence_length,
		.mask_prob = s->data.mask_prob,
		.short_seq_prob = s->data.short_seq_prob,
		.sentence_order = s->model.sentence_order,
		.packing = s->data.packing,
		.longest = sp_model_longest(&setup->config),
		.seed = s->train.seed,
	};
	int status = sp_dataset_open(&options, &setup->dataset);
	if (!status && setup->config.vocab_size == 0)
		setup->config.vocab_size = sp_dataset_vocab_size(setup->dataset);
	return status;
}

static int check_split(struct sp_setup *setup, enum sp_split split, const char *what)
{
	if (sp_dataset_size(setup->dataset, split) > 0)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING, "data.split = %s leaves no documents of %s to %s; give it weight%s",
	               setup->settings->data.split, setup->settings->data.source, what,
	               split == SP_VALID && !setup->forward_only ? " or set train.eval_interval = 0" : "");
}

static int check_splits(struct sp_setup *setup)
{
	if (setup->forward_only)
		return check_split(setup, setup->split, "evaluate on");
	int status = check_split(setup, SP_TRAIN, "train on");
	return status || setup->settings->train.eval_interval == 0 ? status : check_split(setup, SP_VALID, "evaluate on");
}

static int check_device(struct sp_setup *setup)
{
	const struct sp_attention_variant *attention = sp_attention_find(setup->settings->parallel.attention);
	if (!attention)
		return SP_ERR_SETTING;
	const struct sp_settings *s = setup->settings;
	const struct sp_attention_choice choice = sp_planned_choice(s);
	const enum sp_dtype element = sp_planned_element(s);
	const struct sp_compute_needs needs = { element, setup->config.hidden / setup->config.heads,
		                                    setup->forward_only ? 0 : setup->config.attention_dropout, setup->grid.shape.at[SP_AXIS_TENSOR],
		                                    attention->keeps_scores, setup->config.rope_base > 0,
		                                    .attention_dtype = sp_attention_element(attention, &choice, element),
		                                    .never_whole = s->data.packing || s->parallel.balance == SP_BALANCE_COST };
	return sp_compute_supports(setup->compute, &needs);
}

static void fill_pipeline(struct sp_setup *setup)
{
	const struct sp_settings *s = setup->settings;
	const struct sp_grid_point *shape = &setup->grid.shape, *place = &setup->grid.place;
	setup->pipeline = (struct sp_pipeline){
		.stages = shape->at[SP_AXIS_PIPELINE],
		.stage = place->at[SP_AXIS_PIPELINE],
		.pieces = (int)s->parallel.virtual_stages,
		.micro_batches = s->train.global_batch / (shape->at[SP_AXIS_DATA] * s->train.micro_batch),
		.forward_only = setup->forward_only,
	};
}

static int check_attention(const struct sp_setup *setup)
{
	const struct sp_model_options *o = &setup->options;
	const struct sp_attention_shape_host shape = {
		o->batch, o->chunk, o->config.heads / o->part.tensors, o->config.hidden / o->config.heads,
		setup->grid.shape.at[SP_AXIS_SEQUENCE], setup->grid.place.at[SP_AXIS_SEQUENCE], o->choice,
	};
	int status = o->attention ? o->attention->check(&shape) : SP_ERR_SETTING;
	return status ? status : sp_planned_shares(setup->settings, o->attention);
}

/* A layer's work must be the same in each step, and queued by the host alone. */
static int choose_graphs(struct sp_setup *setup)
{
	const struct sp_settings *s = setup->settings;
	const struct sp_model_options *o = &setup->options;
	const char *why = !sp_compute_has_graphs(setup->compute)                       ? "this device has none" :
	                  setup->grid.shape.at[SP_AXIS_SEQUENCE] > 1                   ? "parallel.sequence is more than 1" :
	                  o->part.tensors > 1                                          ? "parallel.tensor is more than 1" :
	                  s->parallel.balance == SP_BALANCE_COST ? "parallel.balance = cost makes micro-batches of ever new lengths" :
	                  !o->attention->repeats ? "they take parallel.attention = ring or full" : NULL;
	if (s->backend.graph == SP_GRAPH_OFF || setup->forward_only || (why && s->backend.graph == SP_GRAPH_AUTO))
		return SP_OK;
	if (why)
		return sp_fail(SP_ERR_SETTING, "backend.graph = on: layers cannot be graphs, for %s (auto takes them where it can)", why);
	setup->options.graphs = s->backend.graph == SP_GRAPH_ON ? SP_MODEL_GRAPHS_ON : SP_MODEL_GRAPHS_AUTO;
	return SP_OK;
}

static int fill_options(struct sp_setup *setup)
{
	const struct sp_settings *s = setup->settings;
	const struct sp_grid_point *shape = &setup->grid.shape, *place = &setup->grid.place;
	setup->shard = sp_shard_of(s->train.sequence_length, shape->at[SP_AXIS_SEQUENCE], place->at[SP_AXIS_SEQUENCE],
	                           sp_compute_chunk_multiple(setup->compute));
	setup->shard.chunk = sp_shard_room(s->train.sequence_length, shape->at[SP_AXIS_SEQUENCE],
	                                   sp_compute_chunk_multiple(setup->compute), sp_planned_slack(s));
	fill_pipeline(setup);
	setup->options = (struct sp_model_options){
		.config = setup->config,
		.element = sp_planned_element(s),
		.batch = s->train.micro_batch,
		.chunk = setup->shard.chunk,
		.packed = s->data.packing,
		.attention = sp_attention_find(s->parallel.attention),
		.choice = sp_planned_choice(s),
		.sequence = setup->grid.group[SP_GROUP_SEQUENCE],
		.overlap = s->parallel.overlap,
		.recompute = (enum sp_recompute)s->train.recompute,
		.read_rows_only = s->train.last_layer == SP_LAST_LAYER_READ,
		.part = { place->at[SP_AXIS_TENSOR], shape->at[SP_AXIS_TENSOR], setup->pipeline.stage, setup->pipeline.stages,
		          setup->pipeline.pieces },
		.tensor = setup->grid.group[SP_GROUP_TENSOR],
		.forward_only = setup->forward_only,
	};
	int status = check_attention(setup);
	return status ? status : choose_graphs(setup);
}

/* Initial values are a function of the seed, so every rank draws its own; one parameter at a time, as a copy of all would be
 * more than training takes where moments are shared by many. */
static int draw_values(struct sp_setup *setup)
{
	const struct sp_parameters *table = sp_model_parameters(setup->model);
	float *to = sp_model_values(setup->model);
	int64_t most = 0;
	for (int i = 0; i < table->count; i++)
		most = sp_max(most, table->entry[i].rows * table->entry[i].cols);
	float *values = malloc((size_t)most * sizeof *values);
	if (!values)
		return sp_fail(SP_ERR_MEMORY, "out of memory for %lld initial values", (long long)most);
	int status = sp_compute_zero(setup->compute, to, (size_t)table->elements * sizeof *to);
	for (int i = 0; i < table->count && !status; i++) {
		const struct sp_parameter *p = &table->entry[i];
		sp_parameter_init(p, setup->settings->train.seed, values);
		status = sp_compute_copy_in(setup->compute, to + p->offset, values, (size_t)(p->rows * p->cols) * sizeof *values);
	}
	free(values);
	return status;
}

static int fill_values(struct sp_setup *setup)
{
	if (!setup->settings->checkpoint.init[0])
		return draw_values(setup);
	return sp_adopt_weights(setup->settings, setup->compute, setup->world, &setup->config, setup->model, &setup->note);
}

static int create_model(struct sp_setup *setup)
{
	int *slots = calloc((size_t)setup->pipeline.pieces, sizeof *slots);
	if (!slots)
		return sp_fail(SP_ERR_MEMORY, "out of memory for %d pieces of a model", setup->pipeline.pieces);
	for (int i = 0; i < setup->pipeline.pieces; i++)
		slots[i] = sp_pipeline_slots(&setup->pipeline, i);
	setup->options.slots = slots;
	int status = sp_model_create(setup->compute, &setup->options, &setup->model);
	setup->options.slots = NULL;
	free(slots);
	return status;
}

static int open_model(struct sp_setup *setup)
{
	int status = create_model(setup);
	if (!status)
		status = fill_values(setup);
	if (status || setup->forward_only)
		return status;
	const struct sp_parameters *table = sp_model_parameters(setup->model);
	const struct sp_reduce_shape shape = { .elements = table->elements, .cut = &table->tied, .cuts = 1,
		                                   .whole = !setup->settings->parallel.optimizer_shard };
	status = sp_reduce_create(setup->compute, setup->grid.group[SP_GROUP_REPLICAS], &shape, &setup->reduce);
	return status ? status : sp_tied_create(setup->compute, &setup->grid, setup->reduce, table->tied, &setup->tied);
}

static int open_batches(struct sp_setup *setup)
{
	const struct sp_settings *s = setup->settings;
	struct sp_batches_options options = {
		.compute = setup->compute,
		.grid = &setup->grid,
		.dataset = setup->dataset,
		.length = setup->shard.length,
		.multiple = sp_compute_chunk_multiple(setup->compute),
		.room = setup->shard.chunk,
		.balanced = s->parallel.balance == SP_BALANCE_COST,
		.cost = sp_flops_token(&setup->config, s->train.last_layer == SP_LAST_LAYER_READ, s->parallel.balance_attention),
		.global_batch = s->train.global_batch,
		.micro_batch = s->train.micro_batch,
		.sentence_order = s->model.sentence_order,
		.packed = s->data.packing,
		.window = setup->config.window,
		.globals = setup->config.globals,
		.global_separators = setup->config.global_separators,
		.ahead = !setup->forward_only,
	};
	return sp_batches_create(&options, &setup->batches);
}

static void poll_between(void *context)
{
	struct sp_setup *setup = context;
	if (setup->reduce)
		(void)sp_reduce_progress(setup->reduce); /* an error is met by sp_reduce_scatter */
	sp_flow_progress(setup->flow);
	if (setup->grid.group[SP_GROUP_SEQUENCE])
		(void)sp_comm_progress(setup->grid.group[SP_GROUP_SEQUENCE]); /* an error is met by who waits for the keys */
}

static void poll_during(void *context)
{
	struct sp_setup *setup = context;
	if (setup->reduce)
		sp_reduce_move(setup->reduce);
	sp_flow_progress(setup->flow);
}

static int open_flow(struct sp_setup *setup)
{
	const struct sp_flow_options options = { setup->compute, &setup->grid, setup->model, setup->batches, setup->pipeline,
		                                  setup->settings->parallel.overlap };
	int status = sp_flow_create(&options, &setup->flow);
	if (!status && setup->settings->parallel.overlap)
		sp_compute_set_poll(setup->compute, &(struct sp_compute_poll){ poll_between, poll_during, setup });
	return status;
}

static int open_grid(struct sp_setup *setup)
{
	const struct sp_settings *s = setup->settings;
	return sp_grid_open(setup->world, s->parallel.pipeline, s->parallel.sequence, s->parallel.tensor, &setup->grid);
}

/* What can be refused cheaply is refused before memory is taken. */
static int open_all(struct sp_setup *setup)
{
	int status = open_grid(setup);
	if (!status)
		status = open_dataset(setup);
	if (!status)
		status = check_splits(setup);
	if (!status)
		status = check_device(setup);
	if (!status)
		status = fill_options(setup);
	if (!status)
		status = open_batches(setup);
	if (!status)
		status = sp_pipeline_check(&setup->pipeline);
	if (!status)
		status = open_model(setup);
	return status ? status : open_flow(setup);
}

const char *sp_setup_precision(const struct sp_settings *settings)
{
	static const char *const name[] = { [SP_TRAIN_FP32] = "fp32", [SP_TRAIN_TF32] = "tf32", [SP_TRAIN_BF16] = "bf16",
		                             [SP_TRAIN_FP16] = "fp16" };
	return name[settings->train.precision];
}

/* What ranks compute alike must have the same bits on all of them. So where the choice is left to each, and some have processors that
 * others have not, all do what the least of them can. */
static int agree_on_products(const struct sp_settings *settings, struct sp_comm *world, struct sp_compute_options options,
                             struct sp_compute **compute)
{
	enum { LARGE = 4096 };
	int64_t with = 0;
	if (settings->backend.products != SP_MULTIPLY_AUTO || sp_comm_size(world) == 1 || sp_planned_element(settings) == SP_F32)
		return SP_OK;
	with = strcmp(sp_compute_multiplies(*compute, sp_planned_element(settings), LARGE, LARGE, LARGE), "onednn") == 0;
	const int own = with != 0;
	int status = sp_comm_all_reduce(world, &with, 1, SP_I64, SP_SUM);
	if (status || with == 0 || with == sp_comm_size(world))
		return status;
	if (sp_comm_rank(world) == 0)
		sp_log(SP_LOG_WARNING, "bf16 products could be made by oneDNN on %lld of %d ranks: all make them in fp32, by the BLAS, to stay alike",
		       (long long)with, sp_comm_size(world));
	if (!own)
		return SP_OK;
	sp_compute_close(*compute);
	*compute = NULL;
	options.products = SP_PRODUCTS_BLAS;
	return sp_compute_open(settings->backend.device, &options, compute);
}

double sp_setup_scale(const struct sp_settings *settings)
{
	return settings->train.precision == SP_TRAIN_FP16 ? settings->train.loss_scale : 1;
}

int sp_setup_open_device(const struct sp_settings *settings, struct sp_comm *world, struct sp_compute **compute)
{
	static const enum sp_products products[] = { [SP_MULTIPLY_AUTO] = SP_PRODUCTS_AUTO, [SP_MULTIPLY_BLAS] = SP_PRODUCTS_BLAS,
		                                     [SP_MULTIPLY_ONEDNN] = SP_PRODUCTS_ONEDNN };
	const struct sp_compute_options options = {
		.threads = (int)settings->backend.threads,
		.device = sp_comm_place(world).local_rank,
		.precision = settings->train.precision == SP_TRAIN_TF32 ? SP_PRECISION_TF32 : SP_PRECISION_FP32,
		.attention_kernel = (enum sp_attention_kernel)settings->backend.attention_kernel,
		.products = products[settings->backend.products],
	};
	int status = sp_compute_open(settings->backend.device, &options, compute);
	if (!status)
		status = agree_on_products(settings, world, options, compute);
	return status ? status : sp_comm_bind(world, *compute);
}

void sp_setup_close_device(struct sp_compute *compute, const struct sp_comm *world, int status)
{
	if (!status || !world || sp_comm_size(world) == 1)
		sp_compute_close(compute);
}

int sp_setup_open(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *world,
                  struct sp_setup *setup)
{
	*setup = (struct sp_setup){
		.settings = settings,
		.compute = compute,
		.world = world,
		.config = sp_planned_config(settings),
	};
	return open_all(setup);
}

int sp_setup_open_forward(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *world,
                          enum sp_split split, struct sp_setup *setup)
{
	*setup = (struct sp_setup){
		.settings = settings,
		.compute = compute,
		.world = world,
		.config = sp_planned_config(settings),
		.forward_only = 1,
		.split = split,
	};
	return open_all(setup);
}

void sp_setup_close(struct sp_setup *setup)
{
	if (setup->flow)
		sp_compute_set_poll(setup->compute, NULL);
	sp_flow_destroy(setup->flow);
	sp_batches_destroy(setup->batches);
	sp_tied_destroy(setup->tied);
	sp_reduce_destroy(setup->reduce);
	sp_model_destroy(setup->model);
	sp_dataset_close(setup->dataset);
	sp_grid_close(&setup->grid);
	memset(setup, 0, sizeof *setup);
}

int sp_setup_summed(void *setup, float *gradients)
{
	struct sp_setup *u = setup;
	return sp_tied_sum(u->tied, gradients);
}

/* ---- a pass ---- */

int sp_setup_outcome(struct sp_setup *setup, const struct sp_work *work, struct sp_outcome *outcome)
{
	struct sp_model_sums own;
	int status = sp_model_sums(setup->model, &own);
	if (status)
		return status;
	double sums[5] = { own.mlm, own.order, (double)own.correct, (double)own.ordered };
	if (setup->grid.place.at[SP_AXIS_TENSOR] != 0) /* tensor ranks have the same sums */
		memset(sums, 0, sizeof sums);
	sums[4] = setup->idle;
	status = sp_comm_all_reduce(setup->world, sums, 5, SP_F64, SP_SUM);
	if (status)
		return status;
	outcome->work = *work;
	outcome->mlm = work->predicted ? sums[0] / (double)work->predicted : 0;
	outcome->order = work->samples ? sums[1] / (double)work->samples : 0;
	outcome->loss = outcome->mlm + outcome->order;
	outcome->correct = (int64_t)sums[2];
	outcome->ordered = (int64_t)sums[3];
	outcome->bubble = sums[4] / sp_comm_size(setup->world);
	return SP_OK;
}

static int gradients_ready(void *context, int64_t offset)
{
	struct sp_setup *setup = context;
	return sp_reduce_ready(setup->reduce, sp_model_gradients(setup->model), offset);
}

int sp_setup_run(struct sp_setup *setup, enum sp_split split, uint64_t step, int training, double scale, struct sp_work *work)
{
	int status = sp_batches_load(setup->batches, split, step, work);
	if (!status)
		status = sp_model_reset(setup->model, training);
	if (status)
		return status;
	struct sp_pass pass = {
		.seed = setup->settings->train.seed,
		.step = step,
		.training = training,
		.mlm_scale = work->predicted ? (float)(scale / (double)work->predicted) : 0,
		.order_scale = (float)(scale / (double)work->samples),
		.ready = training && setup->settings->parallel.overlap ? gradients_ready : NULL,
		.ready_context = setup,
	};
	const double begin = sp_clock(), before = sp_flow_waited(setup->flow);
	status = sp_flow_run(setup->flow, &pass);
	setup->idle = (sp_flow_waited(setup->flow) - before) / (sp_clock() - begin);
	return status;
}

int sp_setup_pass(struct sp_setup *setup, enum sp_split split, uint64_t step, int training, double scale,
                  struct sp_outcome *outcome)
{
	struct sp_work work;
	int status = sp_setup_run(setup, split, step, training, scale, &work);
	return status ? status : sp_setup_outcome(setup, &work, outcome);
}
