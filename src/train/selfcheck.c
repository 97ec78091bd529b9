#include "config.h"

#include "train/selfcheck.h"

#include "base/log.h"
#include "base/size.h"
#include "train/planned.h"
#include "train/setup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rounding explains so much; where products round their operands to tf32, 2^13 times as coarse, or activations are bf16, 2^16 times, or fp16, 2^13 times,
 * a difference in the last bit becomes one of that size now and then. */
static const double loss_bounds[] = { 1e-6, 1e-4, 1e-3, 2e-4 }, gradient_bounds[] = { 1e-5, 1e-3, 2e-2, 4e-3 },
                    total_bounds[] = { 1e-6, 1e-4, 1e-3, 2e-4 };

/* Any step will do; its number is part of the dropout's key. A scaled loss keeps small gradients in the range of fp16, and changes
 * no other number but its exponent. */
enum { STEP = 3, SCALE = 1024 };

/* ---- the small copy ---- */

static void shrink_model(struct sp_settings *s)
{
	const int64_t head_dim = s->model.hidden / s->model.heads, hidden = s->model.hidden;
	s->model.layers = sp_min(s->model.layers, sp_max(2, s->parallel.pipeline * s->parallel.virtual_stages));
	s->model.heads = sp_min(s->model.heads, sp_max(2, s->parallel.tensor));
	s->model.hidden = s->model.heads * head_dim;
	s->model.intermediate = sp_max(1, s->model.intermediate * s->model.hidden / hidden);
	s->model.vocab_size = s->model.vocab_size ? sp_min(s->model.vocab_size, 509) : 509;
	s->model.vocab_size = sp_max(s->model.vocab_size, 16);
	s->model.dropout = s->model.dropout > 0 ? s->model.dropout : 0.1;
	if (s->backend.attention_kernel == SP_KERNEL_FLASH && s->model.attention_dropout == 0)
		s->model.attention_dropout = 0.1; /* other kernels are those of steps that drop nothing, and are what is to be checked */
}

/* Two micro-batches for each stage on each data replica; a length that the ranks do not divide, so that the last is padded. */
static struct sp_settings shrink(const struct sp_settings *settings, int ranks)
{
	struct sp_settings s = *settings;
	s.parallel.tensor = ranks % s.parallel.tensor == 0 ? s.parallel.tensor : 1;
	ranks /= (int)s.parallel.tensor;
	if (ranks % s.parallel.pipeline != 0)
		s.parallel.pipeline = s.parallel.virtual_stages = 1;
	ranks /= (int)s.parallel.pipeline;
	shrink_model(&s);
	snprintf(s.data.source, sizeof s.data.source, "synthetic");
	s.checkpoint.init[0] = s.checkpoint.dir[0] = 0; /* the copy has weights of its own */
	s.parallel.sequence = ranks % s.parallel.sequence == 0 ? s.parallel.sequence : ranks;
	s.train.sequence_length = sp_min(s.train.sequence_length, 48 * s.parallel.sequence + 7);
	s.model.max_positions = s.train.sequence_length;
	if (s.data.packing)
		s.data.short_seq_prob = 1; /* several samples in a sequence */
	s.model.linformer_k = sp_min(s.model.linformer_k, 29);
	s.model.window = sp_min(s.model.window, 60); /* more than a rank's share, less than all */
	s.model.globals = sp_min(s.model.globals, 8);
	s.train.micro_batch = sp_min(s.train.micro_batch, 2);
	s.train.global_batch = 2 * s.parallel.pipeline * s.train.micro_batch * (ranks / s.parallel.sequence);
	s.train.eval_interval = 0;
	return s;
}

