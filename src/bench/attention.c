/* seqpar bench attention: every kind of the table of variants, over all ranks, against `full` on one, and `full` against
 * float64 on sampled rows. A kind that projects sequences is compared with itself on one rank. */
#include "config.h"

#include "bench/bench.h"

#include "attention/attention.h"
#include "attention/globals.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/size.h"
#include "bench/exact.h"
#include "bench/judge.h"
#include "parallel/shard.h"
#include "train/planned.h"
#include "train/rate.h"
#include "train/setup.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Buffers of one layer's attention: of whole sequences, or of a rank's part of them. */
struct side {
	int64_t chunk;
	enum sp_dtype element; /* of qkv, dout, o and dqkv */
	void *wide;            /* (tokens, 3 H) in float32, through which these go if that is not float32; else NULL */
	void *qkv, *dout, *o, *lse, *dqkv, *doc, *sample; /* device */
	void *scores;                                     /* of kinds that keep them; else NULL */
	void *kept;                                       /* of kinds that keep more; else NULL */
	void *weights[2], *dweights[2];       /* of kinds that project: for keys, for values; else NULL */
	void *global_doc, *other, *row, *slot;            /* of kinds that have global tokens; else NULL */
	int64_t globals;                                  /* here */
	size_t bytes;
};

struct work {
	struct sp_bench *bench;
	int rank, ranks;
	int64_t batch, length, heads, head_dim, hidden;
	enum sp_dtype element; /* train.precision's, for kinds that take it */
	struct sp_dropout dropout;
	int64_t chunk, padded; /* of a rank; of all together */
	int32_t *lengths;      /* [batch] */
	uint8_t *ranks_whole;  /* [ranks], as in struct sp_attention_call */
	uint8_t all_whole;     /* the same of one rank that holds whole sequences */
	struct sp_bench_exact whole; /* host: what is put in, and what `full` made of it on one rank */
	double gemm;                 /* of all ranks */
};

/* One kind at work. */
struct kind {
	struct work *work;
	const struct sp_attention_variant *variant;
	struct sp_attention_setup setup;
	struct sp_arena arena;
	void *memory, *state; /* the arena's, and what create made */
	struct side side;
	int backward; /* which direction run() takes */
	double *exposed; /* seconds waited for others, one number a run */
	uint64_t sent;   /* bytes, of all these runs */
	int64_t runs;
};

/* What a kind's results may differ by from those of `full`: both are within some 1e-6 of float64, or of 16 bits within a few
 * roundings of 2^-9. */
static double bound(const struct work *w)
{
	return w->element == SP_F32 ? 5e-6 : 1e-2;
}

/* ---- memory ---- */

static int get(struct work *w, struct side *s, int64_t n, size_t size, void **memory)
{
	s->bytes += (size_t)n * size;
	return sp_compute_alloc(w->bench->compute, (size_t)n * size, memory);
}

static void side_release(struct work *w, struct side *s)
{
	void *const memory[] = { s->wide, s->qkv, s->dout, s->o, s->lse, s->dqkv, s->doc, s->sample, s->scores, s->kept,
		                     s->global_doc, s->other, s->row, s->slot,
		                     s->weights[0], s->weights[1], s->dweights[0], s->dweights[1] };
	for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
		sp_compute_free(w->bench->compute, memory[i]);
	*s = (struct side){ 0 };
}

/* Rows [first, first + chunk) of every sample; with scores, if they are kept, of all tokens. */
static int side_make(struct work *w, int64_t chunk, int scores, enum sp_dtype element, struct side *s)
{
	const int64_t t = w->batch * chunk;
	const size_t size = sp_dtype_size(element);
	*s = (struct side){ .chunk = chunk, .element = element };
	int status = element == SP_F32 ? SP_OK : sp_compute_alloc(w->bench->compute, (size_t)(3 * t * w->hidden) * sizeof(float), &s->wide);
	if (!status)
		status = get(w, s, 3 * t * w->hidden, size, &s->qkv);
	if (!status)
		status = get(w, s, t * w->hidden, size, &s->dout);
	if (!status)
		status = get(w, s, t * w->hidden, size, &s->o);
	if (!status)
		status = get(w, s, t * w->heads, sizeof(float), &s->lse);
	if (!status)
		status = get(w, s, 3 * t * w->hidden, size, &s->dqkv);
	if (!status)
		status = get(w, s, w->batch * w->padded, sizeof(int32_t), &s->doc);
	if (!status && scores)
		status = get(w, s, t * w->heads * w->padded, sizeof(float), &s->scores);
	return status ? status : get(w, s, w->batch, sizeof(uint32_t), &s->sample);
}

