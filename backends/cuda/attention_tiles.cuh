/* Tiles of attention in single precision, whatever activations are: what the forward and backward kernels are made of.
 * May include: cuda/common.cuh.
 *
 * 256 threads work on tiles of 64 rows. Thread t is lane x = t % 8 of line y = t / 8 and holds, of a 64 x 64 tile of scores,
 * rows 2 y, 2 y + 1 and columns x, x + 8, ..., x + 56; of a 64 x D tile of results the same two rows and columns
 * 32 c + 4 x .. 32 c + 4 x + 3. In shared memory a row of D values takes D + 4, so that the eight rows which a quarter of a
 * warp reads together lie in different banks. */
#ifndef SP_CUDA_ATTENTION_TILES_CUH
#define SP_CUDA_ATTENTION_TILES_CUH

#include "cuda/common.cuh"

enum { TILE = 64, TILE_THREADS = 256, LANES = 8, OWN_ROWS = 2, OWN_KEYS = TILE / LANES, SCORE_STRIDE = TILE + 4 };

/* Head sizes are rounded up to these. */
#define SP_ATTENTION_LAUNCH(cuda, kernel, head_dim, blocks, shared, args)                                                \
	((head_dim) <= 32   ? SP_ATTENTION_LAUNCH_OF(cuda, kernel, 32, blocks, shared, args)                                 \
	 : (head_dim) <= 64 ? SP_ATTENTION_LAUNCH_OF(cuda, kernel, 64, blocks, shared, args)                                 \
	 : (head_dim) <= 96 ? SP_ATTENTION_LAUNCH_OF(cuda, kernel, 96, blocks, shared, args)                                 \
	                    : SP_ATTENTION_LAUNCH_OF(cuda, kernel, 128, blocks, shared, args))
#define SP_ATTENTION_LAUNCH_OF(cuda, kernel, D, blocks, shared, args)                                                    \
	SP_LAUNCH_LARGE(cuda, (kernel<D>), blocks, TILE_THREADS, (shared<D>()), args)

static __device__ __forceinline__ int lane()
{
	return (int)(threadIdx.x % LANES);
}

static __device__ __forceinline__ int own_row(int r)
{
	return (int)(threadIdx.x / LANES) * OWN_ROWS + r;
}

static __device__ __forceinline__ int own_key(int k)
{
	return lane() + LANES * k;
}

template <int D> struct tile_size {
	enum { FLOATS = TILE * (D + 4) };
};

/* ---- what both steps know about their problem ---- */

struct problem {
	int64_t heads, chunk, keys;
	int head_dim, wide, shift; /* shift: see key_tiles() */
	float scale;
	const int32_t *query_doc, *key_doc;
	const uint32_t *sample;
	uint32_t first_query, first_key;
	uint32_t all_heads, first_head;
	struct dropout dropout;
	int64_t window, ahead; /* 0: none; what a query's position is more than that of the key of the same number */
};

/* `moved`: activations first. */
static inline struct problem problem_of(const struct sp_attention_shape *s, const struct sp_matrix *moved, int n)
{
	struct problem p = { s->heads,
		                 s->chunk,
		                 s->keys,
		                 (int)s->head_dim,
		                 s->head_dim * (int64_t)sp_dtype_size(moved[0].dtype) % 16 == 0,
		                 (int)(s->first_key % GROUP),
		                 s->scale,
		                 s->query_doc,
		                 s->key_doc,
		                 s->sample,
		                 s->first_query,
		                 s->first_key,
		                 s->all_heads ? s->all_heads : (uint32_t)s->heads,
		                 s->first_head,
		                 dropout_of(&s->dropout),
		                 s->window,
		                 (int64_t)s->first_query - (int64_t)s->first_key };
	for (int i = 0; i < n; i++)
		p.wide = p.wide && reinterpret_cast<uintptr_t>(moved[i].data) % 16 == 0 &&
		         moved[i].stride * (int64_t)sp_dtype_size(moved[i].dtype) % 16 == 0;
	return p;
}

