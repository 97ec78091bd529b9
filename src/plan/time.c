#include "config.h"

#include "plan/time.h"

#include "base/log.h"
#include "parallel/shard.h"
#include "plan/stages.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PART(name, member) { name, #member, offsetof(struct sp_plan_time, member) }

const struct sp_plan_time_part sp_plan_time_parts[] = {
	PART("products of layers", products),
	PART("attention", attention),
	PART("prediction head", head),
	PART("norms, dropout, residuals", rows),
	PART("optimizer", optimizer),
	PART("waiting for keys and values", sequence),
	PART("waiting for tensor ranks", tensor),
	PART("waiting for gradients", gradients),
	PART("waiting for other stages", pipeline),
	PART("step", total),
	{ 0 },
};

/* What of a kind's traffic may travel behind its compute, as src/attention has it; kinds that are not named wait for all. */
static const struct hiding {
	const char *kind;
	double forward, backward; /* shares of what is sent */
	int own_only;             /* behind the own keys alone, not behind those of all ranks but the last */
} hidings[] = {
	{ "ring", 1, 1, 0 },
	{ "rsa", 1, 1.0 / 3, 0 },     /* its two all-reduces are waited for */
	{ "allgather", 1, 0.5, 1 }, /* gradients go home when all have been computed */
	{ "window", 1, 1, 0 },
};

/* One stage at work on one micro-batch, and what its step ends with. */
struct stage {
	const struct sp_plan_input *in;
	const struct sp_plan_rates *rates;
	const struct sp_plan_work *work;
	struct sp_plan plan;
	struct sp_plan_time time;
	double forward, backward; /* attention of a layer, on average */
	double ahead;             /* of a micro-batch's seconds those until it is sent on */
	double layers;
};

static double over(double amount, double rate)
{
	return rate > 0 ? amount / rate : 0;
}

static double tensors(const struct stage *s)
{
	return s->in->model.part.tensors > 1 ? s->in->model.part.tensors : 1;
}

/* Tokens of a sequence on a rank: where they may be more, shares of equal work are as long as equal ones on average. */
static int64_t chunk(const struct sp_plan_input *in)
{
	return in->slack > 0 ? sp_shard_of(in->length, in->sequence_ranks, 0, in->multiple).chunk : in->model.chunk;
}

static double tokens(const struct stage *s)
{
	return (double)(s->in->model.batch * chunk(s->in));
}

static double count_layers(const struct sp_plan_input *in)
{
	int64_t sum = 0;
	for (int i = 0; i < sp_part_pieces(&in->model.part); i++) {
		const struct sp_layer_range range = sp_part_layers(&in->model.part, &in->model.config, i);
		sum += range.end - range.first;
	}
	return (double)sum;
}

/* ---- computing ---- */

/* Elements of a layer's matrices: query, key, value; and what follows attention. */
static double first_product(const struct sp_model_config *c)
{
	return 3 * (double)c->hidden * (double)c->hidden;
}

static double later_products(const struct sp_model_config *c)
{
	return (double)c->hidden * (double)(c->hidden + 2 * c->intermediate);
}

/* Forward and the two products of backward, 2 operations an element each; what is computed again is another forward, while
 * going back. */
static void time_products(struct stage *s)
{
	const struct sp_model_config *c = &s->in->model.config;
	const enum sp_recompute again = s->in->model.recompute;
	const double first = again == SP_RECOMPUTE_NONE ? 6 : 8, later = again == SP_RECOMPUTE_LAYER ? 8 : 6;
	const double last = sp_part_is_last(&s->in->model.part) && !s->work->all_rows ? 1 - s->work->predicted : 0;
	const double work = first * first_product(c) * s->layers + later * later_products(c) * (s->layers - last);
	const double forward = 2 * (first_product(c) * s->layers + later_products(c) * (s->layers - last));
	s->time.products = over(tokens(s) * work / tensors(s), s->rates->gemm);
	s->ahead += over(tokens(s) * forward / tensors(s), s->rates->gemm);
}

/* Layers' worth of queries: in the last layer those that are read, if the kind leaves the others out. */
static double layers_of_queries(const struct stage *s)
{
	const int skips = sp_part_is_last(&s->in->model.part) && !s->work->all_rows && s->in->model.attention->skips;
	return s->layers - (skips ? 1 - s->work->predicted : 0);
}

/* Layers that meet all tokens, of all layers. */
static double full_share(const struct stage *s)
{
	return s->in->model.config.window == 0 ? 1 : s->layers > 0 ? (double)sp_plan_full_layers(s->in) / s->layers : 0;
}

/* What a query meets: all tokens; the rows that keys and values are projected to; neighbours and global tokens, which meet all
 * themselves: so much that each of the others' queries might have met one more for each. */
