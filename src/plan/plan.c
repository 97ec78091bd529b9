#include "config.h"

#include "plan/plan.h"

#include "base/log.h"
#include "base/size.h"
#include "parallel/reduce.h"
#include "parallel/shard.h"
#include "parallel/tied.h"
#include "plan/batch_layout.h"

#include <stdlib.h>
#include <string.h>

enum {
	SAMPLE_ARRAYS = 6, /* of struct sp_sample */
	STEPS = 2,         /* the one at work, and the next, which is drawn meanwhile */
};

int64_t sp_plan_micro_batches(const struct sp_plan_input *in)
{
	return in->global_batch / (in->data_ranks * in->model.batch);
}

static struct sp_batch_layout batch_layout(const struct sp_plan_input *in)
{
	const struct sp_model_options *m = &in->model;
	return sp_batch_layout_of(m->batch, m->chunk, in->sequence_ranks, sp_model_orders(m->packed, m->batch, m->chunk),
	                          m->config.globals);
}

size_t sp_plan_batch_bytes(const struct sp_plan_input *in)
{
	const struct sp_batch_layout at = batch_layout(in);
	const int64_t blocks = STEPS * at.size * sp_plan_micro_batches(in), whole = SAMPLE_ARRAYS * in->length * in->model.batch;
	return (size_t)(blocks + whole) * sizeof(int32_t) + ((size_t)in->length + 1) * sizeof(int64_t);
}

struct sp_plan_input sp_plan_with_length(const struct sp_plan_input *in, int64_t length)
{
	struct sp_plan_input other = *in;
	other.length = length;
	other.model.chunk = sp_shard_room(length, in->sequence_ranks, in->multiple, in->slack);
	if (!in->model.packed && in->model.config.rope_base == 0)
		other.model.config.max_positions = sp_max(in->model.config.max_positions, length);
	return other;
}

struct sp_plan_input sp_plan_with_batch(const struct sp_plan_input *in, int64_t batch)
{
	struct sp_plan_input other = *in;
	other.model.batch = batch;
	other.global_batch = sp_plan_micro_batches(in) * in->data_ranks * batch;
	return other;
}

static int tensors(const struct sp_plan_input *in)
{
	return in->model.part.tensors > 1 ? in->model.part.tensors : 1;
}

struct sp_pipeline sp_plan_pipeline(const struct sp_plan_input *in)
{
	const struct sp_model_part *part = &in->model.part;
	return (struct sp_pipeline){ sp_part_stages(part), part->stage, sp_part_pieces(part), sp_plan_micro_batches(in), 0 };
}

static int64_t layers(const struct sp_plan_input *in)
{
	int64_t sum = 0;
	for (int i = 0; i < sp_part_pieces(&in->model.part); i++) {
		const struct sp_layer_range range = sp_part_layers(&in->model.part, &in->model.config, i);
		sum += range.end - range.first;
	}
	return sum;
}

/* Layers run forward a second time, and send again what they send there. */
static int forwards(const struct sp_plan_input *in)
{
	return in->model.recompute == SP_RECOMPUTE_LAYER ? 2 : 1;
}

/* ---- what is sent ---- */

/* Sums over tensor ranks: the words, and the outputs and the inputs' gradients of the two blocks of every layer. An
 * all-reduce sends 2 (n - 1) / n of what it sums. What the head sends depends on how many tokens are predicted: of each
 * the gradient of its hidden row, and four numbers for the softmax. */
static uint64_t tensor_bytes(const struct sp_plan_input *in)
{
	const uint64_t n = (uint64_t)tensors(in), rows = (uint64_t)(in->model.batch * in->model.chunk);
	const uint64_t sums = (uint64_t)((2 * forwards(in) + 2) * layers(in) + sp_part_is_first(&in->model.part));
	const uint64_t each = 2 * rows * (uint64_t)in->model.config.hidden * sp_dtype_size(in->model.element) * (n - 1) / n;
	return sums * (uint64_t)sp_plan_micro_batches(in) * each;
}

int64_t sp_plan_full_layers(const struct sp_plan_input *in)
{
	const struct sp_model_config *c = &in->model.config;
	int64_t sum = 0;
	for (int i = 0; c->window > 0 && i < sp_part_pieces(&in->model.part); i++) {
		const struct sp_layer_range range = sp_part_layers(&in->model.part, c, i);
		for (int64_t layer = range.first; layer < range.end; layer++)
			sum += sp_model_layer_meets_all(c, layer);
	}
	return sum;
}

