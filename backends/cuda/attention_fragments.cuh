/* Attention of 16-bit queries, keys and values on tensor cores: tiles in shared memory and products of them. May include:
 * cuda/{attention_tiles,tensor_cores}.cuh.
 *
 * Four warps; each owns 16 rows, or several times 16, of the tile that stays, and meets 64 rows of the other side at a time. Lane
 * t of line g of a warp holds, of a product of 16 rows and 8 n columns, rows g and g + 8 and columns 8 j + 2 t, 8 j + 2 t + 1
 * (c[j][0], c[j][1] of row g; c[j][2], c[j][3] of row g + 8). In shared memory a row of D elements takes D + 8, so that eight rows
 * that are read together lie in different banks. Between products numbers are float32; scores' exponentials and gradients are
 * rounded to E as factors of the next. */
#ifndef SP_CUDA_ATTENTION_FRAGMENTS_CUH
#define SP_CUDA_ATTENTION_FRAGMENTS_CUH

#include "cuda/attention_tiles.cuh"
#include "cuda/tensor_cores.cuh"

enum { CORE_WARPS = 4, CORE_THREADS = CORE_WARPS * WARP, ROWS_OF_WARP = 16, COLUMNS = TILE / 8, PAD = 8 };

#define SP_CORES_LAUNCH(cuda, kernel, E, head_dim, blocks, shared, args)                                                 \
	((head_dim) <= 32   ? SP_CORES_LAUNCH_OF(cuda, kernel, 32, E, blocks, shared, args)                                  \
	 : (head_dim) <= 64 ? SP_CORES_LAUNCH_OF(cuda, kernel, 64, E, blocks, shared, args)                                  \
	 : (head_dim) <= 96 ? SP_CORES_LAUNCH_OF(cuda, kernel, 96, E, blocks, shared, args)                                  \
	                    : SP_CORES_LAUNCH_OF(cuda, kernel, 128, E, blocks, shared, args))
#define SP_CORES_LAUNCH_OF(cuda, kernel, D, E, blocks, shared, args)                                                     \
	SP_LAUNCH_LARGE(cuda, (kernel<D, E>), blocks, CORE_THREADS, (shared<D>()), args)

static const float LOG2_E = 1.44269504f;

static __device__ __forceinline__ int warp_lane()
{
	return (int)(threadIdx.x % WARP);
}

static __device__ __forceinline__ int line_of()
{
	return warp_lane() / 4;
}

static __device__ __forceinline__ int lane_of()
{
	return warp_lane() % 4;
}

/* Elements of a tile of so many rows. */
template <int D> static constexpr __host__ __device__ int tile_elements(int rows)
{
	return rows * (D + PAD);
}

/* ---- into shared memory ---- */

/* Rows first .. first + rows - 1; what lies outside is 0. Copies may still be under way on return. */
template <int D, class E>
static __device__ __forceinline__ void fetch_tile(E *tile, int rows, struct head_rows<E> from, int64_t first, const struct problem &p)
{
	for (int i = (int)threadIdx.x; i < rows * (D / GROUP); i += CORE_THREADS) {
		const int r = i / (D / GROUP), d = i % (D / GROUP) * GROUP;
		const int64_t row = first + r;
		const int there = row >= 0 && row < from.count && d < p.head_dim;
		E *const to = tile + r * (D + PAD) + d;
		if (there && p.wide)
			copy_ahead(to, from.data + row * from.stride + d);
		else
			write8(to, there ? load8(from.data + row * from.stride, d, p.head_dim, 0) : zero8());
	}
}

/* ---- fragments ---- */

/* A: 16 rows from `row` on, elements 16 k .. 16 k + 15 of each. */
template <int D, class E> static __device__ __forceinline__ void rows_fragment(uint32_t a[4], const E *tile, int row, int k)
{
	const int l = warp_lane();
	load_matrices(a, tile + (row + l % 16) * (D + PAD) + 16 * k + l / 16 * 8);
}

/* B of two products: 16 rows as columns, elements 16 k .. as what is summed over. b[0], b[1] of the first eight. */
template <int D, class E> static __device__ __forceinline__ void rows_as_columns(uint32_t b[4], const E *tile, int row, int k)
{
	const int l = warp_lane();
	load_matrices(b, tile + (row + l / 16 * 8 + l % 8) * (D + PAD) + 16 * k + l / 8 % 2 * 8);
}

/* B of two products: 16 rows as what is summed over, elements 16 k .. as columns. */
template <int D, class E> static __device__ __forceinline__ void rows_as_sums(uint32_t b[4], const E *tile, int row, int k)
{
	const int l = warp_lane();
	load_turned(b, tile + (row + l % 16) * (D + PAD) + 16 * k + l / 16 * 8);
}

