# Rows of make check: programs, scripts (.sh), and programs under a launcher (.mpi). Each part of the tests has a fragment
# that appends to these lists:
#   unit_tests      programs that are rows themselves
#   rank_programs   programs started by rows of another name (as several ranks, or once per backend), and these rows:
#   rank_rows       PROGRAM_npN.mpi, an empty file made here; run_ranks.sh starts N ranks of PROGRAM (PROGRAM_DxPxSxT.mpi:
#                   one for each place of this grid)
#   script_tests    .sh files, run with SEQPAR (the program), srcdir and TESTMPIRUN in their environment; exit 77 skips
# Programs need CMocka, and these lines (CPPFLAGS and LDADD have fitting defaults; the source is PROGRAM.c unless named):
#   tests_unit_data_test_vocab_LDFLAGS = $(test_ldflags)
unit_tests =
rank_programs =
script_tests = tests/check_rooms.sh tests/check_headers.sh

AM_CPPFLAGS += -I$(top_srcdir)/tests $(CMOCKA_CPPFLAGS)
LDADD = libseqpar.la $(CMOCKA_LIBS)
# -no-install: real programs instead of libtool's wrapper scripts, for mpirun, gdb and perf.
test_ldflags = $(AM_LDFLAGS) -no-install $(CMOCKA_RPATH)
# A module that only a test opens.
test_module_ldflags = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere

include tests/unit/base.mk
include tests/unit/backend.mk
include tests/unit/cpu.mk
include tests/unit/settings.mk
include tests/unit/data.mk
include tests/unit/checkpoint_directory.mk
include tests/unit/parallel.mk
include tests/unit/model.mk
include tests/unit/checkpoint.mk
include tests/unit/plan.mk
include tests/unit/train.mk
include tests/unit/use.mk
include tests/unit/bench.mk
include tests/conformance/local.mk
include tests/cudasim/local.mk
include tests/cudnn/local.mk
include tests/ncclsim/local.mk
include tests/golden/local.mk
include tests/ranks/comm.mk
include tests/ranks/local.mk
include tests/ranks/use.mk
include tests/ranks/grid.mk
include tests/fuzz/local.mk
include tests/cli/program.mk
include tests/cli/local.mk
include tests/cli/use.mk
include tests/interop/local.mk

if HAVE_CMOCKA
check_PROGRAMS += $(unit_tests) $(rank_programs)
TESTS += $(unit_tests) $(rank_rows)
endif
TESTS += $(script_tests)

TEST_EXTENSIONS = .sh .mpi .conform
# Seconds for a row. Instrumented code takes several times as long.
if SANITIZERS
row_seconds = 2400
else
row_seconds = 600
endif
LOG_COMPILER = timeout
AM_LOG_FLAGS = -k 5 $(row_seconds)
SH_LOG_COMPILER = timeout
AM_SH_LOG_FLAGS = -k 5 $(row_seconds) $(SHELL)
MPI_LOG_COMPILER = $(SHELL) $(srcdir)/tests/run_ranks.sh
AM_TESTS_ENVIRONMENT = \
	TESTMPIRUN='$(TESTMPIRUN)'; export TESTMPIRUN; SEQPAR='$(abs_top_builddir)/seqpar'; export SEQPAR; \
	srcdir='$(srcdir)'; top_srcdir='$(abs_top_srcdir)'; export srcdir top_srcdir; \
	CC='$(CC)'; export CC; TEST_TIMEOUT=$${TEST_TIMEOUT:-$(row_seconds)}; export TEST_TIMEOUT; \
	CPPFLAGS='$(CPPFLAGS) $(HWLOC_CPPFLAGS) $(BLAS_CPPFLAGS) $(MPI_CPPFLAGS) $(JANSSON_CPPFLAGS) $(UTF8PROC_CPPFLAGS) $(NCCL_CPPFLAGS) $(ONEDNN_CPPFLAGS) $(CUDNN_CPPFLAGS)'; export CPPFLAGS; \
	unset SEQPAR_LOG SEQPAR_MODULE_PATH OPENBLAS_CORETYPE OPENBLAS_L2_SIZE;
if SANITIZERS
# Open MPI unloads its plugins before the leak check: only the slow unwinder then knows who called. clang's leak check
# crashes on OpenMP threads of a loaded module without intercept_tls_get_addr=0.
AM_TESTS_ENVIRONMENT += \
	INSTRUMENTED=yes; export INSTRUMENTED; \
	ASAN_OPTIONS=fast_unwind_on_malloc=0:intercept_tls_get_addr=0; export ASAN_OPTIONS; \
	LSAN_OPTIONS=suppressions=$(abs_srcdir)/tests/lsan.supp:print_suppressions=0; export LSAN_OPTIONS;
endif

$(rank_rows):
	@$(MKDIR_P) $(@D)
	@: > $@
CLEANFILES += $(rank_rows)
EXTRA_DIST += $(script_tests) tests/run_ranks.sh tests/lsan.supp tests/support.h

# make test: make check, first what needs one thread of the processor and minutes of it, as many at a time as there are
# processors; then one line to read. Counts this run's rows only; a row without a result is a failure.
.PHONY: test
test:
	@status=0; alone=; others=; rm -f $(TEST_LOGS:.log=.trs); \
	for row in $(TESTS); do case $$row in *-1.conform) alone="$$alone $$row" ;; *) others="$$others $$row" ;; esac; done; \
	test -z "$$alone" || $(MAKE) $(AM_MAKEFLAGS) -j`getconf _NPROCESSORS_ONLN` check TESTS="$$alone" || status=1; \
	$(MAKE) $(AM_MAKEFLAGS) check TESTS="$$others" || status=1; \
	for trs in $(TEST_LOGS:.log=.trs); do \
	  sed -n 's/^:global-test-result: //p' $$trs 2>/dev/null | grep . || echo NONE; done | \
	awk '{ n[$$1]++ } END { p = n["PASS"] + n["XFAIL"]; s = n["SKIP"]; f = NR - p - s; \
	  printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' || status=1; exit $$status

# make installcheck: every module built can be opened where it was installed, and shows one symbol.
installcheck-local:
	$(DESTDIR)$(bindir)/seqpar info
	! $(DESTDIR)$(bindir)/seqpar info | grep -E 'cannot open|lacks the operation|has interface'
if MODULES
	for m in $(modules); do so=$(DESTDIR)$(pkglibdir)/`basename $$m .la`.so; \
	  test "`$(NM) -D --defined-only $$so | sed 's/.* //'`" = sp_module_`basename $$m .la` || exit 1; done
endif
