# Programs that measure: built by name (make benchmarks/attention), run by hand. benchmarks/README.md has their columns.
EXTRA_PROGRAMS += benchmarks/attention benchmarks/ops
CLEANFILES += $(EXTRA_PROGRAMS)
EXTRA_DIST += benchmarks/README.md benchmarks/memory benchmarks/overlap

benchmarks_attention_SOURCES = benchmarks/attention.c tests/reference/reference.h tests/reference/attention.c \
	tests/reference/dropout.c
benchmarks_attention_LDFLAGS = $(AM_LDFLAGS) -no-install
benchmarks_attention_LDADD = libseqpar.la

benchmarks_ops_SOURCES = benchmarks/ops.c
benchmarks_ops_LDFLAGS = $(AM_LDFLAGS) -no-install
benchmarks_ops_LDADD = libseqpar.la