/* Keys and values, and their gradients, of every layer and micro-batch. */
static uint64_t ring_bytes(const struct sp_plan_input *in)
{
	const struct sp_model_config *c = &in->model.config;
	const struct sp_attention_shape_host shape = {
		in->model.batch, in->model.chunk, c->heads / tensors(in), c->hidden / c->heads, in->sequence_ranks,
		in->sequence_rank, in->model.choice, sp_attention_element(in->model.attention, &in->model.choice, in->model.element),
	};
	const struct sp_attention_variant *kind[] = { in->model.attention, sp_attention_find(sp_model_full_attention(in->sequence_ranks)) };
	const int64_t full = sp_plan_full_layers(in), of_kind[] = { layers(in) - full, full };
	uint64_t sum = 0;
	for (int i = 0; i < 2; i++)
		sum += (uint64_t)of_kind[i] * ((uint64_t)forwards(in) * kind[i]->sent_forward(&shape) + kind[i]->sent_backward(&shape));
	return sum * (uint64_t)sp_plan_micro_batches(in) * sizeof(float);
}

/* The stream of every micro-batch and piece to the stage behind, its gradient to the one before. */
static uint64_t pipeline_bytes(const struct sp_plan_input *in)
{
	const struct sp_pipeline p = sp_plan_pipeline(in);
	uint64_t times = 0;
	for (int i = 0; i < p.pieces; i++)
		times += (uint64_t)(sp_pipeline_after(&p, i) >= 0) + (uint64_t)(sp_pipeline_before(&p, i) >= 0);
	return times * (uint64_t)(p.micro_batches * in->model.batch * in->model.chunk * in->model.config.hidden) *
	       sp_dtype_size(in->model.element);
}

/* ---- what is held ---- */

static int plan_model(const struct sp_plan_input *in, struct sp_model_memory *memory)
{
	const struct sp_pipeline p = sp_plan_pipeline(in);
	struct sp_model_options options = in->model;
	int *slots = calloc((size_t)p.pieces, sizeof *slots);
	if (!slots)
		return sp_fail(SP_ERR_MEMORY, "no memory for a plan of %d pieces", p.pieces);
	for (int i = 0; i < p.pieces; i++)
		slots[i] = sp_pipeline_slots(&p, i);
	options.slots = slots;
	int rc = sp_model_memory(&options, in->sequence_ranks, memory);
	free(slots);
	return rc;
}

/* Of the flat buffers, and what replicas and the other stage of the word table exchange. */
static int plan_parameters(const struct sp_plan_input *in, struct sp_plan *plan)
{
	const int ranks = in->data_ranks * in->sequence_ranks; /* of them hold the same parameters */
	struct sp_parameters table;
	int rc = sp_parameters_create_part(&in->model.config, &in->model.part, &table);
	if (rc)
		return rc;
	const struct sp_reduce_shape flat = { table.elements, &table.tied, 1, .whole = in->whole_optimizer };
	const struct sp_reduce_shape tied = { .elements = table.tied };
	plan->optimizer = 2 * (size_t)sp_reduce_kept_of(&flat, ranks, 0) * sizeof(float);
	plan->snapshot = in->checkpoints ? 3 * (size_t)sp_reduce_owned_of(&flat, ranks, 0) * sizeof(float) : 0;
	plan->gradient_bytes = sp_reduce_sent_of(&flat, ranks);
	plan->sums = sp_reduce_room_of(&flat, ranks);
	plan->tied = sp_tied_bytes(table.tied, ranks);
	plan->tied_bytes = (uint64_t)sp_reduce_owned_of(&tied, ranks, 0) * sizeof(float);
	sp_parameters_destroy(&table);
	return SP_OK;
}

int sp_plan_make(const struct sp_plan_input *in, struct sp_plan *plan)
{
	memset(plan, 0, sizeof *plan);
	int rc = plan_model(in, &plan->model);
	if (!rc)
		rc = plan_parameters(in, plan);
	if (rc)
		return rc;
	const struct sp_batch_layout at = batch_layout(in);
	plan->batches = sp_plan_batch_bytes(in) + (size_t)at.size * sizeof(int32_t);
	plan->total = plan->model.parameters + plan->model.gradients + plan->model.factors + plan->model.arena + plan->optimizer + plan->batches +
	              plan->snapshot + plan->tied + plan->sums;
	plan->ring_bytes = ring_bytes(in);
	plan->tensor_bytes = tensor_bytes(in);
	plan->pipeline_bytes = pipeline_bytes(in);
	plan->sent = plan->ring_bytes + plan->tensor_bytes + plan->gradient_bytes + plan->pipeline_bytes + plan->tied_bytes;
	return SP_OK;
}
