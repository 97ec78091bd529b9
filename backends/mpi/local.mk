backends_mpi_la_SOURCES = backends/mpi/mpi.c backends/mpi/describe.c backends/mpi/describe.h backends/mpi/half.c backends/mpi/half.h \
	backends/mpi/window.c backends/mpi/window.h
backends_mpi_la_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CPPFLAGS)
backends_mpi_la_LDFLAGS = $(module_ldflags)
backends_mpi_la_LIBADD = $(module_libadd) $(MPI_LIBS)
