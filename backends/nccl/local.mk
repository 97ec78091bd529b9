# Only device.c calls CUDA's runtime, and only through library.c is NCCL called, so that tests can take their places.
nccl_headers = backends/nccl/device.h backends/nccl/library.h backends/nccl/link.h
nccl_sources = backends/nccl/library.c backends/nccl/link.c backends/nccl/meeting.c backends/nccl/table.c \
	backends/nccl/transfers.c

backends_nccl_la_SOURCES = $(nccl_headers) $(nccl_sources) backends/nccl/device.c backends/nccl/module.c
backends_nccl_la_CPPFLAGS = $(AM_CPPFLAGS) $(NCCL_CPPFLAGS)
backends_nccl_la_LDFLAGS = $(module_ldflags) $(NCCL_RPATH)
backends_nccl_la_LIBADD = $(module_libadd) $(CUDART_LIBS)
