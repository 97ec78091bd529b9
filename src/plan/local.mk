libseqpar_la_SOURCES += src/plan/batch_layout.c src/plan/batch_layout.h src/plan/classes.c src/plan/classes.h \
	src/plan/fit.c src/plan/fit.h src/plan/paper.c src/plan/paper.h src/plan/plan.c src/plan/plan.h src/plan/stages.c \
	src/plan/stages.h src/plan/time.c \
	src/plan/time.h
