# The frame of the program; tests of single commands are in local.mk.
script_tests += tests/cli/test_bench.sh tests/cli/test_compare.sh tests/cli/test_paper.sh
script_tests += tests/cli/test_program.sh tests/cli/test_launch.sh tests/cli/test_failure.sh
EXTRA_DIST += tests/cli/common.sh
