seqpar_SOURCES += src/cli/command.h src/cli/end.c src/cli/info.c src/cli/main.c
