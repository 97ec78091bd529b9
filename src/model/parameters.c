#include "config.h"

#include "model/parameters.h"

#include "base/log.h"
#include "base/rng.h"
#include "base/size.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16 }; /* elements: a cache line */

/* Names follow Hugging Face's BertForPreTraining; a pre-LN model is Megatron's BERT and is named as MegatronBert is there. */
struct builder {
	struct sp_parameters *table;
	const struct sp_model_config *config;
	struct sp_model_part part;
};

enum kind { WEIGHT, OUTPUT_WEIGHT, TABLE, SEQUENCE_WEIGHT, GAMMA, ZEROS };

/* What tensor ranks share out: nothing, rows or columns. */
enum cut { WHOLE, ROWS, COLS };

/* The largest share. */
static int64_t room_for(const struct sp_model_part *part, int64_t n)
{
	return part->tensors > 1 ? sp_ceil_div(n, part->tensors) : n;
}

/* Weights start as N(0, 0.02) (Devlin et al. 2018). In a pre-LN model those that write to the residual stream are divided
 * by sqrt(2 layers) (Megatron-LM; Radford et al. 2019). Those that sum a sequence up leave what they sum as large as it is. */
static float initial_std(const struct sp_model_config *c, enum kind kind)
{
	if (kind == WEIGHT || kind == TABLE)
		return 0.02f;
	if (kind == OUTPUT_WEIGHT)
		return c->pre_norm ? 0.02f / sqrtf(2.0f * (float)c->layers) : 0.02f;
	if (kind == SEQUENCE_WEIGHT)
		return 1 / sqrtf((float)c->max_positions);
	return 0;
}

/* Activations are multiplied with it. Tables are looked up, and sequences are summed in float32. */
static int is_factor(enum kind kind)
{
	return kind == WEIGHT || kind == OUTPUT_WEIGHT;
}

/* Where the next of `room` elements begins. */
static int64_t place(int64_t *end, int64_t room, int beside)
{
	const int64_t begin = beside ? *end : sp_round_up(*end, ALIGN);
	*end = begin + room;
	return begin;
}

/* Appends a parameter. `beside` puts it directly behind the one before, without alignment. Where shares differ in size all
 * tensor ranks leave room for the largest: what they hold alike lies at the same offset and is summed in the same order. */
static void append(struct builder *b, enum kind kind, enum cut cut, int64_t rows, int64_t cols, int beside,
                   const char *format, ...)
{
	struct sp_parameters *t = b->table;
	const int64_t room = (cut == ROWS ? room_for(&b->part, rows) : rows) * (cut == COLS ? room_for(&b->part, cols) : cols);
	const int64_t own_rows = cut == ROWS ? sp_part_size(&b->part, rows) : rows,
				  own_cols = cut == COLS ? sp_part_size(&b->part, cols) : cols;
	const int64_t offset = place(&t->elements, room, beside), factor = is_factor(kind) ? place(&t->factors, room, beside) : -1;
	if (t->entry) {
		struct sp_parameter *p = &t->entry[t->count];
		va_list args;
		va_start(args, format);
		vsnprintf(p->name, sizeof p->name, format, args);
		va_end(args);
		p->rows = own_rows;
		p->cols = own_cols;
		p->first_row = cut == ROWS ? sp_part_first(&b->part, rows) : 0;
		p->first_col = cut == COLS ? sp_part_first(&b->part, cols) : 0;
		p->whole_rows = rows;
		p->whole_cols = cols;
		p->mean = kind == GAMMA ? 1.0f : 0.0f;
		p->std = initial_std(b->config, kind);
		p->decay = is_factor(kind) || kind == TABLE || kind == SEQUENCE_WEIGHT;
		p->counted = b->part.tensor == 0 || sp_parameter_is_cut(p);
		p->offset = offset;
		p->factor = factor;
	}
	t->values += own_rows * own_cols;
	t->count++;
}

