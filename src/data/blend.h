/* Several corpora mixed by weight: which corpus, and which of its samples, is sample i of the mixture. May include:
 * base. */
#ifndef SP_DATA_BLEND_H
#define SP_DATA_BLEND_H

#include <stdint.h>

enum { SP_BLEND_LONGEST_PERIOD = 1 << 22 };

/* The choice repeats with a period, the sum of the weights as coprime whole numbers (0.7, 0.3: 7 + 3). */
struct sp_blend {
	int corpora;
	char **prefix;
	int64_t *weight;  /* whole numbers without a common factor */
	int64_t period;   /* their sum */
	uint16_t *corpus; /* [period] */
	uint32_t *before; /* [period] how often that corpus was chosen earlier in the period */
};

/* Whether `source` is written as a blend (some part of it begins with a number and a colon). */
int sp_blend_is(const char *source);

/* "0.7:A,0.3:B". A source that is not a blend gives one corpus. SP_ERR_SETTING (logged with the character),
 * SP_ERR_MEMORY. */
int sp_blend_parse(const char *source, struct sp_blend *blend);
void sp_blend_free(struct sp_blend *blend); /* a zeroed one accepted */

/* Sample i of the mixture is sample *own of corpus *corpus. Of the first n samples, corpus c gives n * weight /
 * period within less than one, for every n; each corpus is used in order without gaps. */
void sp_blend_locate(const struct sp_blend *blend, uint64_t i, int *corpus, uint64_t *own);

#endif
