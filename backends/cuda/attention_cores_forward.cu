/* One block of keys folded into the online softmax (Dao et al. 2022, algorithm 1; Dao 2023) on tensor cores: a thread block walks
 * with 64 or 128 queries of a head over the keys; maxima, sums and accumulators stay in registers, the next tile of keys
 * and values arrives while this one is computed with. Exponents are of two. */
#include "cuda/attention_fragments.cuh"
#include "cuda/kernels.h"

template <class E> struct step {
	struct problem problem;
	struct rows<E> q, k, v;
	struct rows<float> acc, m, l;
	int64_t tiles; /* of queries */
	int first;
};

/* Wider heads leave registers for 16 queries of a warp only. */
template <int D> struct queries {
	enum { BLOCKS = D <= 64 ? 2 : 1, OF_WARP = BLOCKS * ROWS_OF_WARP, OF_BLOCK = OF_WARP * CORE_WARPS };
};

enum { DOCS = 3 }; /* tiles whose documents are there: the one before may still be looked at when the next one's are loaded */

template <int D> static constexpr size_t forward_shared()
{
	return (size_t)(tile_elements<D>(queries<D>::OF_BLOCK) + 4 * tile_elements<D>(TILE)) * 2 +
	       (queries<D>::OF_BLOCK + DOCS * TILE) * sizeof(int32_t);
}

/* Of 16 queries; rows g and g + 8 of a lane. Sums are those of this lane alone until the end. */
struct softmax {
	float max[2], sum[2];
};

static __device__ __forceinline__ float line_max(float x)
{
	x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
	return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}

static __device__ __forceinline__ float line_sum(float x)
{
	x += __shfl_xor_sync(ALL_LANES, x, 1);
	return x + __shfl_xor_sync(ALL_LANES, x, 2);
}

static __device__ __forceinline__ void drop(float s[COLUMNS][4], const struct problem &p, struct position at, int64_t query, int64_t key)
{
	if (!drops(p.dropout))
		return;
	const struct kept kept = draw(p, at, query, key);
#pragma unroll
	for (int j = 0; j < COLUMNS; j++)
#pragma unroll
		for (int i = 0; i < 4; i++)
			s[j][i] = keeps(kept, j, i) ? s[j][i] * p.dropout.scale : 0.0f;
}

/* Scores become powers of two relative to the new maximum; what was summed before shrinks. */
template <int D>
static __device__ __forceinline__ void fold(float s[COLUMNS][4], float acc[D / 8][4], struct softmax &x, float scale)
{
#pragma unroll
	for (int r = 0; r < 2; r++) {
		float max = -INFINITY;
#pragma unroll
		for (int j = 0; j < COLUMNS; j++)
			max = fmaxf(max, fmaxf(s[j][2 * r], s[j][2 * r + 1]));
		max = fmaxf(x.max[r], line_max(max) * scale);
		/* nothing allowed so far: every exponent is -inf, not -inf less -inf */
		const float base = max > -INFINITY ? max : 0.0f, shrink = exp2f(x.max[r] - base);
		float sum = 0.0f;
#pragma unroll
		for (int j = 0; j < COLUMNS; j++)
#pragma unroll
			for (int e = 0; e < 2; e++) {
				s[j][2 * r + e] = exp2f(s[j][2 * r + e] * scale - base);
				sum += s[j][2 * r + e];
			}
		x.max[r] = max;
		x.sum[r] = x.sum[r] * shrink + sum;
#pragma unroll
		for (int j = 0; j < D / 8; j++) {
			acc[j][2 * r] *= shrink;
			acc[j][2 * r + 1] *= shrink;
		}
	}
}

/* m is natural units of scores outside. */
template <int D, class E>
static __device__ __forceinline__ void begin(float acc[D / 8][4], struct softmax &x, const struct step<E> &a, struct position at,
                                             int64_t first)
{
	const struct problem &p = a.problem;
	const int64_t line = at.batch * p.heads + at.head;
	clear<D / 8>(acc);
#pragma unroll
	for (int r = 0; r < 2; r++) {
		const int64_t row = first + line_of() + 8 * r;
		const int there = !a.first && row < p.chunk;
		x.max[r] = there ? row_at(a.m, line)[row] * LOG2_E : -INFINITY;
		x.sum[r] = there && lane_of() == 0 ? row_at(a.l, line)[row] : 0.0f;
	}
	if (!a.first)
		fetch_sums<D>(acc, head_of(a.acc, p, at, p.chunk), first, p);
}

template <int D, class E>
static __device__ __forceinline__ void end(const float acc[D / 8][4], const struct softmax &x, const struct step<E> &a,
                                           struct position at, int64_t first)
{
	const struct problem &p = a.problem;
	const int64_t line = at.batch * p.heads + at.head;
	put_sums<D>(acc, head_of(a.acc, p, at, p.chunk), first, p);
#pragma unroll
	for (int r = 0; r < 2; r++) {
		const int64_t row = first + line_of() + 8 * r;
		const float sum = line_sum(x.sum[r]);
		if (lane_of() == 0 && row < p.chunk) {
			row_at(a.m, line)[row] = x.max[r] * (1.0f / LOG2_E);
			row_at(a.l, line)[row] = sum;
		}
	}
}

