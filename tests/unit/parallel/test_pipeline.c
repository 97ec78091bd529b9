/* The order of work in a pipeline: every micro-batch once through every piece, stages that never wait for one another in a
 * circle, memory and idle time as the schedules promise. */
#include "config.h"

#include "support.h"

#include "parallel/pipeline.h"

#include <seqpar/status.h>
#include <stdlib.h>
#include <string.h>

enum { STAGES = 6, PIECES = 4, MICRO = 24, GRADIENTS = 3 };

static struct sp_pipeline pipeline(int stages, int stage, int pieces, int64_t micro_batches, int forward_only)
{
	return (struct sp_pipeline){ stages, stage, pieces, micro_batches, forward_only };
}

typedef void check_fn(const struct sp_pipeline *p);

static void for_all(int forward_only, check_fn *check)
{
	for (int stages = 1; stages <= STAGES; stages++)
		for (int pieces = 1; pieces <= (stages == 1 ? 1 : PIECES); pieces++)
			for (int64_t micro = 1; micro <= MICRO; micro++)
				for (int stage = 0; stage < stages; stage++) {
					const struct sp_pipeline p = pipeline(stages, stage, pieces, micro, forward_only);
					if (pieces == 1 || micro % stages == 0)
						check(&p);
				}
}

/* ---- every work once, in an order that slots can follow ---- */

static void check_each_once(const struct sp_pipeline *p)
{
	int64_t next[2][PIECES] = { { 0 } };
	for (int64_t i = 0; i < sp_pipeline_works(p); i++) {
		const struct sp_pipeline_work work = sp_pipeline_work(p, i);
		assert_in_range(work.piece, 0, p->pieces - 1);
		assert_int_equal(work.micro, next[work.backward][work.piece]++);
		if (work.backward)
			assert_true(work.micro < next[0][work.piece]);
		else
			assert_true(work.micro - next[1][work.piece] < sp_pipeline_slots(p, work.piece) || p->forward_only);
	}
	for (int piece = 0; piece < p->pieces; piece++) {
		assert_int_equal(next[0][piece], p->micro_batches);
		assert_int_equal(next[1][piece], p->forward_only ? 0 : p->micro_batches);
	}
}

static void every_micro_batch_passes_every_piece_once_each_way(void **state)
{
	(void)state;
	for_all(0, check_each_once);
	for_all(1, check_each_once);
}

/* ---- a run on paper: each work takes one tick, messages none ---- */

struct stage_run {
	struct sp_pipeline p;
	int64_t at; /* next work */
	int64_t forward, backward; /* works done of each direction */
	int64_t done_at[2][PIECES][MICRO];
};

/* Number of a work among those of its direction. */
static int64_t number(const struct sp_pipeline *p, const struct sp_pipeline_work *work)
{
	for (int64_t i = 0;; i++) {
		const struct sp_pipeline_work w = work->backward ? sp_pipeline_backward(p, i) : sp_pipeline_forward(p, i);
		if (w.piece == work->piece && w.micro == work->micro)
			return i;
	}
}

/* Whether what the work needs has been done before this tick. */
static int input_is_there(const struct stage_run *run, int s, const struct sp_pipeline_work *work, int64_t tick)
{
	const struct sp_pipeline *p = &run[s].p;
	const int from = work->backward ? sp_pipeline_after(p, work->piece) : sp_pipeline_before(p, work->piece);
	const int wraps = work->backward ? s == p->stages - 1 : s == 0;
	const int piece = work->piece + (wraps ? (work->backward ? 1 : -1) : 0);
	if (from < 0)
		return !work->backward || run[s].done_at[0][work->piece][work->micro] >= 0;
	const int64_t done = run[from].done_at[work->backward][piece][work->micro];
	return done >= 0 && done < tick;
}

/* A gradient's buffer is used again by the third backward work after it. The transfer from it must be over then, and it is
 * only if the receiver has begun the work before the one that it is for. */
static int buffer_is_free(const struct stage_run *run, int s, const struct sp_pipeline_work *work)
{
	const struct sp_pipeline *p = &run[s].p;
	const int64_t k = run[s].backward + 1 - GRADIENTS;
	if (!work->backward || k < 0)
		return 1;
	struct sp_pipeline_work sent = sp_pipeline_backward(p, k);
	const int to = sp_pipeline_before(p, sent.piece);
	if (to < 0)
		return 1;
	sent.piece -= s == 0;
	return run[to].backward + 1 >= number(&run[to].p, &sent);
}

