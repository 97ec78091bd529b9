#include "config.h"

#include "model/model.h"

#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"
#include "layers/embedding.h"
#include "layers/mlm_head.h"
#include "layers/order_head.h"
#include "model/encoder.h"

#include <stdlib.h>
#include <string.h>

/* Sums in device memory, in one block so that they are zeroed and read at once. */
struct device_sums {
	double mlm, order;
	int64_t correct, ordered;
};

struct sp_model {
	struct sp_compute *compute;
	struct sp_model_options options;
	struct sp_parameters parameters;
	float *values, *gradients;
	struct sp_arena arena;
	struct sp_model_memory memory;
	struct device_sums *sums; /* device */

	struct sp_embedding_layer embedding;
	struct sp_norm_layer entry; /* pre-LN: the first layer's norm, on the embedding */
	struct sp_encoder_layer *layer;
	struct sp_mlm_head mlm;
	struct sp_order_head order;
	struct sp_encoder_scratch scratch;
	struct sp_encoder_attention attention;
};

/* ---- set-up: the same walk binds, lays out and counts ---- */

static void bind(struct sp_model *m)
{
	const struct sp_model_config *c = &m->options.config;
	const struct sp_binding b = { &m->parameters, m->values, m->gradients };
	m->embedding.word = sp_bind(&b, "bert.embeddings.word_embeddings", ".weight");
	m->embedding.position = sp_bind(&b, "bert.embeddings.position_embeddings", ".weight");
	m->embedding.type = sp_bind(&b, "bert.embeddings.token_type_embeddings", ".weight");
	m->embedding.dropout = c->dropout;
	if (c->pre_norm)
		m->entry.norm = sp_bind_norm(&b, "bert.encoder.layer.0.attention.ln");
	else
		m->embedding.norm = sp_bind_norm(&b, "bert.embeddings.LayerNorm");
	for (int64_t i = 0; i < c->layers; i++)
		sp_encoder_layer_bind(&m->layer[i], &b, c, i);
	m->mlm.dense = sp_bind_dense(&b, "cls.predictions.transform.dense");
	m->mlm.norm = sp_bind_norm(&b, "cls.predictions.transform.LayerNorm");
	m->mlm.decoder.weight = m->embedding.word;
	m->mlm.decoder.bias = sp_bind(&b, "cls.predictions.bias", "");
	m->mlm.act = c->activation;
	if (c->sentence_order) {
		m->order.pooler = sp_bind_dense(&b, "bert.pooler.dense");
		m->order.classifier = sp_bind_dense(&b, "cls.seq_relationship");
	}
}

/* What enters the first layer. Post-LN: the normed embedding. Pre-LN: the embedding is the residual, its norm the input. */
static int layout_entry(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const int64_t h = m->options.config.hidden;
	struct sp_matrix *mean = &m->embedding.mean, *rstd = &m->embedding.rstd, *extra = &m->embedding.s;
	if (m->options.config.pre_norm) {
		mean = &m->entry.mean;
		rstd = &m->entry.rstd;
		extra = &m->entry.y;
	}
	int rc = sp_arena_take_matrix(arena, rows, h, &m->embedding.y);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, h, extra);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, 1, rows, mean);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, 1, rows, rstd);
	m->entry.s = m->embedding.y;
	return rc;
}

static int layout_kept(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const struct sp_model_config *c = &m->options.config;
	int rc = layout_entry(m, arena, rows);
	for (int64_t i = 0; rc == SP_OK && i < c->layers; i++)
		rc = sp_encoder_layer_layout(&m->layer[i], arena, c, m->options.batch, m->options.chunk);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, c->hidden, &m->scratch.dy);
	if (rc == SP_OK && c->pre_norm)
		rc = sp_arena_take_matrix(arena, rows, c->hidden, &m->scratch.dsum);
	return rc;
}

static int layout_scratch(struct sp_model *m, struct sp_arena *arena, int64_t rows, int ranks)
{
	const struct sp_model_config *c = &m->options.config;
	const struct sp_attention_setup setup = {
		.compute = m->compute,
		.comm = m->options.sequence,
		.shape = { m->options.batch, m->options.chunk, c->heads, c->hidden / c->heads, ranks },
		.overlap = m->options.overlap,
	};
	int rc = sp_arena_take_matrix(arena, rows, c->hidden, &m->scratch.dx);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, c->hidden, &m->scratch.dout);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, sp_max(c->intermediate, 3 * c->hidden), &m->scratch.wide);
	const size_t before = arena->used;
	if (rc == SP_OK)
		rc = m->options.attention->create(&setup, arena, &m->attention.work);
	m->memory.attention = arena->used - before;
	return rc;
}

static int layout_heads(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const struct sp_model_config *c = &m->options.config;
	int rc = sp_mlm_head_layout(&m->mlm, arena, rows, c->hidden, c->vocab_size);
	return rc || !c->sentence_order ? rc : sp_order_head_layout(&m->order, arena, m->options.batch, c->hidden);
}

