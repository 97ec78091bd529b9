#include "config.h"

#include "golden/fixture.h"

#include "support.h"

#include <seqpar/status.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sp_model_config config_of(const struct records *g)
{
	const struct sp_model_config config = {
		.layers = records_int(g, "layers"),
		.hidden = records_int(g, "hidden"),
		.heads = records_int(g, "heads"),
		.intermediate = records_int(g, "intermediate"),
		.vocab_size = records_int(g, "vocab_size"),
		.max_positions = records_int(g, "max_positions"),
		.pre_norm = records_int(g, "pre_norm"),
		.activation = records_int(g, "tanh") ? SP_ACT_GELU_TANH : SP_ACT_GELU,
		.dropout = (float)records_number(g, "dropout"),
		.attention_dropout = (float)records_number(g, "attention_dropout"),
		.layer_norm_eps = (float)records_number(g, "layer_norm_eps"),
		.sentence_order = records_int(g, "sentence_order"),
	};
	return config;
}

static const int32_t *ints(const struct records *g, const char *name)
{
	return records_find(g, name, 'i')->data;
}

static struct harness_batch batch_of(const struct records *g)
{
	const struct harness_batch batch = {
		.batch = records_int(g, "batch"),
		.length = records_int(g, "length"),
		.predictions = records_find(g, "predicted", 'i')->count,
		.token = ints(g, "token"),
		.position = ints(g, "position"),
		.kind = ints(g, "kind"),
		.doc = ints(g, "doc"),
		.sample = ints(g, "sample"),
		.predicted = ints(g, "predicted"),
		.label = ints(g, "label"),
		.order_label = records_int(g, "sentence_order") ? ints(g, "order_label") : NULL,
	};
	return batch;
}

const float *fixture_expected(const struct fixture *f, const char *what, const struct sp_parameter *p)
{
	char name[112];
	snprintf(name, sizeof(name), "%s:%s", what, p->name);
	const struct record *r = records_find(&f->golden, name, 'f');
	assert_int_equal(r->count, p->rows * p->cols);
	return r->data;
}

void fixture_open(struct fixture *f, const char *name, const char *attention)
{
	char path[1024];
	const char *srcdir = getenv("srcdir");
	snprintf(path, sizeof(path), "%s/tests/golden/%s.golden", srcdir ? srcdir : ".", name);
	assert_int_equal(records_read(path, &f->golden), 0);
	const struct sp_model_config config = config_of(&f->golden);
	const struct harness_batch batch = batch_of(&f->golden);
	assert_int_equal(harness_open(&f->h, &config, &batch, attention), SP_OK);
	for (int i = 0; i < f->h.table->count; i++) {
		const struct sp_parameter *p = &f->h.table->entry[i];
		memcpy(f->h.values + p->offset, fixture_expected(f, "value", p), (size_t)(p->rows * p->cols) * sizeof(float));
	}
	assert_int_equal(harness_put(&f->h), SP_OK);
}

void fixture_close(struct fixture *f)
{
	harness_close(&f->h);
	records_free(&f->golden);
}

double fixture_number(const struct fixture *f, const char *record, int step)
{
	const struct record *r = records_find(&f->golden, record, 'd');
	assert_in_range(step, 0, r->count - 1);
	return ((const double *)r->data)[step];
}

void fixture_check(const struct fixture *f, const char *record, int step, double found, double bound)
{
	const double wanted = fixture_number(f, record, step);
	if (!(fabs(found - wanted) <= bound * fabs(wanted)))
		fail_msg("%s of step %d: %.9g, PyTorch has %.9g", record, step, found, wanted);
}

double fixture_distance(const float *a, const float *b, const float *from, int64_t n, double *size)
{
	double far = 0, norm = 0;
	for (int64_t i = 0; i < n; i++) {
		const double base = from ? from[i] : 0;
		far += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		norm += (b[i] - base) * (b[i] - base);
	}
	*size = sqrt(norm);
	return sqrt(far);
}
