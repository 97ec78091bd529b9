/* A vocabulary that is shared out: lookups, and the cross-entropy of rows of which each part holds some columns. */
#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"

#include <math.h>
#include <seqpar/status.h>
#include <string.h>

enum { COLUMN_GRAIN = 16, STATS = 4 };

int sp_cpu_words_forward(void *ctx, const struct sp_words *args)
{
	struct sp_cpu *cpu = ctx;
	const size_t bytes = (size_t)args->y.cols * sp_dtype_size(args->y.dtype);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < args->y.rows; i++) {
		const int64_t id = (int64_t)args->token[i] - args->first;
		const struct sp_matrix y = sp_matrix_rows(args->y, i, 1);
		if (id >= 0 && id < args->word.rows) {
			const struct sp_matrix word = sp_matrix_rows(args->word, id, 1);
			cpu->kernels->convert(&word, &y);
		} else if (bytes) {
			memset(y.data, 0, bytes);
		}
	}
	return SP_OK;
}

/* Rows of the same id meet, so threads take columns. */
int sp_cpu_words_backward(void *ctx, const struct sp_words *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t h = args->y.cols, slices = sp_min(cpu->threads, sp_ceil_div(h, COLUMN_GRAIN));
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < slices; p++) {
		int64_t first, end;
		sp_cpu_part(h, COLUMN_GRAIN, slices, p, &first, &end);
		cpu->kernels->words_backward(args, first, end);
	}
	return SP_OK;
}

int sp_cpu_entropy_part(void *ctx, const struct sp_entropy_part *args)
{
	struct sp_cpu *cpu = ctx;
	struct sp_cpu_room room;
	if (sp_cpu_room_open(cpu, args->logits.dtype, args->logits.cols, 0, &room))
		return SP_ERR_MEMORY;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < args->logits.rows; i++) {
		const struct sp_matrix logits = sp_cpu_widened(cpu, sp_matrix_rows(args->logits, i, 1), sp_cpu_room_of_thread(&room));
		cpu->kernels->entropy_part_row(logits.data, logits.cols, (int64_t)args->label[i] - args->first,
		                               (float *)args->stats.data + i * args->stats.stride);
	}
	return SP_OK;
}

/* All parts' stats of one row put together. The label's logit is the first of the largest if it is that of its part, no
 * part before reaches it and none after exceeds it. */
struct whole {
	float max, at_label;
	double sum;
	int correct;
};

static struct whole combine(const struct sp_entropy_whole *a, int64_t i)
{
	struct whole w = { -INFINITY, -INFINITY, 0, 0 };
	const int64_t n = a->logits.rows;
	for (int64_t p = 0; p < a->parts; p++) {
		const float *s = (const float *)a->stats.data + (p * n + i) * a->stats.stride;
		w.correct = s[0] > w.max ? s[3] != 0 : w.correct; /* a later equal is not the first */
		w.max = s[0] > w.max ? s[0] : w.max;
		w.at_label = s[2] > w.at_label ? s[2] : w.at_label;
	}
	for (int64_t p = 0; p < a->parts; p++) {
		const float *s = (const float *)a->stats.data + (p * n + i) * a->stats.stride;
		w.sum += (double)s[1] * exp((double)s[0] - (double)w.max);
	}
	return w;
}

int sp_cpu_entropy_whole(void *ctx, const struct sp_entropy_whole *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t rows = args->logits.rows;
	struct sp_cpu_room room;
	if (sp_cpu_room_open(cpu, args->logits.dtype, args->logits.cols, (size_t)rows * (sizeof(double) + sizeof(int)), &room))
		return SP_ERR_MEMORY;
	double *losses = room.front;
	int *correct = (int *)(losses + rows);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < rows; i++) {
		const struct whole w = combine(args, i);
		losses[i] = log(w.sum) + (double)w.max - (double)w.at_label;
		correct[i] = w.correct;
		if (!args->gradient)
			continue;
		const struct sp_matrix row = sp_matrix_rows(args->logits, i, 1), logits = sp_cpu_widened(cpu, row, sp_cpu_room_of_thread(&room));
		cpu->kernels->entropy_whole_row(logits.data, logits.cols, (int64_t)args->label[i] - args->first, w.max, w.sum, args->scale);
		sp_cpu_put_back(cpu, &logits, &row);
	}
	for (int64_t i = 0; i < rows; i++) {
		*args->loss += losses[i];
		if (args->correct)
			*args->correct += correct[i];
	}
	return SP_OK;
}
