/* config.json: what is written is read back to the bit, and what seqpar cannot be is refused by name. */
#include "config.h"

#include "support.h"

#include "base/log.h"
#include "checkpoint/hf_config.h"
#include "unit/data/messages.h"
#include "unit/data/scratch.h"

#include <string.h>

#define SIZES "\"hidden_size\": 48, \"num_hidden_layers\": 3, \"num_attention_heads\": 4, \"intermediate_size\": 100, " \
	"\"vocab_size\": 1001, \"max_position_embeddings\": 77"

static const struct sp_model_config post = {
	.layers = 3, .hidden = 48, .heads = 4, .intermediate = 100, .vocab_size = 1001, .max_positions = 77,
	.activation = SP_ACT_GELU, .dropout = 0.1f, .attention_dropout = 0.1f, .layer_norm_eps = 1e-12f,
};

static void equal(const struct sp_model_config *a, const struct sp_model_config *b)
{
	assert_int_equal(a->layers, b->layers);
	assert_int_equal(a->hidden, b->hidden);
	assert_int_equal(a->heads, b->heads);
	assert_int_equal(a->intermediate, b->intermediate);
	assert_int_equal(a->vocab_size, b->vocab_size);
	assert_int_equal(a->max_positions, b->max_positions);
	assert_int_equal(a->pre_norm, b->pre_norm);
	assert_int_equal(a->activation, b->activation);
	assert_int_equal(a->sentence_order, b->sentence_order);
	assert_int_equal(a->linformer_k, b->linformer_k);
	if (a->linformer_k > 0)
		assert_int_equal(a->linformer_share, b->linformer_share);
	assert_int_equal(a->window, b->window);
	assert_int_equal(a->globals, b->globals);
	assert_int_equal(a->global_every, b->global_every);
	assert_int_equal(a->global_separators, b->global_separators);
	assert_memory_equal(&a->rope_base, &b->rope_base, sizeof a->rope_base);
	assert_memory_equal(&a->dropout, &b->dropout, sizeof a->dropout);
	assert_memory_equal(&a->attention_dropout, &b->attention_dropout, sizeof a->dropout);
	assert_memory_equal(&a->layer_norm_eps, &b->layer_norm_eps, sizeof a->dropout);
}

static void every_kind_of_model_is_written_and_read_back(void **state)
{
	(void)state;
	for (int kind = 0; kind < 64; kind++) {
		struct sp_model_config config = post, back;
		char *text;
		config.pre_norm = kind & 1;
		config.sentence_order = kind >> 1 & 1;
		config.activation = kind >> 2 & 1 ? SP_ACT_GELU_TANH : SP_ACT_GELU;
		const int special = kind >> 3; /* 0: none, 1 to 3: linformer, 4: rotary, 5: window, 6, 7: both */
		config.linformer_k = special && special < 4 ? 256 : 0;
		config.linformer_share = special && special < 4 ? (enum sp_linformer_share)(special - 1) : SP_LINFORMER_HEAD;
		config.rope_base = special == 4 || special > 5 ? 1234567.891 : 0;
		config.window = special > 4 ? 3 + special : 0;
		config.globals = special > 4 ? 20 : 0;
		config.global_every = special > 6 ? 3 : 0;
		config.global_separators = special > 5;
		assert_int_equal(sp_hf_config_text(&config, 0, "float32", &text), SP_OK);
		assert_int_equal(sp_hf_config_parse("c", text, strlen(text), &back), SP_OK);
		equal(&config, &back);
		free(text);
	}
}

static void written(const struct sp_model_config *config, const char *dtype, const char *const *words)
{
	char *text;
	assert_int_equal(sp_hf_config_text(config, 3, dtype, &text), SP_OK);
	for (; *words; words++)
		if (!strstr(text, *words))
			fail_msg("%s is not in: %s", *words, text);
	assert_int_equal(text[strlen(text) - 1], '\n');
	free(text);
}

static void a_post_norm_model_is_bert_with_all_that_transformers_wants(void **state)
{
	static const char *const words[] = {
		"\"BertForMaskedLM\"", "\"model_type\": \"bert\"", "\"hidden_act\": \"gelu\"", "\"hidden_dropout_prob\": 0.1",
		"\"attention_probs_dropout_prob\": 0.1", "\"layer_norm_eps\": 1e-12", "\"initializer_range\": 0.02",
		"\"type_vocab_size\": 2", "\"tie_word_embeddings\": true", "\"position_embedding_type\": \"absolute\"",
		"\"pad_token_id\": 3", "\"torch_dtype\": \"bfloat16\"", "\"vocab_size\": 1001", "\"norm\": \"post\"", NULL,
	};
	(void)state;
	written(&post, "bfloat16", words);
}

