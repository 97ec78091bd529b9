#include "config.h"

#include "train/flow.h"

#include "base/log.h"
#include "base/where.h"

#include <stdlib.h>
#include <string.h>

/* One direction. What is on its way here is always the input of the next work of this direction; its place is free then:
 * an entrance more than slots forward, gradients' buffers in turn backward. */
struct direction {
	struct sp_comm *comm;
	struct sp_pipeline_work (*work)(const struct sp_pipeline *p, int64_t i);
	int64_t done;             /* works begun */
	int64_t asked;            /* works whose input has been asked for */
	struct sp_transfer input; /* of the last of them */
	struct sp_transfer *sent; /* by the place that they are sent from */
	int places;
};

struct sp_flow {
	struct sp_flow_options options;
	struct sp_pipeline pipeline; /* of the run under way */
	struct direction forward, backward;
	int *exits; /* [pieces + 1] where each piece's places to send from begin */
	int64_t taken; /* the micro-batch on the device; -1: none */
	struct sp_batch batch;
};

static int create_direction(struct sp_flow *f, struct direction *d, struct sp_comm *comm, int places,
                            struct sp_pipeline_work (*work)(const struct sp_pipeline *p, int64_t i))
{
	*d = (struct direction){ .comm = comm, .work = work, .places = places };
	d->input.compute = f->options.compute;
	d->sent = calloc((size_t)places, sizeof *d->sent);
	for (int i = 0; d->sent && i < places; i++)
		d->sent[i].compute = f->options.compute;
	return d->sent ? SP_OK : sp_fail(SP_ERR_MEMORY, "out of memory for %d transfers between stages", places);
}

/* Each slot of each piece has one. */
static int number_exits(struct sp_flow *f)
{
	const struct sp_pipeline *p = &f->options.pipeline;
	f->exits = calloc((size_t)p->pieces + 1, sizeof *f->exits);
	if (!f->exits)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the flow of micro-batches");
	for (int i = 0; i < p->pieces; i++)
		f->exits[i + 1] = f->exits[i] + sp_pipeline_slots(p, i);
	return SP_OK;
}

int sp_flow_create(const struct sp_flow_options *options, struct sp_flow **flow)
{
	struct sp_flow *f = calloc(1, sizeof *f);
	if (!f)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the flow of micro-batches");
	f->options = *options;
	int status = number_exits(f);
	if (!status)
		status = create_direction(f, &f->forward, options->grid->group[SP_GROUP_PIPELINE], f->exits[options->pipeline.pieces],
		                          sp_pipeline_forward);
	if (!status)
		status = create_direction(f, &f->backward, options->grid->back, SP_MODEL_STREAM_GRADIENTS, sp_pipeline_backward);
	if (status) {
		sp_flow_destroy(f);
		return status;
	}
	*flow = f;
	return SP_OK;
}

void sp_flow_destroy(struct sp_flow *f)
{
	if (!f)
		return;
	free(f->exits);
	free(f->forward.sent);
	free(f->backward.sent);
	free(f);
}

void sp_flow_progress(struct sp_flow *f)
{
	if (f->pipeline.stages > 1)
		(void)sp_comm_progress(f->forward.comm); /* an error stays, and is met by the next wait */
}

double sp_flow_waited(const struct sp_flow *f)
{
	return sp_comm_counters(f->forward.comm).exposed + sp_comm_counters(f->backward.comm).exposed;
}

/* ---- where a work's input and output are, and whose they are ---- */

static struct direction *direction_of(struct sp_flow *f, const struct sp_pipeline_work *work)
{
	return work->backward ? &f->backward : &f->forward;
}

static int stage_before(const struct sp_flow *f, const struct sp_pipeline_work *work)
{
	return work->backward ? sp_pipeline_after(&f->pipeline, work->piece) : sp_pipeline_before(&f->pipeline, work->piece);
}