static int copy_part(struct work *w, const struct side *s, void *device, const float *whole, int64_t cols, int64_t first)
{
	const int64_t part = s->chunk * cols, n = w->batch * part;
	char *const to = s->wide ? s->wide : device;
	int status = SP_OK;
	for (int64_t b = 0; b < w->batch && !status; b++)
		status = sp_compute_copy_in(w->bench->compute, to + (size_t)(b * part) * sizeof(float),
		                            whole + (b * w->padded + first) * cols, (size_t)part * sizeof(float));
	if (status || !s->wide)
		return status;
	return sp_compute_convert(w->bench->compute, sp_vector(s->wide, n), sp_matrix_of(device, 1, n, s->element));
}

static int copy_back(struct work *w, const struct side *s, const void *device, int64_t n, float *host)
{
	int status = SP_OK;
	if (s->wide)
		status = sp_compute_convert(w->bench->compute, sp_matrix_of((void *)(uintptr_t)device, 1, n, s->element), sp_vector(s->wide, n));
	return status ? status : sp_compute_copy_out(w->bench->compute, host, s->wide ? s->wide : device, (size_t)n * sizeof *host);
}

/* Documents of all ranks, [ranks][batch][chunk]. */
static int copy_documents(struct work *w, void *device, int64_t chunk)
{
	int status = SP_OK;
	for (int64_t r = 0; r < w->padded / chunk; r++)
		for (int64_t b = 0; b < w->batch && !status; b++)
			status = sp_compute_copy_in(w->bench->compute,
			                            (char *)device + (size_t)((r * w->batch + b) * chunk) * sizeof(int32_t),
			                            w->whole.doc + b * w->padded + r * chunk, (size_t)chunk * sizeof(int32_t));
	return status;
}

static int side_fill(struct work *w, struct side *s, int64_t first)
{
	int status = copy_part(w, s, s->qkv, w->whole.qkv, 3 * w->hidden, first);
	if (!status)
		status = copy_part(w, s, s->dout, w->whole.dout, w->hidden, first);
	if (!status)
		status = copy_documents(w, s->doc, s->chunk);
	return status ? status : sp_compute_copy_in(w->bench->compute, s->sample, w->whole.sample,
	                                            (size_t)w->batch * sizeof(uint32_t));
}

/* ---- what projects sequences ---- */

static int64_t weight_columns(const struct sp_attention_shape_host *s)
{
	return s->choice.linformer_k * (s->choice.linformer_per_head ? s->heads : 1);
}

/* Weights such that a projected row is about as large as a token's. */
static int fill_weights(struct work *w, void *device, int64_t n, uint64_t stream)
{
	const float scale = 0x1p-31f / sqrtf((float)w->length);
	float *x = malloc((size_t)n * sizeof *x);
	struct sp_rng rng;
	if (!x)
		return sp_fail(SP_ERR_MEMORY, "out of memory for %lld weights", (long long)n);
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, stream, 0);
	for (int64_t i = 0; i < n; i++)
		x[i] = ((float)sp_rng_u32(&rng) - 0x1p31f) * scale;
	int status = sp_compute_copy_in(w->bench->compute, device, x, (size_t)n * sizeof *x);
	free(x);
	return status;
}