/* Tiles of keys begin where key positions in the sequence are multiples of eight, so that a group of eight that dropout
 * decides about lies in one tile: the first tile may begin before the first key. */
static inline int64_t key_tiles(const struct problem &p)
{
	return p.keys ? ceil_div(p.keys + p.shift, TILE) : 0;
}

/* Of the rows of the other side, which are `count`, those that a tile's rows, from `first` on, can reach: whole tiles, of
 * which one begins at -shift. `ahead`: as in struct problem, or its opposite where the tile is one of keys. */
struct reach {
	int64_t first, end;
};

static __device__ __forceinline__ struct reach reach_of(const struct problem &p, int64_t first, int64_t ahead, int64_t shift,
                                                        int64_t count, int rows = TILE)
{
	struct reach r = { -shift, count };
	if (p.window == 0)
		return r;
	const int64_t low = first + ahead - p.window, high = first + rows - 1 + ahead + p.window;
	if (low > r.first)
		r.first += (low - r.first) / TILE * TILE;
	r.end = high + 1 < count ? high + 1 : count;
	return r;
}

/* Block -> tile, head, sample. */
struct position {
	int64_t tile, head, batch;
};

static __device__ __forceinline__ struct position position_of(const struct problem &p, int64_t tiles)
{
	const int64_t line = blockIdx.x / tiles;
	return { blockIdx.x % tiles, line % p.heads, line / p.heads };
}

/* ---- moving tiles ---- */

/* The part of a (tokens, A D) matrix that belongs to one head of one sample: `count` rows. */
template <class E> struct head_rows {
	E *data;
	int64_t stride, count;
};

template <class E>
static __device__ __forceinline__ struct head_rows<E> head_of(struct rows<E> m, const struct problem &p, struct position at,
                                                              int64_t count)
{
	return { row_at(m, at.batch * count) + at.head * p.head_dim, m.stride, count };
}

static __device__ __forceinline__ float4 load_quad(const float *row, int d, int head_dim, int wide)
{
	if (wide)
		return *reinterpret_cast<const float4 *>(row + d);
	return make_float4(row[d], d + 1 < head_dim ? row[d + 1] : 0.0f, d + 2 < head_dim ? row[d + 2] : 0.0f,
	                   d + 3 < head_dim ? row[d + 3] : 0.0f);
}

/* Rows first .. first + 63 into shared memory; what lies outside is 0. */
template <int D>
static __device__ __forceinline__ void load_tile(float *tile, struct head_rows<float> from, int64_t first,
                                                 const struct problem &p)
{
	for (int i = (int)threadIdx.x; i < TILE * (D / 4); i += TILE_THREADS) {
		const int r = i / (D / 4), d = i % (D / 4) * 4;
		const int64_t row = first + r;
		float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
		if (row >= 0 && row < from.count && d < p.head_dim)
			x = load_quad(from.data + row * from.stride, d, p.head_dim, p.wide);
		*reinterpret_cast<float4 *>(tile + r * (D + 4) + d) = x;
	}
}

/* A thread's part of a 64 x D tile of results. */
template <int D> struct result {
	float v[OWN_ROWS][D / LANES];
};

template <int D> static __device__ __forceinline__ int own_column(int c)
{
	return c / 4 * 32 + lane() * 4 + c % 4;
}

template <int D> static __device__ __forceinline__ void clear(struct result<D> &x)
{
#pragma unroll
	for (int r = 0; r < OWN_ROWS; r++)
#pragma unroll
		for (int c = 0; c < D / LANES; c++)
			x.v[r][c] = 0.0f;
}

