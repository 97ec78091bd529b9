/* The wrappers of the compute table pass on what fits and nothing else. One table says for every operation which of its
 * matrices are required or written; each is then spoilt in every way it can be. */
#include "config.h"

#include "support.h"

#include "backend/compute.h"

#include <stdlib.h>
#include <string.h>

enum { T = 6, K = 4, N = 5, H = 8, A = 2, D = 4, B = 2, C = 3, KEYS = 7, V = 11 };

static struct sp_compute *spy;
static int *calls; /* operations that reached the module */

/* Every matrix gets memory of its own. */
static float memory[1 << 16];
static size_t used;

static struct sp_matrix fresh(int64_t rows, int64_t cols)
{
	struct sp_matrix m = sp_matrix(memory + used, rows, cols + 3);
	used += (size_t)((rows + 1) * m.cols); /* room for a row too many */
	assert_true(used < sizeof memory / sizeof *memory);
	return sp_matrix_columns(m, 1, cols);
}

static int32_t ids[64];
static uint32_t samples[B];
static const struct sp_dropout half = { .key = { 1, 2 }, .keep = 32768 };
static const struct sp_dropout none = { .key = { 0, 0 }, .keep = 65536 };
static const struct sp_rows rows = { B, C, samples, 0 };

static struct sp_attention_shape shape(void)
{
	return (struct sp_attention_shape){ .batch = B, .heads = A, .head_dim = D, .chunk = C, .keys = KEYS, .scale = 0.5f,
		                                .query_doc = ids, .key_doc = ids, .sample = samples, .dropout = half };
}

/* An operation with good arguments: `args` points to them. */
struct op {
	const char *name;
	int (*call)(const void *args);
	const void *args;
	size_t size;
};

enum { REQUIRED = 0, OPTIONAL = 1, OUT = 2, ANY_ROWS = 4, ANY = 8, E = 16 }; /* E: float32, bfloat16 or float16 */

struct field {
	const char *op, *name;
	size_t offset;
	int flags;
};

#define CALL(name) static int name(const void *args) { return sp_compute_##name(spy, args); }
CALL(linear_forward)
CALL(linear_backward_input)
CALL(linear_backward_weight)
CALL(activation_backward)
CALL(norm_forward)
CALL(norm_backward)
CALL(attention_forward)
CALL(attention_finish)
CALL(attention_merge)
CALL(attention_dots)
CALL(attention_backward)
CALL(embedding_forward)
CALL(embedding_backward)
CALL(gather_rows)
CALL(scatter_add_rows)
CALL(cross_entropy)
CALL(tanh_backward)

static struct sp_linear_forward a_linear_forward;
static struct sp_linear_backward_input a_linear_backward_input;
static struct sp_linear_backward_weight a_linear_backward_weight;
static struct sp_activation_backward a_activation_backward;
static struct sp_norm_forward a_norm_forward;
static struct sp_norm_backward a_norm_backward;
static struct sp_attention_forward a_attention_forward;
static struct sp_attention_finish a_attention_finish;
static struct sp_attention_merge a_attention_merge;
static struct sp_attention_dots a_attention_dots;
static struct sp_attention_backward a_attention_backward;
static struct sp_embedding_forward a_embedding_forward;
static struct sp_embedding_backward a_embedding_backward;
static struct sp_row_move a_gather_rows, a_scatter_add_rows;
static struct sp_cross_entropy a_cross_entropy;
static struct sp_tanh_backward a_tanh_backward;
static double loss;

#define OP(name) { #name, name, &a_##name, sizeof a_##name }
static const struct op ops[] = {
	OP(linear_forward), OP(linear_backward_input), OP(linear_backward_weight), OP(activation_backward), OP(norm_forward),
	OP(norm_backward), OP(attention_forward), OP(attention_finish), OP(attention_merge), OP(attention_dots),
	OP(attention_backward),
	OP(embedding_forward), OP(embedding_backward), OP(gather_rows), OP(scatter_add_rows), OP(cross_entropy),
	OP(tanh_backward),
};

