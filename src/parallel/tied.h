/* Gradients of what the first and the last stage of a pipeline both hold, the word table that is tied to the decoder: each
 * stage has summed its own over its replicas, and both get the sum of the two. May include: base, backend.
 *
 * Both stages have the table at the start of their flat buffers, in buckets of their own, so that the same ranks own the same
 * pieces. Two numbers have the same sum in either order: copies that began equal stay equal to the bit. */
#ifndef SP_PARALLEL_TIED_H
#define SP_PARALLEL_TIED_H

#include "parallel/grid.h"
#include "parallel/reduce.h"

struct sp_tied;

/* `elements` at the start of the flat buffer are tied, with a cut of `reduce` behind them; 0: this stage has none. Borrows
 * the rest. Not collective. SP_ERR_MEMORY. */
int sp_tied_create(struct sp_compute *compute, const struct sp_grid *grid, const struct sp_reduce *reduce, int64_t elements,
                   struct sp_tied **tied);
void sp_tied_destroy(struct sp_tied *t); /* NULL accepted */

/* Adds the other stage's sums to the own pieces of `flat` (device), after sp_reduce_scatter. Collective over the two stages. */
int sp_tied_sum(struct sp_tied *t, float *flat);

/* Bytes of device memory that it takes on the first of `ranks` that reduce, which takes most: known before anything exists. */
size_t sp_tied_bytes(int64_t elements, int ranks);

#endif
