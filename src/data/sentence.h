/* Where a sentence ends, by rules for English that do little harm elsewhere. May include: libc.
 *
 * A sentence ends after . ! ? or an ellipsis (several are one) and closing quotes or brackets, when blanks follow and
 * then a capital, a letter of a script without case, or an opening quote or bracket; and at once after the full stops
 * and the full-width marks of Chinese and Japanese. A full stop ends none after an abbreviation of the list in
 * sentence.c, after an initial ("J. Smith") or after letters with stops between them ("U.S. Army"). */
#ifndef SP_DATA_SENTENCE_H
#define SP_DATA_SENTENCE_H

#include <stddef.h>

/* Bytes of the first sentence of `text` (valid UTF-8) with its end marks, or 0 if no end was found: all of it is one
 * sentence, or more text is needed. */
size_t sp_sentence_end(const char *text, size_t size);

#endif
