libseqpar_la_SOURCES += src/model/bind.c src/model/bind.h src/model/config.h src/model/encoder.c src/model/encoder.h src/model/encoder_inside.h \
	src/model/encoder_mlp.c \
	src/model/inside.h src/model/layout.c src/model/model.c src/model/model.h src/model/parameters.c src/model/parameters.h \
	src/model/part.c src/model/part.h src/model/pass.c src/model/repeated.c src/model/rows.c src/model/rows.h
