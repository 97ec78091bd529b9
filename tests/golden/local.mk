# Rows of this part of the tests; tests/local.mk says how.
golden_files = tests/golden/post.golden tests/golden/post_order.golden tests/golden/pre.golden \
	tests/golden/pre_order.golden tests/golden/post_dropout.golden tests/golden/pre_dropout.golden
golden_sources = tests/golden/fixture.c tests/golden/fixture.h tests/golden/records.c tests/golden/records.h \
	tests/golden/harness.c tests/golden/harness.h

unit_tests += tests/golden/test_gradients
tests_golden_test_gradients_SOURCES = tests/golden/test_gradients.c $(golden_sources)
tests_golden_test_gradients_LDFLAGS = $(test_ldflags)
EXTRA_DIST += tests/golden/make_golden.py $(golden_files)

script_tests += tests/mutations/scale_by_hidden.sh tests/mutations/gradient_over_ranks.sh \
	tests/mutations/check_notices_loss_per_rank.sh
EXTRA_DIST += tests/mutations/run.sh

unit_tests += tests/golden/test_steps
tests_golden_test_steps_SOURCES = tests/golden/test_steps.c $(golden_sources)
tests_golden_test_steps_LDFLAGS = $(test_ldflags)
