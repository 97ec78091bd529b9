/* A device opened, its memory and queue, and what it can do at best. Its operations are wrapped in compute_layers.c,
 * compute_attention.c and compute_heads.c. */
#include "config.h"

#include "backend/compute_inside.h"

#include "backend/module.h"
#include "base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

/* What "auto" tries, in this order. */
static const char *const best_first[] = { "cuda", "cpu" };

static int find_device(const char *name, const struct sp_module **module, char *why, size_t size)
{
	int status = sp_module_probe(name, module, why, size);
	if (status == SP_OK && !(*module)->compute)
		return sp_say(SP_ERR_ABSENT, why, size, "module %s passes messages and does not compute", name);
	return status;
}

static int find_best(const struct sp_module **module, char *why, size_t size)
{
	int status = SP_ERR_ABSENT;
	for (size_t i = 0; status && i < sizeof best_first / sizeof *best_first; i++)
		status = find_device(best_first[i], module, why, size);
	return status;
}

int sp_compute_open(const char *name, const struct sp_compute_options *options, struct sp_compute **compute)
{
	const struct sp_module *module = NULL;
	char why[512] = "";
	int any = strcmp(name, "auto") == 0;
	int status = any ? find_best(&module, why, sizeof why) : find_device(name, &module, why, sizeof why);
	if (status)
		return sp_fail(status, "backend.device=%s cannot be used: %s (seqpar info lists the modules)", name, why);

	if (options && options->products != SP_PRODUCTS_AUTO && !module->compute->multiplies)
		return sp_fail(SP_ERR_UNUSABLE, "backend.products cannot be chosen with backend.device=%s: leave it at auto", module->name);
	struct sp_compute *c = malloc(sizeof *c);
	if (!c)
		return sp_fail(SP_ERR_MEMORY, "out of memory opening module %s", module->name);
	*c = (struct sp_compute){ .name = module->name, .ops = module->compute };
	status = c->ops->open(options, &c->ctx);
	if (status) {
		free(c);
		return status;
	}
	*compute = c;
	return SP_OK;
}

void sp_compute_close(struct sp_compute *c)
{
	if (!c)
		return;
	sp_link_close_all(c);
	sp_shares_destroy(c->shares);
	sp_buffers_free(&c->buffers, c->ops, c->ctx);
	c->ops->close(c->ctx);
	free(c);
}

const char *sp_compute_name(const struct sp_compute *c)
{
	return c->name;
}

void sp_compute_describe(struct sp_compute *c, char *text, size_t size, char *warning, size_t warning_size)
{
	c->ops->describe(c->ctx, text, size, warning, warning_size);
}

int sp_compute_has_parts(const struct sp_compute *c)
{
	const struct sp_compute_ops *o = c->ops;
	return o->words_forward && o->words_backward && o->entropy_part && o->entropy_whole;
}

int sp_compute_has_scores(const struct sp_compute *c)
{
	const struct sp_compute_ops *o = c->ops;
	return o->scores_mask && o->scores_softmax && o->scores_drop && o->scores_backward;
}

int sp_compute_has_rotate(const struct sp_compute *c)
{
	return c->ops->rotate != NULL;
}

int sp_compute_has_convert(const struct sp_compute *c)
{
	return c->ops->convert != NULL;
}

int sp_compute_supports(struct sp_compute *c, const struct sp_compute_needs *needs)
{
	char why[512] = "";
	int status = c->ops->supports(c->ctx, needs, why, sizeof why);
	if (needs->parts > 1 && !sp_compute_has_parts(c))
		status = sp_say(SP_ERR_UNUSABLE, why, sizeof why, "it has no operations on parts of the vocabulary");
	if (needs->scores && !sp_compute_has_scores(c))
		status = sp_say(SP_ERR_UNUSABLE, why, sizeof why, "it has no operations on whole rows of attention scores");
	if (needs->rotary && !sp_compute_has_rotate(c))
		status = sp_say(SP_ERR_UNUSABLE, why, sizeof why, "it has no operation for model.position = rope");
	if (needs->dtype != SP_F32 && !sp_compute_has_convert(c))
		status = sp_say(SP_ERR_UNUSABLE, why, sizeof why, "it has no operations on %s", sp_dtype_name(needs->dtype));
	return status ? sp_fail(status, "backend.device=%s cannot do this: %s", c->name, why) : SP_OK;
}

