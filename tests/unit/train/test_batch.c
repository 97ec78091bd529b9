/* What each rank gets of a step's samples: together all of them, each once, whatever the grid. One process plays all
 * ranks in turn, with a grid made up for each. */
#include "config.h"

#include "support.h"

#include "backend/comm.h"
#include "backend/compute.h"
#include "backend/module.h"
#include "base/size.h"
#include "train/batch.h"

#include <seqpar/status.h>

#include <stdlib.h>
#include <string.h>

enum { LENGTH = 37, GLOBAL = 8, STEP = 5, MULTIPLE = 4 };

static struct sp_comm *self;
static struct sp_compute *compute;
static struct sp_dataset *dataset, *alone, *packed; /* the first is one of the others */

static int open_all(void **state)
{
	(void)state;
	const struct sp_compute_options one_thread = { .threads = 1 };
	struct sp_dataset_options options = { .source = "synthetic",
		                                        .vocab = "",
		                                        .split = "949,50,1",
		                                        .vocab_size = 100,
		                                        .length = LENGTH,
		                                        .mask_prob = 0.15,
		                                        .short_seq_prob = 0.5,
		                                        .sentence_order = 1,
		                                        .seed = 9 };
	if (sp_comm_open("self", 1, &self) || sp_compute_open("auto", &one_thread, &compute) || sp_dataset_open(&options, &alone))
		return 1;
	dataset = alone;
	options.packing = 1;
	options.longest = 9;
	return sp_dataset_open(&options, &packed);
}

static int close_all(void **state)
{
	(void)state;
	sp_dataset_close(alone);
	sp_dataset_close(packed);
	sp_compute_close(compute);
	sp_comm_close(self);
	return 0;
}

/* The truth: sample `slot` of the step. */
struct whole {
	int32_t token[LENGTH], position[LENGTH], kind[LENGTH], doc[LENGTH], label[LENGTH], order[LENGTH];
};

static struct whole whole_sample(int64_t slot)
{
	struct whole w;
	struct sp_sample s = { LENGTH, w.token, w.position, w.kind, w.doc, w.label, w.order, 0 };
	assert_int_equal(sp_dataset_sample(dataset, SP_TRAIN, STEP * GLOBAL + (uint64_t)slot, &s), SP_OK);
	assert_int_equal(w.order[0], s.swapped);
	return w;
}

enum { WINDOW = 3 };
static int64_t globals; /* most of a sequence; 0: no window */

struct part {
	struct sp_grid grid;
	struct sp_batches_options options;
	struct sp_batches *batches;
	struct sp_work work;
};

static int balanced; /* the parts that follow: by cost */

static void open_part(struct part *p, int data, int d, int sequence, int s, int64_t micro)
{
	p->grid = (struct sp_grid){
		.world = self,
		.shape.at = { [SP_AXIS_DATA] = data, [SP_AXIS_PIPELINE] = 1, [SP_AXIS_SEQUENCE] = sequence, [SP_AXIS_TENSOR] = 1 },
		.place.at = { [SP_AXIS_DATA] = d, [SP_AXIS_SEQUENCE] = s },
	};
	p->options = (struct sp_batches_options){
		.compute = compute,
		.grid = &p->grid,
		.dataset = dataset,
		.length = LENGTH,
		.multiple = MULTIPLE,
		.room = sp_shard_room(LENGTH, sequence, MULTIPLE, balanced ? 0.6 : 0),
		.balanced = balanced,
		.cost = { .row = 1, .read = 2, .predicted = 3, .pair = 1, .read_pair = 1 },
		.global_batch = GLOBAL,
		.micro_batch = micro,
		.sentence_order = 1,
		.packed = dataset == packed,
		.window = globals > 0 ? WINDOW : 0,
		.globals = globals,
	};
	assert_int_equal(sp_batches_create(&p->options, &p->batches), SP_OK);
	assert_int_equal(sp_batches_load(p->batches, SP_TRAIN, STEP, &p->work), SP_OK);
}

static void copy_out(void *to, const void *from, int64_t n)
{
	assert_int_equal(sp_compute_copy_out(compute, to, from, (size_t)n * 4), SP_OK);
}

/* Of a rank's tokens, the first, and the first behind them. */
static int64_t first_of(const struct part *p, const struct sp_batch *b, int rank)
{
	return balanced ? b->parts.first[rank] : sp_shard_of(LENGTH, p->grid.shape.at[SP_AXIS_SEQUENCE], rank, MULTIPLE).first;
}

