/* Sum of three table rows, LayerNorm and dropout; and back.
 *
 * In backward rows of the same id meet in a table. Rows are first ordered by id, keeping their order otherwise; then blocks
 * walk equal pieces of that order, so that a word that fills half the text is no slower than others. A piece adds what lies
 * within it; of an id that reaches beyond it the pieces' sums are kept and added up in order by a second kernel. */
#include "cuda/kernels.h"
#include "cuda/normal.cuh"

/* ---- forward ---- */

template <class E> struct forward {
	const int32_t *token, *pos, *kind;
	struct rows<float> word, position, type, gamma, beta, mean, rstd;
	struct rows<E> s, y;
	int64_t count, cols;
	float eps;
	struct dropout dropout;
	struct places places;
	int wide;
};

/* Of a row: where its three summands are. */
template <int GROUPS, class E> struct sum_again {
	const struct forward<E> &a;
	const float *word, *position, *type;
	const E *s;

	__device__ __forceinline__ struct eight sum8(int64_t j) const
	{
		struct eight sum = load8(word, j, a.cols, a.wide);
		if (position)
			sum = add8(sum, load8(position, j, a.cols, a.wide));
		return add8(sum, load8(type, j, a.cols, a.wide));
	}
	__device__ __forceinline__ struct eight operator()(int64_t j) const
	{
		return keeps_sum<GROUPS, E>() ? load8(s, j, a.cols, a.wide) : sum8(j);
	}
};

template <int GROUPS, class E>
static __global__ void __launch_bounds__(NORMAL_WARPS *WARP) embedding_forward(struct forward<E> a)
{
	const int64_t i = (int64_t)blockIdx.x * NORMAL_WARPS + threadIdx.x / WARP;
	if (i >= a.count)
		return;
	a.dropout = with_key(a.dropout);
	const float *word = row_at(a.word, a.token[i]), *position = a.position.data ? row_at(a.position, a.pos[i]) : NULL;
	struct warp_row<GROUPS, struct sum_again<GROUPS, E>> row(
		{ a, word, position, row_at(a.type, a.kind[i]), row_at(a.s, i) }, a.cols);
	float sum = 0.0f;
#pragma unroll
	for (int g = 0; g < row.groups(); g++) {
		const int64_t j = row.column(g);
		if (j >= a.cols)
			break;
		const struct eight s = row.again.sum8(j);
		store8(row_at(a.s, i), j, a.cols, a.wide, s);
		row.keep(g, s);
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			sum += j + e < a.cols ? s.v[e] : 0.0f;
	}
	const int normed = a.gamma.data != NULL;
	struct statistics s = { 0.0f, 1.0f };
	if (normed)
		s = statistics_of(row, sum, a.eps);
#pragma unroll
	for (int g = 0; g < row.groups(); g++) {
		const int64_t j = row.column(g);
		if (j >= a.cols)
			break;
		struct eight y = row.get(g);
		if (normed)
			y = normal8(y, s, load8(a.gamma.data, j, a.cols, a.wide), load8(a.beta.data, j, a.cols, a.wide));
		store8(row_at(a.y, i), j, a.cols, a.wide, drop8(y, a.dropout, a.places, i, j));
	}
	if (normed && threadIdx.x % WARP == 0) {
		a.mean.data[i] = s.mean;
		a.rstd.data[i] = s.rstd;
	}
}

template <class E> static int queue(struct sp_cuda *cuda, const struct sp_embedding_forward *args)
{
	const struct sp_matrix moved[] = { args->word, args->position, args->type, args->gamma, args->beta, args->s, args->y };
	const struct forward<E> a = { args->token,
		                          args->pos,
		                          args->kind,
		                          rows_of(args->word),
		                          rows_of(args->position),
		                          rows_of(args->type),
		                          rows_of(args->gamma),
		                          rows_of(args->beta),
		                          rows_of(args->mean),
		                          rows_of(args->rstd),
		                          rows_of<E>(args->s),
		                          rows_of<E>(args->y),
		                          args->s.rows,
		                          args->s.cols,
		                          args->eps,
		                          dropout_of(&args->dropout),
		                          places_of(&args->rows),
		                          is_wide(args->s.cols, moved, 7) };
	if (a.count == 0)
		return SP_OK;
	return SP_NORMAL_LAUNCH(cuda, embedding_forward, E, a.count, a.cols, a);
}

extern "C" int sp_cuda_embedding_forward(void *ctx, const struct sp_embedding_forward *args)
{
	return SP_BY_ELEMENT(args->s.dtype, queue, static_cast<struct sp_cuda *>(ctx), args);
}

/* ---- rows ordered by id ---- */

enum { ORDER_THREADS = 256 };

/* order[number of rows that come before row i] = i. Every row is held against every other: for a million rows that is still
 * little beside the attention over them, and needs neither passes nor atomic additions. */
