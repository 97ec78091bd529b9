# The nccl module on a simulated libnccl, which passes messages by MPI, for the memory of the simulated device.
if HAVE_NCCL
if HAVE_CUDASIM
if HAVE_MPI
if MODULES
check_LTLIBRARIES += backends/ncclsim.la
rank_rows += tests/ranks/test_device_comm_np1_ncclsim.mpi tests/ranks/test_device_comm_np2_ncclsim.mpi \
	tests/ranks/test_device_comm_np3_ncclsim.mpi tests/ranks/test_device_comm_np4_ncclsim.mpi \
	tests/cudasim/test_training_np2_ncclsim.mpi tests/cudasim/test_training_np4_ncclsim.mpi
script_tests += tests/cli/test_nccl.sh
endif
endif
endif
endif
EXTRA_DIST += tests/cli/test_nccl.sh
backends_ncclsim_la_SOURCES = tests/ncclsim/simulator.h tests/ncclsim/device.c tests/ncclsim/nccl.c tests/ncclsim/module.c \
	tests/cudasim/queue.h $(nccl_headers) $(nccl_sources)
backends_ncclsim_la_CPPFLAGS = $(AM_CPPFLAGS) $(NCCL_CPPFLAGS) $(MPI_CPPFLAGS)
backends_ncclsim_la_LDFLAGS = $(test_module_ldflags)
backends_ncclsim_la_LIBADD = libseqpar.la $(MPI_LIBS)
