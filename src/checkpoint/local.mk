libseqpar_la_SOURCES += src/checkpoint/dtype.c src/checkpoint/export.c src/checkpoint/export.h \
	src/checkpoint/hf_config.c src/checkpoint/hf_config.h src/checkpoint/json_file.c src/checkpoint/json_file.h src/checkpoint/safetensors.c src/checkpoint/safetensors.h \
	src/checkpoint/safetensors_head.c src/checkpoint/shards.c src/checkpoint/shards.h src/checkpoint/tokenizer_files.c \
	src/checkpoint/tokenizer_files.h src/checkpoint/weights.c src/checkpoint/weights.h
libseqpar_la_SOURCES += src/checkpoint/directory.c src/checkpoint/directory.h src/checkpoint/durable.c \
	src/checkpoint/durable.h src/checkpoint/manifest.c src/checkpoint/manifest.h src/checkpoint/pieces.c \
	src/checkpoint/pieces.h
