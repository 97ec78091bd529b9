/* Gradients through one block of keys on tensor cores. Two kernels, one for dq and one for dk and dv, each thread block owning
 * the rows it adds to: scores and their gradients are computed twice, and nothing is added atomically. The next tile of the other
 * side arrives while this one is computed with. */
#include "cuda/attention_fragments.cuh"
#include "cuda/kernels.h"

template <class E> struct step {
	struct problem problem;
	struct rows<E> q, k, v, dout;
	struct rows<float> lse, dots, dq, dk, dv;
	int64_t query_tiles, key_tiles;
	int overwrite_dq, overwrite_dkv;
};

enum { DOCS = 3 }; /* tiles whose documents are there: the one before may still be looked at when the next one's are loaded */

/* Two tiles that stay, two pairs of the other side; documents; lse and dots of two tiles. */
template <int D> static constexpr size_t backward_shared()
{
	return (size_t)(6 * tile_elements<D>(TILE)) * 2 + (1 + DOCS) * TILE * sizeof(int32_t) + 4 * TILE * sizeof(float);
}

template <int D, class E> struct tiles {
	E *all;
	int32_t *own_docs, *docs;
	float *lse, *dots; /* [2][TILE] */

	/* 0: queries or keys; 1: the queries' gradients, or values. */
	__device__ __forceinline__ E *own(int which) const
	{
		return all + which * tile_elements<D>(TILE);
	}

	__device__ __forceinline__ E *other(int buffer, int which) const
	{
		return all + (2 + 2 * buffer + which) * tile_elements<D>(TILE);
	}
};

template <int D, class E> static __device__ __forceinline__ struct tiles<D, E> tiles_in(E *shared)
{
	struct tiles<D, E> t;
	t.all = shared;
	t.own_docs = reinterpret_cast<int32_t *>(t.other(2, 0));
	t.docs = t.own_docs + TILE;
	t.lse = reinterpret_cast<float *>(t.docs + DOCS * TILE);
	t.dots = t.lse + 2 * TILE;
	return t;
}

/* What rows of statistics hold of a query, in powers of two; rows that attended to nothing have probabilities 0. */
struct statistics {
	float lse, dot;
};

template <class E>
static __device__ __forceinline__ struct statistics statistics_of(const struct step<E> &a, struct position at, int64_t query)
{
	const int64_t line = at.batch * a.problem.heads + at.head;
	const float lse = query < a.problem.chunk ? row_at(a.lse, line)[query] : -INFINITY;
	if (lse == -INFINITY)
		return { INFINITY, 0.0f };
	return { lse * LOG2_E, row_at(a.dots, line)[query] };
}

/* A score and the gradient of its probability become the probability, dropped, and the gradient of the score. */
static __device__ __forceinline__ void slope(float &s, float &dp, struct statistics query, int kept, const struct problem &p, float scale)
{
	const float prob = exp2f(s * scale - query.lse), factor = kept ? p.dropout.scale : 0.0f;
	dp = prob * (factor * dp - query.dot) * p.scale;
	s = prob * factor;
}

/* ---- dq ---- */

template <int D, class E> static __global__ void __launch_bounds__(CORE_THREADS) attention_cores_queries(struct step<E> a)
{
	SP_SHARED(E, shared);
	a.problem.dropout = with_key(a.problem.dropout);
	const struct tiles<D, E> t = tiles_in<D>(shared);
	const struct problem &p = a.problem;
	const struct position at = position_of(p, a.query_tiles);
	const int64_t first = at.tile * TILE;
	const int own = (int)threadIdx.x / WARP * ROWS_OF_WARP;
	const struct head_rows<E> keys = head_of(a.k, p, at, p.keys), values = head_of(a.v, p, at, p.keys);
	const int32_t *const docs = p.key_doc + at.batch * p.keys;
	const struct head_rows<float> out = head_of(a.dq, p, at, p.chunk);
	const struct statistics query[2] = { statistics_of(a, at, first + own + line_of()), statistics_of(a, at, first + own + line_of() + 8) };
	const float scale = p.scale * LOG2_E;
	float dq[1][D / 8][4];
	clear<D / 8>(dq[0]);
	if (!a.overwrite_dq)
		fetch_sums<D>(dq[0], out, first + own, p);
	if (threadIdx.x < TILE)
		t.own_docs[threadIdx.x] = first + threadIdx.x < p.chunk ? p.query_doc[at.batch * p.chunk + first + threadIdx.x] : -1;
	fetch_tile<D>(t.own(0), TILE, head_of(a.q, p, at, p.chunk), first, p);
	fetch_tile<D>(t.own(1), TILE, head_of(a.dout, p, at, p.chunk), first, p);
	__syncthreads();
	const struct documents mine = look_at(t.own_docs, TILE);
	const struct reach reach = reach_of(p, first, p.ahead, p.shift, p.keys);
	struct next now = next_tile(t.docs, docs, reach.first, reach.end, p.keys, mine, p.window);
	if (now.first < reach.end) {
		fetch_tile<D>(t.other(0, 0), TILE, keys, now.first, p);
		fetch_tile<D>(t.other(0, 1), TILE, values, now.first, p);
	}
	end_of_copies();
	for (int n = 0; now.first < reach.end; n++) {
		const int buffer = n % 2;
		const struct next then = next_tile(t.docs + (n + 1) % DOCS * TILE, docs, now.first + TILE, reach.end, p.keys, mine, p.window);
		if (then.first < reach.end) { /* finding it took a barrier: what it is loaded over is not read any more */
			fetch_tile<D>(t.other(1 - buffer, 0), TILE, keys, then.first, p);
			fetch_tile<D>(t.other(1 - buffer, 1), TILE, values, then.first, p);
		}
		end_of_copies();
		wait_for_copies<1>();
		__syncthreads();
		float s[COLUMNS][4], ds[1][COLUMNS][4];
		meet_rows<D>(s, t.own(0), own, t.other(buffer, 0));
		meet_rows<D>(ds[0], t.own(1), own, t.other(buffer, 1));
		if (!now.whole)
			mask(s, p, t.own_docs + own, t.docs + n % DOCS * TILE, first + own, now.first);
		const struct kept kept = draw(p, at, first + own, now.first);
#pragma unroll
		for (int j = 0; j < COLUMNS; j++)
#pragma unroll
			for (int i = 0; i < 4; i++)
				slope(s[j][i], ds[0][j][i], query[i / 2], keeps(kept, j, i), p, scale);
		sum_up<D, 1>(dq, ds, t.other(buffer, 0));
		now = then;
	}
	wait_for_copies<0>();
	put_sums<D>(dq[0], out, first + own, p);
}

