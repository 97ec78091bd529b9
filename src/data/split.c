#include "config.h"

#include "data/split.h"

#include "base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *sp_split_name(enum sp_split split)
{
	static const char *const name[SP_SPLITS] = { "train", "valid", "test" };
	return name[split];
}

static int parse_fail(const char *text, const char *at, const char *what)
{
	return sp_fail(SP_ERR_SETTING,
		"data.split = %s: character %d: %s; expected weights of train, valid and test such as 949,50,1", text,
		(int)(at - text) + 1, what);
}

int sp_split_parse(const char *text, double weight[SP_SPLITS])
{
	double parsed[SP_SPLITS] = { 0 }, sum = 0;
	const char *at = text;
	for (int s = 0;; s++) {
		char *end;
		if (s == SP_SPLITS)
			return parse_fail(text, at, "more than three weights");
		parsed[s] = strtod(at, &end);
		if (end == at)
			return parse_fail(text, at, "no number");
		if (!(parsed[s] >= 0) || !isfinite(parsed[s]))
			return parse_fail(text, at, "a weight must be 0 or more");
		sum += parsed[s];
		at = end + strspn(end, " \t");
		if (*at == '\0')
			break;
		if (*at != ',')
			return parse_fail(text, at, "expected a comma");
		at++;
	}
	if (!(sum > 0) || !isfinite(sum))
		return parse_fail(text, text, "the weights must have a sum above 0");
	for (int s = 0; s < SP_SPLITS; s++)
		weight[s] = parsed[s] / sum;
	return SP_OK;
}

static int largest(const int64_t count[SP_SPLITS])
{
	int best = 0;
	for (int s = 1; s < SP_SPLITS; s++)
		if (count[s] > count[best])
			best = s;
	return best;
}

int sp_split_bounds(const double weight[SP_SPLITS], int64_t documents, const char *name, int64_t bound[SP_SPLITS + 1])
{
	int64_t count[SP_SPLITS], before = 0;
	double sum = 0;
	int weighted = 0, last = 0;

	for (int s = 0; s < SP_SPLITS; s++)
		if (weight[s] > 0) {
			weighted++;
			last = s;
		}
	if (documents < weighted)
		return sp_fail(SP_ERR_SETTING,
			"%s has %lld documents, but data.split gives weight to %d splits and each needs one: mark where documents "
			"end (an empty line) when making the token file, or set data.split = 1,0,0",
			name, (long long)documents, weighted);
	for (int s = 0; s < SP_SPLITS; s++) {
		sum += weight[s];
		int64_t end = s >= last ? documents : llround(sum * (double)documents);
		count[s] = end - before;
		before = end;
	}
	for (int s = 0; s < SP_SPLITS; s++)
		if (weight[s] > 0 && count[s] == 0) {
			count[largest(count)]--;
			count[s]++;
		}
	bound[0] = 0;
	for (int s = 0; s < SP_SPLITS; s++)
		bound[s + 1] = bound[s] + count[s];
	return SP_OK;
}
