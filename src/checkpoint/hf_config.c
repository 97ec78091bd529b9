#include "config.h"

#include "checkpoint/hf_config.h"

#include "base/log.h"
#include "checkpoint/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MOST = 1 << 20 }; /* bytes of a config.json */

#define POST "bert"
#define PRE "megatron-bert" /* norms before the sublayers, none after the embedding: Megatron's BERT */

/* Attention to a projected sequence, or to neighbours; rotary positions: nobody else has these in a BERT, and nobody shall take
 * it for one. By the beginnings of model_type and of the class. The last: nothing special. */
static const struct special {
	const char *type, *class;
	int projects, window, rotates;
} specials[] = {
	{ "seqpar-linformer-", "Linformer", 1, 0, 0 },
	{ "seqpar-window-rope-", "WindowRope", 0, 1, 1 },
	{ "seqpar-window-", "Window", 0, 1, 0 },
	{ "seqpar-rope-", "Rope", 0, 0, 1 },
	{ "", "", 0, 0, 0 },
};

static const double largest_base = 1e12;

static const char *const shares[] = { "head", "layer", "model" }; /* enum sp_linformer_share */
static const char *const globals[] = { "first", "separators" };   /* which tokens are global */

/* The sizes, with the ranges of the settings of the same meaning. */
static const struct {
	const char *key;
	size_t offset;
	int64_t most;
} sizes[] = {
	{ "num_hidden_layers", offsetof(struct sp_model_config, layers), 10000 },
	{ "hidden_size", offsetof(struct sp_model_config, hidden), 65536 },
	{ "num_attention_heads", offsetof(struct sp_model_config, heads), 65536 },
	{ "intermediate_size", offsetof(struct sp_model_config, intermediate), 1048576 },
	{ "vocab_size", offsetof(struct sp_model_config, vocab_size), 16777216 },
	{ "max_position_embeddings", offsetof(struct sp_model_config, max_positions), 1073741824 },
};

/* Numbers that may be left out, as transformers leaves out what it takes for granted. */
static const struct {
	const char *key;
	size_t offset;
	float fallback;
	double least, most; /* both inclusive */
} numbers[] = {
	{ "hidden_dropout_prob", offsetof(struct sp_model_config, dropout), 0.1f, 0, 0.9999 },
	{ "attention_probs_dropout_prob", offsetof(struct sp_model_config, attention_dropout), 0.1f, 0, 0.9999 },
	{ "layer_norm_eps", offsetof(struct sp_model_config, layer_norm_eps), 1e-12f, 1e-30, 1 },
};

/* All names that transformers has for the two forms of GELU. */
static const struct {
	const char *name;
	enum sp_activation activation;
} activations[] = {
	{ "gelu", SP_ACT_GELU },
	{ "gelu_python", SP_ACT_GELU },
	{ "gelu_pytorch_tanh", SP_ACT_GELU_TANH },
	{ "gelu_new", SP_ACT_GELU_TANH },
	{ "gelu_fast", SP_ACT_GELU_TANH },
	{ "gelu_python_tanh", SP_ACT_GELU_TANH },
};

/* What a BERT can be told to be and seqpar does not do: the value it must have, and which it has if not given. */
static const struct {
	const char *key;
	enum { MUST_BE_FALSE, MUST_BE_TRUE } must;
	const char *why;
} switches[] = {
	{ "is_decoder", MUST_BE_FALSE, "seqpar trains encoders only, every token sees all others" },
	{ "add_cross_attention", MUST_BE_FALSE, "seqpar trains encoders only, without cross-attention" },
	{ "is_encoder_decoder", MUST_BE_FALSE, "seqpar trains encoders only" },
	{ "tie_word_embeddings", MUST_BE_TRUE, "seqpar predicts with the word table itself, not with a table of its own" },
};

/* ---- reading ---- */

