/* The rows of a layer's output that something reads: behind the last layer the heads read the predicted tokens and, for
 * sentence order, the first of each sample. Only those attend, and what follows attention is done on those alone, side by side in
 * buffers of their own. May include: layers. */
#ifndef SP_MODEL_ROWS_H
#define SP_MODEL_ROWS_H

#include "layers/layer.h"

struct sp_read_rows {
	const int32_t *first, *second; /* [n_first], [n_second], device; all distinct */
	int64_t n_first, n_second;
	const int32_t *doc;    /* [T], device: the document of a row that is read, -1 of the others; NULL: attend with all */
	struct sp_matrix room; /* where such rows may lie; the layer at work sets it */
};

int64_t sp_read_rows_count(const struct sp_read_rows *rows);
/* n of them from the `at`-th on; no room. */
struct sp_read_rows sp_read_rows_part(const struct sp_read_rows *rows, int64_t at, int64_t n);
/* A matrix of as many rows and `cols` columns in the room, behind others of `skip` columns together. */
struct sp_matrix sp_read_rows_room(const struct sp_read_rows *rows, int64_t skip, int64_t cols);
/* y (count, N) = those rows of x (T, N). */
int sp_read_rows_gather(const struct sp_read_rows *rows, const struct sp_layer_context *ctx, struct sp_matrix x,
                        struct sp_matrix y);
/* Those rows of y (T, N) += x (count, N). */
int sp_read_rows_add(const struct sp_read_rows *rows, const struct sp_layer_context *ctx, struct sp_matrix x,
                     struct sp_matrix y);

#endif
