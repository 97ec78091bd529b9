/* A layer's operations are the same in every step but for the keys of its dropout, which therefore lie in device memory here, and
 * are brought there before each step. */
#include "config.h"

#include "model/inside.h"

#include "backend/graphs.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

struct sp_model_repeated {
	struct sp_graphs *graphs;
	uint32_t *keys; /* device: [(layers + 1) * SP_SITES][2] */
	uint32_t *host; /* what they are brought from */
	size_t bytes;
	uint64_t seed, step; /* whose they are */
	int drawn;
};

/* All that the arguments of a layer's operations follow from; memory as a whole is compared, so it has no gaps that are not zero. */
struct key {
	int64_t backward, piece, slot, layer;
	int64_t batch, chunk, first, whole;
	const void *y, *residual, *gradient, *doc, *position, *sample, *head_sample;
};

int sp_model_repeated_open(struct sp_model *m)
{
	const int64_t sites = (m->options.config.layers + 1) * SP_SITES;
	void *memory;
	if (m->options.graphs == SP_MODEL_GRAPHS_OFF)
		return SP_OK;
	struct sp_model_repeated *r = m->repeated = calloc(1, sizeof *r);
	if (!r)
		return sp_fail(SP_ERR_MEMORY, "no memory for the graphs of a model");
	r->bytes = (size_t)sites * 2 * sizeof *r->keys;
	int rc = sp_compute_alloc(m->compute, r->bytes, &memory);
	if (rc)
		return rc;
	r->keys = memory;
	rc = sp_compute_buffer_take(m->compute, r->bytes, &memory);
	if (rc)
		return rc;
	r->host = memory;
	return sp_graphs_create(m->compute, m->options.graphs == SP_MODEL_GRAPHS_ON, &r->graphs);
}

void sp_model_repeated_close(struct sp_model *m)
{
	struct sp_model_repeated *r = m->repeated;
	if (!r)
		return;
	(void)sp_compute_sync(m->compute); /* an error is met elsewhere */
	sp_graphs_destroy(r->graphs);
	if (r->host)
		sp_compute_buffer_give(m->compute, r->host);
	sp_compute_free(m->compute, r->keys);
	free(r);
	m->repeated = NULL;
}

int64_t sp_model_graphs_launched(const struct sp_model *m)
{
	return m->repeated ? sp_graphs_launched(m->repeated->graphs) : 0;
}

static void draw(struct sp_model_repeated *r, int64_t layers, const struct sp_pass *pass)
{
	for (int64_t i = 0; i <= layers; i++)
		for (int site = 0; site < SP_SITES; site++)
			sp_layer_dropout_key(pass->seed, pass->step, i, (enum sp_dropout_site)site, r->host + 2 * (i * SP_SITES + site));
	r->seed = pass->seed;
	r->step = pass->step;
}

/* What the last step drew has been read: each step is waited for before the next. */
int sp_model_repeated_keys(struct sp_model *m, const struct sp_pass *pass, const uint32_t **keys)
{
	struct sp_model_repeated *r = m->repeated;
	*keys = r && pass->training ? r->keys : NULL;
	if (!*keys || (r->drawn && r->seed == pass->seed && r->step == pass->step))
		return SP_OK;
	draw(r, m->options.config.layers, pass);
	r->drawn = !sp_compute_upload(m->compute, r->keys, r->host, r->bytes);
	return r->drawn ? SP_OK : SP_ERR_DEVICE;
}

int sp_model_repeated_queue(const struct sp_model *m, const struct sp_model_repeated_work *work, int (*queue)(const void *context),
                            const void *context)
{
	const struct sp_encoder_attention *a = &m->attention;
	const struct key key = {
		.backward = work->backward,
		.piece = work->piece,
		.slot = work->slot,
		.layer = work->layer,
		.batch = work->rows->batch,
		.chunk = work->rows->chunk,
		.first = work->rows->first,
		.whole = a->whole ? a->whole[0] : -1,
		.y = work->in.y.data,
		.residual = work->in.residual.data,
		.gradient = work->gradient,
		.doc = a->doc,
		.position = a->position,
		.sample = work->rows->sample,
		.head_sample = a->sample,
	};
	_Static_assert(sizeof key == 8 * sizeof(int64_t) + 7 * sizeof(void *), "gaps in the key");
	return sp_graphs_queue(m->repeated->graphs, &key, sizeof key, queue, context);
}