#define FIELD(op, member, flags) { #op, #member, offsetof(__typeof__(a_##op), member), flags }
static const struct field fields[] = {
	FIELD(linear_forward, x, E), FIELD(linear_forward, w, E), FIELD(linear_forward, bias, OPTIONAL),
	FIELD(linear_forward, y, OUT | E), FIELD(linear_forward, pre, OUT | E),
	FIELD(linear_backward_input, dy, E), FIELD(linear_backward_input, w, E),
	FIELD(linear_backward_input, dx, OUT | E), FIELD(linear_backward_input, pre, E),
	FIELD(linear_backward_input, dbias, OUT | OPTIONAL),
	FIELD(linear_backward_weight, dy, E), FIELD(linear_backward_weight, x, E),
	FIELD(linear_backward_weight, dw, OUT), FIELD(linear_backward_weight, dbias, OUT | OPTIONAL),
	FIELD(activation_backward, pre, E), FIELD(activation_backward, dx, OUT | E),
	FIELD(norm_forward, x, OUT | E), FIELD(norm_forward, bias, OPTIONAL), FIELD(norm_forward, residual, OPTIONAL | E),
	FIELD(norm_forward, gamma, REQUIRED), FIELD(norm_forward, beta, REQUIRED), FIELD(norm_forward, y, OUT | E),
	FIELD(norm_forward, mean, OUT), FIELD(norm_forward, rstd, OUT),
	FIELD(norm_backward, dy, E), FIELD(norm_backward, dsum, OPTIONAL | E), FIELD(norm_backward, s, E),
	FIELD(norm_backward, gamma, REQUIRED), FIELD(norm_backward, mean, REQUIRED), FIELD(norm_backward, rstd, REQUIRED),
	FIELD(norm_backward, dx, OUT | E), FIELD(norm_backward, dresidual, OUT | OPTIONAL | E),
	FIELD(norm_backward, dbias, OUT | OPTIONAL), FIELD(norm_backward, dgamma, OUT), FIELD(norm_backward, dbeta, OUT),
	FIELD(attention_forward, q, E), FIELD(attention_forward, k, E), FIELD(attention_forward, v, E),
	FIELD(attention_forward, acc, OUT), FIELD(attention_forward, m, OUT), FIELD(attention_forward, l, OUT),
	FIELD(attention_finish, acc, REQUIRED), FIELD(attention_finish, m, REQUIRED), FIELD(attention_finish, l, REQUIRED),
	FIELD(attention_finish, o, OUT | E), FIELD(attention_finish, lse, OUT),
	FIELD(attention_merge, acc, OUT), FIELD(attention_merge, m, OUT), FIELD(attention_merge, l, OUT),
	FIELD(attention_merge, from_acc, REQUIRED), FIELD(attention_merge, from_m, REQUIRED),
	FIELD(attention_merge, from_l, REQUIRED),
	FIELD(attention_dots, dout, E), FIELD(attention_dots, o, E), FIELD(attention_dots, dots, OUT),
	FIELD(attention_backward, q, E), FIELD(attention_backward, k, E),
	FIELD(attention_backward, v, E), FIELD(attention_backward, o, OPTIONAL | E), FIELD(attention_backward, dout, E),
	FIELD(attention_backward, lse, REQUIRED), FIELD(attention_backward, dots, REQUIRED),
	FIELD(attention_backward, dq, OUT), FIELD(attention_backward, dk, OUT), FIELD(attention_backward, dv, OUT),
	FIELD(embedding_forward, word, ANY_ROWS), FIELD(embedding_forward, position, ANY_ROWS | OPTIONAL),
	FIELD(embedding_forward, type, ANY_ROWS), FIELD(embedding_forward, gamma, REQUIRED),
	FIELD(embedding_forward, beta, REQUIRED), FIELD(embedding_forward, s, OUT | E), FIELD(embedding_forward, y, OUT | E),
	FIELD(embedding_forward, mean, OUT), FIELD(embedding_forward, rstd, OUT),
	FIELD(embedding_backward, dy, OUT | E), FIELD(embedding_backward, s, E),
	FIELD(embedding_backward, gamma, REQUIRED), FIELD(embedding_backward, mean, REQUIRED),
	FIELD(embedding_backward, rstd, REQUIRED), FIELD(embedding_backward, dword, OUT | ANY_ROWS),
	FIELD(embedding_backward, dposition, OUT | ANY_ROWS | OPTIONAL), FIELD(embedding_backward, dtype, OUT | ANY_ROWS),
	FIELD(embedding_backward, dgamma, OUT), FIELD(embedding_backward, dbeta, OUT),
	FIELD(gather_rows, x, ANY_ROWS | E), FIELD(gather_rows, y, OUT | E),
	FIELD(scatter_add_rows, x, E), FIELD(scatter_add_rows, y, OUT | ANY_ROWS | E),
	FIELD(cross_entropy, logits, OUT | ANY | E),
	FIELD(tanh_backward, y, E), FIELD(tanh_backward, dx, OUT | E),
};