/* A of the next product from 16 columns of this one, rounded to E. */
template <class E> static __device__ __forceinline__ void narrow_fragment(uint32_t a[4], const float first[4], const float second[4])
{
	const E *const type = NULL;
	a[0] = pack(first[0], first[1], type);
	a[1] = pack(first[2], first[3], type);
	a[2] = pack(second[0], second[1], type);
	a[3] = pack(second[2], second[3], type);
}

template <int N> static __device__ __forceinline__ void clear(float c[N][4])
{
#pragma unroll
	for (int j = 0; j < N; j++)
		c[j][0] = c[j][1] = c[j][2] = c[j][3] = 0.0f;
}

/* c (B times 16 x 64) = as many rows, in registers, times the 64 rows of `other`. */
template <int D, int B, class E>
static __device__ __forceinline__ void meet(float c[B][COLUMNS][4], const uint32_t own[B][D / 16][4], const E *other)
{
#pragma unroll
	for (int i = 0; i < B; i++)
		clear<COLUMNS>(c[i]);
#pragma unroll
	for (int k = 0; k < D / 16; k++)
#pragma unroll
		for (int j = 0; j < COLUMNS; j += 2) {
			uint32_t b[4];
			rows_as_columns<D>(b, other, 8 * j, k);
#pragma unroll
			for (int i = 0; i < B; i++) {
				multiply_add(c[i][j], own[i][k], b[0], b[1], other);
				multiply_add(c[i][j + 1], own[i][k], b[2], b[3], other);
			}
		}
}

/* The same of 16 rows of a tile from `row` on. */
template <int D, class E>
static __device__ __forceinline__ void meet_rows(float c[COLUMNS][4], const E *own, int row, const E *other)
{
	clear<COLUMNS>(c);
#pragma unroll
	for (int k = 0; k < D / 16; k++) {
		uint32_t a[4];
		rows_fragment<D>(a, own, row, k);
#pragma unroll
		for (int j = 0; j < COLUMNS; j += 2) {
			uint32_t b[4];
			rows_as_columns<D>(b, other, 8 * j, k);
			multiply_add(c[j], a, b[0], b[1], other);
			multiply_add(c[j + 1], a, b[2], b[3], other);
		}
	}
}

/* sum (B times 16 x D) += x (B times 16 x 64) times the 64 rows of `other`. */
template <int D, int B, class E>
static __device__ __forceinline__ void sum_up(float sum[B][D / 8][4], const float x[B][COLUMNS][4], const E *other)
{
#pragma unroll
	for (int k = 0; k < TILE / 16; k++) {
		uint32_t a[B][4];
#pragma unroll
		for (int i = 0; i < B; i++)
			narrow_fragment<E>(a[i], x[i][2 * k], x[i][2 * k + 1]);
#pragma unroll
		for (int d = 0; d < D / 16; d++) {
			uint32_t b[4];
			rows_as_sums<D>(b, other, 16 * k, d);
#pragma unroll
			for (int i = 0; i < B; i++) {
				multiply_add(sum[i][2 * d], a[i], b[0], b[1], other);
				multiply_add(sum[i][2 * d + 1], a[i], b[2], b[3], other);
			}
		}
	}
}

/* ---- sums of 16 x D in float32, to and from global memory ---- */

/* x += rows first + g and first + g + 8 of `from`. */
template <int D>
static __device__ __forceinline__ void fetch_sums(float x[D / 8][4], struct head_rows<float> from, int64_t first, const struct problem &p)
{
#pragma unroll
	for (int r = 0; r < 2; r++) {
		const int64_t row = first + line_of() + 8 * r;
		if (row < 0 || row >= from.count)
			continue;
#pragma unroll
		for (int j = 0; j < D / 8; j++)
#pragma unroll
			for (int e = 0; e < 2; e++) {
				const int d = 8 * j + 2 * lane_of() + e;
				x[j][2 * r + e] += d < p.head_dim ? from.data[row * from.stride + d] : 0.0f;
			}
	}
}

template <int D>
static __device__ __forceinline__ void put_sums(const float x[D / 8][4], struct head_rows<float> to, int64_t first, const struct problem &p)
{
#pragma unroll
	for (int r = 0; r < 2; r++) {
		const int64_t row = first + line_of() + 8 * r;
		if (row < 0 || row >= to.count)
			continue;
#pragma unroll
		for (int j = 0; j < D / 8; j++) {
			const int d = 8 * j + 2 * lane_of();
			float *const line = to.data + row * to.stride + d;
			if (p.wide && d < p.head_dim)
				*reinterpret_cast<float2 *>(line) = make_float2(x[j][2 * r], x[j][2 * r + 1]);
			if (!p.wide && d < p.head_dim)
				line[0] = x[j][2 * r];
			if (!p.wide && d + 1 < p.head_dim)
				line[1] = x[j][2 * r + 1];
		}
	}
}

/* ---- who meets whom, and what is dropped, where rows are queries ---- */

