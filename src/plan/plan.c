#include "config.h"

#include "plan/plan.h"

#include "base/size.h"
#include "parallel/reduce.h"
#include "parallel/shard.h"
#include "plan/batch_layout.h"

#include <string.h>

enum { SAMPLE_ARRAYS = 5 }; /* of struct sp_sample */

int64_t sp_plan_micro_batches(const struct sp_plan_input *in)
{
	return in->global_batch / (in->data_ranks * in->model.batch);
}

size_t sp_plan_batch_bytes(const struct sp_plan_input *in)
{
	const struct sp_batch_layout at = sp_batch_layout_of(in->model.batch, in->model.chunk, in->sequence_ranks);
	return (size_t)(at.size * sp_plan_micro_batches(in) + SAMPLE_ARRAYS * in->length) * sizeof(int32_t);
}

struct sp_plan_input sp_plan_with_length(const struct sp_plan_input *in, int64_t length)
{
	struct sp_plan_input other = *in;
	other.length = length;
	other.model.chunk = sp_shard_of(length, in->sequence_ranks, 0, in->multiple).chunk;
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

/* Layers run forward a second time, and send again what they send there. */
static int forwards(const struct sp_plan_input *in)
{
	return in->model.recompute == SP_RECOMPUTE_LAYER ? 2 : 1;
}

/* Sums over tensor ranks: the words, and the outputs and the inputs' gradients of the two blocks of every layer. An
 * all-reduce sends 2 (n - 1) / n of what it sums. What the head sends depends on how many tokens are predicted: of each
 * the gradient of its hidden row, and four numbers for the softmax. */
static uint64_t tensor_bytes(const struct sp_plan_input *in)
{
	const struct sp_model_config *c = &in->model.config;
	const uint64_t n = (uint64_t)tensors(in), rows = (uint64_t)(in->model.batch * in->model.chunk);
	const uint64_t sums = (uint64_t)((2 * forwards(in) + 2) * c->layers + 1) * (uint64_t)sp_plan_micro_batches(in);
	return sums * (2 * rows * (uint64_t)c->hidden * sizeof(float) * (n - 1) / n);
}

/* Keys and values, and their gradients, of every layer and micro-batch. */
static uint64_t ring_bytes(const struct sp_plan_input *in)
{
	const struct sp_model_config *c = &in->model.config;
	const struct sp_attention_shape_host shape = {
		in->model.batch, in->model.chunk, c->heads / tensors(in), c->hidden / c->heads, in->sequence_ranks,
	};
	const uint64_t layer = (uint64_t)forwards(in) * in->model.attention->sent_forward(&shape) +
	                       in->model.attention->sent_backward(&shape);
	return layer * (uint64_t)(c->layers * sp_plan_micro_batches(in)) * sizeof(float);
}

int sp_plan_make(const struct sp_plan_input *in, struct sp_plan *plan)
{
	memset(plan, 0, sizeof *plan);
	int rc = sp_model_memory(&in->model, in->sequence_ranks, &plan->model);
	if (rc)
		return rc;
	const int ranks = in->data_ranks * in->sequence_ranks; /* of them hold the same parameters */
	const struct sp_reduce_shape flat = { .elements = (int64_t)(plan->model.parameters / sizeof(float)),
		                                  .whole = in->whole_optimizer };
	const struct sp_batch_layout at = sp_batch_layout_of(in->model.batch, in->model.chunk, in->sequence_ranks);
	plan->optimizer = 2 * (size_t)sp_reduce_kept_of(&flat, ranks, 0) * sizeof(float);
	plan->batches = sp_plan_batch_bytes(in) + (size_t)at.size * sizeof(int32_t);
	plan->snapshot = in->checkpoints ? 3 * (size_t)sp_reduce_owned_of(&flat, ranks, 0) * sizeof(float) : 0;
	plan->total = plan->model.parameters + plan->model.gradients + plan->model.arena + plan->optimizer + plan->batches +
	              plan->snapshot;
	plan->ring_bytes = ring_bytes(in);
	plan->tensor_bytes = tensor_bytes(in);
	plan->gradient_bytes = sp_reduce_sent_of(&flat, ranks);
	plan->sent = plan->ring_bytes + plan->tensor_bytes + plan->gradient_bytes;
	return SP_OK;
}
