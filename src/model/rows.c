#include "config.h"

#include "model/rows.h"

#include "base/size.h"

int64_t sp_read_rows_count(const struct sp_read_rows *rows)
{
	return rows->n_first + rows->n_second;
}

struct sp_read_rows sp_read_rows_part(const struct sp_read_rows *rows, int64_t at, int64_t n)
{
	const int64_t first = sp_min(at, rows->n_first), end = sp_min(at + n, rows->n_first);
	const int64_t second = at - first, second_end = at + n - end;
	return (struct sp_read_rows){ rows->first + first, rows->second + second, end - first, second_end - second, rows->doc, { 0 } };
}

struct sp_matrix sp_read_rows_room(const struct sp_read_rows *rows, int64_t skip, int64_t cols)
{
	const int64_t n = sp_read_rows_count(rows);
	return sp_matrix_of((char *)rows->room.data + (size_t)(n * skip) * sp_dtype_size(rows->room.dtype), n, cols, rows->room.dtype);
}

int sp_read_rows_gather(const struct sp_read_rows *rows, const struct sp_layer_context *ctx, struct sp_matrix x,
                        struct sp_matrix y)
{
	const struct sp_row_move first = { rows->first, rows->n_first, x, sp_matrix_rows(y, 0, rows->n_first) };
	const struct sp_row_move second = { rows->second, rows->n_second, x,
		                                sp_matrix_rows(y, rows->n_first, rows->n_second) };
	const int rc = sp_compute_gather_rows(ctx->compute, &first);
	return rc || !rows->n_second ? rc : sp_compute_gather_rows(ctx->compute, &second);
}

int sp_read_rows_add(const struct sp_read_rows *rows, const struct sp_layer_context *ctx, struct sp_matrix x,
                     struct sp_matrix y)
{
	const struct sp_row_move first = { rows->first, rows->n_first, sp_matrix_rows(x, 0, rows->n_first), y };
	const struct sp_row_move second = { rows->second, rows->n_second,
		                                sp_matrix_rows(x, rows->n_first, rows->n_second), y };
	const int rc = sp_compute_scatter_add_rows(ctx->compute, &first);
	return rc || !rows->n_second ? rc : sp_compute_scatter_add_rows(ctx->compute, &second);
}
