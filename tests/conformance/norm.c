/* s = residual + dropout(x + bias), y = LayerNorm(s), and back. */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

static const struct shape {
	int64_t batch, chunk, H;
} shapes[] = {
	{ 1, 1, 1 }, { 1, 3, 2 },  { 3, 1, 7 }, { 1, 5, 64 },   { 1, 17, 127 }, { 3, 11, 768 },
	{ 0, 3, 8 }, { 3, 0, 8 },  { 2, 1, 1030 }, { 1, 2, 1032 },  { 2, 301, 96 }, { 1, 1031, 33 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const uint32_t sample[] = { 5, 4000000000u, 0 };

static struct sp_rows rows_of(struct shape s, const struct bytes *samples, enum side side)
{
	const struct sp_rows rows = { s.batch, s.chunk, at(samples, side), 1000003 };
	return rows;
}

/* No dropout, a tenth, more than half. */
static const uint32_t keeps[] = { 65536, 58982, 30001 };

/* ---- forward ---- */

struct forward_case {
	struct shape shape;
	int bias, residual, y, strided;
	uint32_t keep;
	double offset;
	enum bound bound;
};

static void forward_case(struct sp_compute *c, const struct forward_case *k)
{
	const struct shape s = k->shape;
	const int64_t T = s.batch * s.chunk;
	struct bench b;
	bench_open(&b, c, k->strided, "B %lld C %lld H %lld bias %d residual %d y %d keep %u strided %d", (long long)s.batch,
	           (long long)s.chunk, (long long)s.H, k->bias, k->residual, k->y, k->keep, k->strided);
	struct tensor *x = bench_element(&b, INOUT, T, s.H), *bias = bench_optional(&b, k->bias, IN, 1, s.H);
	struct tensor *residual = bench_optional_element(&b, k->residual, IN, T, s.H);
	struct tensor *gamma = bench_optional(&b, k->y, IN, 1, s.H), *beta = bench_optional(&b, k->y, IN, 1, s.H);
	struct tensor *y = bench_optional_element(&b, k->y, OUT, T, s.H), *mean = bench_optional(&b, k->y, OUT, 1, T);
	struct tensor *rstd = bench_optional(&b, k->y, OUT, 1, T);
	struct bytes *samples = bench_bytes(&b, IN, sample, sizeof sample);
	tensor_scale(x, 1, k->offset);
	struct sp_norm_forward args[2];
	for (int side = DEVICE; side <= REFERENCE; side++)
		args[side] = (struct sp_norm_forward){ .x = view(x, side),
			                               .bias = view(bias, side),
			                               .residual = view(residual, side),
			                               .gamma = view(gamma, side),
			                               .beta = view(beta, side),
			                               .y = view(y, side),
			                               .mean = view(mean, side),
			                               .rstd = view(rstd, side),
			                               .eps = 1e-12f,
			                               .dropout = bench_dropout(k->keep, side) };
	if (k->keep != 65536)
		for (int side = DEVICE; side <= REFERENCE; side++)
			args[side].rows = rows_of(s, samples, side);
	while (bench_again(&b))
		assert_int_equal(sp_compute_norm_forward(c, &args[DEVICE]), SP_OK);
	sp_reference_norm_forward(&args[REFERENCE]);
	/* Terms of size 1, which may cancel. */
	bench_expect_near(&b, x, BOUND_NORM_SUM, "s", sqrt((double)(T * s.H)));
	bench_expect(&b, y, k->bound, "y");
	bench_expect_near(&b, mean, k->bound, "mean", sqrt((double)T));
	bench_expect(&b, rstd, k->bound, "rstd");
	bench_close(&b);
}

void norm_forward_equals_reference(void **state)
{
	for (int i = 0; i < SHAPES; i++)
		for (int flags = 0; flags < 16; flags++)
			for (size_t keep = 0; keep < 3; keep++) {
				const struct forward_case k = { shapes[i],    flags & 1, flags >> 1 & 1, flags >> 2 & 1, flags >> 3 & 1,
					                        keeps[keep], 0,         BOUND_NORM_FORWARD };
				forward_case(*state, &k);
			}
}

void norm_forward_survives_an_offset(void **state)
{
	static const struct shape wide[] = { { 1, 5, 33 }, { 2, 16, 768 } };
	for (int i = 0; i < 2; i++)
		for (int sign = -1; sign < 2; sign += 2) {
			const struct forward_case k = { wide[i], 0, 0, 1, 0, 65536, 30.0 * sign, BOUND_NORM_FORWARD_OFFSET };
			forward_case(*state, &k);
		}
}

void norm_of_equal_values_is_beta(void **state)
{
	enum { T = 3, H = 37 };
	struct bench b;
	bench_open(&b, *state, 0, "rows of zeros");
	struct tensor *x = bench_element(&b, INOUT, T, H), *gamma = bench_tensor(&b, IN, 1, H), *beta = bench_tensor(&b, IN, 1, H);
	struct tensor *y = bench_element(&b, OUT, T, H), *mean = bench_tensor(&b, OUT, 1, T), *rstd = bench_tensor(&b, OUT, 1, T);
	tensor_scale(x, 0, 0);
	struct sp_norm_forward args[2];
	for (int side = DEVICE; side <= REFERENCE; side++)
		args[side] = (struct sp_norm_forward){ .x = view(x, side),
			                               .gamma = view(gamma, side),
			                               .beta = view(beta, side),
			                               .y = view(y, side),
			                               .mean = view(mean, side),
			                               .rstd = view(rstd, side),
			                               .eps = 1e-12f,
			                               .dropout = { .keep = 65536 } };
	while (bench_again(&b))
		assert_int_equal(sp_compute_norm_forward(*state, &args[DEVICE]), SP_OK);
	sp_reference_norm_forward(&args[REFERENCE]);
	bench_expect(&b, y, BOUND_NORM_FORWARD, "y");
	bench_expect(&b, rstd, BOUND_NORM_FORWARD, "rstd");
	bench_close(&b);
}

void norm_dropout_keeps_almost_nothing(void **state)
{
	static const uint32_t few[] = { 1, 2, 300, 65535 };
	for (int i = 0; i < 4; i++) {
		if (6 * 65536.0 / few[i] > bench_largest())
			continue; /* what is kept would be infinite */
		const struct forward_case k = { { 2, 301, 96 }, 1, 1, 0, 0, few[i], 0, BOUND_NORM_FORWARD };
		forward_case(*state, &k);
	}
}

/* ---- backward ---- */

/* Which tensor takes the place of dx and of dresidual. */
enum place { OWN, AS_DY, AS_DSUM, AS_DX, ABSENT };

struct backward_case {
	struct shape shape;
	int dy, dsum, dbias, strided;
	uint32_t keep;
	enum place dx, dresidual;
};

struct backward_tensors {
	struct tensor *dy, *dsum, *s, *gamma, *mean, *rstd, *dx, *dresidual, *dbias, *dgamma, *dbeta;
	struct bytes *samples;
};

static enum role role_of(const struct backward_case *k, enum place place)
{
	return k->dx == place || k->dresidual == place ? INOUT : IN;
}

static struct tensor *placed(struct bench *b, const struct backward_tensors *t, enum place place, int64_t T, int64_t H)
{
	struct tensor *const other[] = { NULL, t->dy, t->dsum, t->dx, NULL };
	return place == OWN ? bench_element(b, OUT, T, H) : other[place];
}

static struct backward_tensors backward_tensors(struct bench *b, const struct backward_case *k)
{
	const int64_t T = k->shape.batch * k->shape.chunk, H = k->shape.H;
	struct backward_tensors t = { 0 };
	t.dy = bench_optional_element(b, k->dy, role_of(k, AS_DY), T, H);
	t.dsum = bench_optional_element(b, k->dsum, role_of(k, AS_DSUM), T, H);
	t.s = bench_optional_element(b, k->dy, IN, T, H);
	t.gamma = bench_optional(b, k->dy, IN, 1, H);
	t.mean = bench_optional(b, k->dy, IN, 1, T);
	t.rstd = bench_optional(b, k->dy, IN, 1, T);
	t.dgamma = bench_optional(b, k->dy, INOUT, 1, H);
	t.dbeta = bench_optional(b, k->dy, INOUT, 1, H);
	t.dbias = bench_optional(b, k->dbias, INOUT, 1, H);
	t.dx = placed(b, &t, k->dx, T, H);
	t.dresidual = placed(b, &t, k->dresidual, T, H);
	t.samples = bench_bytes(b, IN, sample, sizeof sample);
	if (k->dy)
		tensor_statistics(t.s, t.mean, t.rstd);
	return t;
}

static struct sp_norm_backward backward_args(const struct backward_case *k, const struct backward_tensors *t, enum side side)
{
	struct sp_norm_backward args = {
		.dy = view(t->dy, side),
		.dsum = view(t->dsum, side),
		.s = view(t->s, side),
		.gamma = view(t->gamma, side),
		.mean = view(t->mean, side),
		.rstd = view(t->rstd, side),
		.dx = view(t->dx, side),
		.dresidual = view(t->dresidual, side),
		.dbias = view(t->dbias, side),
		.dgamma = view(t->dgamma, side),
		.dbeta = view(t->dbeta, side),
		.dropout = bench_dropout(k->keep, side),
	};
	if (k->keep != 65536)
		args.rows = rows_of(k->shape, t->samples, side);
	return args;
}

/* |rstd gamma dy|: the size of the terms of ds before the means are taken off, which leave nothing when H is 1 or 2. */
static double terms(const struct backward_tensors *t)
{
	double sum = 0;
	for (int64_t i = 0; t->dy && i < t->dy->rows; i++)
		for (int64_t h = 0; h < t->dy->cols; h++)
			sum += pow(t->rstd->value[i] * t->gamma->value[h] * t->dy->value[i * t->dy->cols + h], 2);
	return sqrt(sum);
}

static void backward_case(struct sp_compute *c, const struct backward_case *k)
{
	struct bench b;
	bench_open(&b, c, k->strided, "B %lld C %lld H %lld dy %d dsum %d dbias %d keep %u dx %d dresidual %d strided %d",
	           (long long)k->shape.batch, (long long)k->shape.chunk, (long long)k->shape.H, k->dy, k->dsum, k->dbias,
	           k->keep, k->dx, k->dresidual, k->strided);
	const struct backward_tensors t = backward_tensors(&b, k);
	const struct sp_norm_backward args[] = { backward_args(k, &t, DEVICE), backward_args(k, &t, REFERENCE) };
	const double size = terms(&t);
	while (bench_again(&b))
		assert_int_equal(sp_compute_norm_backward(c, &args[DEVICE]), SP_OK);
	sp_reference_norm_backward(&args[REFERENCE]);
	bench_expect_near(&b, t.dx, BOUND_NORM_BACKWARD, "dx", size);
	bench_expect_near(&b, t.dresidual, BOUND_NORM_BACKWARD, "dresidual", size);
	bench_expect_sums(&b, t.dbias, BOUND_NORM_BACKWARD, "dbias", size);
	bench_expect(&b, t.dgamma, BOUND_NORM_BACKWARD, "dgamma");
	bench_expect(&b, t.dbeta, BOUND_NORM_BACKWARD, "dbeta");
	bench_close(&b);
}

void norm_backward_equals_reference(void **state)
{
	for (int i = 0; i < SHAPES; i++)
		for (int flags = 0; flags < 32; flags++)
			for (size_t keep = 0; keep < 2; keep++) {
				const struct backward_case k = { shapes[i],        flags & 1,   flags >> 1 & 1, flags >> 2 & 1,
					                         flags >> 3 & 1,   keeps[keep], OWN,
					                         flags >> 4 ? OWN : ABSENT };
				backward_case(*state, &k);
			}
}

void norm_backward_may_alias(void **state)
{
	static const struct {
		enum place dx, dresidual;
		int only_without_dropout;
	} aliases[] = {
		{ AS_DY, OWN, 0 },  { AS_DSUM, OWN, 0 },  { OWN, AS_DY, 0 },      { OWN, AS_DSUM, 0 },  { AS_DY, AS_DSUM, 0 },
		{ AS_DSUM, AS_DY, 0 }, { OWN, AS_DX, 1 }, { AS_DY, AS_DX, 1 }, { AS_DSUM, AS_DX, 1 }, { AS_DY, ABSENT, 0 },
	};
	for (int i = 0; i < SHAPES; i++)
		for (size_t a = 0; a < sizeof aliases / sizeof *aliases; a++)
			for (int keep = 0; keep < (aliases[a].only_without_dropout ? 1 : 2); keep++) {
				const struct backward_case k = { shapes[i], 1, 1, 1, i % 2, keeps[keep], aliases[a].dx,
					                         aliases[a].dresidual };
				backward_case(*state, &k);
			}
}
