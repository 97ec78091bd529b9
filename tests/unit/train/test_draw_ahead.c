/* A step drawn ahead is taken by the load that asks for exactly it, and no other load is any different for it. */
#include "config.h"

#include "support.h"

#include "backend/comm.h"
#include "backend/compute.h"
#include "backend/module.h"
#include "base/trace.h"
#include "train/batch.h"
#include "train/draw.h"
#include "unit/data/messages.h"

#include <seqpar/status.h>

#include <stdlib.h>
#include <string.h>

enum { LENGTH = 37, GLOBAL = 8, MICRO = 2, MULTIPLE = 4, RANKS = 3, STEP = 5 };

static struct sp_comm *self;
static struct sp_compute *compute;

/* The first of three ranks that share sequences, two in a micro-batch: the one that says what a step is made of. */
struct part {
	struct sp_grid grid;
	struct sp_dataset *dataset;
	struct sp_batches_options options;
	struct sp_batches *batches;
};

static void open_part(struct part *p, int packing, int balanced, const char *split)
{
	const struct sp_dataset_options data = { .source = "synthetic", .vocab = "", .split = split, .vocab_size = 100, .length = LENGTH,
		                                 .mask_prob = 0.15, .short_seq_prob = 0.5, .sentence_order = 1, .packing = packing,
		                                 .longest = packing ? 9 : 0, .seed = 9 };
	assert_int_equal(sp_dataset_open(&data, &p->dataset), SP_OK);
	p->grid = (struct sp_grid){
		.world = self,
		.shape.at = { [SP_AXIS_DATA] = 1, [SP_AXIS_PIPELINE] = 1, [SP_AXIS_SEQUENCE] = RANKS, [SP_AXIS_TENSOR] = 1 },
	};
	p->options = (struct sp_batches_options){
		.compute = compute,
		.grid = &p->grid,
		.dataset = p->dataset,
		.length = LENGTH,
		.multiple = MULTIPLE,
		.room = sp_shard_room(LENGTH, RANKS, MULTIPLE, balanced ? 0.6 : 0),
		.balanced = balanced,
		.cost = { .row = 1, .read = 2, .predicted = 3, .pair = 1, .read_pair = 1 },
		.global_batch = GLOBAL,
		.micro_batch = MICRO,
		.sentence_order = 1,
		.packed = packing,
		.ahead = 1,
	};
	assert_int_equal(sp_batches_create(&p->options, &p->batches), SP_OK);
}

static void close_part(struct part *p)
{
	sp_batches_destroy(p->batches);
	sp_dataset_close(p->dataset);
}

/* ---- all there is of a loaded step ---- */

struct image {
	struct sp_work work;
	int32_t *blocks; /* micro-batch after micro-batch, as they lie on the device */
	int64_t numbers[GLOBAL / MICRO][6 + 2 * RANKS];
	int32_t lengths[GLOBAL];
};

static size_t block_size(const struct part *p)
{
	return (size_t)sp_draw_layout(&p->options).size;
}

static void read_loaded(const struct part *p, struct image *image)
{
	const int64_t token = sp_draw_layout(&p->options).token;
	image->blocks = malloc(GLOBAL / MICRO * block_size(p) * sizeof *image->blocks);
	for (int64_t m = 0; m < GLOBAL / MICRO; m++) {
		struct sp_batch b;
		assert_int_equal(sp_batches_take(p->batches, m, &b), SP_OK);
		assert_int_equal(sp_compute_copy_out(compute, image->blocks + m * (int64_t)block_size(p), b.token - token,
		                                     block_size(p) * sizeof *image->blocks), SP_OK);
		const int64_t numbers[6] = { b.chunk, b.first, b.predictions, b.orders, b.globals, sp_batches_rows(p->batches, m) };
		memcpy(image->numbers[m], numbers, sizeof numbers);
		for (int r = 0; r < RANKS; r++) {
			image->numbers[m][6 + r] = b.parts.chunk ? b.parts.chunk[r] : 0;
			image->numbers[m][6 + RANKS + r] = b.whole ? b.whole[r] : -1;
		}
		memcpy(image->lengths + m * MICRO, b.length, MICRO * sizeof *b.length);
	}
}

