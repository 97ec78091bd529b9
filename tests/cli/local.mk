# Rows of this part of the tests; tests/local.mk says how.
script_tests += tests/cli/test_tokenize.sh tests/cli/test_vocab.sh tests/cli/test_device.sh tests/cli/test_products.sh