/* The same on all ranks; gradients begin at 0. */
static int make_weights(struct work *w, const struct sp_attention_shape_host *shape, struct side *s)
{
	const int64_t n = w->padded * weight_columns(shape);
	int status = SP_OK;
	for (int i = 0; i < 2 && !status; i++) {
		status = get(w, s, n, sizeof(float), &s->weights[i]);
		if (!status)
			status = get(w, s, n, sizeof(float), &s->dweights[i]);
		if (!status)
			status = fill_weights(w, s->weights[i], n, 4 + (uint64_t)i);
		if (!status)
			status = sp_compute_zero(w->bench->compute, s->dweights[i], (size_t)n * sizeof(float));
	}
	return status;
}

/* ---- what has global tokens ---- */

/* Of whole.doc, (batch, padded), as ranks hold it. */
static void spread_documents(const struct work *w, int64_t chunk, int32_t *doc)
{
	for (int64_t l = 0; l < w->batch * w->padded; l++) {
		const int64_t r = l / (w->batch * chunk), b = l / chunk % w->batch;
		doc[l] = w->whole.doc[b * w->padded + r * chunk + l % chunk];
	}
}

/* n numbers, to memory of the device's. */
static int put(struct work *w, struct side *s, const int32_t *x, int64_t n, void **memory)
{
	int status = get(w, s, n, sizeof *x, memory);
	return status ? status : sp_compute_copy_in(w->bench->compute, *memory, x, (size_t)n * sizeof *x);
}

static int make_globals(struct work *w, const struct sp_attention_shape_host *shape, struct side *s)
{
	const int64_t all = w->batch * w->padded, rows = w->batch * s->chunk, slots = w->batch * shape->choice.globals;
	int32_t *host = malloc((size_t)(2 * all + rows + 3 * slots) * sizeof *host);
	if (!host)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the documents of %lld tokens", (long long)all);
	struct sp_globals_cut cut = {
		.batch = w->batch, .chunk = s->chunk, .globals = shape->choice.globals, .ranks = shape->ranks, .rank = shape->rank,
		.doc = host, .read_doc = host + shape->rank * rows, .other = host + all, .read_other = host + 2 * all,
		.global_doc = host + 2 * all + rows, .row = host + 2 * all + rows + slots, .slot = host + 2 * all + rows + 2 * slots,
	};
	spread_documents(w, s->chunk, host);
	for (int64_t b = 0; b < w->batch; b++)
		sp_attention_globals_cut(&cut, b, NULL, 0, -1);
	s->globals = cut.own;
	int status = put(w, s, cut.global_doc, slots, &s->global_doc);
	if (!status)
		status = put(w, s, cut.other, all, &s->other);
	if (!status)
		status = put(w, s, cut.row, cut.own, &s->row);
	if (!status)
		status = put(w, s, cut.slot, cut.own, &s->slot);
	free(host);
	return status;
}

/* ---- one kind ---- */

static struct sp_attention_call call_of(const struct kind *k)
{
	const int64_t rows = k->work->padded, cols = weight_columns(&k->setup.shape);
	const struct side *s = &k->side;
	return (struct sp_attention_call){
		.doc = s->doc,
		.whole = k->setup.shape.ranks == 1 ? &k->work->all_whole : k->work->ranks_whole,
		.sample = s->sample,
		.dropout = k->work->dropout,
		.length = k->work->lengths,
		.projections = { sp_matrix(s->weights[0], rows, cols), sp_matrix(s->weights[1], rows, cols),
		                 sp_matrix(s->dweights[0], rows, cols), sp_matrix(s->dweights[1], rows, cols) },
		.globals = { s->global_doc, s->other, NULL, s->row, s->slot, s->globals },
	};
}

static int64_t kept_by(const struct kind *k)
{
	return k->variant->kept ? k->variant->kept(&k->setup.shape) : 0;
}

static struct sp_attention_state state_of(const struct kind *k)
{
	const struct work *w = k->work;
	const int64_t t = w->batch * k->side.chunk;
	return (struct sp_attention_state){
		.qkv = sp_matrix_of(k->side.qkv, t, 3 * w->hidden, k->side.element),
		.o = sp_matrix_of(k->side.o, t, w->hidden, k->side.element),
		.lse = sp_matrix(k->side.lse, w->batch * w->heads, k->side.chunk),
		.scores = sp_matrix(k->side.scores, t * w->heads, w->padded),
		.kept = sp_matrix(k->side.kept, 1, kept_by(k)),
	};
}

