/* Stands in for backends/cuda/device.cuh where the kernels are compiled by a C++ compiler: the words of CUDA that they use,
 * on the simulator. May include: libc, cudasim, cuda/cuda.h. */
#ifndef SP_CUDA_DEVICE_CUH
#define SP_CUDA_DEVICE_CUH

#include "cuda/cuda.h"
#include "cudasim/graph.hpp"
#include "cudasim/memory.hpp"
#include "cudasim/simulator.hpp"
#include "cudasim/sixteen.hpp"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define threadIdx (simulator::index { simulator::thread->index })
#define blockIdx (simulator::index { simulator::block })
#define blockDim (simulator::index { simulator::threads })
#define gridDim (simulator::index { simulator::blocks })

namespace simulator {

struct index {
	unsigned x;
};

template <class T> T shuffle(unsigned mask, T value, unsigned lane)
{
	static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves 8 bytes at most");
	uint64_t bits = 0;
	memcpy(&bits, &value, sizeof value);
	bits = exchange(mask, bits, lane);
	memcpy(&value, &bits, sizeof value);
	return value;
}

template <class Body> void launch_opened(unsigned blocks, unsigned threads, size_t shared_bytes, const Body &body)
{
	perform([=] {
		const opened open;
		launch_body(blocks, threads, shared_bytes, body);
	});
}

} // namespace simulator

struct alignas(16) float4 {
	float x, y, z, w;
};
struct alignas(8) float2 {
	float x, y;
};
struct alignas(16) uint4 {
	unsigned x, y, z, w;
};

static inline float4 make_float4(float x, float y, float z, float w)
{
	return { x, y, z, w };
}

static inline float2 make_float2(float x, float y)
{
	return { x, y };
}

static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
	return { x, y, z, w };
}

struct __nv_bfloat16 {
	uint16_t bits;
};
struct __half {
	uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
	__nv_bfloat16 x, y;
};
struct alignas(4) __half2 {
	__half x, y;
};

static inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
	return { simulator::to_bfloat16(x) };
}

static inline float __bfloat162float(__nv_bfloat16 x)
{
	return simulator::from_bfloat16(x.bits);
}

static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
	return { __float2bfloat16_rn(x), __float2bfloat16_rn(y) };
}

static inline float2 __bfloat1622float2(__nv_bfloat162 two)
{
	return { __bfloat162float(two.x), __bfloat162float(two.y) };
}

static inline __half __float2half_rn(float x)
{
	return { simulator::to_float16(x) };
}

static inline float __half2float(__half x)
{
	return simulator::from_float16(x.bits);
}

static inline __half2 __floats2half2_rn(float x, float y)
{
	return { __float2half_rn(x), __float2half_rn(y) };
}

static inline float2 __half22float2(__half2 two)
{
	return { __half2float(two.x), __half2float(two.y) };
}

static inline void __syncthreads()
{
	simulator::wait_for_block();
}

static inline int __syncthreads_or(int given)
{
	return simulator::wait_for_any(given);
}

static inline void __syncwarp(unsigned mask = ~0u)
{
	simulator::wait_for_warp(mask);
}

template <class T> static inline T __shfl_sync(unsigned mask, T value, int lane)
{
	return simulator::shuffle(mask, value, (unsigned)lane);
}

template <class T> static inline T __shfl_xor_sync(unsigned mask, T value, int bits)
{
	return simulator::shuffle(mask, value, simulator::thread->lane ^ (unsigned)bits);
}

static inline unsigned __umulhi(unsigned a, unsigned b)
{
	return (unsigned)((uint64_t)a * b >> 32);
}

#define SP_SHARED(type, name) type *const name = reinterpret_cast<type *>(simulator::shared)

#define SP_LAUNCH(cuda, kernel, blocks, threads, shared, ...)                                                           \
	((void)(cuda), simulator::launch_opened((unsigned)(blocks), (unsigned)(threads), (shared), [=] { (kernel)(__VA_ARGS__); }), \
	 SP_OK)

#define SP_LAUNCH_LARGE SP_LAUNCH

#endif