/* Ticks until all is done; -1 if nobody can go on. */
static int64_t play(int stages, int pieces, int64_t micro, int forward_only, int64_t *waited)
{
	static struct stage_run run[STAGES];
	memset(run, 0, sizeof run);
	for (int s = 0; s < stages; s++) {
		run[s].p = pipeline(stages, s, pieces, micro, forward_only);
		memset(run[s].done_at, -1, sizeof run[s].done_at);
	}
	*waited = 0;
	for (int64_t tick = 0, left = stages * sp_pipeline_works(&run[0].p);; tick++) {
		int moved = 0;
		if (left == 0)
			return tick;
		for (int s = 0; s < stages; s++) {
			if (run[s].at == sp_pipeline_works(&run[s].p))
				continue;
			const struct sp_pipeline_work work = sp_pipeline_work(&run[s].p, run[s].at);
			if (!input_is_there(run, s, &work, tick) || !buffer_is_free(run, s, &work))
				continue;
			run[s].done_at[work.backward][work.piece][work.micro] = tick;
			run[s].at++;
			run[s].forward += !work.backward;
			run[s].backward += work.backward;
			moved++;
		}
		*waited += stages - moved;
		left -= moved;
		if (moved == 0)
			return -1;
	}
}

static void nobody_waits_in_a_circle(void **state)
{
	(void)state;
	for (int forward_only = 0; forward_only < 2; forward_only++)
		for (int stages = 1; stages <= STAGES; stages++)
			for (int pieces = 1; pieces <= (stages == 1 ? 1 : PIECES); pieces++)
				for (int64_t micro = 1, waited; micro <= MICRO; micro++)
					if (pieces == 1 || micro % stages == 0)
						assert_true(play(stages, pieces, micro, forward_only, &waited) > 0);
}

/* Where forward and backward take the same time. */
static void stages_are_idle_as_long_as_promised(void **state)
{
	(void)state;
	for (int stages = 1; stages <= STAGES; stages++)
		for (int pieces = 1; pieces <= (stages == 1 ? 1 : PIECES); pieces++) {
			const int64_t micro = 4 * stages;
			const struct sp_pipeline p = pipeline(stages, 0, pieces, micro, 0);
			int64_t waited;
			const int64_t ticks = play(stages, pieces, micro, 0, &waited);
			assert_int_equal(ticks, 2 * (micro * pieces + stages - 1));
			assert_true(fabs((double)waited / (double)(ticks * stages) - sp_pipeline_bubble(&p)) < 1e-12);
		}
}

static void a_stage_keeps_no_more_than_the_stages_behind_it_need(void **state)
{
	(void)state;
	for (int stages = 1; stages <= STAGES; stages++)
		for (int stage = 0; stage < stages; stage++) {
			const struct sp_pipeline p = pipeline(stages, stage, 1, MICRO, 0), few = pipeline(stages, stage, 1, 2, 0);
			assert_int_equal(sp_pipeline_slots(&p, 0), stages - stage);
			assert_int_equal(sp_pipeline_slots(&few, 0), stages - stage < 2 ? 1 : 2);
		}
}

static void a_stage_begins_backward_after_the_documented_warm_up(void **state)
{
	(void)state;
	const struct sp_pipeline p = pipeline(4, 1, 2, 8, 0);
	int64_t forward = 0;
	while (!sp_pipeline_work(&p, forward).backward)
		forward++;
	assert_int_equal(forward, 2 * 2 + 4 + 1);
}

static void interleaving_wants_whole_groups(void **state)
{
	(void)state;
	const struct sp_pipeline good = pipeline(3, 0, 2, 6, 0), bad = pipeline(3, 0, 2, 4, 0), plain = pipeline(3, 0, 1, 4, 0);
	assert_int_equal(sp_pipeline_check(&good), SP_OK);
	assert_int_equal(sp_pipeline_check(&plain), SP_OK);
	assert_int_equal(sp_pipeline_check(&bad), SP_ERR_SETTING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_micro_batch_passes_every_piece_once_each_way),
		cmocka_unit_test(nobody_waits_in_a_circle),
		cmocka_unit_test(stages_are_idle_as_long_as_promised),
		cmocka_unit_test(a_stage_keeps_no_more_than_the_stages_behind_it_need),
		cmocka_unit_test(a_stage_begins_backward_after_the_documented_warm_up),
		cmocka_unit_test(interleaving_wants_whole_groups),
	};
	return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}