static int run(void *context)
{
	struct kind *k = context;
	const struct work *w = k->work;
	const struct sp_attention_call call = call_of(k);
	const struct sp_attention_state state = state_of(k);
	const int64_t t = w->batch * k->side.chunk;
	const struct sp_comm_counters before = sp_comm_counters(w->bench->world);
	int status = k->backward ? k->variant->backward(k->state, &call, &state, sp_matrix_of(k->side.dout, t, w->hidden, k->side.element),
	                                                sp_matrix_of(k->side.dqkv, t, 3 * w->hidden, k->side.element)) :
	                           k->variant->forward(k->state, &call, &state);
	const struct sp_comm_counters after = sp_comm_counters(w->bench->world);
	k->exposed[k->runs++] = after.exposed - before.exposed;
	k->sent += after.bytes - before.bytes;
	return status;
}

static void kind_release(struct kind *k)
{
	if (k->state)
		k->variant->destroy(k->state);
	free(k->exposed);
	sp_compute_free(k->work->bench->compute, k->memory);
	side_release(k->work, &k->side);
}

/* Of all ranks, or of one that holds whole sequences. SP_ERR_SETTING, unlogged, if the kind cannot do it. */
static int kind_make(struct work *w, const struct sp_attention_variant *variant, int ranks, struct kind *k)
{
	void *counted = NULL;
	*k = (struct kind){ .work = w, .variant = variant };
	k->exposed = calloc((size_t)(w->bench->warm_up + w->bench->repeats) + 2, sizeof *k->exposed);
	if (!k->exposed)
		return sp_fail(SP_ERR_MEMORY, "out of memory for times");
	k->setup = (struct sp_attention_setup){
		.compute = w->bench->compute, .comm = ranks < w->ranks ? NULL : w->bench->world, .overlap = w->bench->settings->parallel.overlap,
	};
	k->setup.shape = (struct sp_attention_shape_host){
		.batch = w->batch, .chunk = ranks == 1 ? w->padded : w->chunk, .heads = w->heads, .head_dim = w->head_dim,
		.ranks = ranks, .rank = ranks == 1 ? 0 : w->rank, .choice = sp_planned_choice(w->bench->settings),
	};
	k->setup.shape.element = sp_attention_element(variant, &k->setup.shape.choice, w->element);
	sp_log_level(SP_LOG_NONE);
	int status = variant->check(&k->setup.shape);
	sp_log_level(SP_LOG_WARNING);
	if (!status && variant->keeps_scores && !sp_compute_has_scores(w->bench->compute))
		status = SP_ERR_SETTING;
	if (!status)
		status = variant->create(&k->setup, &k->arena, &counted);
	if (status)
		return status;
	variant->destroy(counted);
	k->arena = (struct sp_arena){ .size = k->arena.high };
	status = sp_compute_alloc(w->bench->compute, k->arena.size, &k->memory);
	k->arena.base = k->memory;
	if (!status)
		status = variant->create(&k->setup, &k->arena, &k->state);
	if (!status)
		status = side_make(w, k->setup.shape.chunk, variant->keeps_scores, k->setup.shape.element, &k->side);
	if (!status)
		status = get(w, &k->side, kept_by(k), sizeof(float), &k->side.kept);
	if (!status && variant->projects)
		status = make_weights(w, &k->setup.shape, &k->side);
	if (!status && variant->has_globals)
		status = make_globals(w, &k->setup.shape, &k->side);
	return status ? status : side_fill(w, &k->side, ranks == 1 ? 0 : w->rank * w->chunk);
}

/* ---- what is right ---- */

static int copy_results(struct kind *k, float *o, float *lse, float *dqkv)
{
	struct work *w = k->work;
	const int64_t rows = w->batch * k->side.chunk, n = rows * w->hidden;
	int status = copy_back(w, &k->side, k->side.o, n, o);
	if (!status && lse)
		status = sp_compute_copy_out(w->bench->compute, lse, k->side.lse, (size_t)(rows * w->heads) * sizeof *lse);
	return status ? status : copy_back(w, &k->side, k->side.dqkv, 3 * n, dqkv);
}