int64_t sp_compute_chunk_multiple(struct sp_compute *c)
{
	return c->ops->chunk_multiple(c->ctx);
}

int sp_compute_threads(struct sp_compute *c)
{
	return c->ops->threads(c->ctx);
}

const char *sp_compute_multiplies(struct sp_compute *c, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k)
{
	return c->ops->multiplies ? c->ops->multiplies(c->ctx, dtype, m, n, k) : "";
}

/* ---- transfers meanwhile ---- */

void sp_compute_set_poll(struct sp_compute *c, const struct sp_compute_poll *poll)
{
	c->poll = poll ? *poll : (struct sp_compute_poll){ 0 };
}

int sp_compute_queued(struct sp_compute *c, int status)
{
	sp_compute_ended(c, status);
	if (c->poll.between && !c->polling && !c->recording && !status) {
		c->polling = 1;
		c->poll.between(c->poll.ctx);
		c->polling = 0;
	}
	return status;
}

void sp_compute_give_poll(const struct sp_compute *c, struct sp_attention_shape *shape)
{
	if (c->recording)
		shape->poll = NULL;
	if (shape->poll || c->recording)
		return;
	shape->poll = c->poll.during;
	shape->poll_ctx = c->poll.ctx;
}

/* ---- memory and queue ---- */

/* A graph would do it again each time, or cannot hold it. */
static int not_recording(const struct sp_compute *c, const char *what)
{
	return c->recording ? sp_fail(SP_ERR_ARGUMENT, "%s: not while a graph is recorded", what) : SP_OK;
}

int sp_compute_alloc(struct sp_compute *c, size_t bytes, void **memory)
{
	if (not_recording(c, "alloc"))
		return SP_ERR_ARGUMENT;
	return c->ops->alloc(c->ctx, bytes, memory);
}

void sp_compute_free(struct sp_compute *c, void *memory)
{
	c->ops->free(c->ctx, memory);
}

int sp_compute_copy_in(struct sp_compute *c, void *device, const void *host, size_t bytes)
{
	if (sp_operand_there("copy_in", "device", device, bytes > 0) || sp_operand_there("copy_in", "host", host, bytes > 0))
		return SP_ERR_SHAPE;
	if (bytes == 0)
		return SP_OK;
	int status = not_recording(c, "copy_in");
	if (!status)
		status = sp_link_settle(c);
	if (status)
		return status;
	sp_compute_begin(c, SP_CLASS_COPIES);
	return sp_compute_ended(c, c->ops->copy_in(c->ctx, device, host, bytes));
}

int sp_compute_copy_out(struct sp_compute *c, void *host, const void *device, size_t bytes)
{
	if (sp_operand_there("copy_out", "host", host, bytes > 0) || sp_operand_there("copy_out", "device", device, bytes > 0))
		return SP_ERR_SHAPE;
	if (bytes == 0)
		return SP_OK;
	int status = not_recording(c, "copy_out");
	if (!status)
		status = sp_link_settle(c);
	if (status)
		return status;
	sp_compute_begin(c, SP_CLASS_COPIES);
	return sp_compute_ended(c, c->ops->copy_out(c->ctx, host, device, bytes));
}

int sp_compute_upload(struct sp_compute *c, void *device, const void *host, size_t bytes)
{
	if (sp_operand_there("upload", "device", device, bytes > 0) || sp_operand_there("upload", "host", host, bytes > 0))
		return SP_ERR_SHAPE;
	if (not_recording(c, "upload"))
		return SP_ERR_ARGUMENT;
	if (bytes == 0)
		return SP_OK;
	sp_compute_begin(c, SP_CLASS_COPIES);
	return sp_compute_ended(c, c->ops->upload(c->ctx, device, host, bytes));
}

int sp_compute_zero(struct sp_compute *c, void *device, size_t bytes)
{
	if (sp_operand_there("zero", "device", device, bytes > 0))
		return SP_ERR_SHAPE;
	if (bytes == 0)
		return SP_OK;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_ended(c, c->ops->zero(c->ctx, device, bytes));
}