static int make_good_arguments(void **state)
{
	(void)state;
	used = 0;
	a_linear_forward = (struct sp_linear_forward){ fresh(T, K), fresh(N, K), fresh(1, N), fresh(T, N), fresh(T, N),
		                                           SP_ACT_GELU };
	a_linear_backward_input = (struct sp_linear_backward_input){ fresh(T, N), fresh(N, K), fresh(T, K), fresh(T, K),
		                                                         fresh(1, K), SP_ACT_GELU, 0 };
	a_linear_backward_weight = (struct sp_linear_backward_weight){ fresh(T, N), fresh(T, K), fresh(N, K), fresh(1, N) };
	a_activation_backward = (struct sp_activation_backward){ fresh(T, N), fresh(T, N), SP_ACT_GELU_TANH };
	a_norm_forward = (struct sp_norm_forward){ fresh(T, H), fresh(1, H), fresh(T, H), fresh(1, H), fresh(1, H),
		                                       fresh(T, H), fresh(1, T), fresh(1, T), 1e-12f, half, rows };
	a_norm_backward = (struct sp_norm_backward){ fresh(T, H), fresh(T, H), fresh(T, H), fresh(1, H), fresh(1, T),
		                                         fresh(1, T), fresh(T, H), fresh(T, H), fresh(1, H), fresh(1, H),
		                                         fresh(1, H), half, rows };
	a_attention_forward = (struct sp_attention_forward){ shape(), fresh(T, H), fresh(B * KEYS, H), fresh(B * KEYS, H),
		                                                 fresh(T, H), fresh(B * A, C), fresh(B * A, C), 1 };
	a_attention_finish = (struct sp_attention_finish){ B, A, D, C, fresh(T, H), fresh(B * A, C), fresh(B * A, C),
		                                               fresh(T, H), fresh(B * A, C) };
	a_attention_merge = (struct sp_attention_merge){ B, A, D, C, fresh(T, H), fresh(B * A, C), fresh(B * A, C),
		                                             fresh(T, H), fresh(B * A, C), fresh(B * A, C) };
	a_attention_dots = (struct sp_attention_dots){ B, A, D, C, fresh(T, H), fresh(T, H), fresh(B * A, C) };
	a_attention_backward = (struct sp_attention_backward){ shape(), fresh(T, H), fresh(B * KEYS, H), fresh(B * KEYS, H), fresh(T, H),
		                                                   fresh(T, H), fresh(B * A, C), fresh(B * A, C), fresh(T, H),
		                                                   fresh(B * KEYS, H), fresh(B * KEYS, H), 0, 0 };
	a_embedding_forward = (struct sp_embedding_forward){ ids, ids, ids, fresh(V, H), fresh(9, H), fresh(2, H), fresh(1, H),
		                                                 fresh(1, H), fresh(T, H), fresh(T, H), fresh(1, T), fresh(1, T),
		                                                 1e-12f, half, rows };
	a_embedding_backward = (struct sp_embedding_backward){ ids, ids, ids, fresh(T, H), fresh(T, H), fresh(1, H),
		                                                   fresh(1, T), fresh(1, T), fresh(V, H), fresh(9, H),
		                                                   fresh(2, H), fresh(1, H), fresh(1, H), half, rows };
	a_gather_rows = (struct sp_row_move){ ids, 3, fresh(T, H), fresh(3, H) };
	a_scatter_add_rows = (struct sp_row_move){ ids, 3, fresh(3, H), fresh(T, H) };
	a_cross_entropy = (struct sp_cross_entropy){ fresh(T, V), ids, &loss, NULL, 1, 1 };
	a_tanh_backward = (struct sp_tanh_backward){ fresh(T, H), fresh(T, H) };
	return 0;
}

