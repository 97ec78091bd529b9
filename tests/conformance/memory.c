/* Context, memory, copies, and the figures a device gives about itself. */
#include "config.h"

#include "base/clock.h"
#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void memory_is_aligned_even_when_empty(void **state)
{
	static const size_t sizes[] = { 0, 1, 63, 64, 65, 4097, 1 << 20 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		void *memory = NULL;
		assert_int_equal(sp_compute_alloc(*state, sizes[i], &memory), SP_OK);
		assert_non_null(memory);
		assert_int_equal((uintptr_t)memory % 64, 0);
		assert_int_equal(sp_compute_zero(*state, memory, sizes[i]), SP_OK);
		sp_compute_free(*state, memory);
	}
	sp_compute_free(*state, NULL);
}

void copies_arrive_and_stay_inside(void **state)
{
	enum { SIZE = 1000 };
	unsigned char content[SIZE], back[SIZE];
	void *memory;
	for (int i = 0; i < SIZE; i++)
		content[i] = (unsigned char)(i * 7 + 1);
	assert_int_equal(sp_compute_alloc(*state, SIZE, &memory), SP_OK);
	assert_int_equal(sp_compute_copy_in(*state, memory, content, SIZE), SP_OK);
	assert_int_equal(sp_compute_zero(*state, (char *)memory + 13, 100), SP_OK);
	assert_int_equal(sp_compute_copy_in(*state, (char *)memory + 501, content, 77), SP_OK);
	assert_int_equal(sp_compute_copy_in(*state, memory, NULL, 0), SP_OK);
	assert_int_equal(sp_compute_copy_out(*state, NULL, memory, 0), SP_OK);
	assert_int_equal(sp_compute_copy_out(*state, back, memory, SIZE), SP_OK);
	memset(content + 13, 0, 100);
	for (int i = 0; i < 77; i++)
		assert_int_equal(back[501 + i], (unsigned char)(i * 7 + 1));
	memcpy(content + 501, back + 501, 77);
	assert_memory_equal(back, content, SIZE);
	assert_int_equal(sp_compute_copy_out(*state, back, (char *)memory + 601, 99), SP_OK);
	assert_memory_equal(back, content + 601, 99);
	sp_compute_free(*state, memory);
}

/* (rows, cols) of one dtype from one stride to another; everything else of the target stays. */
static void copy_rows_of(struct sp_compute *c, enum sp_dtype dtype, int64_t rows, int64_t cols)
{
	const size_t e = sp_dtype_size(dtype), from_stride = (size_t)cols + 3, to_stride = (size_t)cols + 5;
	const size_t bytes = ((size_t)rows + 1) * to_stride * e;
	unsigned char *from = malloc(bytes), *to = malloc(bytes), *want = malloc(bytes);
	void *device_from, *device_to;
	assert_true(from && to && want);
	for (size_t i = 0; i < bytes; i++) {
		from[i] = (unsigned char)bench_below(1, (uint32_t)i, 256);
		want[i] = to[i] = (unsigned char)bench_below(2, (uint32_t)i, 256);
	}
	for (size_t i = 0; i < (size_t)rows; i++)
		memcpy(want + (i * to_stride + 1) * e, from + (i * from_stride + 2) * e, (size_t)cols * e);
	assert_int_equal(sp_compute_alloc(c, bytes, &device_from), SP_OK);
	assert_int_equal(sp_compute_alloc(c, bytes, &device_to), SP_OK);
	assert_int_equal(sp_compute_copy_in(c, device_from, from, bytes), SP_OK);
	assert_int_equal(sp_compute_copy_in(c, device_to, to, bytes), SP_OK);
	const struct sp_matrix source = { (char *)device_from + 2 * e, rows, cols, (int64_t)from_stride, dtype };
	const struct sp_matrix target = { (char *)device_to + e, rows, cols, (int64_t)to_stride, dtype };
	assert_int_equal(sp_compute_copy_rows(c, source, target), SP_OK);
	assert_int_equal(sp_compute_copy_out(c, to, device_to, bytes), SP_OK);
	assert_memory_equal(to, want, bytes);
	sp_compute_free(c, device_from);
	sp_compute_free(c, device_to);
	free(from);
	free(to);
	free(want);
}