/* The heads run between forward and backward, when no layer is at work: they share the layers' scratch. */
static int layout(struct sp_model *m, struct sp_arena *arena, int ranks)
{
	const int64_t rows = m->options.batch * m->options.chunk;
	struct sp_model_memory *memory = &m->memory;
	int rc = layout_kept(m, arena, rows);
	memory->activations = arena->used;
	if (rc == SP_OK)
		rc = layout_scratch(m, arena, rows, ranks);
	memory->scratch = arena->used - memory->activations;
	sp_arena_release(arena, memory->activations);
	if (rc == SP_OK)
		rc = layout_heads(m, arena, rows);
	memory->head = arena->used - memory->activations;
	sp_arena_release(arena, 0);
	memory->arena = arena->high;
	return rc;
}

static void unlay(struct sp_model *m)
{
	if (m->attention.work)
		m->options.attention->destroy(m->attention.work);
	m->attention.work = NULL;
}

static int prepare(struct sp_model *m, const struct sp_model_options *options)
{
	m->options = *options;
	m->attention.variant = options->attention;
	m->layer = calloc((size_t)options->config.layers + 1, sizeof *m->layer);
	if (!m->layer)
		return sp_fail(SP_ERR_MEMORY, "no memory for %lld layers", (long long)options->config.layers);
	return sp_parameters_create(&options->config, &m->parameters);
}

/* Lays everything out without memory, to learn how much is needed. */
static int count(struct sp_model *m, int ranks)
{
	struct sp_arena counting = { 0 };
	int rc = layout(m, &counting, ranks);
	unlay(m);
	m->memory.parameters = m->memory.gradients = (size_t)m->parameters.elements * sizeof(float);
	return rc;
}

static void tear_down(struct sp_model *m)
{
	unlay(m);
	sp_parameters_destroy(&m->parameters);
	free(m->layer);
	m->layer = NULL;
}

int sp_model_memory(const struct sp_model_options *options, int ranks, struct sp_model_memory *memory)
{
	struct sp_model m = { 0 };
	int rc = prepare(&m, options);
	if (rc == SP_OK) {
		m.options.sequence = NULL;
		rc = count(&m, ranks);
	}
	if (rc == SP_OK)
		*memory = m.memory;
	tear_down(&m);
	return rc;
}

static int allocate(struct sp_model *m)
{
	struct sp_compute *c = m->compute;
	void *memory[4] = { 0 };
	const size_t bytes[4] = { m->memory.parameters, m->memory.gradients, m->memory.arena, sizeof *m->sums };
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < 4; i++)
		rc = sp_compute_alloc(c, bytes[i], &memory[i]);
	m->values = memory[0];
	m->gradients = memory[1];
	m->arena.base = memory[2];
	m->arena.size = m->memory.arena;
	m->sums = memory[3];
	return rc;
}

int sp_model_create(struct sp_compute *compute, const struct sp_model_options *options, struct sp_model **model)
{
	struct sp_model *m = calloc(1, sizeof *m);
	if (!m)
		return sp_fail(SP_ERR_MEMORY, "no memory for a model of %zu bytes", sizeof *m);
	const int ranks = options->sequence ? sp_comm_size(options->sequence) : 1;
	m->compute = compute;
	int rc = prepare(m, options);
	if (rc == SP_OK)
		rc = count(m, ranks);
	if (rc == SP_OK)
		rc = allocate(m);
	if (rc == SP_OK) {
		bind(m);
		rc = layout(m, &m->arena, ranks);
	}
	if (rc == SP_OK)
		rc = sp_model_reset(m, 1);
	if (rc) {
		sp_model_destroy(m);
		return rc;
	}
	*model = m;
	return SP_OK;
}

void sp_model_destroy(struct sp_model *m)
{
	if (!m)
		return;
	sp_compute_free(m->compute, m->values);
	sp_compute_free(m->compute, m->gradients);
	sp_compute_free(m->compute, m->arena.base);
	sp_compute_free(m->compute, m->sums);
	tear_down(m);
	free(m);
}

const struct sp_parameters *sp_model_parameters(const struct sp_model *m)
{
	return &m->parameters;
}

float *sp_model_values(struct sp_model *m)
{
	return m->values;
}

float *sp_model_gradients(struct sp_model *m)
{
	return m->gradients;
}

const struct sp_arena *sp_model_arena(const struct sp_model *m)
{
	return &m->arena;
}

/* ---- a pass ---- */

static struct sp_stream entry_stream(const struct sp_model *m)
{
	const struct sp_stream in = {
		.y = m->options.config.pre_norm ? m->entry.y : m->embedding.y,
		.residual = m->embedding.y,
	};
	return in;
}

static struct sp_stream stream_into(const struct sp_model *m, int64_t layer)
{
	return layer == 0 ? entry_stream(m) : sp_encoder_layer_out(&m->layer[layer - 1]);
}