static const struct op *op_of(const struct field *f)
{
	const struct op *o = ops;
	while (strcmp(o->name, f->op) != 0)
		o++;
	return o;
}

/* Whether the operation, with field f replaced by m, reaches the module. */
static int passes(const struct field *f, struct sp_matrix m)
{
	const struct op *o = op_of(f);
	_Alignas(16) char args[1024];
	assert_true(o->size <= sizeof args);
	memcpy(args, o->args, o->size);
	memcpy(args + f->offset, &m, sizeof m);
	int before = *calls, status = o->call(args);
	assert_true(status == SP_OK || status == SP_ERR_SHAPE);
	assert_int_equal(*calls - before, status == SP_OK);
	return status == SP_OK;
}

static struct sp_matrix field_of(const struct field *f)
{
	struct sp_matrix m;
	memcpy(&m, (const char *)op_of(f)->args + f->offset, sizeof m);
	return m;
}

#define EACH(f) for (const struct field *f = fields; f < fields + sizeof fields / sizeof *fields; f++)

static void expect(const struct field *f, struct sp_matrix m, int pass, const char *how)
{
	if (passes(f, m) != pass)
		fail_msg("%s with %s %s was %s", f->op, f->name, how, pass ? "refused" : "passed on");
}

static void good_arguments_pass(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		int before = *calls;
		assert_int_equal(ops[i].call(ops[i].args), SP_OK);
		assert_int_equal(*calls, before + 1);
	}
}

static void a_wrong_shape_is_refused(void **state)
{
	(void)state;
	EACH(f) {
		struct sp_matrix good = field_of(f), m = good;
		m.rows = good.rows + 1;
		expect(f, m, !!(f->flags & (ANY_ROWS | ANY)), "a row longer");
		m.rows = -1;
		expect(f, m, 0, "of negative length");
		m = good;
		m.cols = good.cols + 1;
		expect(f, m, !!(f->flags & ANY), "a column wider");
		m.cols = good.cols;
		m.stride = good.cols - 1;
		expect(f, m, 0, "of overlapping rows");
	}
}

static void a_wrong_dtype_is_refused(void **state)
{
	(void)state;
	EACH(f) {
		struct sp_matrix m = field_of(f);
		m.dtype = SP_F64;
		expect(f, m, 0, "in f64");
		m.dtype = SP_DTYPES;
		expect(f, m, 0, "of unknown dtype");
	}
}

/* All matrices marked E of an operation, or all but one. */
static void set_elements(const struct op *o, char *args, const struct field *but, enum sp_dtype dtype)
{
	EACH(f) {
		struct sp_matrix m = field_of(f);
		if (op_of(f) != o || !(f->flags & E) || f == but)
			continue;
		m.dtype = dtype;
		memcpy(args + f->offset, &m, sizeof m);
	}
}