static int stage_after(const struct sp_flow *f, const struct sp_pipeline_work *work)
{
	return work->backward ? sp_pipeline_before(&f->pipeline, work->piece) : sp_pipeline_after(&f->pipeline, work->piece);
}

/* The buffer of the i-th backward work. */
static int gradient_of(const struct sp_flow *f, int64_t i)
{
	return f->pipeline.stages > 1 ? (int)(i % SP_MODEL_STREAM_GRADIENTS) : 0;
}

/* A place of the stream, of as many rows as the micro-batch has. */
static struct sp_matrix of_micro(const struct sp_flow *f, int64_t micro, struct sp_matrix place)
{
	return sp_matrix_of(place.data, sp_batches_rows(f->options.batches, micro), place.cols, place.dtype);
}

static struct sp_matrix input_of(const struct sp_flow *f, const struct sp_pipeline_work *work, int64_t i)
{
	if (work->backward)
		return of_micro(f, work->micro, sp_model_stream_gradient(f->options.model, gradient_of(f, i)));
	return of_micro(f, work->micro, sp_model_entrance(f->options.model, work->piece, work->micro));
}

static struct sp_matrix output_of(const struct sp_flow *f, const struct sp_pipeline_work *work, int64_t i)
{
	if (work->backward)
		return of_micro(f, work->micro, sp_model_stream_gradient(f->options.model, gradient_of(f, i)));
	return of_micro(f, work->micro, sp_model_exit(f->options.model, work->piece, work->micro));
}

/* What is still being sent from where the i-th work of its direction will write. */
static struct sp_transfer *sent_from(struct sp_flow *f, const struct sp_pipeline_work *work, int64_t i)
{
	struct direction *d = direction_of(f, work);
	if (work->backward)
		return &d->sent[gradient_of(f, i)];
	const int first = f->exits[work->piece], slots = f->exits[work->piece + 1] - first;
	return &d->sent[first + work->micro % slots];
}

static size_t bytes_of(struct sp_matrix m)
{
	return (size_t)(m.rows * m.cols) * sp_dtype_size(m.dtype);
}

/* ---- transfers ---- */

/* Asks for the input of the next work of a direction that has not been asked for. A gradient's buffer is the input's place
 * too, or where the heads will put theirs: what was sent from it must have gone. */
static int ask(struct sp_flow *f, struct direction *d)
{
	const int64_t i = d->asked;
	const struct sp_pipeline_work work = d->work(&f->pipeline, i);
	const int from = stage_before(f, &work);
	int status = work.backward ? sp_comm_wait(d->comm, sent_from(f, &work, i)) : SP_OK;
	d->asked++;
	if (status || from < 0)
		return status;
	const struct sp_matrix to = input_of(f, &work, i);
	const struct sp_exchange exchange = { .to = from, .receive = to.data, .receive_bytes = bytes_of(to), .from = from };
	return sp_comm_exchange_start(d->comm, &exchange, &d->input);
}

static int ask_ahead(struct sp_flow *f, struct direction *d)
{
	const int64_t all = f->pipeline.micro_batches * f->pipeline.pieces;
	return f->options.overlap && d->asked < all ? ask(f, d) : SP_OK;
}

/* The input of the next work is there, and that of the one after it asked for. */
static int receive(struct sp_flow *f, struct direction *d)
{
	int status = d->asked == d->done ? ask(f, d) : SP_OK;
	if (!status)
		status = sp_comm_wait(d->comm, &d->input);
	return status ? status : ask_ahead(f, d);
}

static int send(struct sp_flow *f, struct direction *d, const struct sp_pipeline_work *work, int64_t i)
{
	const int to = stage_after(f, work);
	if (to < 0)
		return SP_OK;
	const struct sp_matrix from = output_of(f, work, i);
	const struct sp_exchange exchange = { .send = from.data, .send_bytes = bytes_of(from), .to = to, .from = to };
	return sp_comm_exchange_start(d->comm, &exchange, sent_from(f, work, i));
}