static __global__ void __launch_bounds__(ORDER_THREADS) order_rows(const int32_t *id, int64_t n, int32_t *order)
{
	SP_SHARED(int32_t, some); /* [ORDER_THREADS] */
	const int64_t i = (int64_t)blockIdx.x * ORDER_THREADS + threadIdx.x;
	const int32_t own = i < n ? id[i] : 0;
	int64_t before = 0;
	for (int64_t first = 0; first < n; first += ORDER_THREADS) {
		const int64_t left = n - first, here = ORDER_THREADS < left ? (int64_t)ORDER_THREADS : left;
		__syncthreads();
		some[threadIdx.x] = threadIdx.x < here ? id[first + threadIdx.x] : 0;
		__syncthreads();
		for (int k = 0; k < here; k++)
			before += some[k] < own || (some[k] == own && first + k < i);
	}
	if (i < n)
		order[before] = (int32_t)i;
}

/* ---- sums of the rows of one id ---- */

enum { PIECE = 32, ACROSS = 128, TABLE_THREADS = ACROSS / 4 };

struct table {
	const int32_t *id, *order;
	int64_t count, cols, pieces, across;
	int64_t first, held; /* ids of the table's rows */
	struct rows<float> table;
	float *cut; /* [pieces][2][cols]: sums of the id that comes in from before the piece, and of one that goes on after it */
};

/* Whether the id at place k of the order is also at the place before. */
static __device__ __forceinline__ int goes_on(const struct table &a, int64_t k)
{
	return k > 0 && k < a.count && a.id[a.order[k]] == a.id[a.order[k - 1]];
}

template <class E> static __device__ __forceinline__ float4 load4(const E *row, int64_t j, int64_t cols)
{
	return make_float4(read1(row + j), j + 1 < cols ? read1(row + j + 1) : 0.0f, j + 2 < cols ? read1(row + j + 2) : 0.0f,
	                   j + 3 < cols ? read1(row + j + 3) : 0.0f);
}

static __device__ __forceinline__ void put4(float *row, int64_t j, int64_t cols, float4 x, int add)
{
	const float v[4] = { x.x, x.y, x.z, x.w };
#pragma unroll
	for (int e = 0; e < 4; e++)
		if (j + e < cols)
			row[j + e] = add ? row[j + e] + v[e] : v[e];
}

/* A run's sum goes to its row, if the table holds it. */
static __device__ __forceinline__ void put_row(const struct table &a, int32_t id, int64_t j, float4 sum)
{
	const int64_t row = id - a.first;
	if (row >= 0 && row < a.held)
		put4(row_at(a.table, row), j, a.cols, sum, 1);
}

