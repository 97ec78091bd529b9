/* Gradients through one block of keys, in single precision. Two kernels, one for dq and one for dk and dv, each thread block
 * owning the rows it adds to: the scores are computed twice, and nothing is added atomically. */
#include "cuda/attention_tiles.cuh"
#include "cuda/kernels.h"

struct step {
	struct problem problem;
	struct rows<float> q, k, v, dout;
	struct rows<float> lse, dots, dq, dk, dv;
	int64_t query_tiles, key_tiles;
	int overwrite_dq, overwrite_dkv;
};

/* Four tiles of rows, one of scores. */
template <int D> static constexpr size_t backward_shared()
{
	return (4 * tile_size<D>::FLOATS + TILE * SCORE_STRIDE) * sizeof(float) + 2 * TILE * sizeof(int32_t);
}

template <int D> struct tiles {
	float *q, *dout, *k, *v, *scores;
	int32_t *query_docs, *key_docs;
};

template <int D> static __device__ __forceinline__ struct tiles<D> tiles_in(float *shared)
{
	struct tiles<D> t;
	t.q = shared;
	t.dout = t.q + tile_size<D>::FLOATS;
	t.k = t.dout + tile_size<D>::FLOATS;
	t.v = t.k + tile_size<D>::FLOATS;
	t.scores = t.v + tile_size<D>::FLOATS;
	t.query_docs = reinterpret_cast<int32_t *>(t.scores + TILE * SCORE_STRIDE);
	t.key_docs = t.query_docs + TILE;
	return t;
}

struct slope {
	struct scores probs, ds; /* probs: with dropout, for dv; ds: scaled, for dq and dk */
};

/* Both sides are in shared memory. */
template <int D>
static __device__ __forceinline__ struct slope slope_of(const struct step &a, const struct tiles<D> &t, struct position at,
                                                        int64_t query, int64_t key, unsigned allowed)
{
	const struct problem &p = a.problem;
	const int64_t line = at.batch * p.heads + at.head;
	const unsigned kept = kept_pairs(p, at, query, key);
	struct slope x;
	x.probs = rows_by_rows<D>(t.q, t.k);
	x.ds = rows_by_rows<D>(t.dout, t.v);
#pragma unroll
	for (int r = 0; r < OWN_ROWS; r++) {
		const int64_t i = query + own_row(r);
		const float lse = i < p.chunk ? row_at(a.lse, line)[i] : -INFINITY, dot = i < p.chunk ? row_at(a.dots, line)[i] : 0.0f;
#pragma unroll
		for (int k = 0; k < OWN_KEYS; k++) {
			const int meets = has(allowed, r, k) && lse > -INFINITY;
			const float prob = meets ? expf(x.probs.v[r][k] * p.scale - lse) : 0.0f;
			const float factor = has(kept, r, k) ? p.dropout.scale : 0.0f;
			x.ds.v[r][k] = meets ? prob * (factor * x.ds.v[r][k] - dot) * p.scale : 0.0f;
			x.probs.v[r][k] = prob * factor;
		}
	}
	return x;
}

template <int D> static __global__ void __launch_bounds__(TILE_THREADS) attention_backward_queries(struct step a)
{
	SP_SHARED(float, shared);
	a.problem.dropout = with_key(a.problem.dropout);
	const struct tiles<D> t = tiles_in<D>(shared);
	const struct problem &p = a.problem;
	const struct position at = position_of(p, a.query_tiles);
	const int64_t first = at.tile * TILE;
	const struct head_rows<float> out = head_of(a.dq, p, at, p.chunk);
	struct result<D> dq;
	clear(dq);
	load_tile<D>(t.q, head_of(a.q, p, at, p.chunk), first, p);
	load_tile<D>(t.dout, head_of(a.dout, p, at, p.chunk), first, p);
	load_documents(t.query_docs, p.query_doc + at.batch * p.chunk, first, p.chunk);
	if (!a.overwrite_dq)
		fetch(dq, out, first, p);
	const struct reach reach = reach_of(p, first, p.ahead, p.shift, p.keys);
	for (int64_t key = reach.first; key < reach.end; key += TILE) {
		load_documents(t.key_docs, p.key_doc + at.batch * p.keys, key, p.keys);
		__syncthreads();
		const unsigned allowed = allowed_pairs(p, t.query_docs, t.key_docs, first, key);
		if (!__syncthreads_or((int)allowed))
			continue;
		load_tile<D>(t.k, head_of(a.k, p, at, p.keys), key, p);
		load_tile<D>(t.v, head_of(a.v, p, at, p.keys), key, p);
		__syncthreads();
		put_scores(t.scores, slope_of(a, t, at, first, key, allowed).ds);
		__syncwarp(); /* a line's scores are read by its own lanes only */
		scores_by_rows(dq, t.scores, t.k);
	}
	put(dq, out, first, p);
}

