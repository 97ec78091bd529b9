/* What the time goes into: on a device whose clock goes on by one with each operation, every operation of the table must be counted
 * once, in its class, and nothing else. */
#include "config.h"

#include "support.h"

#include "backend/compute.h"

#include <stdlib.h>

static struct sp_compute *spy;

enum { NONE = SP_CLASSES }; /* of members that are no operation of a step */

static float x[8], y[8], m[8], v[8];
static int32_t ids[8];
static struct sp_step step;
static double loss;

#define EMPTY(name, ...) \
	static int name(void) \
	{ \
		const struct sp_##name a = { __VA_ARGS__ }; \
		return sp_compute_##name(spy, &a); \
	}
#define NO_DROPOUT .dropout = { { 0, 0 }, 65536 }
#define SHAPE .shape = { .heads = 1, .head_dim = 1, .dropout = { { 0, 0 }, 65536 } }
#define HEADS .heads = 1, .head_dim = 1
#define ROW { NULL, 0, 1, 1, SP_F32 }  /* no rows of one column */
#define LINE { NULL, 1, 0, 0, SP_F32 } /* a row of no columns */
#define STATS { NULL, 0, 4, 4, SP_F32 }

EMPTY(linear_forward, .act = SP_ACT_NONE)
EMPTY(linear_backward_input, .act = SP_ACT_NONE)
EMPTY(linear_backward_weight, .dbias = { 0 })
EMPTY(activation_backward, .act = SP_ACT_GELU)
EMPTY(norm_forward, NO_DROPOUT)
EMPTY(norm_backward, NO_DROPOUT)
EMPTY(attention_forward, SHAPE, .q = ROW, .k = ROW, .v = ROW, .acc = ROW)
EMPTY(attention_finish, HEADS, .acc = ROW, .o = ROW)
EMPTY(attention_merge, HEADS, .acc = ROW, .from_acc = ROW)
EMPTY(attention_dots, HEADS, .dout = ROW, .o = ROW)
EMPTY(attention_backward, SHAPE, .q = ROW, .k = ROW, .v = ROW, .dout = ROW, .dq = ROW, .dk = ROW, .dv = ROW)
EMPTY(scores_mask, SHAPE)
EMPTY(scores_softmax, .lse = LINE)
EMPTY(scores_drop, SHAPE)
EMPTY(scores_backward, SHAPE)
EMPTY(rotate, .head_dim = 2, .base = 10)
EMPTY(embedding_forward, NO_DROPOUT)
EMPTY(embedding_backward, NO_DROPOUT)
EMPTY(cross_entropy, .loss = &loss)
EMPTY(tanh_backward, .y = { 0 })
EMPTY(entropy_part, .label = ids, .stats = STATS)
EMPTY(entropy_whole, .label = ids, .loss = &loss, .stats = STATS)
EMPTY(sum_squares, .sum = &step.sum)
EMPTY(decide, .step = &step)
EMPTY(adamw, .w = x, .m = m, .v = v, .g = y, .step = &step, .n = 8)

static const struct sp_row_move no_rows;
static const struct sp_words no_words;
static const struct sp_matrix nothing;

#define CALL(name, ...) \
	static int name(void) \
	{ \
		return sp_compute_##name(spy, __VA_ARGS__); \
	}
CALL(gather_rows, &no_rows)
CALL(scatter_add_rows, &no_rows)
CALL(words_forward, &no_words)
CALL(words_backward, &no_words)
CALL(tanh_forward, nothing)
CALL(copy_in, x, y, 4)
CALL(copy_out, x, y, 4)
CALL(upload, x, y, 4)
CALL(zero, x, 4)
CALL(copy_rows, nothing, nothing)
CALL(convert, nothing, nothing)
CALL(add, x, y, 8)

#define IN(which, name) { #name, SP_CLASS_##which, name }
#define OUTSIDE(name) { #name, NONE, NULL }