void copy_rows_moves_every_dtype(void **state)
{
	static const int64_t shapes[][2] = { { 1, 1 }, { 0, 5 }, { 5, 0 }, { 7, 13 }, { 300, 65 } };
	for (int dtype = 0; dtype < SP_DTYPES; dtype++)
		for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
			copy_rows_of(*state, (enum sp_dtype)dtype, shapes[i][0], shapes[i][1]);
}

void context_tells_what_it_is(void **state)
{
	char text[512] = "", warning[512] = "unset";
	sp_compute_describe(*state, text, sizeof text, warning, sizeof warning);
	print_message("# %s\n", text);
	assert_true(strlen(text) > 0 && strchr(text, '\n') == NULL);
	assert_string_not_equal(warning, "unset");
	assert_true(sp_compute_chunk_multiple(*state) >= 1);
	assert_true(sp_compute_threads(*state) >= 1);
	for (int64_t head_dim = 1; head_dim <= 128; head_dim *= 2) {
		const struct sp_compute_needs needs = { SP_F32, head_dim, 0.1f };
		assert_int_equal(sp_compute_supports(*state, &needs), SP_OK);
	}
}

void rates_are_measured(void **state)
{
	double rate = 0;
	assert_int_equal(sp_compute_gemm_rate(*state, bench_dtype(), 64, 48, 32, 0.005, &rate), SP_OK);
	assert_true(isfinite(rate) && rate > 1e6);
	rate = 0;
	assert_int_equal(sp_compute_memory_rate(*state, 0.005, &rate), SP_OK);
	assert_true(isfinite(rate) && rate > 1e6);
}

/* An addition and a product, of sizes that take a while, and what the host saw of them from before to after. */
static void add_and_multiply(struct sp_compute *c, float *memory, double *seconds)
{
	enum { N = 96, LONG = N * N };
	const struct sp_linear_forward a = { .x = sp_matrix(memory, N, N), .w = sp_matrix(memory + LONG, N, N),
		                                 .y = sp_matrix(memory + 2 * LONG, N, N) };
	assert_int_equal(sp_compute_sync(c), SP_OK);
	const double begin = sp_clock();
	assert_int_equal(sp_compute_linear_forward(c, &a), SP_OK);
	assert_int_equal(sp_compute_add(c, memory, memory + LONG, LONG), SP_OK);
	assert_int_equal(sp_compute_sync(c), SP_OK);
	*seconds = sp_clock() - begin;
}

void time_is_told_by_class(void **state)
{
	double told[SP_CLASSES], before[SP_CLASSES], seen = 0;
	void *memory;
	assert_int_equal(sp_compute_alloc(*state, 3 * 96 * 96 * sizeof(float), &memory), SP_OK);
	assert_int_equal(sp_compute_zero(*state, memory, 3 * 96 * 96 * sizeof(float)), SP_OK);
	assert_int_equal(sp_compute_shares_start(*state), SP_OK);
	for (int round = 0; round < 2; round++) { /* marks are used again */
		assert_int_equal(sp_compute_shares_take(*state, before), SP_OK);
		add_and_multiply(*state, memory, &seen);
		assert_int_equal(sp_compute_shares_take(*state, told), SP_OK);
		assert_true(told[SP_CLASS_PRODUCTS] > 0 && told[SP_CLASS_ELEMENTS] > 0);
		assert_true(told[SP_CLASS_PRODUCTS] + told[SP_CLASS_ELEMENTS] <= seen + 1e-5); /* two clocks */
		assert_true(told[SP_CLASS_ATTENTION] == 0 && told[SP_CLASS_OPTIMIZER] == 0 && told[SP_CLASS_COPIES] == 0);
	}
	sp_compute_shares_stop(*state);
	sp_compute_free(*state, memory);
}
