/* A checkpoint belongs to no grid: saved under each of several, training goes on under each of them with the losses of a run
 * that was never stopped, and under the same one with the same bits. */
#include "config.h"

#include "support.h"

#include "ranks/ranks.h"
#include "train/trainer.h"
#include "unit/data/scratch.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STOP = 3, END = 8, LAYOUTS = 9, SHARED = 3, WHOLE = 6 };

static struct test_ranks ranks;
static struct sp_comm *pair; /* ranks 0 and 1, or 2 and 3 */

static const struct {
	const char *name;
	int ranks, sequence, tensor, pipeline;
	int whole_optimizer;
} layouts[LAYOUTS] = {
	{ "1", 1, 1, 1, 1, 0 },
	{ "sequence 2", 2, 2, 1, 1, 0 },
	{ "sequence 4", 4, 4, 1, 1, 0 },
	[SHARED] = { "data 2 x sequence 2", 4, 2, 1, 1, 0 },
	{ "tensor 2", 2, 1, 2, 1, 0 },
	{ "sequence 2 x tensor 2", 4, 2, 2, 1, 0 },
	[WHOLE] = { "data 2 x sequence 2, all moments on each", 4, 2, 1, 1, 1 },
	{ "pipeline 2", 2, 1, 1, 2, 0 },
	{ "data 2 x pipeline 2", 4, 1, 1, 2, 0 },
};

/* All ranks need the name that rank 0 has chosen. */
static void share_scratch(void)
{
	if (ranks.rank == 0)
		scratch_make();
	if (sp_comm_broadcast(ranks.verdicts, scratch, sizeof scratch, 0))
		exit(1);
}

static struct sp_comm *world_of(int layout)
{
	struct sp_comm *const worlds[] = { NULL, ranks.alone, pair, NULL, ranks.world };
	return ranks.rank < layouts[layout].ranks ? worlds[layouts[layout].ranks] : NULL;
}

static void set(struct sp_settings *s, const char *name, const char *value)
{
	char word[1200];
	snprintf(word, sizeof word, "%s=%s", name, value);
	if (sp_settings_word(s, word))
		exit(1);
}

/* Dropout and both heads are on; the shares of ranks end inside parameters. */
static struct sp_settings settings_of(int layout, int iters)
{
	static const char *const words[] = {
		"model.layers=2",
		"model.hidden=32",
		"model.heads=4",
		"model.vocab_size=211",
		"model.max_positions=64",
		"model.sentence_order=true",
		"train.global_batch=4",
		"train.micro_batch=1",
		"train.sequence_length=61",
		"optimizer.lr=1e-3",
		"optimizer.decay_iters=8",
		"optimizer.warmup_fraction=0.3",
		"checkpoint.resume=none",
		"backend.threads=1",
	};
	struct sp_settings s;
	char number[16];
	sp_settings_default(&s);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (sp_settings_word(&s, words[i]))
			exit(1);
	snprintf(number, sizeof number, "%d", layouts[layout].sequence);
	set(&s, "parallel.sequence", number);
	snprintf(number, sizeof number, "%d", layouts[layout].tensor);
	set(&s, "parallel.tensor", number);
	set(&s, "parallel.optimizer_shard", layouts[layout].whole_optimizer ? "false" : "true");
	snprintf(number, sizeof number, "%d", layouts[layout].pipeline);
	set(&s, "parallel.pipeline", number);
	snprintf(number, sizeof number, "%d", iters);
	set(&s, "train.iters", number);
	return s;
}

/* Trains under a layout, into scratch/NAME, from `from` if that is not empty. */
static int train(int layout, int iters, const char *name, const char *from)
{
	struct sp_settings s = settings_of(layout, iters);
	char path[700];
	if (!world_of(layout))
		return 0;
	set(&s, "checkpoint.dir", scratch_path(name));
	if (from[0])
		set(&s, "checkpoint.resume", scratch_path(from));
	snprintf(path, sizeof path, "%s/%s.jsonl", scratch, name);
	set(&s, "log.metrics", path);
	return sp_settings_finish(&s) || sp_train(&s, world_of(layout), NULL, NULL);
}

