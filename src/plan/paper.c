#include "config.h"

#include "plan/paper.h"

#include "base/size.h"

/* A buffer of one layer as the whole model has it, and who shares it out. */
struct buffer {
	int64_t copies, elements;
	int shared[SP_PAPER_SCHEMES];
};

enum { COPIES = 4, MOST = 4, LONGEST = 1 << 24 }; /* value, gradient, two moments; buffers of a block; tokens tried */

static int64_t scores_of(const struct sp_paper_shape *s)
{
	return s->batch * s->heads * s->length * s->length;
}

/* Table 1: two matrices, H x 4 H and back; 4 H features inside, H that leave. */
static int list_mlp(const struct sp_paper_shape *s, struct buffer list[MOST])
{
	const int64_t tokens = s->batch * s->length, h = s->hidden;
	list[0] = (struct buffer){ COPIES, 2 * h * 4 * h, { [SP_PAPER_TENSOR] = 1 } };
	list[1] = (struct buffer){ 1, tokens * 4 * h, { [SP_PAPER_TENSOR] = 1, [SP_PAPER_SEQUENCE] = 1 } };
	list[2] = (struct buffer){ 1, tokens * h, { [SP_PAPER_SEQUENCE] = 1 } };
	return 3;
}

/* Table 2: matrices of query, key, value and output; what the first three give and the heads' output; scores; H features
 * that leave. */
static int list_attention(const struct sp_paper_shape *s, struct buffer list[MOST])
{
	const int64_t tokens = s->batch * s->length, inside = s->heads * s->head_dim;
	list[0] = (struct buffer){ COPIES, 4 * s->hidden * inside, { [SP_PAPER_TENSOR] = 1 } };
	list[1] = (struct buffer){ 4, tokens * inside, { [SP_PAPER_TENSOR] = 1, [SP_PAPER_SEQUENCE] = 1 } };
	list[2] = (struct buffer){ 1, scores_of(s), { [SP_PAPER_TENSOR] = 1, [SP_PAPER_SEQUENCE] = 1 } };
	list[3] = (struct buffer){ 1, tokens * s->hidden, { [SP_PAPER_SEQUENCE] = 1 } };
	return 4;
}

int64_t sp_paper_elements(const struct sp_paper_shape *shape, enum sp_paper_block block, enum sp_paper_scheme scheme)
{
	struct buffer list[MOST];
	const int count = block == SP_PAPER_MLP ? list_mlp(shape, list) : list_attention(shape, list);
	int64_t sum = 0;
	for (int i = 0; i < count; i++)
		sum += list[i].copies * (list[i].shared[scheme] ? sp_ceil_div(list[i].elements, shape->ranks) : list[i].elements);
	return sum;
}

int64_t sp_paper_scores(const struct sp_paper_shape *shape)
{
	return sp_ceil_div(scores_of(shape), shape->ranks);
}

int64_t sp_paper_crossover(const struct sp_paper_shape *shape, enum sp_paper_block block)
{
	struct sp_paper_shape at = *shape;
	for (at.length = at.ranks; at.batch * at.length <= LONGEST; at.length += at.ranks)
		if (sp_paper_elements(&at, block, SP_PAPER_SEQUENCE) < sp_paper_elements(&at, block, SP_PAPER_TENSOR))
			return at.batch * at.length;
	return 0;
}

/* ---- what fits ---- */

static int fits(const struct sp_paper_shape *shape, int64_t layers, size_t memory, enum sp_paper_scheme scheme)
{
	const int64_t layer = sp_paper_elements(shape, SP_PAPER_MLP, scheme) + sp_paper_elements(shape, SP_PAPER_ATTENTION, scheme);
	return layer <= (int64_t)(memory / sizeof(float)) / layers;
}

/* The largest multiple of `step`, up to LONGEST, that fits as *n, a member of `at`. */
static int64_t largest(struct sp_paper_shape *at, int64_t *n, int64_t step, int64_t layers, size_t memory,
                       enum sp_paper_scheme scheme)
{
	int64_t low = 0, high = LONGEST / step + 1;
	while (high - low > 1) {
		const int64_t middle = low + (high - low) / 2;
		*n = middle * step;
		*(fits(at, layers, memory, scheme) ? &low : &high) = middle;
	}
	return low * step;
}

int64_t sp_paper_largest_batch(const struct sp_paper_shape *shape, int64_t layers, size_t memory, enum sp_paper_scheme scheme)
{
	struct sp_paper_shape at = *shape;
	return largest(&at, &at.batch, 1, layers, memory, scheme);
}

int64_t sp_paper_longest(const struct sp_paper_shape *shape, int64_t layers, size_t memory, enum sp_paper_scheme scheme)
{
	struct sp_paper_shape at = *shape;
	return largest(&at, &at.length, scheme == SP_PAPER_SEQUENCE ? at.ranks : 1, layers, memory, scheme);
}

/* ---- this program ---- */

static int layers_of(const struct sp_plan_input *input, int64_t layers, int ranks, enum sp_paper_scheme scheme, size_t *bytes)
{
	struct sp_plan_input in = *input;
	struct sp_plan plan;
	in.model.config.layers = layers;
	in.model.part = (struct sp_model_part){ .tensors = scheme == SP_PAPER_TENSOR ? ranks : 1 };
	in.data_ranks = 1;
	in.sequence_ranks = scheme == SP_PAPER_SEQUENCE ? ranks : 1;
	in.global_batch = in.model.batch;
	in = sp_plan_with_length(&in, in.length);
	int status = sp_plan_make(&in, &plan);
	*bytes = plan.model.parameters + plan.model.gradients + plan.optimizer + plan.model.activations;
	return status;
}

int sp_paper_own_layer(const struct sp_plan_input *input, int ranks, enum sp_paper_scheme scheme, int64_t *elements)
{
	size_t one, two;
	int status = layers_of(input, 1, ranks, scheme, &one);
	if (!status)
		status = layers_of(input, 2, ranks, scheme, &two);
	if (!status)
		*elements = (int64_t)((two - one) / sizeof(float));
	return status;
}

static int sequence_is_less(const struct sp_plan_input *input, int ranks, int64_t length, int *less)
{
	struct sp_plan_input in = *input;
	int64_t need[SP_PAPER_SCHEMES] = { 0 };
	int status = SP_OK;
	in.length = length;
	for (int scheme = 0; scheme < SP_PAPER_SCHEMES && !status; scheme++)
		status = sp_paper_own_layer(&in, ranks, (enum sp_paper_scheme)scheme, &need[scheme]);
	*less = need[SP_PAPER_SEQUENCE] < need[SP_PAPER_TENSOR];
	return status;
}

/* As tokens are added tensor ranks lose: they keep what leaves a block whole. So halving finds the first length. */
int sp_paper_own_crossover(const struct sp_plan_input *input, int ranks, int64_t *tokens)
{
	int64_t low = 0, high = LONGEST / input->model.batch / ranks;
	int less = 0, status = sequence_is_less(input, ranks, high * ranks, &less);
	*tokens = 0;
	if (status || !less)
		return status;
	while (!status && high - low > 1) {
		const int64_t middle = low + (high - low) / 2;
		status = sequence_is_less(input, ranks, middle * ranks, &less);
		*(less ? &high : &low) = middle;
	}
	*tokens = high * ranks * input->model.batch;
	return status;
}
