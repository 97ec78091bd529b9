/* config.json: what is accepted can be written, and is then read as the same. */
#include "config.h"

#include "base/log.h"
#include "checkpoint/hf_config.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check(const struct sp_model_config *c)
{
	struct sp_model_config again;
	char *text;
	fuzz_must(c->layers > 0 && c->hidden > 0 && c->heads > 0 && c->intermediate > 0 && c->vocab_size > 0);
	fuzz_must(c->max_positions > 0 && c->hidden % c->heads == 0 && c->vocab_size <= 1 << 24 && c->layers <= 10000);
	fuzz_must(c->dropout >= 0 && c->dropout < 1 && c->attention_dropout >= 0 && c->attention_dropout < 1);
	fuzz_must(c->layer_norm_eps > 0 && c->layer_norm_eps <= 1);
	fuzz_must(sp_hf_config_text(c, 0, "float32", &text) == SP_OK);
	fuzz_must(sp_hf_config_parse("again", text, strlen(text), &again) == SP_OK);
	fuzz_must(again.layers == c->layers && again.hidden == c->hidden && again.heads == c->heads);
	fuzz_must(again.intermediate == c->intermediate && again.vocab_size == c->vocab_size);
	fuzz_must(again.max_positions == c->max_positions && again.pre_norm == c->pre_norm);
	fuzz_must(again.activation == c->activation && again.sentence_order == c->sentence_order);
	fuzz_must(again.dropout == c->dropout && again.attention_dropout == c->attention_dropout);
	fuzz_must(again.layer_norm_eps == c->layer_norm_eps);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_model_config config;
	sp_log_level(SP_LOG_NONE);
	if (sp_hf_config_parse("c", (const char *)data, size, &config) == SP_OK)
		check(&config);
	return 0;
}
