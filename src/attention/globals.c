#include "config.h"

#include "attention/globals.h"

/* Where a token of sample i is: position at = rank * chunk + t. */
static int64_t place_of(const struct sp_globals_cut *c, int64_t i, int64_t at)
{
	return (at / c->chunk * c->batch + i) * c->chunk + at % c->chunk;
}

static int is_global(const struct sp_globals_cut *c, int64_t i, int64_t at, const int32_t *token, int64_t length,
                     int32_t separator)
{
	const int32_t doc = c->doc[place_of(c, i, at)];
	if (doc < 0)
		return 0;
	if (at == 0 || c->doc[place_of(c, i, at - 1)] != doc)
		return 1;
	return token && separator >= 0 && at < length && token[at] == separator;
}

/* The `slot`-th of the sample. */
static void mark(struct sp_globals_cut *c, int64_t i, int64_t at, int64_t slot)
{
	const int64_t t = at % c->chunk;
	c->global_doc[i * c->globals + slot] = c->doc[place_of(c, i, at)];
	c->other[place_of(c, i, at)] = -1;
	if (at / c->chunk != c->rank)
		return;
	c->read_other[i * c->chunk + t] = -1;
	c->row[c->own] = (int32_t)(i * c->chunk + t);
	c->slot[c->own++] = (int32_t)(i * c->globals + slot);
}

void sp_attention_globals_cut(struct sp_globals_cut *c, int64_t i, const int32_t *token, int64_t length, int32_t separator)
{
	int64_t count = 0;
	for (int64_t t = 0; t < c->chunk; t++)
		c->read_other[i * c->chunk + t] = c->read_doc[i * c->chunk + t];
	for (int64_t at = 0; at < c->ranks * c->chunk; at++) {
		c->other[place_of(c, i, at)] = c->doc[place_of(c, i, at)];
		if (count < c->globals && is_global(c, i, at, token, length, separator))
			mark(c, i, at, count++);
	}
	for (; count < c->globals; count++)
		c->global_doc[i * c->globals + count] = -1;
}
