/* The index of a token file. The first two bytes are the size of PREFIX.bin, whose bytes do not matter to the index; the
 * rest is PREFIX.idx. */
#include "config.h"

#include "base/log.h"
#include "data/indexed.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>

/* Everything that the index leads to is read. */
static void check(const struct sp_indexed *x)
{
	int64_t tokens = 0, last = 0;
	int32_t largest;
	for (int64_t i = 0; i < sp_indexed_sentences(x); i++) {
		const int32_t size = sp_indexed_size(x, i);
		int32_t *ids = malloc(((size_t)size + 1) * sizeof *ids);
		if (ids)
			sp_indexed_read(x, i, 0, size, ids);
		free(ids);
		tokens += size;
	}
	fuzz_must(tokens == sp_indexed_tokens(x));
	for (int64_t d = 0; d <= sp_indexed_documents(x); d++) {
		const int64_t first = sp_indexed_document_first(x, d);
		fuzz_must(first >= last && first <= sp_indexed_sentences(x));
		last = first;
	}
	fuzz_must(last == sp_indexed_sentences(x));
	sp_indexed_max_id(x, &largest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_indexed *x = NULL;
	sp_log_level(SP_LOG_NONE);
	if (size < 2)
		return 0;
	const size_t tokens = data[0] | (size_t)data[1] << 8;
	uint8_t *bin = malloc(tokens + 1); /* of its own size, so that reading beyond it is noticed */
	if (!bin)
		return 0;
	for (size_t i = 0; i < tokens; i++)
		bin[i] = (uint8_t)(i * 37);
	if (sp_indexed_parse("x", data + 2, size - 2, bin, tokens, &x) == SP_OK)
		check(x);
	sp_indexed_close(x);
	free(bin);
	return 0;
}
