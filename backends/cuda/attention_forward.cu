/* One block of keys folded into the online softmax, in single precision: a thread block per 64 queries of a head walks over
 * the keys (Dao et al. 2022, algorithm 1), maximum, sum and accumulator in registers. */
#include "cuda/attention_tiles.cuh"
#include "cuda/kernels.h"

struct step {
	struct problem problem;
	struct rows<float> q, k, v;
	struct rows<float> acc, m, l;
	int64_t tiles; /* of queries */
	int first;
};

template <int D> static constexpr size_t forward_shared()
{
	return (3 * tile_size<D>::FLOATS + TILE * SCORE_STRIDE) * sizeof(float) + 2 * TILE * sizeof(int32_t);
}

/* Maximum and sum of a thread's two rows; the eight lanes of a line hold the same. */
struct softmax {
	float max[OWN_ROWS], sum[OWN_ROWS];
};

static __device__ __forceinline__ float line_max(float x)
{
#pragma unroll
	for (int o = LANES / 2; o > 0; o /= 2)
		x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, o));
	return x;
}

static __device__ __forceinline__ float line_sum(float x)
{
#pragma unroll
	for (int o = LANES / 2; o > 0; o /= 2)
		x += __shfl_xor_sync(ALL_LANES, x, o);
	return x;
}

/* Scores become probabilities relative to the new maximum, dropped where `kept` says so; what was summed before shrinks by
 * the returned factors. */
template <int D>
static __device__ __forceinline__ void fold(struct scores &s, struct softmax &state, struct result<D> &acc, unsigned allowed,
                                            unsigned kept, const struct problem &p)
{
#pragma unroll
	for (int r = 0; r < OWN_ROWS; r++) {
		float max = state.max[r], sum = 0.0f;
#pragma unroll
		for (int k = 0; k < OWN_KEYS; k++) {
			s.v[r][k] *= p.scale;
			if (has(allowed, r, k))
				max = fmaxf(max, s.v[r][k]);
		}
		max = line_max(max);
		/* nothing allowed so far: max is -inf, and every term below is left out */
		const float shrink = state.max[r] > -INFINITY ? expf(state.max[r] - max) : 0.0f;
#pragma unroll
		for (int k = 0; k < OWN_KEYS; k++) {
			const float e = has(allowed, r, k) ? expf(s.v[r][k] - max) : 0.0f;
			sum += e;
			s.v[r][k] = has(kept, r, k) ? e * p.dropout.scale : 0.0f;
		}
		state.max[r] = max;
		state.sum[r] = state.sum[r] * shrink + line_sum(sum);
#pragma unroll
		for (int c = 0; c < D / LANES; c++)
			acc.v[r][c] *= shrink;
	}
}

template <int D> static __global__ void __launch_bounds__(TILE_THREADS) attention_forward(struct step a)
{
	SP_SHARED(float, shared);
	a.problem.dropout = with_key(a.problem.dropout);
	float *q = shared, *k = q + tile_size<D>::FLOATS, *v = k + tile_size<D>::FLOATS, *probs = v + tile_size<D>::FLOATS;
	int32_t *query_docs = reinterpret_cast<int32_t *>(probs + TILE * SCORE_STRIDE), *key_docs = query_docs + TILE;
	const struct problem &p = a.problem;
	const struct position at = position_of(p, a.tiles);
	const int64_t first = at.tile * TILE, line = at.batch * p.heads + at.head;
	const struct head_rows<float> keys = head_of(a.k, p, at, p.keys), values = head_of(a.v, p, at, p.keys);
	const struct head_rows<float> out = head_of(a.acc, p, at, p.chunk);
	struct softmax state = { { -INFINITY, -INFINITY }, { 0.0f, 0.0f } };
	struct result<D> acc;
	clear(acc);
	load_tile<D>(q, head_of(a.q, p, at, p.chunk), first, p);
	load_documents(query_docs, p.query_doc + at.batch * p.chunk, first, p.chunk);
	if (!a.first)
		fetch(acc, out, first, p);
#pragma unroll
	for (int r = 0; r < OWN_ROWS; r++)
		if (!a.first && first + own_row(r) < p.chunk) {
			state.max[r] = row_at(a.m, line)[first + own_row(r)];
			state.sum[r] = row_at(a.l, line)[first + own_row(r)];
		}
	const struct reach reach = reach_of(p, first, p.ahead, p.shift, p.keys);
	for (int64_t key = reach.first; key < reach.end; key += TILE) {
		load_documents(key_docs, p.key_doc + at.batch * p.keys, key, p.keys);
		__syncthreads();
		const unsigned allowed = allowed_pairs(p, query_docs, key_docs, first, key);
		if (!__syncthreads_or((int)allowed))
			continue;
		load_tile<D>(k, keys, key, p);
		load_tile<D>(v, values, key, p);
		__syncthreads();
		struct scores s = rows_by_rows<D>(q, k);
		fold(s, state, acc, allowed, kept_pairs(p, at, first, key), p);
		put_scores(probs, s);
		__syncwarp(); /* a line's scores are read by its own lanes only */
		scores_by_rows(acc, probs, v);
	}
	put(acc, out, first, p);
#pragma unroll
	for (int r = 0; r < OWN_ROWS; r++)
		if (lane() == 0 && first + own_row(r) < p.chunk) {
			row_at(a.m, line)[first + own_row(r)] = state.max[r];
			row_at(a.l, line)[first + own_row(r)] = state.sum[r];
		}
}

static int queue(struct sp_cuda *cuda, const struct sp_attention_forward *args)
{
	const struct sp_matrix moved[] = { args->q, args->k, args->v, args->acc };
	const int64_t tiles = ceil_div(args->shape.chunk, TILE);
	const struct step a = { problem_of(&args->shape, moved, 4),
		                       rows_of(args->q),
		                       rows_of(args->k),
		                       rows_of(args->v),
		                       rows_of(args->acc),
		                       rows_of(args->m),
		                       rows_of(args->l),
		                       tiles,
		                       args->first };
	const int64_t blocks = tiles * args->shape.heads * args->shape.batch;
	if (blocks == 0)
		return SP_OK;
	return SP_ATTENTION_LAUNCH(cuda, attention_forward, args->shape.head_dim, blocks, forward_shared, a);
}

extern "C" int sp_cuda_attention_own_forward(struct sp_cuda *cuda, const struct sp_attention_forward *args)
{
	return args->q.dtype == SP_F32 ? queue(cuda, args) : sp_cuda_attention_cores_forward(cuda, args);
}
