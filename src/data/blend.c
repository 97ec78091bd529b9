#include "config.h"

#include "data/blend.h"

#include "base/log.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_DIGITS = 12, MOST_CORPORA = 1024 };

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

static int begins_with_weight(const char *at)
{
	at = skip_blanks(at);
	size_t n = strspn(at, "+-.0123456789");
	return n > 0 && at[n] == ':';
}

int sp_blend_is(const char *source)
{
	while (source) {
		if (begins_with_weight(source))
			return 1;
		source = strchr(source, ',');
		source = source ? source + 1 : NULL;
	}
	return 0;
}

static int parse_fail(const char *source, const char *at, const char *what)
{
	return sp_fail(SP_ERR_SETTING,
		"data.source = %s: character %d: %s; expected WEIGHT:PREFIX,WEIGHT:PREFIX such as 0.7:A,0.3:B", source,
		(int)(at - source) + 1, what);
}

/* A decimal number as digits * 10^-places, so that 0.7 and 0.3 are exactly 7 and 3. */
struct decimal {
	int64_t digits;
	int places;
};

static int parse_weight(const char *source, const char **at, struct decimal *weight)
{
	const char *p = skip_blanks(*at), *begin = p;
	int count = 0, point = 0;
	*weight = (struct decimal){ 0, 0 };
	for (; (*p >= '0' && *p <= '9') || (*p == '.' && !point); p++) {
		if (*p == '.') {
			point = 1;
			continue;
		}
		if (++count > MOST_DIGITS)
			return parse_fail(source, begin, "a weight has too many digits");
		weight->digits = weight->digits * 10 + (*p - '0');
		weight->places += point;
	}
	if (*p == '-')
		return parse_fail(source, p, "a weight must be above 0");
	if (count == 0)
		return parse_fail(source, p, "no weight");
	if (*p != ':')
		return parse_fail(source, p, "expected a colon after the weight");
	if (weight->digits == 0)
		return parse_fail(source, begin, "a weight must be above 0");
	*at = p + 1;
	return SP_OK;
}

static int parse_prefix(const char *source, const char **at, char **prefix)
{
	const char *p = skip_blanks(*at);
	size_t n = strcspn(p, ",");
	*at = p + n;
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n == 0)
		return parse_fail(source, p, "no PREFIX after the colon");
	if (n == strlen("synthetic") && strncmp(p, "synthetic", n) == 0)
		return parse_fail(source, p, "synthetic data cannot be blended");
	*prefix = strndup(p, n);
	return *prefix ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for data.source");
}

