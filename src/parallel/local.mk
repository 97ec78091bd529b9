libseqpar_la_SOURCES += src/parallel/grid.c src/parallel/grid.h src/parallel/pipeline.c src/parallel/pipeline.h src/parallel/reduce.c src/parallel/reduce.h src/parallel/shard.c src/parallel/shard.h \
	src/parallel/balance.c src/parallel/balance.h src/parallel/tied.c src/parallel/tied.h