static struct sp_settings unsplit(const struct sp_settings *split)
{
	struct sp_settings s = *split;
	s.parallel.sequence = s.parallel.tensor = s.parallel.pipeline = s.parallel.virtual_stages = 1;
	const struct sp_model_config config = sp_planned_config(split);
	if (!config.linformer_k && !config.window) /* of these one rank makes the same as several */
		snprintf(s.parallel.attention, sizeof s.parallel.attention, "full");
	s.train.micro_batch = s.train.global_batch;
	return s;
}

/* ---- one step of each ---- */

struct result {
	double loss;
	float *gradients; /* host */
	struct sp_parameters table;
};

static void free_result(struct result *r)
{
	free(r->gradients);
	sp_parameters_destroy(&r->table);
}

/* The sums over all ranks, on all of them. */
static int sum_gradients(struct sp_setup *setup)
{
	float *gradients = sp_model_gradients(setup->model);
	int status = sp_reduce_scatter(setup->reduce, gradients);
	if (!status)
		status = sp_setup_summed(setup, gradients);
	for (int i = 0; i < sp_reduce_buckets(setup->reduce) && !status; i++)
		status = sp_reduce_gather_start(setup->reduce, gradients, i);
	return status ? status : sp_reduce_gather_finish(setup->reduce);
}

/* The whole model's, on all ranks: each part from the ranks of the first sequence, once. */
static int spread_gradients(struct sp_setup *setup, const float *own, struct result *result)
{
	const struct sp_grid_point *at = &setup->grid.place;
	if (at->at[SP_AXIS_DATA] == 0 && at->at[SP_AXIS_SEQUENCE] == 0)
		sp_parameters_spread(sp_model_parameters(setup->model), own, &result->table, result->gradients);
	return sp_comm_all_reduce(setup->world, result->gradients, result->table.elements, SP_F32, SP_SUM);
}

static int take_gradients(struct sp_setup *setup, struct result *result)
{
	int status = sp_parameters_create(&setup->config, &result->table);
	if (status)
		return status;
	const size_t bytes = (size_t)sp_model_parameters(setup->model)->elements * sizeof(float);
	float *own = malloc(bytes);
	result->gradients = calloc((size_t)result->table.elements, sizeof(float));
	if (!result->gradients || !own)
		status = sp_fail(SP_ERR_MEMORY, "out of memory for %zu bytes of gradients", bytes);
	if (!status)
		status = sp_compute_copy_out(setup->compute, own, sp_model_gradients(setup->model), bytes);
	for (int64_t i = 0; !status && i < sp_model_parameters(setup->model)->elements; i++)
		own[i] /= SCALE;
	if (!status)
		status = spread_gradients(setup, own, result);
	free(own);
	return status;
}

static int run(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *world,
               struct result *result)
{
	struct sp_setup setup;
	struct sp_outcome outcome = { .loss = NAN };
	int status = sp_setup_open(settings, compute, world, &setup);
	if (!status)
		status = sp_setup_pass(&setup, SP_TRAIN, STEP, 1, SCALE, &outcome);
	if (!status)
		status = sum_gradients(&setup);
	if (!status)
		status = take_gradients(&setup, result);
	result->loss = outcome.loss;
	if (!status || sp_comm_size(world) == 1)
		sp_setup_close(&setup);
	return status;
}

/* ---- comparing ---- */

struct difference {
	double norm, of; /* |g|, |g - h| */
};

static struct difference differ(const float *h, const float *g, int64_t n)
{
	double norm = 0, of = 0;
	for (int64_t i = 0; i < n; i++) {
		norm += (double)g[i] * g[i];
		of += ((double)h[i] - g[i]) * ((double)h[i] - g[i]);
	}
	return (struct difference){ sqrt(norm), sqrt(of) };
}

/* Not `larger than`: what is not a number is not within either. */
static int within(double x, double bound)
{
	return x <= bound;
}

