libseqpar_la_SOURCES += src/base/clock.c src/base/clock.h src/base/cut.c src/base/cut.h src/base/log.c src/base/log.h src/base/rng.c src/base/rng.h \
	src/base/size.h src/base/status.c src/base/trace.c src/base/trace.h src/base/where.c src/base/where.h \
	src/base/words.c src/base/words.h