static void a_pre_norm_model_is_megatron_bert_and_says_so(void **state)
{
	static const char *const words[] = {
		"\"MegatronBertForPreTraining\"", "\"model_type\": \"megatron-bert\"", "\"hidden_act\": \"gelu_pytorch_tanh\"",
		"\"norm\": \"pre\"", "\"version\": \"" PACKAGE_VERSION "\"", "the Bert classes cannot", NULL,
	};
	struct sp_model_config config = post;
	(void)state;
	config.pre_norm = config.sentence_order = 1;
	config.activation = SP_ACT_GELU_TANH;
	written(&config, "float32", words);
}

static void a_model_that_sees_neighbours_is_of_a_type_of_its_own(void **state)
{
	static const char *const bert[] = {
		"\"WindowBertForMaskedLM\"", "\"model_type\": \"seqpar-window-bert\"", "\"window\": 256", "\"globals\": 2",
		"\"global_tokens\": \"first\"", "\"global_every\": 0", "transformers has no such model", NULL,
	};
	static const char *const megatron[] = {
		"\"WindowRopeMegatronBertForPreTraining\"", "\"model_type\": \"seqpar-window-rope-megatron-bert\"",
		"\"global_tokens\": \"separators\"", "\"global_every\": 3", "\"rope_theta\": 160000.0", NULL,
	};
	struct sp_model_config config = post;
	(void)state;
	config.window = 256;
	config.globals = 2;
	written(&config, "float32", bert);
	config.global_separators = 1;
	config.global_every = 3;
	config.rope_base = 160000;
	config.pre_norm = config.sentence_order = 1;
	written(&config, "float32", megatron);
}

/* transformers refuses a model_type that it has not: it would take the rest for a BERT and compute something else. */
static void a_model_that_projects_sequences_is_of_a_type_of_its_own(void **state)
{
	static const char *const bert[] = {
		"\"LinformerBertForMaskedLM\"", "\"model_type\": \"seqpar-linformer-bert\"", "\"norm\": \"post\"",
		"\"linformer_k\": 256", "\"linformer_share\": \"model\"", "transformers has no such model", NULL,
	};
	static const char *const megatron[] = {
		"\"LinformerMegatronBertForPreTraining\"", "\"model_type\": \"seqpar-linformer-megatron-bert\"",
		"\"norm\": \"pre\"", "\"linformer_share\": \"layer\"", NULL,
	};
	struct sp_model_config config = post;
	(void)state;
	config.linformer_k = 256;
	config.linformer_share = SP_LINFORMER_MODEL;
	written(&config, "float32", bert);
	config.linformer_share = SP_LINFORMER_LAYER;
	config.pre_norm = config.sentence_order = 1;
	written(&config, "float32", megatron);
}

/* The text is the shortest decimal, and it reads back as the same float. */
static void numbers_are_written_without_noise_and_read_back_to_the_bit(void **state)
{
	static const struct {
		float value;
		const char *text;
	} cases[] = {
		{ 0, ": 0.0," }, { 0.1f, ": 0.1," }, { 0.15f, ": 0.15," }, { 1.0f / 3, ": 0.33333334," }, { 0.25f, ": 0.25," },
		{ 0.7f, ": 0.7," }, { 1e-5f, ": 1e-5," }, { 0.12345679f, ": 0.12345679," },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sp_model_config config = post, back;
		char *text, *line;
		config.dropout = cases[i].value;
		assert_int_equal(sp_hf_config_text(&config, 0, "float32", &text), SP_OK);
		line = strstr(text, "\"hidden_dropout_prob\"");
		assert_non_null(line);
		assert_memory_equal(line + strlen("\"hidden_dropout_prob\""), cases[i].text, strlen(cases[i].text));
		assert_int_equal(sp_hf_config_parse("c", text, strlen(text), &back), SP_OK);
		equal(&config, &back);
		free(text);
	}
	for (uint32_t bits = 0x2b000000; bits < 0x3f000000; bits += 98317) { /* 4.5e-13 to 0.5 */
		struct sp_model_config config = post, back;
		char *text;
		memcpy(&config.layer_norm_eps, &bits, sizeof bits);
		assert_int_equal(sp_hf_config_text(&config, 0, "float32", &text), SP_OK);
		assert_int_equal(sp_hf_config_parse("c", text, strlen(text), &back), SP_OK);
		equal(&config, &back);
		free(text);
	}
}