static __device__ __forceinline__ float4 plus(float4 a, float4 b)
{
	return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

/* A run of one id, complete here, is added to the table; one that crosses an end of the piece is kept. */
template <class E> static __global__ void __launch_bounds__(TABLE_THREADS) sum_pieces(struct table a, struct rows<E> rows)
{
	const int64_t piece = blockIdx.x / a.across, j = blockIdx.x % a.across * ACROSS + threadIdx.x * 4;
	const int64_t first = piece * PIECE, end = first + PIECE < a.count ? first + PIECE : a.count;
	if (j >= a.cols)
		return;
	float *cut = a.cut + piece * 2 * a.cols;
	int from_before = goes_on(a, first);
	float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
	for (int64_t k = first; k < end; k++) {
		const int32_t row = a.order[k];
		sum = plus(sum, load4(row_at(rows, row), j, a.cols));
		if (k + 1 < end && goes_on(a, k + 1))
			continue;
		if (from_before)
			put4(cut, j, a.cols, sum, 0);
		else if (goes_on(a, k + 1))
			put4(cut + a.cols, j, a.cols, sum, 0);
		else
			put_row(a, a.id[row], j, sum);
		sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
		from_before = 0;
	}
}

/* A run that starts in this piece and goes on after it: its sum here, then those of the pieces that it reaches into. */
static __global__ void __launch_bounds__(TABLE_THREADS) sum_cut_runs(struct table a)
{
	const int64_t piece = blockIdx.x / a.across, j = blockIdx.x % a.across * ACROSS + threadIdx.x * 4;
	int64_t next = piece + 1;
	if (j >= a.cols || !goes_on(a, next * PIECE))
		return;
	const int32_t id = a.id[a.order[next * PIECE]];
	if (a.id[a.order[piece * PIECE]] == id && goes_on(a, piece * PIECE))
		return; /* it comes in from before */
	float4 sum = load4(a.cut + (piece * 2 + 1) * a.cols, j, a.cols);
	for (; next < a.pieces && a.id[a.order[next * PIECE]] == id; next++)
		sum = plus(sum, load4(a.cut + next * 2 * a.cols, j, a.cols));
	put_row(a, id, j, sum);
}

template <class E>
static int queue(struct sp_cuda *cuda, const int32_t *id, struct sp_matrix rows, struct sp_matrix table, int32_t first)
{
	const int64_t n = rows.rows, across = ceil_div(rows.cols, ACROSS), pieces = ceil_div(n, PIECE);
	if (n == 0 || rows.cols == 0)
		return SP_OK;
	const size_t cut = (size_t)(pieces * 2 * rows.cols) * sizeof(float);
	char *scratch = static_cast<char *>(sp_cuda_scratch(cuda, cut + (size_t)n * sizeof(int32_t)));
	if (!scratch)
		return SP_ERR_MEMORY;
	int32_t *order = reinterpret_cast<int32_t *>(scratch + cut);
	const struct table a = { id,    order,      n,              rows.cols, pieces, across,
		                     first, table.rows, rows_of(table), reinterpret_cast<float *>(scratch) };
	int status = SP_LAUNCH(cuda, order_rows, ceil_div(n, ORDER_THREADS), ORDER_THREADS, ORDER_THREADS * sizeof(int32_t), id, n,
	                       order);
	if (status == SP_OK)
		status = SP_LAUNCH(cuda, sum_pieces<E>, pieces * across, TABLE_THREADS, 0, a, rows_of<E>(rows));
	if (status == SP_OK)
		status = SP_LAUNCH(cuda, sum_cut_runs, pieces * across, TABLE_THREADS, 0, a);
	return status;
}

extern "C" int sp_cuda_add_to_table(struct sp_cuda *cuda, const int32_t *id, struct sp_matrix rows, struct sp_matrix table,
                                    int32_t first)
{
	return SP_BY_ELEMENT(rows.dtype, queue, cuda, id, rows, table, first);
}

/* ---- backward ---- */

/* dy *= mask, in place, where no norm comes between the sum and the dropout. */
enum { DROP_WARPS = 4 };

template <class E> struct masked {
	struct rows<E> x;
	int64_t count, cols;
	struct dropout dropout;
	struct places places;
	int wide;
};

template <class E> static __global__ void __launch_bounds__(DROP_WARPS *WARP) drop_rows(struct masked<E> a)
{
	const int64_t i = (int64_t)blockIdx.x * DROP_WARPS + threadIdx.x / WARP;
	a.dropout = with_key(a.dropout);
	for (int64_t j = threadIdx.x % WARP * GROUP; i < a.count && j < a.cols; j += WARP * GROUP)
		store8(row_at(a.x, i), j, a.cols, a.wide,
		       drop8(load8(row_at(a.x, i), j, a.cols, a.wide), a.dropout, a.places, i, j));
}

template <class E> static int queue(struct sp_cuda *cuda, const struct sp_embedding_backward *args)
{
	const struct masked<E> a = { rows_of<E>(args->dy),       args->dy.rows,          args->dy.cols,
		                         dropout_of(&args->dropout), places_of(&args->rows), is_wide(args->dy.cols, &args->dy, 1) };
	return SP_LAUNCH(cuda, drop_rows<E>, ceil_div(a.count, DROP_WARPS), DROP_WARPS * WARP, 0, a);
}

static int drop(struct sp_cuda *cuda, const struct sp_embedding_backward *args)
{
	return args->dropout.keep < 65536 ? SP_BY_ELEMENT(args->dy.dtype, queue, cuda, args) : SP_OK;
}

static int normal_backward(struct sp_cuda *cuda, const struct sp_embedding_backward *args)
{
	struct sp_norm_backward norm = {};
	norm.dy = norm.dx = args->dy;
	norm.s = args->s;
	norm.gamma = args->gamma;
	norm.mean = args->mean;
	norm.rstd = args->rstd;
	norm.dgamma = args->dgamma;
	norm.dbeta = args->dbeta;
	norm.dropout.keep = 65536;
	norm.rows = args->rows;
	return sp_cuda_norm_backward_behind(cuda, &norm, &args->dropout);
}

extern "C" int sp_cuda_embedding_backward(void *ctx, const struct sp_embedding_backward *args)
{
	struct sp_cuda *cuda = static_cast<struct sp_cuda *>(ctx);
	const int64_t n = args->dy.rows, cols = args->dy.cols;
	if (n == 0 || cols == 0)
		return SP_OK;
	int status = args->gamma.data ? normal_backward(cuda, args) : drop(cuda, args);
	if (status)
		return status;
	const struct {
		const int32_t *id;
		struct sp_matrix table;
	} tables[] = { { args->token, args->dword }, { args->pos, args->dposition }, { args->kind, args->dtype } };
	for (int i = 0; status == SP_OK && i < 3; i++)
		if (tables[i].table.data)
			status = sp_cuda_add_to_table(cuda, tables[i].id, args->dy, tables[i].table, 0);
	return status;
}
