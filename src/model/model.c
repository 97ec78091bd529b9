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
	struct sp_encoder_shared shared; /* instead of kept activations and scratch when forward_only */
	struct sp_encoder_attention attention;
	struct sp_encoder_widths widths;
	struct sp_embedding_parts words; /* with several tensor ranks */
};

static int tensors(const struct sp_model *m)
{
	return m->options.part.tensors > 1 ? m->options.part.tensors : 1;
}

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

static int layout_shared(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const struct sp_model_config *c = &m->options.config;
	struct sp_encoder_shared *s = &m->shared;
	int rc = sp_encoder_shared_layout(s, arena, rows, c->hidden);
	m->embedding.y = m->entry.s = s->stream;
	if (c->pre_norm) {
		m->entry.y = s->normed;
		m->entry.mean = s->mean;
		m->entry.rstd = s->rstd;
	} else {
		m->embedding.s = s->sum;
		m->embedding.mean = s->mean;
		m->embedding.rstd = s->rstd;
	}
	return rc;
}

static int layout_kept(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const struct sp_model_config *c = &m->options.config;
	if (m->options.forward_only)
		return layout_shared(m, arena, rows);
	int rc = layout_entry(m, arena, rows);
	for (int64_t i = 0; rc == SP_OK && i < c->layers; i++)
		rc = sp_encoder_layer_layout(&m->layer[i], arena, &m->widths, m->options.batch, m->options.chunk);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, c->hidden, &m->scratch.dy);
	if (rc == SP_OK && c->pre_norm)
		rc = sp_arena_take_matrix(arena, rows, c->hidden, &m->scratch.dsum);
	return rc;
}

/* What is used inside a layer only, besides attention's own. */
static int layout_inner(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const struct sp_model_config *c = &m->options.config;
	if (m->options.forward_only) {
		int rc = sp_encoder_shared_layout_inner(&m->shared, arena, &m->widths, m->options.batch, m->options.chunk);
		for (int64_t i = 0; i < c->layers; i++)
			sp_encoder_layer_share(&m->layer[i], &m->shared);
		if (rc == SP_OK && tensors(m) > 1)
			rc = sp_arena_take_matrix(arena, rows, c->hidden, &m->words.words);
		return rc;
	}
	int rc = sp_arena_take_matrix(arena, rows, c->hidden, &m->scratch.dx);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, m->widths.attention, &m->scratch.dout);
	m->words.words = m->scratch.dx; /* no layer is at work when words are looked up */
	if (rc)
		return rc;
	return sp_arena_take_matrix(arena, rows, sp_max(m->widths.intermediate, 3 * m->widths.attention), &m->scratch.wide);
}

static int layout_scratch(struct sp_model *m, struct sp_arena *arena, int64_t rows, int ranks)
{
	const struct sp_model_config *c = &m->options.config;
	const struct sp_attention_setup setup = {
		.compute = m->compute,
		.comm = m->options.sequence,
		.shape = { m->options.batch, m->options.chunk, m->widths.heads, c->hidden / c->heads, ranks },
		.overlap = m->options.overlap,
		.forward_only = m->options.forward_only,
	};
	int rc = layout_inner(m, arena, rows);
	const size_t before = arena->used;
	if (rc == SP_OK)
		rc = m->options.attention->create(&setup, arena, &m->attention.work);
	m->memory.attention = arena->used - before;
	return rc;
}

static int layout_heads(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const struct sp_model_config *c = &m->options.config;
	int rc = sp_mlm_head_layout(&m->mlm, arena, rows, c->hidden, sp_part_size(&m->options.part, c->vocab_size));
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

static int gather_stats(void *context, struct sp_matrix stats)
{
	const struct sp_encoder_attention *a = context;
	struct sp_transfer transfer = { 0 };
	const int64_t own = stats.rows / sp_comm_size(a->tensor) * stats.cols;
	int rc = sp_comm_all_gather_start(a->tensor, stats.data, own, SP_F32, &transfer);
	return rc ? rc : sp_comm_wait(a->tensor, &transfer);
}

static int sum_parts(void *context, struct sp_matrix y)
{
	return sp_encoder_tensor_sum(context, y);
}

/* Which heads, features and words are this rank's. */
static void take_part(struct sp_model *m)
{
	const struct sp_model_part *part = &m->options.part;
	const int32_t first = (int32_t)sp_part_first(part, m->options.config.vocab_size);
	m->widths = sp_encoder_widths(&m->options.config, part);
	m->attention.tensor = tensors(m) > 1 ? m->options.tensor : NULL;
	m->words.first = first;
	m->mlm.parts = (struct sp_head_parts){ part->tensor, tensors(m), first, gather_stats, sum_parts, &m->attention };
}

static int check_part(const struct sp_model_options *o)
{
	const int n = o->part.tensors;
	if (n <= 1)
		return SP_OK;
	if (o->config.heads % n != 0)
		return sp_fail(SP_ERR_SETTING, "parallel.tensor = %d does not divide model.heads = %lld", n,
		               (long long)o->config.heads);
	if (o->config.vocab_size >= n && o->config.intermediate >= n)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING, "parallel.tensor = %d is more than model.vocab_size = %lld or model.intermediate = %lld",
	               n, (long long)o->config.vocab_size, (long long)o->config.intermediate);
}

