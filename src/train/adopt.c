#include "config.h"

#include "train/adopt.h"

#include "base/log.h"
#include "base/size.h"
#include "checkpoint/hf_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- its shape ---- */

static int contradicts(const char *dir, const char *key, const char *given, const char *own)
{
	return sp_fail(SP_ERR_SETTING, "%s = %s contradicts the model in %s, which has %s; leave %s out", key, given, dir,
	               own, key);
}

static int adopt_integer(const struct sp_settings *s, const char *dir, const char *key, int64_t *setting, int64_t own)
{
	char text[2][24];
	if (!sp_settings_given(s, key))
		*setting = own;
	if (*setting == own)
		return SP_OK;
	snprintf(text[0], sizeof text[0], "%lld", (long long)*setting);
	snprintf(text[1], sizeof text[1], "%lld", (long long)own);
	return contradicts(dir, key, text[0], text[1]);
}

static int adopt_choice(const struct sp_settings *s, const char *dir, const char *key, int *setting, int own,
                        const char *const *words)
{
	if (!sp_settings_given(s, key))
		*setting = own;
	return *setting == own ? SP_OK : contradicts(dir, key, words[*setting], words[own]);
}

/* The double that is written like the float: 0.1 for 0.1f. */
static double widen(float x)
{
	char text[32];
	snprintf(text, sizeof text, "%.7g", (double)x);
	return strtod(text, NULL);
}

static int adopt_sizes(struct sp_settings *s, const char *dir, const struct sp_model_config *own)
{
	struct {
		const char *key;
		int64_t *setting, own;
	} size[] = {
		{ "model.layers", &s->model.layers, own->layers },
		{ "model.hidden", &s->model.hidden, own->hidden },
		{ "model.heads", &s->model.heads, own->heads },
		{ "model.intermediate", &s->model.intermediate, own->intermediate },
		{ "model.vocab_size", &s->model.vocab_size, own->vocab_size },
	};
	int status = SP_OK;
	for (size_t i = 0; i < sizeof size / sizeof *size && !status; i++) {
		if (*size[i].setting == 0) /* stands for what follows from others */
			*size[i].setting = size[i].own;
		status = adopt_integer(s, dir, size[i].key, size[i].setting, size[i].own);
	}
	return status;
}

/* A preset names two sizes at once. */
static int check_preset(const struct sp_settings *s, const char *dir, const struct sp_model_config *own)
{
	int64_t layers, hidden;
	char given[64], has[64];
	if (!sp_settings_given(s, "model.preset"))
		return SP_OK;
	sp_settings_preset(s->model.preset, &layers, &hidden);
	if (layers == own->layers && hidden == own->hidden)
		return SP_OK;
	snprintf(given, sizeof given, "%s (%lld layers, hidden %lld)", s->model.preset, (long long)layers, (long long)hidden);
	snprintf(has, sizeof has, "%lld layers, hidden %lld", (long long)own->layers, (long long)own->hidden);
	return contradicts(dir, "model.preset", given, has);
}

static int adopt_positions(struct sp_settings *s, const char *dir, const struct sp_model_config *own)
{
	const int64_t rows = own->max_positions;
	if (!sp_settings_given(s, "model.max_positions"))
		s->model.max_positions = rows;
	if (own->rope_base > 0)
		return SP_OK;
	if (!sp_settings_given(s, "train.sequence_length") && s->train.sequence_length > s->model.max_positions)
		s->train.sequence_length = s->model.max_positions;
	if (s->model.max_positions == rows || (s->model.max_positions > rows && s->model.extend_positions))
		return SP_OK;
	if (s->model.max_positions < rows)
		return sp_fail(SP_ERR_SETTING,
		               "model.max_positions = %lld is fewer than the %lld of the model in %s; leave it out",
		               (long long)s->model.max_positions, (long long)rows, dir);
	return sp_fail(SP_ERR_SETTING,
	               "model.max_positions = %lld is more than the %lld of the model in %s; set model.extend_positions = "
	               "tile or interpolate to say how its position table grows",
	               (long long)s->model.max_positions, (long long)rows, dir);
}