/* Losses of the steps after STOP, from the metrics. */
static int read_losses(const char *name, double *loss)
{
	char path[700], *line = NULL;
	size_t room = 0;
	int found = 0;
	snprintf(path, sizeof path, "%s/%s.jsonl", scratch, name);
	FILE *file = fopen(path, "r");
	while (file && getline(&line, &room, file) > 0) {
		json_t *event = json_loads(line, 0, NULL);
		const json_int_t step = json_integer_value(json_object_get(event, "step"));
		if (json_is_number(json_object_get(event, "loss")) && step > STOP && step <= END) {
			loss[step - STOP - 1] = json_real_value(json_object_get(event, "loss"));
			found++;
		}
		json_decref(event);
	}
	free(line);
	if (file)
		fclose(file);
	return found != END - STOP;
}

static int files_differ(const char *a, const char *b, const char *file)
{
	char x[128], y[128];
	size_t n, m;
	snprintf(x, sizeof x, "%s/step-%08d/%s", a, END, file);
	snprintf(y, sizeof y, "%s/step-%08d/%s", b, END, file);
	unsigned char *first = scratch_read(x, &n), *second = scratch_read(y, &m);
	int differ = n != m || memcmp(first, second, n) != 0;
	free(first);
	free(second);
	if (differ)
		fprintf(stderr, "%s and %s differ\n", x, y);
	return differ;
}

static int losses_differ(const char *name, const char *reference, double bound)
{
	double loss[END - STOP] = { 0 }, expected[END - STOP] = { 0 };
	int bad = read_losses(name, loss) || read_losses(reference, expected);
	for (int i = 0; i < END - STOP; i++)
		if (!(fabs(loss[i] - expected[i]) <= bound * fabs(expected[i]))) {
			fprintf(stderr, "%s: loss of step %d is %.9g, never stopped %.9g\n", name, STOP + 1 + i, loss[i], expected[i]);
			bad = 1;
		}
	return bad;
}

/* Rank 0 looks at what was written. */
static int check(int saved, int resumed, const char *name)
{
	char whole[32];
	int bad = 0;
	if (ranks.rank == 0) {
		snprintf(whole, sizeof whole, "whole-%d", resumed);
		bad = losses_differ(name, "whole-0", 1e-5);
		if (saved == resumed)
			bad |= losses_differ(name, whole, 0) | files_differ(name, whole, "model.safetensors") |
			       files_differ(name, whole, "optimizer.safetensors");
	}
	return test_ranks_agree(&ranks, bad);
}

/* Whoever keeps the moments, the files hold the same bits. */
static int whole_differs_from_shared(void)
{
	char whole[32], shared[32];
	snprintf(whole, sizeof whole, "whole-%d", WHOLE);
	snprintf(shared, sizeof shared, "whole-%d", SHARED);
	const int bad = ranks.rank == 0 && (files_differ(whole, shared, "model.safetensors") |
	                                    files_differ(whole, shared, "optimizer.safetensors"));
	return test_ranks_agree(&ranks, bad);
}

static int train_on(int layout, int iters, const char *name, const char *from)
{
	return test_ranks_agree(&ranks, train(layout, iters, name, from));
}

static void each_grid_goes_on_from_each_as_if_never_stopped(void **state)
{
	(void)state;
	char name[32], from[64];
	for (int i = 0; i < LAYOUTS; i++) {
		snprintf(name, sizeof name, "whole-%d", i);
		assert_false(train_on(i, END, name, ""));
		snprintf(name, sizeof name, "first-%d", i);
		assert_false(train_on(i, STOP, name, ""));
	}
	assert_false(whole_differs_from_shared());
	for (int saved = 0; saved < LAYOUTS; saved++)
		for (int resumed = 0; resumed < LAYOUTS; resumed++) {
			snprintf(name, sizeof name, "from-%d-on-%d", saved, resumed);
			snprintf(from, sizeof from, "first-%d/step-%08d", saved, STOP);
			assert_false(train_on(resumed, END, name, from));
			if (check(saved, resumed, name))
				fail_msg("saved with %s, resumed with %s", layouts[saved].name, layouts[resumed].name);
		}
}

static int clear(void **state)
{
	(void)state;
	if (ranks.rank == 0)
		scratch_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(each_grid_goes_on_from_each_as_if_never_stopped, clear),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	if (ranks.size != 4 || sp_comm_split(ranks.world, ranks.rank / 2, ranks.rank, "pair", &pair))
		return 1;
	share_scratch();
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	sp_comm_close(pair);
	test_ranks_close(&ranks);
	return failed;
}
