/* The BLAS behind the cpu backend, whether or not it is OpenBLAS. May include: libc, cblas.h. */
#ifndef SP_CPU_BLAS_H
#define SP_CPU_BLAS_H

#include <cblas.h>
#include <stdint.h>

/* How the library threads itself; SP_BLAS_UNKNOWN where it cannot say. */
enum sp_blas_threading { SP_BLAS_UNKNOWN = -1, SP_BLAS_SEQUENTIAL = 0, SP_BLAS_PTHREADS = 1, SP_BLAS_OPENMP = 2 };

const char *sp_blas_config(void); /* name and version */
const char *sp_blas_core(void);   /* the processor it chose kernels for; "" where it cannot say */
enum sp_blas_threading sp_blas_threading(void);
void sp_blas_set_threads(int threads); /* nothing where it cannot be told */
int sp_blas_threads(void);             /* 0 where it cannot say */

/* C (m, n) = op(A) op(B) + beta C, row-major, inner dimension k; strides from row to row as stored. ta and tb are
 * CblasTrans or CblasNoTrans, whose type is not the same in all libraries. */
static inline void sp_blas_gemm(int ta, int tb, int64_t m, int64_t n, int64_t k,
                                const float *a, int64_t a_stride, const float *b, int64_t b_stride, float beta,
                                float *c, int64_t c_stride)
{
	cblas_sgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)k, 1.0f, a, (int)(a_stride > 0 ? a_stride : 1), b,
	            (int)(b_stride > 0 ? b_stride : 1), beta, c, (int)(c_stride > 0 ? c_stride : 1));
}

#endif
