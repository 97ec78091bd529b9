libseqpar_la_SOURCES += src/attention/allgather.c src/attention/attention.c src/attention/attention.h \
	src/attention/full.c src/attention/globals.c src/attention/globals.h src/attention/halo.c src/attention/halo.h src/attention/linformer.c \
	src/attention/passing.c src/attention/passing.h src/attention/passing_in_place.c \
	src/attention/passing_messages.c src/attention/ring.c src/attention/ring.h src/attention/ring_queries.c src/attention/rsa.c \
	src/attention/ulysses.c \
	src/attention/variants.c src/attention/variants.h src/attention/window.c
