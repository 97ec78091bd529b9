#include "config.h"

#include "model/inside.h"

#include "base/log.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- pieces and slots ---- */

/* What decides how much a layer keeps is known from here on, also where it is only counted. In a pre-LN model a piece ends
 * with a sum, which whoever goes on norms. */
static int create_slots(struct sp_model_piece *p, int pre_norm)
{
	const size_t layers = (size_t)(p->layers.end - p->layers.first), slots = (size_t)p->slots;
	p->slot = calloc(slots, sizeof *p->slot);
	p->entrance = calloc(slots + 1, sizeof *p->entrance);
	int bad = !p->slot || !p->entrance;
	for (int s = 0; !bad && s < p->slots; s++) {
		p->slot[s].layer = calloc(layers + 1, sizeof *p->slot[s].layer);
		bad = !p->slot[s].layer;
		for (size_t i = 0; !bad && i < layers; i++)
			p->slot[s].layer[i].pre_norm = pre_norm;
		if (!bad && layers > 0)
			p->slot[s].layer[layers - 1].open = pre_norm && !p->ends;
	}
	return bad ? sp_fail(SP_ERR_MEMORY, "no memory for %d times %zu layers", p->slots, layers) : SP_OK;
}

static int create_pieces(struct sp_model *m)
{
	const struct sp_model_options *o = &m->options;
	m->pieces = sp_part_pieces(&o->part);
	m->piece = calloc((size_t)m->pieces, sizeof *m->piece);
	int rc = m->piece ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for %d pieces of a model", m->pieces);
	for (int i = 0; rc == SP_OK && i < m->pieces; i++) {
		struct sp_model_piece *p = &m->piece[i];
		p->layers = sp_part_layers(&o->part, &o->config, i);
		p->begins = i == 0 && sp_part_is_first(&o->part);
		p->ends = i == m->pieces - 1 && sp_part_is_last(&o->part);
		p->slots = o->slots && !o->forward_only ? o->slots[i] : 1;
		rc = create_slots(p, o->config.pre_norm);
	}
	return rc;
}

static void destroy_pieces(struct sp_model *m)
{
	for (int i = 0; m->piece && i < m->pieces; i++) {
		for (int s = 0; m->piece[i].slot && s < m->piece[i].slots; s++)
			free(m->piece[i].slot[s].layer);
		free(m->piece[i].slot);
		free(m->piece[i].entrance);
	}
	free(m->piece);
	m->piece = NULL;
}

/* ---- which part is this rank's ---- */

int sp_model_tensors(const struct sp_model *m)
{
	return m->options.part.tensors > 1 ? m->options.part.tensors : 1;
}

int sp_model_renorms(const struct sp_model *m)
{
	return m->options.config.pre_norm && m->options.recompute == SP_RECOMPUTE_LAYER && !m->options.forward_only;
}

static int gather_stats(void *context, struct sp_matrix stats)
{
	const struct sp_encoder_attention *a = context;
	struct sp_transfer transfer = { .compute = a->compute };
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
	m->widths.element = m->options.element;
	m->widths.tile = m->options.tile > 0 ? m->options.tile : SP_ENCODER_TILE;
	m->attention.tensor = sp_model_tensors(m) > 1 ? m->options.tensor : NULL;
	m->attention.rope_base = m->options.config.rope_base;
	m->words.first = first;
	m->mlm.parts = (struct sp_head_parts){ part->tensor, sp_model_tensors(m), first, gather_stats, sum_parts, &m->attention };
}

/* The model has weights for what attention projects, and no others; and its window. */
static int check_projections(const struct sp_model_options *o)
{
	const struct sp_model_config *c = &o->config;
	if (o->attention->projects && o->packed)
		return sp_fail(SP_ERR_SETTING,
		               "parallel.attention = %s does not go with data.packing = true: keys and values are summed along the "
		               "sequence, and the samples in it could not be kept apart; set data.packing = false", o->attention->name);
	if (o->attention->projects && c->rope_base > 0)
		return sp_fail(SP_ERR_SETTING,
		               "parallel.attention = %s does not go with model.position = rope: in a sum of keys of many positions "
		               "no rotation is left that queries could be held against; set model.position = learned", o->attention->name);
	if (c->window != (o->attention->has_globals ? o->choice.window : 0) || (c->window > 0 && c->globals != o->choice.globals))
		return sp_fail(SP_ERR_ARGUMENT, "%s attention to %lld neighbours, of a model that has %lld", o->attention->name,
		               (long long)o->choice.window, (long long)c->window);
	const int per_head = c->linformer_k > 0 && c->linformer_share == SP_LINFORMER_HEAD;
	if (c->linformer_k == (o->attention->projects ? o->choice.linformer_k : 0) &&
	    (!o->attention->projects || per_head == o->choice.linformer_per_head))
		return SP_OK;
	return sp_fail(SP_ERR_ARGUMENT, "%s attention, projecting to %lld rows, of a model that has weights for %lld",
	               o->attention->name, (long long)o->choice.linformer_k, (long long)c->linformer_k);
}