template <int D, class E> static __global__ void __launch_bounds__(CORE_THREADS) attention_cores_forward(struct step<E> a)
{
	SP_SHARED(E, q);
	a.problem.dropout = with_key(a.problem.dropout);
	E *const k = q + tile_elements<D>(queries<D>::OF_BLOCK), *const v = k + 2 * tile_elements<D>(TILE);
	int32_t *const query_docs = reinterpret_cast<int32_t *>(v + 2 * tile_elements<D>(TILE)), *const key_docs = query_docs + queries<D>::OF_BLOCK;
	const struct problem &p = a.problem;
	const struct position at = position_of(p, a.tiles);
	const int64_t first = at.tile * queries<D>::OF_BLOCK;
	const int own = (int)threadIdx.x / WARP * queries<D>::OF_WARP;
	const struct head_rows<E> keys = head_of(a.k, p, at, p.keys), values = head_of(a.v, p, at, p.keys);
	const int32_t *const docs = p.key_doc + at.batch * p.keys;
	const float scale = p.scale * LOG2_E;
	struct softmax x[queries<D>::BLOCKS];
	float acc[queries<D>::BLOCKS][D / 8][4], s[queries<D>::BLOCKS][COLUMNS][4];
	uint32_t fragment[queries<D>::BLOCKS][D / 16][4];
	for (int i = (int)threadIdx.x; i < queries<D>::OF_BLOCK; i += CORE_THREADS)
		query_docs[i] = first + i < p.chunk ? p.query_doc[at.batch * p.chunk + first + i] : -1;
	fetch_tile<D>(q, queries<D>::OF_BLOCK, head_of(a.q, p, at, p.chunk), first, p);
	end_of_copies();
	wait_for_copies<0>();
	__syncthreads();
#pragma unroll
	for (int b = 0; b < queries<D>::BLOCKS; b++) {
		begin<D>(acc[b], x[b], a, at, first + own + b * ROWS_OF_WARP);
#pragma unroll
		for (int d = 0; d < D / 16; d++)
			rows_fragment<D>(fragment[b][d], q, own + b * ROWS_OF_WARP, d);
	}
	const struct documents mine = look_at(query_docs, queries<D>::OF_BLOCK);
	const struct reach reach = reach_of(p, first, p.ahead, p.shift, p.keys, queries<D>::OF_BLOCK);
	struct next now = next_tile(key_docs, docs, reach.first, reach.end, p.keys, mine, p.window);
	if (now.first < reach.end) {
		fetch_tile<D>(k, TILE, keys, now.first, p);
		fetch_tile<D>(v, TILE, values, now.first, p);
	}
	end_of_copies();
	for (int n = 0; now.first < reach.end; n++) {
		const int here = n % 2, there = 1 - here;
		const struct next then = next_tile(key_docs + (n + 1) % DOCS * TILE, docs, now.first + TILE, reach.end, p.keys, mine, p.window);
		if (then.first < reach.end) { /* finding it took a barrier: what it is loaded over is not read any more */
			fetch_tile<D>(k + there * tile_elements<D>(TILE), TILE, keys, then.first, p);
			fetch_tile<D>(v + there * tile_elements<D>(TILE), TILE, values, then.first, p);
		}
		end_of_copies();
		wait_for_copies<1>();
		__syncthreads();
		meet<D, queries<D>::BLOCKS>(s, fragment, k + here * tile_elements<D>(TILE));
#pragma unroll
		for (int b = 0; b < queries<D>::BLOCKS; b++) {
			const int row = own + b * ROWS_OF_WARP;
			if (!now.whole)
				mask(s[b], p, query_docs + row, key_docs + n % DOCS * TILE, first + row, now.first);
			fold<D>(s[b], acc[b], x[b], scale);
			drop(s[b], p, at, first + row, now.first);
		}
		sum_up<D, queries<D>::BLOCKS>(acc, s, v + here * tile_elements<D>(TILE));
		now = then;
	}
	wait_for_copies<0>();
#pragma unroll
	for (int b = 0; b < queries<D>::BLOCKS; b++)
		end<D>(acc[b], x[b], a, at, first + own + b * ROWS_OF_WARP);
}

template <class E> static int forward(struct sp_cuda *cuda, const struct sp_attention_forward *args)
{
	const struct sp_matrix moved[] = { args->q, args->k, args->v, args->acc };
	const struct sp_attention_shape *s = &args->shape;
	const int64_t tiles = ceil_div(s->chunk, s->head_dim <= 64 ? (int64_t)queries<64>::OF_BLOCK : (int64_t)queries<128>::OF_BLOCK);
	const struct step<E> a = { problem_of(s, moved, 4), rows_of<E>(args->q), rows_of<E>(args->k), rows_of<E>(args->v),
		                       rows_of(args->acc), rows_of(args->m), rows_of(args->l), tiles, args->first };
	const int64_t blocks = tiles * s->heads * s->batch;
	return blocks == 0 ? SP_OK : SP_CORES_LAUNCH(cuda, attention_cores_forward, E, s->head_dim, blocks, forward_shared, a);
}

extern "C" int sp_cuda_attention_cores_forward(struct sp_cuda *cuda, const struct sp_attention_forward *args)
{
	return args->q.dtype == SP_BF16 ? forward<__nv_bfloat16>(cuda, args) : forward<__half>(cuda, args);
}