static int elements_of(const struct op *o)
{
	int n = 0;
	EACH(f)
		n += op_of(f) == o && f->flags & E;
	return n;
}

static void activations_share_a_dtype(void **state)
{
	static const enum sp_dtype dtypes[] = { SP_BF16, SP_F16 };
	(void)state;
	for (size_t d = 0; d < 2; d++)
		for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
			_Alignas(16) char args[1024];
			memcpy(args, ops[i].args, ops[i].size);
			set_elements(&ops[i], args, NULL, dtypes[d]);
			if (ops[i].call(args) != SP_OK)
				fail_msg("%s was refused in %s", ops[i].name, sp_dtype_name(dtypes[d]));
		}
	EACH(f) {
		const struct op *o = op_of(f);
		_Alignas(16) char args[1024];
		if (!(f->flags & E) || elements_of(o) < 2)
			continue;
		memcpy(args, o->args, o->size);
		set_elements(o, args, f, SP_BF16);
		int before = *calls;
		if (o->call(args) != SP_ERR_SHAPE || *calls != before)
			fail_msg("%s took %s in f32, all else in bf16", f->op, f->name);
	}
}

static void what_is_no_activation_stays_in_float32(void **state)
{
	(void)state;
	EACH(f) {
		struct sp_matrix m = field_of(f);
		m.dtype = SP_BF16;
		expect(f, m, f->flags & E && elements_of(op_of(f)) == 1, "alone in bf16");
		m.dtype = SP_I32;
		expect(f, m, 0, "in i32");
	}
}

static void convert_goes_between_dtypes_of_activations(void **state)
{
	static float from[64], to[64];
	static const enum sp_dtype dtypes[] = { SP_F32, SP_BF16, SP_F16 }, others[] = { SP_F64, SP_I32, SP_I64, SP_DTYPES };
	(void)state;
	assert_true(sp_compute_has_convert(spy));
	for (int i = 0; i < 9; i++) {
		const struct sp_matrix x = sp_matrix_of(from, 4, 8, dtypes[i / 3]), y = sp_matrix_of(to, 4, 8, dtypes[i % 3]);
		const int before = *calls;
		assert_int_equal(sp_compute_convert(spy, x, y), SP_OK);
		assert_int_equal(*calls, before + 1);
	}
	const int before = *calls;
	const struct sp_matrix x = sp_matrix_of(from, 4, 8, SP_F32), y = sp_matrix_of(to, 4, 8, SP_BF16);
	for (int i = 0; i < 4; i++) {
		struct sp_matrix other = x;
		other.dtype = others[i];
		assert_int_equal(sp_compute_convert(spy, other, y), SP_ERR_SHAPE);
		other = y;
		other.dtype = others[i];
		assert_int_equal(sp_compute_convert(spy, x, other), SP_ERR_SHAPE);
	}
	assert_int_equal(sp_compute_convert(spy, x, sp_matrix_rows(y, 0, 3)), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_convert(spy, x, sp_matrix_columns(y, 0, 7)), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_convert(spy, x, sp_matrix_of(from, 4, 8, SP_BF16)), SP_ERR_SHAPE);
	assert_int_equal(*calls, before);
}

static void only_optional_matrices_may_be_absent(void **state)
{
	(void)state;
	/* y of norm_forward and dy of norm_backward may be absent, but not while what belongs to them is given. */
	EACH(f) {
		struct sp_matrix m = field_of(f);
		m.data = NULL;
		expect(f, m, !!(f->flags & OPTIONAL), "absent");
	}
}

static void outputs_that_overlap_anything_are_refused(void **state)
{
	(void)state;
	EACH(f) {
		if (!(f->flags & OUT))
			continue;
		EACH(other) {
			if (op_of(f) != op_of(other) || f == other)
				continue;
			struct sp_matrix m = field_of(f);
			m.data = (float *)field_of(other).data + 1; /* never exactly the same, so no exception applies */
			m.stride = m.cols + 1;
			expect(f, m, 0, other->name);
		}
	}
}