static int64_t end_of(const struct part *p, const struct sp_batch *b, int rank)
{
	int64_t longest = 0;
	if (rank + 1 < p->grid.shape.at[SP_AXIS_SEQUENCE])
		return sp_min(LENGTH, first_of(p, b, rank + 1));
	for (int64_t i = 0; i < b->batch; i++)
		longest = sp_max(longest, b->length[i]);
	return balanced ? longest : LENGTH;
}

static void check_parts(const struct part *p, const struct sp_batch *b, int rank)
{
	assert_int_equal(b->parts.chunk == NULL, !balanced);
	if (!balanced)
		return;
	assert_int_equal(b->parts.most, p->options.room);
	assert_int_equal(b->parts.chunk[p->grid.place.at[SP_AXIS_SEQUENCE]], b->chunk);
	assert_in_range(b->parts.chunk[rank], 1, p->options.room);
	assert_int_equal(b->parts.chunk[rank] % MULTIPLE, 0);
}

/* Of the i-th sample, on all ranks. Nobody's padding at the end is left out. */
static void check_documents(const struct part *p, const struct sp_batch *b, const int32_t *doc, int64_t i, const struct whole *w)
{
	for (int rank = 0; rank < p->grid.shape.at[SP_AXIS_SEQUENCE]; rank++) {
		const int64_t first = first_of(p, b, rank), end = end_of(p, b, rank);
		const int64_t chunk = balanced ? b->parts.chunk[rank] : b->chunk;
		check_parts(p, b, rank);
		for (int64_t t = 0; t < chunk; t++)
			assert_int_equal(doc[rank * b->batch * p->options.room + i * chunk + t], first + t < end ? w->doc[first + t] : -1);
		for (int64_t t = end; rank + 1 == p->grid.shape.at[SP_AXIS_SEQUENCE] && t < LENGTH; t++)
			assert_int_equal(w->doc[t], -1);
	}
}

static int met_whole[2]; /* parts that are not, and that are */

/* A rank's tokens are told to be of one document if each sample's are, its first token's among them. */
static void check_whole(const struct part *p, const struct sp_batch *b, const int32_t *doc)
{
	const int told = !balanced && dataset != packed;
	assert_int_equal(b->whole != NULL, told);
	for (int rank = 0; rank < p->grid.shape.at[SP_AXIS_SEQUENCE] && told; rank++) {
		int whole = 1;
		for (int64_t row = 0; row < b->batch * b->chunk; row++) {
			const int32_t own = doc[rank * b->batch * b->chunk + row], first = doc[row / b->chunk * b->chunk];
			whole = whole && own == first && own >= 0;
		}
		assert_int_equal(b->whole[rank], whole);
		met_whole[whole]++;
	}
}