/* All members of the table. */
static const struct {
	const char *name;
	int which;
	int (*call)(void);
} members[] = {
	OUTSIDE(open), OUTSIDE(close), OUTSIDE(describe), OUTSIDE(supports), OUTSIDE(chunk_multiple), OUTSIDE(threads),
	OUTSIDE(multiplies), OUTSIDE(alloc), OUTSIDE(free), OUTSIDE(sync), OUTSIDE(alloc_host), OUTSIDE(free_host), OUTSIDE(queue),
	OUTSIDE(mark), OUTSIDE(between), OUTSIDE(graph_begin), OUTSIDE(graph_end), OUTSIDE(graph_launch), OUTSIDE(graph_free), OUTSIDE(gemm_rate), OUTSIDE(memory_rate),
	IN(PRODUCTS, linear_forward), IN(PRODUCTS, linear_backward_input), IN(PRODUCTS, linear_backward_weight),
	IN(ATTENTION, attention_forward), IN(ATTENTION, attention_finish), IN(ATTENTION, attention_merge), IN(ATTENTION, attention_dots),
	IN(ATTENTION, attention_backward), IN(ATTENTION, scores_mask), IN(ATTENTION, scores_softmax), IN(ATTENTION, scores_drop),
	IN(ATTENTION, scores_backward),
	IN(ELEMENTS, activation_backward), IN(ELEMENTS, norm_forward), IN(ELEMENTS, norm_backward), IN(ELEMENTS, rotate),
	IN(ELEMENTS, embedding_forward), IN(ELEMENTS, embedding_backward), IN(ELEMENTS, gather_rows), IN(ELEMENTS, scatter_add_rows),
	IN(ELEMENTS, cross_entropy), IN(ELEMENTS, tanh_forward), IN(ELEMENTS, tanh_backward), IN(ELEMENTS, words_forward),
	IN(ELEMENTS, words_backward), IN(ELEMENTS, entropy_part), IN(ELEMENTS, entropy_whole), IN(ELEMENTS, add), IN(ELEMENTS, zero),
	IN(ELEMENTS, copy_rows), IN(ELEMENTS, convert),
	IN(OPTIMIZER, sum_squares), IN(OPTIMIZER, decide), IN(OPTIMIZER, adamw),
	IN(COPIES, copy_in), IN(COPIES, copy_out), IN(COPIES, upload),
};
_Static_assert(sizeof(struct sp_compute_ops) == sizeof members / sizeof *members * sizeof(void (*)(void)), "a member is not listed");

static void expect(const double got[SP_CLASSES], const double want[SP_CLASSES], const char *what)
{
	for (int i = 0; i < SP_CLASSES; i++)
		if (got[i] != want[i])
			fail_msg("%s: %g operations of class %s, expected %g", what, got[i], sp_class_name((enum sp_class)i), want[i]);
}

static void every_operation_counts_once_in_its_class(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		double got[SP_CLASSES], want[SP_CLASSES] = { 0 };
		if (members[i].which == NONE)
			continue;
		want[members[i].which] = 1;
		if (members[i].call())
			fail_msg("%s was refused", members[i].name);
		assert_int_equal(sp_compute_shares_take(spy, got), SP_OK);
		expect(got, want, members[i].name);
	}
}

static void operations_add_up_until_they_are_taken(void **state)
{
	enum { ROUNDS = 700 }; /* more than there is room for at first */
	double got[SP_CLASSES], want[SP_CLASSES] = { 0 };
	(void)state;
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < sizeof members / sizeof *members; i++)
			if (members[i].which != NONE) {
				assert_int_equal(members[i].call(), SP_OK);
				want[members[i].which]++;
			}
	assert_int_equal(sp_compute_shares_take(spy, got), SP_OK);
	expect(got, want, "many");
	assert_int_equal(sp_compute_shares_take(spy, got), SP_OK);
	expect(got, (const double[SP_CLASSES]){ 0 }, "what was taken before");
}

/* An operation that the wrapper refuses leaves no span open. */
static void what_is_refused_does_not_count(void **state)
{
	double got[SP_CLASSES];
	(void)state;
	assert_int_equal(sp_compute_add(spy, x, NULL, 8), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_copy_in(spy, x, NULL, 4), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_zero(spy, x, 0), SP_OK);
	assert_int_equal(sp_compute_shares_take(spy, got), SP_OK);
	expect(got, (const double[SP_CLASSES]){ 0 }, "nothing");
}

static void one_more(void *context)
{
	*(int *)context += 1;
	assert_int_equal(sp_compute_add(spy, x, y, 8), SP_OK);
}

/* What is queued between operations is not part of the one before. */
static void operations_between_operations_count_for_themselves(void **state)
{
	int polls = 0;
	double got[SP_CLASSES], want[SP_CLASSES] = { 0 };
	const struct sp_compute_poll poll = { .between = one_more, .ctx = &polls };
	(void)state;
	sp_compute_set_poll(spy, &poll);
	assert_int_equal(linear_forward(), SP_OK);
	sp_compute_set_poll(spy, NULL);
	assert_int_equal(polls, 1);
	want[SP_CLASS_PRODUCTS] = want[SP_CLASS_ELEMENTS] = 1;
	assert_int_equal(sp_compute_shares_take(spy, got), SP_OK);
	expect(got, want, "a product and an addition");
}

int main(void)
{
	setenv("SEQPAR_MODULE_PATH", "tests/unit/backend/spy/.libs", 1);
	struct sp_compute_options options = { 0 };
	char text[8], warning[8] = "x";
	if (sp_compute_open("cpu", &options, &spy))
		return 77;
	sp_compute_describe(spy, text, sizeof text, warning, sizeof warning);
	if (text[0]) /* linked in: this is the real one */
		return 77;
	if (sp_compute_shares_start(spy))
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_operation_counts_once_in_its_class),
		cmocka_unit_test(operations_add_up_until_they_are_taken),
		cmocka_unit_test(what_is_refused_does_not_count),
		cmocka_unit_test(operations_between_operations_count_for_themselves),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	sp_compute_close(spy);
	return failed;
}
