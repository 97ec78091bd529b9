/* Words that people type. May include: libc. */
#ifndef SP_BASE_WORDS_H
#define SP_BASE_WORDS_H

/* Edit distance (Levenshtein 1966, a swap of neighbours counting one) of the first 63 bytes. */
int sp_words_distance(const char *a, const char *b);

#endif