/* Lets go of what has been sent: a device's messages hold host memory until then. */
static int tidy(struct direction *d)
{
	int status = SP_OK, done;
	for (int i = 0; i < d->places && !status; i++)
		if (d->sent[i].request)
			status = sp_comm_test(d->comm, &d->sent[i], &done);
	return status;
}

static int finish(struct direction *d)
{
	int status = SP_OK;
	for (int i = 0; i < d->places && !status; i++)
		status = sp_comm_wait(d->comm, &d->sent[i]);
	return status;
}

/* ---- works ---- */

static int take(struct sp_flow *f, int64_t micro)
{
	int status = micro == f->taken ? SP_OK : sp_batches_take(f->options.batches, micro, &f->batch);
	f->taken = status ? -1 : micro;
	return status;
}

/* A forward-only model has one exit for all micro-batches. */
static int free_exit(struct sp_flow *f, const struct sp_pipeline_work *work, int64_t i)
{
	return f->pipeline.forward_only ? finish(&f->forward) : sp_comm_wait(f->forward.comm, sent_from(f, work, i));
}

static int go_forward(struct sp_flow *f, const struct sp_pipeline_work *work, const struct sp_pass *pass)
{
	int status = free_exit(f, work, f->forward.done);
	return status ? status : sp_model_forward(f->options.model, work->piece, work->micro, &f->batch, pass);
}

/* Backward writes over what was sent on: the gradient that came back says that it has arrived, but MPI also wants it waited for. */
static int let_go(struct sp_flow *f, const struct sp_pipeline_work *work)
{
	const struct sp_pipeline_work forward = { .micro = work->micro, .piece = work->piece };
	return sp_comm_wait(f->forward.comm, sent_from(f, &forward, 0));
}

static int go_backward(struct sp_flow *f, const struct sp_pipeline_work *work, const struct sp_pass *pass)
{
	struct sp_pass own = *pass;
	int status = let_go(f, work);
	if (status)
		return status;
	if (work->micro < f->pipeline.micro_batches - 1)
		own.ready = NULL;
	return sp_model_backward(f->options.model, work->piece, work->micro, gradient_of(f, f->backward.done), &f->batch, &own);
}

/* receive(), which may have to wait for another stage. */
static int await(struct sp_flow *f, const struct sp_pipeline_work *work)
{
	const struct sp_layer_range layers = sp_model_layers(f->options.model, work->piece);
	if (work->backward)
		sp_where_enter("before backward of layer", (int)layers.end - 1);
	else
		sp_where_enter("before forward of layer", (int)layers.first);
	int status = receive(f, direction_of(f, work));
	sp_where_leave();
	return status;
}

static int run_work(struct sp_flow *f, const struct sp_pipeline_work *work, const struct sp_pass *pass)
{
	struct direction *d = direction_of(f, work);
	int status = tidy(&f->forward);
	if (!status)
		status = tidy(&f->backward);
	if (!status)
		status = take(f, work->micro);
	if (!status)
		status = await(f, work);
	if (!status)
		status = work->backward ? go_backward(f, work, pass) : go_forward(f, work, pass);
	if (!status)
		status = send(f, d, work, d->done);
	d->done++;
	return status;
}

static int start(struct sp_flow *f, const struct sp_pass *pass)
{
	f->pipeline = f->options.pipeline;
	f->pipeline.forward_only = !pass->training;
	f->forward.done = f->forward.asked = f->backward.done = f->backward.asked = 0;
	f->taken = -1;
	int status = ask_ahead(f, &f->forward);
	return status || !pass->training ? status : ask_ahead(f, &f->backward);
}

int sp_flow_run(struct sp_flow *f, const struct sp_pass *pass)
{
	int status = start(f, pass);
	for (int64_t i = 0; i < sp_pipeline_works(&f->pipeline) && !status; i++) {
		const struct sp_pipeline_work work = sp_pipeline_work(&f->pipeline, i);
		status = run_work(f, &work, pass);
	}
	if (!status)
		status = finish(&f->forward);
	return status ? status : finish(&f->backward);
}