int sp_model_prepare(struct sp_model *m, const struct sp_model_options *options)
{
	int rc = sp_part_check(&options->part, &options->config);
	if (rc == SP_OK)
		rc = check_projections(options);
	if (rc)
		return rc;
	m->options = *options;
	m->attention.variant = options->attention;
	take_part(m);
	rc = create_pieces(m);
	return rc ? rc : sp_parameters_create_part(&options->config, &options->part, &m->parameters);
}

void sp_model_discard(struct sp_model *m)
{
	sp_model_unlay(m);
	sp_parameters_destroy(&m->parameters);
	destroy_pieces(m);
}

/* ---- weights ---- */

static void bind_embedding(struct sp_embedding_layer *e, const struct sp_binding *b, const struct sp_model_config *c)
{
	e->word = sp_bind(b, "bert.embeddings.word_embeddings", ".weight");
	if (c->rope_base == 0)
		e->position = sp_bind(b, "bert.embeddings.position_embeddings", ".weight");
	e->type = sp_bind(b, "bert.embeddings.token_type_embeddings", ".weight");
	e->dropout = c->dropout;
	if (!c->pre_norm)
		e->norm = sp_bind_norm(b, "bert.embeddings.LayerNorm");
}

static void bind_slot(const struct sp_model_piece *p, struct sp_model_slot *slot, const struct sp_binding *b,
                      const struct sp_model_config *c)
{
	char name[64];
	snprintf(name, sizeof name, "bert.encoder.layer.%lld.attention.ln", (long long)p->layers.first);
	if (p->begins)
		bind_embedding(&slot->embedding, b, c);
	if (c->pre_norm)
		slot->entry.norm = sp_bind_norm(b, name);
	for (int64_t i = p->layers.first; i < p->layers.end; i++)
		sp_encoder_layer_bind(&slot->layer[i - p->layers.first], b, c, i);
}

static void bind_heads(struct sp_model *m, const struct sp_binding *b)
{
	m->mlm.dense = sp_bind_dense(b, "cls.predictions.transform.dense");
	m->mlm.norm = sp_bind_norm(b, "cls.predictions.transform.LayerNorm");
	m->mlm.decoder.weight = sp_bind_factor(b, "bert.embeddings.word_embeddings", ".weight");
	m->mlm.decoder.bias = sp_bind(b, "cls.predictions.bias", "");
	m->mlm.act = m->options.config.activation;
	if (!m->options.config.sentence_order)
		return;
	m->order.pooler = sp_bind_dense(b, "bert.pooler.dense");
	m->order.classifier = sp_bind_dense(b, "cls.seq_relationship");
}

void sp_model_bind(struct sp_model *m)
{
	const struct sp_binding b = { &m->parameters, m->values, m->gradients, m->factors, m->options.element };
	for (int i = 0; i < m->pieces; i++)
		for (int s = 0; s < m->piece[i].slots; s++)
			bind_slot(&m->piece[i], &m->piece[i].slot[s], &b, &m->options.config);
	if (sp_part_is_last(&m->options.part))
		bind_heads(m, &b);
}

/* ---- activations ---- */

int64_t sp_model_orders(int packed, int64_t batch, int64_t chunk)
{
	return packed ? batch * sp_ceil_div(chunk, 2) : batch;
}

static int take_all(struct sp_arena *arena, int64_t rows, int64_t cols, enum sp_dtype dtype, struct sp_matrix *const *views,
                    int count)
{
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < count; i++)
		rc = sp_arena_take_matrix_of(arena, rows, cols, dtype, views[i]);
	return rc;
}

