libseqpar_la_SOURCES += src/checkpoint/hf_config.h src/checkpoint/safetensors.h src/checkpoint/tokenizer_files.h \
	src/checkpoint/weights.h
