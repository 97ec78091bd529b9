/* What activations are made of: float32, bfloat16, float16. Kernels take the type as a template argument, compute with floats
 * between reading and writing, and round once, to nearest, ties to even. May include: cuda/device.cuh. */
#ifndef SP_CUDA_ELEMENTS_CUH
#define SP_CUDA_ELEMENTS_CUH

#include "cuda/device.cuh"

#include <string.h>

/* function<E>(...) with the E that `dtype` names; the wrappers of the table let no other dtype than the three through. */
#define SP_BY_ELEMENT(dtype, function, ...)                                                                              \
	((dtype) == SP_BF16  ? function<__nv_bfloat16>(__VA_ARGS__)                                                          \
	 : (dtype) == SP_F16 ? function<__half>(__VA_ARGS__)                                                                 \
	                     : function<float>(__VA_ARGS__))

/* ---- one ---- */

static __device__ __forceinline__ float read1(const float *from)
{
	return *from;
}

static __device__ __forceinline__ float read1(const __nv_bfloat16 *from)
{
	return __bfloat162float(*from);
}

static __device__ __forceinline__ float read1(const __half *from)
{
	return __half2float(*from);
}

static __device__ __forceinline__ void write1(float *to, float x)
{
	*to = x;
}

static __device__ __forceinline__ void write1(__nv_bfloat16 *to, float x)
{
	*to = __float2bfloat16_rn(x);
}

static __device__ __forceinline__ void write1(__half *to, float x)
{
	*to = __float2half_rn(x);
}

/* ---- two of 16 bits in one word, the first in its low half ---- */

static __device__ __forceinline__ float2 unpack(uint32_t word, const __nv_bfloat16 *)
{
	__nv_bfloat162 two;
	memcpy(&two, &word, sizeof two);
	return __bfloat1622float2(two);
}

static __device__ __forceinline__ float2 unpack(uint32_t word, const __half *)
{
	__half2 two;
	memcpy(&two, &word, sizeof two);
	return __half22float2(two);
}

static __device__ __forceinline__ uint32_t pack(float a, float b, const __nv_bfloat16 *)
{
	const __nv_bfloat162 two = __floats2bfloat162_rn(a, b);
	uint32_t word;
	memcpy(&word, &two, sizeof word);
	return word;
}

static __device__ __forceinline__ uint32_t pack(float a, float b, const __half *)
{
	const __half2 two = __floats2half2_rn(a, b);
	uint32_t word;
	memcpy(&word, &two, sizeof word);
	return word;
}

/* ---- eight that lie at a multiple of 16 bytes ---- */

enum { GROUP = 8 };

struct eight {
	float v[GROUP];
};

static __device__ __forceinline__ struct eight read8(const float *from)
{
	const float4 a = *reinterpret_cast<const float4 *>(from), b = *reinterpret_cast<const float4 *>(from + 4);
	return { { a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w } };
}

template <class E> static __device__ __forceinline__ struct eight read8(const E *from)
{
	const uint4 words = *reinterpret_cast<const uint4 *>(from);
	const float2 a = unpack(words.x, from), b = unpack(words.y, from), c = unpack(words.z, from), d = unpack(words.w, from);
	return { { a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y } };
}

static __device__ __forceinline__ void write8(float *to, const struct eight &x)
{
	*reinterpret_cast<float4 *>(to) = make_float4(x.v[0], x.v[1], x.v[2], x.v[3]);
	*reinterpret_cast<float4 *>(to + 4) = make_float4(x.v[4], x.v[5], x.v[6], x.v[7]);
}

template <class E> static __device__ __forceinline__ void write8(E *to, const struct eight &x)
{
	*reinterpret_cast<uint4 *>(to) = make_uint4(pack(x.v[0], x.v[1], to), pack(x.v[2], x.v[3], to), pack(x.v[4], x.v[5], to),
	                                            pack(x.v[6], x.v[7], to));
}

#endif
