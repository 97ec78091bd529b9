#include "config.h"

#include "model/inside.h"

#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"

#include <stdlib.h>

/* ---- what goes in and out ---- */

static struct sp_model_slot *slot_of(const struct sp_model_piece *p, int64_t micro)
{
	return &p->slot[micro % p->slots];
}

static int64_t layers_of(const struct sp_model_piece *p)
{
	return p->layers.end - p->layers.first;
}

struct sp_matrix sp_model_entrance(const struct sp_model *m, int piece, int64_t micro)
{
	const struct sp_model_piece *p = &m->piece[piece];
	return p->begins ? slot_of(p, micro)->embedding.y : p->entrance[micro % (p->slots + 1)];
}

static struct sp_stream stream_into(const struct sp_model *m, int piece, int64_t micro, int64_t layer)
{
	const struct sp_model_slot *slot = slot_of(&m->piece[piece], micro);
	if (layer > 0)
		return sp_encoder_layer_out(&slot->layer[layer - 1]);
	const struct sp_matrix in = sp_model_entrance(m, piece, micro);
	return (struct sp_stream){ .y = m->options.config.pre_norm ? slot->entry.y : in, .residual = in };
}

static struct sp_stream stream_out(const struct sp_model *m, int piece, int64_t micro)
{
	return stream_into(m, piece, micro, layers_of(&m->piece[piece]));
}

struct sp_matrix sp_model_exit(const struct sp_model *m, int piece, int64_t micro)
{
	return stream_out(m, piece, micro).residual;
}

struct sp_matrix sp_model_stream_gradient(const struct sp_model *m, int i)
{
	return m->stream_gradient[i];
}

/* What the heads read of the last layer, if that is to be made of it alone and fits; else NULL. */
static const struct sp_read_rows *read_rows(const struct sp_model *m, int piece, int64_t micro, const struct sp_batch *b, int training,
                                            struct sp_read_rows *read)
{
	const struct sp_model_piece *p = &m->piece[piece];
	const int order = m->options.config.sentence_order;
	*read = (struct sp_read_rows){ b->predicted, b->order_row, b->predictions, order ? b->orders : 0, .doc = b->read_doc };
	if (!training || !m->options.read_rows_only || !p->ends || layers_of(p) == 0)
		return NULL;
	return sp_encoder_layer_reads(&slot_of(p, micro)->layer[layers_of(p) - 1], sp_read_rows_count(read)) ? read : NULL;
}

static int is_last(const struct sp_model_piece *p, int64_t layer)
{
	return p->ends && layer == layers_of(p) - 1;
}

/* Attention of layer i of a piece. Where layers differ, what attends to all has done with the buffers that both use before the
 * others take them; these have when they return. */
static int attention_of(const struct sp_model *m, int piece, int64_t i, struct sp_encoder_attention *attention)
{
	*attention = m->attention;
	if (!m->full)
		return SP_OK;
	if (!sp_model_layer_meets_all(&m->options.config, m->piece[piece].layers.first + i))
		return m->full->settle ? m->full->settle(m->full_work) : SP_OK;
	attention->variant = m->full;
	attention->work = m->full_work;
	return SP_OK;
}

/* ---- layers ---- */

/* A layer of a piece in a pass of a micro-batch. */
struct layer_work {
	const struct sp_model *m;
	const struct sp_layer_context *ctx;
	struct sp_encoder_attention attention;
	const struct sp_read_rows *read;          /* NULL: all rows */
	const struct sp_encoder_scratch *scratch; /* backward */
	int backward, piece;
	int64_t micro, i;
};

/* The rows that heads read are others in each step. */
static int is_repeated(const struct layer_work *w)
{
	return w->m->repeated && w->ctx->training && !w->read;
}

