libseqpar_la_SOURCES += src/use/embed.c src/use/embed.h src/use/fill.c src/use/fill.h src/use/tokens.c src/use/tokens.h \
	src/use/open.c src/use/open.h \
	src/use/use.c src/use/use.h src/use/vectors.c src/use/vectors.h src/use/window.c src/use/window.h