static int prepare(struct sp_model *m, const struct sp_model_options *options)
{
	int rc = check_part(options);
	if (rc)
		return rc;
	m->options = *options;
	m->attention.variant = options->attention;
	take_part(m);
	m->layer = calloc((size_t)options->config.layers + 1, sizeof *m->layer);
	if (!m->layer)
		return sp_fail(SP_ERR_MEMORY, "no memory for %lld layers", (long long)options->config.layers);
	return sp_parameters_create_part(&options->config, &options->part, &m->parameters);
}

/* Lays everything out without memory, to learn how much is needed. */
static int count(struct sp_model *m, int ranks)
{
	struct sp_arena counting = { 0 };
	int rc = layout(m, &counting, ranks);
	unlay(m);
	m->memory.parameters = (size_t)m->parameters.elements * sizeof(float);
	m->memory.gradients = m->options.forward_only ? 0 : m->memory.parameters;
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
		if (i != 1 || !m->options.forward_only)
			rc = sp_compute_alloc(c, bytes[i], &memory[i]);
	m->values = memory[0];
	m->gradients = memory[1];
	m->arena.base = memory[2];
	m->arena.size = m->memory.arena;
	m->sums = memory[3];
	return rc;
}

/* 0, 1, 2, ...: the rows that tensor ranks have looked up together, as ids. */
static int number_rows(struct sp_model *m)
{
	const int64_t rows = m->options.batch * m->options.chunk;
	void *device;
	if (tensors(m) == 1)
		return SP_OK;
	sp_compute_free(m->compute, (void *)m->words.identity);
	m->words.identity = NULL;
	int rc = sp_compute_alloc(m->compute, (size_t)rows * sizeof(int32_t), &device);
	if (rc)
		return rc;
	m->words.identity = device;
	int32_t *host = malloc((size_t)rows * sizeof *host + 1);
	if (!host)
		return sp_fail(SP_ERR_MEMORY, "no memory for %lld row numbers", (long long)rows);
	for (int64_t i = 0; i < rows; i++)
		host[i] = (int32_t)i;
	rc = sp_compute_copy_in(m->compute, device, host, (size_t)rows * sizeof *host);
	free(host);
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
		rc = number_rows(m);
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
	sp_compute_free(m->compute, (void *)m->words.identity);
	tear_down(m);
	free(m);
}

static int grow_arena(struct sp_model *m)
{
	void *memory;
	if (m->memory.arena <= m->arena.size)
		return SP_OK;
	sp_compute_free(m->compute, m->arena.base);
	m->arena.base = NULL;
	int rc = sp_compute_alloc(m->compute, m->memory.arena, &memory);
	if (rc)
		return rc;
	m->arena.base = memory;
	m->arena.size = m->memory.arena;
	return SP_OK;
}