static int same(const struct part *p, const struct image *a, const struct image *b)
{
	return memcmp(&a->work, &b->work, sizeof a->work) == 0 &&
	       memcmp(a->blocks, b->blocks, GLOBAL / MICRO * block_size(p) * sizeof *a->blocks) == 0 &&
	       memcmp(a->numbers, b->numbers, sizeof a->numbers) == 0 && memcmp(a->lengths, b->lengths, sizeof a->lengths) == 0;
}

/* Loads a step and holds it against the same from batches that never draw ahead. */
static void check_load(struct part *p, enum sp_split split, uint64_t step, int64_t limit)
{
	struct part plain = { .grid = p->grid, .options = p->options };
	struct image got, want;
	plain.options.ahead = 0;
	assert_int_equal(sp_batches_create(&plain.options, &plain.batches), SP_OK);
	sp_batches_limit(plain.batches, limit);
	assert_int_equal(sp_batches_load(plain.batches, split, step, &want.work), SP_OK);
	assert_int_equal(sp_batches_load(p->batches, split, step, &got.work), SP_OK);
	read_loaded(&plain, &want);
	read_loaded(p, &got);
	assert_true(same(p, &got, &want));
	free(got.blocks);
	free(want.blocks);
	sp_batches_destroy(plain.batches);
}

/* ---- the claims, each of whole, packed and balanced sequences ---- */

static void each_kind(void (*claim)(struct part *p))
{
	static const struct {
		int packing, balanced;
	} kinds[] = { { 0, 0 }, { 1, 0 }, { 1, 1 } };
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct part p;
		open_part(&p, kinds[i].packing, kinds[i].balanced, "949,50,1");
		claim(&p);
		close_part(&p);
	}
}

/* The second time it is loaded it is drawn anew. */
static void check_steps(struct part *p)
{
	for (uint64_t step = STEP; step < STEP + 4; step++) {
		check_load(p, SP_TRAIN, step, INT64_MAX);
		sp_batches_draw_ahead(p->batches, SP_TRAIN, step + 1);
	}
	check_load(p, SP_TRAIN, STEP + 4, INT64_MAX);
	check_load(p, SP_TRAIN, STEP + 4, INT64_MAX);
}

static void steps_drawn_ahead_equal_steps_drawn_when_due(void **state)
{
	(void)state;
	each_kind(check_steps);
}

static void check_others(struct part *p)
{
	check_load(p, SP_TRAIN, STEP, INT64_MAX);
	sp_batches_draw_ahead(p->batches, SP_TRAIN, STEP + 1);
	check_load(p, SP_TRAIN, STEP, INT64_MAX);
	check_load(p, SP_TRAIN, STEP + 2, INT64_MAX);
	check_load(p, SP_VALID, STEP + 1, INT64_MAX);
	sp_batches_draw_ahead(p->batches, SP_TRAIN, STEP + 3);
	check_load(p, SP_TRAIN, STEP + 1, INT64_MAX);
	check_load(p, SP_TRAIN, STEP + 3, INT64_MAX);
}

static void any_other_step_and_split_is_drawn_for_itself(void **state)
{
	(void)state;
	each_kind(check_others);
}

static void check_evaluation(struct part *p)
{
	check_load(p, SP_TRAIN, STEP, INT64_MAX);
	sp_batches_draw_ahead(p->batches, SP_TRAIN, STEP + 1);
	for (uint64_t i = 0; i < 3; i++)
		check_load(p, SP_VALID, i, INT64_MAX);
	check_load(p, SP_TRAIN, STEP + 1, INT64_MAX);
}

static void evaluations_between_change_nothing(void **state)
{
	(void)state;
	each_kind(check_evaluation);
}

/* The limit is inside of the step, so that with it the step is another one. */
static void check_limit(struct part *p)
{
	const int64_t limit = (STEP + 1) * GLOBAL + 3;
	for (int drawn_under = 0; drawn_under < 2; drawn_under++)
		for (int loaded_under = 0; loaded_under < 2; loaded_under++) {
			sp_batches_limit(p->batches, drawn_under ? limit : INT64_MAX);
			sp_batches_draw_ahead(p->batches, SP_TRAIN, STEP + 1);
			sp_batches_limit(p->batches, loaded_under ? limit : INT64_MAX);
			check_load(p, SP_TRAIN, STEP + 1, loaded_under ? limit : INT64_MAX);
		}
}

