/* Memory that ranks of one machine read in place. May include: backend, mpi.h. */
#ifndef SP_MPI_WINDOW_H
#define SP_MPI_WINDOW_H

#include <seqpar/comm.h>

#include <mpi.h>

struct sp_mpi_window;

/* The members of struct sp_comm_ops, of a communicator of MPI. *window is NULL on all ranks where one of them cannot see
 * another's memory, or SEQPAR_MPI_WINDOWS=no says so on one. */
int sp_mpi_window_open(MPI_Comm comm, void *memory, size_t bytes, struct sp_mpi_window **window);
void sp_mpi_window_close(struct sp_mpi_window *window);
const void *sp_mpi_window_of(const struct sp_mpi_window *window, int rank);
void sp_mpi_window_leave(struct sp_mpi_window *window, int rank);
void sp_mpi_window_post(struct sp_mpi_window *window, int i, uint64_t value);
uint64_t sp_mpi_window_seen(const struct sp_mpi_window *window, int rank, int i);

/* 1 on all ranks if all would get windows, else 0; negative after a failure of MPI, logged. Collective. */
int sp_mpi_window_possible(MPI_Comm comm);

#endif