/* ---- dk and dv, of which rows are keys and columns queries ---- */

static __device__ __forceinline__ void mask_keys(float s[COLUMNS][4], const struct problem &p, const int32_t *key_docs,
                                                 const int32_t *query_docs, int64_t key, int64_t query)
{
#pragma unroll
	for (int r = 0; r < 2; r++) {
		const int row = line_of() + 8 * r;
		const int32_t doc = key_docs[row];
#pragma unroll
		for (int j = 0; j < COLUMNS; j++)
#pragma unroll
			for (int e = 0; e < 2; e++) {
				const int column = 8 * j + 2 * lane_of() + e;
				if (doc < 0 || doc != query_docs[column] || !near_enough(p, query + column, key + row))
					s[j][2 * r + e] = -INFINITY;
			}
	}
}

/* Lane l draws for query l % 16 of each 16, and the l / 16 th eight of the warp's keys: byte x of the word is of queries
 * 16 x .. 16 x + 15. */
static __device__ __forceinline__ uint32_t draw_keys(const struct problem &p, struct position at, int64_t key, int64_t query)
{
	const uint32_t group = (uint32_t)(p.first_key + key) / GROUP + (uint32_t)(warp_lane() / 16), line = dropout_line(p, at);
	uint32_t own = 0;
#pragma unroll
	for (int x = 0; x < TILE / 16; x++)
		own |= kept8(p.dropout, group, p.first_query + (uint32_t)(query + 16 * x + warp_lane() % 16), line) << 8 * x;
	return own;
}

/* Probabilities and gradients of scores of 16 keys and 64 queries. */
static __device__ __forceinline__ void slopes_of_keys(float s[COLUMNS][4], float ds[COLUMNS][4], const float *lse, const float *dots,
                                                      uint32_t drawn, const struct problem &p, float scale)
{
#pragma unroll
	for (int odd = 0; odd < 2; odd++)
#pragma unroll
		for (int i = 0; i < 4; i++) {
			const int query = 8 * odd + 2 * lane_of() + i % 2;
			const uint32_t bits = drops(p.dropout) ? __shfl_sync(ALL_LANES, drawn, query + 16 * (i / 2)) : ~0u;
#pragma unroll
			for (int x = 0; x < TILE / 16; x++) {
				const struct statistics at = { lse[16 * x + query], dots[16 * x + query] };
				slope(s[2 * x + odd][i], ds[2 * x + odd][i], at, bits >> (8 * x + line_of()) & 1, p, scale);
			}
		}
}

template <int D, class E>
static __device__ __forceinline__ void fetch_queries(const struct tiles<D, E> &t, int buffer, const struct step<E> &a, struct position at,
                                                     int64_t first)
{
	const struct problem &p = a.problem;
	fetch_tile<D>(t.other(buffer, 0), TILE, head_of(a.q, p, at, p.chunk), first, p);
	fetch_tile<D>(t.other(buffer, 1), TILE, head_of(a.dout, p, at, p.chunk), first, p);
	if (threadIdx.x < TILE) {
		const struct statistics query = statistics_of(a, at, first + threadIdx.x);
		t.lse[buffer * TILE + (int)threadIdx.x] = query.lse;
		t.dots[buffer * TILE + (int)threadIdx.x] = query.dot;
	}
}