static void a_step_under_a_limit_is_not_the_one_without(void **state)
{
	(void)state;
	each_kind(check_limit);
}

/* The device may still be reading it. */
static void check_loaded(struct part *p)
{
	struct sp_work work;
	struct image before = { .work = { 0 } }, after = { .work = { 0 } };
	assert_int_equal(sp_batches_load(p->batches, SP_TRAIN, STEP, &work), SP_OK);
	read_loaded(p, &before);
	sp_batches_draw_ahead(p->batches, SP_TRAIN, STEP + 1);
	read_loaded(p, &after);
	assert_true(same(p, &before, &after));
	free(before.blocks);
	free(after.blocks);
}

static void what_is_loaded_stays_while_the_next_step_is_drawn(void **state)
{
	(void)state;
	each_kind(check_loaded);
}

/* ---- once, and when ---- */

/* How often the samples of a step have been drawn since sp_trace_start. */
static int drawings(void)
{
	FILE *file = tmpfile();
	char *text = NULL;
	size_t room = 0;
	int count = 0;
	assert_int_equal(sp_trace_write(file, 0, "test", 0), 0);
	rewind(file);
	while (getline(&text, &room, file) >= 0)
		for (const char *at = strstr(text, "\"samples\""); at; at = strstr(at + 1, "\"samples\""))
			count++;
	free(text);
	fclose(file);
	return count;
}

static void what_was_drawn_ahead_is_not_drawn_again(void **state)
{
	struct part p;
	struct sp_work work;
	(void)state;
	open_part(&p, 0, 0, "949,50,1");
	sp_trace_start();
	sp_batches_draw_ahead(p.batches, SP_TRAIN, STEP);
	assert_int_equal(drawings(), 1);
	assert_int_equal(sp_batches_load(p.batches, SP_VALID, 0, &work), SP_OK);
	assert_int_equal(drawings(), 2);
	assert_int_equal(sp_batches_load(p.batches, SP_TRAIN, STEP, &work), SP_OK);
	assert_int_equal(drawings(), 2);
	assert_int_equal(sp_batches_load(p.batches, SP_TRAIN, STEP, &work), SP_OK);
	assert_int_equal(drawings(), 3);
	sp_trace_stop();
	close_part(&p);
}

/* A split without documents. */
static void an_error_is_that_of_the_step_and_said_there(void **state)
{
	struct part p;
	struct sp_work work;
	(void)state;
	open_part(&p, 0, 0, "1,0,0");
	check_load(&p, SP_TRAIN, STEP, INT64_MAX);
	sp_batches_draw_ahead(p.batches, SP_TRAIN, STEP + 1);
	messages_start();
	sp_batches_draw_ahead(p.batches, SP_VALID, 0);
	check_load(&p, SP_TRAIN, STEP + 1, INT64_MAX);
	assert_string_equal(messages_end(), "");
	messages_start();
	const int status = sp_batches_load(p.batches, SP_VALID, 0, &work);
	const char *said = messages_end();
	assert_int_equal(status, SP_ERR_SETTING);
	assert_non_null(strstr(said, "data.split gives no documents to valid"));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	check_load(&p, SP_TRAIN, STEP + 2, INT64_MAX);
	close_part(&p);
}

static int open_all(void **state)
{
	const struct sp_compute_options one_thread = { .threads = 1 };
	(void)state;
	return sp_comm_open("self", 1, &self) || sp_compute_open("cpu", &one_thread, &compute);
}

static int close_all(void **state)
{
	(void)state;
	sp_compute_close(compute);
	sp_comm_close(self);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_drawn_ahead_equal_steps_drawn_when_due),
		cmocka_unit_test(any_other_step_and_split_is_drawn_for_itself),
		cmocka_unit_test(evaluations_between_change_nothing),
		cmocka_unit_test(a_step_under_a_limit_is_not_the_one_without),
		cmocka_unit_test(what_is_loaded_stays_while_the_next_step_is_drawn),
		cmocka_unit_test(what_was_drawn_ahead_is_not_drawn_again),
		cmocka_unit_test(an_error_is_that_of_the_step_and_said_there),
	};
	const struct sp_module *module;
	char why[256];
	if (sp_module_open("cpu", &module, why, sizeof why) == SP_ERR_ABSENT)
		return 77;
	return cmocka_run_group_tests(tests, open_all, close_all);
}