/* Layer `i` of a piece writes what enters layer i + 1; what enters layer 0 counts as written by layer -1. */
static struct sp_matrix normed_by(const struct sp_model *m, int64_t i)
{
	return m->normed[(i + 2) % 2];
}

/* The norm of what enters: of the embedding in a post-LN model, before the first layer in a pre-LN one. */
static int lay_entry(const struct sp_model *m, const struct sp_model_piece *p, struct sp_model_slot *slot,
                     struct sp_arena *arena, int64_t rows)
{
	const int pre = m->options.config.pre_norm;
	struct sp_embedding_layer *e = &slot->embedding;
	struct sp_matrix *const tall[] = { &e->y, pre ? &slot->entry.y : &e->s };
	struct sp_matrix *const flat[] = { pre ? &slot->entry.mean : &e->mean, pre ? &slot->entry.rstd : &e->rstd };
	const int first = !p->begins, end = 2 - sp_model_renorms(m);
	int rc = SP_OK;
	if (p->begins || pre)
		rc = take_all(arena, rows, m->options.config.hidden, m->widths.element, tall + first, end - first);
	if (sp_model_renorms(m))
		slot->entry.y = normed_by(m, -1);
	if (rc == SP_OK && (p->begins || pre))
		rc = take_all(arena, 1, rows, SP_F32, flat, 2);
	return rc;
}

static int lay_slot(const struct sp_model *m, const struct sp_model_piece *p, struct sp_model_slot *slot,
                    struct sp_arena *arena, int64_t rows)
{
	int rc = lay_entry(m, p, slot, arena, rows);
	for (int64_t i = 0; rc == SP_OK && i < p->layers.end - p->layers.first; i++) {
		struct sp_encoder_widths widths = m->widths;
		if (m->full && sp_model_layer_meets_all(&m->options.config, p->layers.first + i))
			widths.kept = 0;
		rc = sp_encoder_layer_layout(&slot->layer[i], arena, &widths, m->options.batch, m->options.chunk,
		                             m->options.recompute);
		if (sp_model_renorms(m) && !slot->layer[i].open)
			slot->layer[i].joint_mlp.y = normed_by(m, i);
	}
	return rc;
}

/* One set of buffers for all layers. */
static int lay_shared(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const struct sp_model_config *c = &m->options.config;
	struct sp_encoder_shared *s = &m->shared;
	int rc = sp_encoder_shared_layout(s, arena, &m->widths, rows);
	for (int i = 0; i < m->pieces; i++) {
		struct sp_model_slot *slot = m->piece[i].slot;
		slot->embedding.y = s->stream;
		struct sp_matrix *const mean = c->pre_norm ? &slot->entry.mean : &slot->embedding.mean,
								*const rstd = c->pre_norm ? &slot->entry.rstd : &slot->embedding.rstd;
		*mean = s->mean;
		*rstd = s->rstd;
		slot->entry.y = s->normed;
		slot->embedding.s = c->pre_norm ? (struct sp_matrix){ 0 } : s->sum;
	}
	return rc;
}

/* What other stages send, and the gradients that go the other way. */
static int lay_pipeline(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const int64_t h = m->options.config.hidden;
	const int gradients = sp_part_stages(&m->options.part) > 1 ? SP_MODEL_STREAM_GRADIENTS : 1;
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < m->pieces; i++)
		for (int s = 0; rc == SP_OK && !m->piece[i].begins && s <= m->piece[i].slots; s++)
			rc = sp_arena_take_matrix_of(arena, rows, h, m->widths.element, &m->piece[i].entrance[s]);
	for (int i = 0; rc == SP_OK && !m->options.forward_only && i < gradients; i++)
		rc = sp_arena_take_matrix_of(arena, rows, h, m->widths.element, &m->stream_gradient[i]);
	return rc;
}

static int lay_kept(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const struct sp_model_config *c = &m->options.config;
	if (m->options.forward_only)
		return lay_shared(m, arena, rows);
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && sp_model_renorms(m) && i < 2; i++)
		rc = sp_arena_take_matrix_of(arena, rows, c->hidden, m->widths.element, &m->normed[i]);
	for (int i = 0; i < m->pieces; i++)
		for (int s = 0; rc == SP_OK && s < m->piece[i].slots; s++)
			rc = lay_slot(m, &m->piece[i], &m->piece[i].slot[s], arena, rows);
	return rc || !c->pre_norm ? rc : sp_arena_take_matrix_of(arena, rows, c->hidden, m->widths.element, &m->scratch.dsum);
}

