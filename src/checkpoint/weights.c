#include "config.h"

#include "checkpoint/weights.h"

#include "base/log.h"
#include "checkpoint/shards.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS "bert.embeddings.word_embeddings.weight"
#define POSITIONS "bert.embeddings.position_embeddings.weight"

/* A tensor of the files under the name it has here. */
struct item {
	char *name;
	const struct sp_safetensors *file;
	const struct sp_tensor_entry *entry;
};

struct sp_weights {
	char *dir;
	struct sp_shards shards;
	struct item *item;
	int count;
};

/* ---- names ---- */

/* Endings that others use; the first match counts. */
static const struct {
	const char *theirs, *ours;
} endings[] = {
	{ ".gamma", ".weight" },
	{ ".beta", ".bias" },
	{ "cls.predictions.decoder.bias", "cls.predictions.bias" },
};

/* Tensors that hold nothing of their own: counting numbers, and the word table once more. */
static const char *const derived[] = {
	"bert.embeddings.position_ids",
	"bert.embeddings.token_type_ids",
	"cls.predictions.decoder.weight",
};

static int starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static int is_derived(const char *name)
{
	for (size_t i = 0; i < sizeof derived / sizeof *derived; i++)
		if (strcmp(derived[i], name) == 0)
			return 1;
	return 0;
}

/* What a tensor of the files is called here; NULL: no memory. */
static char *own_name(const char *name)
{
	const char *prefix = starts_with(name, "bert.") || starts_with(name, "cls.") ? "" : "bert.", *ending = "";
	size_t length = strlen(name);
	char *own;
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		const size_t n = strlen(endings[i].theirs);
		if (length >= n && strcmp(name + length - n, endings[i].theirs) == 0) {
			ending = endings[i].ours;
			length -= n;
			break;
		}
	}
	return asprintf(&own, "%s%.*s%s", prefix, (int)length, name, ending) < 0 ? NULL : own;
}

static int compare_names(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static const struct item *find(const struct sp_weights *w, const char *name)
{
	const struct item wanted = { .name = (char *)(uintptr_t)name };
	return bsearch(&wanted, w->item, (size_t)w->count, sizeof *w->item, compare_names);
}

static int add_items_of(struct sp_weights *w, const struct sp_safetensors *file)
{
	for (int i = 0; i < sp_safetensors_count(file); i++) {
		const struct sp_tensor_entry *entry = sp_safetensors_at(file, i);
		char *name = own_name(entry->name);
		if (!name)
			return sp_fail(SP_ERR_MEMORY, "%s: no memory for the names of its tensors", w->dir);
		if (is_derived(name))
			free(name);
		else
			w->item[w->count++] = (struct item){ name, file, entry };
	}
	return SP_OK;
}

/* The decoder's bias may be there twice, under either name: it is tied. Any other doubling would leave open which counts. */
static int check_twins(const struct sp_weights *w)
{
	for (int i = 1; i < w->count; i++)
		if (strcmp(w->item[i].name, w->item[i - 1].name) == 0 && strcmp(w->item[i].name, "cls.predictions.bias") != 0)
			return sp_fail(SP_ERR_FORMAT, "%s: the tensors '%s' and '%s' are one and the same here; remove one of them",
			               w->dir, w->item[i - 1].entry->name, w->item[i].entry->name);
	return SP_OK;
}

static int add_items(struct sp_weights *w)
{
	size_t total = 0;
	int status = SP_OK;
	for (int s = 0; s < w->shards.count; s++)
		total += (size_t)sp_safetensors_count(w->shards.shard[s].file);
	w->item = calloc(total + 1, sizeof *w->item);
	if (!w->item)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory for its %zu tensors", w->dir, total);
	for (int s = 0; s < w->shards.count && status == SP_OK; s++)
		status = add_items_of(w, w->shards.shard[s].file);
	if (status)
		return status;
	qsort(w->item, (size_t)w->count, sizeof *w->item, compare_names);
	return check_twins(w);
}

int sp_weights_open(const char *dir, struct sp_weights **weights)
{
	struct sp_weights *w = calloc(1, sizeof *w);
	if (w)
		w->dir = strdup(dir);
	if (!w || !w->dir) {
		free(w);
		return sp_fail(SP_ERR_MEMORY, "%s: no memory to read it", dir);
	}
	int status = sp_shards_open(dir, &w->shards);
	if (status == SP_OK)
		status = add_items(w);
	if (status) {
		sp_weights_close(w);
		return status;
	}
	*weights = w;
	return SP_OK;
}

void sp_weights_close(struct sp_weights *w)
{
	if (!w)
		return;
	for (int i = 0; i < w->count; i++)
		free(w->item[i].name);
	free(w->item);
	sp_shards_close(&w->shards);
	free(w->dir);
	free(w);
}

int sp_weights_has(const struct sp_weights *w, const char *name)
{
	return find(w, name) != NULL;
}

/* ---- notes ---- */

/* A list of names in the note, as many as fit. */
struct list {
	struct sp_weights_note *note;
	int names, left_out;
};

static void note_name(struct list *l, const char *title, const char *name)
{
	const size_t used = strlen(l->note->text), room = sizeof l->note->text - used;
	const char *before = l->names > 0 ? ", " : used > 0 ? "; " : "";
	if (strlen(before) + strlen(title) + strlen(name) + 48 > room) { /* 48: for "and N more" of this list and the next */
		l->left_out++;
		return;
	}
	snprintf(l->note->text + used, room, "%s%s%s", before, l->names > 0 ? "" : title, name);
	l->names++;
}

static void note_end(const struct list *l)
{
	const size_t used = strlen(l->note->text);
	if (l->left_out > 0)
		snprintf(l->note->text + used, sizeof l->note->text - used, "%sand %d more", used > 0 ? " " : "", l->left_out);
}

/* ---- filling ---- */

static int is_optional(const char *name)
{
	return starts_with(name, "cls.") || starts_with(name, "bert.pooler.") || strstr(name, ".sequence");
}

static void shape_text(const struct sp_tensor_entry *e, char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "[");
	for (int i = 0; i < e->dimensions && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? ", " : "", (long long)e->shape[i]);
	if (used < size)
		snprintf(text + used, size - used, "]");
}