static void append_norm(struct builder *b, const char *name)
{
	append(b, GAMMA, WHOLE, 1, b->config->hidden, 0, "%s.weight", name);
	append(b, ZEROS, WHOLE, 1, b->config->hidden, 0, "%s.bias", name);
}

/* Cut by ROWS a rank computes some of the outputs; by COLS all of them from some of the inputs, to be summed. */
static void append_dense(struct builder *b, enum kind kind, enum cut cut, int64_t out, int64_t in, const char *name)
{
	append(b, kind, cut, out, in, 0, "%s.weight", name);
	append(b, ZEROS, cut == ROWS ? COLS : WHOLE, 1, out, 0, "%s.bias", name);
}

/* The first stage looks words up, the last one predicts them: the table comes first on both, so that its place and the
 * order of its sums do not depend on what else a stage holds. */
static void append_words(struct builder *b)
{
	const struct sp_model_config *c = b->config;
	append(b, WEIGHT, ROWS, c->vocab_size, c->hidden, 0, "bert.embeddings.word_embeddings.weight");
	if (sp_part_stages(&b->part) == 1)
		return;
	b->table->elements = sp_round_up(b->table->elements, ALIGN);
	b->table->tied = b->table->elements;
	if (b->table->entry && !sp_part_is_first(&b->part))
		b->table->entry[b->table->count - 1].counted = 0;
}

/* Row p: with which weights the token at position p enters each row of the projected sequence. */
static void append_sequence(struct builder *b, const char *at, const char *name)
{
	const struct sp_model_config *c = b->config;
	const int64_t pairs = c->linformer_share == SP_LINFORMER_HEAD ? c->heads : 1;
	append(b, SEQUENCE_WEIGHT, WHOLE, c->max_positions, pairs * c->linformer_k, 0, "%s.%s.weight", at, name);
}

static void append_embeddings(struct builder *b)
{
	const struct sp_model_config *c = b->config;
	if (c->rope_base == 0)
		append(b, TABLE, WHOLE, c->max_positions, c->hidden, 0, "bert.embeddings.position_embeddings.weight");
	append(b, TABLE, WHOLE, 2, c->hidden, 0, "bert.embeddings.token_type_embeddings.weight");
	if (!c->pre_norm)
		append_norm(b, "bert.embeddings.LayerNorm");
	if (c->linformer_k > 0 && c->linformer_share == SP_LINFORMER_MODEL)
		append_sequence(b, "bert.encoder", "sequence");
}

static void append_layer(struct builder *b, int64_t layer)
{
	static const char *const projections[] = { "query", "key", "value" };
	const struct sp_model_config *c = b->config;
	char at[48], name[80];
	snprintf(at, sizeof at, "bert.encoder.layer.%lld", (long long)layer);
	if (c->pre_norm) {
		snprintf(name, sizeof name, "%s.attention.ln", at);
		append_norm(b, name);
	}
	for (int i = 0; i < 3; i++)
		append(b, WEIGHT, ROWS, c->hidden, c->hidden, i > 0, "%s.attention.self.%s.weight", at, projections[i]);
	for (int i = 0; i < 3; i++)
		append(b, ZEROS, COLS, 1, c->hidden, i > 0, "%s.attention.self.%s.bias", at, projections[i]);
	for (int i = 1; i < 3 && c->linformer_k > 0 && c->linformer_share != SP_LINFORMER_MODEL; i++) {
		snprintf(name, sizeof name, "sequence_%s", projections[i]);
		append_sequence(b, at, name);
	}
	snprintf(name, sizeof name, "%s.attention.output.dense", at);
	append_dense(b, OUTPUT_WEIGHT, COLS, c->hidden, c->hidden, name);
	snprintf(name, sizeof name, c->pre_norm ? "%s.ln" : "%s.attention.output.LayerNorm", at);
	append_norm(b, name);
	snprintf(name, sizeof name, "%s.intermediate.dense", at);
	append_dense(b, WEIGHT, ROWS, c->intermediate, c->hidden, name);
	snprintf(name, sizeof name, "%s.output.dense", at);
	append_dense(b, OUTPUT_WEIGHT, COLS, c->hidden, c->intermediate, name);
	if (!c->pre_norm) {
		snprintf(name, sizeof name, "%s.output.LayerNorm", at);
		append_norm(b, name);
	}
}

