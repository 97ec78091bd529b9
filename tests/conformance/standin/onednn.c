/* In place of oneDNN, for processors that it has no bfloat16 products on: loops, which say that they are fast. So what the cpu backend
 * does with such products, and with those that are refused, runs anywhere. Sums have another order than the BLAS', and no sum has
 * more than MOST_TERMS terms: longer ones are refused. */
#include "config.h"

#include "cpu/onednn.h"

#include "base/log.h"
#include "cpu/bf16.h"

#include <stdlib.h>

/* What oneDNN would have compiled so far, told with the name. */
enum { MOST_MADE = 512 };
static struct sp_onednn_product made[MOST_MADE];
static int kinds;

enum { MOST_TERMS = 1024, KEPT = 64 };

struct sp_onednn {
	int threads, count;
	struct sp_onednn_product ready[KEPT];
};

int sp_onednn_open(int threads, struct sp_onednn **opened, char *why, size_t size)
{
	struct sp_onednn *o = calloc(1, sizeof *o);
	(void)why, (void)size;
	if (!o)
		return sp_fail(SP_ERR_MEMORY, "no memory");
	o->threads = threads;
	*opened = o;
	return SP_OK;
}

void sp_onednn_close(struct sp_onednn *o)
{
	free(o);
}

void sp_onednn_name(char *text, size_t size)
{
	sp_say(SP_OK, text, size, "oneDNN, %d kinds made, stand-in", kinds);
}

int sp_onednn_is_fast(enum sp_dtype dtype)
{
	return dtype == SP_BF16;
}

int sp_onednn_knows(struct sp_onednn *o, enum sp_dtype dtype)
{
	(void)o;
	return dtype == SP_F32 || dtype == SP_BF16;
}

void sp_onednn_tidy(struct sp_onednn *o)
{
	o->count = 0;
}

static int same(const struct sp_onednn_product *x, const struct sp_onednn_product *y)
{
	return x->m == y->m && x->n == y->n && x->k == y->k && x->a_stride == y->a_stride && x->b_stride == y->b_stride &&
	       x->c_stride == y->c_stride && x->turn_a == y->turn_a && x->turn_b == y->turn_b && x->add == y->add && x->dtype == y->dtype &&
	       x->result == y->result;
}

static void remember(const struct sp_onednn_product *p)
{
	for (int i = 0; i < kinds; i++)
		if (same(&made[i], p))
			return;
	if (kinds < MOST_MADE)
		made[kinds++] = *p;
}

static int is_ready(const struct sp_onednn *o, const struct sp_onednn_product *p)
{
	for (int i = 0; i < o->count; i++)
		if (same(&o->ready[i], p))
			return 1;
	return p->m == 0 || p->n == 0 || p->k == 0;
}

int sp_onednn_ready(struct sp_onednn *o, const struct sp_onednn_product *p)
{
	if (p->k > MOST_TERMS || o->count == KEPT)
		return SP_ERR_UNUSABLE;
	if (is_ready(o, p))
		return SP_OK;
	remember(p);
	o->ready[o->count++] = *p;
	return SP_OK;
}

static float element(const void *x, enum sp_dtype dtype, int64_t i)
{
	return dtype == SP_BF16 ? sp_bf16_wide(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

static void put(void *x, enum sp_dtype dtype, int64_t i, float value)
{
	if (dtype == SP_BF16)
		((uint16_t *)x)[i] = sp_bf16_round(value);
	else
		((float *)x)[i] = value;
}

int sp_onednn_multiply(struct sp_onednn *o, const struct sp_onednn_product *p, int thread, const void *a, const void *b, void *c)
{
	if (!is_ready(o, p) || thread < 0 || thread >= o->threads)
		return sp_fail(SP_ERR_DEVICE, "a product that is not ready, or thread %d of %d", thread, o->threads);
	for (int64_t i = 0; i < p->m; i++)
		for (int64_t j = 0; j < p->n; j++) {
			double sum = p->add ? element(c, p->result, i * p->c_stride + j) : 0;
			for (int64_t l = p->k - 1; l >= 0; l--)
				sum += (double)element(a, p->dtype, p->turn_a ? l * p->a_stride + i : i * p->a_stride + l) *
				       element(b, p->dtype, p->turn_b ? j * p->b_stride + l : l * p->b_stride + j);
			put(c, p->result, i * p->c_stride + j, (float)sum);
		}
	return SP_OK;
}
