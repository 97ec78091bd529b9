# One module per backend: backends/NAME.la, exporting sp_module_NAME and nothing else.

modules = backends/self.la
if HAVE_BLAS
modules += backends/cpu.la
endif
if HAVE_MPI
modules += backends/mpi.la
endif
if HAVE_CUDA
modules += backends/cuda.la
endif
if HAVE_NCCL
modules += backends/nccl.la
endif

include backends/self/local.mk
include backends/cpu/local.mk
include backends/mpi/local.mk
include backends/cuda/local.mk
include backends/nccl/local.mk

### Loaded or linked
if MODULES
pkglib_LTLIBRARIES = $(modules)
module_ldflags = $(AM_LDFLAGS) $(module_defs) -module -avoid-version -shared -export-symbols-regex '^sp_module_'
module_libadd = libseqpar.la
linked_modules =
linked_rpath =
else
noinst_LTLIBRARIES += $(modules)
module_ldflags = $(AM_LDFLAGS) -module
module_libadd =
linked_modules = $(modules)
linked_rpath = $(BLAS_RPATH) $(ONEDNN_RPATH) $(NCCL_RPATH)
endif
# A missing symbol fails the link, not the user's run; but a sanitizer's symbols may be in the program only.
if !SANITIZERS
module_defs = -Wl,-z,defs
endif
