# Against transformers and Megatron-LM, by hand: README.md.
EXTRA_PROGRAMS += tests/interop/logits
tests_interop_logits_SOURCES = tests/interop/logits.c
tests_interop_logits_LDFLAGS = $(AM_LDFLAGS) -no-install
tests_interop_logits_LDADD = libseqpar.la
EXTRA_DIST += tests/interop/README.md tests/interop/models.py tests/interop/run tests/interop/token_files.py \
	tests/interop/tokenizer.py
