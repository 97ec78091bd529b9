libseqpar_la_SOURCES += src/bench/about.c src/bench/attention.c src/bench/bench.h src/bench/child.c src/bench/child.h \
	src/bench/comm.c src/bench/events.c src/bench/events.h src/bench/exact.c src/bench/exact.h src/bench/gemm.c \
	src/bench/judge.c src/bench/judge.h src/bench/memory.c src/bench/output.c src/bench/output.h src/bench/scaling.c \
	src/bench/times.c src/bench/times.h src/bench/train.c
nodist_libseqpar_la_SOURCES = commit.h
BUILT_SOURCES += commit.h
CLEANFILES += commit.h

# The commit that benchmarks name, as far as the sources know; written anew only when it has changed.
.PHONY: look-at-commit
commit.h: look-at-commit
	@commit=`cd $(srcdir) && git describe --always --dirty --abbrev=10 2>/dev/null || echo unknown`; \
	echo "#define SP_COMMIT \"$$commit\"" >$@.new; \
	if cmp -s $@.new $@; then rm -f $@.new; else mv -f $@.new $@; fi