/* What projects sequences belongs to the model; one without may be given it. */
static int adopt_projections(struct sp_settings *s, const char *dir, const struct sp_model_config *own)
{
	static const char *const shares[] = { "head", "layer", "model" };
	char *attention = s->parallel.attention;
	if (own->linformer_k == 0)
		return SP_OK;
	if (sp_settings_given(s, "parallel.attention") && strcmp(attention, "linformer") != 0)
		return contradicts(dir, "parallel.attention", attention, "linformer");
	snprintf(attention, sizeof s->parallel.attention, "linformer");
	if (s->model.max_positions > own->max_positions)
		return sp_fail(SP_ERR_SETTING,
		               "model.max_positions = %lld is more than the %lld of the model in %s: what projects its sequences "
		               "(linformer) cannot be extended; leave it out",
		               (long long)s->model.max_positions, (long long)own->max_positions, dir);
	int status = adopt_integer(s, dir, "model.linformer_k", &s->model.linformer_k, own->linformer_k);
	return status ? status : adopt_choice(s, dir, "model.linformer_share", &s->model.linformer_share,
	                                      (int)own->linformer_share, shares);
}

/* A model without a window may be given one. */
static int adopt_window(struct sp_settings *s, const char *dir, const struct sp_model_config *own)
{
	static const char *const tokens[] = { "first", "separators" };
	char *attention = s->parallel.attention;
	if (own->window == 0)
		return SP_OK;
	if (sp_settings_given(s, "parallel.attention") && strcmp(attention, "window") != 0)
		return contradicts(dir, "parallel.attention", attention, "window");
	snprintf(attention, sizeof s->parallel.attention, "window");
	int status = adopt_integer(s, dir, "model.window", &s->model.window, own->window);
	if (!status)
		status = adopt_integer(s, dir, "model.globals", &s->model.globals, own->globals);
	if (!status)
		status = adopt_integer(s, dir, "model.global_every", &s->model.global_every, own->global_every);
	return status ? status : adopt_choice(s, dir, "model.global_tokens", &s->model.global_tokens, own->global_separators, tokens);
}

/* Tables of positions and rotations are of no use to each other. */
static int adopt_rotation(struct sp_settings *s, const char *dir, const struct sp_model_config *own)
{
	static const char *const kinds[] = { "learned", "rope" };
	const int status = adopt_choice(s, dir, "model.position", &s->model.position, own->rope_base > 0, kinds);
	char text[2][32];
	if (status || own->rope_base == 0)
		return status;
	if (!sp_settings_given(s, "model.rope_base"))
		s->model.rope_base = own->rope_base;
	if (s->model.rope_base == own->rope_base)
		return SP_OK;
	snprintf(text[0], sizeof text[0], "%g", s->model.rope_base);
	snprintf(text[1], sizeof text[1], "%g", own->rope_base);
	return contradicts(dir, "model.rope_base", text[0], text[1]);
}

static int adopt_kind(struct sp_settings *s, const char *dir, const struct sp_model_config *own)
{
	static const char *const norms[] = { "post", "pre" }, *const activations[] = { "gelu", "gelu_tanh" };
	const int tanh = own->activation == SP_ACT_GELU_TANH;
	int status = adopt_choice(s, dir, "model.norm", &s->model.norm, own->pre_norm != 0, norms);
	if (!status)
		status = adopt_choice(s, dir, "model.activation", &s->model.activation, tanh, activations);
	if (!status)
		status = adopt_rotation(s, dir, own);
	if (status)
		return status;
	const double eps = widen(own->layer_norm_eps);
	if (!sp_settings_given(s, "model.layer_norm_eps"))
		s->model.layer_norm_eps = eps;
	if ((float)s->model.layer_norm_eps == own->layer_norm_eps)
		return SP_OK;
	char text[2][32];
	snprintf(text[0], sizeof text[0], "%g", s->model.layer_norm_eps);
	snprintf(text[1], sizeof text[1], "%g", eps);
	return contradicts(dir, "model.layer_norm_eps", text[0], text[1]);
}

static void adopt_free(struct sp_settings *s, const struct sp_model_config *own)
{
	if (!sp_settings_given(s, "model.dropout"))
		s->model.dropout = widen(own->dropout);
	if (!sp_settings_given(s, "model.attention_dropout"))
		s->model.attention_dropout = widen(own->attention_dropout);
	if (!sp_settings_given(s, "model.sentence_order"))
		s->model.sentence_order = own->sentence_order;
}

