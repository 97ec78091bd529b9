libseqpar_la_SOURCES += src/data/indexed.h src/data/vocab.h
