/* Reductions of numbers of 16 bits, which MPI has no types for. May include: mpi.h. */
#ifndef SP_MPI_HALF_H
#define SP_MPI_HALF_H

#include <seqpar/comm.h>

#include <mpi.h>

/* What travels in place of SP_BF16 and SP_F16. */
#define SP_MPI_HALF MPI_UINT16_T

/* Makes the operations, after MPI has begun; an MPI error code. */
int sp_mpi_half_open(void);
void sp_mpi_half_close(void);
/* On SP_MPI_HALF; sums are formed in float32 and rounded to nearest, ties to even. dtype: SP_BF16 or SP_F16. */
MPI_Op sp_mpi_half_op(enum sp_dtype dtype, enum sp_reduction reduction);

#endif
