/* Where the arrays of one micro-batch lie in one block of 32-bit integers. May include: base. */
#ifndef SP_PLAN_BATCH_LAYOUT_H
#define SP_PLAN_BATCH_LAYOUT_H

#include <stdint.h>

/* Offsets, in elements, each a multiple of 16; the arrays are those of struct sp_batch. Lengths are read
 * where they come from, on the host. */
struct sp_batch_layout {
	int64_t token, position, kind, doc, read_doc, predicted, label, order_row, order_label, sample, head_sample, length;
	int64_t global_doc, other_doc, read_other_doc, global_row, global_slot; /* without global tokens they have no elements */
	int64_t size; /* of the block */
};

/* For `batch` sequences of `chunk` tokens on each of `ranks` ranks that share them, with at most `orders` sentence orders, and
 * `globals` global tokens in a sequence. */
struct sp_batch_layout sp_batch_layout_of(int64_t batch, int64_t chunk, int ranks, int64_t orders, int64_t globals);

#endif