static int both_ways(struct kind *k)
{
	k->runs = 0;
	k->backward = 0;
	int status = run(k);
	k->backward = 1;
	if (!status)
		status = run(k);
	return status ? status : sp_compute_sync(k->work->bench->compute);
}

/* What a kind makes of whole sequences on one rank, on each rank the whole of it. */
static int run_alone(struct work *w, const struct sp_attention_variant *variant, float *o, float *lse, float *dqkv,
                     float *const dweights[2])
{
	struct kind k;
	int status = kind_make(w, variant, 1, &k);
	const size_t bytes = (size_t)(w->padded * weight_columns(&k.setup.shape)) * sizeof(float);
	if (!status)
		status = both_ways(&k);
	if (!status)
		status = copy_results(&k, o, lse, dqkv);
	for (int i = 0; i < 2 && variant->projects && !status; i++)
		status = sp_compute_copy_out(w->bench->compute, dweights[i], k.side.dweights[i], bytes);
	kind_release(&k);
	return status;
}

/* Inputs that are given in 16 bits are the same to float64. */
static int round_inputs(struct work *w)
{
	const int64_t n = w->batch * w->padded * w->hidden;
	struct side s;
	int status = side_make(w, w->padded, 0, w->element, &s);
	if (!status)
		status = side_fill(w, &s, 0);
	if (!status)
		status = copy_back(w, &s, s.qkv, 3 * n, w->whole.qkv);
	if (!status)
		status = copy_back(w, &s, s.dout, n, w->whole.dout);
	side_release(w, &s);
	return status;
}

/* `full`; then sampled rows against float64. */
static int make_reference(struct work *w)
{
	const struct sp_attention_variant *full = sp_attention_find("full");
	int status = full ? run_alone(w, full, w->whole.o, w->whole.lse, w->whole.dqkv, NULL) : SP_ERR_ABSENT;
	if (status)
		return status;
	double error = sp_bench_exact_error(&w->whole);
	status = sp_bench_most(w->bench->world, &error);
	if (!status) {
		sp_bench_about(w->bench->output, "full against float64", "%.1e on sampled rows (bound %.0e)", error, bound(w));
		sp_bench_verdict(w->bench->output, "full attention against float64", error, bound(w));
	}
	return status;
}

/* Host copies of what whole sequences give: what a kind has to equal. */
struct wanted {
	float *o, *dqkv, *dweights[2];
};

static void compare_part(const struct work *w, const float *part, const float *whole, int64_t chunk, int64_t cols,
                         struct sp_bench_difference *d)
{
	const int64_t first = chunk == w->padded ? 0 : w->rank * chunk;
	for (int64_t b = 0; b < w->batch; b++)
		for (int64_t i = 0; i < chunk * cols && first * cols + i < w->length * cols; i++)
			sp_bench_differ(d, part[b * chunk * cols + i], whole[(b * w->padded + first) * cols + i]);
}

/* A rank has the gradients of the weights of its own tokens' positions. */
static int compare_weights(struct kind *k, const struct wanted *wanted, struct sp_bench_difference *d)
{
	const struct work *w = k->work;
	const int64_t cols = weight_columns(&k->setup.shape), chunk = k->side.chunk, at = k->setup.shape.rank * chunk * cols;
	float *own = malloc((size_t)(chunk * cols) * sizeof *own);
	int status = own ? SP_OK : sp_fail(SP_ERR_MEMORY, "out of memory for gradients of weights");
	for (int i = 0; i < 2 && !status; i++) {
		status = sp_compute_copy_out(w->bench->compute, own, (float *)k->side.dweights[i] + at,
		                             (size_t)(chunk * cols) * sizeof *own);
		for (int64_t e = 0; e < chunk * cols && !status; e++)
			sp_bench_differ(d, own[e], wanted->dweights[i][at + e]);
	}
	free(own);
	return status;
}