/* One micro-batch against the samples it should be of. */
static void check_micro(const struct part *p, int64_t m, int64_t slot)
{
	struct sp_batch b;
	assert_int_equal(sp_batches_take(p->batches, m, &b), SP_OK);
	const int ranks = p->grid.shape.at[SP_AXIS_SEQUENCE], rank = p->grid.place.at[SP_AXIS_SEQUENCE];
	const int64_t rows = b.batch * b.chunk, n = b.batch * p->options.room * ranks;
	const int64_t end = end_of(p, &b, rank);
	assert_int_equal(rows, sp_batches_rows(p->batches, m));
	int32_t *token = calloc((size_t)n, 4), *position = calloc((size_t)n, 4), *kind = calloc((size_t)n, 4);
	int32_t *doc = calloc((size_t)n, 4), *predicted = calloc((size_t)n, 4), *label = calloc((size_t)n, 4);
	int32_t *read = calloc((size_t)n, 4);
	uint32_t sample[GLOBAL];
	copy_out(token, b.token, rows);
	copy_out(position, b.position, rows);
	copy_out(kind, b.kind, rows);
	copy_out(doc, b.doc, n);
	copy_out(read, b.read_doc, rows);
	copy_out(predicted, b.predicted, b.predictions);
	copy_out(label, b.label, b.predictions);
	copy_out(sample, b.sample, b.batch);
	int64_t seen = 0, order = 0;
	assert_int_equal(b.first, first_of(p, &b, rank));
	for (int64_t i = 0; i < b.batch; i++) {
		struct whole w = whole_sample(slot + i);
		assert_int_equal(sample[i], slot + i);
		int real_tokens = 0;
		while (real_tokens < LENGTH && w.doc[real_tokens] >= 0)
			real_tokens++;
		assert_int_equal(b.length[i], real_tokens);
		for (int64_t t = 0; t < b.chunk; t++) {
			int64_t at = b.first + t, row = i * b.chunk + t;
			int real = at < end;
			assert_int_equal(token[row], real ? w.token[at] : 0);
			assert_int_equal(position[row], real ? w.position[at] : 0);
			assert_int_equal(kind[row], real ? w.kind[at] : 0);
			assert_int_equal(read[row], real && (w.label[at] >= 0 || w.order[at] >= 0) ? w.doc[at] : -1);
			if (real && w.label[at] >= 0) {
				assert_int_equal(predicted[seen], row);
				assert_int_equal(label[seen++], w.label[at]);
			}
			if (real && w.order[at] >= 0) {
				int32_t first, swapped;
				assert_true(order < b.orders);
				copy_out(&first, b.order_row + order, 1);
				copy_out(&swapped, b.order_label + order++, 1);
				assert_int_equal(first, row);
				assert_int_equal(swapped, w.order[at]);
			}
		}
		check_documents(p, &b, doc, i, &w);
	}
	check_whole(p, &b, doc);
	assert_int_equal(seen, b.predictions);
	assert_int_equal(order, b.orders);
	if (dataset == alone && !balanced)
		assert_int_equal(order, p->grid.place.at[SP_AXIS_SEQUENCE] == 0 ? b.batch : 0);
	free(token);
	free(position);
	free(kind);
	free(read);
	free(doc);
	free(predicted);
	free(label);
}

static void check_grids(void)
{
	met_whole[0] = met_whole[1] = 0;
	static const struct {
		int data, sequence;
		int64_t micro;
	} grids[] = { { 1, 1, 8 }, { 1, 1, 1 }, { 2, 1, 2 }, { 1, 3, 4 }, { 2, 5, 2 }, { 4, 2, 1 }, { 1, 16, 8 } };
	for (size_t g = 0; g < sizeof grids / sizeof *grids; g++)
		for (int d = 0; d < grids[g].data; d++)
			for (int s = 0; s < grids[g].sequence; s++) {
				struct part p;
				open_part(&p, grids[g].data, d, grids[g].sequence, s, grids[g].micro);
				int64_t first = d * GLOBAL / grids[g].data, count = sp_batches_count(p.batches);
				assert_int_equal(count * grids[g].micro * grids[g].data, GLOBAL);
				for (int64_t m = 0; m < count; m++)
					check_micro(&p, m, first + m * grids[g].micro);
				sp_batches_destroy(p.batches);
			}
	assert_true(balanced || dataset == packed || (met_whole[0] > 0 && met_whole[1] > 0));
}

static void ranks_hold_their_tokens_of_their_slots(void **state)
{
	(void)state;
	dataset = alone;
	check_grids();
}

static void ranks_hold_their_tokens_and_orders_of_packed_samples(void **state)
{
	(void)state;
	dataset = packed;
	check_grids();
	dataset = alone;
}

static void ranks_hold_the_tokens_between_cuts(void **state)
{
	(void)state;
	balanced = 1;
	dataset = alone;
	check_grids();
	dataset = packed;
	check_grids();
	dataset = alone;
	balanced = 0;
}

/* What the i-th sample of a micro-batch costs at place t, by looking at all other tokens. */
static int64_t cost_at(const struct whole *w, int64_t t)
{
	int64_t size = 0;
	if (w->doc[t] < 0)
		return 1;
	for (int64_t u = 0; u < LENGTH; u++)
		size += w->doc[u] == w->doc[t];
	const int predicted = w->label[t] >= 0, read = predicted || w->order[t] >= 0;
	return 1 + size + read * (2 + size) + predicted * 3;
}