static int begins(const char *text, const char *beginning)
{
	return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* What a model_type says. */
static const struct special *special_of_type(const char *text)
{
	const struct special *s = specials;
	while (!begins(text, s->type))
		s++;
	return s;
}

static const struct special *special_of_class(const char *text)
{
	const struct special *s = specials;
	while (!begins(text, s->class))
		s++;
	return s;
}

static const struct special *special_in(const json_t *root)
{
	const char *type = json_string_value(json_object_get(root, "model_type"));
	return special_of_type(type ? type : "");
}

static const struct special *special_of(const struct sp_model_config *c)
{
	const struct special *s = specials;
	while (s->projects != (c->linformer_k > 0) || s->window != (c->window > 0) || s->rotates != (c->rope_base > 0)) {
		if (!s->type[0])
			break; /* no model is more than one of the first two */
		s++;
	}
	return s;
}

static int check_type(const char *name, const json_t *root, struct sp_model_config *config)
{
	const json_t *type = json_object_get(root, "model_type");
	const char *text = json_string_value(type), *base = text ? text + strlen(special_of_type(text)->type) : NULL;
	if (base && strcmp(base, POST) != 0 && strcmp(base, PRE) != 0)
		return sp_fail(SP_ERR_FORMAT, "%s: model_type is \"%.80s\"; seqpar reads " POST " and " PRE, name, text);
	if (type && !text)
		return sp_fail(SP_ERR_FORMAT, "%s: model_type is not a text", name);
	if (!text && !json_object_get(root, "hidden_size")) /* configurations of 2018 have no model_type */
		return sp_fail(SP_ERR_FORMAT, "%s: neither model_type nor hidden_size: this describes no BERT", name);
	config->pre_norm = base && strcmp(base, PRE) == 0;
	return SP_OK;
}

static int named(const char *const *names, int count, const char *text)
{
	for (int i = 0; text && i < count; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	return -1;
}

/* What projects sequences is described beside what made the model. */
static int take_projections(const char *name, const json_t *root, struct sp_model_config *config)
{
	const json_t *own = json_object_get(root, "seqpar"), *k = json_object_get(own, "linformer_k");
	const int share = named(shares, 3, json_string_value(json_object_get(own, "linformer_share")));
	if (!special_in(root)->projects)
		return SP_OK;
	if (!json_is_integer(k) || json_integer_value(k) < 1 || json_integer_value(k) > 1048576)
		return sp_fail(SP_ERR_FORMAT, "%s: seqpar.linformer_k is not a whole number from 1 to 1048576", name);
	if (share < 0)
		return sp_fail(SP_ERR_FORMAT, "%s: seqpar.linformer_share is not head, layer or model", name);
	config->linformer_k = json_integer_value(k);
	config->linformer_share = (enum sp_linformer_share)share;
	return SP_OK;
}

/* The numbers of a window, with the ranges of the settings of the same name. */
static int take_window(const char *name, const json_t *root, struct sp_model_config *config)
{
	const struct {
		const char *key;
		int64_t *to, least, most;
	} each[] = {
		{ "window", &config->window, 1, 1073741824 },
		{ "globals", &config->globals, 1, 1048576 },
		{ "global_every", &config->global_every, 0, 10000 },
	};
	const json_t *own = json_object_get(root, "seqpar");
	if (!special_in(root)->window)
		return SP_OK;
	for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
		const json_t *value = json_object_get(own, each[i].key);
		*each[i].to = json_integer_value(value);
		if (!json_is_integer(value) || *each[i].to < each[i].least || *each[i].to > each[i].most)
			return sp_fail(SP_ERR_FORMAT, "%s: seqpar.%s is not a whole number from %lld to %lld", name, each[i].key,
			               (long long)each[i].least, (long long)each[i].most);
	}
	const int tokens = named(globals, 2, json_string_value(json_object_get(own, "global_tokens")));
	if (tokens < 0)
		return sp_fail(SP_ERR_FORMAT, "%s: seqpar.global_tokens is not first or separators", name);
	config->global_separators = tokens;
	return SP_OK;
}

static int take_base(const char *name, const json_t *root, struct sp_model_config *config)
{
	const json_t *value = json_object_get(root, "rope_theta");
	const double base = json_number_value(value);
	if (!special_in(root)->rotates)
		return SP_OK;
	if (!json_is_number(value) || !(base > 1 && base <= largest_base))
		return sp_fail(SP_ERR_FORMAT, "%s: rope_theta is not a number above 1 and up to %g", name, largest_base);
	config->rope_base = base;
	return SP_OK;
}

static const char *position_type(const struct sp_model_config *config)
{
	return config->rope_base > 0 ? "rotary" : "absolute";
}

static int take_sizes(const char *name, const json_t *root, struct sp_model_config *config)
{
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		const json_t *value = json_object_get(root, sizes[i].key);
		const int64_t size = json_integer_value(value);
		if (!value)
			return sp_fail(SP_ERR_FORMAT, "%s: %s is missing", name, sizes[i].key);
		if (!json_is_integer(value) || size < 1 || size > sizes[i].most)
			return sp_fail(SP_ERR_FORMAT, "%s: %s is not a whole number from 1 to %lld", name, sizes[i].key,
			               (long long)sizes[i].most);
		*(int64_t *)((char *)config + sizes[i].offset) = size;
	}
	if (config->hidden % config->heads != 0)
		return sp_fail(SP_ERR_FORMAT, "%s: hidden_size %lld is not a multiple of num_attention_heads %lld", name,
		               (long long)config->hidden, (long long)config->heads);
	if (config->rope_base > 0 && config->hidden / config->heads % 2 != 0)
		return sp_fail(SP_ERR_FORMAT, "%s: heads of %lld features cannot have rotary positions, which turn pairs", name,
		               (long long)(config->hidden / config->heads));
	return SP_OK;
}