static int misfit(const struct sp_weights *w, const struct sp_parameter *p, const struct sp_tensor_entry *e)
{
	char shape[192];
	const int words = strcmp(p->name, WORDS) == 0 || strcmp(p->name, "cls.predictions.bias") == 0;
	shape_text(e, shape, sizeof shape);
	if (words)
		return sp_fail(SP_ERR_FORMAT,
		               "%s: tensor '%s' is %s, but the model has %lld tokens of %lld features; model.vocab_size must be the "
		               "number of tokens in the file",
		               w->dir, e->name, shape, (long long)(p->rows == 1 ? p->cols : p->rows),
		               (long long)(p->rows == 1 ? 1 : p->cols));
	return sp_fail(SP_ERR_FORMAT,
	               "%s: tensor '%s' is %s, the model needs [%lld, %lld]; give the settings (or config.json) that these weights "
	               "were made with",
	               w->dir, e->name, shape, (long long)p->rows, (long long)p->cols);
}

/* A vector may be given as such or as a matrix of one row. */
static int fits(const struct sp_parameter *p, const struct sp_tensor_entry *e)
{
	if (p->rows == 1 && e->dimensions == 1)
		return e->shape[0] == p->cols;
	return e->dimensions == 2 && e->shape[0] == p->rows && e->shape[1] == p->cols;
}

static int fill_plain(const struct sp_weights *w, const struct item *item, const struct sp_parameter *p, float *values)
{
	if (!fits(p, item->entry))
		return misfit(w, p, item->entry);
	return sp_safetensors_read(item->file, item->entry, 0, p->rows * p->cols, values);
}

static int tile(const struct item *item, const struct sp_parameter *p, float *values)
{
	const int64_t rows = item->entry->shape[0];
	int status = sp_safetensors_read(item->file, item->entry, 0, item->entry->elements, values);
	for (int64_t i = rows; i < p->rows && status == SP_OK; i++)
		memcpy(values + i * p->cols, values + i % rows * p->cols, (size_t)p->cols * sizeof *values);
	return status;
}