int sp_model_reshape(struct sp_model *m, int64_t batch, int64_t chunk, const struct sp_attention_variant *attention,
                     struct sp_comm *sequence)
{
	const int ranks = sequence ? sp_comm_size(sequence) : 1;
	if (!m->options.forward_only)
		return sp_fail(SP_ERR_ARGUMENT, "only a forward-only model can be given another shape");
	unlay(m);
	m->options.batch = batch;
	m->options.chunk = chunk;
	m->options.attention = m->attention.variant = attention;
	m->options.sequence = sequence;
	int rc = count(m, ranks);
	if (rc == SP_OK)
		rc = grow_arena(m);
	m->arena.high = 0;
	if (rc == SP_OK)
		rc = layout(m, &m->arena, ranks);
	return rc ? rc : number_rows(m);
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

static int embed(const struct sp_model *m, const struct sp_layer_context *ctx, const struct sp_tokens *tokens)
{
	if (tensors(m) == 1)
		return sp_embedding_layer_forward(&m->embedding, ctx, tokens);
	int rc = sp_embedding_layer_forward_part(&m->embedding, ctx, tokens, &m->words);
	if (rc == SP_OK)
		rc = sp_encoder_tensor_sum(&m->attention, m->words.words);
	return rc ? rc : sp_embedding_layer_forward_summed(&m->embedding, ctx, tokens, &m->words);
}

static int embed_backward(const struct sp_model *m, const struct sp_layer_context *ctx, const struct sp_tokens *tokens)
{
	if (tensors(m) == 1)
		return sp_embedding_layer_backward(&m->embedding, ctx, tokens, m->scratch.dy);
	return sp_embedding_layer_backward_part(&m->embedding, ctx, tokens, &m->words, m->scratch.dy);
}

static int forward(const struct sp_model *m, const struct sp_layer_context *ctx, const struct sp_tokens *tokens)
{
	const struct sp_matrix nothing = { 0 };
	sp_trace_begin(SP_TRACE_COMPUTE, "forward embedding", -1);
	int rc = embed(m, ctx, tokens);
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
		rc = embed_backward(m, ctx, tokens);
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

static struct sp_layer_context context(const struct sp_model *m, const struct sp_batch *batch, const struct sp_pass *pass)
{
	return (struct sp_layer_context){
		.compute = m->compute,
		.rows = { batch->batch, batch->chunk, batch->sample, batch->first },
		.seed = pass->seed,
		.step = pass->step,
		.training = pass->training,
		.eps = m->options.config.layer_norm_eps,
	};
}

int sp_model_run(struct sp_model *m, const struct sp_batch *batch, const struct sp_pass *pass)
{
	int rc = check_batch(m, batch);
	if (rc == SP_OK && pass->training && m->options.forward_only)
		rc = sp_fail(SP_ERR_ARGUMENT, "a forward-only model cannot be trained");
	if (rc)
		return rc;
	const struct sp_layer_context ctx = context(m, batch, pass);
	const struct sp_tokens tokens = { batch->token, batch->position, batch->kind };
	m->attention.doc = batch->doc;
	m->attention.sample = batch->head_sample ? batch->head_sample : batch->sample;
	rc = forward(m, &ctx, &tokens);
	if (rc == SP_OK)
		rc = heads(m, &ctx, batch, pass);
	return rc == SP_OK && pass->training ? backward(m, &ctx, &tokens) : rc;
}

int sp_model_encode(struct sp_model *m, const struct sp_batch *batch, struct sp_matrix *hidden)
{
	int rc = check_batch(m, batch);
	if (rc)
		return rc;
	const struct sp_layer_context ctx = context(m, batch, &(struct sp_pass){ .training = 0 });
	const struct sp_tokens tokens = { batch->token, batch->position, batch->kind };
	m->attention.doc = batch->doc;
	m->attention.sample = batch->head_sample ? batch->head_sample : batch->sample;
	*hidden = stream_into(m, m->options.config.layers).y;
	return forward(m, &ctx, &tokens);
}

/* Rows one by one through host memory: a row is small against the work of making it. */
static int hand_out(struct sp_model *m, struct sp_matrix logits, int64_t first, float *host,
                    int (*take)(void *context, int64_t i, const float *logits), void *to)
{
	int rc = SP_OK;
	for (int64_t i = 0; rc == SP_OK && i < logits.rows; i++) {
		rc = sp_compute_copy_out(m->compute, host, sp_matrix_rows(logits, i, 1).data, (size_t)logits.cols * sizeof *host);
		if (rc == SP_OK)
			rc = take(to, first + i, host);
	}
	return rc;
}

int sp_model_predict(struct sp_model *m, const int32_t *row, int64_t n,
                     int (*take)(void *context, int64_t i, const float *logits), void *to)
{
	const struct sp_layer_context ctx = { .compute = m->compute, .eps = m->options.config.layer_norm_eps };
	const struct sp_matrix x = stream_into(m, m->options.config.layers).y;
	if (tensors(m) > 1)
		return sp_fail(SP_ERR_ARGUMENT, "rows of logits are handed out by models that one rank holds whole");
	float *host = malloc((size_t)m->options.config.vocab_size * sizeof *host);
	int rc = host ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for a row of logits");
	for (int64_t first = 0; rc == SP_OK && first < n; first += m->mlm.rows) {
		struct sp_matrix logits;
		rc = sp_mlm_head_logits(&m->mlm, &ctx, row + first, sp_min(m->mlm.rows, n - first), x, &logits);
		if (rc == SP_OK)
			rc = hand_out(m, logits, first, host, take, to);
	}
	free(host);
	return rc;
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