static void columns_of_one_packed_matrix_do_not_overlap(void **state)
{
	(void)state;
	struct sp_matrix packed = fresh(B * KEYS, 3 * H);
	a_attention_backward.shape.chunk = KEYS;
	a_attention_backward.q = fresh(B * KEYS, H);
	a_attention_backward.o = a_attention_backward.dout = fresh(B * KEYS, H);
	a_attention_backward.lse = fresh(B * A, KEYS);
	a_attention_backward.dots = fresh(B * A, KEYS);
	a_attention_backward.dq = sp_matrix_columns(packed, 0, H);
	a_attention_backward.dk = sp_matrix_columns(packed, H, H);
	a_attention_backward.dv = sp_matrix_columns(packed, 2 * H, H);
	assert_int_equal(attention_backward(&a_attention_backward), SP_OK);
	a_attention_backward.dv = sp_matrix_columns(packed, 2 * H - 1, H);
	assert_int_equal(attention_backward(&a_attention_backward), SP_ERR_SHAPE);
}

static void what_may_be_in_place_may_be_exactly_in_place(void **state)
{
	(void)state;
	a_attention_finish.o = a_attention_finish.acc;
	a_attention_finish.lse = a_attention_finish.l;
	assert_int_equal(attention_finish(&a_attention_finish), SP_OK);
	a_attention_finish.lse = a_attention_finish.m;
	assert_int_equal(attention_finish(&a_attention_finish), SP_OK);

	a_norm_backward.dx = a_norm_backward.dy;
	a_norm_backward.dresidual = a_norm_backward.dsum;
	assert_int_equal(norm_backward(&a_norm_backward), SP_OK);
	a_norm_backward.dresidual = a_norm_backward.dx;
	assert_int_equal(norm_backward(&a_norm_backward), SP_ERR_SHAPE);
	a_norm_backward.dropout = none;
	assert_int_equal(norm_backward(&a_norm_backward), SP_OK);

	a_embedding_forward.y = a_embedding_forward.s;
	assert_int_equal(embedding_forward(&a_embedding_forward), SP_ERR_SHAPE);
	memset(&a_embedding_forward.gamma, 0, sizeof a_embedding_forward.gamma);
	memset(&a_embedding_forward.beta, 0, sizeof a_embedding_forward.beta);
	memset(&a_embedding_forward.mean, 0, sizeof a_embedding_forward.mean);
	memset(&a_embedding_forward.rstd, 0, sizeof a_embedding_forward.rstd);
	assert_int_equal(embedding_forward(&a_embedding_forward), SP_OK);
}

static void a_norm_without_output_takes_none_of_its_parts(void **state)
{
	(void)state;
	struct sp_norm_forward a = { .x = a_norm_forward.x, .residual = a_norm_forward.residual, .dropout = none };
	assert_int_equal(norm_forward(&a), SP_OK);
	a.gamma = a_norm_forward.gamma;
	assert_int_equal(norm_forward(&a), SP_ERR_SHAPE);
	struct sp_norm_backward b = { .dsum = a_norm_backward.dsum, .dx = a_norm_backward.dx, .dropout = none };
	assert_int_equal(norm_backward(&b), SP_OK);
	b.dgamma = a_norm_backward.dgamma;
	assert_int_equal(norm_backward(&b), SP_ERR_SHAPE);
}