static int queue_layer(const struct layer_work *w, int (*queue)(const void *work))
{
	const struct sp_model_piece *p = &w->m->piece[w->piece];
	const struct sp_model_repeated_work repeated = {
		.backward = w->backward,
		.piece = w->piece,
		.slot = (int)(w->micro % p->slots),
		.layer = w->i,
		.in = stream_into(w->m, w->piece, w->micro, w->i),
		.gradient = w->backward ? w->scratch->dy.data : NULL,
		.rows = &w->ctx->rows,
	};
	sp_trace_begin(SP_TRACE_COMPUTE, w->backward ? "backward layer" : "forward layer", (int)(p->layers.first + w->i));
	const int rc = is_repeated(w) ? sp_model_repeated_queue(w->m, &repeated, queue, w) : queue(w);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* ---- forward ---- */

static int embed(const struct sp_model *m, const struct sp_embedding_layer *embedding, const struct sp_layer_context *ctx,
                 const struct sp_tokens *tokens)
{
	if (sp_model_tensors(m) == 1)
		return sp_embedding_layer_forward(embedding, ctx, tokens);
	int rc = sp_embedding_layer_forward_part(embedding, ctx, tokens, &m->words);
	if (rc == SP_OK)
		rc = sp_encoder_tensor_sum(&m->attention, m->words.words);
	return rc ? rc : sp_embedding_layer_forward_summed(embedding, ctx, tokens, &m->words);
}

/* Pre-LN: the norm before the first layer's attention, of what has entered. */
static struct sp_norm_layer entry_of(const struct sp_model *m, int piece, int64_t micro)
{
	struct sp_norm_layer entry = slot_of(&m->piece[piece], micro)->entry;
	entry.s = sp_model_entrance(m, piece, micro);
	return entry;
}

static int enter(const struct sp_model *m, int piece, int64_t micro, const struct sp_layer_context *ctx,
                 const struct sp_tokens *tokens)
{
	const struct sp_matrix nothing = { 0 };
	const struct sp_norm_layer entry = entry_of(m, piece, micro);
	int rc = SP_OK;
	sp_trace_begin(SP_TRACE_COMPUTE, m->piece[piece].begins ? "forward embedding" : "forward entry", -1);
	if (m->piece[piece].begins)
		rc = embed(m, &slot_of(&m->piece[piece], micro)->embedding, ctx, tokens);
	if (rc == SP_OK && m->options.config.pre_norm)
		rc = sp_norm_layer_forward(&entry, ctx, nothing);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

static int forward_layer(const void *work)
{
	const struct layer_work *w = work;
	return sp_encoder_layer_forward(&slot_of(&w->m->piece[w->piece], w->micro)->layer[w->i], w->ctx, &w->attention,
	                                stream_into(w->m, w->piece, w->micro, w->i), w->read);
}

static int forward(const struct sp_model *m, int piece, int64_t micro, const struct sp_layer_context *ctx,
                   const struct sp_tokens *tokens, const struct sp_read_rows *read)
{
	const struct sp_model_piece *p = &m->piece[piece];
	struct layer_work w = { .m = m, .ctx = ctx, .piece = piece, .micro = micro };
	int rc = enter(m, piece, micro, ctx, tokens);
	for (int64_t i = 0; rc == SP_OK && i < layers_of(p); i++) {
		w.i = i;
		w.read = is_last(p, i) ? read : NULL;
		rc = attention_of(m, piece, i, &w.attention);
		if (rc == SP_OK)
			rc = queue_layer(&w, forward_layer);
	}
	return rc;
}

/* The heads' buffers lie where attention has its own. */
static int leave_attention(const struct sp_model *m)
{
	const struct sp_attention_variant *variant = m->attention.variant;
	int rc = variant->settle ? variant->settle(m->attention.work) : SP_OK;
	return rc || !m->full || !m->full->settle ? rc : m->full->settle(m->full_work);
}

/* Losses, and their gradients of the last stream x into dx. */
static int heads(const struct sp_model *m, const struct sp_layer_context *ctx, const struct sp_batch *batch,
                 const struct sp_pass *pass, struct sp_matrix x, struct sp_matrix dx)
{
	const struct sp_mlm_targets mlm = {
		batch->predictions, batch->predicted, batch->label, pass->mlm_scale, &m->sums->mlm, &m->sums->correct,
	};
	const struct sp_order_targets order = {
		batch->orders, batch->order_row, batch->order_label, pass->order_scale, &m->sums->order, &m->sums->ordered,
	};
	sp_trace_begin(SP_TRACE_COMPUTE, "heads", -1);
	int rc = leave_attention(m);
	if (rc == SP_OK && ctx->training)
		rc = sp_compute_zero(m->compute, dx.data, (size_t)(dx.rows * dx.cols) * sp_dtype_size(dx.dtype));
	if (rc == SP_OK)
		rc = sp_mlm_head_run(&m->mlm, ctx, &mlm, x, dx);
	if (rc == SP_OK && m->options.config.sentence_order)
		rc = sp_order_head_run(&m->order, ctx, &order, x, dx);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* ---- backward ---- */

/* A pre-LN model's stream is kept, its norm `joint` was not. */
static int norm_again(struct sp_norm_layer joint, const struct sp_layer_context *ctx)
{
	const struct sp_matrix nothing = { 0 };
	joint.bias = (struct sp_weight){ 0 };
	joint.dropout = 0;
	return sp_norm_layer_forward(&joint, ctx, nothing);
}

/* The norm of what enters layer i, or leaves the last. */
static int enter_again(const struct sp_model *m, int piece, int64_t micro, const struct sp_layer_context *ctx, int64_t i)
{
	return norm_again(i > 0 ? slot_of(&m->piece[piece], micro)->layer[i - 1].joint_mlp : entry_of(m, piece, micro), ctx);
}

/* What layer i has not kept. */
static int again(const struct sp_model *m, int piece, int64_t micro, const struct sp_layer_context *ctx, int64_t i,
                 const struct sp_encoder_attention *attention, const struct sp_read_rows *read)
{
	const struct sp_encoder_layer *layer = &slot_of(&m->piece[piece], micro)->layer[i];
	int rc = sp_model_renorms(m) ? enter_again(m, piece, micro, ctx, i) : SP_OK;
	return rc ? rc : sp_encoder_layer_again(layer, ctx, attention, stream_into(m, piece, micro, i), read,
	                                        m->options.recompute);
}

static int embed_backward(const struct sp_model *m, const struct sp_embedding_layer *embedding,
                          const struct sp_layer_context *ctx, const struct sp_tokens *tokens, struct sp_matrix dy)
{
	if (sp_model_tensors(m) == 1)
		return sp_embedding_layer_backward(embedding, ctx, tokens, dy);
	return sp_embedding_layer_backward_part(embedding, ctx, tokens, &m->words, dy);
}

static int leave(const struct sp_model *m, int piece, int64_t micro, const struct sp_layer_context *ctx,
                 const struct sp_tokens *tokens, const struct sp_encoder_scratch *s)
{
	const struct sp_norm_layer entry = entry_of(m, piece, micro);
	int rc = SP_OK;
	sp_trace_begin(SP_TRACE_COMPUTE, m->piece[piece].begins ? "backward embedding" : "backward entry", -1);
	if (m->options.config.pre_norm)
		rc = sp_norm_layer_backward(&entry, ctx, s->dy, s->dsum, s->dy, (struct sp_matrix){ 0 });
	if (rc == SP_OK && m->piece[piece].begins)
		rc = embed_backward(m, &slot_of(&m->piece[piece], micro)->embedding, ctx, tokens, s->dy);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* Of a layer's gradients that of the norm before its attention (pre-LN) becomes final one layer later. */
static int tell(const struct sp_model *m, const struct sp_pass *pass, const void *first_final)
{
	return pass->ready ? pass->ready(pass->ready_context, (const float *)first_final - m->gradients) : SP_OK;
}

static int tell_end(const struct sp_model *m, const struct sp_pass *pass, int piece, const struct sp_model_slot *slot)
{
	const struct sp_weight *first = m->options.config.pre_norm ? &slot->entry.norm.gamma : &slot->layer->qkv.weight;
	return tell(m, pass, piece == 0 ? m->gradients : first->grad.data);
}

static int backward_layer(const void *work)
{
	const struct layer_work *w = work;
	const struct sp_model_piece *p = &w->m->piece[w->piece];
	const int rc = again(w->m, w->piece, w->micro, w->ctx, w->i, &w->attention, w->read);
	return rc ? rc : sp_encoder_layer_backward(&slot_of(p, w->micro)->layer[w->i], w->ctx, &w->attention,
	                                           stream_into(w->m, w->piece, w->micro, w->i), w->read, w->scratch,
	                                           w->i == layers_of(p) - 1);
}

static int backward(const struct sp_model *m, int piece, int64_t micro, const struct sp_layer_context *ctx,
                    const struct sp_tokens *tokens, const struct sp_pass *pass, const struct sp_read_rows *read,
                    const struct sp_encoder_scratch *s)
{
	const struct sp_model_slot *slot = slot_of(&m->piece[piece], micro);
	const int64_t layers = layers_of(&m->piece[piece]);
	struct layer_work w = { .m = m, .ctx = ctx, .scratch = s, .backward = 1, .piece = piece, .micro = micro };
	int rc = SP_OK;
	for (int64_t i = layers - 1; rc == SP_OK && i >= 0; i--) {
		w.i = i;
		w.read = is_last(&m->piece[piece], i) ? read : NULL;
		rc = attention_of(m, piece, i, &w.attention);
		if (rc == SP_OK)
			rc = queue_layer(&w, backward_layer);
		if (rc == SP_OK && i > 0)
			rc = tell(m, pass, slot->layer[i].qkv.weight.grad.data);
	}
	if (rc == SP_OK)
		rc = leave(m, piece, micro, ctx, tokens, s);
	return rc ? rc : tell_end(m, pass, piece, slot);
}

/* ---- a pass ---- */

static int check_batch(const struct sp_model *m, const struct sp_batch *b)
{
	const int fits = b->parts.chunk ? b->chunk <= m->options.chunk && b->parts.most == m->options.chunk :
	                                  b->chunk == m->options.chunk;
	if (b->batch == m->options.batch && fits)
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

static int share(struct sp_model *m, int piece, int64_t micro, const struct sp_batch *batch)
{
	const struct sp_attention_variant *variant = m->options.attention;
	if (!batch->parts.chunk)
		return SP_OK;
	if (!variant->share)
		return sp_fail(SP_ERR_ARGUMENT, "%s attention wants parts of equal length", variant->name);
	sp_model_fit(m, piece, micro, batch->chunk);
	variant->share(m->attention.work, &batch->parts);
	return SP_OK;
}

static int begin(struct sp_model *m, int piece, int64_t micro, const struct sp_batch *batch, const struct sp_pass *pass,
                 struct sp_layer_context *ctx)
{
	int rc = check_batch(m, batch);
	*ctx = context(m, batch, pass);
	if (rc == SP_OK)
		rc = sp_model_repeated_keys(m, pass, &ctx->keys);
	if (rc == SP_OK)
		rc = share(m, piece, micro, batch);
	if (rc == SP_OK && pass->training && m->options.forward_only)
		rc = sp_fail(SP_ERR_ARGUMENT, "a forward-only model cannot be trained");
	if (rc == SP_OK && m->options.attention->projects && !batch->length)
		rc = sp_fail(SP_ERR_ARGUMENT, "%s attention wants to know how long samples are", m->options.attention->name);
	if (rc == SP_OK && m->options.attention->has_globals && !batch->other_doc)
		rc = sp_fail(SP_ERR_ARGUMENT, "%s attention wants to know which tokens are global", m->options.attention->name);
	m->attention.globals = (struct sp_attention_globals){ batch->global_doc, batch->other_doc, batch->read_other_doc,
		                                                  batch->global_row, batch->global_slot, batch->globals };
	m->attention.doc = batch->doc;
	m->attention.whole = batch->whole;
	m->attention.length = batch->length;
	m->attention.position = batch->position;
	m->attention.sample = batch->head_sample ? batch->head_sample : batch->sample;
	return rc;
}

static struct sp_tokens tokens_of(const struct sp_batch *batch)
{
	return (struct sp_tokens){ batch->token, batch->position, batch->kind };
}

int sp_model_forward(struct sp_model *m, int piece, int64_t micro, const struct sp_batch *batch, const struct sp_pass *pass)
{
	const struct sp_matrix nothing = { 0 };
	const struct sp_tokens tokens = tokens_of(batch);
	struct sp_layer_context ctx;
	struct sp_read_rows read;
	int rc = begin(m, piece, micro, batch, pass, &ctx);
	if (rc == SP_OK)
		rc = forward(m, piece, micro, &ctx, &tokens, read_rows(m, piece, micro, batch, pass->training, &read));
	if (rc || pass->training || !m->piece[piece].ends)
		return rc;
	return heads(m, &ctx, batch, pass, stream_out(m, piece, micro).y, nothing);
}

int sp_model_backward(struct sp_model *m, int piece, int64_t micro, int i, const struct sp_batch *batch,
                      const struct sp_pass *pass)
{
	const struct sp_tokens tokens = tokens_of(batch);
	struct sp_layer_context ctx;
	struct sp_encoder_scratch scratch;
	struct sp_read_rows read;
	int rc = begin(m, piece, micro, batch, pass, &ctx);
	scratch = m->scratch;
	scratch.dy = m->stream_gradient[i];
	if (rc == SP_OK && m->piece[piece].ends && sp_model_renorms(m))
		rc = enter_again(m, piece, micro, &ctx, layers_of(&m->piece[piece]));
	if (rc == SP_OK && m->piece[piece].ends)
		rc = heads(m, &ctx, batch, pass, stream_out(m, piece, micro).y, scratch.dy);
	return rc ? rc : backward(m, piece, micro, &ctx, &tokens, pass, read_rows(m, piece, micro, batch, 1, &read), &scratch);
}

static int check_whole(const struct sp_model *m)
{
	return sp_part_stages(&m->options.part) == 1 ?
	               SP_OK :
	               sp_fail(SP_ERR_ARGUMENT, "a stage of a pipeline cannot do a whole model's work");
}

int sp_model_run(struct sp_model *m, const struct sp_batch *batch, const struct sp_pass *pass)
{
	int rc = check_whole(m);
	if (rc == SP_OK)
		rc = sp_model_forward(m, 0, 0, batch, pass);
	return rc == SP_OK && pass->training ? sp_model_backward(m, 0, 0, 0, batch, pass) : rc;
}

int sp_model_encode(struct sp_model *m, const struct sp_batch *batch, struct sp_matrix *hidden)
{
	const struct sp_pass pass = { .training = 0 };
	const struct sp_tokens tokens = tokens_of(batch);
	struct sp_layer_context ctx;
	int rc = check_whole(m);
	if (rc == SP_OK)
		rc = begin(m, 0, 0, batch, &pass, &ctx);
	*hidden = stream_out(m, 0, 0).y;
	return rc ? rc : forward(m, 0, 0, &ctx, &tokens, NULL);
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
	const struct sp_matrix x = stream_out(m, 0, 0).y;
	if (sp_model_tensors(m) > 1 || sp_part_stages(&m->options.part) > 1)
		return sp_fail(SP_ERR_ARGUMENT, "rows of logits are handed out by models that one rank holds whole");
	if (m->options.element != SP_F32)
		return sp_fail(SP_ERR_ARGUMENT, "rows of logits are handed out in f32, and this model's are %s",
		               sp_dtype_name(m->options.element));
	float *host = malloc((size_t)m->options.config.vocab_size * sizeof *host);
	int rc = host ? leave_attention(m) : sp_fail(SP_ERR_MEMORY, "no memory for a row of logits");
	for (int64_t first = 0; rc == SP_OK && first < n; first += m->mlm.rows) {
		struct sp_matrix logits;
		rc = sp_mlm_head_logits(&m->mlm, &ctx, row + first, sp_min(m->mlm.rows, n - first), x, &logits);
		if (rc == SP_OK)
			rc = hand_out(m, logits, first, host, take, to);
	}
	free(host);
	return rc;
}