/* Over all ranks: the largest of |x - x wanted| / |x wanted| of outputs, gradients, and those of weights if there are any. */
static int agree(struct work *w, const struct sp_bench_difference d[3], double *error)
{
	double sums[6];
	for (int i = 0; i < 3; i++) {
		sums[2 * i] = d[i].wrong;
		sums[2 * i + 1] = d[i].size;
	}
	int status = sp_comm_all_reduce(w->bench->world, sums, 6, SP_F64, SP_SUM);
	*error = 0;
	for (int i = 0; i < 3; i++) {
		const struct sp_bench_difference all = { sums[2 * i], sums[2 * i + 1] };
		*error = isnan(all.wrong) || isnan(*error) ? NAN : fmax(*error, sp_bench_relative(&all));
	}
	return status;
}

static int compare(struct kind *k, const struct wanted *wanted, double *error)
{
	struct work *w = k->work;
	const size_t rows = (size_t)(w->batch * k->side.chunk), h = (size_t)w->hidden;
	float *o = malloc(rows * h * sizeof *o), *dqkv = malloc(3 * rows * h * sizeof *dqkv);
	struct sp_bench_difference d[3] = { { 0 } };
	int status = o && dqkv ? copy_results(k, o, NULL, dqkv) : sp_fail(SP_ERR_MEMORY, "out of memory for results");
	if (!status) {
		compare_part(w, o, wanted->o, k->side.chunk, w->hidden, &d[0]);
		compare_part(w, dqkv, wanted->dqkv, k->side.chunk, 3 * w->hidden, &d[1]);
		status = k->variant->projects ? compare_weights(k, wanted, &d[2]) : SP_OK;
	}
	if (!status)
		status = agree(w, d, error);
	free(o);
	free(dqkv);
	return status;
}

/* Its own one-rank form. */
static int compare_with_itself(struct kind *k, double *error)
{
	struct work *w = k->work;
	const size_t values = (size_t)(w->batch * w->padded * w->hidden), n = (size_t)(w->padded * weight_columns(&k->setup.shape));
	float *o = malloc(values * sizeof *o), *dqkv = malloc(3 * values * sizeof *dqkv), *weights = malloc(2 * n * sizeof *weights);
	const struct wanted wanted = { o, dqkv, { weights, weights + n } };
	int status = o && dqkv && weights ? run_alone(w, k->variant, o, NULL, dqkv, wanted.dweights) :
	                                    sp_fail(SP_ERR_MEMORY, "out of memory for attention on one rank");
	if (!status)
		status = compare(k, &wanted, error);
	free(o);
	free(dqkv);
	free(weights);
	return status;
}

/* Another model than full attention: one rank makes the same of it as several. */
static int is_itself(const struct sp_attention_variant *variant)
{
	return variant->projects || variant->has_globals;
}

static int judge(struct kind *k, double *error)
{
	const struct wanted full = { .o = k->work->whole.o, .dqkv = k->work->whole.dqkv };
	return is_itself(k->variant) ? compare_with_itself(k, error) : compare(k, &full, error);
}

/* ---- measuring ---- */

static const struct sp_bench_column columns[] = {
	{ "kind", "", 10, SP_BENCH_WORDS }, { "pass", "", 8, SP_BENCH_WORDS }, { "min", "ms", 9, 2 },
	{ "avg", "ms", 9, 2 },              { "max", "ms", 9, 2 },             { "spread", "%", 7, 1 },
	{ "rate", "GFLOP/s", 8, 1 },        { "of gemm", "%", 8, 1 },          { "exposed", "ms", 8, 2 },
	{ "of time", "%", 8, 1 },           { "sent", "bytes", 12, 0 },        { "formula", "bytes", 12, 0 },
	{ "buffers", "MiB", 8, 2 },         { "peak", "MiB", 8, 2 },           { "error", "", 9, SP_BENCH_TINY },
	{ NULL },
};

struct figures {
	struct sp_bench_times times;
	double flops, exposed, sent, formula;
};

/* What each query meets: all tokens; or projected rows, the making of which is as much work again; or neighbours and global
 * tokens, which meet all. */