template <int D> static __global__ void __launch_bounds__(TILE_THREADS) attention_backward_keys(struct step a)
{
	SP_SHARED(float, shared);
	a.problem.dropout = with_key(a.problem.dropout);
	const struct tiles<D> t = tiles_in<D>(shared);
	const struct problem &p = a.problem;
	const struct position at = position_of(p, a.key_tiles);
	const int64_t first = at.tile * TILE - p.shift;
	const struct head_rows<float> dk_out = head_of(a.dk, p, at, p.keys), dv_out = head_of(a.dv, p, at, p.keys);
	struct result<D> dk, dv;
	clear(dk);
	clear(dv);
	load_tile<D>(t.k, head_of(a.k, p, at, p.keys), first, p);
	load_tile<D>(t.v, head_of(a.v, p, at, p.keys), first, p);
	load_documents(t.key_docs, p.key_doc + at.batch * p.keys, first, p.keys);
	if (!a.overwrite_dkv) {
		fetch(dk, dk_out, first, p);
		fetch(dv, dv_out, first, p);
	}
	const struct reach reach = reach_of(p, first, -p.ahead, 0, p.chunk);
	for (int64_t query = reach.first; query < reach.end; query += TILE) {
		load_documents(t.query_docs, p.query_doc + at.batch * p.chunk, query, p.chunk);
		__syncthreads();
		const unsigned allowed = allowed_pairs(p, t.query_docs, t.key_docs, query, first);
		if (!__syncthreads_or((int)allowed))
			continue;
		load_tile<D>(t.q, head_of(a.q, p, at, p.chunk), query, p);
		load_tile<D>(t.dout, head_of(a.dout, p, at, p.chunk), query, p);
		__syncthreads();
		const struct slope x = slope_of(a, t, at, query, first, allowed);
		put_scores(t.scores, x.probs);
		__syncthreads();
		columns_by_rows(dv, t.scores, t.dout);
		__syncthreads();
		put_scores(t.scores, x.ds);
		__syncthreads();
		columns_by_rows(dk, t.scores, t.q);
	}
	put(dk, dk_out, first, p);
	put(dv, dv_out, first, p);
}

/* The backward kernels take most. */
extern "C" size_t sp_cuda_attention_shared(int64_t head_dim)
{
	return head_dim <= 32   ? backward_shared<32>()
	       : head_dim <= 64 ? backward_shared<64>()
	       : head_dim <= 96 ? backward_shared<96>()
	                        : backward_shared<128>();
}

static int queue(struct sp_cuda *cuda, const struct sp_attention_backward *args)
{
	const struct sp_attention_shape *s = &args->shape;
	const struct sp_matrix moved[] = { args->q, args->k, args->v, args->dout, args->dq, args->dk, args->dv };
	const struct problem problem = problem_of(s, moved, 7);
	const struct step a = { problem,
		                       rows_of(args->q),
		                       rows_of(args->k),
		                       rows_of(args->v),
		                       rows_of(args->dout),
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
		status = SP_ATTENTION_LAUNCH(cuda, attention_backward_queries, s->head_dim, query_blocks, backward_shared, a);
	if (status == SP_OK && key_blocks > 0)
		status = SP_ATTENTION_LAUNCH(cuda, attention_backward_keys, s->head_dim, key_blocks, backward_shared, a);
	return status;
}

extern "C" int sp_cuda_attention_own_backward(struct sp_cuda *cuda, const struct sp_attention_backward *args)
{
	return args->q.dtype == SP_F32 ? queue(cuda, args) : sp_cuda_attention_cores_backward(cuda, args);
}