static int64_t greatest_divisor(int64_t a, int64_t b)
{
	while (b) {
		int64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

/* To whole numbers without a common factor, and their sum. */
static int scale_weights(const char *source, struct sp_blend *blend, const struct decimal *weight)
{
	int places = 0;
	int64_t divisor = 0;
	for (int c = 0; c < blend->corpora; c++)
		places = weight[c].places > places ? weight[c].places : places;
	for (int c = 0; c < blend->corpora; c++) {
		blend->weight[c] = weight[c].digits;
		for (int i = weight[c].places; i < places; i++)
			if (__builtin_mul_overflow(blend->weight[c], (int64_t)10, &blend->weight[c]))
				return parse_fail(source, source, "the weights are too far apart");
		divisor = greatest_divisor(blend->weight[c], divisor);
	}
	blend->period = 0;
	for (int c = 0; c < blend->corpora; c++) {
		blend->weight[c] /= divisor;
		if (blend->weight[c] > SP_BLEND_LONGEST_PERIOD || blend->period + blend->weight[c] > SP_BLEND_LONGEST_PERIOD)
			return parse_fail(source, source, "the weights have too many digits, write them with six or fewer");
		blend->period += blend->weight[c];
	}
	return SP_OK;
}

/* Earliest deadline first: the j-th choice (from 0) of corpus c may happen from slot floor(j period / weight) on and
 * must before slot ceil((j + 1) period / weight). All deadlines can be met because the shares add up to one, and then
 * the count is never off by one or more (Tijdeman 1980, the chairman assignment problem). */
static int pick(const struct sp_blend *blend, const uint32_t *used, int64_t slot)
{
	int best = -1;
	int64_t best_deadline = 0;
	for (int c = 0; c < blend->corpora; c++) {
		int64_t j = used[c], weight = blend->weight[c];
		if (j >= weight || j * blend->period / weight > slot)
			continue;
		int64_t deadline = sp_ceil_div((j + 1) * blend->period, weight);
		if (best < 0 || deadline < best_deadline) {
			best = c;
			best_deadline = deadline;
		}
	}
	return best;
}

static int build_table(struct sp_blend *blend)
{
	blend->corpus = calloc((size_t)blend->period, sizeof *blend->corpus);
	blend->before = calloc((size_t)blend->period, sizeof *blend->before);
	uint32_t *used = calloc((size_t)blend->corpora, sizeof *used);
	if (!blend->corpus || !blend->before || !used) {
		free(used);
		return sp_fail(SP_ERR_MEMORY, "no memory for a blend of period %lld", (long long)blend->period);
	}
	for (int64_t slot = 0; slot < blend->period; slot++) {
		int c = pick(blend, used, slot);
		blend->corpus[slot] = (uint16_t)c;
		blend->before[slot] = used[c]++;
	}
	free(used);
	return SP_OK;
}

static int allocate(struct sp_blend *blend, int corpora)
{
	blend->corpora = corpora;
	blend->prefix = calloc((size_t)corpora, sizeof *blend->prefix);
	blend->weight = calloc((size_t)corpora, sizeof *blend->weight);
	return blend->prefix && blend->weight ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for data.source");
}

static int parse_one(const char *source, struct sp_blend *blend)
{
	static const struct decimal whole = { 1, 0 };
	int status = allocate(blend, 1);
	if (status)
		return status;
	blend->prefix[0] = strdup(source);
	if (!blend->prefix[0])
		return sp_fail(SP_ERR_MEMORY, "no memory for data.source");
	return scale_weights(source, blend, &whole);
}

static int parse_many(const char *source, struct sp_blend *blend)
{
	const char *at = source;
	int parts = 1;
	for (const char *p = source; *p; p++)
		parts += *p == ',';
	if (parts > MOST_CORPORA)
		return parse_fail(source, source, "too many corpora");
	struct decimal *weight = calloc((size_t)parts, sizeof *weight);
	int status = weight ? allocate(blend, parts) : sp_fail(SP_ERR_MEMORY, "no memory for data.source");
	for (int c = 0; !status && c < parts; c++) {
		status = parse_weight(source, &at, &weight[c]);
		if (!status)
			status = parse_prefix(source, &at, &blend->prefix[c]);
		at += *at == ',';
	}
	if (!status)
		status = scale_weights(source, blend, weight);
	free(weight);
	return status;
}

int sp_blend_parse(const char *source, struct sp_blend *blend)
{
	*blend = (struct sp_blend){ 0 };
	int status = sp_blend_is(source) ? parse_many(source, blend) : parse_one(source, blend);
	if (!status)
		status = build_table(blend);
	if (status)
		sp_blend_free(blend);
	return status;
}

void sp_blend_free(struct sp_blend *blend)
{
	for (int c = 0; blend->prefix && c < blend->corpora; c++)
		free(blend->prefix[c]);
	free(blend->prefix);
	free(blend->weight);
	free(blend->corpus);
	free(blend->before);
	*blend = (struct sp_blend){ 0 };
}

void sp_blend_locate(const struct sp_blend *blend, uint64_t i, int *corpus, uint64_t *own)
{
	uint64_t round = i / (uint64_t)blend->period, slot = i % (uint64_t)blend->period;
	*corpus = blend->corpus[slot];
	*own = round * (uint64_t)blend->weight[*corpus] + blend->before[slot];
}