static int adopt_vocabulary(struct sp_settings *s, const char *dir)
{
	char path[SP_TEXT];
	if (s->data.vocab[0] || strcmp(s->data.source, "synthetic") == 0)
		return SP_OK;
	int n = snprintf(path, sizeof path, "%s/vocab.txt", dir);
	if (n < 0 || n >= (int)sizeof path)
		return sp_fail(SP_ERR_SETTING, "%.100s...: the name of a directory is too long", dir);
	if (access(path, F_OK) == 0)
		memcpy(s->data.vocab, path, (size_t)n + 1);
	return SP_OK;
}

int sp_adopt_model(struct sp_settings *s, const char *dir)
{
	struct sp_model_config own;
	int status = sp_hf_config_read(dir, &own);
	if (!status)
		status = check_preset(s, dir, &own);
	if (!status)
		status = adopt_sizes(s, dir, &own);
	if (!status)
		status = adopt_positions(s, dir, &own);
	if (!status)
		status = adopt_projections(s, dir, &own);
	if (!status)
		status = adopt_window(s, dir, &own);
	if (!status)
		status = adopt_kind(s, dir, &own);
	if (status)
		return status;
	adopt_free(s, &own);
	return adopt_vocabulary(s, dir);
}

/* ---- its weights ---- */

static int read_weights(const struct sp_settings *s, const struct sp_parameters *table, float *values,
                        struct sp_weights_note *note)
{
	struct sp_weights *weights;
	int status = sp_weights_open(s->checkpoint.init, &weights);
	if (status)
		return status;
	status = sp_weights_fill(weights, table, (enum sp_extend)s->model.extend_positions, values, note);
	sp_weights_close(weights);
	return status;
}

/* Rank 0 reads the whole model over its initial values; an error there is one on all ranks. */
static int read_on_first(const struct sp_settings *s, struct sp_comm *world, const struct sp_parameters *whole, float *all,
                         struct sp_weights_note *note)
{
	int status = SP_OK;
	if (sp_comm_rank(world) == 0) {
		sp_parameters_init(whole, s->train.seed, all);
		status = read_weights(s, whole, all, note);
	}
	int32_t verdict = status;
	status = sp_comm_broadcast(world, &verdict, sizeof verdict, 0);
	return status ? status : verdict;
}

/* One parameter after the other: only rank 0 needs room for more than the largest of them and its own part. */
static int share_out(struct sp_comm *world, const struct sp_parameters *whole, float *all, const struct sp_parameters *part,
                     float *own)
{
	int status = SP_OK;
	for (int i = 0; i < whole->count && !status; i++) {
		const struct sp_parameter *p = &whole->entry[i];
		float *values = sp_comm_rank(world) == 0 ? all + p->offset : all;
		status = sp_comm_broadcast(world, values, (size_t)(p->rows * p->cols) * sizeof *values, 0);
		if (!status)
			sp_parameter_take(part, own, p, values);
	}
	return status;
}

static int64_t room_of(const struct sp_comm *world, const struct sp_parameters *whole)
{
	int64_t most = 1;
	if (sp_comm_rank(world) == 0)
		return whole->elements;
	for (int i = 0; i < whole->count; i++)
		most = sp_max(most, whole->entry[i].rows * whole->entry[i].cols);
	return most;
}

int sp_adopt_weights(const struct sp_settings *s, struct sp_compute *compute, struct sp_comm *world,
                     const struct sp_model_config *config, struct sp_model *model, struct sp_weights_note *note)
{
	const struct sp_parameters *part = sp_model_parameters(model);
	struct sp_parameters whole;
	note->text[0] = 0;
	int status = sp_parameters_create(config, &whole);
	if (status)
		return status;
	const size_t bytes = (size_t)room_of(world, &whole) * sizeof(float), own_bytes = (size_t)part->elements * sizeof(float);
	float *all = malloc(bytes), *own = calloc((size_t)part->elements, sizeof *own);
	if (!all || !own)
		status = sp_fail(SP_ERR_MEMORY, "out of memory for the %zu bytes of a given model", bytes + own_bytes);
	if (!status)
		status = read_on_first(s, world, &whole, all, note);
	if (!status)
		status = share_out(world, &whole, all, part, own);
	if (!status)
		status = sp_compute_copy_in(compute, sp_model_values(model), own, own_bytes);
	free(own);
	free(all);
	sp_parameters_destroy(&whole);
	return status;
}