static double met(const struct kind *k)
{
	const struct sp_attention_choice *c = &k->setup.shape.choice;
	if (k->variant->has_globals)
		return fmin((double)k->work->length, 2 * (double)c->window + 1) + 2 * (double)c->globals;
	return k->variant->projects ? 2 * (double)k->setup.shape.choice.linformer_k : (double)k->work->length;
}

/* The sent bytes of the rank that sends most, and what its formula says of it; every rank's own are compared. */
static int measure_pass(struct kind *k, int backward, struct figures *f)
{
	const struct work *w = k->work;
	const struct sp_bench_timing timing = sp_bench_timing(w->bench);
	k->backward = backward;
	k->sent = 0;
	k->runs = 0;
	int status = sp_bench_time(&timing, run, k, &f->times);
	if (status)
		return status;
	const uint64_t formula = backward ? k->variant->sent_backward(&k->setup.shape) :
	                                    k->variant->sent_forward(&k->setup.shape);
	double most[3] = { sp_bench_median(k->exposed + w->bench->warm_up, w->bench->repeats),
		               (double)k->sent / (double)k->runs, (double)formula * sizeof(float) };
	double off = fabs(most[1] - most[2]);
	status = sp_comm_all_reduce(w->bench->world, most, 3, SP_F64, SP_MAX);
	if (!status)
		status = sp_bench_most(w->bench->world, &off);
	f->exposed = most[0];
	f->sent = most[1];
	f->formula = most[2];
	f->flops = (backward ? 8.0 : 4.0) * (double)(w->batch * w->hidden) * (double)w->length * met(k);
	if (!status) {
		char what[64];
		snprintf(what, sizeof what, "%s %s: bytes sent", k->variant->name, backward ? "backward" : "forward");
		sp_bench_verdict(w->bench->output, what, off, 0);
	}
	return status;
}

static void print(struct kind *k, const char *pass, const struct figures *f, double error)
{
	const struct work *w = k->work;
	const double rate = f->flops / f->times.most, mib = 1048576;
	const struct sp_bench_cell cells[] = {
		sp_bench_text(k->variant->name), sp_bench_text(pass), sp_bench_number(1e3 * f->times.least),
		sp_bench_number(1e3 * f->times.mean), sp_bench_number(1e3 * f->times.most), sp_bench_number(100 * f->times.spread),
		sp_bench_number(1e-9 * rate), sp_bench_number(100 * rate / w->gemm), sp_bench_number(1e3 * f->exposed),
		sp_bench_number(100 * f->exposed / f->times.most), sp_bench_number(f->sent), sp_bench_number(f->formula),
		sp_bench_number((double)k->arena.high / mib), sp_bench_number((double)(k->arena.high + k->side.bytes) / mib),
		sp_bench_number(error),
	};
	sp_bench_row(w->bench->output, cells);
}

static void print_both(struct kind *k, const struct figures *f, const struct figures *b, double error)
{
	const struct figures sum = {
		.times = { .least = f->times.least + b->times.least, .mean = f->times.mean + b->times.mean,
		           .most = f->times.most + b->times.most, .spread = fmax(f->times.spread, b->times.spread) },
		.flops = f->flops + b->flops, .exposed = f->exposed + b->exposed, .sent = f->sent + b->sent,
		.formula = f->formula + b->formula,
	};
	char what[64];
	print(k, "forward", f, NAN);
	print(k, "backward", b, NAN);
	print(k, "both", &sum, error);
	snprintf(what, sizeof what, "%s attention against %s", k->variant->name, is_itself(k->variant) ? "one rank" : "full");
	sp_bench_verdict(k->work->bench->output, what, error, bound(k->work));
}

static int measure_kind(struct work *w, const char *name)
{
	struct figures f, b;
	struct kind k;
	double error = NAN;
	int status = kind_make(w, sp_attention_find(name), w->ranks, &k);
	if (status == SP_ERR_SETTING) {
		kind_release(&k);
		sp_bench_about(w->bench->output, name, "not with %d ranks and %lld heads", w->ranks, (long long)w->heads);
		return SP_OK;
	}
	if (!status)
		status = both_ways(&k);
	if (!status)
		status = judge(&k, &error);
	if (!status)
		status = measure_pass(&k, 0, &f);
	if (!status)
		status = measure_pass(&k, 1, &b);
	if (!status)
		print_both(&k, &f, &b, error);
	kind_release(&k);
	return status;
}