/* Scores whose pair may not meet become -inf. */
static __device__ __forceinline__ void mask(float s[COLUMNS][4], const struct problem &p, const int32_t *query_docs,
                                            const int32_t *key_docs, int64_t query, int64_t key)
{
#pragma unroll
	for (int r = 0; r < 2; r++) {
		const int row = line_of() + 8 * r;
		const int32_t doc = query_docs[row];
#pragma unroll
		for (int j = 0; j < COLUMNS; j++)
#pragma unroll
			for (int e = 0; e < 2; e++) {
				const int column = 8 * j + 2 * lane_of() + e;
				if (doc < 0 || doc != key_docs[column] || !near_enough(p, query + row, key + column))
					s[j][2 * r + e] = -INFINITY;
			}
	}
}

static __device__ __forceinline__ uint32_t dropout_line(const struct problem &p, struct position at)
{
	return p.sample[at.batch] * p.all_heads + p.first_head + (uint32_t)at.head;
}

/* Which of a lane's pairs are kept: [j][r] holds of row g + 8 r columns 8 j .. 8 j + 7, a bit each. A lane draws for two of the eight j
 * and its line exchanges. */
struct kept {
	uint32_t bits[4]; /* of lane x: bytes (half, r) of j = 4 half + x */
};

static __device__ __forceinline__ struct kept draw(const struct problem &p, struct position at, int64_t query, int64_t key)
{
	uint32_t own = 0;
	struct kept kept = { { ~0u, ~0u, ~0u, ~0u } };
	if (!drops(p.dropout))
		return kept;
	const uint32_t group = (uint32_t)(p.first_key + key) / GROUP, line = dropout_line(p, at);
#pragma unroll
	for (int half = 0; half < 2; half++)
#pragma unroll
		for (int r = 0; r < 2; r++)
			own |= kept8(p.dropout, group + (uint32_t)(lane_of() + 4 * half), p.first_query + (uint32_t)(query + line_of() + 8 * r), line)
			       << (16 * half + 8 * r);
#pragma unroll
	for (int x = 0; x < 4; x++)
		kept.bits[x] = __shfl_sync(ALL_LANES, own, warp_lane() / 4 * 4 + x);
	return kept;
}

/* Of element i of c[j]. */
static __device__ __forceinline__ int keeps(const struct kept &kept, int j, int i)
{
	return kept.bits[j % 4] >> (16 * (j / 4) + 8 * (i / 2) + 2 * lane_of() + i % 2) & 1;
}

/* ---- which tiles of the other side there is work with ---- */

/* Documents of the rows that stay: if all are the same, all of it can be told at once of a tile that meets them. */
struct documents {
	int32_t low, high; /* of those that are not negative; low > high: there are none */
};

/* Of `rows` documents in shared memory, a multiple of 32; all threads get the result. */
static __device__ __forceinline__ struct documents look_at(const int32_t *docs, int rows)
{
	struct documents d = { INT32_MAX, -1 };
	int least = INT32_MAX; /* negative: not all are of a document */
	for (int i = warp_lane(); i < rows; i += WARP) {
		least = docs[i] < least ? docs[i] : least;
		d.low = docs[i] >= 0 && docs[i] < d.low ? docs[i] : d.low;
		d.high = docs[i] > d.high ? docs[i] : d.high;
	}
#pragma unroll
	for (int o = WARP / 2; o > 0; o /= 2) {
		const int other = __shfl_xor_sync(ALL_LANES, least, o);
		const int32_t low = __shfl_xor_sync(ALL_LANES, d.low, o), high = __shfl_xor_sync(ALL_LANES, d.high, o);
		least = other < least ? other : least;
		d.low = low < d.low ? low : d.low;
		d.high = high > d.high ? high : d.high;
	}
	if (least < 0 && d.low == d.high)
		d.low = -1; /* not all are of the same: pairs are looked at one by one */
	return d;
}

/* A tile of the other side: where it begins; `whole`: all of its rows meet all that stay. */
struct next {
	int64_t first;
	int whole;
};

/* The first tile from `first` on of which some row may meet some that stays, its documents in `docs`; first >= end if there is
 * none. All threads call; barriers inside. */
static __device__ __forceinline__ struct next next_tile(int32_t *docs, const int32_t *from, int64_t first, int64_t end, int64_t count,
                                                        struct documents own, int64_t window)
{
	for (; first < end; first += TILE) {
		const int64_t i = first + threadIdx.x;
		const int32_t doc = threadIdx.x < TILE && i >= 0 && i < count ? from[i] : -1;
		if (threadIdx.x < TILE)
			docs[threadIdx.x] = doc;
		if (!__syncthreads_or(doc >= 0 && doc >= own.low && doc <= own.high))
			continue;
		const int some_not = threadIdx.x < TILE && (doc != own.low || doc != own.high);
		return { first, !__syncthreads_or(some_not || window > 0) };
	}
	return { first, 0 };
}

#endif