static double met(const struct stage *s)
{
	const struct sp_model_config *c = &s->in->model.config;
	const double all = (double)s->in->length, share = full_share(s);
	const double near = fmin(all, 2 * (double)c->window + 1) + 2 * (double)c->globals;
	return c->linformer_k > 0 ? (double)c->linformer_k : share * all + (1 - share) * fmin(all, near);
}

/* Linformer's rows are made by products. */
static void time_attention(struct stage *s)
{
	const struct sp_model_config *c = &s->in->model.config;
	const double pairs = tokens(s) * met(s) * (double)c->hidden / tensors(s), projected = c->linformer_k > 0 ? pairs : 0;
	const int forwards = s->in->model.recompute == SP_RECOMPUTE_LAYER ? 2 : 1;
	const double share = s->layers > 0 ? layers_of_queries(s) / s->layers : 0;
	s->forward = over(4 * share * pairs, s->rates->forward) + over(4 * projected, s->rates->gemm);
	s->backward = over(8 * share * pairs, s->rates->backward) + over(8 * projected, s->rates->gemm);
	s->time.attention = s->layers * (forwards * s->forward + s->backward);
	s->ahead += s->layers * s->forward;
}

static void time_head(struct stage *s)
{
	const struct sp_model_config *c = &s->in->model.config;
	const double h = (double)c->hidden;
	const double rate = s->rates->head > 0 ? s->rates->head : s->rates->gemm;
	if (sp_part_is_last(&s->in->model.part))
		s->time.head = over(6 * s->work->predicted * tokens(s) * h * (h + (double)c->vocab_size / tensors(s)), rate);
}

/* Two norms with bias, dropout and residual a layer move 4 values a feature forward and 4 backward. */
static void time_rows(struct stage *s)
{
	s->time.rows = over(s->layers * 2 * (4 + 4) * tokens(s) * (double)s->in->model.config.hidden *
	                        (double)sp_dtype_size(s->in->model.element), s->rates->memory);
	s->ahead += s->time.rows / 2;
}

/* AdamW moves 7 values for each of two moments' elements; all gradients are read for their norm and set to zero. */
static void time_optimizer(struct stage *s)
{
	s->time.optimizer = over(3.5 * (double)s->plan.optimizer + 2 * (double)s->plan.model.gradients, s->rates->memory);
}

/* ---- waiting ---- */

static double carry_at(const struct stage *s, double messages, double bytes, double bandwidth)
{
	return messages * s->rates->latency + over(bytes, bandwidth);
}

static double carry(const struct stage *s, double messages, double bytes)
{
	return carry_at(s, messages, bytes, s->rates->bandwidth);
}

static struct hiding hiding_of(const struct stage *s)
{
	for (size_t i = 0; i < sizeof hidings / sizeof *hidings; i++)
		if (s->in->model.overlap && strcmp(hidings[i].kind, s->in->model.attention->name) == 0)
			return hidings[i];
	return (struct hiding){ 0 };
}

/* What a transfer adds that takes `time` and of which a share may travel behind `compute`: where the processor copies it, what is not
 * waited for is computed later. */
static double exposed(const struct stage *s, double time, double share, double compute)
{
	const double waited = (1 - share) * time + fmax(0, share * time - compute);
	return waited + s->rates->copied * (time - waited);
}

static void time_sequence(struct stage *s)
{
	const struct sp_plan_input *in = s->in;
	const struct sp_model_config *c = &in->model.config;
	const struct sp_attention_shape_host shape = {
		in->model.batch, chunk(in), c->heads / (int64_t)tensors(s), c->hidden / c->heads, in->sequence_ranks,
		in->sequence_rank, in->model.choice, sp_attention_element(in->model.attention, &in->model.choice, in->model.element),
	};
	const struct hiding hiding = hiding_of(s);
	const double ranks = in->sequence_ranks, behind = (hiding.own_only ? 1 : ranks - 1) / ranks;
	if (in->sequence_ranks < 2)
		return;
	const struct sp_attention_variant *own = in->model.attention, *all = sp_attention_find(sp_model_full_attention(in->sequence_ranks));
	const double full = c->window > 0 ? full_share(s) : 0;
	const double sent_forward = (1 - full) * (double)own->sent_forward(&shape) + full * (double)all->sent_forward(&shape);
	const double sent_backward = (1 - full) * (double)own->sent_backward(&shape) + full * (double)all->sent_backward(&shape);
	const double forward = carry(s, ranks - 1, sent_forward * sizeof(float));
	const double backward = carry(s, 2 * (ranks - 1), sent_backward * sizeof(float));
	const int forwards = in->model.recompute == SP_RECOMPUTE_LAYER ? 2 : 1;
	const double ahead = s->layers * exposed(s, forward, hiding.forward, behind * s->forward);
	s->time.sequence = forwards * ahead + s->layers * exposed(s, backward, hiding.backward, behind * s->backward);
	s->ahead += ahead;
}