static void dropout_needs_a_chance_and_coordinates(void **state)
{
	(void)state;
	a_norm_forward.rows.chunk++;
	assert_int_equal(norm_forward(&a_norm_forward), SP_ERR_SHAPE);
	a_norm_forward.dropout = none;
	assert_int_equal(norm_forward(&a_norm_forward), SP_OK);
	a_norm_forward.dropout.keep = 0;
	assert_int_equal(norm_forward(&a_norm_forward), SP_ERR_SHAPE);
	a_norm_forward.dropout.keep = 65537;
	assert_int_equal(norm_forward(&a_norm_forward), SP_ERR_SHAPE);
	a_embedding_forward.rows.sample = NULL;
	assert_int_equal(embedding_forward(&a_embedding_forward), SP_ERR_SHAPE);
	a_attention_forward.shape.sample = NULL;
	assert_int_equal(attention_forward(&a_attention_forward), SP_ERR_SHAPE);
	a_attention_forward.shape.dropout = none;
	assert_int_equal(attention_forward(&a_attention_forward), SP_OK);
}

static void required_arrays_are_required(void **state)
{
	(void)state;
	a_attention_forward.shape.key_doc = NULL;
	assert_int_equal(attention_forward(&a_attention_forward), SP_ERR_SHAPE);
	a_embedding_backward.kind = NULL;
	assert_int_equal(embedding_backward(&a_embedding_backward), SP_ERR_SHAPE);
	a_gather_rows.index = NULL;
	assert_int_equal(gather_rows(&a_gather_rows), SP_ERR_SHAPE);
	a_scatter_add_rows.n = 2;
	assert_int_equal(scatter_add_rows(&a_scatter_add_rows), SP_ERR_SHAPE);
	a_cross_entropy.loss = NULL;
	assert_int_equal(cross_entropy(&a_cross_entropy), SP_ERR_SHAPE);
	a_cross_entropy.loss = &loss;
	a_cross_entropy.label = NULL;
	assert_int_equal(cross_entropy(&a_cross_entropy), SP_ERR_SHAPE);
}

static void an_activation_needs_its_input_and_a_fresh_output(void **state)
{
	(void)state;
	a_linear_forward.act = SP_ACT_NONE;
	memset(&a_linear_forward.pre, 0, sizeof a_linear_forward.pre);
	assert_int_equal(linear_forward(&a_linear_forward), SP_OK);
	a_linear_forward.act = 7;
	assert_int_equal(linear_forward(&a_linear_forward), SP_ERR_SHAPE);
	a_linear_backward_input.accumulate = 1;
	assert_int_equal(linear_backward_input(&a_linear_backward_input), SP_ERR_SHAPE);
	memset(&a_linear_backward_input.dbias, 0, sizeof a_linear_backward_input.dbias);
	assert_int_equal(linear_backward_input(&a_linear_backward_input), SP_ERR_SHAPE);
	a_linear_backward_input.act = SP_ACT_NONE;
	assert_int_equal(linear_backward_input(&a_linear_backward_input), SP_OK);
}

static void empty_operations_pass_without_memory(void **state)
{
	(void)state;
	struct sp_linear_forward a = { .x = { NULL, 0, K, K, SP_F32 }, .w = a_linear_forward.w, .y = { NULL, 0, N, N, SP_F32 } };
	assert_int_equal(linear_forward(&a), SP_OK);
	struct sp_row_move move = { NULL, 0, a_gather_rows.x, { NULL, 0, H, H, SP_F32 } };
	assert_int_equal(gather_rows(&move), SP_OK);
}

