libseqpar_la_SOURCES += src/checkpoint/hf_config.h src/checkpoint/safetensors.h src/checkpoint/tokenizer_files.h \
	src/checkpoint/weights.h
libseqpar_la_SOURCES += src/checkpoint/directory.c src/checkpoint/directory.h src/checkpoint/durable.c \
	src/checkpoint/durable.h src/checkpoint/manifest.c src/checkpoint/manifest.h src/checkpoint/pieces.c \
	src/checkpoint/pieces.h
