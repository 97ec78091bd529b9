libseqpar_la_SOURCES += src/settings/finish.c src/settings/nearest.c src/settings/nearest.h src/settings/settings.c \
	src/settings/settings.h src/settings/table.c src/settings/table.h src/settings/value.c src/settings/value.h
EXTRA_DIST += configs/tutorial.ini
