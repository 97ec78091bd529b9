/* In which order a stage of a pipeline works through the micro-batches of a step. May include: base.
 *
 * The layers of a model are cut into stages x pieces runs; piece p of stage s is run p * stages + s, and a micro-batch goes
 * through all runs forward, then back. With one piece a stage, the order is 1F1B (Narayanan et al. 2019): as many forward
 * as there are stages behind, then forward and backward in turn, then the rest backward. With more pieces it is interleaved
 * 1F1B (Narayanan et al. 2021, section 2.2): micro-batches in groups of as many as there are stages, each group through
 * piece 0, piece 1, ... before the next. Both keep the stages busy but for (stages - 1) / (pieces * micro-batches) of the
 * work. All stages go forward in the same order, and backward in the same order: what one sends, the next one expects. */
#ifndef SP_PARALLEL_PIPELINE_H
#define SP_PARALLEL_PIPELINE_H

#include <stdint.h>

struct sp_pipeline {
	int stages, stage, pieces; /* 1 or more */
	int64_t micro_batches;     /* with several pieces a multiple of `stages`: sp_pipeline_check */
	int forward_only;          /* an evaluation: nothing goes back */
};

struct sp_pipeline_work {
	int backward;
	int piece;
	int64_t micro; /* 0 .. micro_batches - 1 */
};

/* SP_ERR_SETTING, logged, if there is no such order. */
int sp_pipeline_check(const struct sp_pipeline *p);

/* Works of a step on one stage, and the i-th of them. */
int64_t sp_pipeline_works(const struct sp_pipeline *p);
struct sp_pipeline_work sp_pipeline_work(const struct sp_pipeline *p, int64_t i);
/* Of the works that go forward, or backward, the i-th: the same on all stages. */
struct sp_pipeline_work sp_pipeline_forward(const struct sp_pipeline *p, int64_t i);
struct sp_pipeline_work sp_pipeline_backward(const struct sp_pipeline *p, int64_t i);

/* The most micro-batches that are between forward and backward in a piece at a time; forward only: 1. */
int sp_pipeline_slots(const struct sp_pipeline *p, int piece);

/* Share of a step that a stage waits if all runs take the same time and transfers none. */
double sp_pipeline_bubble(const struct sp_pipeline *p);

/* The stage from which a piece's input comes forward, and the one that its output goes to; -1 where the model begins or
 * ends. Backward it is the other way round. */
int sp_pipeline_before(const struct sp_pipeline *p, int piece);
int sp_pipeline_after(const struct sp_pipeline *p, int piece);

#endif
