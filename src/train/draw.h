/* The samples of one micro-batch, drawn and cut into what this rank holds of them, on the host. May include: base, data,
 * parallel, plan, train.
 *
 * A function of the options and of a key alone, whatever was drawn before; the same cuts on all ranks, without a message. Which
 * samples those are is said in train/batch.h. */
#ifndef SP_TRAIN_DRAW_H
#define SP_TRAIN_DRAW_H

#include "parallel/shard.h"
#include "plan/batch_layout.h"
#include "train/batch.h"

/* Of which samples a step is made. */
struct sp_draw_key {
	enum sp_split split;
	uint64_t step;
	uint64_t limit; /* samples from this index on are left out */
};

/* How the samples of a micro-batch are shared out. */
struct sp_cuts {
	int64_t *at;            /* [ranks + 1] */
	int64_t *first, *chunk; /* [ranks], as in struct sp_attention_parts */
	uint8_t *whole;         /* [ranks], as in struct sp_attention_call */
	struct sp_shard own;
};

struct sp_counts {
	int64_t predictions, orders, globals;
};

/* A micro-batch; what it points to is the caller's. */
struct sp_drawn {
	int32_t *block; /* its arrays, as sp_draw_layout() says */
	struct sp_cuts cuts;
	struct sp_counts counts;
};

struct sp_draw;

/* The room for whole samples and what their tokens cost. Borrows what the options do. SP_ERR_MEMORY. */
int sp_draw_create(const struct sp_batches_options *options, struct sp_draw **draw);
void sp_draw_destroy(struct sp_draw *d); /* NULL accepted */

/* Of that room. */
size_t sp_draw_bytes(const struct sp_draw *d);

struct sp_batch_layout sp_draw_layout(const struct sp_batches_options *options);

/* Draws the m-th micro-batch of a step into `to`, and adds to `work` what it is made of. Not collective. What
 * sp_dataset_sample() says; `to` is undefined then. */
int sp_draw_micro(struct sp_draw *d, const struct sp_draw_key *key, int64_t m, struct sp_drawn *to, struct sp_work *work);

#endif
