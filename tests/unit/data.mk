# Rows of this part of the tests; tests/local.mk says how.