/* Row i lies at i (n - 1) / (N - 1) of the file's rows; whole part and remainder are exact. */
static int interpolate(const struct sp_weights *w, const struct item *item, const struct sp_parameter *p, float *values)
{
	const int64_t rows = item->entry->shape[0], cols = p->cols;
	float *table = malloc((size_t)item->entry->elements * sizeof *table);
	if (!table)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory for its %lld positions", w->dir, (long long)rows);
	int status = sp_safetensors_read(item->file, item->entry, 0, item->entry->elements, table);
	for (int64_t i = 0; i < p->rows && status == SP_OK; i++) {
		const int64_t at = i * (rows - 1), low = at / (p->rows - 1), rest = at % (p->rows - 1);
		const double share = (double)rest / (double)(p->rows - 1);
		const float *a = table + low * cols, *b = rest ? a + cols : a;
		for (int64_t j = 0; j < cols; j++)
			values[i * cols + j] = (float)((1 - share) * (double)a[j] + share * (double)b[j]);
	}
	free(table);
	return status;
}

static int fill_positions(const struct sp_weights *w, const struct item *item, const struct sp_parameter *p,
                          enum sp_extend extend, float *values, struct sp_weights_note *note)
{
	const struct sp_tensor_entry *e = item->entry;
	const int table = e->dimensions == 2 && e->shape[0] > 0 && e->shape[1] == p->cols;
	struct list grown = { .note = note };
	char words[160];
	if (!table || e->shape[0] == p->rows)
		return fill_plain(w, item, p, values);
	if (e->shape[0] > p->rows)
		return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s' has %lld positions, the model %lld: give model.max_positions=%lld",
		               w->dir, e->name, (long long)e->shape[0], (long long)p->rows, (long long)e->shape[0]);
	if (extend == SP_EXTEND_NO)
		return sp_fail(SP_ERR_FORMAT,
		               "%s: tensor '%s' has %lld positions, the model %lld: give model.extend_positions=tile or "
		               "interpolate, or model.max_positions=%lld",
		               w->dir, e->name, (long long)e->shape[0], (long long)p->rows, (long long)e->shape[0]);
	snprintf(words, sizeof words, "positions %s from %lld to %lld", extend == SP_EXTEND_TILE ? "repeated" : "stretched",
	         (long long)e->shape[0], (long long)p->rows);
	note_name(&grown, "", words);
	return extend == SP_EXTEND_TILE ? tile(item, p, values) : interpolate(w, item, p, values);
}

static int fill_one(const struct sp_weights *w, const struct sp_parameter *p, enum sp_extend extend, float *values,
                    struct sp_weights_note *note, struct list *initial)
{
	const struct item *item = find(w, p->name);
	if (!item && is_optional(p->name)) {
		note_name(initial, "not in the files, so initialised: ", p->name);
		return SP_OK;
	}
	if (!item)
		return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s' is missing: these are not the weights of such a model, or not all of "
		               "them", w->dir, p->name);
	if (strcmp(p->name, POSITIONS) == 0)
		return fill_positions(w, item, p, extend, values + p->offset, note);
	return fill_plain(w, item, p, values + p->offset);
}

static void note_unused(const struct sp_weights *w, const struct sp_parameters *table, struct sp_weights_note *note)
{
	struct list unused = { .note = note };
	for (int i = 0; i < w->count; i++)
		if (!sp_parameters_find(table, w->item[i].name))
			note_name(&unused, "not used: ", w->item[i].entry->name);
	note_end(&unused);
}

int sp_weights_fill(const struct sp_weights *w, const struct sp_parameters *table, enum sp_extend extend, float *values,
                    struct sp_weights_note *note)
{
	struct sp_weights_note names = { "" };
	struct list initial = { .note = &names };
	int status = SP_OK;
	memset(note, 0, sizeof *note);
	for (int i = 0; i < table->count && status == SP_OK; i++)
		status = fill_one(w, &table->entry[i], extend, values, note, &initial);
	note_end(&initial);
	if (status)
		return status;
	struct list all = { .note = note };
	if (names.text[0])
		note_name(&all, "", names.text);
	note_unused(w, table, note);
	return SP_OK;
}
