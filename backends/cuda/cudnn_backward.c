/* Backward attention (Dao et al. 2022, algorithm 4) in the only form for which cuDNN has a kernel: these eighteen operations in this
 * order. With s = scale q k^T, p = e^(s - stats), dots = rowsum(dout o), ds = scale p (dout v^T - dots):
 *   dv = p^T dout,   dk = ds^T q,   dq = ds k.
 * Keys and values enter with rows and columns exchanged. What is transposed in between is of 16 bits, all else inside float32. cuDNN
 * sums dq up in float32, in memory of ours and in any order. */
#include "config.h"

#include "cuda/cudnn_graph.h"

static const cudnnDataType_t F32 = CUDNN_DATA_FLOAT;

static void add(struct sp_cudnn_graph *g, cudnnBackendDescriptor_t operation)
{
	if (g->status == 0 && g->operations < SP_CUDNN_MOST_OPERATIONS)
		g->operation[g->operations++] = operation;
}

/* y = f(x, b); b NULL: f(x) */
static void point(struct sp_cudnn_graph *g, cudnnPointwiseMode_t f, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y)
{
	const cudnnBackendDescriptor_t how = sp_cudnn_make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
	sp_cudnn_set(g, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &f);
	sp_cudnn_set(g, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &F32);
	sp_cudnn_finish(g, how, "how elements are computed");
	const cudnnBackendDescriptor_t operation = sp_cudnn_make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
	if (b)
		sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
	sp_cudnn_finish(g, operation, "an operation on elements");
	add(g, operation);
}