static void vectors_are_required_and_apart(void **state)
{
	(void)state;
	float x[8] = { 0 }, y[8] = { 0 }, m[8] = { 0 }, v[8] = { 0 };
	struct sp_step step = { .scale = 1 };
	assert_int_equal(sp_compute_add(spy, y, x, 8), SP_OK);
	assert_int_equal(sp_compute_add(spy, y, y + 4, 8), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_add(spy, y, NULL, 8), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_add(spy, y, x, -1), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_sum_squares(spy, &(struct sp_sum_squares){ x, 8, &step.sum }), SP_OK);
	assert_int_equal(sp_compute_sum_squares(spy, &(struct sp_sum_squares){ x, 8, NULL }), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_decide(spy, &(struct sp_decide){ .step = &step }), SP_OK);
	assert_int_equal(sp_compute_decide(spy, &(struct sp_decide){ .max_norm = 1 }), SP_ERR_SHAPE);
	struct sp_adamw adamw = { .w = x, .m = m, .v = v, .g = y, .step = &step, .n = 8 };
	assert_int_equal(sp_compute_adamw(spy, &adamw), SP_OK);
	adamw.g = x;
	assert_int_equal(sp_compute_adamw(spy, &adamw), SP_ERR_SHAPE);
	adamw.g = y;
	adamw.step = NULL;
	assert_int_equal(sp_compute_adamw(spy, &adamw), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_tanh_forward(spy, sp_matrix(NULL, 2, 2)), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_copy_rows(spy, sp_matrix(x, 2, 4), sp_matrix(y, 4, 2)), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_copy_rows(spy, sp_matrix(x, 2, 4), sp_matrix(y, 2, 4)), SP_OK);
	assert_int_equal(sp_compute_copy_in(spy, NULL, x, 4), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_upload(spy, NULL, x, 4), SP_ERR_SHAPE);
	assert_int_equal(sp_compute_upload(spy, y, x, 4), SP_OK);
	assert_int_equal(sp_compute_zero(spy, NULL, 0), SP_OK);
}

static void a_rate_is_asked_for_in_the_dtype_that_was_given(void **state)
{
	(void)state;
	for (int dtype = 0; dtype < SP_DTYPES; dtype++) {
		const int element = dtype == SP_F32 || dtype == SP_BF16 || dtype == SP_F16, before = *calls;
		double rate = 0;
		assert_int_equal(sp_compute_gemm_rate(spy, (enum sp_dtype)dtype, 2, 3, 4, 1, &rate), element ? SP_OK : SP_ERR_SHAPE);
		assert_int_equal(*calls, before + element);
		assert_true(rate == (element ? 1 + dtype : 0));
	}
	assert_int_equal(sp_compute_gemm_rate(spy, SP_F32, 2, 0, 4, 1, &(double){ 0 }), SP_ERR_SHAPE);
}

#define TEST(name) cmocka_unit_test_setup(name, make_good_arguments)

int main(void)
{
	setenv("SEQPAR_MODULE_PATH", "tests/unit/backend/spy/.libs", 1);
	struct sp_compute_options options = { 0 };
	char text[8], warning[8] = "x";
	void *counter;
	if (sp_compute_open("cpu", &options, &spy))
		return 77;
	sp_compute_describe(spy, text, sizeof text, warning, sizeof warning);
	if (text[0] || sp_compute_alloc(spy, 0, &counter)) /* linked in: this is the real one */
		return 77;
	calls = counter;
	const struct CMUnitTest tests[] = {
		TEST(good_arguments_pass),
		TEST(a_wrong_shape_is_refused),
		TEST(a_wrong_dtype_is_refused),
		TEST(activations_share_a_dtype),
		TEST(what_is_no_activation_stays_in_float32),
		TEST(convert_goes_between_dtypes_of_activations),
		TEST(only_optional_matrices_may_be_absent),
		TEST(outputs_that_overlap_anything_are_refused),
		TEST(columns_of_one_packed_matrix_do_not_overlap),
		TEST(what_may_be_in_place_may_be_exactly_in_place),
		TEST(a_norm_without_output_takes_none_of_its_parts),
		TEST(dropout_needs_a_chance_and_coordinates),
		TEST(required_arrays_are_required),
		TEST(an_activation_needs_its_input_and_a_fresh_output),
		TEST(empty_operations_pass_without_memory),
		TEST(vectors_are_required_and_apart),
		TEST(a_rate_is_asked_for_in_the_dtype_that_was_given),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	sp_compute_close(spy);
	return failed;
}
