/* Sum of three table rows, LayerNorm, dropout; and its gradients. */
#include "config.h"

#include "cpu/elements.h"
#include "cpu/kernels.h"
#include "cpu/rows.h"
#include "cpu/vmath.h"

static inline const float *table_row(const struct sp_matrix *table, int32_t id)
{
	return (const float *)table->data + (int64_t)id * table->stride;
}

/* s = a + b + c, and the sum of it. */
static inline float sum_of_three(const float *a, const float *b, const float *c, int64_t n, float *s)
{
	float sum = 0;
#pragma omp simd reduction(+ : sum)
	for (int64_t j = 0; j < n; j++) {
		const float v = a[j] + b[j] + c[j];
		s[j] = v;
		sum += v;
	}
	return sum;
}

static inline float sum_of_two(const float *a, const float *b, int64_t n, float *s)
{
	float sum = 0;
#pragma omp simd reduction(+ : sum)
	for (int64_t j = 0; j < n; j++) {
		const float v = a[j] + b[j];
		s[j] = v;
		sum += v;
	}
	return sum;
}

void SP_KERNEL(embedding_forward)(const struct sp_embedding_forward *a, int64_t first, int64_t end, float *room)
{
	const int64_t n = a->s.cols;
	for (int64_t i = first; i < end; i++) {
		const float *word = table_row(&a->word, a->token[i]), *type = table_row(&a->type, a->kind[i]);
		float *s = sp_elements_open(&a->s, i, 0, room), *y = sp_elements_open(&a->y, i, 0, room + sp_room_row(n));
		const float sum = a->position.data ? sum_of_three(word, table_row(&a->position, a->pos[i]), type, n, s) :
		                                     sum_of_two(word, type, n, s);
		const float *before = s;
		if (a->gamma.data) {
			sp_norm_row(s, sum, n, a->gamma.data, a->beta.data, a->eps, y, (float *)a->mean.data + i,
			            (float *)a->rstd.data + i);
			before = y;
		}
		if (sp_dropout_on(&a->dropout))
			sp_dropout_row(&a->dropout, &a->rows, i, n, before, y);
		else if (before != y)
			memcpy(y, before, (size_t)n * sizeof *y);
		sp_elements_close(&a->s, i, 0, n, s);
		sp_elements_close(&a->y, i, 0, n, y); /* where s was, if they are the same */
	}
}

static void norm_backward_row(const struct sp_embedding_backward *a, int64_t i, const float *s, float *dy, float *dgamma,
                              float *dbeta)
{
	const float *gamma = a->gamma.data;
	struct sp_norm_means m = { ((const float *)a->mean.data)[i], ((const float *)a->rstd.data)[i], 0, 0 };
	sp_norm_row_means(dy, s, a->dy.cols, gamma, &m, dgamma, dbeta);
#pragma omp simd
	for (int64_t j = 0; j < a->dy.cols; j++)
		dy[j] = sp_norm_slope(&m, dy[j], gamma[j], s[j]);
}

void SP_KERNEL(embedding_rows_backward)(const struct sp_embedding_backward *a, int64_t first, int64_t end,
                                        float *dgamma, float *dbeta, float *room)
{
	const int64_t n = a->dy.cols;
	memset(dgamma, 0, (size_t)n * sizeof *dgamma);
	memset(dbeta, 0, (size_t)n * sizeof *dbeta);
	for (int64_t i = first; i < end; i++) {
		float *dy = sp_elements_read(&a->dy, i, 0, n, room);
		if (sp_dropout_on(&a->dropout))
			sp_dropout_row(&a->dropout, &a->rows, i, n, dy, dy);
		if (a->gamma.data)
			norm_backward_row(a, i, sp_elements_read(&a->s, i, 0, n, room + sp_room_row(n)), dy, dgamma, dbeta);
		sp_elements_close(&a->dy, i, 0, n, dy);
	}
}

/* The row of an id, from column `first`, += ds. */
static void add_columns(const struct sp_matrix *table, int32_t id, const float *ds, int64_t first, int64_t n)
{
	float *row = (float *)table->data + (int64_t)id * table->stride + first;
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		row[j] += ds[j];
}

void SP_KERNEL(embedding_tables_backward)(const struct sp_embedding_backward *a, int64_t first, int64_t end)
{
	float room[SP_ELEMENTS_PART];
	for (int64_t i = 0; i < a->dy.rows; i++)
		for (int64_t j = first, n; j < end; j += n) {
			n = sp_elements_part(&a->dy, end - j);
			const float *ds = sp_elements_read(&a->dy, i, j, n, room);
			add_columns(&a->dword, a->token[i], ds, j, n);
			if (a->dposition.data)
				add_columns(&a->dposition, a->pos[i], ds, j, n);
			add_columns(&a->dtype, a->kind[i], ds, j, n);
		}
}
