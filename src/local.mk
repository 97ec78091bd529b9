# libseqpar and the program. The library names no backend and links none, unless configured with --disable-modules.

lib_LTLIBRARIES += libseqpar.la
pkginclude_HEADERS = include/seqpar/comm.h include/seqpar/compute.h include/seqpar/module.h include/seqpar/status.h \
	include/seqpar/tensor.h
libseqpar_la_SOURCES =
libseqpar_la_CPPFLAGS = $(AM_CPPFLAGS) $(INIH_CPPFLAGS) $(JANSSON_CPPFLAGS) $(UTF8PROC_CPPFLAGS) $(ZLIB_CPPFLAGS) \
	$(HWLOC_CPPFLAGS)
libseqpar_la_CFLAGS = $(AM_CFLAGS)
libseqpar_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -export-symbols-regex '^sp_' $(linked_rpath) $(INIH_RPATH) \
	$(JANSSON_RPATH) $(UTF8PROC_RPATH) $(ZLIB_RPATH) $(HWLOC_RPATH)
libseqpar_la_LIBADD = $(linked_modules) $(INIH_LIBS) $(JANSSON_LIBS) $(UTF8PROC_LIBS) $(ZLIB_LIBS) $(HWLOC_LIBS)

bin_PROGRAMS += seqpar
seqpar_SOURCES =
seqpar_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CPPFLAGS) $(HWLOC_CPPFLAGS)
seqpar_LDADD = libseqpar.la $(JANSSON_LIBS) $(HWLOC_LIBS)
# Beside the absolute path libtool writes: the installed tree may be staged or moved as a whole.
seqpar_LDFLAGS = $(AM_LDFLAGS) '-Wl,-rpath,$$ORIGIN/../lib'

include src/base/local.mk
include src/settings/local.mk
include src/backend/local.mk
include src/layers/local.mk
include src/attention/local.mk
include src/parallel/local.mk
include src/model/local.mk
include src/data/local.mk
include src/checkpoint/local.mk
include src/plan/local.mk
include src/train/local.mk
include src/use/local.mk
include src/bench/local.mk
include src/cli/local.mk