static void what_others_leave_out_has_its_usual_value(void **state)
{
	static const char text[] = "{" SIZES "}";
	struct sp_model_config back;
	(void)state;
	assert_int_equal(sp_hf_config_parse("c", text, strlen(text), &back), SP_OK);
	equal(&post, &back);
}

static void other_spellings_are_understood(void **state)
{
	static const struct {
		const char *text;
		int pre_norm, sentence_order;
		enum sp_activation activation;
	} cases[] = {
		{ "\"hidden_act\": \"gelu_new\", \"architectures\": [\"BertModel\"]", 0, 0, SP_ACT_GELU_TANH },
		{ "\"hidden_act\": \"gelu_python\", \"architectures\": [\"BertForNextSentencePrediction\"]", 0, 1, SP_ACT_GELU },
		{ "\"model_type\": \"megatron-bert\", \"architectures\": [\"MegatronBertForPreTraining\"]", 1, 1, SP_ACT_GELU },
		{ "\"architectures\": [1, \"BertForMaskedLM\"], \"is_decoder\": false, \"pruned_heads\": {}, \"x\": [[{}]]", 0, 0,
		  SP_ACT_GELU },
		{ "\"architectures\": null, \"tie_word_embeddings\": null, \"layer_norm_eps\": 1e-12", 0, 0, SP_ACT_GELU },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sp_model_config back, expected = post;
		char text[512];
		expected.pre_norm = cases[i].pre_norm;
		expected.sentence_order = cases[i].sentence_order;
		expected.activation = cases[i].activation;
		snprintf(text, sizeof text, "{%s, " SIZES "}", cases[i].text);
		assert_int_equal(sp_hf_config_parse("c", text, strlen(text), &back), SP_OK);
		equal(&expected, &back);
	}
}

static void refused(const char *text, const char *words)
{
	struct sp_model_config config = post;
	messages_start();
	const int status = sp_hf_config_parse("dir/config.json", text, strlen(text), &config);
	const char *said = messages_end();
	if (status != SP_ERR_FORMAT || !strstr(said, "dir/config.json") || !strstr(said, words))
		fail_msg("%s: status %d, expected \"%s\": %s", text, status, words, said);
	equal(&post, &config);
}