static void append_layers(struct builder *b, struct sp_layer_range layers)
{
	for (int64_t layer = layers.first; layer < layers.end; layer++)
		append_layer(b, layer);
}

static void append_heads(struct builder *b)
{
	const struct sp_model_config *c = b->config;
	if (c->pre_norm)
		append_norm(b, "bert.encoder.ln");
	if (c->sentence_order)
		append_dense(b, WEIGHT, WHOLE, c->hidden, c->hidden, "bert.pooler.dense");
	append_dense(b, WEIGHT, WHOLE, c->hidden, c->hidden, "cls.predictions.transform.dense");
	append_norm(b, "cls.predictions.transform.LayerNorm");
	append(b, ZEROS, COLS, 1, c->vocab_size, 0, "cls.predictions.bias");
	if (c->sentence_order)
		append_dense(b, WEIGHT, WHOLE, 2, c->hidden, "cls.seq_relationship");
}

/* The same walk counts (no entries yet) and fills. */
static void walk(struct builder *b)
{
	b->table->count = 0;
	b->table->elements = b->table->values = b->table->factors = b->table->tied = 0;
	if (sp_part_is_first(&b->part) || sp_part_is_last(&b->part))
		append_words(b);
	if (sp_part_is_first(&b->part))
		append_embeddings(b);
	for (int i = 0; i < sp_part_pieces(&b->part); i++)
		append_layers(b, sp_part_layers(&b->part, b->config, i));
	if (sp_part_is_last(&b->part))
		append_heads(b);
	b->table->elements = sp_round_up(b->table->elements, ALIGN);
}

int sp_parameters_create(const struct sp_model_config *config, struct sp_parameters *table)
{
	const struct sp_model_part whole = { 0 };
	return sp_parameters_create_part(config, &whole, table);
}

int sp_parameters_create_part(const struct sp_model_config *config, const struct sp_model_part *part,
                              struct sp_parameters *table)
{
	struct builder b = { .table = table, .config = config, .part = *part };
	memset(table, 0, sizeof *table);
	walk(&b);
	table->entry = calloc((size_t)table->count, sizeof *table->entry);
	if (!table->entry)
		return sp_fail(SP_ERR_MEMORY, "no memory for a table of %d parameters", table->count);
	walk(&b);
	return SP_OK;
}

int64_t sp_parameters_values(const struct sp_model_config *config)
{
	struct sp_parameters table = { 0 };
	struct builder b = { .table = &table, .config = config };
	walk(&b);
	return table.values;
}

void sp_parameters_destroy(struct sp_parameters *table)
{
	free(table->entry);
	memset(table, 0, sizeof *table);
}

const struct sp_parameter *sp_parameters_find(const struct sp_parameters *table, const char *name)
{
	for (int i = 0; i < table->count; i++)
		if (strcmp(table->entry[i].name, name) == 0)
			return &table->entry[i];
	return NULL;
}

int sp_parameter_is_cut(const struct sp_parameter *p)
{
	return p->rows != p->whole_rows || p->cols != p->whole_cols;
}

struct sp_parameter_run sp_parameter_run(const struct sp_parameter *p, int64_t own)
{
	const int64_t row = own / p->cols, col = own % p->cols;
	struct sp_parameter_run run = { own, (p->first_row + row) * p->whole_cols + p->first_col + col, p->cols - col };
	if (p->cols == p->whole_cols)
		run.count = p->rows * p->cols - own;
	return run;
}

