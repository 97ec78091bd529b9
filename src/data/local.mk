libseqpar_la_SOURCES += src/data/basic.c src/data/basic.h src/data/files.c src/data/files.h src/data/indexed.c \
	src/data/indexed.h src/data/indexed_format.h src/data/indexed_writer.c src/data/merges.c src/data/merges.h \
	src/data/sentence.c src/data/sentence.h src/data/text.c src/data/text.h src/data/tokenize.c src/data/tokenize.h \
	src/data/utf8.h src/data/vocab.c src/data/vocab.h src/data/vocab_case.c src/data/vocab_train.c src/data/vocab_train.h \
	src/data/word_counts.c src/data/word_counts.h src/data/wordpiece.c src/data/wordpiece.h
libseqpar_la_SOURCES += src/data/alphabet.c src/data/alphabet.h src/data/blend.c src/data/blend.h src/data/corpus.c \
	src/data/corpus.h src/data/dataset.c src/data/dataset.h src/data/group.c src/data/group.h src/data/map.c \
	src/data/map.h src/data/mask.c src/data/mask.h src/data/pack.c src/data/pack.h src/data/pair.c src/data/pair.h \
	src/data/split.c src/data/split.h src/data/synthetic.c src/data/synthetic.h