static int take_numbers(const char *name, const json_t *root, struct sp_model_config *config)
{
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		const json_t *value = json_object_get(root, numbers[i].key);
		const double number = json_number_value(value);
		if (value && (!json_is_number(value) || !(number >= numbers[i].least && number <= numbers[i].most)))
			return sp_fail(SP_ERR_FORMAT, "%s: %s is not a number from %g to %g", name, numbers[i].key, numbers[i].least,
			               numbers[i].most);
		*(float *)((char *)config + numbers[i].offset) = value ? (float)number : numbers[i].fallback;
	}
	return SP_OK;
}

static int take_activation(const char *name, const json_t *root, struct sp_model_config *config)
{
	const json_t *value = json_object_get(root, "hidden_act");
	const char *text = value ? json_string_value(value) : "gelu";
	for (size_t i = 0; text && i < sizeof activations / sizeof *activations; i++)
		if (strcmp(activations[i].name, text) == 0) {
			config->activation = activations[i].activation;
			return SP_OK;
		}
	return sp_fail(SP_ERR_FORMAT, "%s: hidden_act is %s%.80s%s; seqpar has gelu and gelu_pytorch_tanh (also called gelu_new)",
	               name, text ? "\"" : "", text ? text : "not a text", text ? "\"" : "");
}

static int check_switches(const char *name, const json_t *root, struct sp_model_config *config)
{
	(void)config;
	for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
		const json_t *value = json_object_get(root, switches[i].key);
		const int right = switches[i].must == MUST_BE_TRUE ? json_is_true(value) : json_is_false(value);
		if (value && !json_is_null(value) && !right)
			return sp_fail(SP_ERR_FORMAT, "%s: %s is not %s: %s", name, switches[i].key,
			               switches[i].must == MUST_BE_TRUE ? "true" : "false", switches[i].why);
	}
	return SP_OK;
}

static int check_rest(const char *name, const json_t *root, struct sp_model_config *config)
{
	const json_t *types = json_object_get(root, "type_vocab_size"), *pruned = json_object_get(root, "pruned_heads");
	const json_t *positions = json_object_get(root, "position_embedding_type");
	const char *text = json_string_value(positions), *wanted = position_type(config);
	if (types && json_integer_value(types) != 2)
		return sp_fail(SP_ERR_FORMAT, "%s: type_vocab_size is not 2, the number of token types (segments) seqpar has", name);
	if (positions && (!text || strcmp(text, wanted) != 0))
		return sp_fail(SP_ERR_FORMAT, "%s: position_embedding_type is \"%.80s\"; seqpar has %s positions in such models only", name,
		               text ? text : "?", wanted);
	if (json_object_size(pruned) > 0)
		return sp_fail(SP_ERR_FORMAT, "%s: pruned_heads is not empty; seqpar has as many heads in every layer", name);
	return SP_OK;
}

/* The next-sentence head of BERT is the same two-way head on the pooled first token. */
static int has_order_head(const json_t *root)
{
	static const char *const heads[] = { "BertForPreTraining", "MegatronBertForPreTraining",
		                                 "BertForNextSentencePrediction", "MegatronBertForNextSentencePrediction" };
	size_t i;
	json_t *value;
	json_array_foreach(json_object_get(root, "architectures"), i, value) {
		const char *text = json_string_value(value);
		for (size_t h = 0; text && h < sizeof heads / sizeof *heads; h++)
			if (strcmp(heads[h], text + strlen(special_of_class(text)->class)) == 0)
				return 1;
	}
	return 0;
}

static int take(const char *name, const json_t *root, struct sp_model_config *config)
{
	static int (*const steps[])(const char *name, const json_t *root, struct sp_model_config *config) = {
		check_type, take_base, check_switches, check_rest, take_sizes, take_numbers, take_activation, take_projections,
		take_window,
	};
	struct sp_model_config read = { .sentence_order = has_order_head(root) };
	int status = SP_OK;
	for (size_t i = 0; i < sizeof steps / sizeof *steps && status == SP_OK; i++)
		status = steps[i](name, root, &read);
	if (status == SP_OK)
		*config = read;
	return status;
}

int sp_hf_config_parse(const char *name, const char *text, size_t size, struct sp_model_config *config)
{
	json_t *root = NULL;
	int status = sp_json_parse(name, text, size, &root);
	if (status == SP_OK)
		status = take(name, root, config);
	json_decref(root);
	return status;
}

