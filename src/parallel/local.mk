libseqpar_la_SOURCES += src/parallel/grid.c src/parallel/grid.h src/parallel/shard.c src/parallel/shard.h