static void what_seqpar_cannot_be_is_refused_by_name(void **state)
{
	static const struct {
		const char *text, *words;
	} faults[] = {
		{ "\"model_type\": \"roberta\"", "model_type is \"roberta\"; seqpar reads bert and megatron-bert" },
		{ "\"model_type\": 1", "model_type is not a text" },
		{ "\"is_decoder\": true", "is_decoder is not false" },
		{ "\"add_cross_attention\": true", "add_cross_attention is not false" },
		{ "\"is_encoder_decoder\": 1", "is_encoder_decoder is not false" },
		{ "\"tie_word_embeddings\": false", "tie_word_embeddings is not true" },
		{ "\"position_embedding_type\": \"relative_key\"", "position_embedding_type is \"relative_key\"" },
		{ "\"position_embedding_type\": 1", "position_embedding_type" },
		{ "\"hidden_act\": \"relu\"", "hidden_act is \"relu\"; seqpar has gelu and gelu_pytorch_tanh" },
		{ "\"hidden_act\": {}", "hidden_act is not a text" },
		{ "\"type_vocab_size\": 16", "type_vocab_size is not 2" },
		{ "\"type_vocab_size\": \"2\"", "type_vocab_size is not 2" },
		{ "\"pruned_heads\": {\"0\": [1]}", "pruned_heads is not empty" },
		{ "\"hidden_dropout_prob\": 1.0", "hidden_dropout_prob is not a number from 0" },
		{ "\"hidden_dropout_prob\": -0.1", "hidden_dropout_prob is not a number" },
		{ "\"attention_probs_dropout_prob\": \"0.1\"", "attention_probs_dropout_prob is not a number" },
		{ "\"layer_norm_eps\": 0", "layer_norm_eps is not a number from 1e-30 to 1" },
		{ "\"vocab_size\": 5", "dir/config.json:1: duplicate object key" },
		{ "\"model_type\": \"seqpar-linformer-roberta\"", "model_type is \"seqpar-linformer-roberta\"" },
		{ "\"model_type\": \"seqpar-window-bert\"", "seqpar.window is not a whole number from 1" },
		{ "\"model_type\": \"seqpar-window-bert\", \"seqpar\": {\"window\": 4, \"globals\": 0, \"global_every\": 0}",
		  "seqpar.globals is not a whole number from 1" },
		{ "\"model_type\": \"seqpar-window-bert\", \"seqpar\": {\"window\": 4, \"globals\": 1, \"global_every\": 0}",
		  "seqpar.global_tokens is not first or separators" },
		{ "\"model_type\": \"seqpar-linformer-bert\"", "seqpar.linformer_k is not a whole number from 1" },
		{ "\"model_type\": \"seqpar-linformer-bert\", \"seqpar\": {\"linformer_k\": 0, \"linformer_share\": \"layer\"}",
		  "seqpar.linformer_k is not a whole number from 1" },
		{ "\"model_type\": \"seqpar-linformer-bert\", \"seqpar\": {\"linformer_k\": 8, \"linformer_share\": \"all\"}",
		  "seqpar.linformer_share is not head, layer or model" },
		{ "\"model_type\": \"seqpar-rope-bert\"", "rope_theta is not a number above 1" },
		{ "\"model_type\": \"seqpar-rope-bert\", \"rope_theta\": 1", "rope_theta is not a number above 1" },
		{ "\"model_type\": \"seqpar-rope-megatron-bert\", \"rope_theta\": 9, \"position_embedding_type\": \"absolute\"",
		  "position_embedding_type is \"absolute\"; seqpar has rotary positions in such models only" },
		{ "\"model_type\": \"bert\", \"rope_theta\": 9, \"position_embedding_type\": \"rotary\"", "seqpar has absolute positions" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		char text[512];
		snprintf(text, sizeof text, "{" SIZES ", %s}", faults[i].text);
		refused(text, faults[i].words);
	}
}

static void every_size_is_needed_and_bounded(void **state)
{
	static const char *const keys[] = { "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
		                                "vocab_size", "max_position_embeddings" };
	static const char *const values[] = { "0", "-1", "1.0", "\"9\"", "2147483648", "9223372036854775807", "null" };
	(void)state;
	for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
		char text[512], words[64], *at;
		strcpy(text, "{\"model_type\": \"bert\", " SIZES "}");
		at = strstr(text, keys[k]);
		*at = 'X';
		snprintf(words, sizeof words, "%s is missing", keys[k]);
		refused(text, words);
		for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
			*at = keys[k][0];
			snprintf(text, sizeof text, "{\"Y\": 1, \"%s\": %s, ", keys[k], values[v]);
			strcat(text, SIZES "}");
			at = strstr(strstr(text, keys[k]) + 1, keys[k]);
			*at = 'X';
			snprintf(words, sizeof words, "%s is not a whole number from 1 to", keys[k]);
			refused(text, words);
		}
	}
	refused("{\"model_type\": \"bert\", \"hidden_size\": 48, \"num_hidden_layers\": 3, \"num_attention_heads\": 5, "
	        "\"intermediate_size\": 9, \"vocab_size\": 9, \"max_position_embeddings\": 9}",
	        "hidden_size 48 is not a multiple of num_attention_heads 5");
}

static void what_is_not_a_configuration_is_refused(void **state)
{
	(void)state;
	refused("", "dir/config.json:");
	refused("[]", "not a JSON object");
	refused("{}", "neither model_type nor hidden_size");
	refused("{\n\"hidden_size\": 4,\n}", "dir/config.json:3: ");
	refused("{" SIZES "} x", "end of file expected");
}

static void files_are_read_from_their_directory(void **state)
{
	static const char text[] = "{" SIZES "}";
	struct sp_model_config back;
	(void)state;
	scratch_make();
	messages_start();
	assert_int_equal(sp_hf_config_read(scratch, &back), SP_ERR_IO);
	assert_non_null(strstr(messages_end(), "/config.json: No such file"));
	scratch_write("config.json", text, strlen(text));
	assert_int_equal(sp_hf_config_read(scratch, &back), SP_OK);
	equal(&post, &back);
	scratch_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_model_is_written_and_read_back),
		cmocka_unit_test(a_post_norm_model_is_bert_with_all_that_transformers_wants),
		cmocka_unit_test(a_pre_norm_model_is_megatron_bert_and_says_so),
		cmocka_unit_test(a_model_that_projects_sequences_is_of_a_type_of_its_own),
		cmocka_unit_test(a_model_that_sees_neighbours_is_of_a_type_of_its_own),
		cmocka_unit_test(numbers_are_written_without_noise_and_read_back_to_the_bit),
		cmocka_unit_test(what_others_leave_out_has_its_usual_value),
		cmocka_unit_test(other_spellings_are_understood),
		cmocka_unit_test(what_seqpar_cannot_be_is_refused_by_name),
		cmocka_unit_test(every_size_is_needed_and_bounded),
		cmocka_unit_test(what_is_not_a_configuration_is_refused),
		cmocka_unit_test(files_are_read_from_their_directory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
