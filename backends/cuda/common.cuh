/* What kernels have in common: rows of matrices in groups of eight columns, reductions, dropout. May include:
 * cuda/elements.cuh.
 *
 * Eight columns are what one Philox call decides about and one 16-byte access moves, or two of float32, so most kernels
 * give a thread eight neighbouring columns. `wide` says that rows may be moved 16 bytes at a time: every matrix of the
 * kernel is aligned, and columns come in whole groups. Otherwise columns are moved one by one and those past the last are 0. */
#ifndef SP_CUDA_COMMON_CUH
#define SP_CUDA_COMMON_CUH

#include "cuda/elements.cuh"

enum { WARP = 32 };

static const unsigned ALL_LANES = 0xffffffffu;

/* ---- matrices ---- */

template <class E> struct rows {
	E *data; /* NULL: not given */
	int64_t stride;
};

template <class E = float> static inline struct rows<E> rows_of(struct sp_matrix m)
{
	return { static_cast<E *>(m.data), m.stride };
}

template <class E> static __device__ __forceinline__ E *row_at(struct rows<E> m, int64_t i)
{
	return m.data + i * m.stride;
}

/* Whether these matrices, of `cols` columns each, may be moved 16 bytes at a time. */
static inline int is_wide(int64_t cols, const struct sp_matrix *m, int n)
{
	int wide = cols % GROUP == 0;
	for (int i = 0; i < n; i++)
		wide = wide && (reinterpret_cast<uintptr_t>(m[i].data) % 16 == 0) &&
		       (m[i].rows < 2 || m[i].stride * (int64_t)sp_dtype_size(m[i].dtype) % 16 == 0);
	return wide;
}

/* The same of the eight columns from j on, where the last group of `n` columns need not be whole. */
static __device__ __forceinline__ int wide_at(int wide, int64_t j, int64_t n)
{
	return wide && j + GROUP <= n;
}

static inline int64_t ceil_div(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

static inline int64_t at_least(int64_t n, int64_t least)
{
	return n < least ? least : n;
}

template <class E> static __device__ __forceinline__ struct eight load8(const E *row, int64_t j, int64_t cols, int wide)
{
	if (wide)
		return read8(row + j);
	struct eight x;
#pragma unroll
	for (int e = 0; e < GROUP; e++)
		x.v[e] = j + e < cols ? read1(row + j + e) : 0.0f;
	return x;
}

template <class E>
static __device__ __forceinline__ void store8(E *row, int64_t j, int64_t cols, int wide, const struct eight &x)
{
	if (wide) {
		write8(row + j, x);
		return;
	}
#pragma unroll
	for (int e = 0; e < GROUP; e++)
		if (j + e < cols)
			write1(row + j + e, x.v[e]);
}

static __device__ __forceinline__ struct eight add8(struct eight x, const struct eight &y)
{
#pragma unroll
	for (int e = 0; e < GROUP; e++)
		x.v[e] += y.v[e];
	return x;
}

static __device__ __forceinline__ struct eight zero8()
{
	struct eight x;
#pragma unroll
	for (int e = 0; e < GROUP; e++)
		x.v[e] = 0.0f;
	return x;
}

/* ---- reductions; every lane gets the result, always in the same order ---- */

template <class T> static __device__ __forceinline__ T warp_sum(T x)
{
#pragma unroll
	for (int o = WARP / 2; o > 0; o /= 2)
		x += __shfl_xor_sync(ALL_LANES, x, o);
	return x;
}

/* Sums over the block's threads, a multiple of 32. `slots`: shared memory for one number a warp, not in use by anyone; the
 * caller sees to it that all have read the result before it is used again. */
template <class T> static __device__ __forceinline__ T block_sum(T x, T *slots)
{
	x = warp_sum(x);
	if (threadIdx.x % WARP == 0)
		slots[threadIdx.x / WARP] = x;
	__syncthreads();
	T sum = 0;
	for (unsigned w = 0; w < blockDim.x / WARP; w++)
		sum += slots[w];
	return sum;
}

/* ---- dropout: seqpar/compute.h says which number decides about which element ---- */

struct dropout {
	uint32_t key0, key1, keep;
	float scale;
	const uint32_t *key_at;
};

static inline struct dropout dropout_of(const struct sp_dropout *d)
{
	return { d->key[0], d->key[1], d->keep, (float)(65536.0 / d->keep), d->key_at };
}

/* Each kernel's first look at its dropout: from then on the key is in registers. */
static __device__ __forceinline__ struct dropout with_key(struct dropout d)
{
	if (d.key_at) {
		d.key0 = d.key_at[0];
		d.key1 = d.key_at[1];
	}
	return d;
}

static __device__ __forceinline__ int drops(struct dropout d)
{
	return d.keep < 65536;
}

/* Philox4x32-10 with counter (c0, c1, c2, 0); bit e of the result: element e of the group is kept. */
static __device__ __forceinline__ unsigned kept8(struct dropout d, uint32_t c0, uint32_t c1, uint32_t c2)
{
	uint32_t k0 = d.key0, k1 = d.key1, x0 = c0, x1 = c1, x2 = c2, x3 = 0;
#pragma unroll
	for (int round = 0; round < 10; round++) {
		const uint32_t y0 = __umulhi(0xCD9E8D57u, x2) ^ x1 ^ k0, y2 = __umulhi(0xD2511F53u, x0) ^ x3 ^ k1;
		x1 = 0xCD9E8D57u * x2;
		x3 = 0xD2511F53u * x0;
		x0 = y0;
		x2 = y2;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	const uint32_t word[4] = { x0, x1, x2, x3 };
	unsigned kept = 0;
#pragma unroll
	for (int e = 0; e < GROUP; e++)
		kept |= (word[e / 2] >> e % 2 * 16 & 0xffffu) < d.keep ? 1u << e : 0;
	return kept;
}

/* Where rows of activations lie in the global batch. */
struct places {
	int64_t chunk;
	const uint32_t *sample;
	uint32_t first;
};

static inline struct places places_of(const struct sp_rows *rows)
{
	return { rows->chunk, rows->sample, rows->first };
}

/* x times the mask of columns j .. j + 7 of activation row `row`. */
static __device__ __forceinline__ struct eight drop8(struct eight x, struct dropout d, struct places at, int64_t row, int64_t j)
{
	if (!drops(d))
		return x;
	const unsigned kept =
		kept8(d, (uint32_t)(j / GROUP), at.first + (uint32_t)(row % at.chunk), at.sample[row / at.chunk]);
#pragma unroll
	for (int e = 0; e < GROUP; e++)
		x.v[e] = kept >> e & 1 ? x.v[e] * d.scale : 0.0f;
	return x;
}

#endif
