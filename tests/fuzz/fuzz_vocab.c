/* vocab.txt: every token that is read is found again under its id. */
#include "config.h"

#include "base/log.h"
#include "data/vocab.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check(const struct sp_vocab *v)
{
	for (int32_t id = 0; id < sp_vocab_size(v); id++) {
		const char *token = sp_vocab_token(v, id);
		const size_t size = strlen(token);
		fuzz_must(size > 0 && size <= sp_vocab_longest(v));
		fuzz_must(sp_vocab_find(v, token, size) == id);
		sp_vocab_continues(v, id);
	}
	for (int s = 0; s < SP_SPECIALS; s++) {
		const int32_t id = sp_vocab_special(v, (enum sp_special)s);
		fuzz_must(id >= 0 && id < sp_vocab_size(v));
		fuzz_must(strcmp(sp_vocab_token(v, id), sp_vocab_special_name((enum sp_special)s)) == 0);
	}
	sp_vocab_has_capitals(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_vocab *v = NULL;
	sp_log_level(SP_LOG_NONE);
	if (sp_vocab_parse("v", (const char *)data, size, &v) == SP_OK)
		check(v);
	sp_vocab_free(v);
	return 0;
}