/* The step's, of parts that the loaded batches say. */
static int64_t uneven_of(const struct part *p, int ranks)
{
	int64_t sum = 0;
	for (int64_t m = 0; m < sp_batches_count(p->batches); m++) {
		struct sp_batch b;
		int64_t all = 0, most = 0;
		assert_int_equal(sp_batches_take(p->batches, m, &b), SP_OK);
		for (int rank = 0; rank < ranks; rank++) {
			int64_t own = 0;
			for (int64_t i = 0; i < b.batch; i++) {
				const struct whole w = whole_sample(m * b.batch + i);
				for (int64_t t = first_of(p, &b, rank); t < end_of(p, &b, rank); t++)
					own += cost_at(&w, t);
			}
			all += own;
			most = sp_max(most, own);
		}
		sum += (int64_t)(1e6 * ((double)most * ranks / (double)all - 1));
	}
	return sum;
}

static void cuts_make_work_even(void **state)
{
	(void)state;
	int64_t uneven[2];
	dataset = packed;
	for (balanced = 0; balanced < 2; balanced++) {
		struct part p;
		open_part(&p, 1, 0, 3, 0, 2);
		assert_int_equal(p.work.micro_batches, GLOBAL / 2);
		uneven[balanced] = p.work.uneven;
		assert_int_equal(uneven[balanced], uneven_of(&p, 3));
		sp_batches_destroy(p.batches);
	}
	balanced = 0;
	dataset = alone;
	assert_true(uneven[1] * 3 < uneven[0]);
}

static void counts_are_of_whole_samples_and_said_once_per_sequence(void **state)
{
	(void)state;
	struct part p;
	int64_t tokens = 0, predicted = 0, pairs = 0, read_pairs = 0;
	for (int64_t slot = 0; slot < GLOBAL; slot++) {
		struct whole w = whole_sample(slot);
		int64_t n = 0, read = 1; /* the first tells the order */
		for (int t = 0; t < LENGTH; t++) {
			n += w.doc[t] >= 0;
			read += w.label[t] >= 0;
		}
		predicted += read - 1;
		tokens += n;
		pairs += n * n;
		read_pairs += read * n;
	}
	open_part(&p, 1, 0, 4, 0, 2);
	assert_int_equal(p.work.samples, GLOBAL);
	assert_int_equal(p.work.sequences, GLOBAL);
	assert_int_equal(p.work.tokens, tokens);
	assert_int_equal(p.work.pairs, pairs);
	assert_int_equal(p.work.read_pairs, read_pairs);
	assert_int_equal(p.work.predicted, predicted);
	sp_batches_destroy(p.batches);
	open_part(&p, 1, 0, 4, 3, 2);
	assert_int_equal(p.work.tokens, 0); /* another rank has said it */
	sp_batches_destroy(p.batches);
}

static void packed_samples_are_counted_each_for_itself(void **state)
{
	(void)state;
	struct part p;
	struct sp_work work = { .sequences = GLOBAL };
	dataset = packed;
	for (int64_t slot = 0; slot < GLOBAL; slot++) {
		struct whole w = whole_sample(slot);
		int64_t size[LENGTH] = { 0 }, read[LENGTH] = { 0 }; /* of each document */
		for (int t = 0; t < LENGTH; t++) {
			work.predicted += w.label[t] >= 0;
			if (w.doc[t] < 0)
				continue;
			size[w.doc[t]]++;
			read[w.doc[t]] += w.label[t] >= 0 || w.order[t] >= 0;
		}
		for (int doc = 0; doc < LENGTH; doc++) {
			work.samples += size[doc] > 0;
			work.tokens += size[doc];
			work.pairs += size[doc] * size[doc];
			work.read_pairs += read[doc] * size[doc];
		}
	}
	open_part(&p, 1, 0, 3, 0, 4);
	work.micro_batches = GLOBAL / 4;
	assert_true(p.work.uneven > 0);
	work.uneven = p.work.uneven;
	assert_memory_equal(&p.work, &work, sizeof work);
	assert_true(work.samples > 3 * GLOBAL);
	sp_batches_destroy(p.batches);
	dataset = alone;
}

/* The first token of each document is global, up to `globals` of them. */
static void find_globals(const struct whole *w, int8_t *is)
{
	int64_t count = 0;
	for (int t = 0; t < LENGTH; t++)
		is[t] = w->doc[t] >= 0 && (t == 0 || w->doc[t - 1] != w->doc[t]) && count++ < globals;
}