void sp_parameters_spread(const struct sp_parameters *part, const float *own, const struct sp_parameters *whole, float *all)
{
	for (int i = 0; i < part->count; i++) {
		const struct sp_parameter *p = &part->entry[i], *w = sp_parameters_find(whole, p->name);
		if (!w || !p->counted)
			continue;
		for (int64_t at = 0; at < p->rows * p->cols;) {
			const struct sp_parameter_run run = sp_parameter_run(p, at);
			memcpy(all + w->offset + run.whole, own + p->offset + run.own, (size_t)run.count * sizeof *own);
			at += run.count;
		}
	}
}

void sp_parameter_take(const struct sp_parameters *part, float *own, const struct sp_parameter *whole, const float *values)
{
	const struct sp_parameter *p = sp_parameters_find(part, whole->name);
	for (int64_t at = 0; p && at < p->rows * p->cols;) {
		const struct sp_parameter_run run = sp_parameter_run(p, at);
		memcpy(own + p->offset + run.own, values + run.whole, (size_t)run.count * sizeof *own);
		at += run.count;
	}
}

void sp_parameters_take(const struct sp_parameters *part, float *own, const struct sp_parameters *whole, const float *all)
{
	for (int i = 0; i < whole->count; i++)
		sp_parameter_take(part, own, &whole->entry[i], all + whole->entry[i].offset);
}

/* FNV-1a: a parameter's stream depends on its name, so adding a head does not change the other parameters. */
static uint64_t hash_name(const char *name)
{
	uint64_t h = 14695981039346656037u;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return h;
}

/* Element i of a parameter is a function of (seed, name, i): one draw of the generator gives four, by Box-Muller. */
static void draw_four(const uint32_t key[2], int64_t block, float z[4])
{
	const uint32_t counter[4] = { (uint32_t)block, (uint32_t)(block >> 32), 0, 0 };
	uint32_t u[4];
	sp_philox(key, counter, u);
	for (int h = 0; h < 2; h++) {
		const float radius = sqrtf(-2.0f * logf(((float)(u[2 * h] >> 8) + 1.0f) * 0x1p-24f));
		const float angle = (float)(u[2 * h + 1] >> 8) * (float)(6.283185307179586 * 0x1p-24);
		z[2 * h] = radius * cosf(angle);
		z[2 * h + 1] = radius * sinf(angle);
	}
}

/* Elements [first, first + count) of the whole parameter. */
static void fill_normal(const struct sp_parameter *p, const uint32_t key[2], int64_t first, int64_t count, float *values)
{
	for (int64_t block = first / 4; 4 * block < first + count; block++) {
		float z[4];
		draw_four(key, block, z);
		for (int64_t i = sp_max(4 * block, first); i < sp_min(4 * block + 4, first + count); i++)
			values[i - first] = p->mean + p->std * z[i - 4 * block];
	}
}

static void fill_runs(const struct sp_parameter *p, uint64_t seed, float *values)
{
	const int64_t n = p->rows * p->cols;
	uint32_t key[2];
	sp_rng_key(seed, SP_RNG_INIT, hash_name(p->name), 0, key);
	for (int64_t own = 0; own < n;) {
		const struct sp_parameter_run run = sp_parameter_run(p, own);
		fill_normal(p, key, run.whole, run.count, values + own);
		own += run.count;
	}
}

void sp_parameter_init(const struct sp_parameter *p, uint64_t seed, float *values)
{
	if (p->std > 0)
		fill_runs(p, seed, values);
	else
		for (int64_t i = 0; i < p->rows * p->cols; i++)
			values[i] = p->mean;
}

void sp_parameters_init(const struct sp_parameters *table, uint64_t seed, float *values)
{
	memset(values, 0, (size_t)table->elements * sizeof *values);
	for (int i = 0; i < table->count; i++)
		sp_parameter_init(&table->entry[i], seed, values + table->entry[i].offset);
}