/* c = a b */
static void multiply(struct sp_cudnn_graph *g, cudnnBackendDescriptor_t a, cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t c)
{
	const cudnnBackendDescriptor_t how = sp_cudnn_make(g, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
	sp_cudnn_set(g, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &F32);
	sp_cudnn_finish(g, how, "how matrices are multiplied");
	const cudnnBackendDescriptor_t operation = sp_cudnn_make(g, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
	sp_cudnn_finish(g, operation, "a product of matrices");
	add(g, operation);
}

/* y = sums of x over the axes in which y has size 1 */
static void sum(struct sp_cudnn_graph *g, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t y)
{
	const cudnnReduceTensorOp_t f = CUDNN_REDUCE_TENSOR_ADD;
	const cudnnBackendDescriptor_t how = sp_cudnn_make(g, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
	sp_cudnn_set(g, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &f);
	sp_cudnn_set(g, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &F32);
	sp_cudnn_finish(g, how, "how elements are summed");
	const cudnnBackendDescriptor_t operation = sp_cudnn_make(g, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
	sp_cudnn_finish(g, operation, "a sum");
	add(g, operation);
}

/* y = x in another shape */
static void reshape(struct sp_cudnn_graph *g, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t y)
{
	const cudnnBackendDescriptor_t operation = sp_cudnn_make(g, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
	sp_cudnn_refer(g, operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
	sp_cudnn_finish(g, operation, "an exchange of rows and columns");
	add(g, operation);
}

/* ---- the graph ---- */

struct extents {
	struct sp_cudnn_extent q, k, v, o, dout, dq, dkv, rows, scores;
};

static struct extents extents_of(const struct sp_cuda_sdpa_shape *s)
{
	const int64_t b = s->batch, a = s->heads, c = s->chunk, j = s->keys, d = s->head_dim, width = a * d;
	return (struct extents){
		.q = sp_cudnn_heads(b, a, c, d, s->q),
		.k = sp_cudnn_heads(b, a, j, d, s->k),
		.v = sp_cudnn_heads(b, a, j, d, s->v),
		.o = sp_cudnn_heads(b, a, c, d, s->o),
		.dout = sp_cudnn_heads(b, a, c, d, s->dout),
		.dq = sp_cudnn_heads(b, a, c, d, width),
		.dkv = sp_cudnn_heads(b, a, j, d, width),
		.rows = sp_cudnn_packed(b, a, c, 1),
		.scores = sp_cudnn_packed(b, a, c, j),
	};
}

/* dots = rowsum(dout o) */
static cudnnBackendDescriptor_t build_dots(struct sp_cudnn_graph *g, const struct extents *e, cudnnBackendDescriptor_t dout, cudnnBackendDescriptor_t o)
{
	const cudnnBackendDescriptor_t products = sp_cudnn_inside(g, F32, e->dout), sums = sp_cudnn_inside(g, F32, e->rows);
	const cudnnBackendDescriptor_t dots = sp_cudnn_tensor(g, SP_CUDNN_DOTS, F32, e->rows), one = sp_cudnn_number(g, SP_CUDNN_ONE);
	point(g, CUDNN_POINTWISE_MUL, dout, o, products);
	sum(g, products, sums);
	point(g, CUDNN_POINTWISE_MUL, sums, one, dots);
	return dots;
}

/* p = e^(scale q k^T - stats) */
static cudnnBackendDescriptor_t build_probabilities(struct sp_cudnn_graph *g, const struct extents *e, cudnnBackendDescriptor_t q, cudnnBackendDescriptor_t k, cudnnBackendDescriptor_t scale)
{
	const cudnnBackendDescriptor_t s = sp_cudnn_inside(g, F32, e->scores), scaled = sp_cudnn_inside(g, F32, e->scores);
	const cudnnBackendDescriptor_t less = sp_cudnn_inside(g, F32, e->scores), p = sp_cudnn_inside(g, F32, e->scores);
	const cudnnBackendDescriptor_t stats = sp_cudnn_tensor(g, SP_CUDNN_STATS, F32, e->rows);
	multiply(g, q, k, s);
	point(g, CUDNN_POINTWISE_MUL, s, scale, scaled);
	point(g, CUDNN_POINTWISE_SUB, scaled, stats, less);
	point(g, CUDNN_POINTWISE_EXP, less, NULL, p);
	return p;
}

/* ds = scale p (dout v^T - dots) */
static cudnnBackendDescriptor_t build_slopes(struct sp_cudnn_graph *g, const struct extents *e, cudnnBackendDescriptor_t p, cudnnBackendDescriptor_t dout, cudnnBackendDescriptor_t v, cudnnBackendDescriptor_t dots, cudnnBackendDescriptor_t scale)
{
	const cudnnBackendDescriptor_t dp = sp_cudnn_inside(g, F32, e->scores), less = sp_cudnn_inside(g, F32, e->scores);
	const cudnnBackendDescriptor_t product = sp_cudnn_inside(g, F32, e->scores), ds = sp_cudnn_inside(g, F32, e->scores);
	multiply(g, dout, v, dp);
	point(g, CUDNN_POINTWISE_SUB, dp, dots, less);
	point(g, CUDNN_POINTWISE_MUL, less, p, product);
	point(g, CUDNN_POINTWISE_MUL, product, scale, ds);
	return ds;
}

/* out = x^T y, x rounded to the type of y */
static void build_turned(struct sp_cudnn_graph *g, const struct extents *e, cudnnDataType_t type, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t y, cudnnBackendDescriptor_t out)
{
	const cudnnBackendDescriptor_t turned = sp_cudnn_inside(g, type, sp_cudnn_turned(e->scores));
	reshape(g, x, turned);
	multiply(g, turned, y, out);
}

void sp_cudnn_build_backward(struct sp_cudnn_graph *g, const struct sp_cuda_sdpa_shape *shape)
{
	const struct extents e = extents_of(shape);
	const cudnnDataType_t type = sp_cudnn_type(shape->dtype);
	const cudnnBackendDescriptor_t q = sp_cudnn_tensor(g, SP_CUDNN_Q, type, e.q), k = sp_cudnn_tensor(g, SP_CUDNN_K, type, sp_cudnn_turned(e.k));
	const cudnnBackendDescriptor_t v = sp_cudnn_tensor(g, SP_CUDNN_V, type, sp_cudnn_turned(e.v)), o = sp_cudnn_tensor(g, SP_CUDNN_O, type, e.o);
	const cudnnBackendDescriptor_t dout = sp_cudnn_tensor(g, SP_CUDNN_DOUT, type, e.dout), scale = sp_cudnn_number(g, SP_CUDNN_SCALE);
	const cudnnBackendDescriptor_t rows_of_k = sp_cudnn_inside(g, type, e.k);
	const cudnnBackendDescriptor_t sums = sp_cudnn_tensor(g, SP_CUDNN_DQ_SUMS, F32, sp_cudnn_packed(shape->batch, shape->heads, shape->chunk, shape->head_dim));
	const cudnnBackendDescriptor_t dots = build_dots(g, &e, dout, o), p = build_probabilities(g, &e, q, k, scale);
	build_turned(g, &e, type, p, dout, sp_cudnn_tensor(g, SP_CUDNN_DV, type, e.dkv));
	const cudnnBackendDescriptor_t ds = build_slopes(g, &e, p, dout, v, dots, scale);
	build_turned(g, &e, type, ds, q, sp_cudnn_tensor(g, SP_CUDNN_DK, type, e.dkv));
	reshape(g, k, rows_of_k);
	multiply(g, ds, rows_of_k, sums);
	point(g, CUDNN_POINTWISE_IDENTITY, sums, NULL, sp_cudnn_tensor(g, SP_CUDNN_DQ, type, e.dq));
}