static int forward(const struct sp_model *m, const struct sp_layer_context *ctx, const struct sp_tokens *tokens)
{
	const struct sp_matrix nothing = { 0 };
	sp_trace_begin(SP_TRACE_COMPUTE, "forward embedding", -1);
	int rc = sp_embedding_layer_forward(&m->embedding, ctx, tokens);
	if (rc == SP_OK && m->options.config.pre_norm)
		rc = sp_norm_layer_forward(&m->entry, ctx, nothing);
	sp_trace_end(SP_TRACE_COMPUTE);
	for (int64_t i = 0; rc == SP_OK && i < m->options.config.layers; i++)
		rc = sp_encoder_layer_forward(&m->layer[i], ctx, &m->attention, stream_into(m, i));
	return rc;
}

/* Losses, and their gradients of the last stream into scratch.dy. */
static int heads(const struct sp_model *m, const struct sp_layer_context *ctx, const struct sp_batch *batch,
                 const struct sp_pass *pass)
{
	const struct sp_matrix x = stream_into(m, m->options.config.layers).y, dx = m->scratch.dy;
	const struct sp_mlm_targets mlm = {
		batch->predictions, batch->predicted, batch->label, pass->mlm_scale, &m->sums->mlm, &m->sums->correct,
	};
	const struct sp_order_targets order = {
		batch->orders, batch->order_row, batch->order_label, pass->order_scale, &m->sums->order, &m->sums->ordered,
	};
	sp_trace_begin(SP_TRACE_COMPUTE, "heads", -1);
	int rc = SP_OK;
	if (ctx->training)
		rc = sp_compute_zero(m->compute, dx.data, (size_t)(dx.rows * dx.cols) * sizeof(float));
	if (rc == SP_OK)
		rc = sp_mlm_head_run(&m->mlm, ctx, &mlm, x, dx);
	if (rc == SP_OK && m->options.config.sentence_order)
		rc = sp_order_head_run(&m->order, ctx, &order, x, dx);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

static int backward(const struct sp_model *m, const struct sp_layer_context *ctx, const struct sp_tokens *tokens)
{
	const int64_t layers = m->options.config.layers;
	const struct sp_encoder_scratch *s = &m->scratch;
	int rc = SP_OK;
	for (int64_t i = layers - 1; rc == SP_OK && i >= 0; i--)
		rc = sp_encoder_layer_backward(&m->layer[i], ctx, &m->attention, stream_into(m, i), s, i == layers - 1);
	sp_trace_begin(SP_TRACE_COMPUTE, "backward embedding", -1);
	if (rc == SP_OK && m->options.config.pre_norm)
		rc = sp_norm_layer_backward(&m->entry, ctx, s->dy, s->dsum, s->dy, (struct sp_matrix){ 0 });
	if (rc == SP_OK)
		rc = sp_embedding_layer_backward(&m->embedding, ctx, tokens, s->dy);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

static int check_batch(const struct sp_model *m, const struct sp_batch *b)
{
	if (b->batch == m->options.batch && b->chunk == m->options.chunk)
		return SP_OK;
	return sp_fail(SP_ERR_SHAPE, "model laid out for %lld samples of %lld tokens was given %lld of %lld",
	               (long long)m->options.batch, (long long)m->options.chunk, (long long)b->batch, (long long)b->chunk);
}

int sp_model_run(struct sp_model *m, const struct sp_batch *batch, const struct sp_pass *pass)
{
	int rc = check_batch(m, batch);
	if (rc)
		return rc;
	const struct sp_layer_context ctx = {
		.compute = m->compute,
		.rows = { batch->batch, batch->chunk, batch->sample, batch->first },
		.seed = pass->seed,
		.step = pass->step,
		.training = pass->training,
		.eps = m->options.config.layer_norm_eps,
	};
	const struct sp_tokens tokens = { batch->token, batch->position, batch->kind };
	m->attention.doc = batch->doc;
	rc = forward(m, &ctx, &tokens);
	if (rc == SP_OK)
		rc = heads(m, &ctx, batch, pass);
	return rc == SP_OK && pass->training ? backward(m, &ctx, &tokens) : rc;
}

int sp_model_sums(struct sp_model *m, struct sp_model_sums *sums)
{
	struct device_sums host;
	int rc = sp_compute_copy_out(m->compute, &host, m->sums, sizeof host);
	if (rc)
		return rc;
	sums->mlm = host.mlm;
	sums->order = host.order;
	sums->correct = host.correct;
	sums->ordered = host.ordered;
	return SP_OK;
}

int sp_model_reset(struct sp_model *m, int gradients)
{
	int rc = sp_compute_zero(m->compute, m->sums, sizeof *m->sums);
	return rc || !gradients ? rc : sp_compute_zero(m->compute, m->gradients, m->memory.gradients);
}