int sp_compute_copy_rows(struct sp_compute *c, struct sp_matrix from, struct sp_matrix to)
{
	const struct sp_operand parts[] = {
		{ "from", from, from.rows, from.cols, .dtype = from.dtype },
		{ "to", to, from.rows, from.cols, SP_OUT, .dtype = from.dtype },
	};
	if (SP_OPERANDS_FIT("copy_rows", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_ended(c, c->ops->copy_rows(c->ctx, from, to));
}

int sp_compute_convert(struct sp_compute *c, struct sp_matrix from, struct sp_matrix to)
{
	const struct sp_operand parts[] = {
		{ "from", from, from.rows, from.cols, .dtype = from.dtype },
		{ "to", to, from.rows, from.cols, SP_OUT, .dtype = to.dtype },
	};
	if (SP_OPERANDS_FIT("convert", parts))
		return SP_ERR_SHAPE;
	if (!sp_operand_is_element(from.dtype) || !sp_operand_is_element(to.dtype))
		return sp_fail(SP_ERR_SHAPE, "convert: from %s to %s: expected f32, bf16 or f16", sp_dtype_name(from.dtype),
		               sp_dtype_name(to.dtype));
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->convert(c->ctx, from, to));
}

int sp_compute_sync(struct sp_compute *c)
{
	int status = not_recording(c, "sync");
	if (!status)
		status = sp_link_settle(c);
	return status ? status : c->ops->sync(c->ctx);
}

const char *sp_compute_queue(struct sp_compute *c, void **queue)
{
	return c->ops->queue ? c->ops->queue(c->ctx, queue) : NULL;
}

/* ---- graphs ---- */

int sp_compute_has_graphs(const struct sp_compute *c)
{
	return c->ops->graph_begin != NULL;
}

int sp_compute_graph_begin(struct sp_compute *c)
{
	if (!sp_compute_has_graphs(c) || not_recording(c, "graph_begin"))
		return SP_ERR_ARGUMENT;
	const int status = c->ops->graph_begin(c->ctx);
	c->recording = !status;
	return status;
}

int sp_compute_graph_end(struct sp_compute *c, void **graph)
{
	if (!c->recording)
		return sp_fail(SP_ERR_ARGUMENT, "graph_end: no graph is recorded");
	c->recording = 0;
	return c->ops->graph_end(c->ctx, graph);
}

int sp_compute_graph_launch(struct sp_compute *c, void *graph)
{
	if (not_recording(c, "graph_launch"))
		return SP_ERR_ARGUMENT;
	return sp_compute_queued(c, c->ops->graph_launch(c->ctx, graph));
}

void sp_compute_graph_free(struct sp_compute *c, void *graph)
{
	if (graph)
		c->ops->graph_free(c->ctx, graph);
}

/* ---- host buffers ---- */

int sp_compute_is_host_memory(const struct sp_compute *c)
{
	return !c->ops->alloc_host;
}

int sp_compute_buffer_take(struct sp_compute *c, size_t bytes, void **host)
{
	return sp_buffers_take(&c->buffers, c->ops, c->ctx, bytes, host);
}

void sp_compute_buffer_give(struct sp_compute *c, const void *host)
{
	sp_buffers_give(&c->buffers, host);
}

/* ---- what the time goes into ---- */

int sp_compute_shares_start(struct sp_compute *c)
{
	assert(!c->shares);
	return sp_shares_create(c->ops, c->ctx, &c->shares);
}

int sp_compute_is_timed(const struct sp_compute *c)
{
	return c->shares != NULL;
}

void sp_compute_shares_stop(struct sp_compute *c)
{
	sp_shares_destroy(c->shares);
	c->shares = NULL;
}

int sp_compute_shares_take(struct sp_compute *c, double seconds[SP_CLASSES])
{
	const int status = sp_compute_sync(c);
	return status ? status : sp_shares_take(c->shares, seconds);
}

/* ---- measuring ---- */

int sp_compute_gemm_rate(struct sp_compute *c, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k, double seconds,
                         double *flops_per_s)
{
	if (!sp_operand_is_element(dtype))
		return sp_fail(SP_ERR_SHAPE, "gemm_rate: in %s: expected f32, bf16 or f16", sp_dtype_name(dtype));
	if (m < 1 || n < 1 || k < 1)
		return sp_fail(SP_ERR_SHAPE, "gemm_rate: %" PRId64 " x %" PRId64 " x %" PRId64 " is no product to measure", m, n, k);
	return c->ops->gemm_rate(c->ctx, dtype, m, n, k, seconds, flops_per_s);
}

int sp_compute_memory_rate(struct sp_compute *c, double seconds, double *bytes_per_s)
{
	return c->ops->memory_rate(c->ctx, seconds, bytes_per_s);
}
