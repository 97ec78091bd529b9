/* CUDA as the kernels use it: launching with every error checked, and shared memory by size. May include: CUDA, cuda/cuda.h.
 *
 * Kernels run in one-dimensional grids and blocks, take shared memory only through SP_SHARED, and use of CUDA's own words
 * only those that the simulator in tests/cudasim also knows; there a file of this name takes the place of this one. */
#ifndef SP_CUDA_DEVICE_CUH
#define SP_CUDA_DEVICE_CUH

#include "cuda/cuda.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math.h>

/* The launch's dynamic shared memory. */
#define SP_SHARED(type, name)                                                                                            \
	extern __shared__ __align__(16) unsigned char sp_cuda_shared[];                                                      \
	type *const name = reinterpret_cast<type *>(sp_cuda_shared)

/* Queues a kernel; a status. `kernel` in parentheses if it has template arguments. */
#define SP_LAUNCH(cuda, kernel, blocks, threads, shared, ...)                                                            \
	(kernel<<<(unsigned)(blocks), (unsigned)(threads), (shared), (cudaStream_t)(cuda)->stream>>>(__VA_ARGS__),           \
	 sp_cuda_check(cudaGetLastError(), #kernel))

/* The same with more shared memory than the 48 KiB that a kernel has unasked. */
#define SP_LAUNCH_LARGE(cuda, kernel, blocks, threads, shared, ...)                                                      \
	(sp_cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(shared)), #kernel)    \
	         ? SP_ERR_DEVICE                                                                                             \
	         : SP_LAUNCH(cuda, kernel, blocks, threads, shared, __VA_ARGS__))

#endif
