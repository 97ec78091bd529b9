#include "config.h"

#include "golden/harness.h"

#include "base/log.h"
#include "base/size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A device copy of n 32-bit values. */
static int put_array(struct harness *h, const int32_t *values, int64_t n, const int32_t **device)
{
	void *memory;
	assert(h->arrays < HARNESS_ARRAYS);
	int rc = sp_compute_alloc(h->compute, (size_t)n * sizeof(*values), &memory);
	if (rc)
		return rc;
	h->array[h->arrays++] = memory;
	*device = memory;
	return sp_compute_copy_in(h->compute, memory, values, (size_t)n * sizeof(*values));
}

/* The same from batch x length to batch x chunk, new places filled. */
static int put_tokens(struct harness *h, const struct harness_batch *b, const int32_t *values, int32_t fill,
                      const int32_t **device)
{
	const int64_t chunk = h->batch.chunk;
	int32_t *padded = malloc((size_t)(b->batch * chunk) * sizeof(*padded));
	if (!padded)
		return SP_ERR_MEMORY;
	for (int64_t s = 0; s < b->batch; s++)
		for (int64_t i = 0; i < chunk; i++)
			padded[s * chunk + i] = i < b->length ? values[s * b->length + i] : fill;
	int rc = put_array(h, padded, b->batch * chunk, device);
	free(padded);
	return rc;
}

/* Indices into batch x length become rows of batch x chunk. */
static int put_rows(struct harness *h, const struct harness_batch *b, const int32_t *index, int64_t n,
                    const int32_t **device)
{
	int32_t *row = malloc((size_t)(n + 1) * sizeof(*row));
	if (!row)
		return SP_ERR_MEMORY;
	for (int64_t i = 0; i < n; i++)
		row[i] = (int32_t)(index[i] / b->length * h->batch.chunk + index[i] % b->length);
	int rc = put_array(h, row, n, device);
	free(row);
	return rc;
}

static int put_orders(struct harness *h, const struct harness_batch *b)
{
	int32_t *first = malloc((size_t)b->batch * sizeof(*first));
	if (!first)
		return SP_ERR_MEMORY;
	for (int64_t s = 0; s < b->batch; s++)
		first[s] = (int32_t)(s * h->batch.chunk);
	h->batch.orders = b->batch;
	int rc = put_array(h, first, b->batch, &h->batch.order_row);
	free(first);
	return rc ? rc : put_array(h, b->order_label, b->batch, &h->batch.order_label);
}

/* Documents of the tokens that a head reads. */
static int put_read(struct harness *h, const struct harness_batch *b)
{
	int32_t *doc = malloc((size_t)(b->batch * b->length) * sizeof(*doc));
	if (!doc)
		return SP_ERR_MEMORY;
	for (int64_t i = 0; i < b->batch * b->length; i++)
		doc[i] = b->order_label && i % b->length == 0 ? b->doc[i] : -1;
	for (int64_t i = 0; i < b->predictions; i++)
		doc[b->predicted[i]] = b->doc[b->predicted[i]];
	const int rc = put_tokens(h, b, doc, -1, &h->batch.read_doc);
	free(doc);
	return rc;
}

static int put_batch(struct harness *h, const struct harness_batch *b)
{
	struct sp_batch *to = &h->batch;
	const int32_t *sample;
	int rc;
	to->batch = b->batch;
	to->chunk = sp_round_up(b->length, sp_compute_chunk_multiple(h->compute));
	to->predictions = b->predictions;
	if ((rc = put_tokens(h, b, b->token, 0, &to->token)) || (rc = put_tokens(h, b, b->position, 0, &to->position)) ||
	    (rc = put_tokens(h, b, b->kind, 0, &to->kind)) || (rc = put_tokens(h, b, b->doc, -1, &to->doc)) ||
	    (rc = put_rows(h, b, b->predicted, b->predictions, &to->predicted)) ||
	    (rc = put_array(h, b->label, b->predictions, &to->label)) || (rc = put_array(h, b->sample, b->batch, &sample)))
		return rc;
	to->sample = (const uint32_t *)sample;
	rc = put_read(h, b);
	if (rc)
		return rc;
	return b->order_label ? put_orders(h, b) : SP_OK;
}

static int make_model(struct harness *h, const struct sp_model_config *config, const char *attention)
{
	const struct sp_model_options options = {
		.config = *config,
		.batch = h->batch.batch,
		.chunk = h->room ? h->room : h->batch.chunk,
		.attention = sp_attention_find(attention),
		.sequence = h->comm,
		.overlap = 1,
		.forward_only = h->forward_only,
		.recompute = h->recompute,
		.element = h->element,
		.tile = h->tile,
		.read_rows_only = h->read_rows_only,
		.slots = h->slots,
	};
	if (!options.attention)
		return SP_ERR_ARGUMENT;
	h->chunk = h->batch.chunk;
	if (h->room)
		h->batch.parts = (struct sp_attention_parts){ &h->first, &h->chunk, h->room };
	int rc = sp_model_create(h->compute, &options, &h->model);
	if (rc)
		return rc;
	h->table = sp_model_parameters(h->model);
	h->values = calloc((size_t)h->table->elements, sizeof(float));
	h->gradients = calloc((size_t)h->table->elements, sizeof(float));
	return h->values && h->gradients ? SP_OK : SP_ERR_MEMORY;
}

int harness_open(struct harness *h, const struct sp_model_config *config, const struct harness_batch *batch,
                 const char *attention)
{
	const struct sp_compute_options two_threads = { .threads = 2 };
	int rc = sp_compute_open("cpu", &two_threads, &h->compute);
	if (rc == SP_OK)
		rc = sp_comm_open("self", 1, &h->comm);
	if (rc == SP_OK)
		rc = put_batch(h, batch);
	return rc ? rc : make_model(h, config, attention);
}

void harness_close(struct harness *h)
{
	free(h->values);
	free(h->gradients);
	sp_model_destroy(h->model);
	for (int i = 0; i < h->arrays; i++)
		sp_compute_free(h->compute, h->array[i]);
	sp_comm_close(h->comm);
	sp_compute_close(h->compute);
	memset(h, 0, sizeof(*h));
}

int harness_put(struct harness *h)
{
	return sp_compute_copy_in(h->compute, sp_model_values(h->model), h->values,
	                          (size_t)h->table->elements * sizeof(float));
}

int harness_run(struct harness *h, uint64_t seed, uint64_t step, int gradients, double *loss)
{
	const struct sp_pass pass = {
		.seed = seed,
		.step = step,
		.training = 1,
		.mlm_scale = h->batch.predictions ? 1.0F / (float)h->batch.predictions : 0,
		.order_scale = 1.0F / (float)h->batch.batch,
	};
	struct sp_model_sums sums;
	int rc = sp_model_reset(h->model, 1);
	if (rc == SP_OK)
		rc = sp_model_run(h->model, &h->batch, &pass);
	if (rc == SP_OK)
		rc = sp_model_sums(h->model, &sums);
	if (rc)
		return rc;
	*loss = h->batch.predictions ? sums.mlm / (double)h->batch.predictions : 0;
	*loss += sums.order / (double)h->batch.batch;
	return gradients ? sp_compute_copy_out(h->compute, h->gradients, sp_model_gradients(h->model),
	                                       (size_t)h->table->elements * sizeof(float))
	                 : SP_OK;
}
