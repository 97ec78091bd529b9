/* Whether a vocabulary is for text in its own case. */
#include "config.h"

#include "data/vocab.h"

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
		utf8proc_int32_t code;
		if (is_marker(token, size))
			continue;
		for (size_t at = 0; at < size;) {
			const utf8proc_ssize_t n =
				utf8proc_iterate((const utf8proc_uint8_t *)token + at, (utf8proc_ssize_t)(size - at), &code);
			if (n > 0 && utf8proc_tolower(code) != code)
				return 1;
			at += n > 0 ? (size_t)n : 1; /* what is not UTF-8 has no case */
		}
	}
	return 0;
}