static void pairs_in_a_window_are_counted_one_by_one(void **state)
{
	(void)state;
	for (globals = 1; globals < 20; globals += 6) {
		struct part p;
		int64_t near = 0, read_near = 0;
		dataset = packed;
		for (int64_t slot = 0; slot < GLOBAL; slot++) {
			struct whole w = whole_sample(slot);
			int8_t is[LENGTH];
			find_globals(&w, is);
			for (int i = 0; i < LENGTH; i++)
				for (int j = 0; j < LENGTH; j++) {
					const int meet = w.doc[i] >= 0 && w.doc[i] == w.doc[j] && (is[i] || is[j] || abs(i - j) <= WINDOW);
					near += meet;
					read_near += meet && (w.label[i] >= 0 || w.order[i] >= 0);
				}
		}
		open_part(&p, 1, 0, 3, 0, 4);
		assert_int_equal(p.work.near, near);
		assert_int_equal(p.work.read_near, read_near);
		assert_true(near < p.work.pairs);
		sp_batches_destroy(p.batches);
	}
	globals = 0;
	dataset = alone;
}

/* Each is listed by the rank that has it, and on no side of the others' attention. */
static void ranks_hold_their_global_tokens(void **state)
{
	(void)state;
	enum { RANKS = 3, MICRO = 4 };
	globals = 4;
	dataset = packed;
	for (int s = 0; s < RANKS; s++) {
		struct part p;
		struct sp_batch b;
		int32_t row[MICRO * 4], slot[MICRO * 4], doc[MICRO * 4], *other = calloc(MICRO * (LENGTH + 64), 4);
		int64_t seen = 0;
		open_part(&p, 1, 0, RANKS, s, MICRO);
		assert_int_equal(sp_batches_take(p.batches, 1, &b), SP_OK);
		copy_out(row, b.global_row, b.globals);
		copy_out(slot, b.global_slot, b.globals);
		copy_out(doc, b.global_doc, MICRO * globals);
		copy_out(other, b.other_doc, MICRO * RANKS * b.chunk);
		for (int64_t i = 0; i < MICRO; i++) {
			struct whole w = whole_sample(MICRO + i);
			int8_t is[LENGTH];
			int64_t count = 0;
			find_globals(&w, is);
			for (int64_t t = 0; t < RANKS * b.chunk; t++) {
				const int global = t < LENGTH && is[t];
				assert_int_equal(other[(t / b.chunk * MICRO + i) * b.chunk + t % b.chunk], t < LENGTH && !global ? w.doc[t] : -1);
				if (!global)
					continue;
				assert_int_equal(doc[i * globals + count], w.doc[t]);
				if (t / b.chunk == s) {
					assert_int_equal(row[seen], i * b.chunk + t % b.chunk);
					assert_int_equal(slot[seen++], i * globals + count);
				}
				count++;
			}
			for (; count < globals; count++)
				assert_int_equal(doc[i * globals + count], -1);
		}
		assert_int_equal(seen, b.globals);
		free(other);
		sp_batches_destroy(p.batches);
	}
	globals = 0;
	dataset = alone;
}

static void a_batch_that_does_not_divide_is_refused(void **state)
{
	(void)state;
	struct sp_batches *batches = NULL;
	struct sp_grid grid = { .world = self, .shape.at = { 3, 1, 1, 1 } };
	struct sp_batches_options options = { .compute = compute, .grid = &grid, .dataset = dataset, .length = LENGTH, .multiple = 1, .room = LENGTH, .global_batch = GLOBAL,
		                                .micro_batch = 1 };
	assert_int_equal(sp_batches_create(&options, &batches), SP_ERR_SETTING);
	assert_null(batches);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranks_hold_their_tokens_of_their_slots),
		cmocka_unit_test(ranks_hold_their_tokens_and_orders_of_packed_samples),
		cmocka_unit_test(ranks_hold_the_tokens_between_cuts),
		cmocka_unit_test(cuts_make_work_even),
		cmocka_unit_test(packed_samples_are_counted_each_for_itself),
		cmocka_unit_test(pairs_in_a_window_are_counted_one_by_one),
		cmocka_unit_test(ranks_hold_their_global_tokens),
		cmocka_unit_test(counts_are_of_whole_samples_and_said_once_per_sequence),
		cmocka_unit_test(a_batch_that_does_not_divide_is_refused),
	};
	const struct sp_module *module;
	char why[256];
	if (sp_module_open("cpu", &module, why, sizeof why) == SP_ERR_ABSENT)
		return 77;
	return cmocka_run_group_tests(tests, open_all, close_all);
}
