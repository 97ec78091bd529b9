/* Tensor cores of compute capability 8.0 and later, and the moves between memories that feed them. Each is an instruction that a whole
 * warp executes together, but for the copies. May include: cuda/elements.cuh.
 *
 * Lane l is lane t = l % 4 of line g = l / 4. A fragment of a matrix of 16-bit elements is words of two neighbours:
 *   A, 16 x 16: row g columns 2 t, 2 t + 1; row g + 8; row g columns 2 t + 8, + 9; row g + 8 of these
 *   B, 16 x 8: rows 2 t, 2 t + 1 of column g; rows 2 t + 8, + 9
 * and of float32 C, 16 x 8: row g columns 2 t, 2 t + 1; row g + 8. tests/cudasim has a file of this name, which says the same to
 * a processor. */
#ifndef SP_CUDA_TENSOR_CORES_CUH
#define SP_CUDA_TENSOR_CORES_CUH

#include "cuda/elements.cuh"

static __device__ __forceinline__ unsigned shared_address(const void *shared)
{
	return (unsigned)__cvta_generic_to_shared(shared);
}

/* Four 8 x 8 matrices: lane l names row l % 8, 16 bytes of it, of matrix l / 8, and gets of matrix i columns 2 t, 2 t + 1 of
 * row g in x[i]. */
static __device__ __forceinline__ void load_matrices(uint32_t x[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
	             : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
	             : "r"(shared_address(row))
	             : "memory");
}

/* The same of their transposes: rows 2 t, 2 t + 1 of column g. */
static __device__ __forceinline__ void load_turned(uint32_t x[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
	             : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
	             : "r"(shared_address(row))
	             : "memory");
}

/* c += a b; the last argument says only what elements are. */
static __device__ __forceinline__ void multiply_add(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1, const __nv_bfloat16 *)
{
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	             : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ void multiply_add(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1, const __half *)
{
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	             : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* 16 bytes into shared memory, both aligned; there once the copying thread has waited. */
static __device__ __forceinline__ void copy_ahead(void *shared, const void *global)
{
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}

/* What this thread has begun to copy since it last said so. */
static __device__ __forceinline__ void end_of_copies()
{
	asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until all of its copies are there but those since the last, or no, end_of_copies(). */
template <int LATER> static __device__ __forceinline__ void wait_for_copies()
{
	asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
}

#endif