/* x += what `from` holds */
template <int D>
static __device__ __forceinline__ void fetch(struct result<D> &x, struct head_rows<float> from, int64_t first,
                                             const struct problem &p)
{
#pragma unroll
	for (int r = 0; r < OWN_ROWS; r++) {
		const int64_t row = first + own_row(r);
		if (row < 0 || row >= from.count)
			continue;
#pragma unroll
		for (int c = 0; c < D / LANES; c += 4) {
			const int d = own_column<D>(c);
			if (d >= p.head_dim)
				continue;
			const float4 old = load_quad(from.data + row * from.stride, d, p.head_dim, p.wide);
			x.v[r][c] += old.x;
			x.v[r][c + 1] += old.y;
			x.v[r][c + 2] += old.z;
			x.v[r][c + 3] += old.w;
		}
	}
}

template <int D>
static __device__ __forceinline__ void put(const struct result<D> &x, struct head_rows<float> to, int64_t first,
                                           const struct problem &p)
{
#pragma unroll
	for (int r = 0; r < OWN_ROWS; r++) {
		const int64_t row = first + own_row(r);
		if (row < 0 || row >= to.count)
			continue;
		float *line = to.data + row * to.stride;
#pragma unroll
		for (int c = 0; c < D / LANES; c++) {
			const int d = own_column<D>(c);
			if (p.wide && c % 4 == 0 && d < p.head_dim)
				*reinterpret_cast<float4 *>(line + d) = make_float4(x.v[r][c], x.v[r][c + 1], x.v[r][c + 2], x.v[r][c + 3]);
			if (!p.wide && d < p.head_dim)
				line[d] = x.v[r][c];
		}
	}
}

/* ---- products ---- */

struct scores {
	float v[OWN_ROWS][OWN_KEYS];
};

static __device__ __forceinline__ float dot4(float4 a, float4 b, float sum)
{
	sum += a.x * b.x;
	sum += a.y * b.y;
	sum += a.z * b.z;
	return sum + a.w * b.w;
}

/* a b^T of two tiles of 64 x D: rows of a against rows of b. */
template <int D> static __device__ __forceinline__ struct scores rows_by_rows(const float *a, const float *b)
{
	struct scores s;
#pragma unroll
	for (int k = 0; k < OWN_KEYS; k++)
		s.v[0][k] = s.v[1][k] = 0.0f;
#pragma unroll 4
	for (int d = 0; d < D; d += 4) {
		const float4 first = *reinterpret_cast<const float4 *>(a + own_row(0) * (D + 4) + d);
		const float4 second = *reinterpret_cast<const float4 *>(a + own_row(1) * (D + 4) + d);
#pragma unroll
		for (int k = 0; k < OWN_KEYS; k++) {
			const float4 x = *reinterpret_cast<const float4 *>(b + own_key(k) * (D + 4) + d);
			s.v[0][k] = dot4(first, x, s.v[0][k]);
			s.v[1][k] = dot4(second, x, s.v[1][k]);
		}
	}
	return s;
}

/* Scores into a tile of shared memory, row by row. */
static __device__ __forceinline__ void put_scores(float *tile, const struct scores &s)
{
#pragma unroll
	for (int r = 0; r < OWN_ROWS; r++)
#pragma unroll
		for (int k = 0; k < OWN_KEYS; k++)
			tile[own_row(r) * SCORE_STRIDE + own_key(k)] = s.v[r][k];
}

static __device__ __forceinline__ void add_quad(float *sum, float factor, float4 x)
{
	sum[0] += factor * x.x;
	sum[1] += factor * x.y;
	sum[2] += factor * x.z;
	sum[3] += factor * x.w;
}

/* x += scores b: (64, 64) times (64, D). A line's rows of the scores come from its own eight lanes only. */
template <int D>
static __device__ __forceinline__ void scores_by_rows(struct result<D> &x, const float *scores, const float *b)
{
#pragma unroll 2
	for (int k = 0; k < TILE; k += 4) {
		float own[OWN_ROWS][4];
#pragma unroll
		for (int r = 0; r < OWN_ROWS; r++) {
			const float4 s = *reinterpret_cast<const float4 *>(scores + own_row(r) * SCORE_STRIDE + k);
			own[r][0] = s.x, own[r][1] = s.y, own[r][2] = s.z, own[r][3] = s.w;
		}
#pragma unroll
		for (int e = 0; e < 4; e++)
#pragma unroll
			for (int c = 0; c < D / LANES; c += 4) {
				const float4 v = *reinterpret_cast<const float4 *>(b + (k + e) * (D + 4) + own_column<D>(c));
				add_quad(x.v[0] + c, own[0][e], v);
				add_quad(x.v[1] + c, own[1][e], v);
			}
	}
}