template <int D, class E> static __global__ void __launch_bounds__(CORE_THREADS) attention_cores_keys(struct step<E> a)
{
	SP_SHARED(E, shared);
	a.problem.dropout = with_key(a.problem.dropout);
	const struct tiles<D, E> t = tiles_in<D>(shared);
	const struct problem &p = a.problem;
	const struct position at = position_of(p, a.key_tiles);
	const int64_t first = at.tile * TILE - p.shift;
	const int own = (int)threadIdx.x / WARP * ROWS_OF_WARP;
	const int32_t *const docs = p.query_doc + at.batch * p.chunk;
	const struct head_rows<float> dk_out = head_of(a.dk, p, at, p.keys), dv_out = head_of(a.dv, p, at, p.keys);
	const float scale = p.scale * LOG2_E;
	float dk[1][D / 8][4], dv[1][D / 8][4];
	clear<D / 8>(dk[0]);
	clear<D / 8>(dv[0]);
	if (!a.overwrite_dkv) {
		fetch_sums<D>(dk[0], dk_out, first + own, p);
		fetch_sums<D>(dv[0], dv_out, first + own, p);
	}
	load_documents(t.own_docs, p.key_doc + at.batch * p.keys, first, p.keys);
	fetch_tile<D>(t.own(0), TILE, head_of(a.k, p, at, p.keys), first, p);
	fetch_tile<D>(t.own(1), TILE, head_of(a.v, p, at, p.keys), first, p);
	__syncthreads();
	const struct documents mine = look_at(t.own_docs, TILE);
	const struct reach reach = reach_of(p, first, -p.ahead, 0, p.chunk);
	struct next now = next_tile(t.docs, docs, reach.first, reach.end, p.chunk, mine, p.window);
	if (now.first < reach.end)
		fetch_queries(t, 0, a, at, now.first);
	end_of_copies();
	for (int n = 0; now.first < reach.end; n++) {
		const int buffer = n % 2;
		const struct next then = next_tile(t.docs + (n + 1) % DOCS * TILE, docs, now.first + TILE, reach.end, p.chunk, mine, p.window);
		if (then.first < reach.end) /* finding it took a barrier: what it is loaded over is not read any more */
			fetch_queries(t, 1 - buffer, a, at, then.first);
		end_of_copies();
		wait_for_copies<1>();
		__syncthreads();
		float s[1][COLUMNS][4], ds[1][COLUMNS][4];
		meet_rows<D>(s[0], t.own(0), own, t.other(buffer, 0));
		meet_rows<D>(ds[0], t.own(1), own, t.other(buffer, 1));
		if (!now.whole)
			mask_keys(s[0], p, t.own_docs + own, t.docs + n % DOCS * TILE, first + own, now.first);
		const uint32_t drawn = drops(p.dropout) ? draw_keys(p, at, first + own, now.first) : 0;
		slopes_of_keys(s[0], ds[0], t.lse + buffer * TILE, t.dots + buffer * TILE, drawn, p, scale);
		sum_up<D, 1>(dv, s, t.other(buffer, 1));
		sum_up<D, 1>(dk, ds, t.other(buffer, 0));
		now = then;
	}
	wait_for_copies<0>();
	put_sums<D>(dk[0], dk_out, first + own, p);
	put_sums<D>(dv[0], dv_out, first + own, p);
}

template <class E> static int backward(struct sp_cuda *cuda, const struct sp_attention_backward *args)
{
	const struct sp_attention_shape *s = &args->shape;
	const struct sp_matrix moved[] = { args->q, args->k, args->v, args->dout, args->dq, args->dk, args->dv };
	const struct problem problem = problem_of(s, moved, 7);
	const struct step<E> a = { problem,
		                       rows_of<E>(args->q),
		                       rows_of<E>(args->k),
		                       rows_of<E>(args->v),
		                       rows_of<E>(args->dout),
		                       rows_of(args->lse),
		                       rows_of(args->dots),
		                       rows_of(args->dq),
		                       rows_of(args->dk),
		                       rows_of(args->dv),
		                       ceil_div(s->chunk, TILE),
		                       key_tiles(problem),
		                       args->overwrite_dq,
		                       args->overwrite_dkv };
	const int64_t lines = s->heads * s->batch, query_blocks = a.query_tiles * lines, key_blocks = a.key_tiles * lines;
	int status = SP_OK;
	if (query_blocks > 0)
		status = SP_CORES_LAUNCH(cuda, attention_cores_queries, E, s->head_dim, query_blocks, backward_shared, a);
	if (status == SP_OK && key_blocks > 0)
		status = SP_CORES_LAUNCH(cuda, attention_cores_keys, E, s->head_dim, key_blocks, backward_shared, a);
	return status;
}

extern "C" int sp_cuda_attention_cores_backward(struct sp_cuda *cuda, const struct sp_attention_backward *args)
{
	return args->q.dtype == SP_BF16 ? backward<__nv_bfloat16>(cuda, args) : backward<__half>(cuda, args);
}