static int lay_inner_shared(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	int rc = sp_encoder_shared_layout_inner(&m->shared, arena, &m->widths, m->options.batch, m->options.chunk);
	for (int i = 0; i < m->pieces; i++)
		for (int64_t l = 0; l < m->piece[i].layers.end - m->piece[i].layers.first; l++)
			sp_encoder_layer_share(&m->piece[i].slot->layer[l], &m->shared);
	if (rc == SP_OK && sp_model_tensors(m) > 1 && sp_part_is_first(&m->options.part))
		rc = sp_arena_take_matrix(arena, rows, m->options.config.hidden, &m->words.words);
	return rc;
}

/* What layers do not keep. */
static int lay_lent(struct sp_model *m, struct sp_arena *arena)
{
	const enum sp_recompute recompute = m->options.recompute;
	m->lent = (struct sp_encoder_layer){ .pre_norm = m->options.config.pre_norm };
	int rc = sp_encoder_layer_layout_lent(&m->lent, arena, &m->widths, m->options.batch, m->options.chunk, recompute,
	                                      &m->scratch);
	for (int i = 0; i < m->pieces; i++)
		for (int s = 0; s < m->piece[i].slots; s++)
			for (int64_t l = 0; l < m->piece[i].layers.end - m->piece[i].layers.first; l++)
				sp_encoder_layer_borrow(&m->piece[i].slot[s].layer[l], &m->lent, recompute);
	return rc;
}

/* Words that tensor ranks look up together, in float32: no layer is at work then. */
static int lay_words(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	m->words.words = m->scratch.dx;
	if (m->widths.element == SP_F32 || sp_model_tensors(m) == 1 || !sp_part_is_first(&m->options.part))
		return SP_OK;
	return sp_arena_take_matrix(arena, rows, m->options.config.hidden, &m->words.words);
}

static struct sp_attention_shape_host attention_shape(const struct sp_model *m, int ranks)
{
	return (struct sp_attention_shape_host){
		m->options.batch, m->options.chunk, m->widths.heads, m->options.config.hidden / m->options.config.heads, ranks,
		m->options.sequence ? sp_comm_rank(m->options.sequence) : 0, m->options.choice,
		sp_attention_element(m->options.attention, &m->options.choice, m->options.element),
	};
}

/* What is used inside a layer only, besides attention's own. */
static int lay_inner(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const int converts = attention_shape(m, 1).element != m->options.element;
	m->attention.wide = (struct sp_encoder_wide){ 0 };
	int rc = converts ? sp_encoder_wide_layout(&m->attention.wide, arena, &m->widths, rows, m->options.forward_only) : SP_OK;
	if (rc || m->options.forward_only)
		return rc ? rc : lay_inner_shared(m, arena, rows);
	rc = sp_encoder_scratch_layout(&m->scratch, arena, &m->widths, rows, m->options.recompute);
	if (rc == SP_OK)
		rc = lay_words(m, arena, rows);
	return rc ? rc : lay_lent(m, arena);
}

static int lay_scratch(struct sp_model *m, struct sp_arena *arena, int64_t rows, int ranks)
{
	const struct sp_attention_setup setup = {
		.compute = m->compute,
		.comm = m->options.sequence,
		.shape = attention_shape(m, ranks),
		.overlap = m->options.overlap,
		.forward_only = m->options.forward_only,
	};
	int rc = lay_inner(m, arena, rows);
	const size_t before = arena->used;
	if (rc == SP_OK && m->full)
		rc = m->full->create(&setup, arena, &m->full_work);
	const size_t full_end = arena->used;
	sp_arena_release(arena, before);
	if (rc == SP_OK)
		rc = m->options.attention->create(&setup, arena, &m->attention.work);
	if (rc == SP_OK && arena->used < full_end) {
		void *rest;
		rc = sp_arena_take(arena, (int64_t)(full_end - arena->used), 1, &rest);
	}
	m->memory.attention = arena->used - before;
	return rc;
}

/* Some layers attend to all tokens, where others do not. */
static const struct sp_attention_variant *full_attention(const struct sp_model *m, int ranks)
{
	if (!m->options.attention->has_globals || m->options.config.global_every == 0)
		return NULL;
	return sp_attention_find(sp_model_full_attention(ranks));
}