static int prepare(struct work *w)
{
	struct sp_bench *bench = w->bench;
	const struct sp_model_config c = sp_planned_config(bench->settings);
	w->whole = (struct sp_bench_exact){ .batch = w->batch, .length = w->length, .padded = w->padded, .heads = w->heads,
		                                .head_dim = w->head_dim, .dropout = w->dropout };
	int status = sp_bench_exact_make(&w->whole);
	if (!status && w->element != SP_F32)
		status = round_inputs(w);
	if (!status)
		status = sp_rate_measure(bench->compute, bench->world, &c, w->element, w->batch * w->chunk, &w->gemm);
	if (status)
		return status;
	sp_bench_about(bench->output, "attention", "%lld sequences of %lld tokens over %d ranks, %lld a rank; %lld heads of %lld; "
	               "%s; dropout %g; transfers %s", (long long)w->batch, (long long)w->length, w->ranks, (long long)w->chunk,
	               (long long)w->heads, (long long)w->head_dim, sp_dtype_name(w->element), bench->settings->model.attention_dropout,
	               bench->settings->parallel.overlap ? "overlap" : "wait");
	sp_bench_about(bench->output, "gemm", "%.1f GFLOP/s in %s, all ranks at once, at the model's own shapes", 1e-9 * w->gemm,
	               sp_setup_precision(bench->settings));
	return make_reference(w);
}

/* Sequences are one document; what is behind it, up to equal parts, is padding. */
static int make_lengths(struct work *w)
{
	w->lengths = malloc((size_t)w->batch * sizeof *w->lengths);
	w->ranks_whole = malloc((size_t)w->ranks);
	if (!w->lengths || !w->ranks_whole)
		return sp_fail(SP_ERR_MEMORY, "out of memory for %lld lengths", (long long)w->batch);
	for (int64_t b = 0; b < w->batch; b++)
		w->lengths[b] = (int32_t)w->length;
	for (int r = 0; r < w->ranks; r++)
		w->ranks_whole[r] = (r + 1) * w->chunk <= w->length;
	w->all_whole = w->padded == w->length;
	return SP_OK;
}

int sp_bench_attention(struct sp_bench *bench)
{
	const struct sp_settings *s = bench->settings;
	struct work w = {
		.bench = bench, .rank = sp_comm_rank(bench->world), .ranks = sp_comm_size(bench->world),
		.batch = s->train.micro_batch, .length = s->train.sequence_length, .heads = s->model.heads,
		.element = sp_planned_element(s), .hidden = s->model.hidden, .head_dim = s->model.hidden / s->model.heads,
		.dropout = { .key = { 1, 2 }, .keep = (uint32_t)lround(65536 * (1 - s->model.attention_dropout)) },
	};
	const struct sp_compute_needs needs = { .dtype = w.element, .head_dim = w.head_dim, .attention_dtype = w.element,
		                                    .attention_dropout = (float)s->model.attention_dropout };
	int status = sp_compute_supports(bench->compute, &needs);
	if (status)
		return status;
	w.chunk = sp_shard_of(w.length, w.ranks, w.rank, sp_compute_chunk_multiple(bench->compute)).chunk;
	w.padded = w.chunk * w.ranks;
	status = make_lengths(&w);
	if (!status)
		status = prepare(&w);
	if (!status)
		sp_bench_table(bench->output, "attention of one layer, one pass over a micro-batch", columns);
	for (int i = 0; sp_attention_name(i) && !status; i++)
		if (sp_bench_wants(bench, sp_attention_name(i)))
			status = measure_kind(&w, sp_attention_name(i));
	sp_bench_exact_free(&w.whole);
	free(w.ranks_whole);
	free(w.lengths);
	return status;
}
