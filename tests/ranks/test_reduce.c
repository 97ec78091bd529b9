/* The gradient reduction and AdamW on shares of it, over any number of ranks, against plain loops in float64. */
#include "config.h"

#include "support.h"

#include "base/clock.h"
#include "base/rng.h"
#include "base/size.h"
#include "parallel/reduce.h"
#include "ranks/ranks.h"
#include "train/optimizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_ranks ranks;

/* Sizes around a grain of 16 x ranks and around a bucket. */
static const int64_t sizes[] = { 0, 1, 15, 16, 17, 100, 640, 641, 1279, 4096, 5003 };
enum { SIZES = sizeof sizes / sizeof *sizes, BUCKET = 640 };

static float *buffer(int64_t n)
{
	void *memory;
	if (sp_compute_alloc(ranks.compute, (size_t)n * sizeof(float), &memory))
		exit(1);
	return memory;
}

static float value_of(int rank, int64_t i)
{
	struct sp_rng rng;
	sp_rng_start(&rng, 3, SP_RNG_SYNTHETIC, (uint64_t)rank, (uint64_t)i);
	return (float)sp_rng_normal(&rng);
}

static double sum_of(int64_t i)
{
	double sum = 0;
	for (int r = 0; r < ranks.size; r++)
		sum += value_of(r, i);
	return sum;
}

static int gather(struct sp_reduce *r, float *flat)
{
	int bad = 0;
	for (int i = 0; i < sp_reduce_buckets(r); i++)
		bad |= sp_reduce_gather_start(r, flat, i) != 0;
	return bad | (sp_reduce_gather_finish(r) != 0);
}

static int close_to(double got, double expected)
{
	return fabs(got - expected) <= 1e-5 * (fabs(expected) + 1);
}

