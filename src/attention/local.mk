libseqpar_la_SOURCES += src/attention/allgather.c src/attention/attention.c src/attention/attention.h \
	src/attention/full.c src/attention/ring.c src/attention/ring.h src/attention/ulysses.c \
	src/attention/variants.c src/attention/variants.h
