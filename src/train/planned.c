#include "config.h"

#include "train/planned.h"

#include "base/log.h"
#include "data/vocab.h"
#include "parallel/grid.h"
#include "parallel/shard.h"
#include "plan/classes.h"

#include <string.h>

enum { SYNTHETIC_VOCABULARY = 30528 };

static int projects(const struct sp_settings *s)
{
	return strcmp(s->parallel.attention, "linformer") == 0;
}

static int has_window(const struct sp_settings *s)
{
	return strcmp(s->parallel.attention, "window") == 0;
}

struct sp_model_config sp_planned_config(const struct sp_settings *s)
{
	return (struct sp_model_config){
		.layers = s->model.layers,
		.hidden = s->model.hidden,
		.heads = s->model.heads,
		.intermediate = s->model.intermediate,
		.vocab_size = s->model.vocab_size,
		.max_positions = s->model.max_positions,
		.pre_norm = s->model.norm == SP_NORM_PRE,
		.activation = s->model.activation == SP_ACTIVATION_GELU ? SP_ACT_GELU : SP_ACT_GELU_TANH,
		.dropout = (float)s->model.dropout,
		.attention_dropout = (float)s->model.attention_dropout,
		.layer_norm_eps = (float)s->model.layer_norm_eps,
		.sentence_order = s->model.sentence_order,
		.linformer_k = projects(s) ? s->model.linformer_k : 0,
		.linformer_share = (enum sp_linformer_share)s->model.linformer_share,
		.window = has_window(s) ? s->model.window : 0,
		.globals = has_window(s) ? s->model.globals : 0,
		.global_separators = has_window(s) && s->model.global_tokens == SP_GLOBAL_SEPARATORS,
		.global_every = has_window(s) ? s->model.global_every : 0,
		.rope_base = s->model.position == SP_POSITION_ROPE ? s->model.rope_base : 0,
	};
}

struct sp_attention_choice sp_planned_choice(const struct sp_settings *s)
{
	return (struct sp_attention_choice){ .gather_chunk = s->parallel.gather_chunk,
		                                     .ring_queries = s->parallel.ring == SP_RING_Q,
		                                     .ulysses = (int)s->parallel.ulysses,
		                                     .linformer_k = s->model.linformer_k,
		                                     .linformer_per_head = s->model.linformer_share == SP_LINFORMED_HEAD,
		                                     .window = s->model.window,
		                                     .globals = s->model.globals };
}

enum sp_dtype sp_planned_element(const struct sp_settings *s)
{
	static const enum sp_dtype of[] = { [SP_TRAIN_FP32] = SP_F32, [SP_TRAIN_TF32] = SP_F32, [SP_TRAIN_BF16] = SP_BF16,
		                            [SP_TRAIN_FP16] = SP_F16 };
	return of[s->train.precision];
}

double sp_planned_slack(const struct sp_settings *s)
{
	return s->parallel.balance == SP_BALANCE_COST ? s->parallel.balance_slack : 0;
}

int sp_planned_shares(const struct sp_settings *s, const struct sp_attention_variant *attention)
{
	if (s->parallel.balance != SP_BALANCE_COST || attention->share)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING,
	               "parallel.balance = cost does not go with parallel.attention = %s, which wants as many tokens on every rank; "
	               "choose ring or allgather, or parallel.balance = tokens", attention->name);
}

int64_t sp_planned_synthetic_vocab_size(void)
{
	return SYNTHETIC_VOCABULARY;
}

static int settle_vocab_size(const struct sp_settings *s, struct sp_model_config *config)
{
	struct sp_vocab *vocab;
	if (config->vocab_size > 0)
		return SP_OK;
	config->vocab_size = sp_planned_synthetic_vocab_size();
	if (strcmp(s->data.source, "synthetic") == 0)
		return SP_OK;
	int status = sp_vocab_read(s->data.vocab, &vocab);
	if (status)
		return status;
	config->vocab_size = sp_vocab_size(vocab);
	sp_vocab_free(vocab);
	return SP_OK;
}

static int check_division(const struct sp_settings *s, const struct sp_grid_point *shape)
{
	const int64_t data = shape->at[SP_AXIS_DATA], step = data * s->train.micro_batch;
	if (s->train.global_batch % step != 0)
		return sp_fail(
			SP_ERR_SETTING, "train.global_batch = %lld is not a multiple of %lld data ranks x train.micro_batch = %lld",
			(long long)s->train.global_batch, (long long)data, (long long)s->train.micro_batch);
	return SP_OK;
}

static int check_attention(const struct sp_settings *s, const struct sp_plan_input *in)
{
	const struct sp_model_config *c = &in->model.config;
	const struct sp_attention_shape_host shape = {
		in->model.batch, in->model.chunk, c->heads / in->model.part.tensors, c->hidden / c->heads, in->sequence_ranks,
		0, in->model.choice,
	};
	int status = in->model.attention ? in->model.attention->check(&shape) : SP_ERR_SETTING;
	return status ? status : sp_planned_shares(s, in->model.attention);
}

int sp_planned_input(const struct sp_settings *s, int ranks, int64_t multiple, struct sp_plan_input *input)
{
	struct sp_grid_point shape;
	int status = sp_grid_shape(ranks, s->parallel.pipeline, s->parallel.sequence, s->parallel.tensor, &shape);
	if (!status)
		status = check_division(s, &shape);
	if (status)
		return status;
	struct sp_plan_input in = {
		.model = {
			.config = sp_planned_config(s),
			.element = sp_planned_element(s),
			.batch = s->train.micro_batch,
			.chunk = sp_shard_room(s->train.sequence_length, (int)s->parallel.sequence, multiple, sp_planned_slack(s)),
			.packed = s->data.packing,
			.attention = sp_attention_find(s->parallel.attention),
			.choice = sp_planned_choice(s),
			.overlap = s->parallel.overlap,
			.recompute = (enum sp_recompute)s->train.recompute,
			.part = { .tensors = shape.at[SP_AXIS_TENSOR], .stages = shape.at[SP_AXIS_PIPELINE],
			          .pieces = (int)s->parallel.virtual_stages },
		},
		.data_ranks = shape.at[SP_AXIS_DATA],
		.sequence_ranks = shape.at[SP_AXIS_SEQUENCE],
		.length = s->train.sequence_length,
		.multiple = multiple,
		.slack = sp_planned_slack(s),
		.global_batch = s->train.global_batch,
		.checkpoints = s->checkpoint.dir[0] != 0,
		.whole_optimizer = !s->parallel.optimizer_shard,
	};
	status = check_attention(s, &in);
	if (!status && in.model.attention->has_globals)
		in.sequence_rank = in.sequence_ranks / 2; /* has neighbours on both sides */
	if (!status)
		status = settle_vocab_size(s, &in.model.config);
	const struct sp_pipeline pipeline = sp_plan_pipeline(&in);
	if (!status)
		status = sp_pipeline_check(&pipeline);
	if (!status)
		*input = in;
	return status;
}

int sp_planned(const struct sp_settings *s, int ranks, int64_t multiple, struct sp_plan *plan)
{
	struct sp_plan_input input;
	struct sp_plan_classes classes;
	int status = sp_planned_input(s, ranks, multiple, &input);
	if (!status)
		status = sp_plan_classes_make(&input, &classes);
	if (status)
		return status;
	*plan = *sp_plan_classes_largest(&classes);
	sp_plan_classes_free(&classes);
	return SP_OK;
}
