/* How messages travel here, measured. May include: backend, mpi.h. */
#ifndef SP_MPI_DESCRIBE_H
#define SP_MPI_DESCRIBE_H

#include <mpi.h>
#include <stddef.h>

/* The member of struct sp_comm_ops, of a communicator of MPI. */
int sp_mpi_describe(MPI_Comm comm, char *text, size_t size);

#endif