const char *sp_model_full_attention(int ranks)
{
	return ranks > 1 ? "ring" : "full";
}

static int lay_heads(struct sp_model *m, struct sp_arena *arena, int64_t rows)
{
	const struct sp_model_config *c = &m->options.config;
	if (!sp_part_is_last(&m->options.part))
		return SP_OK;
	int rc = sp_mlm_head_layout(&m->mlm, arena, rows, c->hidden, sp_part_size(&m->options.part, c->vocab_size), m->widths.element);
	return rc || !c->sentence_order ? rc : sp_order_head_layout(&m->order, arena, sp_model_orders(m->options.packed,
	                                                            m->options.batch, m->options.chunk), c->hidden, m->widths.element);
}

/* The heads run between forward and backward, when no layer is at work: they share the layers' scratch. */
int sp_model_lay(struct sp_model *m, struct sp_arena *arena, int ranks)
{
	const int64_t rows = m->options.batch * m->options.chunk;
	struct sp_model_memory *memory = &m->memory;
	const struct sp_attention_shape_host shape = attention_shape(m, ranks);
	m->full = full_attention(m, ranks);
	m->widths.scores = m->options.attention->keeps_scores ? ranks * m->options.chunk : 0;
	m->widths.kept = m->options.attention->kept ? m->options.attention->kept(&shape) : 0;
	int rc = lay_kept(m, arena, rows);
	memory->pipeline = arena->used;
	if (rc == SP_OK)
		rc = lay_pipeline(m, arena, rows);
	memory->activations = arena->used;
	memory->pipeline = sp_part_stages(&m->options.part) > 1 ? arena->used - memory->pipeline : 0;
	if (rc == SP_OK)
		rc = lay_scratch(m, arena, rows, ranks);
	memory->scratch = arena->used - memory->activations;
	sp_arena_release(arena, memory->activations);
	if (rc == SP_OK)
		rc = lay_heads(m, arena, rows);
	memory->head = arena->used - memory->activations;
	sp_arena_release(arena, 0);
	memory->arena = arena->high;
	return rc;
}

/* Rows of as many as it has room for. */
static void fit(struct sp_matrix *view, int64_t rows)
{
	if (view->cols > 0)
		*view = sp_matrix_of(view->data, rows, view->cols, view->dtype);
}

static void fit_slot(const struct sp_model *m, const struct sp_model_piece *p, struct sp_model_slot *slot, int64_t chunk)
{
	const int64_t rows = m->options.batch * chunk;
	struct sp_matrix *const tall[] = { &slot->embedding.s, &slot->embedding.y, &slot->entry.y };
	struct sp_matrix *const flat[] = { &slot->embedding.mean, &slot->embedding.rstd, &slot->entry.mean, &slot->entry.rstd };
	for (size_t i = 0; i < sizeof tall / sizeof *tall; i++)
		fit(tall[i], rows);
	for (size_t i = 0; i < sizeof flat / sizeof *flat; i++)
		if (flat[i]->cols > 0)
			*flat[i] = sp_matrix(flat[i]->data, 1, rows);
	for (int64_t i = 0; i < p->layers.end - p->layers.first; i++)
		sp_encoder_layer_fit(&slot->layer[i], &m->widths, m->options.batch, chunk);
}

void sp_model_fit(struct sp_model *m, int piece, int64_t micro, int64_t chunk)
{
	struct sp_model_piece *p = &m->piece[piece];
	const int64_t rows = m->options.batch * chunk;
	struct sp_matrix *const shared[] = { &m->scratch.dsum, &m->scratch.dx, &m->scratch.dout, &m->scratch.dqkv, &m->words.words,
		                                 &m->attention.wide.qkv, &m->attention.wide.o, &m->attention.wide.dout, &m->attention.wide.dqkv,
		                                 &p->entrance[micro % (p->slots + 1)] };
	for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
		fit(shared[i], rows);
	for (int i = 0; i < SP_MODEL_STREAM_GRADIENTS; i++)
		fit(&m->stream_gradient[i], rows);
	fit_slot(m, p, &p->slot[micro % p->slots], chunk);
}

void sp_model_unlay(struct sp_model *m)
{
	if (m->attention.work)
		m->options.attention->destroy(m->attention.work);
	m->attention.work = NULL;
	if (m->full_work)
		m->full->destroy(m->full_work);
	m->full_work = NULL;
}
