/* The arena counts and carves alike, and never wraps round. */
#include "config.h"

#include "support.h"

#include "backend/arena.h"

#include <seqpar/status.h>

static void counting_and_carving_agree(void **state)
{
	(void)state;
	static _Alignas(64) char memory[1 << 12];
	struct sp_arena plan = { NULL, 0, 0, 0 }, run = { memory, sizeof memory, 0, 0 };
	const int64_t counts[] = { 1, 0, 16, 17, 63, 128 };
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		void *nowhere = memory, *somewhere = NULL;
		assert_int_equal(sp_arena_take(&plan, counts[i], sizeof(float), &nowhere), SP_OK);
		assert_int_equal(sp_arena_take(&run, counts[i], sizeof(float), &somewhere), SP_OK);
		assert_null(nowhere);
		assert_non_null(somewhere);
		assert_int_equal((uintptr_t)somewhere % 64, 0);
	}
	assert_int_equal(plan.used, run.used);
	assert_int_equal(plan.high, run.high);
	assert_int_equal(run.used, 64 + 0 + 64 + 128 + 256 + 512);
}

static void released_memory_is_handed_out_again_and_the_mark_stays(void **state)
{
	(void)state;
	static _Alignas(64) char memory[256];
	struct sp_arena arena = { memory, sizeof memory, 0, 0 };
	void *first, *again;
	assert_int_equal(sp_arena_take(&arena, 100, 1, &first), SP_OK);
	sp_arena_release(&arena, 0);
	assert_int_equal(sp_arena_take(&arena, 10, 1, &again), SP_OK);
	assert_ptr_equal(first, again);
	assert_int_equal(arena.used, 64);
	assert_int_equal(arena.high, 128);
}

static void what_does_not_fit_is_refused_and_takes_nothing(void **state)
{
	(void)state;
	static _Alignas(64) char memory[128];
	struct sp_arena arena = { memory, sizeof memory, 0, 0 };
	void *p = memory;
	assert_int_equal(sp_arena_take(&arena, 129, 1, &p), SP_ERR_MEMORY);
	assert_null(p);
	assert_int_equal(sp_arena_take(&arena, -1, 4, &p), SP_ERR_MEMORY);
	assert_int_equal(sp_arena_take(&arena, INT64_MAX, 4, &p), SP_ERR_MEMORY);
	assert_int_equal(arena.used, 0);
	assert_int_equal(sp_arena_take(&arena, 128, 1, &p), SP_OK);
	assert_int_equal(sp_arena_take(&arena, 1, 1, &p), SP_ERR_MEMORY);
}

static void a_count_too_large_for_memory_is_refused_while_planning_too(void **state)
{
	(void)state;
	struct sp_arena plan = { NULL, 0, 0, 0 };
	void *p;
	assert_int_equal(sp_arena_take(&plan, INT64_MAX, 4, &p), SP_ERR_MEMORY);
	assert_int_equal(sp_arena_take(&plan, INT64_MAX, 1, &p), SP_OK);
	assert_int_equal(sp_arena_take(&plan, INT64_MAX, 1, &p), SP_ERR_MEMORY);
}

static void a_matrix_takes_as_much_as_its_dtype_needs(void **state)
{
	(void)state;
	static _Alignas(64) char memory[1 << 12];
	static const enum sp_dtype dtypes[] = { SP_F32, SP_BF16, SP_F16 };
	static const size_t sizes[] = { 4, 2, 2 };
	static const char *const names[] = { "f32", "bf16", "f16" };
	for (int i = 0; i < 3; i++) {
		struct sp_arena arena = { memory, sizeof memory, 0, 0 };
		struct sp_matrix m;
		assert_int_equal(sp_dtype_size(dtypes[i]), sizes[i]);
		assert_string_equal(sp_dtype_name(dtypes[i]), names[i]);
		assert_int_equal(sp_arena_take_matrix_of(&arena, 8, 24, dtypes[i], &m), SP_OK);
		assert_int_equal(arena.used, 8 * 24 * sizes[i]);
		assert_true(m.data == memory && m.rows == 8 && m.cols == 24 && m.stride == 24 && m.dtype == dtypes[i]);
		const struct sp_matrix part = sp_matrix_columns(sp_matrix_rows(m, 3, 2), 5, 7);
		assert_ptr_equal(part.data, memory + (3 * 24 + 5) * sizes[i]);
		assert_int_equal(part.dtype, dtypes[i]);
		assert_int_equal(sp_arena_take_matrix_of(&arena, 1 << 12, 1, dtypes[i], &m), SP_ERR_MEMORY);
		assert_null(m.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counting_and_carving_agree),
		cmocka_unit_test(released_memory_is_handed_out_again_and_the_mark_stays),
		cmocka_unit_test(what_does_not_fit_is_refused_and_takes_nothing),
		cmocka_unit_test(a_matrix_takes_as_much_as_its_dtype_needs),
		cmocka_unit_test(a_count_too_large_for_memory_is_refused_while_planning_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
