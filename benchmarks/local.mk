# Programs that measure: built by name (make benchmarks/ops), run by hand. benchmarks/README.md has their columns.
EXTRA_PROGRAMS += benchmarks/ops
CLEANFILES += $(EXTRA_PROGRAMS)
EXTRA_DIST += benchmarks/README.md benchmarks/memory benchmarks/overlap benchmarks/packing benchmarks/balance benchmarks/compare \
	benchmarks/comparison/charts.py benchmarks/comparison/machine.py benchmarks/comparison/matrix.py \
	benchmarks/comparison/page.py benchmarks/comparison/run.py \
	benchmarks/peers/bert_step.py benchmarks/peers/ring_operators.py
EXTRA_DIST += benchmarks/paper benchmarks/experiments/accounting.py benchmarks/experiments/here.py benchmarks/experiments/page.py \
	benchmarks/experiments/predicted.py benchmarks/experiments/published.py benchmarks/experiments/words.py

benchmarks_ops_SOURCES = benchmarks/ops.c
benchmarks_ops_LDFLAGS = $(AM_LDFLAGS) -no-install
benchmarks_ops_LDADD = libseqpar.la
