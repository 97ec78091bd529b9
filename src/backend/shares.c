/* With marks a span is a pair of them in the device's queue, read when a step has ended: the host does not stop, so the step stays
 * what it is and gaps between spans are times in which the device had nothing to do. Without marks the host stops at both ends. */
#include "config.h"

#include "backend/shares.h"

#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct sp_shares {
	const struct sp_compute_ops *ops;
	void *ctx;
	int open, status;
	enum sp_class which;       /* of the open span */
	double begin;              /* without marks: when it began */
	double seconds[SP_CLASSES]; /* without marks: of those that ended */
	unsigned char *of;         /* with marks: classes of the spans; number i lies between marks 2 i and 2 i + 1 */
	int64_t count, room;
};

const char *sp_class_name(enum sp_class which)
{
	static const char *const names[] = { "products", "attention", "elements", "optimizer", "copies" };
	return names[which];
}

int sp_shares_create(const struct sp_compute_ops *ops, void *ctx, struct sp_shares **shares)
{
	struct sp_shares *s = calloc(1, sizeof *s);
	if (!s)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the times of operations");
	s->ops = ops;
	s->ctx = ctx;
	*shares = s;
	return SP_OK;
}

void sp_shares_destroy(struct sp_shares *s)
{
	if (!s)
		return;
	free(s->of);
	free(s);
}

static int make_room(struct sp_shares *s)
{
	if (s->count < s->room)
		return SP_OK;
	const int64_t room = s->room ? 2 * s->room : 1024;
	unsigned char *of = realloc(s->of, (size_t)room);
	if (!of)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the times of %lld operations", (long long)room);
	s->of = of;
	s->room = room;
	return SP_OK;
}

static int begin_marked(struct sp_shares *s)
{
	const int status = make_room(s);
	if (status)
		return status;
	s->of[s->count] = (unsigned char)s->which;
	return s->ops->mark(s->ctx, 2 * s->count);
}

static int begin_stopped(struct sp_shares *s)
{
	const int status = s->ops->sync(s->ctx);
	s->begin = sp_clock();
	return status;
}

void sp_shares_begin(struct sp_shares *s, enum sp_class which)
{
	assert(!s->open);
	s->open = 1;
	s->which = which;
	if (!s->status)
		s->status = s->ops->mark ? begin_marked(s) : begin_stopped(s);
}

static int end_marked(struct sp_shares *s)
{
	const int status = s->ops->mark(s->ctx, 2 * s->count + 1);
	s->count += !status;
	return status;
}

static int end_stopped(struct sp_shares *s)
{
	const int status = s->ops->sync(s->ctx);
	s->seconds[s->which] += sp_clock() - s->begin;
	return status;
}

void sp_shares_end(struct sp_shares *s)
{
	assert(s->open);
	s->open = 0;
	if (!s->status)
		s->status = s->ops->mark ? end_marked(s) : end_stopped(s);
}

static int read_marks(struct sp_shares *s)
{
	int status = SP_OK;
	for (int64_t i = 0; i < s->count && !status; i++) {
		double seconds = 0;
		status = s->ops->between(s->ctx, 2 * i, 2 * i + 1, &seconds);
		s->seconds[s->of[i]] += seconds;
	}
	s->count = 0;
	return status;
}

int sp_shares_take(struct sp_shares *s, double seconds[SP_CLASSES])
{
	int status = s->status;
	if (!status)
		status = read_marks(s);
	memcpy(seconds, s->seconds, sizeof s->seconds);
	memset(s->seconds, 0, sizeof s->seconds);
	s->status = SP_OK;
	return status;
}