static int compare_gradients(const struct result *split, const struct result *whole, int precision, FILE *out)
{
	int bad = 0;
	const double all = differ(split->gradients, whole->gradients, whole->table.elements).norm;
	for (int i = 0; i < whole->table.count; i++) {
		const struct sp_parameter *p = &whole->table.entry[i];
		struct difference d = differ(split->gradients + p->offset, whole->gradients + p->offset, p->rows * p->cols);
		int good = within(d.of, fmax(gradient_bounds[precision] * d.norm, total_bounds[precision] * all));
		fprintf(out, "%-60s %10.3e %10.1e %10.1e%s\n", p->name, d.norm, d.norm > 0 ? d.of / d.norm : 0, d.of / all,
		        good ? "" : "  TOO LARGE");
		bad += !good;
	}
	return bad;
}

static int compare(const struct result *split, const struct result *whole, int precision, FILE *out)
{
	double loss = fabs(split->loss - whole->loss) / fabs(whole->loss);
	int bad = !within(loss, loss_bounds[precision]);
	fprintf(out, "%-60s %10s %10s %10s\n", "", "size", "relative", "of all");
	fprintf(out, "%-60s %10.6f %10.1e%s\n", "loss", whole->loss, loss, bad ? "  TOO LARGE" : "");
	bad += compare_gradients(split, whole, precision, out);
	fprintf(out, "the split step %s the unsplit one (bounds: loss %g, gradients %g or %g of all)\n",
	        bad ? "differs from" : "equals", loss_bounds[precision], gradient_bounds[precision], total_bounds[precision]);
	if (fflush(out) != 0)
		return sp_fail(SP_ERR_IO, "standard output cannot be written");
	return bad ? sp_fail(SP_ERR_NUMERIC, "%d of %d quantities differ by more than rounding explains", bad,
	                     whole->table.count + 1) :
	             SP_OK;
}

/* Rank 0 does the unsplit step, and tells the others what came of it. */
static int judge(const struct sp_settings *split, struct sp_compute *compute, struct sp_comm *world,
                 struct sp_comm *alone, const struct result *result, FILE *out)
{
	int32_t verdict = SP_OK;
	if (sp_comm_rank(world) == 0) {
		struct sp_settings settings = unsplit(split);
		struct result whole = { 0 };
		verdict = run(&settings, compute, alone, &whole);
		if (!verdict)
			verdict = compare(result, &whole, split->train.precision, out);
		free_result(&whole);
	}
	int status = sp_comm_broadcast(world, &verdict, sizeof verdict, 0);
	return status ? status : verdict;
}

static void announce(const struct sp_settings *s, struct sp_comm *world, FILE *out)
{
	int ranks = sp_comm_size(world);
	fprintf(
		out,
		"%d ranks = %lld data x %lld pipeline x %lld sequence x %lld tensor, %s attention; %lld layers, hidden %lld, %lld "
		"sequences of %lld tokens\n",
		ranks, (long long)(ranks / sp_settings_model_ranks(s)), (long long)s->parallel.pipeline,
		(long long)s->parallel.sequence, (long long)s->parallel.tensor, s->parallel.attention, (long long)s->model.layers,
		(long long)s->model.hidden, (long long)s->train.global_batch, (long long)s->train.sequence_length);
}

int sp_selfcheck(const struct sp_settings *settings, struct sp_comm *world, FILE *out)
{
	struct sp_settings small = shrink(settings, sp_comm_size(world));
	struct sp_compute *compute = NULL;
	struct sp_comm *alone = NULL;
	struct result result = { 0 };
	int status = sp_setup_open_device(settings, world, &compute);
	if (!status)
		status = sp_comm_split(world, sp_comm_rank(world), 0, "alone", &alone);
	if (!status && sp_comm_rank(world) == 0)
		announce(&small, world, out);
	if (!status)
		status = run(&small, compute, world, &result);
	if (!status)
		status = judge(&small, compute, world, alone, &result, out);
	free_result(&result);
	if (!status || sp_comm_size(world) == 1)
		sp_comm_close(alone);
	sp_setup_close_device(compute, world, status);
	return status;
}
