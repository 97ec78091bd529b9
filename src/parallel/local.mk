libseqpar_la_SOURCES += src/parallel/grid.c src/parallel/grid.h src/parallel/reduce.c src/parallel/reduce.h src/parallel/shard.c src/parallel/shard.h