/* x += scores^T b */
template <int D>
static __device__ __forceinline__ void columns_by_rows(struct result<D> &x, const float *scores, const float *b)
{
#pragma unroll 4
	for (int k = 0; k < TILE; k++) {
		const float2 own = *reinterpret_cast<const float2 *>(scores + k * SCORE_STRIDE + own_row(0));
#pragma unroll
		for (int c = 0; c < D / LANES; c += 4) {
			const float4 v = *reinterpret_cast<const float4 *>(b + k * (D + 4) + own_column<D>(c));
			add_quad(x.v[0] + c, own.x, v);
			add_quad(x.v[1] + c, own.y, v);
		}
	}
}

/* ---- who meets whom, and what is dropped ---- */

/* Documents of 64 tokens from `first`, -1 outside. */
static __device__ __forceinline__ void load_documents(int32_t *docs, const int32_t *from, int64_t first, int64_t count)
{
	const int64_t i = first + threadIdx.x;
	if (threadIdx.x < TILE)
		docs[threadIdx.x] = i >= 0 && i < count ? from[i] : -1;
}

static __device__ __forceinline__ int near_enough(const struct problem &p, int64_t query, int64_t key)
{
	const int64_t apart = query + p.ahead - key;
	return p.window == 0 || (apart <= p.window && -apart <= p.window);
}

/* Bit r * 8 + k: own query r may attend to own key k; of the tiles whose first rows are given. */
static __device__ __forceinline__ unsigned allowed_pairs(const struct problem &p, const int32_t *query_docs,
                                                         const int32_t *key_docs, int64_t first_query, int64_t first_key)
{
	unsigned allowed = 0;
#pragma unroll
	for (int r = 0; r < OWN_ROWS; r++)
#pragma unroll
		for (int k = 0; k < OWN_KEYS; k++) {
			const int32_t query = query_docs[own_row(r)];
			const int meet = query >= 0 && query == key_docs[own_key(k)] &&
			                 near_enough(p, first_query + own_row(r), first_key + own_key(k));
			allowed |= meet ? 1u << (r * OWN_KEYS + k) : 0;
		}
	return allowed;
}

/* Bit r * 8 + k: the pair is kept. Lane x draws the groups of keys 8 x .. 8 x + 7 and the lanes exchange. */
static __device__ __forceinline__ unsigned kept_pairs(const struct problem &p, struct position at, int64_t first_query,
                                                      int64_t first_key)
{
	if (!drops(p.dropout))
		return ~0u;
	const uint32_t group = (uint32_t)(p.first_key + first_key) / GROUP + (uint32_t)lane();
	const uint32_t line = p.sample[at.batch] * p.all_heads + p.first_head + (uint32_t)at.head;
	unsigned drawn = 0, kept = 0;
#pragma unroll
	for (int r = 0; r < OWN_ROWS; r++)
		drawn |= kept8(p.dropout, group, p.first_query + (uint32_t)(first_query + own_row(r)), line) << r * GROUP;
#pragma unroll
	for (int k = 0; k < OWN_KEYS; k++) {
		const unsigned other = __shfl_sync(ALL_LANES, drawn, (int)(threadIdx.x % WARP / LANES) * LANES + k);
#pragma unroll
		for (int r = 0; r < OWN_ROWS; r++)
			kept |= (other >> (r * GROUP + lane()) & 1) << (r * OWN_KEYS + k);
	}
	return kept;
}

static __device__ __forceinline__ int has(unsigned pairs, int r, int k)
{
	return pairs >> (r * OWN_KEYS + k) & 1;
}

#endif
