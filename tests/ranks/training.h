/* A few steps of training under some grid of ranks, and what came of them gathered as that of the whole model, to be
 * compared with the same from one rank. May include: train, tests/ranks/ranks.h. */
#ifndef SP_TESTS_TRAINING_H
#define SP_TESTS_TRAINING_H

#include "ranks/ranks.h"
#include "train/evaluate.h"
#include "train/optimizer.h"
#include "train/setup.h"

enum { TEST_TRAINING_STEPS = 10 };

struct test_training {
	double loss[TEST_TRAINING_STEPS], norm[TEST_TRAINING_STEPS];
	struct sp_evaluation evaluation; /* after the last step */
	struct sp_parameters table;      /* of the whole model, like the next two, in host memory */
	float *gradients;                /* of the first step, summed over all ranks */
	float *values;                   /* after the last step */
};

/* Settings of a small model with dropout, after the tutorial's. Ends the program if they are refused. */
struct sp_settings test_training_settings(void);
/* The same training on one rank, in one micro-batch. */
struct sp_settings test_training_unsplit(const struct sp_settings *split);

/* An optimizer for a set-up, as the trainer makes it. */
int test_training_optimizer(struct sp_setup *setup, struct sp_optimizer **optimizer);
/* Steps 0 .. steps - 1; loss and norm of each go to `result`. Nonzero on failure, as all of these. */
int test_training_steps(struct sp_setup *setup, struct sp_optimizer *o, int steps, struct test_training *result);
/* All of `result`, collective over `world`. Also a failure: tensor ranks or stages differ by a bit in what they hold alike. */
int test_training_run(const struct test_ranks *ranks, const struct sp_settings *s, struct sp_comm *world, int steps,
                      struct test_training *result);
void test_training_free(struct test_training *result);

/* Nonzero, and said on standard error, where `a` differs from `b`: losses by more than `bound`, norms of the gradients by
 * ten times that; parameters by more than `bound`, each relative to its own size; gradients by more than 1e-5 of their own
 * and 1e-6 of all together; evaluations by more than `bound`. */
/* Of the first `steps`: losses, and norms of gradients, relatively. */
int test_training_losses_differ(const struct test_ranks *ranks, const struct test_training *a, const struct test_training *b,
                                int steps, double bound, double norms);
int test_training_values_differ(const struct test_ranks *ranks, const struct test_training *a, const struct test_training *b,
                                double bound);
/* `bound`: of each gradient, or a tenth of it of all together. */
int test_training_gradients_differ(const struct test_ranks *ranks, const struct test_training *a,
                                   const struct test_training *b, double bound);
int test_training_evaluations_differ(const struct test_training *a, const struct test_training *b, double bound);

#endif