/* Sums inside a layer have nothing to hide behind. */
static void time_tensor(struct stage *s)
{
	const double n = tensors(s), micro = (double)sp_plan_micro_batches(s->in);
	const double forwards = s->in->model.recompute == SP_RECOMPUTE_LAYER ? 2 : 1;
	const double used = (double)chunk(s->in) / (double)s->in->model.chunk; /* of the room that is planned for */
	if (n > 1)
		s->time.tensor = carry(s, (2 * forwards + 2) * s->layers * 2 * (n - 1), (double)s->plan.tensor_bytes / micro * used);
	s->ahead += s->time.tensor / (forwards + 1);
}

/* Gradients are summed behind the last micro-batch's backward pass, but the word table's, which are final when it ends; then
 * parameters are gathered. */
static void time_gradients(struct stage *s)
{
	const int ranks = s->in->data_ranks * s->in->sequence_ranks;
	const struct sp_model_config *c = &s->in->model.config;
	const double rate = s->rates->gradients > 0 ? s->rates->gradients : s->rates->bandwidth;
	const double half = carry_at(s, ranks - 1, (double)s->plan.gradient_bytes / 2, rate);
	const double words = (double)(c->vocab_size * c->hidden) * sizeof(float) / tensors(s);
	const double late = sp_part_is_first(&s->in->model.part) ? fmin(1, words / (double)s->plan.model.gradients) : 0;
	const double behind = (s->time.products * 2 / 3 + s->layers * s->backward);
	if (ranks < 2)
		return;
	s->time.gradients = half + exposed(s, half, s->in->model.overlap ? 1 - late : 0, behind);
}

/* ---- a step ---- */

static double of_micro_batch(const struct sp_plan_time *t)
{
	return t->products + t->attention + t->head + t->rows + t->sequence + t->tensor;
}

static int time_stage(struct stage *s)
{
	int status = sp_plan_make(s->in, &s->plan);
	if (status)
		return status;
	s->layers = count_layers(s->in);
	time_products(s);
	time_attention(s);
	time_head(s);
	time_rows(s);
	time_optimizer(s);
	time_sequence(s);
	time_tensor(s);
	time_gradients(s);
	return SP_OK;
}

static void scale(struct sp_plan_time *t, double micro_batches)
{
	double *const each[] = { &t->products, &t->attention, &t->head, &t->rows, &t->sequence, &t->tensor };
	for (size_t i = 0; i < sizeof each / sizeof *each; i++)
		*each[i] *= micro_batches;
}

/* Until a stage has what another one sends it. */
static double hop(const struct stage *s)
{
	const double bytes = tokens(s) * (double)s->in->model.config.hidden * (double)sp_dtype_size(s->in->model.element);
	return carry(s, 1, bytes);
}

/* All stages one by one: what each takes, the slowest's parts, and `end`, what the step ends with. */
static int time_stages(struct sp_plan_input *in, const struct sp_plan_rates *rates, const struct sp_plan_work *work,
                       struct sp_plan_stage *each, struct sp_plan_time *slowest, double *end, double *between)
{
	const int stages = sp_part_stages(&in->model.part);
	double most = 0;
	*end = 0;
	for (in->model.part.stage = 0; in->model.part.stage < stages; in->model.part.stage++) {
		struct stage s = { .in = in, .rates = rates, .work = work };
		int status = time_stage(&s);
		if (status)
			return status;
		const double all = of_micro_batch(&s.time);
		each[in->model.part.stage] = (struct sp_plan_stage){ s.ahead, all - s.ahead };
		*end = fmax(*end, s.time.optimizer + s.time.gradients);
		*between = hop(&s);
		if (all > most || in->model.part.stage == 0) {
			most = all;
			*slowest = s.time;
		}
	}
	return SP_OK;
}

int sp_plan_time_make(const struct sp_plan_input *input, const struct sp_plan_rates *rates, const struct sp_plan_work *work,
                      struct sp_plan_time *time)
{
	struct sp_plan_input in = *input;
	const struct sp_pipeline pipeline = sp_plan_pipeline(&in);
	double end = 0, between = 0, seconds = 0;
	struct sp_plan_stage *each = calloc((size_t)pipeline.stages, sizeof *each);
	memset(time, 0, sizeof *time);
	int status = each ? time_stages(&in, rates, work, each, time, &end, &between) :
	                    sp_fail(SP_ERR_MEMORY, "no memory for the times of %d stages", pipeline.stages);
	if (!status)
		status = sp_plan_stages(&pipeline, each, between, &seconds);
	free(each);
	if (status)
		return status;
	scale(time, (double)pipeline.micro_batches);
	time->pipeline = fmax(0, seconds - of_micro_batch(time));
	time->total = of_micro_batch(time) + time->pipeline + end;
	return SP_OK;
}
