#!/bin/sh
# The communication table of self, which needs no launcher.
test -x tests/ranks/test_comm || { echo "skipped: tests/ranks/test_comm is not built"; exit 77; }
exec tests/ranks/test_comm self
