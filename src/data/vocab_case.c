/* Whether a vocabulary is for text in its own case. */
#include "config.h"

#include "data/vocab.h"

#include "data/utf8.h"

#include <string.h>
#include <utf8proc.h>

/* [PAD] and [unused0] are not taken from text. */
static int is_marker(const char *token, size_t size)
{
	return size > 2 && token[0] == '[' && token[size - 1] == ']';
}

int sp_vocab_has_capitals(const struct sp_vocab *v)
{
	for (int32_t id = 0; id < sp_vocab_size(v); id++) {
		const char *token = sp_vocab_token(v, id);
		const size_t size = strlen(token);
		int32_t code;
		if (is_marker(token, size))
			continue;
		for (size_t at = 0; at < size;) {
			at += sp_utf8_next(token + at, size - at, &code, NULL);
			if (code >= 0 && utf8proc_tolower(code) != code)
				return 1;
		}
	}
	return 0;
}