static void every_element_has_one_owner(void **state)
{
	(void)state;
	int bad = 0;
	for (int s = 0; s < SIZES; s++) {
		struct sp_reduce *r = NULL;
		int64_t *owners = calloc((size_t)sizes[s] + 1, sizeof *owners), total = 0;
		bad |= sp_reduce_create(ranks.compute, ranks.world, &(struct sp_reduce_shape){ .elements = sizes[s], .bucket = BUCKET }, &r) != 0;
		for (int i = 0; !bad && i < sp_reduce_buckets(r); i++) {
			struct sp_reduce_piece piece = sp_reduce_own(r, i);
			total += piece.count;
			for (int64_t j = 0; j < piece.count; j++)
				owners[piece.offset + j]++;
		}
		bad |= total != sp_reduce_owned(r);
		bad |= sp_comm_all_reduce(ranks.world, owners, sizes[s], SP_I64, SP_SUM) != 0;
		for (int64_t j = 0; j < sizes[s]; j++)
			bad |= owners[j] != 1;
		sp_reduce_destroy(r);
		free(owners);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static void scatter_then_gather_is_the_sum_on_all_ranks(void **state)
{
	(void)state;
	int bad = 0;
	for (int s = 0; s < SIZES; s++) {
		struct sp_reduce *r = NULL;
		float *flat = buffer(sizes[s] + 1);
		for (int64_t i = 0; i < sizes[s]; i++)
			flat[i] = value_of(ranks.rank, i);
		flat[sizes[s]] = 77; /* what lies behind the buffer is not ours */
		bad |= sp_reduce_create(ranks.compute, ranks.world, &(struct sp_reduce_shape){ .elements = sizes[s], .bucket = BUCKET }, &r) != 0;
		bad |= sp_reduce_scatter(r, flat) != 0;
		for (int b = 0; b < sp_reduce_buckets(r); b++) {
			struct sp_reduce_piece own = sp_reduce_own(r, b);
			for (int64_t i = own.offset; i < own.offset + own.count; i++)
				bad |= !close_to(flat[i], sum_of(i));
		}
		bad |= gather(r, flat);
		for (int64_t i = 0; i < sizes[s]; i++)
			bad |= !close_to(flat[i], sum_of(i));
		bad |= flat[sizes[s]] != 77;
		sp_reduce_destroy(r);
		sp_compute_free(ranks.compute, flat);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static void bytes_sent_equal_the_formula(void **state)
{
	(void)state;
	int bad = 0;
	for (int s = 0; s < SIZES; s++) {
		struct sp_reduce *r = NULL;
		float *flat = buffer(sizes[s]);
		memset(flat, 0, (size_t)sizes[s] * sizeof *flat);
		bad |= sp_reduce_create(ranks.compute, ranks.world, &(struct sp_reduce_shape){ .elements = sizes[s], .bucket = BUCKET }, &r) != 0;
		const uint64_t padded = (uint64_t)sp_round_up(sizes[s], 16 * ranks.size);
		const uint64_t expected = (uint64_t)(ranks.size - 1) * padded / (uint64_t)ranks.size * sizeof *flat;
		uint64_t before = sp_comm_counters(ranks.world).bytes;
		bad |= sp_reduce_scatter(r, flat) != 0;
		bad |= sp_comm_counters(ranks.world).bytes - before != expected;
		before = sp_comm_counters(ranks.world).bytes;
		bad |= gather(r, flat);
		bad |= sp_comm_counters(ranks.world).bytes - before != expected;
		sp_reduce_destroy(r);
		sp_compute_free(ranks.compute, flat);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static float *filled(int64_t n)
{
	float *flat = buffer(n + 1);
	for (int64_t i = 0; i < n; i++)
		flat[i] = value_of(ranks.rank, i);
	return flat;
}

/* Of buckets that end at or before `end`, are the own pieces the same, and the same bits in both buffers? */
static int same_pieces(const struct sp_reduce *a, const float *x, const struct sp_reduce *b, const float *y, int64_t end)
{
	int same = 1, i = 0;
	for (; i < sp_reduce_buckets(a) && sp_reduce_bucket(a, i).offset < end; i++) {
		const struct sp_reduce_piece p = sp_reduce_own(a, i);
		const struct sp_reduce_piece q = i < sp_reduce_buckets(b) ? sp_reduce_own(b, i) : (struct sp_reduce_piece){ -1, -1 };
		same = same && sp_reduce_bucket(a, i).offset + sp_reduce_bucket(a, i).count <= end;
		same = same && p.offset == q.offset && p.count == q.count;
		same = same && memcmp(x + p.offset, y + p.offset, (size_t)p.count * sizeof *x) == 0;
	}
	return same && (i == 0 || sp_reduce_bucket(a, i - 1).offset + sp_reduce_bucket(a, i - 1).count == end);
}

static void what_lies_before_a_cut_is_summed_alike_whatever_follows(void **state)
{
	(void)state;
	static const int64_t cuts[] = { 1, 640, 1279, 2000 }, tails[] = { 0, 1, 333, 3000 };
	int bad = 0;
	for (int c = 0; c < 4; c++) {
		const struct sp_reduce_shape alone = { .elements = cuts[c], .bucket = BUCKET };
		struct sp_reduce *expected = NULL;
		float *sums = filled(cuts[c]);
		bad |= sp_reduce_create(ranks.compute, ranks.world, &alone, &expected) || sp_reduce_scatter(expected, sums);
		for (int t = 0; t < 4; t++) {
			const int64_t cut[] = { 0, cuts[c], cuts[c] + tails[t], cuts[c] + 5000 };
			const struct sp_reduce_shape shape = { cuts[c] + tails[t], cut, 4, .bucket = BUCKET };
			struct sp_reduce *r = NULL;
			float *flat = filled(shape.elements);
			bad |= sp_reduce_create(ranks.compute, ranks.world, &shape, &r) || sp_reduce_scatter(r, flat);
			bad |= !same_pieces(expected, sums, r, flat, cuts[c]);
			bad |= sp_reduce_owned(r) != sp_reduce_owned_of(&shape, ranks.size, ranks.rank);
			bad |= gather(r, flat);
			for (int64_t i = 0; i < shape.elements; i++)
				bad |= !close_to(flat[i], sum_of(i));
			sp_reduce_destroy(r);
			sp_compute_free(ranks.compute, flat);
		}
		sp_reduce_destroy(expected);
		sp_compute_free(ranks.compute, sums);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Fills from the end downwards, saying so after each part; the parts differ from rank to rank. */
static int fill_and_sum(struct sp_reduce *r, float *flat, int64_t n)
{
	int bad = 0;
	for (int64_t at = n; at > 0;) {
		const int64_t next = sp_max(0, at - 1 - (at * 7 + ranks.rank * 131) % 900);
		for (int64_t i = next; i < at; i++)
			flat[i] = value_of(ranks.rank, i);
		bad |= sp_reduce_ready(r, flat, next) != 0;
		for (int i = 0; i < ranks.rank; i++)
			bad |= sp_reduce_progress(r) != 0;
		at = next;
	}
	return bad | (sp_reduce_scatter(r, flat) != 0);
}

static void sums_begun_early_have_the_same_bits(void **state)
{
	(void)state;
	int bad = 0;
	for (int s = 0; s < SIZES; s++) {
		const int64_t cut = 1000;
		const struct sp_reduce_shape shape = { sizes[s], &cut, 1, .bucket = BUCKET };
		struct sp_reduce *late = NULL, *early = NULL;
		float *expected = filled(sizes[s]), *flat = buffer(sizes[s] + 1);
		bad |= sp_reduce_create(ranks.compute, ranks.world, &shape, &late) || sp_reduce_scatter(late, expected);
		bad |= sp_reduce_create(ranks.compute, ranks.world, &shape, &early) != 0;
		for (int round = 0; round < 2; round++) {
			memset(flat, 0, (size_t)sizes[s] * sizeof *flat);
			bad |= fill_and_sum(early, flat, sizes[s]);
			bad |= !same_pieces(late, expected, early, flat, sizes[s]);
		}
		const uint64_t before = sp_comm_counters(ranks.world).bytes;
		bad |= fill_and_sum(early, flat, sizes[s]) || gather(early, flat);
		bad |= sp_comm_counters(ranks.world).bytes - before != sp_reduce_sent_of(&shape, ranks.size);
		sp_reduce_destroy(early);
		sp_reduce_destroy(late);
		sp_compute_free(ranks.compute, flat);
		sp_compute_free(ranks.compute, expected);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static void sums_go_on_while_nobody_waits(void **state)
{
	(void)state;
	enum { N = 64 << 10 };
	struct sp_reduce *r = NULL;
	float *flat = filled(N);
	int bad = sp_reduce_create(ranks.compute, ranks.world, &(struct sp_reduce_shape){ .elements = N, .bucket = 4096 }, &r) != 0;
	bad = bad || sp_reduce_ready(r, flat, sp_reduce_bucket(r, 1).offset);
	const int64_t last = bad ? 0 : sp_reduce_own(r, 1).offset, first = bad ? 0 : sp_reduce_own(r, 0).offset;
	for (double end = sp_clock() + 10; !bad && !close_to(flat[last], sum_of(last)) && sp_clock() < end;)
		bad = sp_reduce_progress(r) != 0;
	for (int i = 1; !bad && i < sp_reduce_buckets(r); i++)
		bad = sp_reduce_own(r, i).count > 0 &&
		      !close_to(flat[sp_reduce_own(r, i).offset], sum_of(sp_reduce_own(r, i).offset));
	bad = bad || flat[first] != value_of(ranks.rank, first) || sp_reduce_times(r).sums_exposed != 0;
	bad |= sp_reduce_scatter(r, flat) != 0 || sp_reduce_times(r).sums <= 0;
	sp_reduce_destroy(r);
	sp_compute_free(ranks.compute, flat);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* ---- AdamW ---- */

/* Two parameters with decay round one without, and gaps between them. */
static struct sp_parameter entries[] = {
	{ .name = "a", .rows = 30, .cols = 40, .decay = 1, .counted = 1, .offset = 0 },
	{ .name = "b", .rows = 1, .cols = 37, .decay = 0, .counted = 1, .offset = 1200 },
	{ .name = "c", .rows = 11, .cols = 100, .decay = 1, .counted = 1, .offset = 1248 },
};
static const struct sp_parameters table = { .entry = entries, .count = 3, .elements = 2352, .values = 2337 };
static const struct sp_optimizer_options options = {
	.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .clip_norm = 30,
};

struct model {
	double w, m, v;
};

/* One element of one parameter through `steps` steps of the textbook. */
static double reference(int64_t i, int decay, int steps, const double *norms)
{
	struct model x = { .w = value_of(100, i) };
	for (int t = 1; t <= steps; t++) {
		double g = 0;
		for (int r = 0; r < ranks.size; r++)
			g += value_of(r + 10 * t, i);
		g *= fmin(1, options.clip_norm / (norms[t - 1] + 1e-6));
		x.m = options.beta1 * x.m + (1 - options.beta1) * g;
		x.v = options.beta2 * x.v + (1 - options.beta2) * g * g;
		double mh = x.m / (1 - pow(options.beta1, t)), vh = x.v / (1 - pow(options.beta2, t));
		x.w -= 0.01 * (mh / (sqrt(vh) + options.eps) + (decay ? options.weight_decay : 0) * x.w);
	}
	return x.w;
}

static void fill(float *flat, int which)
{
	memset(flat, 0, (size_t)table.elements * sizeof *flat);
	for (int p = 0; p < table.count; p++)
		for (int64_t i = 0; i < entries[p].rows * entries[p].cols; i++)
			flat[entries[p].offset + i] = value_of(which, entries[p].offset + i);
}

static double true_norm(int step)
{
	double sum = 0;
	for (int p = 0; p < table.count; p++)
		for (int64_t i = 0; i < entries[p].rows * entries[p].cols; i++) {
			double g = 0;
			for (int r = 0; r < ranks.size; r++)
				g += value_of(r + 10 * step, entries[p].offset + i);
			sum += g * g;
		}
	return sqrt(sum);
}

/* What another group would add to the sums. */
static int add_more(void *context, float *gradients)
{
	const struct sp_reduce *r = context;
	for (int i = 0; i < sp_reduce_buckets(r); i++) {
		const struct sp_reduce_piece own = sp_reduce_own(r, i);
		for (int64_t j = own.offset; j < own.offset + own.count; j++)
			gradients[j] += value_of(ranks.size, j);
	}
	return SP_OK;
}

static void what_another_group_adds_is_in_the_norm(void **state)
{
	(void)state;
	static struct sp_parameter all = { .name = "all", .rows = 1, .cols = 1000, .counted = 1 };
	static const struct sp_parameters one = { .entry = &all, .count = 1, .elements = 1000, .values = 1000 };
	struct sp_optimizer_options more = options;
	struct sp_reduce *reduce = NULL;
	struct sp_optimizer *o = NULL;
	float *values = filled(1000), *gradients = filled(1000);
	struct sp_optimizer_result result = { 0 };
	double expected = 0;
	int bad = sp_reduce_create(ranks.compute, ranks.world, &(struct sp_reduce_shape){ .elements = 1000 }, &reduce) != 0;
	more.summed = add_more;
	more.context = reduce;
	bad = bad || sp_optimizer_create(ranks.compute, ranks.world, reduce, &one, &more, &o);
	bad = bad || sp_optimizer_step(o, values, gradients, 0.01) || sp_optimizer_result(o, &result);
	for (int64_t i = 0; i < 1000; i++)
		expected += pow(sum_of(i) + value_of(ranks.size, i), 2);
	bad = bad || !close_to(result.norm, sqrt(expected));
	sp_optimizer_destroy(o);
	sp_reduce_destroy(reduce);
	sp_compute_free(ranks.compute, gradients);
	sp_compute_free(ranks.compute, values);
	assert_false(test_ranks_agree(&ranks, bad));
}

static int three_steps(float *values, float *gradients, double *norms, int64_t bucket, int whole)
{
	struct sp_reduce *reduce = NULL;
	struct sp_optimizer *o = NULL;
	int bad = sp_reduce_create(ranks.compute, ranks.world, &(struct sp_reduce_shape){ .elements = table.elements, .bucket = bucket, .whole = whole }, &reduce) != 0;
	bad |= sp_optimizer_create(ranks.compute, ranks.world, reduce, &table, &options, &o) != 0;
	fill(values, 100);
	for (int t = 1; t <= 3; t++) {
		fill(gradients, ranks.rank + 10 * t);
		struct sp_optimizer_result result = { 0 };
		bad |= sp_optimizer_step(o, values, gradients, 0.01) | sp_optimizer_result(o, &result);
		norms[t - 1] = result.norm;
	}
	sp_optimizer_destroy(o);
	sp_reduce_destroy(reduce);
	return bad;
}

static void three_adamw_steps_equal_the_textbook_for_any_buckets(void **state)
{
	(void)state;
	static const int64_t buckets[] = { 0, 100, 640 };
	int bad = 0;
	float *values = buffer(table.elements), *gradients = buffer(table.elements);
	for (int b = 0; b < 3; b++) {
		double norms[3];
		bad |= three_steps(values, gradients, norms, buckets[b], 0);
		for (int t = 0; t < 3; t++)
			bad |= fabs(norms[t] - true_norm(t + 1)) > 1e-5 * norms[t];
		for (int p = 0; p < table.count; p++)
			for (int64_t i = 0; i < entries[p].rows * entries[p].cols; i += 7) {
				int64_t at = entries[p].offset + i;
				bad |= fabs(values[at] - reference(at, entries[p].decay, 3, norms)) > 2e-5;
			}
		for (int64_t i = 1237; i < 1248; i++) /* gaps stay zero */
			bad |= values[i] != 0;
	}
	sp_compute_free(ranks.compute, gradients);
	sp_compute_free(ranks.compute, values);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void all_ranks_hold_the_same_bits_after_a_step(void **state)
{
	(void)state;
	float *values = buffer(table.elements), *gradients = buffer(table.elements);
	double norms[3];
	int bad = 0;
	for (int whole = 0; whole < 2; whole++) {
		bad |= three_steps(values, gradients, norms, 0, whole);
		memcpy(gradients, values, (size_t)table.elements * sizeof *values);
		bad |= sp_comm_broadcast(ranks.world, gradients, (size_t)table.elements * sizeof *values, 0) != 0;
		bad |= memcmp(gradients, values, (size_t)table.elements * sizeof *values) != 0;
	}
	sp_compute_free(ranks.compute, gradients);
	sp_compute_free(ranks.compute, values);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void shares_and_all_moments_give_the_same_bits(void **state)
{
	(void)state;
	static const int64_t buckets[] = { 0, 100, 640 };
	float *shares = buffer(table.elements), *all = buffer(table.elements), *gradients = buffer(table.elements);
	double norms[3], again[3];
	int bad = 0;
	for (int b = 0; b < 3; b++) {
		bad |= three_steps(shares, gradients, norms, buckets[b], 0) | three_steps(all, gradients, again, buckets[b], 1);
		bad |= memcmp(norms, again, sizeof norms) != 0;
		bad |= memcmp(shares, all, (size_t)table.elements * sizeof *all) != 0;
	}
	sp_compute_free(ranks.compute, gradients);
	sp_compute_free(ranks.compute, all);
	sp_compute_free(ranks.compute, shares);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void one_bad_gradient_stops_all_ranks_and_changes_nothing(void **state)
{
	(void)state;
	struct sp_reduce *reduce = NULL;
	struct sp_optimizer *o = NULL;
	float *values = buffer(table.elements), *gradients = buffer(table.elements);
	struct sp_optimizer_result result = { .taken = 1 };
	int bad = sp_reduce_create(ranks.compute, ranks.world, &(struct sp_reduce_shape){ .elements = table.elements, .bucket = 0 }, &reduce) != 0;
	bad |= sp_optimizer_create(ranks.compute, ranks.world, reduce, &table, &options, &o) != 0;
	fill(values, 100);
	fill(gradients, ranks.rank);
	if (ranks.rank == ranks.size - 1)
		gradients[2000] = INFINITY;
	bad |= sp_optimizer_step(o, values, gradients, 0.01) | sp_optimizer_result(o, &result);
	bad |= result.taken || isfinite(result.norm) || result.progress.taken != 0;
	fill(gradients, 100);
	bad |= memcmp(gradients, values, (size_t)table.elements * sizeof *values) != 0;
	sp_optimizer_destroy(o);
	sp_reduce_destroy(reduce);
	sp_compute_free(ranks.compute, gradients);
	sp_compute_free(ranks.compute, values);
	assert_false(test_ranks_agree(&ranks, bad));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_element_has_one_owner),
		cmocka_unit_test(scatter_then_gather_is_the_sum_on_all_ranks),
		cmocka_unit_test(bytes_sent_equal_the_formula),
		cmocka_unit_test(what_lies_before_a_cut_is_summed_alike_whatever_follows),
		cmocka_unit_test(sums_begun_early_have_the_same_bits),
		cmocka_unit_test(sums_go_on_while_nobody_waits),
		cmocka_unit_test(three_adamw_steps_equal_the_textbook_for_any_buckets),
		cmocka_unit_test(what_another_group_adds_is_in_the_norm),
		cmocka_unit_test(all_ranks_hold_the_same_bits_after_a_step),
		cmocka_unit_test(shares_and_all_moments_give_the_same_bits),
		cmocka_unit_test(one_bad_gradient_stops_all_ranks_and_changes_nothing),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	test_ranks_close(&ranks);
	return failed;
}