int sp_hf_config_read(const char *dir, struct sp_model_config *config)
{
	char *path;
	json_t *root = NULL;
	int status = sp_json_file_read(dir, "config.json", TEXT_MOST, &path, &root);
	if (status == SP_OK)
		status = take(path, root, config);
	json_decref(root);
	free(path);
	return status;
}

/* ---- writing ---- */

/* The double whose shortest decimal reads back as this float: 0.1 and not 0.10000000149011612. */
static double decimal_of(float value)
{
	char text[32];
	double wide = value;
	for (int digits = 1; digits <= 9; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, (double)value);
		wide = strtod(text, NULL);
		if ((float)wide == value)
			break;
	}
	return wide;
}

static const char *activation_name(enum sp_activation activation)
{
	for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
		if (activations[i].activation == activation)
			return activations[i].name;
	return "gelu";
}

/* What made it, and what transformers has no words for. NULL: no memory. */
static json_t *describe_origin(const struct sp_model_config *c)
{
	json_t *origin = json_pack("{s:s, s:s}", "version", PACKAGE_VERSION, "norm", c->pre_norm ? "pre" : "post");
	int failed = !origin;
	if (c->linformer_k > 0)
		failed |= json_object_set_new(origin, "linformer_k", json_integer(c->linformer_k)) ||
		          json_object_set_new(origin, "linformer_share", json_string(shares[c->linformer_share])) ||
		          json_object_set_new(origin, "note", json_string("attention to a projected sequence (linformer): transformers "
		                                                          "has no such model, seqpar has"));
	else if (c->window > 0)
		failed |= json_object_set_new(origin, "window", json_integer(c->window)) ||
		          json_object_set_new(origin, "globals", json_integer(c->globals)) ||
		          json_object_set_new(origin, "global_tokens", json_string(globals[c->global_separators])) ||
		          json_object_set_new(origin, "global_every", json_integer(c->global_every)) ||
		          json_object_set_new(origin, "note", json_string("attention to neighbours and global tokens: transformers has "
		                                                          "no such model, seqpar has"));
	else if (c->rope_base > 0)
		failed |= json_object_set_new(origin, "note", json_string("rotary positions: transformers has no such model, seqpar has"));
	else if (c->pre_norm)
		failed |= json_object_set_new(origin, "note", json_string("a pre-LN model: transformers loads it with the MegatronBert "
		                                                          "classes, the Bert classes cannot"));
	if (!failed)
		return origin;
	json_decref(origin);
	return NULL;
}

/* The class that loads it, and what made it. */
static json_t *describe_class(const struct sp_model_config *config)
{
	char architecture[64], type[64];
	const struct special *special = special_of(config);
	snprintf(architecture, sizeof architecture, "%s%s%s", special->class, config->pre_norm ? "MegatronBert" : "Bert", config->sentence_order ? "ForPreTraining" : "ForMaskedLM");
	snprintf(type, sizeof type, "%s%s", special->type, config->pre_norm ? PRE : POST);
	return json_pack("{s:[s], s:s, s:o}", "architectures", architecture, "model_type", type, "seqpar",
	                 describe_origin(config));
}

static int add_shape(json_t *root, const struct sp_model_config *config)
{
	const char *base = (const char *)config;
	int failed = 0;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		failed |= json_object_set_new(root, sizes[i].key, json_integer(*(const int64_t *)(base + sizes[i].offset)));
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		failed |= json_object_set_new(root, numbers[i].key,
		                              json_real(decimal_of(*(const float *)(base + numbers[i].offset))));
	return failed;
}

/* What every model of seqpar has, or what does not show in its shape. */
static int add_rest(json_t *root, const struct sp_model_config *config, int pad, const char *dtype)
{
	json_t *rest = json_pack("{s:s, s:f, s:i, s:b, s:s, s:i, s:s}", "hidden_act", activation_name(config->activation),
	                         "initializer_range", 0.02, "type_vocab_size", 2, "tie_word_embeddings", 1,
	                         "position_embedding_type", position_type(config), "pad_token_id", pad, "torch_dtype", dtype);
	const int failed = json_object_update(root, rest) ||
	                   (config->rope_base > 0 && json_object_set_new(root, "rope_theta", json_real(config->rope_base)));
	json_decref(rest);
	return failed;
}

int sp_hf_config_text(const struct sp_model_config *config, int pad, const char *dtype, char **text)
{
	json_t *root = describe_class(config);
	const int failed = add_shape(root, config) || add_rest(root, config, pad, dtype);
	const int status = sp_json_text(failed ? NULL : root, text);
	json_decref(root);
	return status;
}
